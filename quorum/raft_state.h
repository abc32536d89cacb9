/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of a raft object, for quorum/raft*.c and for the simulator's invariants. Nobody else.
 *
 *   raft.c            start, step, what every step does at its end
 *   raft_election.c   timers, pre-vote, vote, terms, loyalty, ring changes
 *   raft_replicate.c  append and its answer, commit, check-quorum, reads, transfer
 *   raft_member.c     configurations in effect, changes, peers
 *   raft_snapshot.c   taking and installing
 *   raft_log.c        the log in memory
 *   raft_hold.c       persist numbers and the messages that wait for them
 *   raft_message.c    codec
 */
#ifndef CL_QUORUM_RAFT_STATE_H
#define CL_QUORUM_RAFT_STATE_H

#include "lib/assert.h"
#include "lib/sm.h"
#include "quorum/raft.h"
#include "quorum/raft_log.h"

/* ---- defect switches: a constant false where they are not compiled in -------------------- */

#if defined(CL_DEFECTS) || defined(CL_SIM)
#define RAFT_HAVE_DEFECTS 1
#define raft_defect(r, rule) (((r)->p.defects & RAFT_DEFECT(rule)) != 0)
#else
#define RAFT_HAVE_DEFECTS 0
#define raft_defect(r, rule) ((void)(r), false)
#endif

/* A configuration and the index of its entry. */
struct raft_config_at {
	uint64_t index;
	struct raft_config config;
};
CL_DEFINE_VEC(raft_config_vec, struct raft_config_at);

/* A persist that the caller works on. */
struct raft_op {
	uint64_t seq;
	uint64_t last; /* when done, the log is durable up to here */
	bool has_entries, has_snapshot;
	int64_t begun_ms;
};
CL_DEFINE_VEC(raft_op_vec, struct raft_op);

/* A message that waits for a persist. AFTER_* until the step's own persist has its number. */
enum raft_after {
	RAFT_AFTER_TERM, /* says something about term or vote */
	RAFT_AFTER_LOG,	 /* says something about the log, or rests on what it was compared with */
};
struct raft_held {
	bool numbered;
	enum raft_after after;
	uint64_t seq;
	struct raft_message m;
};
CL_DEFINE_VEC(raft_held_vec, struct raft_held);

/* A proposal or change on its way to commit. */
struct raft_pending {
	uint64_t id, index, term;
	enum raft_event_type what;
};
CL_DEFINE_VEC(raft_pending_vec, struct raft_pending);

struct raft_read {
	uint64_t id;
	uint64_t index; /* commit when it was asked */
	uint64_t floor; /* only answers to requests with a greater seq count */
};
CL_DEFINE_VEC(raft_read_vec, struct raft_read);

/* One per member of the latest configuration, in its order. */
struct raft_peer {
	struct raft_id id;
	uint64_t incarnation; /* newest life heard of */
	/* The rest is the leader's. */
	uint64_t match, next;
	uint64_t sent_seq, acked_seq;
	int64_t acked_sent_ms;	/* when the newest answered request was sent */
	int64_t sent_ms;	/* last request of any kind */
	int64_t append_sent_ms; /* last APPEND with entries, or about the last of them */
	int64_t install_ms;	/* last INSTALL */
	uint64_t commit_sent;
	uint64_t inflight; /* last index of the unanswered append, 0 = none */
	uint32_t append_ms;
	bool installing, poke, answered;
};

enum { RAFT_PENDING_MAX = 65536 };

struct raft {
	struct raft_params p;
	struct raft_line line;
	int64_t now;
	uint64_t rng;
	struct sm role;
	struct raft_actions *a; /* during a step */

	/* Durable: term and vote, log, snapshot. */
	uint64_t term;
	struct raft_id vote;
	bool vote_dirty;
	struct raft_log log;
	struct raft_snapshot snap; /* blob is ours */
	uint8_t *snap_blob;

	uint64_t commit, applied;
	bool restore; /* the snapshot is to be handed to the state before anything is applied */
	uint64_t restore_seq; /* once this persist is durable */

	struct raft_config_vec configs; /* [0] the snapshot's, then one per entry in the log */

	/* Persistence (raft_hold.c). */
	uint64_t seq_given, seq_durable, seq_term;
	struct raft_op_vec ops;
	struct raft_held_vec held;
	uint64_t truncate_from;
	bool snap_dirty, log_reset;
	uint32_t append_ms; /* how long the last append took here */

	/* Election. */
	struct raft_id leader;
	int64_t heard_ms;      /* last word of that leader */
	int64_t election_at;   /* expiry */
	int64_t repeat_at;     /* (pre-)candidate: when requests are repeated */
	uint64_t campaign_seq; /* answers to requests of this campaign have at least this seq */
	struct raft_id granted[RAFT_MEMBERS_MAX];
	uint32_t n_granted;
	bool campaign_transfer;
	uint32_t *present; /* nodes in ring and group, of the last RING */
	uint32_t n_present;
	uint32_t gone; /* the leader that left that ring; 0 = it did not */

	/* Requests of this life. */
	uint64_t seq;

	/* Members and the leader's book-keeping. */
	struct raft_peer peers[RAFT_MEMBERS_MAX];
	uint32_t n_peers;
	uint64_t noop; /* leader: index of this term's no-op */
	struct raft_pending_vec pending;
	struct raft_read_vec reads;
	struct raft_id transfer_to; /* node 0 = none */
	int64_t transfer_until, transfer_sent;
};

/* ---- raft.c ------------------------------------------------------------------------------ */

