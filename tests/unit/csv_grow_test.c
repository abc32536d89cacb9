/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growth at the coordinator: what is given ahead, what a GROW shows, and what has to wait for whom. */
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
#include "tests/unit/file_rig.h"

static uint64_t address; /* of the growth: where its first byte lies */

/* A file of `size`, and node 2 has the growth behind it. */
static void hold_growth(uint64_t size, uint64_t len)
{
	Csv__Message *msg;

	if (size)
		file_write(&file.two, 0, size);
	msg = file_get_growth(&file.two, size, len);
	assert_true(layout_good(msg)->grow);
	assert_int_equal(msg->layout->extents[0]->offset, size);
	assert_true(msg->layout->extents[0]->length >= len);
	address = msg->layout->extents[0]->address;
	assert_true(address);
	msg_free(msg);
}

/* What the client does by itself. */
static void put(uint64_t at, uint64_t len)
{
	memcpy(file.rig->mem + address + at, file.data + at, len);
}

static uint64_t post_grow(struct peer *p, uint64_t off, uint64_t len)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = CSV__KIND__GROW;
	op.ino = file.ino;
	op.fh = file_fh(p);
	op.offset = off;
	op.length = len;
	peer_post(p, &op);
	return op.unique;
}

static int grow(struct peer *p, uint64_t off, uint64_t len)
{
	Csv__Message *msg = peer_result(p, post_grow(p, off, len));
	int error = (int)msg->result->error;

	msg_free(msg);
	return error;
}

static uint64_t size_of(struct peer *p)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Message *msg;
	uint64_t size;

	op.kind = CSV__KIND__GETATTR;
	op.ino = file.ino;
	msg = peer_call(p, &op);
	size = msg->result->attr->size;
	msg_free(msg);
	return size;
}

static void is_there(struct peer *p, uint64_t off, const uint8_t *want, uint64_t len)
{
	uint8_t *got = malloc(len);

	assert_non_null(got);
	assert_int_equal(peer_read(p, file.ino, file_fh(p), off, got, len), len);
	assert_memory_equal(got, want, len);
	free(got);
}

/* Whatever p is asked for comes back. */
static void give_all_back(struct peer *p)
{
	Csv__Message *msg;

	assert_true(peer_has(p, CSV__MESSAGE__MSG_RECALL));
	while ((msg = peer_take(p, CSV__MESSAGE__MSG_RECALL))) {
		recall_answer(p, msg->recall->id, true);
		msg_free(msg);
	}
}

/* The coordinator dies; node 3 with it, or it would be waited for. */
static void crash(void)
{
	rig_kill(file.rig);
	rig_start(file.rig);
	peer_up(&file.two);
	rig_fence(file.rig, 3);
	file.fh2 = peer_open(&file.two, file.ino);
}

static void shown_by_grow_alone(void **state)
{
	static const uint8_t nothing[B];
	uint64_t unique;

	(void)state;
	hold_growth(0, B);
	put(0, 2 * B);
	assert_int_equal(size_of(&file.three), 0);
	assert_int_equal(grow(&file.two, 0, B), 0);
	assert_int_equal(size_of(&file.three), B);
	is_there(&file.three, 0, file.data, B);
	/* Longer: what was written there, and never shown, is nobody's. */
	unique = file_post_size(&file.two, 2 * B);
	give_all_back(&file.two);
	file_result(&file.two, unique);
	assert_int_equal(size_of(&file.three), 2 * B);
	is_there(&file.three, B, nothing, B);
}

/* Durable with the answer; before it there is the old size, whatever lies on the LUN. */
static void a_crash_shows_all_or_nothing(void **state)
{
	(void)state;
	hold_growth(16 * B, MIB);
	put(0, 4 * B);
	crash();
	assert_int_equal(size_of(&file.two), 16 * B);
	/* The right went with the coordinator. */
	assert_int_equal(grow(&file.two, 16 * B, 4 * B), EAGAIN);
	assert_int_equal(size_of(&file.two), 16 * B);
	msg_free(file_get_growth(&file.two, 16 * B, 4 * B));
	assert_int_equal(grow(&file.two, 16 * B, 4 * B), 0);
	crash();
	assert_int_equal(size_of(&file.two), 20 * B);
	is_there(&file.two, 16 * B, file.data, 4 * B);
}

