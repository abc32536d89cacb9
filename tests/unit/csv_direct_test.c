/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct I/O of a mount: what goes directly and what does not, recalls, I/O of unknown fate, reclaim, stop
 * orders, the last release.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/mount_rig.h"

static void read_goes_directly(void **state)
{
	(void)state;
	rig_read(4 * KB + 100, 8 * KB);
	assert_int_equal(rig.n_ops, 0);
	assert_int_equal(rig.n_asks, 1);
	assert_false(rig.ask_write);
	assert_int_equal(rig.ask_start, 0); /* a whole window */
	assert_true(rig.ask_end >= 1 << 20);
	rig_grant(0, 64 * KB, BASE, false);
	/* Whole blocks of the LUN around it. */
	assert_int_equal(rig.n_ios, 1);
	assert_int_equal(rig.ios[0]->offset, BASE + 4 * KB);
	assert_int_equal(rig.ios[0]->length, 8 * KB + 512);
	for (unsigned i = 0; i < rig.ios[0]->length; i++)
		((uint8_t *)rig.ios[0]->iov->iov_base)[i] = (uint8_t)(i / 4);
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_answers, 1);
	assert_int_equal(rig.answer_len, 8 * KB);
	assert_int_equal(rig.answer[0], 25);
	rig_read(0, 64 * KB); /* known: no question */
	assert_int_equal(rig.n_asks, 1);
	assert_int_equal(rig.n_ios, 1);
	rig_end_io(0, LUN_OK);
}

static void holes_are_zeros(void **state)
{
	(void)state;
	memset(rig.answer, 1, sizeof(rig.answer));
	rig_read(0, 4 * KB);
	rig_grant(0, 64 * KB, 0, false);
	assert_int_equal(rig.n_ios, 0);
	assert_int_equal(rig.n_answers, 1);
	assert_int_equal(rig.answer_len, 4 * KB);
	for (int i = 0; i < 4096; i++)
		assert_int_equal(rig.answer[i], 0);
}

static void writes_need_the_right(void **state)
{
	(void)state;
	rig_write(4 * KB, 4 * KB, 0);
	rig_grant(0, 64 * KB, BASE, false); /* the first question was where it is */
	assert_int_equal(rig.n_asks, 2);
	assert_true(rig.ask_write);
	assert_int_equal(rig.ask_end, 64 * KB); /* as far as it is known DATA */
	assert_int_equal(rig.n_ios, 0);
	rig_grant(0, 64 * KB, BASE, true);
	assert_int_equal(rig.n_ios, 1);
	assert_int_equal(rig.ios[0]->dir, LUN_WRITE);
	assert_int_equal(rig.ios[0]->offset, BASE + 4 * KB);
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_answers, 1);
	assert_int_equal(rig.n_ops, 0);
}

static void holes_are_filled_for_the_write_only(void **state)
{
	(void)state;
	rig_write(8 * KB, 4 * KB, 0);
	rig_grant(0, 64 * KB, 0, false);
	assert_int_equal(rig.n_asks, 2);
	assert_true(rig.ask_write);
	assert_int_equal(rig.ask_start, 8 * KB);
	assert_int_equal(rig.ask_end, 12 * KB);
	rig_grant(0, 64 * KB, BASE, true);
	assert_int_equal(rig.n_ios, 1);
	rig_end_io(0, LUN_OK);
}

static void the_rest_is_the_coordinators(void **state)
{
	(void)state;
	rig_learn();
	rig_write(0, 4 * KB, O_APPEND);
	rig_write(100, 512, 0);	       /* part of a block */
	rig_write(60 * KB, 8 * KB, 0); /* past what was granted */
	assert_int_equal(rig.n_ops, 3);
	assert_int_equal(rig.n_ios, 0);
	client_hold(rig.client, true);
	rig_write(0, 4 * KB, 0); /* no lease */
	assert_int_equal(rig.n_ios, 0);
	client_hold(rig.client, false);
	assert_int_equal(rig.n_ios, 1);
	rig_end_io(0, LUN_OK);
}

static void times_are_told_first(void **state)
{
	(void)state;
	rig_learn();
	rig_write(0, 4 * KB, 0);
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_touched, 0);
	rig_sync_data();
	assert_int_equal(rig.n_touched, 0);
	rig_simple(CSV__KIND__GETATTR);
	assert_int_equal(rig.n_touched, 1);
	rig_simple(CSV__KIND__FSYNC); /* of the target's cache */
	assert_int_equal(rig.ios[0]->dir, LUN_FLUSH);
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_touched, 1);
}

