/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about the cluster as a whole: its setup, a node that goes for good, stop and start. */
#include "config.h"

#include "quorum/quarantine.h"
#include "quorum/state_apply.h"

#include <stdlib.h>
#include <string.h>

void state_setup_fini(struct state_setup *setup)
{
	for (int i = 0; i < STATE_PARTS; i++)
		free(setup->part[i].data);
	*setup = (struct state_setup){ 0 };
}

int state_setup_put(struct state_setup *setup, enum state_part part, const void *data, size_t len)
{
	struct state_blob *b = &setup->part[part];
	uint8_t *copy = malloc(len + 1);

	if (!copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, data, len);
	copy[len] = 0;
	free(b->data);
	*b = (struct state_blob){ copy, len, setup->version };
	return 0;
}

const char *state_setup_text(const struct state_setup *setup, enum state_part part)
{
	return setup->part[part].data ? (const char *)setup->part[part].data : "";
}

bool state_setup_gone(const struct state_setup *setup, uint32_t id)
{
	return id < 256 && (setup->gone[id / 8] >> (id % 8) & 1);
}

bool state_setup_has_gone(const struct state_setup *setup)
{
	for (size_t i = 0; i < sizeof(setup->gone); i++)
		if (setup->gone[i])
			return true;
	return false;
}

static bool parts_valid(const Log__SetupSet *c)
{
	for (size_t i = 0; i < c->n_parts; i++)
		if (c->parts[i]->kind >= STATE_PARTS || c->parts[i]->data.len > STATE_PART_MAX)
			return false;
	return c->n_parts > 0;
}

/* Two joins at a time would each leave the other's node out: the version says who was first. */
void apply_setup_set(struct apply *ap, const Log__SetupSet *c)
{
	struct state_setup *setup = &ap->state->setup;

	if (!parts_valid(c)) {
		apply_refuse(ap, -EINVAL, "the cluster's setup is too long, or of a newer version");
		return;
	}
	if (!apply_expect(ap, "setup", "version", c->version, setup->version))
		return;
	setup->version++;
	for (size_t i = 0; i < c->n_parts; i++) {
		/* Made from the text of this version: without those that had gone by then. */
		if (c->parts[i]->kind == STATE_PART_COROSYNC)
			memset(setup->gone, 0, sizeof(setup->gone));
		if (state_setup_put(setup, (enum state_part)c->parts[i]->kind,
				    c->parts[i]->data.data, c->parts[i]->data.len) < 0)
			ap->no_memory = true;
	}
	ap->result->number = setup->version;
	apply_changed(ap, STATE_CHANGED_SETUP, "", 0, setup->version, "setup-changed", -1,
		      c->cause);
}

/* ---- a node that goes for good ------------------------------------------------------------------------ */

const char *state_cannot_remove(const struct state *s, const struct state_node *n)
{
	if (n->phase == STATE_NODE_LIVING)
		return "it is a living member";
	if (n->silent < n->incarnation)
		return "it may still run something: waiting until its lease has ended";
	for (size_t i = 0; i < s->debts.n; i++)
		if (s->debts.v[i].node == n->id)
			return "a volume is not fenced from it yet";
	for (size_t i = 0; i < s->volumes.n; i++)
		if (s->volumes.v[i].coordinator == n->id)
			return "a volume has no other coordinator yet";
	for (size_t i = 0; i < s->resources.n; i++)
		if (s->resources.v[i].owner == n->id || s->resources.v[i].target == n->id)
			return "something is not taken over from it yet";
	return NULL;
}

/*
 * Not while anything of it may still be on its way: with the node its debts and its incarnation would
 * be forgotten, and a late write of it would be nobody's. Nor is its id free for another node before:
 * incarnations begin anew, and keys on the LUNs carry only node and incarnation.
 */
void apply_node_remove(struct apply *ap, const Log__NodeRemove *c)
{
	struct state_node *n = apply_node(ap, c->node);
	const char *why;

	if (!n || !apply_expect(ap, n->name, "incarnation", c->incarnation, n->incarnation))
		return;
	why = state_cannot_remove(ap->state, n);
	if (why && !(ap->defects & STATE_DEFECT_REMOVE_EARLY)) {
		apply_refuse(ap, -CL_EREFUSED, "node '%s' cannot go yet: %s", n->name, why);
		return;
	}
	apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation, "node-removed", -1,
		      c->cause);
	for (size_t i = 0; i < ap->state->resources.n; i++) {
		struct state_resource *r = &ap->state->resources.v[i];

		r->prefer = r->prefer == n->id ? 0 : r->prefer;
		r->avoid = r->avoid == n->id ? 0 : r->avoid;
	}
	if (n->id < 256 && ap->state->setup.part[STATE_PART_COROSYNC].data)
		ap->state->setup.gone[n->id / 8] |= (uint8_t)(1u << (n->id % 8));
	if (ap->state->retired < n->incarnation && !(ap->defects & STATE_DEFECT_FORGET_RETIRED))
		ap->state->retired = n->incarnation;
	apply_fences_forget(ap, n->id);
	state_node_vec_remove(&ap->state->nodes, (size_t)(n - ap->state->nodes.v));
	quarantine_fit(ap);
}
