/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts at the coordinator: what is granted, and what waits until it came back. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/op.h"
#include "csv/wtime.h"
#include "tests/unit/file_rig.h"

/* ---- what is granted ------------------------------------------------------------------------ */

static void data_and_holes_up_to_the_end(void **state)
{
	const Csv__Extent *e;
	Csv__Message *msg;
	Csv__Layout *l;

	(void)state;
	file_set_size(MIB + 100);
	file_write(&file.two, 0, 64 * 1024);
	msg = file_get(&file.three, 0, B, false);
	l = layout_good(msg);
	assert_int_equal(l->id, 77);
	e = layout_at(l, 0);
	assert_true(e->address && e->length >= 64 * 1024);
	assert_memory_equal(file.rig->mem + e->address, file.data, 64 * 1024);
	e = layout_at(l, 512 * 1024);
	assert_non_null(e);
	assert_true(!e->address);
	e = l->extents[l->n_extents - 1];
	assert_int_equal(e->offset + e->length, MIB + 100); /* in the middle of a block */
	msg_free(msg);
	msg = file_get(&file.three, MIB + 100, B, false);
	assert_int_equal(msg->layout->error, 0);
	assert_int_equal(msg->layout->n_extents, 0);
	assert_string_equal(msg->layout->reason, "beyond the end of file");
	msg_free(msg);
}

static void a_hole_is_filled_before_it_is_given(void **state)
{
	static const uint8_t zeros[MIB];
	const Csv__Extent *e;
	uint64_t address;
	Csv__Message *msg;

	(void)state;
	file_set_size(8 * MIB);
	memset(file.rig->mem + 24 * MIB, 0xee, 8 * MIB); /* what was there before */
	msg = file_get(&file.two, 3 * MIB + 5 * B, B, true);
	e = layout_at(layout_good(msg), 3 * MIB + 5 * B);
	assert_true(e->address && e->offset <= 3 * MIB && e->offset + e->length >= 4 * MIB);
	assert_true(msg->layout->write);
	address = e->address + (3 * MIB - e->offset);
	assert_memory_equal(file.rig->mem + address, zeros, MIB);
	msg_free(msg);
	/* Durable before it was said: it is there after a crash. */
	rig_kill(file.rig);
	rig_start(file.rig);
	peer_up(&file.two);
	rig_fence(file.rig, 3);
	file.fh2 = peer_open(&file.two, file.ino);
	msg = file_get(&file.two, 3 * MIB, B, false);
	e = layout_at(layout_good(msg), 3 * MIB);
	assert_true(e->address + (3 * MIB - e->offset) == address);
	msg_free(msg);
}

static void a_stale_or_foreign_handle_gets_nothing(void **state)
{
	uint64_t right = file.fh2;
	Csv__Message *msg;

	(void)state;
	file_set_size(MIB);
	file.fh2 = 12345;
	msg = file_get(&file.two, 0, B, false);
	assert_int_equal(msg->layout->error, ESTALE);
	msg_free(msg);
	file.fh2 = right;
}

static void full(void **state)
{
	Csv__Message *msg;

	(void)state;
	file_set_size(64 * MIB);
	for (uint64_t off = 0;; off += 4 * MIB) {
		assert_true(off < 64 * MIB);
		msg = file_get(&file.two, off, 4 * MIB, true);
		if (msg->layout->error)
			break;
		msg_free(msg);
	}
	assert_int_equal(msg->layout->error, ENOSPC);
	assert_int_equal(msg->layout->n_extents, 0);
	msg_free(msg);
	assert_int_equal(file.rig->state, COORD_SERVING);
	file_write(&file.two, 0, B); /* who has blocks writes on */
}

/* ---- what waits ------------------------------------------------------------------------------ */

/* Somebody reads zeros where data is about to be: he gives the hole back first. */
static void a_hole_comes_back_first(void **state)
{
	uint64_t id;

	(void)state;
	file_set_size(4 * MIB);
	file_hold(&file.three, 0, B, false);
	file_ask(&file.two, MIB, B, true);
	id = recall_await(&file.three, MIB, 2 * MIB, false);
	assert_false(peer_has(&file.two, CSV__MESSAGE__MSG_LAYOUT));
	recall_answer(&file.three, id, false); /* BUSY is waited for */
	assert_false(peer_has(&file.two, CSV__MESSAGE__MSG_LAYOUT));
	recall_answer(&file.three, id, true);
	msg_free(peer_expect(&file.two, CSV__MESSAGE__MSG_LAYOUT));
	assert_true(recall_none(&file.two));
}

