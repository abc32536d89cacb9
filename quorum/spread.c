/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "quorum/spread.h"

#include <stddef.h>

static uint32_t volumes_of(const struct state *state, uint32_t node, const struct spread_view *view)
{
	uint32_t n = view->promised ? view->promised(view->user, node) : 0;

	for (size_t i = 0; i < state->volumes.n; i++) {
		const struct state_volume *v = &state->volumes.v[i];

		n += (v->moving_to ? v->moving_to : v->coordinator) == node;
	}
	return n;
}

uint32_t spread_choose(const struct state *state, const struct state_volume *v, uint32_t except,
		       const struct spread_view *view)
{
	uint64_t best_cost = UINT64_MAX;
	uint32_t best = 0;

	for (size_t i = 0; i < state->nodes.n; i++) {
		const struct state_node *n = &state->nodes.v[i];
		uint64_t cost;

		if (n->phase != STATE_NODE_LIVING || n->id == except ||
		    !view->has_path(view->user, n->id, v->name))
			continue;
		cost = volumes_of(state, n->id, view) +
		       (state_gets_nothing(n) ? STATE_VOLUMES_MAX : 0);
		if (cost < best_cost) {
			best_cost = cost;
			best = n->id;
		}
	}
	return best;
}

static bool is_calm(const struct state *state)
{
	if (state->debts.n > 0)
		return false;
	for (size_t i = 0; i < state->nodes.n; i++)
		if (state->nodes.v[i].phase == STATE_NODE_FAILED &&
		    state->nodes.v[i].silent < state->nodes.v[i].incarnation)
			return false;
	for (size_t i = 0; i < state->volumes.n; i++) {
		const struct state_volume *v = &state->volumes.v[i];

		if (v->moving_to ||
		    !state_living(state, v->coordinator, v->coordinator_incarnation))
			return false;
	}
	return true;
}

const struct state_volume *spread_rebalance(const struct state *state,
					    const struct spread_view *view, uint32_t *ret_to)
{
	const struct state_volume *best = NULL;
	uint32_t best_gain = 1; /* a difference of one is even */

	if (!is_calm(state))
		return NULL;
	for (size_t i = 0; i < state->volumes.n; i++) {
		const struct state_volume *v = &state->volumes.v[i];
		uint32_t to = spread_choose(state, v, v->coordinator, view);
		const struct state_node *n = state_node(state, to);
		uint32_t here = volumes_of(state, v->coordinator, view), there;

		if (v->placed || v->maintenance || !n || state_gets_nothing(n))
			continue;
		there = volumes_of(state, to, view);
		if (here > there && here - there > best_gain) {
			best_gain = here - there;
			best = v;
			*ret_to = to;
		}
	}
	return best;
}
