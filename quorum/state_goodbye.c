/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node whose machine is switched off in order (docs/life.md, "Goodbye").
 *
 *   LIVING --NodeStop--> LIVING, stopping: gives all away; what nobody takes yields
 *                           |
 *                           +--NodeGoodbye--> FAILED and silent: only another process is admitted
 *
 * What the node said is a proof, as its admission would be: everything of that incarnation has ended there, so that
 * nobody waits for its lease. It is none that no write of it is on its way: the node knows what was answered to it, not
 * what sits in a proxy or in the target's queue since a session broke. So its fences are owed and paid as ever, in
 * milliseconds, since nothing is under way; a session's orderly end is the same PREEMPT and barrier (csv/coord_nexus.c).
 */
#include "config.h"

#include "quorum/state_phase.h"
#include "quorum/state_save.h"

void apply_stop_ends(struct state_node *n)
{
	n->stopping = n->stop_saves = n->stop_now = false;
}

void apply_node_stop(struct apply *ap, const Log__NodeStop *c)
{
	struct state_node *n = apply_node(ap, c->node);

	if (!n || !apply_expect(ap, n->name, "incarnation", c->incarnation, n->incarnation))
		return;
	if (n->phase != STATE_NODE_LIVING) {
		apply_refuse(ap, -CL_EREFUSED, "node '%s' is not up", n->name);
		return;
	}
	if (!n->stopping)
		apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation,
			      "node-stopping", -1, "asked for");
	n->stopping = true;
	n->stop_saves = c->save;
	n->stop_now = n->stop_now || c->now;
	n->since_ms = ap->time_ms;
}

void apply_node_goodbye(struct apply *ap, const Log__NodeGoodbye *c)
{
	struct state_node *n = apply_node(ap, c->node);

	if (!n || !apply_expect(ap, n->name, "incarnation", c->incarnation, n->incarnation))
		return;
	if (n->phase != STATE_NODE_LIVING || !n->stopping) {
		apply_refuse(ap, -CL_EMOVED, "node '%s' is not being stopped", n->name);
		return;
	}
	apply_node_enter(ap, n, STATE_NODE_FAILED, "it was stopped in order");
	apply_stop_ends(n);
	n->heard_silent = 0;
	n->heard_moving = false;
	n->silent = n->incarnation;
	n->goodbye = true;
	n->instance = c->instance;
	apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation, "node-goodbye", -1,
		      n->reason);
	apply_debts_of(ap, n);
	apply_node_failed_resources(ap, n);
	apply_settle(ap);
}

/* What is handed over this moment is the next owner's soon. */
void apply_resource_yield(struct apply *ap, const Log__ResourceYield *c)
{
	struct state_resource *r = apply_resource(ap, c->name);
	const struct state_node *n;

	if (!r || !apply_expect(ap, r->name, "generation", c->generation, r->generation))
		return;
	n = state_node(ap->state, r->owner);
	if (!n || !n->stopping ||
	    (r->phase != STATE_STARTING && r->phase != STATE_ONLINE &&
	     r->phase != STATE_MIGRATING)) {
		apply_refuse(ap, -CL_EMOVED, "VM '%s' is %s", r->name, state_phase_name(r->phase));
		return;
	}
	resource_burn(ap, r);
	if (n->stop_saves && r->phase == STATE_ONLINE)
		save_begin(r);
	r->force = false;
	resource_enter(ap, r, STATE_STOPPING, c->cause);
	apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, r->owner, r->generation, "vm-yields", -1,
		      c->cause);
}