static void without_recall_is_noticed(void **state)
{
	(void)state;
	rig_kill(file.rig);
	file.rig->defects = COORD_DEFECT_NO_RECALL;
	rig_start(file.rig);
	peer_up(&file.two);
	peer_up(&file.three);
	file.fh2 = peer_open(&file.two, file.ino);
	file.fh3 = peer_open(&file.three, file.ino);
	file_set_size(4 * MIB);
	file_hold(&file.three, 0, B, false);
	file_ask(&file.two, MIB, B, true);
	msg_free(peer_expect(&file.two,
			     CSV__MESSAGE__MSG_LAYOUT)); /* and three reads zeros for ever */
	assert_true(recall_none(&file.three));
}

static void a_write_into_a_hole_ends_everybodys(void **state)
{
	uint64_t unique;
	uint8_t got[B];

	(void)state;
	file_set_size(4 * MIB);
	file_hold(&file.two, 0, B, false);
	file_hold(&file.three, 0, B, false);
	unique = peer_post_write(&file.two, file.ino, file.fh2, MIB, file.data, B);
	recall_give_back(&file.three, MIB, MIB + B, false);
	assert_false(peer_has(&file.two, CSV__MESSAGE__MSG_RESULT));
	recall_give_back(&file.two, MIB, MIB + B, false); /* its own map says hole, too */
	file_result(&file.two, unique);
	assert_int_equal(peer_read(&file.three, file.ino, file.fh3, MIB, got, B), B);
	assert_memory_equal(got, file.data, B);
}

static void parts_of_blocks(void **state)
{
	uint64_t unique;

	(void)state;
	file_write(&file.two, 0, MIB);
	file_hold(&file.two, 0, B, true);
	file_hold(&file.three, 0, B, true);
	/* Whole blocks that are there disturb nobody. */
	file_write(&file.two, 0, 16 * B);
	assert_true(recall_none(&file.two) && recall_none(&file.three));
	/* Parts: the right to write goes, reading stays. */
	unique = peer_post_write(&file.two, file.ino, file.fh2, 5 * B + 7, file.data, 100);
	recall_give_back(&file.two, 5 * B, 6 * B, true);
	assert_false(peer_has(&file.two, CSV__MESSAGE__MSG_RESULT));
	recall_give_back(&file.three, 5 * B, 6 * B, true);
	file_result(&file.two, unique);
	unique = peer_post_write(&file.three, file.ino, file.fh3, 5 * B + 700, file.data, 100);
	file_result(&file.three, unique); /* nobody may write there any more */
	assert_true(recall_none(&file.two) && recall_none(&file.three));
}

static void growth_takes_the_last_block(void **state)
{
	Csv__Op op = CSV__OP__INIT;
	uint64_t unique;
	uint8_t got[300];

	(void)state;
	assert_int_equal(peer_write(&file.two, file.ino, file.fh2, 0, file.data, B + 100), 0);
	file_hold(&file.three, 0, B, true);
	op.kind = CSV__KIND__WRITE;
	op.ino = file.ino;
	op.fh = file.fh2;
	op.flags = O_APPEND;
	op.data = (ProtobufCBinaryData){ 200, file.data };
	peer_post(&file.two, &op);
	unique = op.unique;
	recall_give_back(&file.three, B, 2 * B, true);
	file_result(&file.two, unique);
	assert_int_equal(peer_read(&file.three, file.ino, file.fh3, B, got, 300), 300);
	assert_memory_equal(got, file.data + B, 100);
	assert_memory_equal(got + 100, file.data, 200);
	/* The right to read the old part was never taken. */
	assert_true(recall_none(&file.three));
}

