/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fence debts: who works them off. `N failed` writes one per volume (quorum/state_node.c); a debt of
 * a volume is paid by the volume's coordinator, or by who is to be it, and only the coordinator of
 * the present epoch can say that it is paid. Until then nobody new opens the volume.
 */
#ifndef CL_QUORUM_DEBT_H
#define CL_QUORUM_DEBT_H

#include <stdint.h>

#include "quorum/state.h"

/* The highest incarnation of `node` that is owed on a volume; 0 = no debt. */
uint64_t debt_of(const struct state *state, const char *volume, uint32_t node);

#endif
