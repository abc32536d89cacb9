/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growth at a mount: which writes, in which order, and what becomes of one that is broken off. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "csv/op.h"
#include "tests/unit/mount_rig.h"

#define SIZE (1024 * KB) /* of the file */

/* A file of 1 MiB; [1 MiB, 2 MiB) is granted for growth to the write that asked. */
static void begin(void)
{
	rig_write(SIZE, 64 * KB, 0);
	assert_false(rig.ask_grow); /* where it is, first */
	rig_grant(SIZE, SIZE, 0, false);
	assert_int_equal(rig.n_asks, 2);
	assert_true(rig.ask_grow && rig.ask_write);
	assert_int_equal(rig.ask_start, SIZE);
	assert_int_equal(rig.ask_end, SIZE + 64 * KB);
	rig_grant_growth(SIZE, 2 * SIZE, BASE);
	assert_int_equal(rig.n_ios, 1);
	assert_int_equal(rig.ios[0]->offset, BASE);
	assert_int_equal(rig.ios[0]->dir, LUN_WRITE);
	assert_int_equal(rig.n_ops, 0);
}

static void grown(void)
{
	assert_int_equal(rig.op_kind, CSV__KIND__GROW);
	rig_result(rig.op_unique);
}

static void data_first(void **state)
{
	(void)state;
	begin();
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_answers, 0);
	assert_int_equal(rig.op_kind, CSV__KIND__GROW);
	assert_int_equal(rig.op_length, 64 * KB); /* and no data */
	rig_result(rig.op_unique);
	assert_int_equal(rig.n_answers, 1);
	assert_int_equal(rig.last_error, 0);
	/* The next one asks nothing. */
	rig_forget();
	rig_write(SIZE + 64 * KB, 64 * KB, 0);
	assert_int_equal(rig.n_asks, 0);
	assert_int_equal(rig.ios[0]->offset, BASE + 64 * KB);
	rig_end_io(0, LUN_OK);
	grown();
	/* What is grown is a layout: read and written without a word. */
	rig_forget();
	rig_read(SIZE, 128 * KB);
	rig_write(SIZE, 4 * KB, 0);
	assert_int_equal(rig.n_ops + rig.n_asks, 0);
	assert_int_equal(rig.n_ios, 2);
	rig_end_io(1, LUN_OK);
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_ops, 0);
	assert_int_equal(rig.n_answers, 2);
}

/* It is not shown yet: nobody reads it, the writer included. */
static void growth_is_not_read(void **state)
{
	(void)state;
	begin();
	rig_end_io(0, LUN_OK);
	rig_forget();
	rig_read(SIZE, 4 * KB);
	assert_int_equal(rig.n_ios, 0);
	assert_int_equal(rig.op_kind, CSV__KIND__READ);
}

static void the_next_step_is_asked_for_at_once(void **state)
{
	(void)state;
	rig_write(SIZE, 64 * KB, 0);
	rig_grant(SIZE, SIZE, 0, false);
	rig_grant_growth(SIZE, SIZE + 64 * KB, BASE);
	rig_end_io(0, LUN_OK);
	grown();
	rig_forget();
	rig_write(SIZE + 64 * KB, 64 * KB, 0);
	assert_int_equal(rig.n_asks, 1);
	assert_true(rig.ask_grow);
	rig_grant_growth(SIZE + 64 * KB, 2 * SIZE, BASE + 64 * KB);
	rig_end_io(0, LUN_OK);
	grown();
	assert_int_equal(rig.n_answers, 1);
}

static void some_are_the_coordinators(void **state)
{
	(void)state;
	rig_write(SIZE, 4 * KB, O_APPEND);
	assert_int_equal(rig.op_kind, CSV__KIND__WRITE);
	rig_result(rig.op_unique);
	rig_write(SIZE, 512, 0); /* a part of a block */
	rig_grant(SIZE, SIZE, 0, false);
	assert_int_equal(rig.n_asks, 1);
	assert_int_equal(rig.op_kind, CSV__KIND__WRITE);
	rig_result(rig.op_unique);
	assert_int_equal(rig.n_answers, 2);
}

/* Most files end early: no question for them. */
static void small_files_do_not_ask(void **state)
{
	(void)state;
	rig_write(4 * KB, 4 * KB, 0);
	rig_grant(4 * KB, 4 * KB, 0, false);
	assert_int_equal(rig.n_asks, 1);
	assert_int_equal(rig.op_kind, CSV__KIND__WRITE);
}

static void not_given_is_an_operation(void **state)
{
	(void)state;
	rig_write(SIZE, 64 * KB, 0);
	rig_grant(SIZE, SIZE, 0, false);
	rig_grant_growth(SIZE, SIZE, 0);
	assert_int_equal(rig.op_kind, CSV__KIND__WRITE);
	rig_result(rig.op_unique);
	rig_forget();
	rig_write(SIZE + 64 * KB, 64 * KB, 0); /* nor asked for again at once */
	assert_int_equal(rig.n_asks, 0);
	assert_int_equal(rig.op_kind, CSV__KIND__WRITE);
}

