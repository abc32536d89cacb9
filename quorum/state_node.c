/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about nodes: known, admitted, failed, silent. Picture and rules in quorum/state.h. */
#include "config.h"

#include "quorum/quarantine.h"
#include "quorum/state_apply.h"

#include <stdio.h>
#include <string.h>

#include "lib/sm.h"

static const struct sm_state node_phases[] = {
	[STATE_NODE_KNOWN] = { "known", SM_TO(STATE_NODE_LIVING), SM_INITIAL },
	[STATE_NODE_LIVING] = { "living", SM_TO(STATE_NODE_FAILED), SM_INITIAL },
	[STATE_NODE_FAILED] = { "failed", SM_TO(STATE_NODE_LIVING), SM_INITIAL },
};

void apply_node_enter(struct apply *ap, struct state_node *n, enum state_node_phase phase,
		      const char *reason)
{
	struct sm sm;

	sm_init(&sm, "node", n->name, node_phases, sizeof(node_phases) / sizeof(*node_phases),
		(int)n->phase, NULL);
	sm_move(&sm, (int)phase, reason);
	n->phase = phase;
	n->since_ms = ap->time_ms;
	STATE_COPY(n->reason, reason);
}

static void node_describe(struct state_node *n, const Log__Node *from)
{
	memcpy(n->uuid, from->uuid.data, sizeof(n->uuid));
	STATE_COPY(n->storage_address, from->storage_address);
	STATE_COPY(n->migration_address, from->migration_address);
	n->memory_bytes = from->memory_bytes;
	n->cpus = from->cpus;
}

static int node_insert(struct state *state, const struct state_node *n)
{
	size_t i = state->nodes.n;
	int r = state_node_vec_push(&state->nodes, *n);

	for (; r == 0 && i > 0 && state->nodes.v[i - 1].id > n->id; i--) {
		state->nodes.v[i] = state->nodes.v[i - 1];
		state->nodes.v[i - 1] = *n;
	}
	return r;
}

/*
 * A node that is there already may describe itself anew (a new address). With another uuid it was
 * re-installed: the same place, another database; not while its old self counts as living.
 */
static void node_again(struct apply *ap, struct state_node *n, const Log__Node *from)
{
	if (strcmp(n->name, from->name) != 0) {
		apply_refuse(ap, -EEXIST, "node id %u is '%s' already", n->id, n->name);
		return;
	}
	if (memcmp(n->uuid, from->uuid.data, sizeof(n->uuid)) != 0 &&
	    n->phase == STATE_NODE_LIVING) {
		apply_refuse(ap, -CL_EREFUSED, "node '%s' is a living member with another database",
			     n->name);
		return;
	}
	/* Its requests are counted anew: an old answer must not be taken for a new one's. */
	for (size_t i = ap->state->dedup.n; i-- > 0;)
		if (ap->state->dedup.v[i].node == n->id &&
		    memcmp(n->uuid, from->uuid.data, sizeof(n->uuid)) != 0)
			state_dedup_vec_remove(&ap->state->dedup, i);
	/* Its processes are counted anew, too. */
	if (memcmp(n->uuid, from->uuid.data, sizeof(n->uuid)) != 0)
		n->goodbye = false;
	node_describe(n, from);
}

void apply_node_add(struct apply *ap, const Log__NodeAdd *c)
{
	const Log__Node *from = c->node;
	struct state_node n = { .phase = STATE_NODE_KNOWN, .since_ms = ap->time_ms };
	struct state_node *old;

	if (!from || from->id == 0 || from->id > 255 || from->uuid.len != sizeof(n.uuid)) {
		apply_refuse(ap, -EINVAL, "a node needs an id of 1..255 and a uuid");
		return;
	}
	old = state_node(ap->state, from->id);
	if (old) {
		node_again(ap, old, from);
		return;
	}
	if (!apply_new_name(ap, from->name))
		return;
	if (ap->state->nodes.n >= STATE_NODES_MAX) {
		apply_refuse(ap, -ENOSPC, "a cluster has at most %d nodes", STATE_NODES_MAX);
		return;
	}
	n.id = from->id;
	/* A removed node may have had this id: its keys and writes must never pass for the new one's. */
	n.incarnation = n.silent = ap->state->retired;
	STATE_COPY(n.name, from->name);
	STATE_COPY(n.reason, "is joining");
	node_describe(&n, from);
	if (node_insert(ap->state, &n) < 0)
		ap->no_memory = true;
	apply_changed(ap, STATE_CHANGED_NODE, n.name, n.id, 0, "node-added", -1, "");
}

