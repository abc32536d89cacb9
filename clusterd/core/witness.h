/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness inside of a node's core: its LUN as this node sees it, and, on the node that serves
 * it, its copy of the log: a whole raft server beside the node's own.
 *
 *              path                   claimed          read
 *   OFF -> DOWN --> LOOKING -> WATCHING ----> TAKING ----> SERVING
 *           ^          |          ^  ^           |            |
 *           +-- path --+          |  +-- failed -+            |
 *           +-- gone --+-- all    +----- lost, or given up ---+
 *                    FOREIGN: the LUN is not this witness's (looked at again and again)
 *
 * Who serves is decided in quorum/witness.h, what stands on the LUN in quorum/witness_log.h; here
 * is the order of things:
 *
 *   CLAIM (PREEMPT of the holder, barrier, verify)   without the barrier: a record that the former
 *                         host had on its way lands after we have read the log, and what it
 *                         vouched for is gone
 *   read and write the owner's record                the next claim number: generations of records
 *                         and the life of the raft server come from it
 *   CHECK                 the number is ours alone: who took it away after our CLAIM has, or will
 *                         have, a greater one
 *   read the log          only now nobody else can change it
 *
 * Nothing that this raft server says leaves at once. It waits for a CHECK (READ RESERVATION) that
 * was begun after it was said and that names this nexus. Otherwise: cut off from the others but not
 * from our manager, a host that lost the witness goes on to answer for it, and the old manager
 * finds a majority (itself and a witness that has voted for another one) for a read or a beat. An
 * ack of a beat needs no write: who takes the witness over counts from its own claim, which is
 * after every CHECK that named us (docs/timing.md).
 */
#ifndef CL_CORE_WITNESS_H
#define CL_CORE_WITNESS_H

#include "proto/core.pb-c.h"
#include "quorum/lease.h"
#include "quorum/state.h"
#include "quorum/witness.h"
#include "quorum/witness_log.h"

struct node;

enum wit_phase {
	WIT_OFF,
	WIT_DOWN,
	WIT_LOOKING,
	WIT_FOREIGN,
	WIT_WATCHING,
	WIT_TAKING,
	WIT_SERVING,
};

enum wit_what {
	WIT_SUPER,
	WIT_SLOT,
	WIT_SLOTS,
	WIT_HOLDER,
	WIT_CLAIM,
	WIT_OWNERS,
	WIT_STAMP,
	WIT_PROVE,
	WIT_LOAD,
	WIT_PERSIST,
	WIT_CHECK,
};

/* An operation that witnessd has not answered yet. */
struct wit_op {
	int64_t begun_ms;
	uint64_t id, attempt;
	enum wit_what what;
	uint32_t first; /* SLOTS: of node */
	uint64_t seq;	/* PERSIST: raft's number; 0 = another piece follows */
	uint64_t generation,
		record; /* PERSIST; HOLDER, CHECK: what was durable when it was begun */
};
CL_DEFINE_VEC(wit_op_vec, struct wit_op);

/* What the witness says, until a CHECK lets it go. */
struct wit_out {
	uint64_t check; /* id of that CHECK; 0 = not begun yet */
	uint32_t to;
	uint8_t *packed; /* core.Message without its envelope */
	size_t len;
};
CL_DEFINE_VEC(wit_out_vec, struct wit_out);

/* A `set quorum` in our log, applied or not: a node that starts cold needs the witness to learn
 * what is committed. */
struct wit_set {
	uint64_t index;
	struct state_witness w;
};
CL_DEFINE_VEC(wit_set_vec, struct wit_set);

struct failure { /* a `N failed` in a log, applied or not */
	uint64_t index;
	uint32_t node;
	uint64_t incarnation;
};
CL_DEFINE_VEC(failure_vec, struct failure);

struct wit {
	enum wit_phase phase;
	char why[STATE_REASON_MAX];
	struct state_witness is; /* that the session is for */
	int64_t is_ms;		 /* since then */
	struct wit_set_vec sets;
	struct wit_op_vec ops;
	int64_t poll_ms, again_ms;
	struct witness_super super;
	struct witness_watch watch;
	/* The last record that is known to have been durable, as long as the witness is the same. */
	struct witness_slot known;
	struct node_witness_known kept; /* of it, for a later process */
	int64_t keep_ms;
	uint64_t beat, attempt;
	const char *claim_why;

