/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The planner: where resources go. A pure function: what there is in, ordered actions with reasons
 * out. Only displaced resources are placed, what runs stays. Highest priority first, each to the node
 * with the most memory left (a heap: O(M log N) for M displaced on N nodes); a node that was asked
 * for is taken when it can, one where the resource failed last only when there is no other.
 */
#ifndef CL_RESOURCES_PLAN_H
#define CL_RESOURCES_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAN_REASON_MAX = 120 };

struct plan_node {
	uint32_t id;
	const char *name;
	uint64_t memory_bytes; /* what VMs may use; 0 = not known, never full */
	uint64_t used_bytes;   /* by what runs or is placed there */
	uint32_t n_resources;  /* of these */
	bool takes;	       /* living, not drained, not slow */
};

struct plan_resource {
	const char *name;
	uint32_t priority; /* higher is placed earlier */
	uint64_t memory_bytes;
	uint32_t prefer;  /* asked-for node, 0 = none */
	uint32_t avoid;	  /* node where it failed last, or that it must leave; 0 = none */
	bool never_avoid; /* rather nowhere than on `avoid` (a drain, a move) */
};

struct plan_action {
	size_t resource; /* index into the input */
	uint32_t node;	 /* 0: nowhere, and why */
	char reason[PLAN_REASON_MAX];
};

/*
 * Fill actions[0..n_resources): one per resource, in the order in which they are to be done. Returns
 * 0 or -ENOMEM. Neither input is changed; equal input gives equal output.
 */
int plan_place(const struct plan_node *nodes, size_t n_nodes, const struct plan_resource *resources,
	       size_t n_resources, struct plan_action *actions);

#endif