/*
 * Incarnation i+1. The node asked for it after it had ended all that incarnation i ran, so that i is
 * silent by proof. Without a new number a write of i that is still on its way would pass as one of
 * the admitted node.
 */
void apply_node_admit(struct apply *ap, const Log__NodeAdmit *c)
{
	struct state_node *n = apply_node(ap, c->node);

	if (!n || !apply_expect(ap, n->name, "incarnation", c->incarnation, n->incarnation))
		return;
	if (n->phase == STATE_NODE_LIVING) {
		apply_refuse(ap, -CL_EREFUSED, "node '%s' is a member at incarnation %llu", n->name,
			     (unsigned long long)n->incarnation);
		return;
	}
	if (n->phase == STATE_NODE_FAILED && n->silent < n->incarnation)
		apply_fence_proof(ap, n, "admission", "it has ended all that it ran");
	n->silent = n->incarnation;
	if (!(ap->defects & STATE_DEFECT_KEEP_INCARNATION) || n->incarnation == 0)
		n->incarnation++;
	n->instance = c->instance;
	n->detached_ms = 0;
	n->goodbye = false;
	n->lease_ms = c->lease_ms < STATE_LEASE_MAX_MS ? c->lease_ms : STATE_LEASE_MAX_MS;
	apply_node_enter(ap, n, STATE_NODE_LIVING, "");
	ap->result->number = n->incarnation;
	apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation, "node-admitted", -1,
		      "");
	apply_settle(ap);
}

/* One debt per volume, whether or not a key of the node is known there (design: section 6). */
void apply_debts_of(struct apply *ap, const struct state_node *n)
{
	struct state *s = ap->state;

	for (size_t i = 0; i < s->volumes.n; i++) {
		struct state_debt d = {
			.node = n->id,
			.incarnation = n->incarnation,
			.since_ms = ap->time_ms,
		};
		size_t k;

		STATE_COPY(d.volume, s->volumes.v[i].name);
		for (k = 0; k < s->debts.n; k++)
			if (s->debts.v[k].node == n->id &&
			    strcmp(s->debts.v[k].volume, d.volume) == 0)
				break;
		if (k < s->debts.n)
			s->debts.v[k].incarnation = n->incarnation;
		else if (state_debt_vec_push(&s->debts, d) < 0)
			ap->no_memory = true;
	}
	if (s->volumes.n > 0)
		apply_changed(ap, STATE_CHANGED_DEBT, n->name, n->id, n->incarnation, "fence-owed",
			      -1, n->reason);
}

/* As a member, in that very life; NULL: refused. */
static struct state_node *living(struct apply *ap, uint32_t id, uint64_t incarnation)
{
	struct state_node *n = apply_node(ap, id);

	if (!n || !apply_expect(ap, n->name, "incarnation", incarnation, n->incarnation))
		return NULL;
	if (n->phase == STATE_NODE_LIVING)
		return n;
	apply_refuse(ap, -CL_EMOVED, "node '%s' is no living member", n->name);
	return NULL;
}

void apply_node_failed(struct apply *ap, const Log__NodeFailed *c)
{
	struct state_node *n = living(ap, c->node, c->incarnation);

	if (!n)
		return;
	apply_node_enter(ap, n, STATE_NODE_FAILED, c->cause);
	n->heard_silent = 0;
	n->heard_moving = false;
	apply_stop_ends(n);
	if (ap->defects & STATE_DEFECT_BOUND_SKIPPED)
		n->silent = n->incarnation;
	apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation, "node-failed", -1,
		      c->cause);
	if (!(ap->defects & STATE_DEFECT_FENCE_SKIPPED))
		apply_debts_of(ap, n);
	if (c->fence)
		quarantine_count(ap, n);
	apply_node_failed_resources(ap, n);
	apply_settle(ap);
}

/* By the storage: only what the payers of its debts have seen counts, not the proposer's word. */
static bool quiet(struct apply *ap, struct state_node *n, const char *cause)
{
	if (n->quiet >= n->incarnation || !state_storage_silent(ap->state, n, ap->defects)) {
		apply_refuse(ap, -CL_EMOVED, "node '%s' is not known to be quiet", n->name);
		return false;
	}
	n->quiet = n->incarnation;
	apply_fence_proof(ap, n, "storage heartbeat", cause);
	apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation, "node-quiet",
		      n->since_ms, cause);
	return true;
}

