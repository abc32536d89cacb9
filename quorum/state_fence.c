/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fences by agents and by a person's word, and their history. */
#include "config.h"

#include "quorum/state_apply.h"

#include <stdio.h>
#include <string.h>

#include "quorum/state_schema.h"

const struct state_fence *state_fence_failed(const struct state *s, const struct state_node *n)
{
	for (size_t i = s->fences.n; i-- > 0;) {
		const struct state_fence *f = &s->fences.v[i];

		if (f->node == n->id && f->incarnation == n->incarnation)
			return f->off ? NULL : f;
	}
	return NULL;
}

/* Room for one more of that node: the oldest goes. */
static void make_room(struct state *s, uint32_t node)
{
	size_t mine = 0, oldest = 0;

	for (size_t i = s->fences.n; i-- > 0;)
		if (s->fences.v[i].node == node) {
			mine++;
			oldest = i;
		}
	if (mine >= STATE_FENCES_PER_NODE)
		state_fence_vec_remove(&s->fences, oldest);
}

static void note(struct apply *ap, const struct state_node *n, bool off, const char *method,
		 const char *by, const char *text, int64_t took_ms)
{
	struct state_fence f = {
		.node = n->id,
		.incarnation = n->incarnation,
		.time_ms = ap->time_ms,
		.took_ms = took_ms,
		.off = off,
	};

	/* An older program in the cluster would apply the same entry without this. */
	if (state_schema(ap->state) < 3)
		return;
	STATE_COPY(f.why, n->reason);
	STATE_COPY(f.method, method);
	STATE_COPY(f.by, by);
	STATE_COPY(f.text, text);
	make_room(ap->state, n->id);
	if (state_fence_vec_push(&ap->state->fences, f) < 0)
		ap->no_memory = true;
}

void apply_fence_proof(struct apply *ap, const struct state_node *n, const char *method,
		       const char *text)
{
	int64_t took_ms = ap->time_ms - n->since_ms;

	note(ap, n, true, method, "", text, took_ms > 0 ? took_ms : 0);
}

void apply_fences_forget(struct apply *ap, uint32_t node)
{
	for (size_t i = ap->state->fences.n; i-- > 0;)
		if (ap->state->fences.v[i].node == node)
			state_fence_vec_remove(&ap->state->fences, i);
	state_agents_drop(ap->state, node);
}

/* What a defect takes "off" for: see apply_node_fenced(). */
static void debts_forgotten(struct apply *ap, const struct state_node *n)
{
	for (size_t i = ap->state->debts.n; i-- > 0;)
		if (ap->state->debts.v[i].node == n->id)
			state_debt_vec_remove(&ap->state->debts, i);
}

/*
 * Who has switched a machine off has to give it its power back, and may die in between: so that is remembered here
 * until somebody has done it, or tried in vain. Without it (on-forgotten) the machine stays off until somebody comes.
 *
 * And before its agents are asked for `off`, too (begun). History without that (off-unowed): an agent switches it off; the
 * manager dies before that is committed; the lease's end proves the node silent first, so that its successor has
 * nothing to prove and begins nothing; nobody knows that the machine is off because of us. An agent that says that it failed
 * may have done it all the same: what was begun stands until they are sure.
 */
static void owe_on(struct apply *ap, struct state_node *n, const Log__NodeFenced *c)
{
	size_t count;
	const struct state_agent *a = state_agents(ap->state, n->id, &count);

	for (size_t i = 0; i < count; i++) {
		if (c->level == 0 || a[i].level != c->level)
			continue; /* other agents since: nobody could do it */
		n->off_level = c->level;
		n->off_incarnation = n->incarnation;
		n->off_begun = c->begun;
		return;
	}
}

/* It was off by somebody else's hand, or is to stay off: what was only begun obliges to nothing. */
static void owe_nothing(struct state_node *n, const Log__NodeFenced *c)
{
	if (!n->off_begun || c->level)
		return;
	n->off_level = 0;
	n->off_begun = false;
}

static void switched_on(struct apply *ap, const Log__NodeFenced *c)
{
	struct state_node *n = apply_node(ap, c->node);
	char cause[STATE_REASON_MAX];

	if (!n || !apply_expect(ap, n->name, "incarnation", c->incarnation, n->off_incarnation) ||
	    !apply_expect(ap, n->name, "level of the agents", c->level, n->off_level))
		return;
	n->off_level = 0;
	n->off_begun = false;
	(void)snprintf(cause, sizeof(cause), "%.60s by %.40s%s%.50s", c->method, c->by,
		       c->text[0] ? ": " : "", c->text);
	apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation,
		      c->text[0] ? "fence-on-failed" : "switched-on", -1, cause);
}

/*
 * Off stands for one thing: this incarnation executes nothing any more. It pays no debt. A write that had
 * left the node before its power went may sit in a switch, in the target's socket or in its queue, and
 * land after the next owner has read the disk; only the barrier at the LUN ends it. Who has a path has the
 * barrier for milliseconds, and while nobody has one nobody could start anything on that volume.
 *
 * The incarnation is the one that was off when somebody looked: one that was admitted since is not meant,
 * and stands against it here. Only of a failed node: of a living one the others might not even know yet
 * that it may not go on.
 */
void apply_node_fenced(struct apply *ap, const Log__NodeFenced *c)
{
	struct state_node *n = c->on ? NULL : apply_node(ap, c->node);
	char cause[STATE_REASON_MAX];

	if (c->on)
		switched_on(ap, c);
	if (!n || !apply_expect(ap, n->name, "incarnation", c->incarnation, n->incarnation))
		return;
	if (n->phase != STATE_NODE_FAILED) {
		apply_refuse(ap, -CL_EREFUSED, "node '%s' has not failed", n->name);
		return;
	}
	if (c->begun) {
		owe_on(ap, n, c);
		return;
	}
	note(ap, n, c->off, c->method, c->by, c->text, c->took_ms);
	(void)snprintf(cause, sizeof(cause), "%.60s by %.40s%s%.50s", c->method, c->by,
		       c->text[0] ? ": " : "", c->text);
	if (!c->off) {
		apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation,
			      "fence-failed", -1, cause);
		return;
	}
	owe_nothing(n, c);
	owe_on(ap, n, c);
	if (n->silent >= n->incarnation)
		return; /* known already; the history has it */
	n->silent = n->incarnation;
	if (ap->defects & STATE_DEFECT_OFF_PAYS)
		debts_forgotten(ap, n);
	apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation, "node-silent",
		      n->since_ms, cause);
	apply_settle(ap);
}