static void truncation_takes_all_behind(void **state)
{
	uint64_t unique;
	Csv__Message *msg;

	(void)state;
	file_write(&file.two, 0, MIB);
	file_hold(&file.three, 0, B, true);
	unique = file_post_size(&file.two, 10 * B + 1);
	recall_give_back(&file.three, 10 * B, MIB, false);
	file_result(&file.two, unique);
	msg = file_get(&file.three, 9 * B, B, false);
	assert_true(layout_at(layout_good(msg), 10 * B)->offset +
			    layout_at(msg->layout, 10 * B)->length ==
		    10 * B + 1);
	msg_free(msg);
}

static void punching_takes_the_range(void **state)
{
	Csv__Op op = CSV__OP__INIT;

	(void)state;
	file_write(&file.two, 0, MIB);
	file_hold(&file.three, 0, B, true);
	op.kind = CSV__KIND__FALLOCATE;
	op.ino = file.ino;
	op.fh = file.fh2;
	op.offset = 3 * B + 1;
	op.length = 10 * B;
	op.flags = 3; /* KEEP_SIZE | PUNCH_HOLE */
	peer_post(&file.two, &op);
	recall_give_back(&file.three, 3 * B, 14 * B, false);
	file_result(&file.two, op.unique);
}

/* What somebody waits for is not given to others meanwhile. */
static void new_layouts_wait_behind(void **state)
{
	uint64_t unique, id;
	Csv__Message *msg;

	(void)state;
	file_write(&file.two, 0, MIB);
	file_hold(&file.three, 0, B, true);
	unique = file_post_size(&file.two, 10 * B);
	id = recall_await(&file.three, 10 * B, MIB, false);
	file_ask(&file.three, 20 * B, B, false);
	file_ask(&file.two, 2 * B, B, false);
	msg = peer_expect(&file.two,
			  CSV__MESSAGE__MSG_LAYOUT); /* not under recall: given, up to it */
	assert_null(layout_at(layout_good(msg), 10 * B));
	msg_free(msg);
	assert_false(peer_has(&file.three, CSV__MESSAGE__MSG_LAYOUT));
	recall_answer(&file.three, id, true);
	file_result(&file.two, unique);
	msg = peer_expect(&file.three, CSV__MESSAGE__MSG_LAYOUT);
	assert_int_equal(msg->layout->n_extents, 0); /* it is beyond the end now */
	msg_free(msg);
}

/* ---- holders that go ------------------------------------------------------------------------- */

static uint64_t cut_while_three_holds(void)
{
	file_write(&file.two, 0, MIB);
	file_hold(&file.three, 0, B, true);
	return file_post_size(&file.two, 10 * B);
}

static void release_ends_it(void **state)
{
	uint64_t unique = cut_while_three_holds();

	(void)state;
	msg_free(peer_expect(&file.three, CSV__MESSAGE__MSG_RECALL));
	assert_false(peer_has(&file.two, CSV__MESSAGE__MSG_RESULT));
	peer_release(&file.three, file.ino, file.fh3);
	file_result(&file.two, unique);
}

static void fence_ends_it(void **state)
{
	uint64_t unique = cut_while_three_holds();

	(void)state;
	msg_free(peer_expect(&file.three, CSV__MESSAGE__MSG_RECALL));
	peer_lost(&file.three); /* a broken connection ends nothing */
	assert_false(peer_has(&file.two, CSV__MESSAGE__MSG_RESULT));
	rig_fence(file.rig, 3);
	file_result(&file.two, unique);
}

static void a_recall_comes_again_at_resume(void **state)
{
	uint64_t unique = cut_while_three_holds();

	(void)state;
	msg_free(peer_expect(&file.three, CSV__MESSAGE__MSG_RECALL));
	peer_lost(&file.three);
	file.three.nexus = 9;
	assert_false(peer_up(&file.three));
	recall_give_back(&file.three, 10 * B, MIB, false);
	file_result(&file.two, unique);
}

/* Its csvd was restarted: the nexus of before is dead, and the new process knows of no layout. */
static void another_process_holds_nothing(void **state)
{
	uint64_t unique = cut_while_three_holds();
	struct csv_mail *kill;

	(void)state;
	msg_free(peer_expect(&file.three, CSV__MESSAGE__MSG_RECALL));
	file.three.process = 2;
	file.rig->manual = true;
	peer_hello(&file.three);
	kill = rig_question(file.rig, MAIL_KILL);
	assert_false(peer_has(&file.two, CSV__MESSAGE__MSG_RESULT)); /* not before it is dead */
	rig_answer(file.rig, kill, true, 0);
	msg_free(peer_expect(&file.three, CSV__MESSAGE__MSG_WELCOME));
	file_result(&file.two, unique);
	assert_true(recall_none(&file.three));
}

