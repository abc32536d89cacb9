/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fence debts: who works them off. */
#include "config.h"

#include "quorum/debt.h"

#include <string.h>

uint64_t debt_of(const struct state *state, const char *volume, uint32_t node)
{
	for (size_t i = 0; i < state->debts.n; i++)
		if (state->debts.v[i].node == node && strcmp(state->debts.v[i].volume, volume) == 0)
			return state->debts.v[i].incarnation;
	return 0;
}
