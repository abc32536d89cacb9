/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who serves the witness: the decision. Pure.
 *
 * Each node that reaches the witness LUN writes its own slot and reads all of them, four times a
 * second. Serving it means: taking the reservation (PREEMPT of the holder, barrier, verify), writing
 * the owner's record, reading the log, and running its copy of raft. That is safe at any time, for
 * whoever does it: the former host can put nothing behind it. So the rules below protect nothing but
 * peace: that two sides do not take it from each other for ever.
 *
 *   1. The leader's word, as long as it is fresh: who is named serves, at once; who is not, stops. It
 *      names somebody only while its ring has a majority without the witness: a leader that has just
 *      lost its majority believes for two seconds more that it leads.
 *   2. Without one: a side that has a majority with the witness and none without it (or has one and yet
 *      finds no leader: a node of it has lost its database, so its vote is not there) takes it over,
 *      by its lowest node that reaches the LUN, when
 *      - the holder is this very node (its process was restarted), or
 *      - the holder's slot has not moved for `dead_ms`, or says that its side has no majority even
 *        with the witness, or (in our ring) that it does not serve; or
 *      - there is no holder (the target has forgotten) and no node outside of the ring with a lower
 *        id lives on a side that could take it.
 *
 * `dead_ms` is token + consensus: as long as the ring takes to show that somebody is gone. Slots are
 * watched all the time, so that a dead host's silence is known when the ring has changed, and the
 * run lease (docs/timing.md), which outlasts a ring change by three seconds, needs nothing more for
 * a take-over.
 */
#ifndef CL_QUORUM_WITNESS_H
#define CL_QUORUM_WITNESS_H

#include "quorum/raft.h"
#include "quorum/witness_disk.h"

enum {
	WITNESS_POLL_MS = 250,	 /* slots are written and read so often */
	WITNESS_FRESH_MS = 1500, /* a leader's word, or the witness's answer, is believed so long */
	WITNESS_NAMED_MS = 2000, /* .. and obeyed: half a second to begin */
	WITNESS_READ_MS = 1000,	 /* what was read longer ago says nothing of now */
	WITNESS_AGAIN_MS = 2000, /* after a take-over that failed */
	WITNESS_KEEP_MS = 10000, /* how often what is known of its records is kept */
	WITNESS_LEADERLESS_MS = 6000, /* an election timeout is two to three seconds */
};

/* Guards that the simulator can leave out. */
enum witness_defect {
	WITNESS_DEFECT_NO_WAIT = 1 << 0,    /* taken over without looking at the holder's slot */
	WITNESS_DEFECT_WORD_BLIND = 1 << 1, /* .. by a word that was heard while it slept */
	WITNESS_DEFECT_NAMED_UNREAD = 1 << 2, /* .. by what was read before somebody was named */
};

struct witness_seen {
	struct witness_slot slot;
	bool any;
	int64_t moved_ms;   /* when it was seen to move, or first seen */
	int64_t useless_ms; /* since when its side has no majority with the witness; else INT64_MAX */
	int64_t idle_ms;    /* since when it does not serve; else INT64_MAX */
};

/* What a node has seen of the LUN since it reached it. */
struct witness_watch {
	struct witness_seen seen[WITNESS_NODES_MAX + 1];
	bool slots_known, holder_known;
	uint32_t holder;	     /* node that holds the reservation; 0 = none */
	int64_t since_ms, holder_ms; /* holder_ms: when the last answer about it was asked for */
	int64_t read_ms; /* when the last read of slots was sent: what was not looked at was not silent */
};

void witness_watch_reset(struct witness_watch *w, int64_t now_ms);
/*
 * Slots of nodes first.. as read; begun_ms: when the read was sent. What is seen was so then, or later: an answer that
 * lay in a buffer while this node was frozen says nothing of the time in between.
 */
void witness_watch_slots(struct witness_watch *w, uint32_t first, const uint8_t *data, size_t len,
			 int64_t begun_ms, int64_t now_ms);
/* Who holds the reservation, by a question that was sent at begun_ms. */
void witness_watch_holder(struct witness_watch *w, uint32_t holder, int64_t begun_ms);

/* How a node's side stands. Lists of node ids. */
struct witness_side {
	uint32_t self;
	struct raft_id witness;
	const struct raft_config *config; /* the latest that this node knows */
	const uint32_t *present;	  /* in the ring with a clusterd, this node included */
	size_t n_present;
	const uint32_t *path; /* those of them that reach the LUN */
	size_t n_path;
	uint32_t word;	  /* whom the leader names; 0 = nobody does */
	int64_t named_ms; /* when it named another node than this one at last; 0 = never */
	bool leaderless;  /* nobody leads since WITNESS_LEADERLESS_MS */
	int64_t dead_ms;
	unsigned defects;
};

/* Whether this side has a majority of the voters with the witness (or without). */
bool witness_completes(const struct witness_side *side, bool with_witness);

enum witness_advice { WITNESS_STAY, WITNESS_CLAIM, WITNESS_YIELD };

/* ret_why: for a person, a literal. */
enum witness_advice witness_advise(const struct witness_watch *w, const struct witness_side *side,
				   bool serving, int64_t now_ms, const char **ret_why);

/*
 * Whom the leader names: who serves, while it reaches the LUN; else the lowest that does; 0 when
 * nobody does. serving: 0 = nobody in the ring.
 */
uint32_t witness_host(const struct witness_side *side, uint32_t serving);

/*
 * What the witness should be in the log, by the number of nodes that vote: with an even number a
 * voter, so that the sum is odd; else a learner, which keeps its copy fresh for the day it counts. Once a
 * voter it stays one while fewer than three nodes vote, unless the cluster has but one (nodes: that it has): else one of
 * two is being replaced, or away, and the other would be the only vote.
 */
enum raft_member_role witness_role(const struct raft_config *config, const struct raft_id *witness,
				   size_t nodes);

#endif