/* Sent again it is a write: by now its blocks are a layout, and it does not know what became of them. */
static void once_only(void **state)
{
	(void)state;
	hold_growth(0, 8 * B);
	put(0, 8 * B);
	assert_int_equal(grow(&file.two, 0, 8 * B), 0);
	assert_int_equal(grow(&file.two, 0, 8 * B), EAGAIN);
	assert_int_equal(size_of(&file.two), 8 * B);
}

static void nobody_else_may(void **state)
{
	(void)state;
	hold_growth(0, 8 * B);
	put(0, 8 * B);
	assert_int_equal(grow(&file.three, 0, 8 * B), EAGAIN);
	assert_int_equal(grow(&file.two, 1 << 30, B), EAGAIN);
	assert_int_equal(grow(&file.two, 1, B), EINVAL);
	assert_int_equal(grow(&file.two, 0, 0), EINVAL);
	assert_int_equal(grow(&file.two, UINT64_MAX - B + 1, B), EINVAL);
	assert_int_equal(size_of(&file.two), 0);
}

/* It would show what was on the disk before. */
static void without_the_right_is_noticed(void **state)
{
	(void)state;
	hold_growth(0, 8 * B);
	memset(file.rig->mem + address, 0xee, 8 * B);
	rig_kill(file.rig);
	file.rig->defects = COORD_DEFECT_GROW;
	rig_start(file.rig);
	peer_up(&file.two);
	rig_fence(file.rig, 3);
	file.fh2 = peer_open(&file.two, file.ino);
	assert_int_equal(grow(&file.two, 0, 8 * B), 0);
	assert_int_equal(size_of(&file.two), 8 * B);
}

static void parts_of_blocks_are_not_given(void **state)
{
	Csv__Message *msg;

	(void)state;
	file_write(&file.two, 0, 100);
	msg = file_get_growth(&file.two, B, B);
	assert_int_equal(msg->layout->error, 0);
	assert_int_equal(msg->layout->n_extents, 0);
	msg_free(msg);
	file_write(&file.two, 0, 2 * B);
	msg = file_get_growth(&file.two, B, B); /* inside of the file */
	assert_int_equal(msg->layout->n_extents, 0);
	msg_free(msg);
	msg = file_get_growth(&file.two, 2 * B + 512, B);
	assert_int_equal(msg->layout->n_extents, 0);
	msg_free(msg);
}

/* Everything that moves the end of file waits until the growth came back. */
static void one_holder_moves_the_end(void **state)
{
	uint64_t unique;

	(void)state;
	hold_growth(4 * B, MIB);
	file_ask_growth(&file.three, 4 * B, B);
	give_all_back(&file.two);
	msg_free(peer_expect(&file.three, CSV__MESSAGE__MSG_LAYOUT));
	/* Another one's write, far behind it. */
	unique = peer_post_write(&file.two, file.ino, file.fh2, 100 * B, file.data, B);
	assert_false(peer_has(&file.two, CSV__MESSAGE__MSG_RESULT));
	give_all_back(&file.three);
	file_result(&file.two, unique);
	assert_int_equal(grow(&file.three, 4 * B, B), EAGAIN);
	/* And its own. */
	msg_free(file_get_growth(&file.three, 101 * B, B));
	unique = file_post_size(&file.three, 200 * B);
	assert_false(peer_has(&file.three, CSV__MESSAGE__MSG_RESULT));
	give_all_back(&file.three);
	file_result(&file.three, unique);
}