static void recall_waits_for_what_is_under_way(void **state)
{
	(void)state;
	rig_learn();
	rig_write(0, 4 * KB, 0);
	rig_read(32 * KB, 4 * KB);
	rig_recall(4 * KB, UINT64_MAX, true); /* neither is in its way: the read may go on */
	assert_int_equal(rig.n_returned, 1);
	rig_recall(0, UINT64_MAX, false);
	assert_int_equal(rig.n_busy, 1);
	rig_read(0, 4 * KB); /* out of the map at once */
	assert_int_equal(rig.n_ios, 2);
	rig_end_io(1, LUN_OK);
	assert_int_equal(rig.n_returned, 1);
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_returned, 2);
	assert_int_equal(rig.n_ios, 0);
}

static void unknown_fate_is_under_way(void **state)
{
	(void)state;
	rig_learn();
	rig_write(0, 4 * KB, 0);
	rig_read(4 * KB, 4 * KB);
	rig_lose_lun();
	assert_int_equal(rig.n_ops, 1); /* the read goes by the coordinator, the write waits */
	assert_int_equal(rig.op_kind, CSV__KIND__BLOCK_READ);
	rig_recall(0, 4 * KB, false);
	assert_int_equal(rig.n_returned, 0);
	rig_another_nexus();
	assert_int_equal(rig.n_asks,
			 1); /* before there was a new nexus; it was called back meanwhile */
	assert_int_equal(rig.n_returned, 1);
	assert_int_equal(rig.n_answers, 0);
	rig_grant(0, 4 * KB, BASE, true);
	assert_int_equal(rig.n_ios, 1);
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_answers, 1);
}

/* The hello names no nexus: with the welcome the old one is dead. */
static void welcome_releases(void **state)
{
	(void)state;
	rig_learn();
	rig_write(0, 4 * KB, 0);
	rig_lose_lun();
	client_down(rig.client);
	client_up(rig.client, EPOCH, 1);
	assert_int_equal(rig.hello_nexus, 0);
	assert_int_equal(rig.n_ops, 0);
	rig_welcome(EPOCH, false);
	assert_int_equal(rig.n_ops, 1);
}

/* Lost after the hello had named it: the welcome says nothing about it. */
static void welcome_spares_the_named(void **state)
{
	(void)state;
	rig_learn();
	rig_write(0, 4 * KB, 0);
	client_down(rig.client);
	client_up(rig.client, EPOCH, 1);
	assert_int_equal(rig.hello_nexus, 7);
	rig_lose_lun();
	rig_welcome(EPOCH, false);
	assert_int_equal(rig.n_ops, 0);
	rig_permit_and_go(8, EPOCH);
	assert_int_equal(rig.n_ops, 1);
}

static void layouts_survive_the_connection(void **state)
{
	(void)state;
	rig_learn();
	client_down(rig.client);
	rig_write(0, 4 * KB, 0);
	assert_int_equal(rig.n_ios, 1);
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_answers, 1);
	client_up(rig.client, EPOCH, 1);
	rig_welcome(EPOCH, false);
	rig_read(0, 4 * KB);
	assert_int_equal(rig.n_ios, 1);
	rig_end_io(0, LUN_OK);
}

static void reclaim_drops_and_drains(void **state)
{
	(void)state;
	rig_learn();
	rig_write(0, 4 * KB, 0);
	client_down(rig.client);
	client_up(rig.client, EPOCH + 1, 1);
	rig_write(4 * KB, 4 * KB, 0); /* under layouts it goes on until RECLAIM */
	rig_welcome(EPOCH + 1, true);
	rig_write(8 * KB, 4 * KB, 0);
	assert_int_equal(rig.n_ios, 2);
	assert_int_equal(rig.n_reclaims, 0);
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_reclaims, 0);
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_reclaims, 1);
	rig_reclaimed(EPOCH + 1);
	assert_int_equal(rig.n_asks, 1); /* layouts are asked for anew */
}

static bool tell_barrier(uint64_t epoch)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Barrier body = CSV__BARRIER__INIT;

	body.n = 1;
	msg.barrier = &body;
	return rig_tell(&msg, CSV__MESSAGE__MSG_BARRIER, epoch);
}

/* Also between welcome and reclaim: what it drains may be what the target has dropped. */
static void barriers_are_passed_on(void **state)
{
	(void)state;
	rig.n_barriers = 0;
	assert_true(tell_barrier(EPOCH));
	assert_int_equal(rig.n_barriers, 1);
	client_down(rig.client);
	client_up(rig.client, EPOCH + 1, 1);
	assert_false(tell_barrier(EPOCH + 1)); /* out of turn */
	rig_welcome(EPOCH + 1, true);
	assert_true(tell_barrier(EPOCH + 1));
	assert_int_equal(rig.n_barriers, 2);
}

