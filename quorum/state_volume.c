/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about volumes: created, given a coordinator, fences paid. */
#include "config.h"

#include "quorum/state_apply.h"

#include <stdio.h>
#include <string.h>

#include "proto/heartbeat.h"
#include "quorum/state_schema.h"

static int volume_insert(struct state *state, const struct state_volume *v)
{
	size_t i = state->volumes.n;
	int r = state_volume_vec_push(&state->volumes, *v);

	for (; r == 0 && i > 0 && strcmp(state->volumes.v[i - 1].name, v->name) > 0; i--) {
		state->volumes.v[i] = state->volumes.v[i - 1];
		state->volumes.v[i - 1] = *v;
	}
	return r;
}

/* The epoch begins at the log's index: a volume created again under its name never repeats one. */
void apply_volume_create(struct apply *ap, const Log__VolumeCreate *c)
{
	struct state_volume v = { .epoch = ap->index, .since_ms = ap->time_ms };

	if (!apply_new_name(ap, c->name))
		return;
	if (c->uuid.len != sizeof(v.uuid) || c->url[0] == 0 || strlen(c->url) >= sizeof(v.url)) {
		apply_refuse(ap, -EINVAL, "a volume needs a uuid and an address of its LUN");
		return;
	}
	if (ap->state->volumes.n >= STATE_VOLUMES_MAX) {
		apply_refuse(ap, -ENOSPC, "a cluster has at most %d volumes", STATE_VOLUMES_MAX);
		return;
	}
	STATE_COPY(v.name, c->name);
	STATE_COPY(v.url, c->url);
	STATE_COPY(v.reason, "no coordinator yet");
	memcpy(v.uuid, c->uuid.data, sizeof(v.uuid));
	v.probed_len = c->probed.len <= sizeof(v.probed) ? c->probed.len : 0;
	if (v.probed_len)
		memcpy(v.probed, c->probed.data, v.probed_len);
	if (volume_insert(ap->state, &v) < 0)
		ap->no_memory = true;
	ap->result->number = v.epoch;
	apply_changed(ap, STATE_CHANGED_VOLUME, v.name, 0, v.epoch, "volume-created", -1, "");
}

static const char *volume_user(const struct state *state, const char *volume)
{
	for (size_t i = 0; i < state->resources.n; i++)
		for (size_t k = 0; k < state->resources.v[i].n_volumes; k++)
			if (strcmp(state->resources.v[i].volumes[k], volume) == 0)
				return state->resources.v[i].name;
	return NULL;
}

/* A debt goes: what is known of the heartbeat of the incarnation that it is about. */
static void heard(struct apply *ap, const struct state_debt *d, uint64_t incarnation, uint32_t seen)
{
	struct state_node *n = state_node(ap->state, d->node);

	if (!n || n->phase != STATE_NODE_FAILED || state_schema(ap->state) < SCHEMA_HEARTBEAT)
		return;
	if (incarnation == n->incarnation && seen == HEARTBEAT_SILENT)
		n->heard_silent++;
	else if (incarnation != n->incarnation || seen != HEARTBEAT_ABSENT)
		n->heard_moving = true;
}

void apply_volume_delete(struct apply *ap, const Log__VolumeDelete *c)
{
	struct state_volume *v = apply_volume(ap, c->name);
	struct state *s = ap->state;
	const char *user;

	if (!v)
		return;
	user = volume_user(s, v->name);
	if (user) {
		apply_refuse(ap, -CL_EREFUSED, "volume '%s' is used by VM '%s'", v->name, user);
		return;
	}
	for (size_t i = s->debts.n; i-- > 0;)
		if (strcmp(s->debts.v[i].volume, v->name) == 0) {
			heard(ap, &s->debts.v[i], 0, HEARTBEAT_UNKNOWN);
			state_debt_vec_remove(&s->debts, i);
		}
	apply_changed(ap, STATE_CHANGED_VOLUME, v->name, 0, v->epoch, "volume-deleted", -1, "");
	state_volume_vec_remove(&s->volumes, (size_t)(v - s->volumes.v));
}

/*
 * A living coordinator is replaced only after it has given the volume up by itself: two
 * coordinators would each write metadata. A failed one is replaced at once: the new one pays the
 * fence before its first data command, so that the old one's writes cannot arrive any more.
 */