/* The holder's GROW comes before its word that nothing is under way: it still has the right. */
static void under_recall_it_still_grows(void **state)
{
	uint64_t unique, id;

	(void)state;
	hold_growth(0, MIB);
	file_result(&file.three, file_post_size(&file.three, 0)); /* nothing is moved */
	unique = peer_post_write(&file.three, file.ino, file.fh3, 64 * B, file.data, B);
	id = recall_await(&file.two, 64 * B, 65 * B, false);
	put(0, 4 * B);
	assert_int_equal(grow(&file.two, 0, 4 * B), 0);
	recall_answer(&file.two, id, true);
	give_all_back(&file.two);
	file_result(&file.three, unique);
	assert_int_equal(size_of(&file.three), 65 * B);
	is_there(&file.three, 0, file.data, 4 * B);
	/* What came back under way is not held: the next one asks. */
	assert_int_equal(grow(&file.two, 4 * B, B), EAGAIN);
}

/* A gap: nobody learns of a hole where the holder writes. */
static void gaps_are_not_known(void **state)
{
	const Csv__Extent *e;
	Csv__Message *msg;

	(void)state;
	hold_growth(0, MIB);
	put(0, MIB);
	assert_int_equal(grow(&file.two, 64 * B, B), 0);
	file_hold(&file.three, 64 * B, B, false); /* what is shown is anybody's */
	file_ask(&file.three, 0, B, false);
	assert_false(peer_has(&file.three, CSV__MESSAGE__MSG_LAYOUT));
	assert_int_equal(grow(&file.two, 0, B), 0);
	give_all_back(&file.two);
	msg = peer_expect(&file.three, CSV__MESSAGE__MSG_LAYOUT);
	e = layout_at(layout_good(msg), 0);
	assert_true(e && e->address == address && e->length == B);
	assert_null(layout_at(msg->layout, 2 * B));
	msg_free(msg);
	assert_int_equal(size_of(&file.three), 65 * B);
}

/* To fill a hole for the holder himself would put zeros over what he has under way. */
static void holes_are_not_filled_below(void **state)
{
	(void)state;
	hold_growth(0, MIB);
	put(0, MIB);
	assert_int_equal(grow(&file.two, 64 * B, B), 0);
	file_ask(&file.two, 0, B, true);
	give_all_back(&file.two);
	/* All that is filled with it, too. */
	assert_false(peer_has(&file.two, CSV__MESSAGE__MSG_LAYOUT));
	give_all_back(&file.two);
	msg_free(peer_expect(&file.two, CSV__MESSAGE__MSG_LAYOUT));
}

/* What is grown is a layout like any other: its holder reads and writes there without asking. */
static void grown_is_a_layout(void **state)
{
	uint64_t unique;

	(void)state;
	hold_growth(0, MIB);
	put(0, 8 * B);
	assert_int_equal(grow(&file.two, 0, 8 * B), 0);
	unique = file_post_size(&file.three, 4 * B);
	give_all_back(&file.two);
	file_result(&file.three, unique);
	assert_int_equal(grow(&file.two, 4 * B, B), EAGAIN);
}

/* Blocks that were given ahead go with the last close, and never before. */
static void the_rest_is_trimmed(void **state)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Message *msg;

	(void)state;
	hold_growth(0, MIB);
	put(0, 4 * B);
	assert_int_equal(grow(&file.two, 0, 4 * B), 0);
	peer_release(&file.two, file.ino, file.fh2);
	peer_release(&file.three, file.ino, file.fh3);
	op.kind = CSV__KIND__GETATTR;
	op.ino = file.ino;
	msg = peer_call(&file.two, &op);
	assert_int_equal(msg->result->attr->blocks * 512, 16 * B); /* one cluster */
	msg_free(msg);
}

/* ---- answered before it is durable ----------------------------------------------------------- */

static uint64_t post_early(struct peer *p, uint64_t off, uint64_t len, bool sync)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = CSV__KIND__GROW;
	op.ino = file.ino;
	op.fh = file_fh(p);
	op.offset = off;
	op.length = len;
	op.later = true;
	op.sync = sync;
	peer_post(p, &op);
	return op.unique;
}

