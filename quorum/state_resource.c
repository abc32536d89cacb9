/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about resources: created, wanted, placed, started, stopped, displaced. */
#include "config.h"

#include "quorum/state_phase.h"

#include <stdio.h>
#include <string.h>

#include "quorum/state_save.h"

enum {
	FAILURES_MAX = 3,	/* in a row, then it stays `failed` */
	WELL_AFTER_MS = 600000, /* ran so long: earlier failures are forgotten */
};

static int resource_insert(struct state *state, const struct state_resource *r)
{
	struct state_resource_vec *vec = &state->resources;
	size_t i = vec->n;

	if (state_resource_vec_push(vec, *r) < 0)
		return -ENOMEM;
	while (i > 0 && strcmp(vec->v[i - 1].name, r->name) > 0)
		i--;
	memmove(&vec->v[i + 1], &vec->v[i], (vec->n - 1 - i) * sizeof(*r));
	vec->v[i] = *r;
	return 0;
}

/* What cannot be placed is not asked for: its client would wait for the operator of the volume. */
static bool may_be_wanted(struct apply *ap, const struct state_resource *r)
{
	const char *volume = state_in_maintenance(ap->state, r);

	if (volume)
		apply_refuse(ap, -CL_EREFUSED,
			     "volume '%s' is in maintenance: `clusterctl maintenance %s off` first",
			     volume, volume);
	return !volume;
}

static bool create_volumes(struct apply *ap, const Log__ResourceCreate *c, struct state_resource *r)
{
	if (c->n_volumes > STATE_VOLUMES_OF_RESOURCE_MAX) {
		apply_refuse(ap, -EINVAL, "a VM can use at most %d volumes",
			     STATE_VOLUMES_OF_RESOURCE_MAX);
		return false;
	}
	for (size_t i = 0; i < c->n_volumes; i++) {
		if (!apply_volume(ap, c->volumes[i]))
			return false;
		STATE_COPY(r->volumes[i], c->volumes[i]);
	}
	r->n_volumes = c->n_volumes;
	return !c->wanted || may_be_wanted(ap, r);
}

/* Generations begin at the log's index: one created again under its name never repeats a number. */
void apply_resource_create(struct apply *ap, const Log__ResourceCreate *c)
{
	struct state_resource r = {
		.memory_bytes = c->memory_bytes,
		.cpus = c->cpus,
		.priority = c->priority,
		.start_after =
			c->start_after > STATE_AFTER_LEASE ? STATE_AFTER_AUTO : c->start_after,
		.wanted = c->wanted,
		.phase = c->wanted ? STATE_WAITING : STATE_OFFLINE,
		.generation = ap->index,
		.top = ap->index,
		.prefer = c->prefer,
		.since_ms = ap->time_ms,
		.spec_len = c->spec.len,
	};

	if (!apply_new_name(ap, c->name) || !create_volumes(ap, c, &r))
		return;
	if (c->spec.len > STATE_SPEC_MAX || ap->state->resources.n >= STATE_RESOURCES_MAX) {
		apply_refuse(ap, -ENOSPC, "too many VMs, or its description is too long");
		return;
	}
	STATE_COPY(r.name, c->name);
	STATE_COPY(r.type, c->type);
	r.spec = malloc(c->spec.len + 1);
	if (!r.spec || resource_insert(ap->state, &r) < 0) {
		free(r.spec);
		ap->no_memory = true;
		return;
	}
	if (c->spec.len)
		memcpy(r.spec, c->spec.data, c->spec.len);
	r.spec[c->spec.len] = 0;
	ap->result->number = r.generation;
	apply_changed(ap, STATE_CHANGED_RESOURCE, r.name, 0, r.generation, "vm-created", -1, "");
}

void apply_resource_delete(struct apply *ap, const Log__ResourceDelete *c)
{
	struct state_resource *r = apply_resource(ap, c->name);

	if (!r)
		return;
	if (r->owner || (r->phase != STATE_OFFLINE && r->phase != STATE_FAILED)) {
		apply_refuse(ap, -CL_EREFUSED, "VM '%s' is %s: stop it first", r->name,
			     state_phase_name(r->phase));
		return;
	}
	apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, 0, r->generation, "vm-deleted", -1, "");
	free(r->spec);
	state_resource_vec_remove(&ap->state->resources, (size_t)(r - ap->state->resources.v));
}

static void desire_on(struct apply *ap, struct state_resource *r, uint32_t prefer)
{
	r->wanted = true;
	if (r->phase != STATE_OFFLINE && r->phase != STATE_FAILED)
		return;
	r->prefer = prefer;
	r->failures = 0;
	r->avoid = 0;
	resource_enter(ap, r, STATE_WAITING, "to be placed");
}

