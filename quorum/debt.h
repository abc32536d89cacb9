/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fence debts: who works them off. `N failed` writes one per volume (quorum/state_node.c); a debt of
 * a volume is paid by the volume's coordinator, or by who is to be it, and only the coordinator of
 * the present epoch can say that it is paid. Until then nobody new opens the volume.
 */
#ifndef CL_QUORUM_DEBT_H
#define CL_QUORUM_DEBT_H

#include <stdbool.h>
#include <stdint.h>

#include "quorum/state.h"

/* What is known of a node's way to a volume beside the database. */
struct debt_paths {
	/* Whether the node said that it reaches the LUN. */
	bool (*has_path)(void *user, uint32_t node, const char *volume);
	void *user;
};

/*
 * Who is to coordinate a volume whose coordinator is gone: a living node with a path, rather not one
 * that is being drained, the one with the fewest volumes, the lowest id. 0: nobody has a path.
 */
uint32_t debt_choose_coordinator(const struct state *state, const struct state_volume *v,
				 uint32_t except, const struct debt_paths *paths);

/* The highest incarnation of `node` that is owed on a volume; 0 = no debt. */
uint64_t debt_of(const struct state *state, const char *volume, uint32_t node);

#endif