/* Its number; 0 = it is durable. */
static uint64_t early(struct peer *p, uint64_t unique)
{
	Csv__Message *msg = peer_result(p, unique);
	uint64_t number = msg->result->growth;

	assert_int_equal(msg->result->error, 0);
	msg_free(msg);
	return number;
}

/* Node 2 comes back to the next coordinator, with what it was told of; node 3 does not. */
static void come_back(uint64_t off, uint64_t len)
{
	Csv__Handle h = CSV__HANDLE__INIT;
	Csv__Grown g = CSV__GROWN__INIT;

	h.fh = file.fh2;
	h.ino = g.ino = file.ino;
	h.flags = O_RDWR;
	h.resource = (char *)(uintptr_t) "";
	g.offset = off;
	g.length = len;
	peer_hello(&file.two);
	msg_free(peer_expect(&file.two, CSV__MESSAGE__MSG_WELCOME));
	peer_reclaim_grown(&file.two, &h, 1, &g, len ? 1 : 0);
	rig_fence(file.rig, 3);
}

/* The coordinator dies with it, before any commit: its device fails with the next flush. */
static void die_with_growth(void)
{
	hold_growth(4 * B, MIB);
	put(0, 4 * B);
	file.rig->flushes_left = 1;
	assert_true(early(&file.two, post_early(&file.two, 4 * B, 4 * B, false)));
	rig_await_state(file.rig, COORD_FAILED);
	rig_kill(file.rig);
	file.rig->fail = 0;
	rig_start(file.rig);
}

static void the_writer_brings_it_back(void **state)
{
	(void)state;
	die_with_growth();
	come_back(4 * B, 4 * B);
	assert_int_equal(size_of(&file.two), 8 * B);
	is_there(&file.two, 4 * B, file.data, 4 * B);
	crash(); /* durable by now */
	assert_int_equal(size_of(&file.two), 8 * B);
	is_there(&file.two, 4 * B, file.data, 4 * B);
}

static void without_it_it_is_lost(void **state)
{
	(void)state;
	die_with_growth();
	come_back(0, 0);
	assert_int_equal(size_of(&file.two), 4 * B);
}

/* Whoever else hears of it hears it durable. */
static void nobody_sees_it_before(void **state)
{
	(void)state;
	hold_growth(4 * B, MIB);
	put(0, 4 * B);
	file.rig->flushes_left = 1;
	assert_true(early(&file.two, post_early(&file.two, 4 * B, 4 * B, false)));
	{
		Csv__Op op = CSV__OP__INIT;

		op.kind = CSV__KIND__GETATTR;
		op.ino = file.ino;
		peer_post(&file.three, &op);
	}
	rig_await_state(file.rig, COORD_FAILED);
	assert_null(peer_take(&file.three, CSV__MESSAGE__MSG_RESULT));
}

static void a_commit_follows(void **state)
{
	uint64_t number;
	Csv__Message *msg, settle = CSV__MESSAGE__INIT;
	Csv__Settle body = CSV__SETTLE__INIT;

	(void)state;
	hold_growth(0, MIB);
	put(0, 8 * B);
	number = early(&file.two, post_early(&file.two, 0, 4 * B, false));
	msg = peer_expect(&file.two, CSV__MESSAGE__MSG_SETTLED); /* by itself */
	assert_true(msg->settled->growth >= number);
	msg_free(msg);
	number = early(&file.two, post_early(&file.two, 4 * B, 4 * B, false));
	settle.msg_case = CSV__MESSAGE__MSG_SETTLE;
	settle.settle = &body;
	peer_send(&file.two, &settle);
	msg = peer_expect(&file.two, CSV__MESSAGE__MSG_SETTLED);
	assert_true(msg->settled->growth >= number);
	msg_free(msg);
	crash();
	assert_int_equal(size_of(&file.two), 8 * B);
}