void apply_node_silent(struct apply *ap, const Log__NodeSilent *c)
{
	struct state_node *n = apply_node(ap, c->node);

	if (!n || !apply_expect(ap, n->name, "incarnation", c->incarnation, n->incarnation))
		return;
	if (n->phase != STATE_NODE_FAILED || n->silent >= c->incarnation) {
		apply_refuse(ap, -CL_EMOVED, "node '%s' needs no such proof", n->name);
		return;
	}
	if (c->storage) {
		if (quiet(ap, n, c->cause))
			apply_settle(ap);
		return;
	}
	n->silent = c->incarnation;
	apply_fence_proof(ap, n, "lease", c->cause);
	apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation, "node-silent",
		      n->since_ms, c->cause);
	apply_settle(ap);
}

/*
 * The number: a delayed `is back` of an earlier stop, applied during a later one, would have the others count
 * on the bound of its beats while its VMs run by the longer one.
 */
void apply_node_detach(struct apply *ap, const Log__NodeDetach *c)
{
	struct state_node *n = living(ap, c->node, c->incarnation);

	if (!n || !apply_expect(ap, n->name, "number of its stops", c->number, n->detaches))
		return;
	if (c->for_ms > STATE_DETACH_MAX_MS) {
		apply_refuse(ap, -EINVAL, "a planned stop of %u ms is too long", c->for_ms);
		return;
	}
	n->detaches++;
	n->detached_ms = c->for_ms;
	apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation,
		      c->for_ms ? "node-detached" : "node-attached", -1,
		      c->for_ms ? "its clusterd was told to end; its VMs run on" : "");
}

/* Never shorter: what was acked by the longer one still runs. */
void apply_node_lease(struct apply *ap, const Log__NodeLease *c)
{
	struct state_node *n = living(ap, c->node, c->incarnation);

	if (!n)
		return;
	if (c->lease_ms > STATE_LEASE_MAX_MS) {
		apply_refuse(ap, -EINVAL, "a run lease of %u ms is too long", c->lease_ms);
		return;
	}
	if (c->lease_ms > n->lease_ms)
		n->lease_ms = c->lease_ms;
}

static bool has_address(const struct state_node *n, const char *address)
{
	return strcmp(n->storage_address, address) == 0 ||
	       strcmp(n->migration_address, address) == 0;
}

/* What it was is expected: an order that comes again, or too late, changes nothing. */
void apply_node_address(struct apply *ap, const Log__NodeAddress *c)
{
	struct state_node *n = apply_node(ap, c->node);
	char cause[STATE_REASON_MAX];

	if (!n)
		return;
	if (!*c->from || !*c->to || strlen(c->to) >= STATE_ADDRESS_MAX) {
		apply_refuse(ap, -EINVAL, "'%.63s' is not an address", c->to);
		return;
	}
	if (!has_address(n, c->from)) {
		apply_refuse(ap, -CL_EREFUSED, "'%s' has no address %.63s", n->name, c->from);
		return;
	}
	for (size_t i = 0; i < ap->state->nodes.n; i++)
		if (&ap->state->nodes.v[i] != n && has_address(&ap->state->nodes.v[i], c->to)) {
			apply_refuse(ap, -EEXIST, "'%s' has the address %.63s already",
				     ap->state->nodes.v[i].name, c->to);
			return;
		}
	if (strcmp(n->storage_address, c->from) == 0)
		STATE_COPY(n->storage_address, c->to);
	if (strcmp(n->migration_address, c->from) == 0)
		STATE_COPY(n->migration_address, c->to);
	(void)snprintf(cause, sizeof(cause), "%.63s instead of %.63s", c->to, c->from);
	apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation, "node-address", -1,
		      cause);
}

void apply_node_drain(struct apply *ap, const Log__NodeDrain *c)
{
	struct state_node *n = apply_node(ap, c->node);

	if (!n || (n->draining == !!c->on && n->leaving == (c->on && (n->leaving || c->leave)) &&
		   (c->on || (!n->quarantined && !n->fenced && !n->stopping && !n->goodbye))))
		return;
	/* Somebody has looked: what was before does not count any more. */
	if (!c->on) {
		quarantine_end(n);
		apply_stop_ends(n);
		n->goodbye = false;
	}
	n->leaving = c->on && (n->leaving || c->leave);
	n->draining = c->on;
	if (n->phase == STATE_NODE_LIVING)
		n->since_ms = ap->time_ms;
	apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation,
		      n->leaving ? "node-leaving"
		      : c->on	 ? "node-draining"
				 : "node-resumed",
		      -1, "asked for");
}