void apply_volume_assign(struct apply *ap, const Log__VolumeAssign *c)
{
	struct state_volume *v = apply_volume(ap, c->name);

	if (!v || !apply_expect(ap, v->name, "epoch", c->epoch, v->epoch))
		return;
	if (!state_living(ap->state, c->node, c->incarnation)) {
		apply_refuse(ap, -CL_EREFUSED, "node %u is no living member", c->node);
		return;
	}
	if (state_living(ap->state, v->coordinator, v->coordinator_incarnation) &&
	    !(c->released && v->moving_to)) {
		apply_refuse(ap, -CL_EREFUSED, "volume '%s' has a living coordinator", v->name);
		return;
	}
	if (!v->moving_to)
		v->placed = false; /* the cluster's choice */
	v->coordinator = c->node;
	v->coordinator_incarnation = c->incarnation;
	v->epoch++;
	v->moving_to = 0;
	v->reason[0] = 0;
	ap->result->number = v->epoch;
	apply_changed(ap, STATE_CHANGED_VOLUME, v->name, c->node, v->epoch, "volume-coordinator",
		      v->since_ms, c->cause);
	v->since_ms = ap->time_ms;
}

void apply_volume_release(struct apply *ap, const Log__VolumeRelease *c)
{
	struct state_volume *v = apply_volume(ap, c->name);
	struct state_node *to = c->to ? state_node(ap->state, c->to) : NULL;

	if (!v || !apply_expect(ap, v->name, "epoch", c->epoch, v->epoch))
		return;
	if (c->to && (!to || to->phase != STATE_NODE_LIVING || c->to == v->coordinator)) {
		apply_refuse(ap, -CL_EREFUSED, "volume '%s' cannot move to node %u", v->name,
			     c->to);
		return;
	}
	v->moving_to = c->to;
	v->placed = c->to && c->asked;
	v->since_ms = ap->time_ms;
	ap->result->number = v->epoch + 1;
	apply_changed(ap, STATE_CHANGED_VOLUME, v->name, c->to, v->epoch,
		      c->to ? "volume-moving" : "volume-move-ended", -1, "");
}

static void flag_changed(struct apply *ap, const struct state_volume *v, const char *event)
{
	apply_changed(ap, STATE_CHANGED_VOLUME, v->name, v->coordinator, v->epoch, event, -1,
		      "asked for");
}

void apply_volume_redirect(struct apply *ap, const Log__VolumeRedirect *c)
{
	struct state_volume *v = apply_volume(ap, c->name);

	if (!v || v->redirected == !!c->on)
		return;
	v->redirected = c->on;
	flag_changed(ap, v, c->on ? "volume-redirected" : "volume-not-redirected");
}

/* A VM that has it, or is about to: its phase is neither offline nor failed. */
static const struct state_resource *volume_in_use(const struct state *s, const char *volume)
{
	for (size_t i = 0; i < s->resources.n; i++) {
		const struct state_resource *r = &s->resources.v[i];

		if (r->phase == STATE_OFFLINE || r->phase == STATE_FAILED)
			continue;
		for (size_t k = 0; k < r->n_volumes; k++)
			if (strcmp(r->volumes[k], volume) == 0)
				return r;
	}
	return NULL;
}

/*
 * Refused here and not by the manager alone: a VM that was asked to start a moment ago stands before
 * this command in the log or after it, and either this one is refused or that one.
 */
void apply_volume_maintenance(struct apply *ap, const Log__VolumeMaintenance *c)
{
	struct state_volume *v = apply_volume(ap, c->name);
	const struct state_resource *user;

	if (!v || v->maintenance == !!c->on)
		return;
	user = c->on ? volume_in_use(ap->state, v->name) : NULL;
	if (user) {
		apply_refuse(ap, -CL_EREFUSED, "VM '%s' uses volume '%s' and is %s: stop it first",
			     user->name, v->name, state_phase_name(user->phase));
		return;
	}
	v->maintenance = c->on;
	flag_changed(ap, v, c->on ? "volume-maintenance" : "volume-maintenance-ended");
	if (!c->on)
		apply_settle(ap);
}

/*
 * Only the coordinator of the present epoch can pay: one that was replaced may report late about a
 * LUN whose reservations another one has rebuilt since. Debts of a later incarnation stay.
 */
void apply_debt_paid(struct apply *ap, const Log__DebtPaid *c)
{
	struct state_volume *v = apply_volume(ap, c->volume);
	struct state *s = ap->state;
	bool any = false;

	if (!v || !apply_expect(ap, v->name, "epoch", c->epoch, v->epoch))
		return;
	if (c->payer != v->coordinator) {
		apply_refuse(ap, -CL_EREFUSED, "node %u does not coordinate volume '%s'", c->payer,
			     v->name);
		return;
	}
	for (size_t i = s->debts.n; i-- > 0;) {
		struct state_debt *d = &s->debts.v[i];

		if (strcmp(d->volume, v->name) != 0 || d->node != c->node ||
		    d->incarnation > c->incarnation)
			continue;
		apply_changed(ap, STATE_CHANGED_DEBT, v->name, d->node, d->incarnation,
			      "fence-paid", d->since_ms, "");
		heard(ap, d, c->incarnation, c->seen);
		state_debt_vec_remove(&s->debts, i);
		any = true;
	}
	if (any)
		apply_settle(ap);
	else
		apply_refuse(ap, -CL_EMOVED, "no such debt on volume '%s'", v->name);
}