static void some_are_not_answered_early(void **state)
{
	uint64_t unique;

	(void)state;
	hold_growth(0, MIB);
	put(0, 8 * B);
	assert_int_equal(early(&file.two, post_early(&file.two, 0, 4 * B, true)), 0); /* O_DSYNC */
	/* Under recall: it could be cut off before its writer hears that it is durable. */
	unique = file_post_size(&file.three, B);
	rig_settle(file.rig);
	assert_int_equal(early(&file.two, post_early(&file.two, 4 * B, 4 * B, false)), 0);
	give_all_back(&file.two);
	file_result(&file.three, unique);
	assert_int_equal(size_of(&file.three), B);
}

/* Before it is asked to give it back its writer knows that it is durable: it is never brought back after a cut. */
static void settled_before_the_recall(void **state)
{
	Csv__Message *msg;
	uint64_t unique;

	(void)state;
	hold_growth(0, MIB);
	put(0, 4 * B);
	assert_true(early(&file.two, post_early(&file.two, 0, 4 * B, false)));
	unique = file_post_size(&file.three, 0);
	rig_settle(file.rig);
	while ((msg = peer_take(&file.two, 0)) && msg->msg_case == CSV__MESSAGE__MSG_SPACE)
		msg_free(msg);
	assert_non_null(msg);
	assert_int_equal(msg->msg_case, CSV__MESSAGE__MSG_SETTLED);
	msg_free(msg);
	give_all_back(&file.two);
	file_result(&file.three, unique);
}

/*
 * A csvd that has not heard its welcome may have growth of its predecessor to reclaim: who cuts it off asks it, too; so it
 * has heard the welcome, which says that there is nothing to reclaim.
 */
static void another_csvd_is_asked(void **state)
{
	uint64_t unique;

	(void)state;
	hold_growth(0, MIB);
	put(0, 4 * B);
	assert_true(early(&file.two, post_early(&file.two, 0, 4 * B, false)));
	peer_lost(&file.two);
	file.two.process++;
	peer_hello(&file.two);
	msg_free(peer_expect(&file.two, CSV__MESSAGE__MSG_WELCOME));
	unique = file_post_size(&file.three, 0);
	assert_false(peer_has(&file.three, CSV__MESSAGE__MSG_RESULT));
	give_all_back(&file.two);
	file_result(&file.three, unique);
}

/* The same for one that was reclaimed: its RECLAIMED may be on its way. */
static void reclaimed_growth_is_recalled(void **state)
{
	uint64_t unique;

	(void)state;
	die_with_growth();
	come_back(4 * B, 4 * B);
	unique = file_post_size(&file.two, B);
	assert_false(peer_has(&file.two, CSV__MESSAGE__MSG_RESULT));
	give_all_back(&file.two);
	file_result(&file.two, unique);
}

static void nonsense_is_not_reclaimed(void **state)
{
	(void)state;
	die_with_growth();
	come_back(1 << 30, B); /* a hole */
	assert_int_equal(size_of(&file.two), 4 * B);
	assert_int_equal(file.rig->state, COORD_SERVING);
}

#define T(name) cmocka_unit_test_setup_teardown(name, file_setup, file_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(shown_by_grow_alone),
		T(a_crash_shows_all_or_nothing),
		T(once_only),
		T(nobody_else_may),
		T(without_the_right_is_noticed),
		T(parts_of_blocks_are_not_given),
		T(one_holder_moves_the_end),
		T(under_recall_it_still_grows),
		T(gaps_are_not_known),
		T(holes_are_not_filled_below),
		T(grown_is_a_layout),
		T(the_rest_is_trimmed),
		T(the_writer_brings_it_back),
		T(without_it_it_is_lost),
		T(nobody_sees_it_before),
		T(a_commit_follows),
		T(some_are_not_answered_early),
		T(settled_before_the_recall),
		T(another_csvd_is_asked),
		T(reclaimed_growth_is_recalled),
		T(nonsense_is_not_reclaimed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
