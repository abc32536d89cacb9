/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Quarantine: a node that was fenced three times within an hour is admitted as ever, votes, and runs nothing
 * until somebody who has looked says `resume`. Never more than a quarter of the nodes, at least one.
 *
 * The hour is not of any wall clock: `fenced` in the database counts the fences that are not an hour old yet.
 * `N failed` adds one, the manager takes one away (NodeFenceForget) when by its own CLOCK_BOOTTIME an hour
 * has passed since it saw it added (clusterd/core/quarantine.c).
 */
#ifndef CL_QUORUM_QUARANTINE_H
#define CL_QUORUM_QUARANTINE_H

#include "proto/log.pb-c.h"
#include "quorum/state.h"

struct apply;

enum {
	QUARANTINE_FENCES = 3,
	QUARANTINE_MS = 3600000,
	QUARANTINE_COUNT_MAX = 8, /* more are not counted */
};

/* How many may be quarantined at a time. */
uint32_t quarantine_most(const struct state *state);

/* Parts of commands, see state_node.c and state_setup.c. */
void quarantine_count(struct apply *ap, struct state_node *n);
void quarantine_fit(struct apply *ap);
void quarantine_end(struct state_node *n);
void apply_node_fence_forget(struct apply *ap, const Log__NodeFenceForget *c);

#endif
