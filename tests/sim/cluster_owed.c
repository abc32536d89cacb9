/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is switched off by the cluster's own agents is owed an `on` by the database, from before they were asked: whatever they
 * said of it, whoever asked them, and though its lease's end came first. Looked at when a person comes to switch the
 * machine on, because the cluster does not say that it will: off-unowed.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "quorum/state_schema.h"
#include "tests/sim/cluster_driver.h"

/* By whom, as the database has them; what is asked by an older version of it is not announced. */
void owed_agent_begins(struct cworld *w, struct task *t)
{
	const struct state *truth = cw_truth(w);
	const struct state_node *s = truth ? state_node(truth, (uint32_t)t->b) : NULL;

	if (t->c)
		w->node[t->b].on_asked = true;
	if (s && !t->c && state_schema(truth) >= SCHEMA_BEGUN) {
		t->life = s->incarnation;
		t->nexus = s->fence_version;
	}
}

void owed_switched_off(struct cworld *w, unsigned node, const struct task *t)
{
	struct cnode *c = &w->node[node];

	c->off_incarnation = t->life;
	c->off_version = t->nexus;
	c->on_asked = false;
}

/* Who has said so stands at the machine. */
static bool is_confirmed(const struct state *state, const struct state_node *s)
{
	for (size_t i = 0; i < state->fences.n; i++)
		if (state->fences.v[i].node == s->id &&
		    state->fences.v[i].incarnation == s->incarnation &&
		    strcmp(state->fences.v[i].method, "confirmed") == 0)
			return true;
	return false;
}

void judge_owed(struct cworld *w, unsigned node)
{
	const struct cnode *c = &w->node[node];
	const struct state *truth = cw_truth(w);
	const struct state_node *s = truth ? state_node(truth, node) : NULL;

	if (!s || w->forced || c->on_asked || !c->off_incarnation || s->off_level ||
	    s->incarnation != c->off_incarnation || s->fence_version != c->off_version ||
	    s->phase != STATE_NODE_FAILED || s->silent < s->incarnation || s->leaving ||
	    s->goodbye || is_confirmed(truth, s))
		return;
	sim_fail(w->s, "off-unowed",
		 "an agent has switched n%u off at %" PRIu64 ", and nobody is to switch it on",
		 node, s->incarnation);
}