/* What it had is somebody else's by now: it goes as a write, with its data. */
static void refused_it_is_a_write(void **state)
{
	(void)state;
	begin();
	rig_end_io(0, LUN_OK);
	rig_failed(rig.op_unique, EAGAIN);
	assert_int_equal(rig.n_answers, 0);
	assert_int_equal(rig.op_kind, CSV__KIND__WRITE);
	assert_int_equal(rig.op_length, 64 * KB);
	rig_result(rig.op_unique);
	assert_int_equal(rig.n_answers, 1);
	assert_int_equal(rig.last_error, 0);
}

static void errors_are_the_callers(void **state)
{
	(void)state;
	begin();
	rig_end_io(0, LUN_ERROR);
	assert_int_equal(rig.n_ops, 0); /* nothing is shown */
	assert_int_equal(rig.last_error, EIO);
	assert_int_equal(rig.n_answers, 1);
}

/* Under way are its data; then the GROW goes, and after it the word that the range came back. */
static void a_recall_waits_for_the_data(void **state)
{
	(void)state;
	begin();
	rig_recall(SIZE, UINT64_MAX, false);
	assert_int_equal(rig.n_busy, 1);
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_returned, 1);
	assert_true(rig.grow_before_returned);
	grown();
	assert_int_equal(rig.n_answers, 1);
	/* It does not come back into the map by the answer. */
	rig_forget();
	rig_read(SIZE, 4 * KB);
	assert_int_equal(rig.n_ios, 0);
}

/* Its nexus is lost: it may still land. It is not shown, and not repeated, before that is known. */
static void unknown_fate_is_not_shown(void **state)
{
	(void)state;
	begin();
	rig_lose_lun();
	assert_int_equal(rig.n_ops + rig.n_answers, 0);
	rig_permit_and_go(8, EPOCH);
	assert_int_equal(rig.n_ops, 1); /* there was no path yet */
	assert_int_equal(rig.op_kind, CSV__KIND__WRITE);
	rig_result(rig.op_unique);
	assert_int_equal(rig.n_answers, 1);
}

/* Between the two: on the next connection it begins again, with its data. */
static void a_broken_connection_begins_again(void **state)
{
	(void)state;
	begin();
	rig_end_io(0, LUN_OK);
	client_down(rig.client);
	client_up(rig.client, EPOCH, 1);
	rig_forget();
	rig_welcome(EPOCH, false);
	assert_int_equal(rig.n_ops, 0);
	assert_int_equal(rig.n_ios, 1);
	rig_end_io(0, LUN_OK);
	grown();
	assert_int_equal(rig.n_answers, 1);
}

/* Another coordinator knows of no growth. */
static void a_take_over_ends_it(void **state)
{
	(void)state;
	begin();
	client_down(rig.client);
	client_up(rig.client, EPOCH, 1);
	rig_welcome(EPOCH, true);
	assert_int_equal(rig.n_reclaims, 0); /* its data are under way */
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_ops, 0);
	assert_int_equal(rig.n_reclaims, 1);
	rig_reclaimed(EPOCH);
	assert_int_equal(rig.n_ops, 0);
	assert_int_equal(rig.n_asks, 3); /* from the beginning */
	assert_int_equal(rig.n_answers, 0);
}

static void sync_needs_no_fua(void **state)
{
	(void)state;
	rig_write_sync(SIZE, 64 * KB);
	rig_grant(SIZE, SIZE, 0, false);
	rig_grant_growth(SIZE, 2 * SIZE, BASE);
	assert_false(rig.ios[0]->fua);
	rig_end_io(0, LUN_OK);
	assert_true(rig.op_sync);
	grown();
}

/* ---- answered before it is durable ----------------------------------------------------------- */

/* Growth number 1, [1 MiB, + 64 KiB), answered. */
static void grow_early(void)
{
	begin();
	rig_end_io(0, LUN_OK);
	assert_true(rig.op_later);
	rig_result_growth(rig.op_unique, 1);
	assert_int_equal(rig.n_answers, 1);
	assert_int_equal(rig.last_error, 0);
	rig_forget();
}

static void lose_coordinator(void)
{
	client_down(rig.client);
	client_up(rig.client, EPOCH, 1);
	rig_welcome(EPOCH, true);
}

