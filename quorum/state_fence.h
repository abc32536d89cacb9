/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the database knows of fences beside the debts: how it was found out that a failed node executes
 * nothing any more, and what was tried in vain. The last few of each node are kept.
 */
#ifndef CL_QUORUM_STATE_FENCE_H
#define CL_QUORUM_STATE_FENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	STATE_FENCES_PER_NODE = 12,
	STATE_METHOD_MAX = 96,
	STATE_BY_MAX = 64,
	STATE_FENCE_TEXT_MAX = 160,
	STATE_AGENTS_PER_NODE = 8,
	STATE_AGENT_LEVELS = 9,
	STATE_AGENT_NAME_MAX = 32,
	STATE_AGENT_OPTIONS_MAX = 1024,
	STATE_AGENT_TIMEOUT_MAX_S = 600,
	STATE_AGENT_RETRIES_MAX = 10,
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

/*
 * A program of the fence-agents project that can switch a node off, and how it is told to. All of one
 * level have to succeed; a level is tried when those before it have failed.
 */
struct state_agent {
	uint32_t node, level;		       /* 1.. */
	char name[STATE_AGENT_NAME_MAX];       /* "fence_ipmilan", no path */
	char options[STATE_AGENT_OPTIONS_MAX]; /* "key=value\n".. : with passwords */
	uint32_t timeout_s, retries;
};

/* Why name or the "key=value" options cannot be an agent's; NULL: they can. */
const char *state_agent_refused(const char *name, char *const options[], size_t n_options);
/* Whether the value of an agent's option may be shown. All others may be secrets. */
bool state_agent_may_show(const char *key, size_t len);

#endif
