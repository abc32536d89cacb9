/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which node coordinates which volume. The coordinator does the metadata of all nodes and pays the fences,
 * so volumes are spread: to whom has the fewest. Pure; the same state and view give the same answer.
 */
#ifndef CL_QUORUM_SPREAD_H
#define CL_QUORUM_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "quorum/state.h"

/* What is known of nodes beside the database. */
struct spread_view {
	/* Whether the node said that it reaches the LUN. */
	bool (*has_path)(void *user, uint32_t node, const char *volume);
	/* How many more it was promised than the database says yet. NULL: none. */
	uint32_t (*promised)(void *user, uint32_t node);
	void *user;
};

/*
 * Who is to coordinate a volume: a living node with a path and not `except`, rather not one that is being
 * drained, the one with the fewest volumes, the lowest id. 0: nobody has a path.
 */
uint32_t spread_choose(const struct state *state, const struct state_volume *v, uint32_t except,
		       const struct spread_view *view);

/*
 * One volume that would better be elsewhere: its node coordinates at least two more than the one that it
 * goes to. Not one that an operator has put where it is (.placed), and none at all while something is
 * failing or moving: a fence is owed, a failed node may still execute, a volume has no coordinator or is
 * on its way.
 * NULL: all is well, or it is not the time.
 */
const struct state_volume *spread_rebalance(const struct state *state,
					    const struct spread_view *view, uint32_t *ret_to);

#endif