static void it_is_reclaimed(void **state)
{
	(void)state;
	grow_early();
	rig_write(SIZE + 64 * KB, 64 * KB, 0);
	rig_end_io(0, LUN_OK);
	rig_result_growth(rig.op_unique, 2);
	lose_coordinator();
	assert_int_equal(rig.n_grown, 1);
	assert_int_equal(rig.grown_start, SIZE);
	assert_int_equal(rig.grown_end, SIZE + 128 * KB);
	/* Also when that one dies before it has said that it has it. */
	lose_coordinator();
	assert_int_equal(rig.n_grown, 1);
	rig_reclaimed(EPOCH);
	lose_coordinator();
	assert_int_equal(rig.n_grown, 0);
}

static void what_is_durable_is_not(void **state)
{
	(void)state;
	grow_early();
	rig_write(SIZE + 64 * KB, 64 * KB, 0);
	rig_end_io(0, LUN_OK);
	rig_settled(2); /* overtakes the answer */
	rig_result_growth(rig.op_unique, 2);
	lose_coordinator();
	assert_int_equal(rig.n_grown, 0);
}

static void resumed_it_is_durable(void **state)
{
	(void)state;
	grow_early();
	client_down(rig.client);
	client_up(rig.client, EPOCH, 1);
	rig_welcome(EPOCH, false); /* it left behind a commit */
	lose_coordinator();
	assert_int_equal(rig.n_grown, 0);
}

/* csvd and coordinator die together: it is in the keeper's memory. */
static void another_csvd_reclaims_it(void **state)
{
	(void)state;
	grow_early();
	rig_restart_csvd();
	rig_welcome(EPOCH, true);
	assert_int_equal(rig.n_grown, 1);
	assert_int_equal(rig.grown_end, SIZE + 64 * KB);
	rig_reclaimed(EPOCH);
	rig_restart_csvd();
	rig_welcome(EPOCH, true);
	assert_int_equal(rig.n_grown, 0);
}

/* Its fence ended it: others may have cut the file since. */
static void another_incarnation_does_not(void **state)
{
	(void)state;
	grow_early();
	client_down(rig.client);
	client_up(rig.client, EPOCH, 2);
	rig_welcome(EPOCH, true);
	assert_int_equal(rig.n_reclaims, 1);
	assert_int_equal(rig.n_grown, 0);
}

/* fsync: the flush alone would leave the size behind. */
static void fsync_is_the_coordinators(void **state)
{
	(void)state;
	grow_early();
	rig_simple(CSV__KIND__FSYNC);
	assert_int_equal(rig.n_ios, 0);
	assert_int_equal(rig.op_kind, CSV__KIND__FSYNC);
	rig_settled(1);
	rig_result(rig.op_unique);
	rig_sync_data(); /* directly again */
	assert_int_equal(rig.n_answers, 2);
}

static void release_waits_for_it(void **state)
{
	(void)state;
	grow_early();
	rig_simple(CSV__KIND__RELEASE);
	assert_int_equal(rig.n_ops, 0);
	assert_int_equal(rig.n_settles, 1);
	rig_settled(1);
	assert_int_equal(rig.n_ops, 1);
	assert_int_equal(rig.op_kind, CSV__KIND__RELEASE);
}

static void goodbye_waits_for_it(void **state)
{
	(void)state;
	grow_early();
	client_bye(rig.client, "the end");
	assert_int_equal(rig.n_byes, 0);
	assert_int_equal(rig.n_settles, 1);
	rig_settled(1);
	assert_int_equal(rig.n_byes, 1);
}

/* What cannot be remembered is not answered: it goes as a write, which is durable. */
static void too_many(void **state)
{
	(void)state;
	grow_early();
	for (unsigned i = 1; i <= 64; i++) {
		rig_write(SIZE + i * 8 * KB + 64 * KB, 4 * KB, 0); /* with gaps */
		rig_end_io(0, LUN_OK);
		assert_int_equal(rig.op_kind, CSV__KIND__GROW);
		rig_result_growth(rig.op_unique, i + 1);
		assert_int_equal(rig.n_answers, i < 64 ? i : 63);
	}
	assert_int_equal(rig.op_kind, CSV__KIND__WRITE);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(data_first),
		T(growth_is_not_read),
		T(the_next_step_is_asked_for_at_once),
		T(some_are_the_coordinators),
		T(small_files_do_not_ask),
		T(not_given_is_an_operation),
		T(refused_it_is_a_write),
		T(errors_are_the_callers),
		T(a_recall_waits_for_the_data),
		T(unknown_fate_is_not_shown),
		T(a_broken_connection_begins_again),
		T(a_take_over_ends_it),
		T(sync_needs_no_fua),
		T(it_is_reclaimed),
		T(what_is_durable_is_not),
		T(resumed_it_is_durable),
		T(another_csvd_reclaims_it),
		T(another_incarnation_does_not),
		T(fsync_is_the_coordinators),
		T(release_waits_for_it),
		T(goodbye_waits_for_it),
		T(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
