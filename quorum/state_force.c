/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "quorum/state_force.h"

#include <stdio.h>
#include <string.h>

#include "quorum/quarantine.h"
#include "quorum/state_apply.h"

static void node_left(struct state_node *n, uint64_t jump, int64_t time_ms, const char *cause)
{
	n->phase = STATE_NODE_FAILED;
	n->incarnation += jump;
	n->instance = 0;
	/* Those whom nobody can ask may ack its beats still: what was seen on the storage proves nothing. */
	n->heard_silent = 0;
	n->heard_moving = true;
	quarantine_end(n);
	apply_stop_ends(n);
	n->goodbye = false;
	n->since_ms = time_ms;
	STATE_COPY(n->reason, cause);
}

static int debt_add(struct state *s, const struct state_volume *v, const struct state_node *n,
		    int64_t time_ms)
{
	struct state_debt d = {
		.node = n->id,
		.incarnation = n->incarnation,
		.since_ms = time_ms,
	};

	STATE_COPY(d.volume, v->name);
	return state_debt_vec_push(&s->debts, d);
}

/* For every node, whether it failed long ago or never was admitted: we may not know that it was. */
static int debts_of_all(struct state *s, int64_t time_ms)
{
	int r = 0;

	state_debt_vec_clear(&s->debts);
	for (size_t i = 0; r == 0 && i < s->volumes.n; i++)
		for (size_t k = 0; r == 0 && k < s->nodes.n; k++)
			r = debt_add(s, &s->volumes.v[i], &s->nodes.v[k], time_ms);
	return r;
}

/* Whose silence a VM has to wait for: its owner's, when that is not this node, else any other's: we do
 * not know to whom it was given after our last entry. All of them are silent at the same time. */
static const struct state_node *suspect(const struct state *s, const struct state_resource *r,
					uint32_t self)
{
	const struct state_node *n = r->owner != self ? state_node(s, r->owner) : NULL;

	for (size_t i = 0; !n && i < s->nodes.n; i++)
		if (s->nodes.v[i].id != self)
			n = &s->nodes.v[i];
	return n ? n : state_node(s, self);
}

static void resource_left(struct state_resource *r, const struct state_node *n, uint64_t jump,
			  int64_t time_ms, const char *cause)
{
	r->phase = STATE_DISPLACED;
	r->owner = n ? n->id : 0;
	r->owner_incarnation = n ? n->incarnation : 0;
	r->top += jump;
	r->generation = r->top;
	r->target = 0;
	r->target_incarnation = r->reserved = 0;
	r->saved = r->saved_from = 0; /* whoever had a later log may have taken it up */
	r->failures = r->avoid = 0;
	r->since_ms = time_ms;
	STATE_COPY(r->reason, cause);
}

int state_force(struct state *s, uint32_t self, uint64_t jump, int64_t time_ms, const char *cause,
		unsigned defects)
{
	int r = 0;

	if (defects & STATE_FORCE_DEFECT_NO_JUMP)
		jump = 1;
	/* Its copy is of the old line: `set quorum` makes a new one. */
	s->witness = (struct state_witness){ 0 };
	for (size_t i = 0; i < s->nodes.n; i++)
		node_left(&s->nodes.v[i], jump, time_ms, cause);
	s->retired += jump;
	/* Its disk holds the old line: a voter that nobody has seen is none. It is set up anew. */
	s->witness = (struct state_witness){ 0 };
	for (size_t i = 0; i < s->volumes.n; i++) {
		struct state_volume *v = &s->volumes.v[i];

		v->epoch += jump;
		v->coordinator = v->moving_to = 0;
		v->coordinator_incarnation = 0;
		v->since_ms = time_ms;
		STATE_COPY(v->reason, cause);
	}
	for (size_t i = 0; i < s->resources.n; i++)
		resource_left(&s->resources.v[i], suspect(s, &s->resources.v[i], self), jump,
			      time_ms, cause);
	if (!(defects & STATE_FORCE_DEFECT_NO_DEBTS))
		r = debts_of_all(s, time_ms);
	return r;
}

void state_force_self(struct state *s, uint32_t self, const uint8_t uuid[16])
{
	struct state_node *n = state_node(s, self);

	/* Nobody else is there that it could leave. */
	if (n && n->leaving)
		n->leaving = n->draining = false;
	if (!n || memcmp(n->uuid, uuid, sizeof(n->uuid)) == 0)
		return;
	memcpy(n->uuid, uuid, sizeof(n->uuid));
	for (size_t i = s->dedup.n; i-- > 0;)
		if (s->dedup.v[i].node == self)
			state_dedup_vec_remove(&s->dedup, i);
}

/* ---- what was dropped --------------------------------------------------------------------------- */

struct report {
	void (*each)(void *user, const char *object, const char *text);
	void *user;
};

static void resource_dropped(const struct report *to, const struct state_resource *old,
			     const struct state_resource *now)
{
	if (!now)
		to->each(to->user, old->name, "was created, and is not known any more");
	else if (old->spec_len != now->spec_len ||
		 memcmp(old->spec, now->spec, old->spec_len) != 0 ||
		 old->priority != now->priority || old->memory_bytes != now->memory_bytes)
		to->each(to->user, old->name, "was described otherwise");
	else if (old->wanted != now->wanted)
		to->each(to->user, old->name,
			 old->wanted ? "was to be started" : "was to be stopped");
}

static void volume_dropped(const struct report *to, const struct state_volume *old,
			   const struct state_volume *now)
{
	if (!now)
		to->each(to->user, old->name, "was created, and is not known any more");
	else if (old->redirected != now->redirected || old->maintenance != now->maintenance)
		to->each(to->user, old->name, "was set otherwise");
}

void state_dropped(const struct state *old, const struct state *now,
		   void (*each)(void *user, const char *object, const char *text), void *user)
{
	const struct report to = { each, user };

	for (size_t i = 0; i < old->nodes.n; i++)
		if (!state_node(now, old->nodes.v[i].id))
			each(user, old->nodes.v[i].name, "was a node, and is not known any more");
	for (size_t i = 0; i < old->volumes.n; i++)
		volume_dropped(&to, &old->volumes.v[i], state_volume(now, old->volumes.v[i].name));
	for (size_t i = 0; i < old->resources.n; i++)
		resource_dropped(&to, &old->resources.v[i],
				 state_resource(now, old->resources.v[i].name));
	for (size_t i = 0; i < now->volumes.n; i++)
		if (!state_volume(old, now->volumes.v[i].name))
			each(user, now->volumes.v[i].name, "was deleted, and is back");
	for (size_t i = 0; i < now->resources.n; i++)
		if (!state_resource(old, now->resources.v[i].name))
			each(user, now->resources.v[i].name, "was deleted, or is new");
}