bool raft_is_self(const struct raft *r, const struct raft_id *id);
uint64_t raft_random(struct raft *r);
void raft_result(struct raft *r, enum raft_event_type what, uint64_t id,
		 enum raft_result_status status, enum raft_reason reason, uint64_t index,
		 uint64_t term);
/* A message from us to `to`, envelope filled. */
struct raft_message raft_message_to(const struct raft *r, enum raft_message_type type,
				    const struct raft_id *to);
/* The answer to m. */
struct raft_message raft_reply_to(const struct raft *r, enum raft_message_type type,
				  const struct raft_message *m);

/* ---- raft_hold.c ------------------------------------------------------------------------- */

/* Send when what it says is durable. The only way out for everything but the leader's requests
 * and pre-votes (rule 7). */
void raft_send_after(struct raft *r, const struct raft_message *m, enum raft_after after);
/* Send at once: it rests on nothing that is not durable. */
void raft_send(struct raft *r, const struct raft_message *m);
/* Forget what waits: it belongs to an older term. */
void raft_hold_clear(struct raft *r);
/* End of step: build the persist, number what waits for it, let out what may go. */
void raft_hold_flush(struct raft *r);
void raft_on_persisted(struct raft *r, uint64_t seq);
/* The log lost everything from index on: persists in flight do not make it durable any more. */
void raft_hold_truncated(struct raft *r, uint64_t index);
/* When the oldest unfinished append began, INT64_MAX when none is. */
int64_t raft_oldest_append(const struct raft *r);

/* ---- raft_election.c --------------------------------------------------------------------- */

void raft_election_init(struct raft *r);
void raft_timer_restart(struct raft *r);
/* A higher term: follower without a vote. */
void raft_set_term(struct raft *r, uint64_t term);
/* Give up what we are and follow `leader` (NULL = nobody known) in the present term. */
void raft_become_follower(struct raft *r, const struct raft_id *leader, const char *why);
void raft_on_ring(struct raft *r, const struct raft_event *ev);
/* Whether it led, and has left the ring since. */
bool raft_is_gone(const struct raft *r, const struct raft_id *id);
void raft_election_tick(struct raft *r);
void raft_election_durable(struct raft *r);
void raft_on_prevote(struct raft *r, const struct raft_message *m);
void raft_on_prevote_reply(struct raft *r, const struct raft_message *m);
void raft_on_vote(struct raft *r, const struct raft_message *m);
void raft_on_vote_reply(struct raft *r, const struct raft_message *m);
void raft_on_timeout_now(struct raft *r, const struct raft_message *m);

/* ---- raft_replicate.c -------------------------------------------------------------------- */

void raft_become_leader(struct raft *r);
/* Leader: append one entry of this term, in memory. Returns its index. */
uint64_t raft_leader_append(struct raft *r, enum raft_entry_type type, const void *data,
			    uint32_t len);
void raft_on_append(struct raft *r, const struct raft_message *m);
void raft_on_append_reply(struct raft *r, const struct raft_message *m);
void raft_on_propose(struct raft *r, const struct raft_event *ev);
/* Leader's timers: check-quorum, slow disk. */
void raft_leader_tick(struct raft *r);
/* End of step: commit, promotions, what goes to whom. */
void raft_leader_work(struct raft *r);
/* The follower's side of a request by a leader of `m->term`; false: it was dealt with (refused). */
bool raft_hear_leader(struct raft *r, const struct raft_message *m);
/* Answer a request of the leader that is good up to `upto`. fresh: entries went into the log. */
void raft_ack(struct raft *r, const struct raft_message *m, uint64_t upto, bool fresh);

/* ---- raft_read.c: reads and hand-over ---------------------------------------------------- */

void raft_on_read(struct raft *r, const struct raft_event *ev);
void raft_reads_finish(struct raft *r);
void raft_on_transfer(struct raft *r, const struct raft_event *ev);
void raft_transfer_work(struct raft *r);
/* Tell the best voter to campaign: we are about to go. */
void raft_offer(struct raft *r);
/* Leader's timer: hand over when our disk hangs and another's does not, or when a witness. */
void raft_resign_tick(struct raft *r);
/* Leadership is gone: everybody who waits hears it. */
void raft_fail_waiting(struct raft *r);

/* ---- raft_member.c ----------------------------------------------------------------------- */

const struct raft_config_at *raft_config_latest(const struct raft *r);
/* As of index; it must not be below the snapshot. */
const struct raft_config *raft_config_as_of(const struct raft *r, uint64_t index);
bool raft_is_voter(const struct raft *r, const struct raft_id *id);
/* Counts of what raft_quorum_of() says. */
bool raft_majority(const struct raft *r, uint32_t count);
struct raft_peer *raft_peer_find(struct raft *r, const struct raft_id *id);
/* An entry was appended / everything from index on was cut / the snapshot moved. */
void raft_member_appended(struct raft *r, const struct raft_entry *e);
void raft_member_truncated(struct raft *r, uint64_t index);
void raft_member_reset(struct raft *r, uint64_t index, const struct raft_config *c, bool keep);
void raft_on_change(struct raft *r, const struct raft_event *ev);
/* Leader: make a caught-up JOINING member a voter, one at a time. */
void raft_member_promote(struct raft *r);
/* Leader: not a voter any more, and that is committed: go (rule 15). */
void raft_member_leave(struct raft *r);

/* ---- raft_snapshot.c --------------------------------------------------------------------- */

void raft_on_snapshot_taken(struct raft *r, const struct raft_event *ev);
void raft_on_install(struct raft *r, const struct raft_message *m);
/* Copy s into the object. */
void raft_snapshot_set(struct raft *r, const struct raft_snapshot *s);

#endif