static void silence_closes_the_connection(void **state)
{
	uint64_t unique, id, conn;

	(void)state;
	rig_kill(file.rig);
	file.rig->silence_ms = 100;
	rig_start(file.rig);
	peer_up(&file.two);
	peer_up(&file.three);
	file.fh2 = peer_open(&file.two, file.ino);
	file.fh3 = peer_open(&file.three, file.ino);
	unique = cut_while_three_holds();
	id = recall_await(&file.three, 10 * B, MIB, false);
	conn = file.three.conn;
	while (file.rig->closed_conn != conn)
		rig_await_mail(file.rig);
	recall_answer(&file.three, id, true); /* too late: that connection is nobody's */
	assert_false(peer_has(&file.two, CSV__MESSAGE__MSG_RESULT));
	peer_up(&file.three);
	recall_give_back(&file.three, 10 * B, MIB, false);
	file_result(&file.two, unique);
}

static void redirected_by_the_operator(void **state)
{
	Csv__Message *msg;

	(void)state;
	file_write(&file.two, 0, MIB);
	file_hold(&file.three, 0, B, true);
	file.rig->redirected = true;
	rig_tables(file.rig);
	recall_give_back(&file.three, 0, MIB, false);
	msg = file_get(&file.three, 0, B, false);
	assert_int_equal(msg->layout->n_extents, 0);
	assert_string_equal(msg->layout->reason, "redirected by the operator");
	msg_free(msg);
	file.rig->redirected = false;
	rig_tables(file.rig);
	msg = file_get(&file.three, 0, B, false);
	(void)layout_good(msg);
	msg_free(msg);
}

/* ---- the rest --------------------------------------------------------------------------------- */

static Csv__Attr getattr(struct peer *p)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Message *msg;
	Csv__Attr attr;

	op.kind = CSV__KIND__GETATTR;
	op.ino = file.ino;
	msg = peer_call(p, &op);
	assert_int_equal(msg->result->error, 0);
	attr = *msg->result->attr;
	msg_free(msg);
	return attr;
}

static int64_t ns_of(uint64_t wtime)
{
	struct timespec t = wtime_to(wtime);

	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void touch(struct peer *p, int64_t mtime_ns)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Touched body = CSV__TOUCHED__INIT;

	body.ino = file.ino;
	body.mtime_ns = mtime_ns;
	msg.msg_case = CSV__MESSAGE__MSG_TOUCHED;
	msg.touched = &body;
	peer_send(p, &msg);
}

static void direct_writes_move_the_time(void **state)
{
	Csv__Attr before, after;

	(void)state;
	file_write(&file.two, 0, B);
	before = getattr(&file.two);
	touch(&file.two, ns_of(before.mtime) - 1000000000); /* of before what was told later */
	after = getattr(&file.two);
	assert_true(ns_of(after.mtime) == ns_of(before.mtime));
	touch(&file.two, INT64_MAX); /* a clock that is wrong does not make a future */
	after = getattr(&file.two);
	assert_true(ns_of(after.mtime) > ns_of(before.mtime) &&
		    ns_of(after.mtime) <= ns_of(after.ctime) + 1000000000);
}

static void tag(struct peer *p, uint64_t generation)
{
	Csv__Op op = CSV__OP__INIT;
	char name[] = "vm1";

	op.kind = CSV__KIND__TAG;
	op.ino = file.ino;
	op.fh = file_fh(p);
	op.resource = name;
	op.generation = generation;
	assert_int_equal(peer_try(p, &op), 0);
}

