/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mount without a path to the LUN: by place over the coordinator. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/mount_rig.h"

static void blocks_go_by_the_coordinator(void **state)
{
	(void)state;
	rig_learn();
	rig_lose_lun();
	rig_write(4 * KB, 1 * KB, 0);
	assert_int_equal(rig.op_kind, CSV__KIND__BLOCK_WRITE);
	assert_true(rig.op_address == BASE + 4 * KB && rig.op_length == 1 * KB && !rig.op_sync);
	assert_int_equal(rig.n_touched, 0);
	rig_result(rig.op_unique);
	rig_simple(CSV__KIND__GETATTR); /* its time is told like that of a direct one */
	assert_int_equal(rig.n_touched, 1);
	rig_read(512, 1 * KB);
	assert_int_equal(rig.op_kind, CSV__KIND__BLOCK_READ);
	assert_true(rig.op_address == BASE + 512 && rig.op_length == 1 * KB);
	rig_result(rig.op_unique);
	assert_int_equal(rig.n_answers, 2);
	assert_int_equal(rig.n_asks, 0);
}

static void some_are_still_operations(void **state)
{
	(void)state;
	rig_learn();
	rig_lose_lun();
	rig_write(100, 512, 0);
	assert_int_equal(rig.op_kind, CSV__KIND__WRITE);
	rig_read(0, 700);
	assert_int_equal(rig.op_kind, CSV__KIND__READ);
	rig_write(0, 4 * KB, O_APPEND);
	assert_int_equal(rig.op_kind, CSV__KIND__WRITE);
	rig_simple(CSV__KIND__FSYNC);
	assert_int_equal(rig.op_kind, CSV__KIND__FSYNC);
	assert_int_equal(rig.n_ops, 4);
}

/* One that never had a path gets layouts all the same; holes are not its business. */
static void layouts_without_a_path(void **state)
{
	(void)state;
	rig_lose_lun();
	rig_write(0, 4 * KB, 0);
	assert_int_equal(rig.n_asks, 1);
	rig_grant(0, 64 * KB, BASE, false);
	assert_true(rig.n_asks == 2 && rig.ask_write);
	rig_grant(0, 64 * KB, BASE, true);
	assert_int_equal(rig.op_kind, CSV__KIND__BLOCK_WRITE);
	rig_result(rig.op_unique);
	rig_recall(0, UINT64_MAX, false);
	rig_read(0, 4 * KB);
	rig_grant(0, 64 * KB, 0, false);
	assert_int_equal(rig.op_kind, CSV__KIND__READ);
}

static void recall_waits_for_blocks(void **state)
{
	(void)state;
	rig_learn();
	rig_lose_lun();
	rig_write(0, 4 * KB, 0);
	rig_recall(0, UINT64_MAX, false);
	assert_int_equal(rig.n_returned, 0);
	assert_int_equal(rig.n_busy, 1);
	rig_simple(CSV__KIND__RELEASE); /* waits, too */
	assert_int_equal(rig.n_ops, 1);
	rig_result(rig.op_unique);
	assert_int_equal(rig.n_returned, 1);
	assert_int_equal(rig.op_kind, CSV__KIND__RELEASE);
}

/* Nothing was done: not by place again. */
static void refused_blocks_are_operations(void **state)
{
	(void)state;
	rig_learn();
	rig_lose_lun();
	rig_write(0, 4 * KB, 0);
	rig_failed(rig.op_unique, EAGAIN);
	assert_int_equal(rig.n_ops, 2);
	assert_int_equal(rig.op_kind, CSV__KIND__WRITE);
	rig_recall(0, UINT64_MAX, false); /* as such it is in nobody's way */
	assert_int_equal(rig.n_returned, 1);
	rig_failed(rig.op_unique, EAGAIN); /* and this is an answer */
	assert_int_equal(rig.n_answers, 1);
	assert_int_equal(rig.last_error, EAGAIN);
}

/* The coordinator says WELCOME when what it did for us has ended; not before that, not by another way. */
static void blocks_go_again_at_resume(void **state)
{
	(void)state;
	rig_learn();
	rig_lose_lun();
	rig_write(0, 4 * KB, 0);
	client_down(rig.client);
	client_hold(rig.client, true);
	client_hold(rig.client, false);
	client_up(rig.client, EPOCH, 1);
	assert_int_equal(rig.n_ops, 1);
	rig_welcome(EPOCH, false);
	assert_int_equal(rig.n_ops, 2);
	assert_int_equal(rig.op_kind, CSV__KIND__BLOCK_WRITE);
	rig_result(rig.op_unique);
	assert_int_equal(rig.n_answers, 1);
}

/* The claim has killed what the old coordinator had: reclaim need not wait, and the layout is another. */
static void blocks_at_a_take_over(void **state)
{
	(void)state;
	rig_learn();
	rig_lose_lun();
	rig_write(0, 4 * KB, 0);
	client_down(rig.client);
	client_up(rig.client, EPOCH + 1, 1);
	assert_int_equal(rig.n_reclaims, 0);
	rig_welcome(EPOCH + 1, true);
	assert_int_equal(rig.n_reclaims, 1);
	assert_int_equal(rig.n_ops, 1);
	rig_reclaimed(EPOCH + 1);
	assert_int_equal(rig.n_ops, 1);
	assert_int_equal(rig.n_asks, 1);
	assert_int_equal(rig.n_answers, 0);
}

/* Its caller is gone; the write is not, before the coordinator has said so. */
static void stop_order_waits_for_blocks(void **state)
{
	uint64_t first;

	(void)state;
	rig_own("vm1", 4);
	rig_learn();
	rig_lose_lun();
	rig_write(0, 4 * KB, 0);
	first = rig.op_unique;
	rig_write(4 * KB, 4 * KB, 0);
	client_fail(rig.client, "vm1", 4);
	assert_int_equal(rig.n_answers, 2);
	assert_false(client_failed(rig.client, "vm1", 4));
	rig_failed(first, 0);
	assert_false(client_failed(rig.client, "vm1", 4));
	client_down(rig.client); /* the other one's fate: by WELCOME */
	assert_false(client_failed(rig.client, "vm1", 4));
	client_up(rig.client, EPOCH, 1);
	assert_false(client_failed(rig.client, "vm1", 4));
	rig_welcome(EPOCH, false);
	assert_true(client_failed(rig.client, "vm1", 4));
	assert_int_equal(rig.n_answers, 2);
}

/* The path is back: beside what is under way at the coordinator. */
static void direct_again_beside_blocks(void **state)
{
	(void)state;
	rig_learn();
	rig_lose_lun();
	rig_write(0, 4 * KB, 0);
	rig_another_nexus();
	assert_int_equal(rig.n_answers, 0); /* the PERMIT says nothing about it */
	rig_recall(0, 4 * KB, false);
	assert_int_equal(rig.n_returned, 0);
	rig_write(8 * KB, 4 * KB, 0);
	assert_int_equal(rig.n_ios, 1);
	rig_end_io(0, LUN_OK);
	rig_result(rig.op_unique);
	assert_int_equal(rig.n_returned, 1);
	assert_int_equal(rig.n_answers, 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(blocks_go_by_the_coordinator),  T(some_are_still_operations),
		T(layouts_without_a_path),	  T(recall_waits_for_blocks),
		T(refused_blocks_are_operations), T(blocks_go_again_at_resume),
		T(blocks_at_a_take_over),	  T(stop_order_waits_for_blocks),
		T(direct_again_beside_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
