/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raft as one pure step: raft_step(state, event) -> actions. No clock, disk, socket or random
 * number in here; time comes with each event, randomness from the seed given at the start.
 *
 * The algorithm is Raft, unchanged (Ongaro's dissertation): pre-vote, check-quorum, a no-op at each
 * election, commit by majority of the voters and only of the current term, membership changed one
 * member at a time, whole-snapshot install, leadership transfer, read-index rounds. The 27 rules
 * that histories of other implementations taught are listed in docs/raft.md: where each is kept,
 * and the defect switch that leaves it out so that the simulator can show that it notices.
 *
 * Persistence is asynchronous. A step hands out at most one `persist` with a sequence number; the
 * caller makes it durable, in order, each as one transaction, and says so with RAFT_PERSISTED.
 * A message that depends on something not yet durable is held INSIDE and comes out in the step of
 * that event: what is in actions.send may always leave at once.
 *
 * Ownership: pointers inside an event are borrowed during the call. Pointers inside the actions
 * (entry data, snapshot blobs, messages) point into the raft object and are valid until the next
 * raft_step() or raft_free() of that object: encode or copy before.
 */
#ifndef CL_QUORUM_RAFT_H
#define CL_QUORUM_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/vec.h"

struct raft;

/* ---- identities ------------------------------------------------------------------------- */

#define RAFT_UUID_LEN 16
#define RAFT_MEMBERS_MAX 72

/*
 * A voter is (node id, uuid of its copy of the database), never the node id alone: a re-installed
 * node has lost the votes and entries it vouched for, and is somebody else (rules 22, 25).
 */
struct raft_id {
	uint32_t node; /* corosync's node id; 0 = nobody */
	uint8_t uuid[RAFT_UUID_LEN];
};

bool raft_id_equal(const struct raft_id *a, const struct raft_id *b);

/*
 * The line of history. --force starts line + 1 with a new random id; it precedes the term
 * everywhere, that is: messages of another line are never processed, and a message of a higher
 * line is reported (actions.newer_line) so that the caller can stop and keep its database aside.
 * Within one raft object the line never changes, so a term is a plain number.
 */
struct raft_line {
	uint64_t number;
	uint64_t random_id;
};

/* < 0, 0, > 0 */
int raft_line_compare(const struct raft_line *a, const struct raft_line *b);

/* ---- configuration ---------------------------------------------------------------------- */

enum raft_member_role {
	RAFT_LEARNER = 1, /* gets the log, never counted */
	RAFT_JOINING,	  /* a learner that the leader makes a voter as soon as it has caught up */
	RAFT_VOTER,
};

struct raft_member {
	struct raft_id id;
	enum raft_member_role role;
};

/* Sorted by (node, uuid): everything iterates in this order (rule 26). */
struct raft_config {
	uint32_t n;
	/* How many changes led to it. By this and not by an index two nodes see who counts by the newer
	 * one: behind a snapshot the index of the change itself is known no more. */
	uint64_t version;
	struct raft_member member[RAFT_MEMBERS_MAX];
};

/* NULL when not in it. */
const struct raft_member *raft_config_find(const struct raft_config *c, const struct raft_id *id);
uint32_t raft_config_voters(const struct raft_config *c);
/* Add or replace; false when full. Keeps the order. */
bool raft_config_put(struct raft_config *c, const struct raft_member *m);
void raft_config_remove(struct raft_config *c, const struct raft_id *id);
bool raft_config_equal(const struct raft_config *a, const struct raft_config *b);

/* Data of a RAFT_ENTRY_CONFIG entry. encode: buf of RAFT_CONFIG_BYTES_MAX; returns the length. */
#define RAFT_CONFIG_BYTES_MAX (4 + RAFT_MEMBERS_MAX * (4 + RAFT_UUID_LEN + 1) + 8)
size_t raft_config_encode(const struct raft_config *c, uint8_t *buf);
/* Takes hostile input: -CL_ECORRUPT. */
int raft_config_decode(const uint8_t *buf, size_t len, struct raft_config *ret);

/* ---- log -------------------------------------------------------------------------------- */

enum raft_entry_type {
	RAFT_ENTRY_NOOP = 1,
	RAFT_ENTRY_CONFIG,
	RAFT_ENTRY_COMMAND,
};

struct raft_entry {
	uint64_t index, term;
	enum raft_entry_type type;
	uint32_t len;
	const uint8_t *data;
};

/* State as of `index`, with the configuration as of that index and no later one (rule 13). */
struct raft_snapshot {
	uint64_t index, term; /* index 0 = none */
	struct raft_config config;
	const uint8_t *blob;
	size_t len;
};

/* ---- messages --------------------------------------------------------------------------- */

enum raft_message_type {
	RAFT_PREVOTE = 1,
	RAFT_PREVOTE_REPLY,
	RAFT_VOTE,
	RAFT_VOTE_REPLY,
	RAFT_APPEND,
	RAFT_APPEND_REPLY, /* also answers RAFT_INSTALL */
	RAFT_INSTALL,
	RAFT_TIMEOUT_NOW,
};

/* Every message carries who, whom, which life, which term, which request (rules 18, 25). */
struct raft_message {
	enum raft_message_type type;
	struct raft_line line;
	uint8_t database[RAFT_UUID_LEN];
	struct raft_id from, to;
	uint64_t from_incarnation;
	uint64_t to_incarnation; /* reply: of the request's sender; request: 0 */
	uint64_t term;		 /* the sender's */
	uint64_t seq;	 /* request: unique per sender's life, growing; reply: the request's */
	int64_t sent_ms; /* request: the sender's clock; reply: the request's */

	uint64_t last_index, last_term; /* PREVOTE, VOTE: the candidate's log */
	bool transfer;			/* VOTE: by the leader's word */

	uint64_t prev_index, prev_term, commit; /* APPEND */
	const struct raft_entry *entries;
	uint32_t n_entries;

	const struct raft_snapshot *snapshot; /* INSTALL */

	bool ok;	    /* replies */
	uint64_t match;	    /* APPEND_REPLY: equal to the sender's log up to here AND durable */
	uint64_t received;  /* APPEND_REPLY ok: equal up to here in memory; not ok: try this as prev
			     */
	uint32_t append_ms; /* APPEND_REPLY: how long the last append took on that disk */
};

/* Length of the encoding, and the encoding itself into buf of exactly that length. */
size_t raft_message_size(const struct raft_message *m);
void raft_message_encode(const struct raft_message *m, uint8_t *buf);

/*
 * Decode hostile input. On success *ret is one allocation, to be free()d; entry data and the blob
 * point into buf, which must live as long. Whatever comes out is safe to hand to raft_step().
 * -CL_ECORRUPT with err (may be NULL) set, or -ENOMEM.
 */
int raft_message_decode(const uint8_t *buf, size_t len, struct raft_message **ret,
			struct cl_error *err);

/* ---- start ------------------------------------------------------------------------------ */

/* 0 in any field but the identities = the default. */
struct raft_params {
	struct raft_id self;
	uint8_t database[RAFT_UUID_LEN]; /* the cluster's database: same on all members */
	uint64_t incarnation; /* of this process; greater than that of any earlier life of self */
	uint64_t seed;
	bool witness; /* cannot apply for anybody: if elected, hands over at once (rule 24) */
	uint32_t election_ms;	 /* 2000: + random 0..election_ms/2 */
	uint32_t heartbeat_ms;	 /* 100: heartbeats and repetition of requests */
	uint32_t stagger_ms;	 /* 50: early expiry per place in the order of node ids */
	uint32_t install_ms;	 /* 1000: repetition of a snapshot */
	uint32_t slow_own_ms;	 /* 2000: own append this old ... */
	uint32_t fast_other_ms;	 /* 200: ... and a follower's faster than this: hand over */
	uint32_t batch_bytes;	 /* 262144: entry data in one message (at least one entry goes) */
	uint32_t snapshot_every; /* 1024: ask for a snapshot after so many applied entries */
	uint32_t snapshot_trailing; /* 128: entries kept behind a snapshot for slow followers */
	uint64_t defects;	    /* mask of RAFT_DEFECT(); refused unless built with them */
};

/*
 * What the disk holds. All zero = an empty database: it never votes and never forms a cluster, it
 * waits for a leader that has it as a member.
 * The store cuts a torn LAST record by itself. Anything else damaged, or term and vote gone, is
 * memory_lost: raft_new() refuses, and the node comes back under a new uuid (rule 22).
 */
struct raft_stored {
	bool memory_lost;
	struct raft_line line;
	uint64_t term;
	struct raft_id vote; /* node 0 = none in this term */
	struct raft_snapshot snapshot;
	const struct raft_entry
		*entries; /* consecutive; may begin at or below snapshot.index + 1 */
	size_t n_entries;
};

/*
 * Start (or restart). Copies what it needs of params and stored. -CL_ECORRUPT when stored does not
 * hold together, -EINVAL for bad params. A new database (`init`, --force) is a stored snapshot at
 * index >= 1 whose config names self as the only voter, and its term.
 * Call raft_step(TICK) right after: it is what emits RESTORE of the stored snapshot.
 */
int raft_new(const struct raft_params *params, const struct raft_stored *stored, int64_t now_ms,
	     struct raft **ret, struct cl_error *err);
void raft_free(struct raft *r);

/* ---- events ----------------------------------------------------------------------------- */

enum raft_event_type {
	RAFT_TICK = 1,
	RAFT_MESSAGE,
	RAFT_PERSISTED,
	RAFT_RING,
	RAFT_PROPOSE,
	RAFT_CHANGE,
	RAFT_TRANSFER,
	RAFT_READ,
	RAFT_SNAPSHOT_TAKEN,
};

enum raft_change {
	RAFT_CHANGE_PUT = 1, /* add as LEARNER/JOINING; or change the role of a member */
	RAFT_CHANGE_REMOVE,
};

struct raft_event {
	enum raft_event_type type;
	int64_t now_ms; /* CLOCK_BOOTTIME; never smaller than before */
	union {
		/* Decoded, from anybody; strangers are dropped. */
		const struct raft_message *message;
		/* This persist, and all with a lower number, are durable. */
		uint64_t persisted_seq;
		/* A confchg of ring or group. Present = in both. Ids sorted or not. */
		struct {
			const uint32_t *ring, *group;
			uint32_t n_ring, n_group;
		} ring;
		/* id: the caller's; comes back in exactly one result. */
		struct {
			uint64_t id;
			const uint8_t *data;
			uint32_t len;
		} propose;
		struct {
			uint64_t id;
			enum raft_change op;
			struct raft_member member;
		} change;
		/* to.node 0 = whoever is best. Result: ACCEPTED (begun) or REFUSED. */
		struct {
			uint64_t id;
			struct raft_id to;
		} transfer;
		/* Result DONE: `index` is applied here, and is at least every index that was
		 * committed anywhere when this event came. */
		struct {
			uint64_t id;
		} read;
		/* Answer to actions.want_snapshot, from the state as of applied index `index`.
		 * Copied. Stale ones (below the present snapshot) are dropped. */
		struct {
			uint64_t index;
			const uint8_t *blob;
			size_t len;
		} snapshot;
	};
};

/* ---- actions ---------------------------------------------------------------------------- */

/*
 * Make durable as ONE transaction, in the order of seq; apply the parts in this order:
 *   snapshot (replaces the stored one), drop entries < first_index and, when reset_log, all
 *   entries; delete entries >= truncate_from (0 = none); append entries; write term and vote.
 */
struct raft_persist {
	uint64_t seq;
	bool has_snapshot, reset_log;
	const struct raft_snapshot *snapshot;
	uint64_t first_index; /* with has_snapshot: the log begins here now */
	uint64_t truncate_from;
	const struct raft_entry *entries;
	uint32_t n_entries;
	bool has_vote;
	uint64_t term; /* valid with has_vote */
	struct raft_id vote;
};

enum raft_apply_type {
	RAFT_APPLY_ENTRY = 1, /* every committed entry in order, also noop and config */
	RAFT_APPLY_RESTORE,   /* throw the state away and load the snapshot */
};

struct raft_apply {
	enum raft_apply_type type;
	const struct raft_entry *entry;
	const struct raft_snapshot *snapshot;
};

enum raft_result_status {
	RAFT_DONE = 1, /* proposal/change: applied as (index, term); read: index */
	RAFT_ACCEPTED, /* transfer begun; watch the role */
	RAFT_REFUSED,  /* never entered a log: safe to try elsewhere ("lost") */
	RAFT_UNKNOWN,  /* leadership lost: it may be applied later, or never (rule 20) */
};

enum raft_reason {
	RAFT_REASON_NONE,
	RAFT_NOT_LEADER,
	RAFT_NOT_READY,	     /* the term's no-op is not committed yet (rule 3) */
	RAFT_TRANSFERRING,   /* leadership is being handed over */
	RAFT_CHANGE_PENDING, /* the previous change is not committed yet (rule 14) */
	RAFT_NOT_CAUGHT_UP,  /* learner too far behind, or silent */
	RAFT_NO_MEMBER,
	RAFT_LAST_VOTER,
	RAFT_FULL,
};

struct raft_result {
	uint64_t id;
	enum raft_event_type what; /* PROPOSE, CHANGE, TRANSFER, READ */
	enum raft_result_status status;
	enum raft_reason reason;
	uint64_t index, term;
};

CL_DEFINE_VEC(raft_message_vec, struct raft_message);
CL_DEFINE_VEC(raft_apply_vec, struct raft_apply);
CL_DEFINE_VEC(raft_result_vec, struct raft_result);

/*
 * Execute in this order: persist (begin it), apply, results, send. An apply is always of something
 * that is durable here already (rule 21). Zero-initialise once, reuse for every step, fini at last.
 */
struct raft_actions {
	bool has_persist;
	struct raft_persist persist;
	struct raft_apply_vec apply;
	struct raft_result_vec results;
	struct raft_message_vec send;
	bool want_snapshot; /* of the state after the applies of this step; answer with
			       SNAPSHOT_TAKEN, best at once */
	bool role_changed;  /* role, term or known leader moved */
	bool newer_line;    /* somebody lives in a higher line: stop, keep the database aside */
	struct raft_line line;
};

void raft_actions_fini(struct raft_actions *a);

/*
 * The step. Clears *a first. Never blocks; dies (cl_assert) only of its own broken invariants or
 * without memory, never of what a message holds.
 */
void raft_step(struct raft *r, const struct raft_event *ev, struct raft_actions *a);

/* When the next RAFT_TICK is due (same clock as now_ms). Ticks may come early or late. */
int64_t raft_deadline(const struct raft *r);

/* ---- looking in ------------------------------------------------------------------------- */

enum raft_role {
	RAFT_FOLLOWER,
	RAFT_PRECANDIDATE,
	RAFT_CANDIDATE,
	RAFT_LEADER,
};

enum raft_role raft_role(const struct raft *r);
const char *raft_role_name(enum raft_role role);
/* Leader, and its no-op is committed and applied: reads, changes, decisions may begin (rule 3). */
bool raft_leader_ready(const struct raft *r);
uint64_t raft_term(const struct raft *r);
struct raft_line raft_line(const struct raft *r);
/* node 0 when unknown. */
struct raft_id raft_leader(const struct raft *r);
struct raft_id raft_self(const struct raft *r);
uint64_t raft_commit_index(const struct raft *r);
uint64_t raft_applied_index(const struct raft *r);
uint64_t raft_last_index(const struct raft *r);
/* NULL when it is not in the log (any more). Valid until the next step. */
const struct raft_entry *raft_entry(const struct raft *r, uint64_t index);
/* Latest (in effect, rule 12), and the index of its entry, or of the snapshot that it came with. Valid
 * until the next step. */
const struct raft_config *raft_config(const struct raft *r);
uint64_t raft_config_index(const struct raft *r);
/* The latest one known committed. */
const struct raft_config *raft_config_committed(const struct raft *r);
const char *raft_reason_text(enum raft_reason reason);

/* As the leader sees a member: for `slow`, status and promotion. false when not leader/member. */
struct raft_peer_view {
	uint64_t match;
	int64_t answered_ms; /* send time of the latest answered request; INT64_MIN = never */
	uint32_t append_ms;
	bool installing; /* a snapshot is under way */
};
/* Whether it has answered a request that was sent within the last `ms`. */
static inline bool raft_peer_answers(const struct raft_peer_view *v, int64_t now_ms, int64_t ms)
{
	return v->answered_ms >= now_ms - ms;
}
bool raft_peer(const struct raft *r, const struct raft_id *id, struct raft_peer_view *ret);

/* ---- defect switches (docs/raft.md) ----------------------------------------------------- */

/* One per rule, numbered as the rules: RAFT_DEFECT(1) leaves rule 1 out. Compiled in the simulator
 * always, in daemons only with --enable-defects. */
#define RAFT_RULES 30
#define RAFT_DEFECT(rule) (UINT64_C(1) << (rule))
/* Name of rule 1..30's switch, or NULL. */
const char *raft_defect_name(int rule);
/* 0 when there is no such name. */
int raft_defect_find(const char *name);

#endif
