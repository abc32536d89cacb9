/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of a live migration. What each step protects from:
 *
 *   Begin       reserves g+1: the target may open the disks and read, not write.
 *   Switch      written BEFORE the source is told to pause. From here the source's guest may run
 *               again only after the target is proven gone; who finds this entry after a crash
 *               knows that the source may or may not have stopped.
 *   SourceDone  the source's agent saw `completed` and `postmigrate`: QEMU never resumes by itself
 *               from there, and the agent gives no `cont` without an entry.
 *   Commit      target complete and paused AND the source's report. Without the report the source
 *               may have resumed and written after the copy: two histories of one disk.
 *               By a saved state (quick): the state is whole and named, from g to this number.
 *               Commit makes it used up, as g is no longer the owner's; the target's `cont` needs
 *               the commit. Any other start takes another number: the state is void.
 *   Abort       burns the number. The target cannot run any more: its `cont` needs the commit, and
 *               none can be applied after this. From SWITCHING on the source waits for TargetGone.
 */
#include "config.h"

#include "quorum/state_phase.h"

#include <stdio.h>

#define PHASE(p) (1ul << (p))

static struct state_resource *migrating(struct apply *ap, const char *name, uint64_t reserved)
{
	struct state_resource *r = apply_resource(ap, name);

	if (!r)
		return NULL;
	if (!r->reserved) {
		apply_refuse(ap, -CL_EMOVED, "VM '%s' is not being moved", r->name);
		return NULL;
	}
	return apply_expect(ap, r->name, "reserved generation", reserved, r->reserved) ? r : NULL;
}

static bool in_phase(struct apply *ap, const struct state_resource *r, unsigned long phases)
{
	if ((1ul << r->phase) & phases)
		return true;
	apply_refuse(ap, -CL_EMOVED, "VM '%s' is %s", r->name, state_phase_name(r->phase));
	return false;
}

void apply_migrate_begin(struct apply *ap, const Log__MigrateBegin *c)
{
	struct state_resource *r = apply_resource(ap, c->name);
	const struct state_node *n = apply_node(ap, c->target);

	if (!r || !n || !apply_expect(ap, r->name, "generation", c->generation, r->generation))
		return;
	if (r->phase != STATE_ONLINE) {
		apply_refuse(ap, -CL_EREFUSED, "VM '%s' is %s", r->name,
			     state_phase_name(r->phase));
		return;
	}
	if (c->target == r->owner || state_gets_nothing(n) ||
	    !state_living(ap->state, c->target, c->target_incarnation)) {
		apply_refuse(ap, -CL_EREFUSED, "VM '%s' cannot move to node '%s'", r->name,
			     n->name);
		return;
	}
	r->reserved = resource_next(r);
	r->target = c->target;
	r->target_incarnation = c->target_incarnation;
	r->quick = c->quick;
	resource_enter(ap, r, STATE_MIGRATING, c->cause);
	ap->result->number = r->reserved;
	apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, r->target, r->reserved, "vm-migrating",
		      -1, c->cause);
}

void apply_migrate_switch(struct apply *ap, const Log__MigrateSwitch *c)
{
	struct state_resource *r = migrating(ap, c->name, c->reserved);

	if (r && in_phase(ap, r, PHASE(STATE_MIGRATING)))
		resource_enter(ap, r, STATE_SWITCHING, r->reason);
}

void apply_migrate_source_done(struct apply *ap, const Log__MigrateSourceDone *c)
{
	struct state_resource *r = migrating(ap, c->name, c->reserved);

	if (r && in_phase(ap, r, PHASE(STATE_SWITCHING)))
		resource_enter(ap, r, STATE_HANDOVER, r->reason);
}

void apply_migrate_commit(struct apply *ap, const Log__MigrateCommit *c)
{
	struct state_resource *r = migrating(ap, c->name, c->reserved);
	unsigned long from = PHASE(STATE_HANDOVER);
	char cause[48] = "";
	uint32_t target;

	if (c->source_done)
		from |= PHASE(STATE_SWITCHING);
	if (!r || !in_phase(ap, r, from))
		return;
	if (!state_living(ap->state, r->target, r->target_incarnation)) {
		apply_refuse(ap, -CL_EREFUSED, "the target of VM '%s' is no living member",
			     r->name);
		return;
	}
	target = r->target;
	r->owner_incarnation = r->target_incarnation;
	r->generation = r->reserved;
	r->owner = target;
	r->reserved = 0;
	r->target = 0;
	r->target_incarnation = 0;
	r->blackout_ms = c->blackout_ms;
	if (c->blackout_ms)
		(void)snprintf(cause, sizeof(cause), "blackout %u ms (%s)", c->blackout_ms,
			       r->quick ? "stop to loaded" : "QEMU's figure");
	if (r->phase == STATE_SWITCHING)
		resource_enter(ap, r, STATE_HANDOVER, "");
	resource_enter(ap, r, STATE_ONLINE, "");
	ap->result->number = r->generation;
	apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, target, r->generation, "vm-moved", -1,
		      cause);
}

void apply_migrate_abort(struct apply *ap, const Log__MigrateAbort *c)
{
	struct state_resource *r = migrating(ap, c->name, c->reserved);

	if (!r ||
	    !in_phase(ap, r,
		      PHASE(STATE_MIGRATING) | PHASE(STATE_SWITCHING) | PHASE(STATE_HANDOVER)))
		return;
	apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, r->owner, r->generation,
		      "vm-move-aborted", -1, c->cause);
	if (r->phase == STATE_MIGRATING) {
		resource_burn(ap, r);
		resource_enter(ap, r, STATE_ONLINE, c->cause);
	} else if (state_living(ap->state, r->owner, r->owner_incarnation)) {
		resource_enter(ap, r, STATE_ABORTING, c->cause);
	} else {
		resource_burn(ap, r);
		resource_enter(ap, r, STATE_DISPLACED, c->cause);
		apply_settle(ap);
	}
}

void apply_migrate_target_gone(struct apply *ap, const Log__MigrateTargetGone *c)
{
	struct state_resource *r = migrating(ap, c->name, c->reserved);

	if (!r || !in_phase(ap, r, PHASE(STATE_ABORTING)))
		return;
	resource_burn(ap, r);
	resource_enter(ap, r, STATE_ONLINE, r->reason);
}