static void desire_off(struct apply *ap, struct state_resource *r, bool force)
{
	switch (r->phase) {
	case STATE_WAITING:
	case STATE_FAILED:
		r->wanted = false;
		resource_enter(ap, r, STATE_OFFLINE, "");
		break;
	case STATE_STARTING:
	case STATE_ONLINE:
	case STATE_MIGRATING:
		r->wanted = false;
		r->force = force;
		resource_burn(ap, r);
		resource_enter(ap, r, STATE_STOPPING, "asked to stop");
		break;
	case STATE_STOPPING:
		r->wanted = false;
		r->force = r->force || force;
		break;
	case STATE_SWITCHING:
	case STATE_HANDOVER:
	case STATE_ABORTING:
		apply_refuse(ap, -CL_EREFUSED,
			     "VM '%s' is being handed over this moment: try again", r->name);
		break;
	default: /* offline, displaced: only what is wanted changes */
		r->wanted = false;
	}
}

void apply_resource_desire(struct apply *ap, const Log__ResourceDesire *c)
{
	struct state_resource *r = apply_resource(ap, c->name);
	enum state_phase was;

	if (!r || (c->wanted && !may_be_wanted(ap, r)))
		return;
	was = r->phase;
	if (c->wanted)
		desire_on(ap, r, c->prefer);
	else
		desire_off(ap, r, c->force);
	ap->result->number = r->generation;
	if (r->phase != was)
		apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, r->owner, r->generation,
			      c->wanted ? "vm-start-asked" : "vm-stop-asked", -1, "");
}

/* It counts at once, also of one that waits for its failed owner. */
void apply_resource_set(struct apply *ap, const Log__ResourceSet *c)
{
	struct state_resource *r = apply_resource(ap, c->name);

	if (!r)
		return;
	if (c->start_after > STATE_AFTER_LEASE) {
		apply_refuse(ap, -EINVAL, "start-after %u is not known", c->start_after);
		return;
	}
	r->start_after = (enum state_start_after)c->start_after;
	apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, r->owner, r->generation, "vm-set", -1,
		      state_start_after_name(r->start_after));
	apply_settle(ap);
}

/*
 * All at once, and remembered: what is wanted stays, so that `start cluster` starts what ran. One that is
 * handed over this moment ends when that is over: the leader says it again. Debts, leases and `silent` count
 * as always: a stop is no proof of anything.
 */
void apply_cluster_stop(struct apply *ap, const Log__ClusterStop *c)
{
	struct state *s = ap->state;

	if (s->stopped != !!c->on)
		apply_changed(ap, STATE_CHANGED_SETUP, "", 0, 0,
			      c->on ? "cluster-stopping" : "cluster-started", -1, "asked for");
	s->stopped = c->on;
	s->stop_saves = c->on && c->save;
	for (size_t i = 0; c->on && i < s->resources.n; i++) {
		struct state_resource *r = &s->resources.v[i];

		if (r->phase != STATE_STARTING && r->phase != STATE_ONLINE &&
		    r->phase != STATE_MIGRATING)
			continue;
		resource_burn(ap, r);
		if (c->save && r->phase == STATE_ONLINE)
			save_begin(r);
		resource_enter(ap, r, STATE_STOPPING, "the cluster is stopped");
	}
}

/* A volume with a debt is opened by nobody new, whoever the debt is of. */
void apply_resource_place(struct apply *ap, const Log__ResourcePlace *c)
{
	struct state_resource *r = apply_resource(ap, c->name);
	const struct state_node *n = apply_node(ap, c->node);
	char why[STATE_REASON_MAX];

	if (!r || !n || !apply_expect(ap, r->name, "generation", c->generation, r->generation))
		return;
	if (r->phase != STATE_WAITING) {
		apply_refuse(ap, -CL_EMOVED, "VM '%s' is %s", r->name, state_phase_name(r->phase));
		return;
	}
	if (!state_living(ap->state, c->node, c->incarnation) || state_gets_nothing(n)) {
		apply_refuse(ap, -CL_EREFUSED, "node '%s' takes nothing new", n->name);
		return;
	}
	if (!state_may_place(ap->state, r, why)) {
		apply_refuse(ap, -CL_EREFUSED, "%s", why);
		return;
	}
	r->generation = save_generation(ap, r);
	r->owner = c->node;
	r->owner_incarnation = c->incarnation;
	r->prefer = 0;
	resource_enter(ap, r, STATE_STARTING, c->cause);
	ap->result->number = r->generation;
	apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, r->owner, r->generation, "vm-placed", -1,
		      c->cause);
}

void apply_resource_started(struct apply *ap, const Log__ResourceStarted *c)
{
	struct state_resource *r = apply_resource(ap, c->name);
	int64_t since_ms;

	if (!r || !apply_expect(ap, r->name, "generation", c->generation, r->generation))
		return;
	if (r->phase != STATE_STARTING) {
		apply_refuse(ap, -CL_EMOVED, "VM '%s' is %s", r->name, state_phase_name(r->phase));
		return;
	}
	since_ms = r->since_ms;
	save_used(ap, r);
	resource_enter(ap, r, STATE_ONLINE, "");
	apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, r->owner, r->generation, "vm-started",
		      since_ms, "");
}

