/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One attempt to switch a failed node off by its fence agents, level by level. Pure: told how an agent
 * ended, it says what that means and which one is next.
 *
 *     OFF, an agent --done--> the next one of its level --> .. --done--> proven off
 *      |                                                                    |
 *      | failed, no more tries: the next level                              v
 *      v                                                     ON, each of that level --> DONE
 *     REST: all levels have failed; begins anew after a while
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
	uint32_t rounds;       /* of all levels, that failed */
	int64_t level_ms;      /* when its level began */
	int64_t rest_until_ms; /* REST */
};

enum fence_verdict {
	FENCE_GO_ON,
	FENCE_PROVEN,	    /* every agent of the level said that it is off */
	FENCE_LEVEL_FAILED, /* the agent that just ended has failed for good */
	FENCE_OVER,	    /* ON is done, or came to nothing: DONE */
};

enum { FENCE_REST_MS = 2000, FENCE_REST_MAX_MS = 60000 };

void fence_run_begin(struct fence_run *run, int64_t now_ms);

/*
 * The agent whose turn it was has ended. agents: all n of the node, by level, the same ones each time.
 * keep_off: it is not switched on again. one: a defect, one agent of a level is enough.
 */
enum fence_verdict fence_run_ended(struct fence_run *run, const struct state_agent *agents,
				   size_t n, bool ok, bool keep_off, bool one, int64_t now_ms);

#endif
