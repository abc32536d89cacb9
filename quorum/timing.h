/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the times of a configuration fit together: the inequalities of docs/timing.md, for any numbers.
 * Pure.
 */
#ifndef CL_QUORUM_TIMING_H
#define CL_QUORUM_TIMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TIMING_TOKEN_MS = 500, /* below it a busy machine loses the token though it lives */
	TIMING_STOP_MS = 300,  /* QEMU's stop, from the order to the word */
	TIMING_CLOCKS = 100,   /* two clocks differ by one part in so many at most */
	TIMING_TEXT_MAX = 160,
	TIMING_RULES_MAX = 16,
};

/* As it runs, all in ms. */
struct timing {
	uint32_t token_ms, consensus_ms, coefficient_ms;
	uint32_t nodes, links;
	bool passive; /* links are used one at a time */
	uint32_t
		sync_timeout_ms; /* for which a ring change waits for the quorum device; 0 = none */
	uint32_t lease_ms;	 /* L, by which clusterd counts */
	uint32_t watchdog_ms;	 /* 0 = there is none */
	bool feeder;		 /* clusterd-feeder runs */
	uint32_t heartbeat_ms, fresh_ms, silent_ms;
};

/* One inequality that does not hold. */
struct timing_fault {
	const char *rule; /* its name in docs/timing.md */
	char text[TIMING_TEXT_MAX];
	const char *fix;
};

/* Which do not hold, the gravest first. Returns how many; 0 = all hold. */
size_t timing_check(const struct timing *t, struct timing_fault ret[TIMING_RULES_MAX]);

#endif
