/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "quorum/quarantine.h"

#include <stdio.h>

#include "quorum/state_apply.h"

bool state_gets_nothing(const struct state_node *n)
{
	return n->draining || n->quarantined || n->stopping;
}

uint32_t quarantine_most(const struct state *s)
{
	uint32_t members = 0;

	for (size_t i = 0; i < s->nodes.n; i++)
		members += s->nodes.v[i].phase != STATE_NODE_KNOWN;
	return members >= 8 ? members / 4 : 1;
}

static uint32_t quarantined(const struct state *s)
{
	uint32_t n = 0;

	for (size_t i = 0; i < s->nodes.n; i++)
		n += s->nodes.v[i].quarantined;
	return n;
}

/*
 * A fence more. Beyond the most that there may be the node goes on as any other: a whole cluster whose
 * switch is bad would else quarantine itself to death.
 */
void quarantine_count(struct apply *ap, struct state_node *n)
{
	bool full;

	if (n->fenced < QUARANTINE_COUNT_MAX)
		n->fenced++;
	if (n->fenced < QUARANTINE_FENCES || n->quarantined)
		return;
	full = quarantined(ap->state) >= quarantine_most(ap->state) &&
	       !(ap->defects & STATE_DEFECT_QUARANTINE_ALL);
	n->quarantined = !full;
	apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation,
		      full ? "quarantine-full" : "node-quarantined", -1,
		      full ? "failed three times within an hour, but so did others"
			   : "failed three times within an hour");
}

/* A node less: perhaps one too many is quarantined now. The lowest id goes free. */
void quarantine_fit(struct apply *ap)
{
	struct state *s = ap->state;

	for (size_t i = 0; i < s->nodes.n && quarantined(s) > quarantine_most(s); i++) {
		if (!s->nodes.v[i].quarantined)
			continue;
		quarantine_end(&s->nodes.v[i]);
		apply_changed(ap, STATE_CHANGED_NODE, s->nodes.v[i].name, s->nodes.v[i].id,
			      s->nodes.v[i].incarnation, "node-resumed", -1,
			      "too many would be quarantined in a cluster so small");
	}
}

void quarantine_end(struct state_node *n)
{
	n->quarantined = false;
	n->fenced = 0;
}

/* Which of them it was does not matter: the oldest. */
void apply_node_fence_forget(struct apply *ap, const Log__NodeFenceForget *c)
{
	struct state_node *n = apply_node(ap, c->node);

	if (n && apply_expect(ap, n->name, "fences within the hour", c->fenced, n->fenced) &&
	    n->fenced > 0)
		n->fenced--;
}
