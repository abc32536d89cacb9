/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the database knows of fences beside the debts: how it was found out that a failed node executes
 * nothing any more, and what was tried in vain. The last few of each node are kept.
 */
#ifndef CL_QUORUM_STATE_FENCE_H
#define CL_QUORUM_STATE_FENCE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	STATE_FENCES_PER_NODE = 12,
	STATE_METHOD_MAX = 96,
	STATE_BY_MAX = 64,
	STATE_FENCE_TEXT_MAX = 160,
};

/* One method that was used against (node, incarnation). */
struct state_fence {
	uint32_t node;
	uint64_t incarnation;
	int64_t time_ms;		 /* wall clock of its end */
	int64_t took_ms;		 /* a proof: since the node failed; an agent: its own run */
	bool off;			 /* it is proven; else it failed */
	char why[STATE_FENCE_TEXT_MAX];	 /* why the node had failed */
	char method[STATE_METHOD_MAX];	 /* "lease", "storage heartbeat", "confirmed", an agent */
	char by[STATE_BY_MAX];		 /* the node that ran it, or the user who said so */
	char text[STATE_FENCE_TEXT_MAX]; /* what was said */
};

#endif
