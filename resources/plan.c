/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The planner. The heap holds the nodes that take something, the one with most room on top. */
#include "config.h"

#include "resources/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct room {
	const struct plan_node *node;
	uint64_t left_bytes;
	uint32_t n_resources;
	size_t at; /* place in the heap */
};

struct planner {
	struct room *rooms; /* by node, as in the input */
	struct room **heap;
	size_t n_heap, n_nodes;
};

/* More memory left, then fewer resources, then the lower id. */
static bool roomier(const struct room *a, const struct room *b)
{
	if (a->left_bytes != b->left_bytes)
		return a->left_bytes > b->left_bytes;
	if (a->n_resources != b->n_resources)
		return a->n_resources < b->n_resources;
	return a->node->id < b->node->id;
}

static void heap_swap(struct planner *p, size_t i, size_t k)
{
	struct room *r = p->heap[i];

	p->heap[i] = p->heap[k];
	p->heap[k] = r;
	p->heap[i]->at = i;
	p->heap[k]->at = k;
}

static void heap_down(struct planner *p, size_t i)
{
	for (;;) {
		size_t best = i;

		for (size_t k = 2 * i + 1; k <= 2 * i + 2 && k < p->n_heap; k++)
			if (roomier(p->heap[k], p->heap[best]))
				best = k;
		if (best == i)
			return;
		heap_swap(p, i, best);
		i = best;
	}
}

static void heap_build(struct planner *p)
{
	for (size_t i = p->n_heap; i-- > 0;)
		heap_down(p, i);
}

static bool fits(const struct room *room, const struct plan_resource *r)
{
	return room->node->memory_bytes == 0 || room->left_bytes >= r->memory_bytes;
}

static void take(struct planner *p, struct room *room, const struct plan_resource *r)
{
	if (room->node->memory_bytes)
		room->left_bytes -= r->memory_bytes;
	room->n_resources++;
	heap_down(p, room->at);
}

static struct room *asked_for(struct planner *p, const struct plan_resource *r)
{
	for (size_t i = 0; i < p->n_nodes && r->prefer; i++)
		if (p->rooms[i].node->id == r->prefer && p->rooms[i].node->takes &&
		    fits(&p->rooms[i], r))
			return &p->rooms[i];
	return NULL;
}

/* The roomiest node that is not the avoided one: the top, or the better of its children. */
static struct room *roomiest(struct planner *p, const struct plan_resource *r)
{
	size_t best = 0;

	if (p->n_heap == 0)
		return NULL;
	if (p->heap[0]->node->id != r->avoid || r->avoid == 0)
		return p->heap[0];
	for (size_t k = 1; k <= 2 && k < p->n_heap; k++)
		if (best == 0 || roomier(p->heap[k], p->heap[best]))
			best = k;
	if (best && fits(p->heap[best], r))
		return p->heap[best];
	return r->never_avoid ? (best ? p->heap[best] : NULL) : p->heap[0];
}

static void place_one(struct planner *p, const struct plan_resource *r, struct plan_action *a)
{
	struct room *room = asked_for(p, r);

	if (room) {
		a->node = room->node->id;
		(void)snprintf(a->reason, sizeof(a->reason), "node '%.60s' was asked for",
			       room->node->name);
		take(p, room, r);
		return;
	}
	room = roomiest(p, r);
	if (!room || !fits(room, r)) {
		a->node = 0;
		if (!room)
			(void)snprintf(a->reason, sizeof(a->reason), "no other node takes VMs");
		else
			(void)snprintf(a->reason, sizeof(a->reason),
				       "no node has %llu MiB of memory left",
				       (unsigned long long)(r->memory_bytes >> 20));
		return;
	}
	a->node = room->node->id;
	(void)snprintf(a->reason, sizeof(a->reason), "node '%.60s' has the most room",
		       room->node->name);
	take(p, room, r);
}

struct ordered {
	const struct plan_resource *resource;
	size_t index;
};

static int by_priority(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;

	if (x->resource->priority != y->resource->priority)
		return x->resource->priority > y->resource->priority ? -1 : 1;
	/* Big ones first: small ones fit into what is left. */
	if (x->resource->memory_bytes != y->resource->memory_bytes)
		return x->resource->memory_bytes > y->resource->memory_bytes ? -1 : 1;
	return strcmp(x->resource->name, y->resource->name);
}

static void planner_fill(struct planner *p, const struct plan_node *nodes, size_t n_nodes)
{
	p->n_nodes = n_nodes;
	for (size_t i = 0; i < n_nodes; i++) {
		const struct plan_node *n = &nodes[i];
		struct room *room = &p->rooms[i];

		room->node = n;
		room->n_resources = n->n_resources;
		room->left_bytes = n->memory_bytes == 0 ? UINT64_MAX
				   : n->memory_bytes > n->used_bytes
					   ? n->memory_bytes - n->used_bytes
					   : 0;
		if (!n->takes)
			continue;
		room->at = p->n_heap;
		p->heap[p->n_heap++] = room;
	}
	heap_build(p);
}

int plan_place(const struct plan_node *nodes, size_t n_nodes, const struct plan_resource *resources,
	       size_t n_resources, struct plan_action *actions)
{
	struct planner p = {
		.rooms = calloc(n_nodes + 1, sizeof(*p.rooms)),
		.heap = calloc(n_nodes + 1, sizeof(*p.heap)),
	};
	struct ordered *order = calloc(n_resources + 1, sizeof(*order));
	int r = p.rooms && p.heap && order ? 0 : -ENOMEM;

	if (r == 0) {
		planner_fill(&p, nodes, n_nodes);
		for (size_t i = 0; i < n_resources; i++)
			order[i] = (struct ordered){ &resources[i], i };
		qsort(order, n_resources, sizeof(*order), by_priority);
		for (size_t i = 0; i < n_resources; i++) {
			actions[i].resource = order[i].index;
			place_one(&p, order[i].resource, &actions[i]);
		}
	}
	free(p.rooms);
	free(p.heap);
	free(order);
	return r;
}
