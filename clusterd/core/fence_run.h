/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One attempt to switch a failed node off by its fence agents, level by level, and from node to node. Pure: told how an
 * agent ended, it says what that means and which one is next, and who runs it.
 *
 *     OFF, an agent --done--> the next one of its level --> .. --done--> proven off
 *      |    ^                                                               |
 *      |    | failed, no more tries: the next level;                        v
 *      |    +-- after the last one the first again, by the next node   ON, each of that level --> DONE
 *      v
 *     REST: all levels have failed by all nodes; begins anew after a while
 *
 * All levels by one node before the next node, and not each agent by all nodes: a controller that died with its machine
 * would cost the time of as many agents as there are nodes before the next level is tried.
 */
#ifndef CL_CORE_FENCE_RUN_H
#define CL_CORE_FENCE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quorum/state_fence.h"

enum fence_phase { FENCE_OFF, FENCE_ON, FENCE_REST, FENCE_DONE };

struct fence_run {
	enum fence_phase phase;
	size_t at, level_at;   /* the agent whose turn it is; the first of its level */
	uint32_t tries;	       /* of that agent, that failed */
	uint32_t turn;	       /* whose: the nodes that can run it, one after another, round and round */
	uint32_t turns;	       /* that came to nothing, in this round; ON: of this agent */
	uint32_t rounds;       /* of all levels, that failed */
	int64_t level_ms;      /* when its level began */
	int64_t rest_until_ms; /* REST */
	bool on_failed;	       /* ON: one of them was not done */
};

struct fence_rules {
	bool keep_off;	/* it is not switched on again */
	bool one;	/* a defect: one agent of a level is enough */
	uint32_t hands; /* how many nodes can run them, >= 1 */
};

enum fence_verdict {
	FENCE_GO_ON,
	FENCE_PROVEN,	    /* every agent of the level said that it is off */
	FENCE_LEVEL_FAILED, /* the agent that just ended has failed for good */
	FENCE_OVER,	    /* ON is done, or came to nothing: DONE */
};

enum { FENCE_REST_MS = 2000, FENCE_REST_MAX_MS = 60000 };

/* An agent that its manager asks for no more is killed after so long. */
enum { FENCE_HAND_MS = 2000 };

void fence_run_begin(struct fence_run *run, int64_t now_ms);
/* An earlier attempt ended with `off`; level_at: the first agent of the level that did it. */
void fence_run_begin_on(struct fence_run *run, size_t level_at, int64_t now_ms);

/* An agent of this round has been tried, and none of a later round is waited for. */
bool fence_run_tried(const struct fence_run *run);

/* The agent whose turn it was has ended. agents: all n of the node, by level, the same ones each time. */
enum fence_verdict fence_run_ended(struct fence_run *run, const struct state_agent *agents,
				   size_t n, bool ok, const struct fence_rules *rules,
				   int64_t now_ms);

#endif
