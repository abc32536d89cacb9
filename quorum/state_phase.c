/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The phases of a resource as a table. */
#include "config.h"

#include "quorum/state_phase.h"

#include "lib/assert.h"
#include "lib/sm.h"
#include "quorum/state_save.h"

#define OWNED (SM_TO(STATE_STOPPING) | SM_TO(STATE_DISPLACED))
#define FREED (SM_TO(STATE_OFFLINE) | SM_TO(STATE_WAITING) | SM_TO(STATE_FAILED))

static const struct sm_state phases[] = {
	[STATE_OFFLINE] = { "offline", SM_TO(STATE_WAITING), SM_INITIAL },
	[STATE_WAITING] = { "waiting",
			    SM_TO(STATE_STARTING) | SM_TO(STATE_OFFLINE) | SM_TO(STATE_FAILED),
			    SM_INITIAL },
	[STATE_STARTING] = { "starting", SM_TO(STATE_ONLINE) | OWNED | FREED, SM_INITIAL },
	[STATE_ONLINE] = { "online", SM_TO(STATE_MIGRATING) | OWNED | FREED, SM_INITIAL },
	[STATE_STOPPING] = { "stopping", SM_TO(STATE_DISPLACED) | FREED, SM_INITIAL },
	[STATE_DISPLACED] = { "displaced", SM_TO(STATE_OFFLINE) | SM_TO(STATE_WAITING),
			      SM_INITIAL },
	[STATE_FAILED] = { "failed", SM_TO(STATE_OFFLINE) | SM_TO(STATE_WAITING), SM_INITIAL },
	[STATE_MIGRATING] = { "migrating",
			      SM_TO(STATE_SWITCHING) | SM_TO(STATE_ONLINE) | OWNED | FREED,
			      SM_INITIAL },
	[STATE_SWITCHING] = { "switching",
			      SM_TO(STATE_HANDOVER) | SM_TO(STATE_ONLINE) | SM_TO(STATE_ABORTING) |
				      SM_TO(STATE_DISPLACED) | FREED,
			      SM_INITIAL },
	[STATE_HANDOVER] = { "handover",
			     SM_TO(STATE_ONLINE) | SM_TO(STATE_ABORTING) | SM_TO(STATE_DISPLACED),
			     SM_INITIAL },
	[STATE_ABORTING] = { "aborting", SM_TO(STATE_ONLINE) | SM_TO(STATE_DISPLACED) | FREED,
			     SM_INITIAL },
};

void resource_enter(struct apply *ap, struct state_resource *r, enum state_phase phase,
		    const char *reason)
{
	struct sm sm;

	sm_init(&sm, "resource", r->name, phases, sizeof(phases) / sizeof(*phases), (int)r->phase,
		NULL);
	sm_move(&sm, (int)phase, reason);
	r->phase = phase;
	r->since_ms = ap->time_ms;
	STATE_COPY(r->reason, reason);
}

void resource_free(struct apply *ap, struct state_resource *r, const char *reason)
{
	r->owner = 0;
	r->owner_incarnation = 0;
	save_dropped(ap, r);
	resource_burn(ap, r);
	resource_enter(ap, r, r->wanted ? STATE_WAITING : STATE_OFFLINE, reason);
}

uint64_t resource_next(struct state_resource *r)
{
	cl_assert(r->top >= r->generation && r->top >= r->reserved);
	return ++r->top;
}

void resource_burn(struct apply *ap, struct state_resource *r)
{
	if ((ap->defects & STATE_DEFECT_REUSE_GENERATION) && r->reserved && r->reserved == r->top)
		r->top--;
	r->reserved = 0;
	r->target = 0;
	r->target_incarnation = 0;
}
