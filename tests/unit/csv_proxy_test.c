/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Block-redirected I/O at the coordinator: what is done for others, and who waits for it. */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/op.h"
#include "tests/unit/file_rig.h"

static uint64_t address_of(struct peer *p, uint64_t off, bool write)
{
	Csv__Message *msg = file_get(p, off, B, write);
	const Csv__Extent *e = layout_at(layout_good(msg), off);
	uint64_t address = e->address + (off - e->offset);

	assert_true(e->address);
	msg_free(msg);
	return address;
}

static uint64_t post_block(struct peer *p, bool write, uint64_t off, uint64_t address,
			   const void *bytes, size_t len)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = write ? CSV__KIND__BLOCK_WRITE : CSV__KIND__BLOCK_READ;
	op.ino = file.ino;
	op.fh = file_fh(p);
	op.offset = off;
	op.address = address;
	op.length = write ? 0 : len;
	if (write)
		op.data = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)bytes };
	peer_post(p, &op);
	return op.unique;
}

static int error_of(struct peer *p, uint64_t unique)
{
	Csv__Message *msg = peer_result(p, unique);
	int error = (int)msg->result->error;

	msg_free(msg);
	return error;
}

static void blocks_by_way_of_the_coordinator(void **state)
{
	uint64_t where, unique;
	struct csv_mail *io;
	Csv__Message *msg;

	(void)state;
	file_write(&file.two, 0, MIB);
	where = address_of(&file.three, 5 * B, true);
	unique = post_block(&file.three, true, 5 * B + 512, where + 512, file.data + MIB, 1024);
	io = rig_question(file.rig, MAIL_IO);
	assert_true(io->address == where + 512 && io->count == 1024 && io->ok);
	assert_false(peer_has(&file.three, CSV__MESSAGE__MSG_RESULT));
	rig_io_done(file.rig, io, 0);
	assert_int_equal(error_of(&file.three, unique), 0);
	unique = post_block(&file.three, false, 5 * B, where, NULL, 2 * B);
	rig_io_done(file.rig, rig_question(file.rig, MAIL_IO), 0);
	msg = peer_result(&file.three, unique);
	assert_int_equal(msg->result->data.len, 2 * B);
	assert_memory_equal(msg->result->data.data, file.data + 5 * B, 512);
	assert_memory_equal(msg->result->data.data + 512, file.data + MIB, 1024);
	msg_free(msg);
}

/* By place, so only where the session's layout and the map of now agree that it is his. */
static void blocks_of_others_are_refused(void **state)
{
	uint64_t where;

	(void)state;
	file_write(&file.two, 0, MIB);
	where = address_of(&file.two, 0, true);
	assert_int_equal(
		error_of(&file.three, post_block(&file.three, true, 0, where, file.data, B)),
		EAGAIN);
	file_hold(&file.three, 0, B, false);
	(void)address_of(&file.three, 0, true);
	assert_int_equal(
		error_of(&file.three, post_block(&file.three, true, 0, where + B, file.data, B)),
		EAGAIN);
	assert_int_equal(
		error_of(&file.three, post_block(&file.three, true, 0, where + 512, file.data, B)),
		EAGAIN);
	assert_int_equal(
		error_of(&file.three, post_block(&file.three, true, 0, where, file.data, 100)),
		EINVAL);
	assert_int_equal(
		error_of(&file.three, post_block(&file.three, true, MIB, where, file.data, B)),
		EAGAIN);
	assert_memory_equal(file.rig->mem + where, file.data, B);
}

/* A proxy that holds a dead node's write: the fence is paid when it has landed, not before. */
static void a_fence_waits_for_what_is_done_for_the_dead(void **state)
{
	uint64_t where, fence;
	struct csv_mail *io;

	(void)state;
	file_write(&file.two, 0, MIB);
	where = address_of(&file.three, 0, true);
	(void)post_block(&file.three, true, 0, where, file.data + MIB, B);
	io = rig_question(file.rig, MAIL_IO);
	fence = rig_post_fence(file.rig, 3);
	free(rig_question(file.rig, MAIL_IO_CANCEL)); /* what has not begun is called off */
	rig_settle(file.rig);
	assert_true(file.rig->fence_done != fence);
	rig_io_done(file.rig, io, 0);
	while (file.rig->fence_done != fence)
		rig_await_mail(file.rig);
}

