/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who should vote: the next change of the voter set, one at a time. Pure; asked by the manager in every
 * step, and by the simulator.
 *
 *   a node that is new             -> JOINING; raft makes it a voter once it has caught up
 *   a node with another database   -> LEARNER beside its old self; when it has caught up the old self
 *     (re-installed, or healed)       is removed, then it votes. The other way round a cluster of
 *                                     three would stand with two voters for the whole transfer
 *   a voter that stays away        -> LEARNER, so that the others need fewer answers: five nodes can
 *                                     lose two, and a while later one more
 *   a learner that is back         -> JOINING
 *   a node that goes for good      -> LEARNER, as the last step before it is no node any more. It forgets
 *                                     its database when it reads of its removal: as a voter it would take
 *                                     a vote with it that the others may need to agree on its removal.
 *                                     Only when most of the other voters answer: with one of three
 *                                     gone and a second one demoted the third could decide nothing
 *   who is no node any more        -> removed
 *
 * Nobody takes its own vote: the change is withheld from whom it takes the vote until it is committed (docs/raft.md, "Losing
 * the vote"), and a leader cannot withhold it from itself. It would be in its log alone, by which it does not campaign,
 * and who has not got it needs the vote that it does not give to a shorter log.
 *
 * Never below three votes by itself: with two, one more failure stops all; with one, a cut-off leader would go on
 * alone while the others, who have the later copies, wait for it.
 *
 * The witness is no node: whether it votes is decided in quorum/witness.h, when there is nothing to do here.
 *
 * An even number of voters is allowed: four need three answers and can lose one, as three can. It is
 * shown, since one of them adds nothing.
 */
#ifndef CL_QUORUM_VOTERS_H
#define CL_QUORUM_VOTERS_H

#include "quorum/raft.h"

enum {
	VOTERS_LEAST = 3,
	VOTERS_AWAY_MS = 60000, /* away so long: votes no more */
	VOTERS_QUIET_MS = 5000, /* nothing may have happened for so long */
};

/* Somebody who ought to be a member. */
struct voters_one {
	struct raft_id id;
	int64_t away_ms; /* is no living member that answers, since so long; 0 = is one */
	bool caught_up;	 /* has what is committed, and answers */
	bool leaves;	 /* for good, and nothing else is left to be done */
};

struct voters_view {
	const struct raft_config *config; /* in effect */
	bool settled;			  /* it is committed */
	bool witness_answers;		  /* it has what is committed */
	bool quiet; /* nobody came, went or was slow for VOTERS_QUIET_MS, all other voters answer */
	int64_t after_ms;    /* 0 = VOTERS_AWAY_MS */
	struct raft_id self; /* who asks, and leads */
	unsigned defects; /* enum voters_defect */
	const struct voters_one *one;
	size_t n;
};

enum voters_defect {
	VOTERS_DEFECT_BELOW_THREE = 1 << 0,
	VOTERS_DEFECT_OLD_FIRST = 1 << 1, /* the old self goes before the new one has caught up */
	VOTERS_DEFECT_LEAVES_ALONE = 1 << 2, /* who leaves goes, whoever is left */
	VOTERS_DEFECT_OWN_VOTE = 1 << 3,     /* who leads takes its own vote */
};

struct voters_change {
	bool any;
	bool hand_over; /* to another leader, which makes this change */
	enum raft_change op;
	struct raft_member member;
	const char *why; /* for people */
};

struct voters_change voters_next(const struct voters_view *v);

#endif
