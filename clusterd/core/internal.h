/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of struct node, shared by clusterd/core/ alone. Who writes what:
 *
 *   node.c      dispatch, the node's life (empty, joining, up, isolated, fenced)
 *   log.c       drives raft: persist, apply, results; knows which failures are in the log
 *   message.c   envelopes, out and in
 *   beats.c     beats, acks, the bound's question, the lease's consequences
 *   agent.c     what runs here: follows the state (agent_migrate.c: its part in a live migration;
 *               agent_stand.c, stand.c: what should run and stands)
 *   manager.c   leader only: who failed, who is admitted (manager_place.c: who runs and coordinates
 *               what; manager_move.c: live migrations; manager_request.c: clients' requests;
 *               manager_voters.c: who votes)
 *   job.c       what an operator asks of some node's csvd
 *   fence.c     what a person knows of a failed node; fence_agents.c: its fence agents, run one by one;
 *               fence_hand.c: by this node
 *   length.c    nodes whose run leases are of different lengths
 *   manager_stop.c  a node whose machine is switched off in order
 *   force.c     a new line of history
 *   slow.c      whether writes to our database are slow
 *   audit.c     who asked for what
 *   resign.c    the last word of a node that cannot write its database
 *   setup.c     what stands in files on all nodes; nodes that go for good
 *   setup_links.c  a node's other address: whether all links stand
 *   quarantine.c  how long ago a node was fenced
 *   request.c   requests of this node's clients, until they are answered
 *   view.c      words for people
 *   actions.c   what goes out
 */
#ifndef CL_CORE_INTERNAL_H
#define CL_CORE_INTERNAL_H

#include "clusterd/core/node.h"

#include "clusterd/core/leader.h"
#include "clusterd/core/local.h"
#include "clusterd/core/peer.h"
#include "clusterd/core/witness.h"
#include "lib/assert.h"
#include "proto/core.pb-c.h"
#include "quorum/command.h"
#include "quorum/debt.h"
#include "quorum/lease.h"
#include "quorum/quarantine.h"
#include "quorum/raft.h"
#include "quorum/spread.h"
#include "quorum/state.h"

enum {
	CORE_POLL_MS = 100,   /* while something is under way */
	CORE_REPEAT_MS = 300, /* questions and reports, until answered */
	CORE_HEARD_MS = 1000, /* a node not heard so long gets nothing new */
	CORE_AWAY_MS = 10000, /* missing when a majority forms anew: so long it may come back */
	CORE_PAY_MS = 2000,   /* a debt's payment is ordered again */
	CORE_MOVE_IDLE_MS = 60000,   /* a copy without progress is given up */
	CORE_MOVE_SWITCH_MS = 30000, /* a switch that does not end is given up */
	CORE_MOVE_AGAIN_MS = 5000,
	CORE_NO_PATH_MS = 10000,  /* a volume that waits so long: the guests on it stand */
	CORE_LOST_PATH_MS = 3000, /* a coordinator that cannot serve so long is replaced */
	CORE_LEAVER_MS = 3000,	  /* so long a removed node may take to see it */
	CORE_LINK_MS = 15000,	  /* a new link that does not stand by then is given up */
	CORE_RELOAD_MS = 2000,	  /* corosync did not load its configuration: again */
	CORE_SERVE_MS = 60000,	  /* so long a volume may take to be served again everywhere */
	CORE_STAGE_MS = 3000,	  /* what takes longer than that is told */
	CORE_CALM_MS = 10000,	  /* without a change so long: volumes are spread anew */
	CORE_NO_LEADER_MS = 5000, /* a request waits so long for somebody to decide */
	FORCE_HEARD_MS = 10000,	  /* a node heard of within so long shows a sign of life */
	CORE_MESSAGE_MAX = 8 << 20,
	CORE_SETUP_MAX = STATE_PARTS * STATE_PART_MAX + 1024,
	CORE_MOVES_PER_NODE = 2, /* at once, for a drain */
};