static void without_waiting_is_noticed(void **state)
{
	uint64_t where, fence;
	struct csv_mail *io;

	(void)state;
	rig_kill(file.rig);
	file.rig->defects = COORD_DEFECT_NO_PROXY_WAIT;
	rig_start(file.rig);
	peer_up(&file.two);
	peer_up(&file.three);
	file.fh2 = peer_open(&file.two, file.ino);
	file.fh3 = peer_open(&file.three, file.ino);
	file_write(&file.two, 0, MIB);
	where = address_of(&file.three, 0, true);
	(void)post_block(&file.three, true, 0, where, file.data + MIB, B);
	io = rig_question(file.rig, MAIL_IO);
	fence = rig_post_fence(file.rig, 3);
	rig_settle(file.rig);
	assert_true(file.rig->fence_done ==
		    fence); /* paid, and now it lands on what others wrote */
	file_write(&file.two, 0, B);
	rig_io_done(file.rig, io, 0);
	rig_settle(file.rig);
	assert_memory_not_equal(file.rig->mem + where, file.data, B);
}

/* The client sends it again after the welcome; the first copy must not come behind. */
static void a_welcome_waits_for_what_is_done(void **state)
{
	uint64_t where, unique;
	struct csv_mail *io;

	(void)state;
	file_write(&file.two, 0, MIB);
	where = address_of(&file.three, 0, true);
	unique = post_block(&file.three, true, 0, where, file.data + MIB, B);
	io = rig_question(file.rig, MAIL_IO);
	peer_lost(&file.three);
	peer_hello(&file.three);
	assert_false(peer_has(&file.three, CSV__MESSAGE__MSG_WELCOME));
	rig_io_done(file.rig, io, ECANCELED);
	msg_free(peer_expect(&file.three, CSV__MESSAGE__MSG_WELCOME));
	assert_false(
		peer_has(&file.three, CSV__MESSAGE__MSG_RESULT)); /* of a connection that is gone */
	{
		Csv__Op op = CSV__OP__INIT;

		op.kind = CSV__KIND__BLOCK_WRITE;
		op.unique = unique;
		op.resent = true;
		op.ino = file.ino;
		op.fh = file.fh3;
		op.address = where;
		op.data = (ProtobufCBinaryData){ B, file.data + MIB };
		peer_post(&file.three, &op);
	}
	rig_io_done(file.rig, rig_question(file.rig, MAIL_IO), 0);
	assert_int_equal(error_of(&file.three, unique), 0);
	assert_memory_equal(file.rig->mem + where, file.data + MIB, B);
}

/* Under recall it is still his until he has returned it: what is on the way gets through. */
static void blocks_under_recall(void **state)
{
	uint64_t where, size, unique, id;

	(void)state;
	file_write(&file.two, 0, MIB);
	where = address_of(&file.three, 20 * B, true);
	size = file_post_size(&file.two, B);
	id = recall_await(&file.three, 20 * B, MIB, false);
	unique = post_block(&file.three, true, 20 * B, where, file.data, B);
	rig_io_done(file.rig, rig_question(file.rig, MAIL_IO), 0);
	assert_int_equal(error_of(&file.three, unique), 0);
	recall_answer(&file.three, id, true);
	file_result(&file.two, size);
	assert_int_equal(
		error_of(&file.three, post_block(&file.three, true, 20 * B, where, file.data, B)),
		EAGAIN);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, file_setup, file_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(blocks_by_way_of_the_coordinator),
		RIG_TEST(blocks_of_others_are_refused),
		RIG_TEST(a_fence_waits_for_what_is_done_for_the_dead),
		RIG_TEST(without_waiting_is_noticed),
		RIG_TEST(a_welcome_waits_for_what_is_done),
		RIG_TEST(blocks_under_recall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
