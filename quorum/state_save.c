/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "quorum/state_save.h"

#include "quorum/state_phase.h"

static void forget(struct state_resource *r)
{
	r->saved = r->saved_from = 0;
}

void save_begin(struct state_resource *r)
{
	forget(r);
	if (r->n_volumes)
		r->saved = resource_next(r);
}

void save_done(struct state_resource *r, uint64_t reserved)
{
	if (reserved && state_saves(r) && r->saved == reserved)
		r->saved_from = r->generation;
}

static bool twice(const struct apply *ap, const struct state_resource *r)
{
	return ap->defects & STATE_DEFECT_SAVE_TWICE && r->saved_from;
}

void save_dropped(const struct apply *ap, struct state_resource *r)
{
	if ((!r->saved_from || r->saved <= r->generation) && !twice(ap, r))
		forget(r);
}

uint64_t save_generation(const struct apply *ap, struct state_resource *r)
{
	if (twice(ap, r))
		return r->saved;
	/* One that a number was given out after: it is of an earlier life. */
	if (r->saved_from && r->saved > r->generation && r->saved_from == r->generation)
		return r->saved;
	forget(r);
	return resource_next(r);
}

void save_used(const struct apply *ap, struct state_resource *r)
{
	if (!twice(ap, r))
		forget(r);
}

bool state_restores(const struct state_resource *r)
{
	return r->phase == STATE_STARTING && r->saved_from && r->saved == r->generation;
}

bool state_saves(const struct state_resource *r)
{
	return r->phase == STATE_STOPPING && r->saved && !r->saved_from;
}