/* ---- requests of our clients -------------------------------------------------------------------- */

struct pending {
	uint64_t client, seq;
	enum node_verb verb;
	bool client_gone, sent, accepted, on;
	int64_t since_ms, told_ms;
	char object[STATE_NAME_MAX];
	uint64_t number; /* given by the command */
	uint8_t *packed; /* core.Request */
	size_t len;
	int64_t accepted_ms;
	char stage[STATE_REASON_MAX]; /* what it waits for, as it was told last */
	int64_t alone_ms;	      /* without a quorum since; 0 = with one */
};
CL_DEFINE_VEC(pending_vec, struct pending);

/* A write to our database that is under way. */
struct write_begun {
	uint64_t seq;
	int64_t at_ms;
};
CL_DEFINE_VEC(write_begun_vec, struct write_begun);

struct detach_seen {
	uint32_t node;
	uint64_t number;
	int64_t at_ms; /* when it was applied here */
};
CL_DEFINE_VEC(detach_seen_vec, struct detach_seen);

struct detach {
	int64_t asked_ms; /* this process was told to end; 0 = it was not */
	uint64_t number;
	bool ended;
	int64_t told_ms;
	struct detach_seen_vec seen;
};

struct slow {
	struct write_begun_vec writes;
	int64_t bad_ms, worst_ms; /* when one was slow last; the longest since it began */
};
CL_DEFINE_VEC(raft_result_queue, struct raft_result);

/* ---- the node ------------------------------------------------------------------------------------ */

struct node {
	struct node_config cfg;
	int64_t now_ms, wall_ms, began_ms;
	struct node_actions *out; /* of this step */
	bool started;		  /* NODE_EV_STARTED was seen */
	enum node_life life;
	char life_reason[STATE_REASON_MAX];
	int64_t life_since_ms;
	uint64_t incarnation; /* taken on in this boot; 0 = none */
	uint64_t cleaning;    /* +1; 0 = no cleanup under way */
	bool cleaned;	      /* all of incarnations <= ended is over */
	uint64_t ended;
	bool goodbye; /* .. in order, by this process, which lived at .ended */

	/* log.c */
	struct raft *raft; /* NULL: empty database */
	struct raft_actions raft_out;
	struct raft_result_queue results;
	struct failure_vec failures;
	struct state state;
	struct state_change_vec changes;
	uint64_t seq_base;	    /* our persist numbers are raft's plus this */
	struct raft_snapshot first; /* `init`, until it is durable */
	uint8_t *first_blob;
	uint64_t first_seq,
		seq_last; /* the persist that makes it durable; the last one given out */
	bool ticked, condemned;
	bool outdated; /* the database is newer than this program: nothing more is applied */
	struct raft_line line;
	uint8_t database[RAFT_UUID_LEN];
	uint64_t next_id; /* of proposals, reads, questions */
	uint64_t config_version;
	int64_t config_seen_ms;
	struct raft_config voters; /* as of what is applied */

	struct slow slow;	      /* slow.c */
	struct detach detach;	      /* detach.c */
	char times[STATE_REASON_MAX]; /* NODE_EV_TIMES */

	/* message.c */
	uint64_t message_seq, dropped;

	/* beats.c */
	struct lease lease;
	struct lease_voter voter;
	int64_t beat_ms; /* the next one is due */
	struct peer_vec peers;
	struct peer_volume_vec volumes; /* our own csvd's word */
	struct node_view view;
	int64_t quorate_since_ms; /* INT64_MAX: not quorate */
	struct gone_vec gone;
	uint32_t expected_votes;
	struct bound_wait bound_waits[BOUND_WAITS];

	/* agent.c */
	struct local_vec locals;
	struct volume_ask_vec volume_asks;
	struct payment_vec payments;
	bool csvd_up, tables_stale;
	int64_t poll_ms; /* when agent and manager look again without an event */

	struct manager mgr;

	/* fence_hand.c */
	struct hand_vec hands;
	struct hand_asked_vec hands_asked;