/* A run that ended badly: somewhere else next time, and not for ever. */
static void stopped_badly(struct apply *ap, struct state_resource *r, const char *cause)
{
	if (ap->time_ms - r->since_ms > WELL_AFTER_MS)
		r->failures = 0;
	r->failures++;
	r->avoid = r->owner;
	resource_free(ap, r, cause);
	if (r->phase == STATE_WAITING && r->failures > FAILURES_MAX)
		resource_enter(ap, r, STATE_FAILED, cause);
}

/*
 * The agent's word that generation g is gone: process dead, nothing of it left in csvd. In HANDOVER
 * the source may die at any time, its memory is complete at the target: that changes nothing. Before
 * that its death ends the migration, the target's number is burned and the VM begins from disk.
 */
void apply_resource_stopped(struct apply *ap, const Log__ResourceStopped *c)
{
	struct state_resource *r = apply_resource(ap, c->name);
	uint32_t node;
	bool asked;

	if (!r || !apply_expect(ap, r->name, "generation", c->generation, r->generation))
		return;
	if (!r->owner || r->phase == STATE_HANDOVER || r->phase == STATE_DISPLACED) {
		apply_refuse(ap, -CL_EMOVED, "VM '%s' is %s", r->name, state_phase_name(r->phase));
		return;
	}
	node = r->owner;
	asked = r->phase == STATE_STOPPING;
	save_done(r, c->saved);
	if (asked || !c->failed)
		resource_free(ap, r, c->cause);
	else
		stopped_badly(ap, r, c->cause);
	apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, node, r->generation,
		      asked || !c->failed ? "vm-stopped" : "vm-failed", -1, c->cause);
}

/* ---- a node failed --------------------------------------------------------------------------- */

static void owner_failed(struct apply *ap, struct state_resource *r, const struct state_node *n)
{
	char why[STATE_REASON_MAX];

	(void)snprintf(why, sizeof(why), "node '%s' failed: %.70s", n->name, n->reason);
	/* The source's memory is complete at the target: the commit follows, or an abort does. */
	if (r->phase == STATE_HANDOVER && state_living(ap->state, r->target, r->target_incarnation))
		return;
	resource_burn(ap, r);
	resource_enter(ap, r, STATE_DISPLACED, why);
	apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, n->id, r->generation, "vm-displaced", -1,
		      why);
}

/*
 * The target is gone. It cannot have run: only the applied commit lets it, and no commit can be
 * applied after this. So the source goes on, also one that stands in `postmigrate`; one that has
 * failed itself leaves the VM to be started from disk.
 */
static void target_failed(struct apply *ap, struct state_resource *r, const struct state_node *n)
{
	char why[STATE_REASON_MAX];

	(void)snprintf(why, sizeof(why), "target '%s' failed: %.70s", n->name, n->reason);
	resource_burn(ap, r);
	if (!state_living(ap->state, r->owner, r->owner_incarnation)) {
		resource_enter(ap, r, STATE_DISPLACED, why);
		return;
	}
	if (r->phase == STATE_HANDOVER)
		resource_enter(ap, r, STATE_ABORTING, why);
	resource_enter(ap, r, STATE_ONLINE, why);
	apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, r->owner, r->generation,
		      "vm-move-aborted", -1, why);
}

void apply_node_failed_resources(struct apply *ap, const struct state_node *n)
{
	for (size_t i = 0; i < ap->state->resources.n; i++) {
		struct state_resource *r = &ap->state->resources.v[i];

		if (r->owner == n->id && r->owner_incarnation == n->incarnation &&
		    r->phase != STATE_DISPLACED)
			owner_failed(ap, r, n);
		else if (r->target == n->id && r->target_incarnation == n->incarnation)
			target_failed(ap, r, n);
	}
}

/*
 * Freed is not placed. Were it freed only when it may be placed, `stop cluster` would wait for a dead node's VM, and
 * `start cluster` leave it where it is: nothing else happens to it any more (simulator: all-online).
 */
void apply_settle(struct apply *ap)
{
	char why[STATE_REASON_MAX];

	for (size_t i = 0; i < ap->state->resources.n; i++) {
		struct state_resource *r = &ap->state->resources.v[i];

		if (r->phase != STATE_DISPLACED || !state_is_free(ap->state, r, why))
			continue;
		resource_free(ap, r, r->reason);
		apply_changed(ap, STATE_CHANGED_RESOURCE, r->name, 0, r->generation, "vm-free",
			      r->since_ms, r->reason);
	}
}
