/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The planner: order, reasons, room, and how long a large cluster takes. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "resources/plan.h"

#define GIB (UINT64_C(1) << 30)

static const struct plan_node three[] = {
	{ .id = 1, .name = "node1", .memory_bytes = 8 * GIB, .used_bytes = 6 * GIB, .takes = true },
	{ .id = 2, .name = "node2", .memory_bytes = 8 * GIB, .used_bytes = 1 * GIB, .takes = true },
	{ .id = 3, .name = "node3", .memory_bytes = 8 * GIB, .takes = false },
};

static void test_priority_first_and_most_room(void **state)
{
	const struct plan_resource r[] = {
		{ .name = "low", .priority = 1000, .memory_bytes = 5 * GIB },
		{ .name = "high", .priority = 3000, .memory_bytes = 5 * GIB },
		{ .name = "small", .priority = 1000, .memory_bytes = GIB },
	};
	struct plan_action a[3];

	(void)state;
	assert_int_equal(plan_place(three, 3, r, 3, a), 0);
	assert_int_equal(a[0].resource, 1);
	assert_int_equal(a[0].node, 2);
	assert_int_equal(a[1].resource, 0);
	assert_int_equal(a[1].node, 0);
	assert_non_null(strstr(a[1].reason, "5120 MiB"));
	assert_int_equal(a[2].resource, 2);
	assert_true(a[2].node == 1 || a[2].node == 2);
}

static void test_prefer_and_avoid(void **state)
{
	const struct plan_resource r[] = {
		{ .name = "a", .memory_bytes = GIB, .prefer = 1 },
		{ .name = "b", .memory_bytes = GIB, .avoid = 2 },
		{ .name = "c", .memory_bytes = 4 * GIB, .avoid = 2 },
		{ .name = "d", .memory_bytes = 4 * GIB, .avoid = 2, .never_avoid = true },
		{ .name = "e", .memory_bytes = GIB, .prefer = 3 },
	};
	struct plan_action a[1];

	(void)state;
	assert_int_equal(plan_place(three, 3, &r[0], 1, a), 0);
	assert_int_equal(a[0].node, 1);
	assert_int_equal(plan_place(three, 3, &r[1], 1, a), 0);
	assert_int_equal(a[0].node, 1);
	assert_int_equal(plan_place(three, 3, &r[2], 1, a), 0);
	assert_int_equal(a[0].node, 2); /* rather there than nowhere */
	assert_int_equal(plan_place(three, 3, &r[3], 1, a), 0);
	assert_int_equal(a[0].node, 0);
	assert_int_equal(plan_place(three, 3, &r[4], 1, a), 0);
	assert_int_equal(a[0].node, 2); /* node3 takes nothing */
}

static void test_nobody_takes(void **state)
{
	const struct plan_resource r = { .name = "a", .memory_bytes = GIB };
	struct plan_action a;

	(void)state;
	assert_int_equal(plan_place(&three[2], 1, &r, 1, &a), 0);
	assert_int_equal(a.node, 0);
	assert_int_equal(plan_place(NULL, 0, &r, 1, &a), 0);
	assert_int_equal(a.node, 0);
}

enum { NODES = 64, RESOURCES = 8000 };

static double elapsed_ms(const struct timespec *from)
{
	struct timespec to;

	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	return (double)(to.tv_sec - from->tv_sec) * 1e3 +
	       (double)(to.tv_nsec - from->tv_nsec) / 1e6;
}

/* All 8,000 placed anew: 64 times what the loss of one node asks for. No node is overfilled. */
static void test_large(void **state)
{
	struct plan_node *n = calloc(NODES, sizeof(*n));
	struct plan_resource *r = calloc(RESOURCES, sizeof(*r));
	struct plan_action *a = calloc(RESOURCES, sizeof(*a));
	uint64_t used[NODES + 1] = { 0 };
	char(*names)[16] = calloc(RESOURCES, sizeof(*names));
	struct timespec from;
	double ms;

	(void)state;
	for (uint32_t i = 0; i < NODES; i++)
		n[i] = (struct plan_node){
			.id = i + 1, .name = "n", .memory_bytes = 512 * GIB, .takes = i != 7
		};
	for (int i = 0; i < RESOURCES; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "vm%d", i);
		r[i] = (struct plan_resource){ .name = names[i],
					       .priority = (uint32_t)(i * 37 % 4) * 1000,
					       .memory_bytes = (uint64_t)(1 + i * 17 % 6) * GIB };
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(plan_place(n, NODES, r, RESOURCES, a), 0);
	ms = elapsed_ms(&from);
	for (int i = 0; i < RESOURCES; i++) {
		assert_true(a[i].node != 0 && a[i].node != 8);
		assert_true(i == 0 || r[a[i - 1].resource].priority >= r[a[i].resource].priority);
		used[a[i].node] += r[a[i].resource].memory_bytes;
	}
	for (int i = 1; i <= NODES; i++)
		assert_true(used[i] <= 512 * GIB);
	print_message("# plan: %d resources on %d nodes in %.2f ms\n", RESOURCES, NODES, ms);
	free(n);
	free(r);
	free(a);
	free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_priority_first_and_most_room),
		cmocka_unit_test(test_prefer_and_avoid),
		cmocka_unit_test(test_nobody_takes),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
