/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The phases of a resource: the table behind the picture in quorum/state.h. */
#ifndef CL_QUORUM_STATE_PHASE_H
#define CL_QUORUM_STATE_PHASE_H

#include "quorum/state_apply.h"

/* The only writer of a resource's phase. */
void resource_enter(struct apply *ap, struct state_resource *r, enum state_phase phase,
		    const char *reason);

/* Nobody owns it any more: wanted ones wait for a place, others are offline. */
void resource_free(struct apply *ap, struct state_resource *r, const char *reason);

/* The next number; never given before and never again (P2). */
uint64_t resource_next(struct state_resource *r);

/* Forget the migration; its number stays burned. */
void resource_burn(struct apply *ap, struct state_resource *r);

#endif
