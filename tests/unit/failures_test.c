/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which nodes have failed by the log, applied or not: by that list a voter acks no beat of theirs. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "clusterd/core/internal.h"
#include "quorum/command.h"

static struct node node;
static struct failure_vec list;
static struct state state;

/* An entry that says so of node `id`, at its first incarnation. */
static void failed(uint64_t index, uint32_t id)
{
	uint8_t data[200];
	struct raft_entry e = { .index = index, .type = RAFT_ENTRY_COMMAND, .data = data };
	struct raft_persist p = { .entries = &e, .n_entries = 1 };
	COMMAND(NODE_FAILED, NodeFailed, node_failed);

	m.node = id;
	m.incarnation = 1;
	e.len = (uint32_t)log__command__pack(&c, data);
	log_failures_follow(&node, &list, &p);
}

static bool is_failed(uint32_t id)
{
	return log_failed_in(&state, &list, id, 1);
}

static int begin(void **unused)
{
	(void)unused;
	failure_vec_clear(&list);
	failed(5, 2);
	failed(7, 3);
	return 0;
}

static int end(void **unused)
{
	(void)unused;
	failure_vec_fini(&list);
	return 0;
}

static void what_is_cut_was_never_said(void **unused)
{
	const struct raft_persist cut = { .truncate_from = 7 };

	(void)unused;
	log_failures_follow(&node, &list, &cut);
	assert_true(is_failed(2));
	assert_false(is_failed(3));
}

/* Until it is durable, and the state is the snapshot's, the old state says that they live. */
static void a_snapshot_forgets_nothing(void **unused)
{
	const struct raft_snapshot snapshot = { .index = 6 };
	const struct raft_persist install = { .reset_log = true,
					      .has_snapshot = true,
					      .snapshot = &snapshot };

	(void)unused;
	log_failures_follow(&node, &list, &install);
	assert_true(is_failed(2));
	assert_false(is_failed(3)); /* behind it, and gone with the log */
	log_failures_forget(&list, 6);
	assert_false(is_failed(2)); /* by then the state says it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_cut_was_never_said, begin, end),
		cmocka_unit_test_setup_teardown(a_snapshot_forgets_nothing, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
