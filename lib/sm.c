/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lib/sm.h"

#include "lib/assert.h"

void (*sm_trace)(const struct sm *sm, int prev, const char *why);

void sm_init(struct sm *sm, const char *machine, const char *id, const struct sm_state *states,
	     size_t n_states, int state, bool (*invariant)(const struct sm *sm, int prev))
{
	cl_assert(n_states <= 64 && state >= 0 && (size_t)state < n_states);
	cl_assert(states[state].flags & SM_INITIAL);
	*sm = (struct sm){
		.machine = machine,
		.id = id,
		.states = states,
		.n_states = (int)n_states,
		.state = state,
		.invariant = invariant,
	};
}

bool sm_may(const struct sm *sm, int to)
{
	return to >= 0 && to < sm->n_states && (sm->states[sm->state].to & SM_TO(to));
}

void sm_move(struct sm *sm, int to, const char *why)
{
	int prev = sm->state;

	cl_assert(sm_may(sm, to));
	sm->state = to;
	if (sm_trace)
		sm_trace(sm, prev, why);
	cl_assert(!sm->invariant || sm->invariant(sm, prev));
}

const char *sm_name(const struct sm *sm)
{
	return sm->states[sm->state].name;
}