	/* quarantine.c */
	struct fence_note_vec fence_notes;

	/* witness*.c */
	struct wit wit;

	/* job.c */
	struct job_ask_vec job_asks;
	struct job_run_vec job_runs;

	/* setup.c */
	uint64_t setup_told, setup_written, setup_loaded;
	int64_t reload_ms, strip_ms, on_ring_ms, device_ms;
	struct node_links links;
	uint64_t links_version;		 /* of the setup, for which they are waited for .. */
	int64_t links_ms, links_told_ms; /* .. since */
	uint64_t setup_fits;		 /* this version, as far as the witness's device goes */
	bool setup_fits_device;
	bool was_member, removed, removed_said;

	/* request.c */
	struct pending_vec pending;
	uint64_t request_seq;
	int64_t join_ms;
	uint64_t local_event_id;
};

/* ---- actions.c -------------------------------------------------------------------------------- */

struct node_action *core_emit(struct node *n, enum node_action_type type);
void core_persist(struct node *n, const struct raft_persist *p);
void core_reply(struct node *n, uint64_t client, int code, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void core_vm(struct node *n, enum node_vm_do what, const struct local *l, const char *text);
/* This node's database must not be used again. Said once. */
void core_condemn(struct node *n, const char *why);
/* An event line about this node alone. */
void core_event(struct node *n, const char *object, const char *event, const char *cause);
/* The same about another node's; duration_ms -1: has none. */
void core_event_of(struct node *n, uint32_t node, const char *object, const char *event,
		   const char *cause, int64_t duration_ms);
void core_event_changed(struct node *n, const struct state_change *c, size_t nth);
/* Copy, cut if it must be. */
void core_copy(char *to, size_t size, const char *from);
#define CORE_COPY(to, from) core_copy((to), sizeof(to), (from))

/* ---- log.c ------------------------------------------------------------------------------------ */

int log_open(struct node *n, const struct raft_stored *stored, struct cl_error *err);
/* An empty database: be a learner of whoever sent this. */
void log_join(struct node *n, const struct raft_message *m);
/* `init`: the state and the log of a new cluster. */
/* A new line of history from the state as it is, with this node alone. Ends the present log. */
void log_begin_line(struct node *n, const struct raft_line *line, uint64_t term);
void log_genesis(struct node *n, const struct node_request *rq);
void log_persisted(struct node *n, uint64_t seq);
void log_feed(struct node *n, struct raft_event *ev);
/* Handle what proposals and reads came to; may propose. */
void log_results(struct node *n);
bool log_is_leader(const struct node *n); /* and its no-op is committed */
/* Whether `(node, incarnation or later) failed` is in our log, committed or not. */
bool log_failed(const struct node *n, uint32_t node, uint64_t incarnation);
/* Guards of the state that are left out. */
unsigned log_state_defects(const struct node *n);
/* Propose c about object; false when one about it is on its way already. */
bool log_propose(struct node *n, const char *object, Log__Command *c);
bool log_in_flight(const struct node *n, const char *object);
/* The failures in a log, ours or the witness's. */
void log_failures_look(struct node *n, struct failure_vec *v, const struct raft_entry *e);
void log_failures_follow(struct node *n, struct failure_vec *v, const struct raft_persist *p);
void log_failures_forget(struct failure_vec *v, uint64_t applied);
bool log_failed_in(const struct state *s, const struct failure_vec *v, uint32_t node,
		   uint64_t incarnation);
unsigned log_state_defects(const struct node *n);

/* ---- detach.c --------------------------------------------------------------------------------- */

void detach_ask(struct node *n);
void detach_step(struct node *n);
/* Its clusterd is away as planned, and it may execute for longer. */
bool detach_holds(const struct node *n, const struct state_node *s);
/* Its heartbeats are not to be heeded now: this process ends as planned, or follows one that did. */
bool detach_unwatched(const struct node *n);
/* Names of those that are away as planned; false: nobody is. */
bool detach_names(const struct node *n, char *names, size_t size);
int64_t detach_deadline(const struct node *n);

/* ---- length.c ----------------------------------------------------------------------------------- */

/* L of the node, or ours if that is longer: for the others' bound of it. */
int64_t length_of(const struct node *n, const struct state_node *s);
/* By this database the others count with what the beat's sender counts with: else it is not acked. */
bool length_fits(const struct state *state, const Core__Message *beat, uint64_t defects);
/* For its admission; 0 = nothing that could be noted. */
uint32_t length_said(const struct node *n, const struct peer *p);
/* The manager: a living node's is longer than was known. */
void length_step(struct node *n, const struct state_node *s);
void length_heard(struct node *n, struct peer *p, uint32_t lease_ms);
/* From ours; why: the words for `status`. */
bool length_differs(const struct node *n, const struct peer *p, char *why, size_t size);

/* ---- slow.c ----------------------------------------------------------------------------------- */

void slow_begun(struct node *n, uint64_t seq);
void slow_persisted(struct node *n, uint64_t seq);
void slow_step(struct node *n);
/* How long the slowest write took of late; 0 = none was slow. */
uint32_t slow_ms(const struct node *n);

/* ---- message.c -------------------------------------------------------------------------------- */

void message_raft(struct node *n, const struct raft_message *m);
/* Fills in the envelope. to = 0: all. To ourselves: handled at once. */
void message_send(struct node *n, uint32_t to, Core__Message *m);
void message_receive(struct node *n, const uint8_t *data, size_t len);
struct peer *message_peer(struct node *n, uint32_t id);

/* A message `msg` with its part `m`, to be filled in. */
#define MESSAGE(CASE, Type, field)                                                                 \
	Core__##Type m = CORE__##CASE##__INIT;                                                     \
	Core__Message msg = CORE__MESSAGE__INIT;                                                   \
	msg.what_case = CORE__MESSAGE__WHAT_##CASE;                                                \
	msg.field = &m

/* ---- beats.c ---------------------------------------------------------------------------------- */

void beats_step(struct node *n);
/* After the quorum device's cast: votequorum refuses less than the votes that are there. */
void beats_expect(struct node *n);
void beats_on_beat(struct node *n, const Core__Message *msg);
void beats_on_ack(struct node *n, const Core__Message *msg);
void beats_on_bound_ask(struct node *n, const Core__Message *msg);
void beats_on_view(struct node *n, const struct node_view *view);
struct peer *beats_peer(const struct node *n, uint32_t id);
bool beats_heard(const struct node *n, uint32_t id); /* of late, and in the ring */
bool beats_in_ring(const struct node *n, uint32_t id);
bool beats_has_path(void *user, uint32_t node, const char *volume);
/* It reaches the LUN, and has found that it cannot be opened: what lies there, or its target, is in the way. */
bool beats_refused(const struct node *n, uint32_t node, const char *volume);
/* It reaches the LUN, and may find there what it should. */
bool beats_may_open(void *user, uint32_t node, const char *volume);
/* Whether something new may begin here: quorum's yes and a lease of our own asking. */
bool beats_may_begin(const struct node *n);
/* corosync's quorum: necessary to begin anything, never sufficient. */
bool beats_quorate(const struct node *n);
/* To csvd and into the file. */
void beats_tell_lease(struct node *n);
/* Whether guests may execute here. */
bool beats_may_run(const struct node *n);
int64_t beats_deadline(const struct node *n);
/* Raft is told who is there. */
void beats_tell_ring(struct node *n);

/* ---- agent.c ---------------------------------------------------------------------------------- */

void agent_step(struct node *n);
void agent_on_vm(struct node *n, const struct node_vm_event *ev);
void agent_on_csvd(struct node *n, const struct node_csvd_event *ev);
void agent_on_go_answer(struct node *n, const Core__Message *msg);
void agent_on_report(struct node *n, const Core__Message *msg); /* of a target, to its source */
void agent_on_cleaned(struct node *n);
void agent_csvd_step(struct node *n);
void agent_free(struct node *n);
/* agent_stand.c */
/* An owner's VM: stops it when its volumes cannot be used, forgets why it stood. */
void agent_stand(struct node *n, struct local *l, const struct state_resource *r);
/* Whether one that stands may be continued now. */
bool agent_may_go_on(const struct node *n, const struct local *l, const struct state_resource *r);
void agent_on_stop(struct node *n, struct local *l, const struct node_vm_event *ev);
/* csvd says something new about it, or (fuller) that there is less space than before. */
void agent_volume_news(struct node *n, const char *volume, bool fuller);
/* What others are told of it; false: it is as it should be. */
bool agent_tell_vm(const struct local *l, struct peer_vm *ret);
/* agent_migrate.c */
void agent_source(struct node *n, struct local *l, const struct state_resource *r);
/* agent_save.c: STOPPING; true: it sees to it. And STARTING. */
bool agent_save(struct node *n, struct local *l, const struct state_resource *r);
void agent_restore(struct node *n, struct local *l, const struct state_resource *r);
void agent_target(struct node *n, struct local *l, const struct state_resource *r);
/* agent.c: may it be started, or continued? */
void agent_ask_go(struct node *n, struct local *l, const struct state_resource *r);
void agent_report(struct node *n, const char *name, uint64_t reserved, int what, const char *text,
		  uint32_t percent, uint32_t downtime_ms);
bool agent_due(struct node *n, int64_t *told_ms);
void agent_kill(struct node *n, struct local *l, const char *why);
struct local *local_find(const struct node *n, const char *name, uint64_t generation);
void agent_propose(struct node *n, const char *object, Log__Command *c);
void local_enter(struct node *n, struct local *l, enum local_state to, const char *why);

static inline enum local_state local_state(const struct local *l)
{
	return (enum local_state)l->sm.state;
}

/* ---- fence.c ----------------------------------------------------------------------------------- */

/* A request on its way to a command. */
struct asked {
	const Core__Message *msg;
	const Core__Request *rq;
	Log__RequestId id;
};

/* Why the node cannot be called off; NULL: it can. Asked where it is said, and of the leader. */
const char *fence_cannot_confirm(const struct node *n, const struct state_node *s);
void fence_confirm(struct node *n, struct asked *q);
void fence_set(struct node *n, struct asked *q);
void fence_agents_step(struct node *n);
/* This node leads no more: another one begins anew. */
void fence_agents_stop(struct node *n);
void fence_on_answer(struct node *n, const Core__Message *msg);
/* fence_hand.c */
void fence_hand_on_ask(struct node *n, const Core__Message *msg);
void fence_hand_on_event(struct node *n, const struct node_fence_event *ev);
void fence_hand_step(struct node *n);

/* ---- manager_stop.c ----------------------------------------------------------------------------- */

void manager_stop_node(struct node *n, struct asked *q);
/* What a stopped node still has, and cannot be moved, yields. */
void manager_stop_step(struct node *n);
/* The lead, to a voter that answers and stays; again each time it comes back. */
void manager_hand_over(struct node *n);
/* It has ended all: in order, when it was stopped and says so; else as a failure that does no harm. */
void manager_ended(struct node *n, const struct state_node *s);

/* ---- quarantine.c ------------------------------------------------------------------------------ */

void quarantine_step(struct node *n);

/* ---- manager*.c -------------------------------------------------------------------------------- */

void manager_step(struct node *n);
void manager_reset(struct node *n);
void manager_on_bound_answer(struct node *n, const Core__Message *msg);
void manager_on_go_ask(struct node *n, const Core__Message *msg);
void manager_on_propose(struct node *n, const Core__Message *msg);
void manager_on_request(struct node *n, const Core__Message *msg);
/* Refuse a request: code < 0. */
void manager_answer(struct node *n, const struct asked *q, int code, const char *hint,
		    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void manager_propose_failed(struct node *n, const struct state_node *s, const char *cause);
void manager_on_join(struct node *n, const Core__Message *msg);
void manager_on_report(struct node *n, const Core__Message *msg);
/* Whether the log is still sent to a node, whatever its database. */
bool manager_knows_voter(const struct node *n, uint32_t id);
/* Whether one of its databases votes, or is about to. */
bool manager_is_voter(const struct node *n, uint32_t id);
void manager_on_read(struct node *n, const struct raft_result *r);
/* manager_schema.c: of the commands that this program knows. */
uint32_t schema_known(const struct node *n);
void manager_schema_step(struct node *n);
void manager_voters_step(struct node *n);
/* A configuration was applied: the event lines. */
void manager_voters_applied(struct node *n, const struct raft_config *to);
void manager_place_step(struct node *n);
void manager_volumes_step(struct node *n);
void manager_move_step(struct node *n);
/* Node for r, rather not one that it must leave; 0 with a reason. */
uint32_t manager_choose(struct node *n, const struct state_resource *r, uint32_t prefer,
			uint32_t leave, char reason[STATE_REASON_MAX]);
/* Whether a move of it failed a moment ago. */
bool manager_backs_off(const struct node *n, const char *name);
bool manager_begin_move(struct node *n, const struct state_resource *r, uint32_t target, bool quick,
			const char *why, Log__RequestId *request);

/* ---- force.c ----------------------------------------------------------------------------------- */

/* `init --force` where there is a database. False: refused, and answered. */
bool force_new(struct node *n, const struct node_request *rq);
/* `restore` where there is none. */
bool force_restore(struct node *n, const struct node_request *rq);

/* ---- request.c --------------------------------------------------------------------------------- */

void request_new(struct node *n, const struct node_request *rq);
void request_rejoin(struct node *n);
/* What the numbers of a database's requests count from. */
uint64_t request_first(const uint8_t uuid[16]);
/* A client's `init` is under way. */
bool request_founding(const struct node *n);
void request_step(struct node *n);
void request_client_gone(struct node *n, uint64_t client);
/* A command of ours was applied. */
void request_applied(struct node *n, const struct state_result *res);
void request_on_answer(struct node *n, const Core__Message *msg);
void request_on_report(struct node *n, const Core__Message *msg);
void request_free(struct node *n);

/* ---- setup.c ----------------------------------------------------------------------------------- */

void setup_step(struct node *n);
void setup_on_files(struct node *n, const struct node_setup_event *ev);
/* Whether every living node's corosync runs by this version, or a later one. */
bool setup_everywhere(const struct node *n, uint64_t version);
/* Whether nothing runs on, or is coordinated by, the node. */
/* Nothing of it is left: its removal is the next step. */
bool setup_may_remove(const struct node *n, const struct state_node *s);
bool setup_runs_nothing(const struct node *n, uint32_t id);
bool setup_holds_nothing(const struct node *n, uint32_t id);

/* ---- setup_links.c ------------------------------------------------------------------------------ */

/* The leader: a node's address on its way. */
void setup_links_step(struct node *n);

/* ---- audit.c ----------------------------------------------------------------------------------- */

void audit_here(struct node *n, const struct node_audit_event *ev);
void audit_on_message(struct node *n, const Core__Message *msg);

/* ---- resign.c ---------------------------------------------------------------------------------- */

void resign_here(struct node *n, const char *why);
void resign_on_message(struct node *n, const Core__Message *msg);

/* ---- job.c ------------------------------------------------------------------------------------- */

void job_new(struct node *n, const struct node_request *rq);
void job_step(struct node *n);
void job_on_ask(struct node *n, const Core__Message *msg);
void job_on_answer(struct node *n, const Core__Message *msg);
void job_on_csvd(struct node *n, const struct node_csvd_event *ev);
void job_csvd_gone(struct node *n);
void job_client_gone(struct node *n, uint64_t client);
void job_free(struct node *n);

#endif