	/* taking and serving */
	struct witness_owner owner;
	struct witness_log log;
	struct raft *raft; /* NULL: empty, until a leader sends something */
	struct raft_actions out;
	struct state state;
	struct failure_vec failures;
	struct lease_voter voter;
	struct wit_out_vec outbox;
	uint64_t durable_generation, durable_record;
	/* The same, as of a CHECK that named us: nobody had taken it over then, so whoever does reads it. */
	uint64_t proven_generation, proven_record;
	bool ticked;

	/* the leader's word */
	uint32_t word;
	int64_t word_ms, alive_ms;
	int64_t led_ms, led_since_ms; /* somebody led last; without a break since */
	bool word_counts;
	uint64_t word_ring;
	int64_t named_ms; /* when it was another node at last */

	/* as leader */
	int64_t ring_ms; /* since when this ring stands */
	uint64_t term, term_index;
	bool lost; /* and everybody was told so */

	bool cast;
	uint64_t cast_ring;
};

/* witness_set.c */
/* What is configured: the latest in our log. False: nothing. */
bool witness_configured(const struct node *n, struct state_witness *ret);
void witness_note_set(struct node *n, uint64_t index, const char *url, const uint8_t *uuid,
		      size_t uuid_len);
void witness_note_cut(struct node *n, uint64_t from);
void witness_note_applied(struct node *n);
struct raft_id witness_id(const struct state_witness *w);

/* witness.c */
void witness_free(struct node *n);
void witness_step(struct node *n);
struct node_witness_event;
void witness_on_event(struct node *n, const struct node_witness_event *ev);
int64_t witness_deadline(const struct node *n);
void witness_give_up(struct node *n, const char *why); /* stop serving */
uint64_t wit_order(struct node *n, enum wit_what what, int order, uint64_t offset, uint32_t len,
		   uint8_t *data);
void wit_order_read(struct node *n, enum wit_what what, uint64_t unit, uint32_t units);
uint8_t *wit_unit_new(struct node *n); /* zeros; NULL: no memory, and it was said */
struct wit_op *wit_last_op(struct node *n);
void wit_enter(struct node *n, enum wit_phase phase, const char *why);

/* witness_look.c */
void wit_look(struct node *n);
void wit_on_super(struct node *n, const uint8_t *data, size_t len);
/* The LUN is there and is not to be used; looked at again later. */
void wit_foreign(struct node *n, const char *why);
void wit_note_known(struct node *n, uint64_t generation, uint64_t record);
void wit_note_slots(struct node *n);
/* Keep what is known for a later process, now and then; at once: this one ends. */
void wit_keep_known(struct node *n, bool at_once);
void wit_read_slots(struct node *n);
void wit_poll_step(struct node *n);
/* This node's side; lists live in the caller's arrays of NODE_VIEW_MAX. */
struct wit_side {
	struct witness_side s;
	uint32_t present[256], path[256];
};
bool wit_side(const struct node *n, struct wit_side *ret);

/* witness_take.c: claims, and the answers that it goes on with */
void wit_advise_step(struct node *n);
void wit_on_owners(struct node *n, const uint8_t *data, size_t len);
void wit_on_proven(struct node *n, bool mine);
void wit_on_loaded(struct node *n, const uint8_t *data, size_t len);

/* witness_raft.c: the copy that is served here */
bool wit_serve(struct node *n, struct cl_error *err);
void wit_stop(struct node *n);
void wit_persisted(struct node *n, uint64_t seq);
void wit_tick(struct node *n);
void wit_checked(struct node *n, uint64_t check);
/* Begin a CHECK when something waits for one. */
void wit_check(struct node *n);
void witness_ring(struct node *n);

void witness_receive(struct node *n, const struct raft_message *m);
void witness_on_beat(struct node *n, const Core__Message *msg);
void witness_on_bound_ask(struct node *n, const Core__Message *msg);

/* witness_lead.c: what the leader says, and the vote in votequorum */

void witness_fill_beat(struct node *n, Core__WitnessBeat *b);
void witness_hear(struct node *n, const Core__Message *msg);
/* The manager's: add it, change its role, remove it. settled: no change is under way. */
void witness_voters_step(struct node *n, bool settled);
bool witness_is_member(const struct node *n, const struct raft_id *id);
void witness_lead_step(struct node *n);
void witness_cast_step(struct node *n);
uint32_t witness_votes_present(const struct node *n); /* 1: it votes and answers */

#endif