/* One writer: who owns the disk now writes when the node of its earlier owner can no longer. */
static void an_earlier_owner_gives_back_first(void **state)
{
	Vol__Owner owner = VOL__OWNER__INIT;
	char name[] = "vm1";
	Csv__Message *msg;
	uint64_t id;

	(void)state;
	owner.resource = name;
	owner.generation = 4;
	file.rig->owner = &owner;
	rig_tables(file.rig);
	file_write(&file.two, 0, MIB);
	tag(&file.two, 4);
	file_hold(&file.two, 0, B, true);
	owner.generation = 5;
	rig_tables(file.rig);
	tag(&file.three, 5);
	file_ask(&file.three, 0, B, true);
	id = recall_await(&file.two, 0, MIB, true);
	assert_false(peer_has(&file.three, CSV__MESSAGE__MSG_LAYOUT));
	recall_answer(&file.two, id, true);
	msg = peer_expect(&file.three, CSV__MESSAGE__MSG_LAYOUT);
	assert_true(layout_good(msg)->write);
	msg_free(msg);
	msg = file_get(&file.two, 0, B, false);
	assert_int_equal(msg->layout->error, ESTALE);
	msg_free(msg);
}

/* Growth prepares space behind the end; it does not stay. */
static void a_closed_file_has_what_it_needs(void **state)
{
	Csv__Attr attr;

	(void)state;
	for (uint64_t off = 0; off < 2 * MIB; off += 64 * 1024)
		file_write(&file.two, off, 64 * 1024);
	file_write(&file.three, 2 * MIB - B, B);
	assert_int_equal(peer_write(&file.two, file.ino, file.fh2, 2 * MIB, file.data, B), 0);
	attr = getattr(&file.two);
	assert_true(attr.blocks > (2 * MIB + 64 * 1024) / 512);
	peer_release(&file.two, file.ino, file.fh2);
	peer_release(&file.three, file.ino, file.fh3);
	attr = getattr(&file.two);
	assert_int_equal(attr.blocks, (2 * MIB + 64 * 1024) / 512);
}

/* A second failover before the first one's grace has ended changes nobody's duty. */
static void two_failovers_in_one_grace(void **state)
{
	Csv__Handle h = CSV__HANDLE__INIT;
	Csv__Op op = CSV__OP__INIT;

	(void)state;
	rig_kill(file.rig);
	rig_start(file.rig);
	assert_int_equal(file.rig->state, COORD_GRACE);
	assert_true(peer_up(&file.two)); /* has reclaimed; three has not */
	rig_kill(file.rig);
	rig_start(file.rig);
	h.fh = file.fh2;
	h.ino = file.ino;
	h.resource = (char *)(uintptr_t) "";
	peer_hello(&file.two);
	msg_free(peer_expect(&file.two, CSV__MESSAGE__MSG_WELCOME));
	peer_reclaim(&file.two, &h, 1);
	assert_int_equal(file.rig->state, COORD_GRACE);
	op.kind = CSV__KIND__GETATTR;
	op.ino = file.ino;
	peer_post(&file.two, &op);
	assert_false(peer_has(&file.two, CSV__MESSAGE__MSG_RESULT));
	assert_true(peer_up(&file.three));
	file_result(&file.two, op.unique);
	/* What two had open from the first term on is still open. */
	assert_int_equal(peer_write(&file.two, file.ino, file.fh2, 0, file.data, B), 0);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, file_setup, file_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(data_and_holes_up_to_the_end),
		RIG_TEST(a_hole_is_filled_before_it_is_given),
		RIG_TEST(a_stale_or_foreign_handle_gets_nothing),
		RIG_TEST(full),
		RIG_TEST(a_hole_comes_back_first),
		RIG_TEST(without_recall_is_noticed),
		RIG_TEST(a_write_into_a_hole_ends_everybodys),
		RIG_TEST(parts_of_blocks),
		RIG_TEST(growth_takes_the_last_block),
		RIG_TEST(truncation_takes_all_behind),
		RIG_TEST(punching_takes_the_range),
		RIG_TEST(new_layouts_wait_behind),
		RIG_TEST(release_ends_it),
		RIG_TEST(fence_ends_it),
		RIG_TEST(a_recall_comes_again_at_resume),
		RIG_TEST(another_process_holds_nothing),
		RIG_TEST(silence_closes_the_connection),
		RIG_TEST(redirected_by_the_operator),
		RIG_TEST(direct_writes_move_the_time),
		RIG_TEST(an_earlier_owner_gives_back_first),
		RIG_TEST(a_closed_file_has_what_it_needs),
		RIG_TEST(two_failovers_in_one_grace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