static void lost_while_draining_says_hello_again(void **state)
{
	(void)state;
	rig_learn();
	rig_write(0, 4 * KB, 0);
	client_down(rig.client);
	client_up(rig.client, EPOCH + 1, 1);
	rig_welcome(EPOCH + 1, true);
	rig_lose_lun();
	assert_int_equal(rig.n_reconnects, 1);
	assert_int_equal(rig.n_reclaims, 0);
	client_down(rig.client);
	client_up(rig.client, EPOCH + 1, 1);
	assert_int_equal(rig.hello_nexus, 0);
	rig_welcome(EPOCH + 1, true);
	assert_int_equal(rig.n_reclaims, 1);
}

static void stop_order_waits_for_the_end(void **state)
{
	(void)state;
	rig_own("vm1", 4);
	rig_learn();
	rig_write(0, 4 * KB, 0);
	client_fail(rig.client, "vm1", 4);
	assert_int_equal(rig.n_answers, 1);
	assert_int_equal(rig.last_error, EIO);
	assert_false(client_failed(rig.client, "vm1", 4));
	assert_true(client_failed(rig.client, "vm2", 4));
	rig_simple(CSV__KIND__RELEASE); /* waits, too: its layouts end with it */
	assert_int_equal(rig.n_ops, 0);
	rig_lose_lun();
	assert_false(client_failed(rig.client, "vm1", 4)); /* it may still land */
	rig_another_nexus();
	assert_true(client_failed(rig.client, "vm1", 4));
	assert_int_equal(rig.n_ops, 1);
	assert_int_equal(rig.op_kind, CSV__KIND__RELEASE);
}

static void owners_are_judged_here(void **state)
{
	(void)state;
	rig_own("vm1", 4);
	rig_learn();
	rig.owner.generation = 3; /* not yet: the coordinator lets it wait */
	rig_write(0, 4 * KB, 0);
	assert_int_equal(rig.n_ops, 1);
	rig.owner.generation = 5;
	rig_write(0, 4 * KB, 0);
	assert_int_equal(rig.last_error, ESTALE);
	assert_int_equal(rig.n_ios, 0);
}

static void last_release_drops_the_map(void **state)
{
	(void)state;
	rig_learn();
	rig_simple(CSV__KIND__RELEASE);
	assert_int_equal(rig.op_kind, CSV__KIND__RELEASE);
	rig_result(rig.op_unique);
	rig_open_file();
	rig_forget();
	rig_read(0, 4 * KB);
	assert_int_equal(rig.n_asks, 1);
}

/* What an OPEN said about the size spares a question that has no answer. */
static void small_files_are_not_asked_for(void **state)
{
	(void)state;
	rig_simple(CSV__KIND__RELEASE);
	rig_result(rig.op_unique);
	rig.file_size = 4 * KB;
	rig_open_file();
	rig_forget();
	rig_read(0, 128 * KB);
	assert_int_equal(rig.n_asks, 0);
	assert_int_equal(rig.n_ops, 1);
	rig_read(0, 4 * KB);
	assert_int_equal(rig.n_asks, 1);
}

/* The question was still open when the last handle went: its answer must not stay. */
static void late_grant_is_dropped(void **state)
{
	(void)state;
	rig_own("vm1", 4);
	rig_forget();
	rig_read(0, 4 * KB);
	client_fail(rig.client, "vm1", 4);
	rig_simple(CSV__KIND__RELEASE);
	rig_grant(0, 64 * KB, BASE, true);
	rig_open_file();
	rig_forget();
	rig_read(0, 4 * KB);
	assert_int_equal(rig.n_ios, 0);
	assert_int_equal(rig.n_asks, 1);
}

static void target_errors_are_answered(void **state)
{
	(void)state;
	rig_learn();
	rig_write(0, 4 * KB, 0);
	rig.ios[0]->sense.key = 3;
	rig_end_io(0, LUN_ERROR);
	assert_int_equal(rig.last_error, EIO);
	rig_write(0, 4 * KB, 0);
	rig.ios[0]->sense = (struct lun_sense){ .key = 7, .ascq = 0x2707 };
	rig_end_io(0, LUN_ERROR);
	assert_int_equal(rig.last_error, ENOSPC);
	rig_write(0, 4 * KB, 0);
	rig_end_io(0, LUN_INVALID); /* the layout was wrong: the coordinator says what is */
	assert_int_equal(rig.n_ops, 1);
}

