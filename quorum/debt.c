/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fence debts: who works them off. */
#include "config.h"

#include "quorum/debt.h"

#include <string.h>

static uint32_t volumes_of(const struct state *state, uint32_t node)
{
	uint32_t n = 0;

	for (size_t i = 0; i < state->volumes.n; i++)
		n += state->volumes.v[i].coordinator == node;
	return n;
}

uint32_t debt_choose_coordinator(const struct state *state, const struct state_volume *v,
				 uint32_t except, const struct debt_paths *paths)
{
	uint64_t best_cost = UINT64_MAX;
	uint32_t best = 0;

	for (size_t i = 0; i < state->nodes.n; i++) {
		const struct state_node *n = &state->nodes.v[i];
		uint64_t cost;

		if (n->phase != STATE_NODE_LIVING || n->id == except ||
		    !paths->has_path(paths->user, n->id, v->name))
			continue;
		cost = volumes_of(state, n->id) + (n->draining ? STATE_VOLUMES_MAX : 0);
		if (cost < best_cost) {
			best_cost = cost;
			best = n->id;
		}
	}
	return best;
}

uint64_t debt_of(const struct state *state, const char *volume, uint32_t node)
{
	for (size_t i = 0; i < state->debts.n; i++)
		if (state->debts.v[i].node == node && strcmp(state->debts.v[i].volume, volume) == 0)
			return state->debts.v[i].incarnation;
	return 0;
}
