/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager's hands: places for resources, nodes that are emptied. */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "resources/plan.h"

/* ---- places ------------------------------------------------------------------------------------------- */

static bool is_able(const struct node *n, const struct state_node *s)
{
	const struct peer *p = beats_peer(n, s->id);

	return s->phase == STATE_NODE_LIVING && !state_gets_nothing(s) && beats_heard(n, s->id) &&
	       p && !p->isolated && p->incarnation == s->incarnation;
}

static bool is_slow(const struct node *n, const struct state_node *s)
{
	const struct peer *p = beats_peer(n, s->id);

	return p && p->slow_ms > 0;
}

/* A slow one gets nothing new, unless all are slow: then none of them is to blame. */
static bool takes(const struct node *n, const struct state_node *s)
{
	if (!is_able(n, s))
		return false;
	if (n->cfg.defects & NODE_DEFECT_SLOW_GETS)
		return true;
	for (size_t i = 0; i < n->state.nodes.n && is_slow(n, s); i++)
		if (is_able(n, &n->state.nodes.v[i]) && !is_slow(n, &n->state.nodes.v[i]))
			return false;
	return true;
}

static size_t plan_nodes(struct node *n, struct plan_node *nodes)
{
	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];

		nodes[i] = (struct plan_node){
			.id = s->id,
			.name = s->name,
			.memory_bytes = s->memory_bytes,
			.takes = takes(n, s),
		};
	}
	for (size_t i = 0; i < n->state.resources.n; i++) {
		const struct state_resource *r = &n->state.resources.v[i];

		for (size_t k = 0; k < n->state.nodes.n && r->owner; k++)
			if (nodes[k].id == r->owner || nodes[k].id == r->target) {
				nodes[k].used_bytes += r->memory_bytes;
				nodes[k].n_resources++;
			}
	}
	return n->state.nodes.n;
}

uint32_t manager_choose(struct node *n, const struct state_resource *r, uint32_t prefer,
			uint32_t leave, char reason[STATE_REASON_MAX])
{
	struct plan_node nodes[STATE_NODES_MAX];
	struct plan_resource in = {
		.name = r->name,
		.priority = r->priority,
		.memory_bytes = r->memory_bytes,
		.prefer = prefer,
		.avoid = leave,
		.never_avoid = leave != 0,
	};
	struct plan_action out;

	if (plan_place(nodes, plan_nodes(n, nodes), &in, 1, &out) < 0)
		return 0;
	core_copy(reason, STATE_REASON_MAX, out.reason);
	return out.node;
}

static void place(struct node *n, const struct state_resource *r, const struct plan_action *a)
{
	const struct state_node *s = state_node(&n->state, a->node);
	COMMAND(RESOURCE_PLACE, ResourcePlace, resource_place);

	m.name = COMMAND_STRING(r->name);
	m.generation = r->generation;
	m.node = a->node;
	m.incarnation = s->incarnation;
	m.cause = COMMAND_STRING(a->reason);
	(void)log_propose(n, r->name, &c);
}

static bool to_be_placed(const struct node *n, const struct state_resource *r)
{
	char why[STATE_REASON_MAX];

	return r->phase == STATE_WAITING && state_may_place(&n->state, r, why) &&
	       !log_in_flight(n, r->name);
}

static void place_waiting(struct node *n, size_t waiting)
{
	struct plan_node nodes[STATE_NODES_MAX];
	_cleanup_free_ struct plan_resource *in = calloc(waiting, sizeof(*in));
	_cleanup_free_ size_t *which = calloc(waiting, sizeof(*which));
	_cleanup_free_ struct plan_action *out = calloc(waiting, sizeof(*out));
	size_t n_nodes = plan_nodes(n, nodes), k = 0;

	if (!in || !which || !out) {
		n->out->no_memory = true;
		return;
	}
	for (size_t i = 0; i < n->state.resources.n && k < waiting; i++) {
		const struct state_resource *r = &n->state.resources.v[i];

		if (!to_be_placed(n, r))
			continue;
		which[k] = i;
		in[k++] = (struct plan_resource){
			.name = r->name,
			.priority = r->priority,
			.memory_bytes = r->memory_bytes,
			.prefer = r->prefer,
			.avoid = r->avoid,
		};
	}
	if (plan_place(nodes, n_nodes, in, k, out) < 0)
		n->out->no_memory = true;
	else
		for (size_t i = 0; i < k; i++)
			if (out[i].node)
				place(n, &n->state.resources.v[which[out[i].resource]], &out[i]);
}

/* ---- drain ---------------------------------------------------------------------------------------------- */

static void drain_step(struct node *n, const struct state_node *s)
{
	char why[STATE_REASON_MAX];
	int moving = 0;

	for (size_t i = 0; i < n->state.resources.n; i++) {
		const struct state_resource *r = &n->state.resources.v[i];

		moving += r->owner == s->id && r->reserved != 0;
	}
	for (size_t i = 0; i < n->state.resources.n && moving < CORE_MOVES_PER_NODE; i++) {
		const struct state_resource *r = &n->state.resources.v[i];
		uint32_t to;

		if (r->owner != s->id || r->phase != STATE_ONLINE || log_in_flight(n, r->name) ||
		    manager_backs_off(n, r->name))
			continue;
		to = manager_choose(n, r, 0, s->id, why);
		if (to &&
		    manager_begin_move(n, r, to, false,
				       s->stopping ? "its node is stopped" : "its node is drained",
				       NULL))
			moving++;
	}
}

static bool is_emptied(const struct state_node *s)
{
	return s->phase == STATE_NODE_LIVING && (s->draining || (s->stopping && !s->stop_now));
}

void manager_place_step(struct node *n)
{
	size_t waiting = 0;

	for (size_t i = 0; i < n->state.resources.n; i++)
		waiting += to_be_placed(n, &n->state.resources.v[i]);
	if (waiting && beats_quorate(n))
		place_waiting(n, waiting);
	for (size_t i = 0; i < n->state.nodes.n; i++)
		if (is_emptied(&n->state.nodes.v[i]))
			drain_step(n, &n->state.nodes.v[i]);
}