static void depth_is_bounded(void **state)
{
	(void)state;
	rig_learn();
	rig.lun_depth = 3;
	for (int i = 0; i < 10; i++)
		rig_write((uint64_t)i * 4 * KB, 4 * KB, 0);
	assert_int_equal(rig.n_ios, 3);
	for (int i = 0; i < 10; i++)
		rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_answers, 10);
	for (int i = 0; i < 10; i++)
		rig_write((uint64_t)i * 4 * KB, 4 * KB, 0);
	rig_lose_lun();
	rig_another_nexus();
	assert_int_equal(rig.n_ops, 10); /* all of them, those that never left, too */
}

static void goodbye_waits(void **state)
{
	(void)state;
	rig_learn();
	rig_write(0, 4 * KB, 0);
	client_bye(rig.client, "the end");
	assert_int_equal(rig.n_byes, 0);
	rig_end_io(0, LUN_OK);
	assert_int_equal(rig.n_byes, 1);
}

/* No coordinator speaks to it before it is admitted anew: what counts is the log. */
static void paid_fence_ends_unknown_fate(void **state)
{
	uint8_t uuid[16] = { 0 };
	Vol__Node self = VOL__NODE__INIT, *nodes[] = { &self };
	Vol__Debt debt = VOL__DEBT__INIT, *debts[] = { &debt };
	Vol__Volume volume = VOL__VOLUME__INIT, *volumes[] = { &volume };

	(void)state;
	rig_own("vm1", 4);
	rig_learn();
	rig_write(0, 4 * KB, 0);
	rig_lose_lun();
	rig_write(8 * KB, 4 * KB, 0); /* by place over the coordinator */
	client_fail(rig.client, "vm1", 4);
	client_down(rig.client);
	self.id = debt.node = 1;
	volume.uuid = (ProtobufCBinaryData){ sizeof(uuid), uuid };
	volume.debts = debts;
	volume.n_debts = 1;
	rig.tables.nodes = nodes;
	rig.tables.volumes = volumes;
	rig.tables.n_nodes = rig.tables.n_volumes = 1;
	client_set_tables(rig.client, &rig.tables);
	assert_false(client_failed(rig.client, "vm1", 4)); /* owed: it may still land */
	volume.n_debts = 0;
	self.living = true;
	client_set_tables(rig.client, &rig.tables);
	assert_false(client_failed(rig.client, "vm1", 4)); /* a member: its coordinator will say */
	self.living = false;
	client_set_tables(rig.client, &rig.tables);
	assert_true(client_failed(rig.client, "vm1", 4));
	assert_int_equal(rig.n_ops, 1);
	rig.tables.n_nodes = rig.tables.n_volumes = 0;
}

#ifdef CL_DEFECTS
static void without_drain_it_is_noticed(void **state)
{
	(void)state;
	rig_teardown(NULL);
	rig_come_up(CLIENT_DEFECT_NO_DRAIN);
	rig_learn();
	rig_write(0, 4 * KB, 0);
	rig_recall(0, UINT64_MAX, false);
	assert_int_equal(rig.n_returned, 1); /* with a write under way */
	rig_end_io(0, LUN_OK);
}

static void without_hold_it_is_noticed(void **state)
{
	(void)state;
	rig_teardown(NULL);
	rig_come_up(CLIENT_DEFECT_NO_HOLD);
	rig_learn();
	rig_write(0, 4 * KB, 0);
	rig_lose_lun();
	assert_int_equal(rig.n_ops, 1); /* before anybody said that the nexus is dead */
}
#endif

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(read_goes_directly),
		T(holes_are_zeros),
		T(writes_need_the_right),
		T(holes_are_filled_for_the_write_only),
		T(the_rest_is_the_coordinators),
		T(times_are_told_first),
		T(recall_waits_for_what_is_under_way),
		T(unknown_fate_is_under_way),
		T(welcome_releases),
		T(welcome_spares_the_named),
		T(layouts_survive_the_connection),
		T(barriers_are_passed_on),
		T(reclaim_drops_and_drains),
		T(lost_while_draining_says_hello_again),
		T(stop_order_waits_for_the_end),
		T(paid_fence_ends_unknown_fate),
		T(owners_are_judged_here),
		T(last_release_drops_the_map),
		T(small_files_are_not_asked_for),
		T(late_grant_is_dropped),
		T(target_errors_are_answered),
		T(depth_is_bounded),
		T(goodbye_waits),
#ifdef CL_DEFECTS
		T(without_drain_it_is_noticed),
		T(without_hold_it_is_noticed),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
