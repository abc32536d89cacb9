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
#include "tests/unit/coord_rig.h"

#define B 4096u
#define MIB (1u << 20)

static struct rig *rig;
static struct peer two, three;
static uint64_t ino, fh2, fh3;
static uint8_t data[2 * MIB];

static void done(Csv__Message *msg)
{
	csv__message__free_unpacked(msg, NULL);
}

/* Two mounts that have one file open. */
static int setup(void **state)
{
	(void)state;
	rig = rig_new();
	rig_start(rig);
	peer_init(&two, rig, 2);
	peer_init(&three, rig, 3);
	peer_up(&two);
	peer_up(&three);
	ino = peer_create(&two, "file", &fh2);
	fh3 = peer_open(&three, ino);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i / B + i % 251 + 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_free(rig);
	return 0;
}

static uint64_t post_size(struct peer *p, uint64_t size)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Attr attr = CSV__ATTR__INIT;

	attr.size = size;
	op.kind = CSV__KIND__SETATTR;
	op.ino = ino;
	op.attr = &attr;
	op.valid = OP_SET_SIZE;
	peer_post(p, &op);
	return op.unique;
}

static void result(struct peer *p, uint64_t unique)
{
	Csv__Message *msg = peer_result(p, unique);

	assert_int_equal(msg->result->error, 0);
	done(msg);
}

static void set_size(uint64_t size)
{
	result(&two, post_size(&two, size));
}

static uint64_t fh_of(const struct peer *p)
{
	return p == &two ? fh2 : fh3;
}

static void ask(struct peer *p, uint64_t off, uint64_t len, bool write)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__LayoutGet body = CSV__LAYOUT_GET__INIT;

	body.id = 77;
	body.ino = ino;
	body.fh = fh_of(p);
	body.offset = off;
	body.length = len;
	body.write = write;
	msg.msg_case = CSV__MESSAGE__MSG_LAYOUT_GET;
	msg.layout_get = &body;
	peer_send(p, &msg);
}

static Csv__Message *get(struct peer *p, uint64_t off, uint64_t len, bool write)
{
	ask(p, off, len, write);
	return peer_expect(p, CSV__MESSAGE__MSG_LAYOUT);
}

static Csv__Layout *good(Csv__Message *msg)
{
	assert_int_equal(msg->layout->error, 0);
	assert_true(msg->layout->n_extents > 0);
	return msg->layout;
}

/* The extent that covers off. */
static const Csv__Extent *at(const Csv__Layout *l, uint64_t off)
{
	for (size_t i = 0; i < l->n_extents; i++)
		if (l->extents[i]->offset <= off &&
		    off < l->extents[i]->offset + l->extents[i]->length)
			return l->extents[i];
	return NULL;
}

static void hold(struct peer *p, uint64_t off, uint64_t len, bool write)
{
	done(get(p, off, len, write));
}

static void answer(struct peer *p, uint64_t id, bool returned)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Recalled body = CSV__RECALLED__INIT;

	body.id = id;
	body.returned = returned;
	msg.msg_case = CSV__MESSAGE__MSG_RECALLED;
	msg.recalled = &body;
	peer_send(p, &msg);
}

/* The next recall to p: its id; checks what it is about. */
static uint64_t recalled(struct peer *p, uint64_t off, uint64_t end, bool keep_read)
{
	Csv__Message *msg = peer_expect(p, CSV__MESSAGE__MSG_RECALL);
	uint64_t id = msg->recall->id;

	assert_true(msg->recall->ino == ino);
	assert_true(msg->recall->offset <= off);
	assert_true(msg->recall->offset + msg->recall->length >= end);
	assert_int_equal(msg->recall->keep_read, keep_read);
	done(msg);
	return id;
}

static void give_back(struct peer *p, uint64_t off, uint64_t end, bool keep_read)
{
	answer(p, recalled(p, off, end, keep_read), true);
}

static bool no_recall(struct peer *p)
{
	return !peer_has(p, CSV__MESSAGE__MSG_RECALL);
}

static void write_ok(struct peer *p, uint64_t off, size_t len)
{
	assert_int_equal(peer_write(p, ino, fh_of(p), off, data + off, len), 0);
}

/* ---- what is granted ------------------------------------------------------------------------ */

static void data_and_holes_up_to_the_end(void **state)
{
	const Csv__Extent *e;
	Csv__Message *msg;
	Csv__Layout *l;

	(void)state;
	set_size(MIB + 100);
	write_ok(&two, 0, 64 * 1024);
	msg = get(&three, 0, B, false);
	l = good(msg);
	assert_int_equal(l->id, 77);
	e = at(l, 0);
	assert_true(e->address && e->length >= 64 * 1024);
	assert_memory_equal(rig->mem + e->address, data, 64 * 1024);
	e = at(l, 512 * 1024);
	assert_non_null(e);
	assert_true(!e->address);
	e = l->extents[l->n_extents - 1];
	assert_int_equal(e->offset + e->length, MIB + 100); /* in the middle of a block */
	done(msg);
	msg = get(&three, MIB + 100, B, false);
	assert_int_equal(msg->layout->error, 0);
	assert_int_equal(msg->layout->n_extents, 0);
	assert_string_equal(msg->layout->reason, "beyond the end of file");
	done(msg);
}

static void a_hole_is_filled_before_it_is_given(void **state)
{
	static const uint8_t zeros[MIB];
	const Csv__Extent *e;
	uint64_t address;
	Csv__Message *msg;

	(void)state;
	set_size(8 * MIB);
	memset(rig->mem + 24 * MIB, 0xee, 8 * MIB); /* what was there before */
	msg = get(&two, 3 * MIB + 5 * B, B, true);
	e = at(good(msg), 3 * MIB + 5 * B);
	assert_true(e->address && e->offset <= 3 * MIB && e->offset + e->length >= 4 * MIB);
	assert_true(msg->layout->write);
	address = e->address + (3 * MIB - e->offset);
	assert_memory_equal(rig->mem + address, zeros, MIB);
	done(msg);
	/* Durable before it was said: it is there after a crash. */
	rig_kill(rig);
	rig_start(rig);
	peer_up(&two);
	rig_fence(rig, 3);
	fh2 = peer_open(&two, ino);
	msg = get(&two, 3 * MIB, B, false);
	e = at(good(msg), 3 * MIB);
	assert_true(e->address + (3 * MIB - e->offset) == address);
	done(msg);
}

static void a_stale_or_foreign_handle_gets_nothing(void **state)
{
	uint64_t right = fh2;
	Csv__Message *msg;

	(void)state;
	set_size(MIB);
	fh2 = 12345;
	msg = get(&two, 0, B, false);
	assert_int_equal(msg->layout->error, ESTALE);
	done(msg);
	fh2 = right;
}

static void full(void **state)
{
	Csv__Message *msg;

	(void)state;
	set_size(64 * MIB);
	for (uint64_t off = 0;; off += 4 * MIB) {
		assert_true(off < 64 * MIB);
		msg = get(&two, off, 4 * MIB, true);
		if (msg->layout->error)
			break;
		done(msg);
	}
	assert_int_equal(msg->layout->error, ENOSPC);
	assert_int_equal(msg->layout->n_extents, 0);
	done(msg);
	assert_int_equal(rig->state, COORD_SERVING);
	write_ok(&two, 0, B); /* who has blocks writes on */
}

/* ---- what waits ------------------------------------------------------------------------------ */

/* Somebody reads zeros where data is about to be: he gives the hole back first. */
static void a_hole_comes_back_first(void **state)
{
	uint64_t id;

	(void)state;
	set_size(4 * MIB);
	hold(&three, 0, B, false);
	ask(&two, MIB, B, true);
	id = recalled(&three, MIB, 2 * MIB, false);
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_LAYOUT));
	answer(&three, id, false); /* BUSY is waited for */
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_LAYOUT));
	answer(&three, id, true);
	done(peer_expect(&two, CSV__MESSAGE__MSG_LAYOUT));
	assert_true(no_recall(&two));
}

static void without_recall_is_noticed(void **state)
{
	(void)state;
	rig_kill(rig);
	rig->defects = COORD_DEFECT_NO_RECALL;
	rig_start(rig);
	peer_up(&two);
	peer_up(&three);
	fh2 = peer_open(&two, ino);
	fh3 = peer_open(&three, ino);
	set_size(4 * MIB);
	hold(&three, 0, B, false);
	ask(&two, MIB, B, true);
	done(peer_expect(&two, CSV__MESSAGE__MSG_LAYOUT)); /* and three reads zeros for ever */
	assert_true(no_recall(&three));
}

static void a_write_into_a_hole_ends_everybodys(void **state)
{
	uint64_t unique;
	uint8_t got[B];

	(void)state;
	set_size(4 * MIB);
	hold(&two, 0, B, false);
	hold(&three, 0, B, false);
	unique = peer_post_write(&two, ino, fh2, MIB, data, B);
	give_back(&three, MIB, MIB + B, false);
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_RESULT));
	give_back(&two, MIB, MIB + B, false); /* its own map says hole, too */
	result(&two, unique);
	assert_int_equal(peer_read(&three, ino, fh3, MIB, got, B), B);
	assert_memory_equal(got, data, B);
}

static void parts_of_blocks(void **state)
{
	uint64_t unique;

	(void)state;
	write_ok(&two, 0, MIB);
	hold(&two, 0, B, true);
	hold(&three, 0, B, true);
	/* Whole blocks that are there disturb nobody. */
	write_ok(&two, 0, 16 * B);
	assert_true(no_recall(&two) && no_recall(&three));
	/* Parts: the right to write goes, reading stays. */
	unique = peer_post_write(&two, ino, fh2, 5 * B + 7, data, 100);
	give_back(&two, 5 * B, 6 * B, true);
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_RESULT));
	give_back(&three, 5 * B, 6 * B, true);
	result(&two, unique);
	unique = peer_post_write(&three, ino, fh3, 5 * B + 700, data, 100);
	result(&three, unique); /* nobody may write there any more */
	assert_true(no_recall(&two) && no_recall(&three));
}

static void growth_takes_the_last_block(void **state)
{
	Csv__Op op = CSV__OP__INIT;
	uint64_t unique;
	uint8_t got[300];

	(void)state;
	assert_int_equal(peer_write(&two, ino, fh2, 0, data, B + 100), 0);
	hold(&three, 0, B, true);
	op.kind = CSV__KIND__WRITE;
	op.ino = ino;
	op.fh = fh2;
	op.flags = O_APPEND;
	op.data = (ProtobufCBinaryData){ 200, data };
	peer_post(&two, &op);
	unique = op.unique;
	give_back(&three, B, 2 * B, true);
	result(&two, unique);
	assert_int_equal(peer_read(&three, ino, fh3, B, got, 300), 300);
	assert_memory_equal(got, data + B, 100);
	assert_memory_equal(got + 100, data, 200);
	/* The right to read the old part was never taken. */
	assert_true(no_recall(&three));
}

static void truncation_takes_all_behind(void **state)
{
	uint64_t unique;
	Csv__Message *msg;

	(void)state;
	write_ok(&two, 0, MIB);
	hold(&three, 0, B, true);
	unique = post_size(&two, 10 * B + 1);
	give_back(&three, 10 * B, MIB, false);
	result(&two, unique);
	msg = get(&three, 9 * B, B, false);
	assert_true(at(good(msg), 10 * B)->offset + at(msg->layout, 10 * B)->length == 10 * B + 1);
	done(msg);
}

static void punching_takes_the_range(void **state)
{
	Csv__Op op = CSV__OP__INIT;

	(void)state;
	write_ok(&two, 0, MIB);
	hold(&three, 0, B, true);
	op.kind = CSV__KIND__FALLOCATE;
	op.ino = ino;
	op.fh = fh2;
	op.offset = 3 * B + 1;
	op.length = 10 * B;
	op.flags = 3; /* KEEP_SIZE | PUNCH_HOLE */
	peer_post(&two, &op);
	give_back(&three, 3 * B, 14 * B, false);
	result(&two, op.unique);
}

/* What somebody waits for is not given to others meanwhile. */
static void new_layouts_wait_behind(void **state)
{
	uint64_t unique, id;
	Csv__Message *msg;

	(void)state;
	write_ok(&two, 0, MIB);
	hold(&three, 0, B, true);
	unique = post_size(&two, 10 * B);
	id = recalled(&three, 10 * B, MIB, false);
	ask(&three, 20 * B, B, false);
	ask(&two, 2 * B, B, false);
	msg = peer_expect(&two, CSV__MESSAGE__MSG_LAYOUT); /* not under recall: given, up to it */
	assert_null(at(good(msg), 10 * B));
	done(msg);
	assert_false(peer_has(&three, CSV__MESSAGE__MSG_LAYOUT));
	answer(&three, id, true);
	result(&two, unique);
	msg = peer_expect(&three, CSV__MESSAGE__MSG_LAYOUT);
	assert_int_equal(msg->layout->n_extents, 0); /* it is beyond the end now */
	done(msg);
}

/* ---- holders that go ------------------------------------------------------------------------- */

static uint64_t cut_while_three_holds(void)
{
	write_ok(&two, 0, MIB);
	hold(&three, 0, B, true);
	return post_size(&two, 10 * B);
}

static void release_ends_it(void **state)
{
	uint64_t unique = cut_while_three_holds();

	(void)state;
	done(peer_expect(&three, CSV__MESSAGE__MSG_RECALL));
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_RESULT));
	peer_release(&three, ino, fh3);
	result(&two, unique);
}

static void fence_ends_it(void **state)
{
	uint64_t unique = cut_while_three_holds();

	(void)state;
	done(peer_expect(&three, CSV__MESSAGE__MSG_RECALL));
	peer_lost(&three); /* a broken connection ends nothing */
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_RESULT));
	rig_fence(rig, 3);
	result(&two, unique);
}

static void a_recall_comes_again_at_resume(void **state)
{
	uint64_t unique = cut_while_three_holds();

	(void)state;
	done(peer_expect(&three, CSV__MESSAGE__MSG_RECALL));
	peer_lost(&three);
	three.nexus = 9;
	assert_false(peer_up(&three));
	give_back(&three, 10 * B, MIB, false);
	result(&two, unique);
}

/* Its csvd was restarted: the nexus of before is dead, and the new process knows of no layout. */
static void another_process_holds_nothing(void **state)
{
	uint64_t unique = cut_while_three_holds();
	struct csv_mail *kill;

	(void)state;
	done(peer_expect(&three, CSV__MESSAGE__MSG_RECALL));
	three.process = 2;
	rig->manual = true;
	peer_hello(&three);
	kill = rig_question(rig, MAIL_KILL);
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_RESULT)); /* not before it is dead */
	rig_answer(rig, kill, true, 0);
	done(peer_expect(&three, CSV__MESSAGE__MSG_WELCOME));
	result(&two, unique);
	assert_true(no_recall(&three));
}

static void silence_closes_the_connection(void **state)
{
	uint64_t unique, id, conn;

	(void)state;
	rig_kill(rig);
	rig->silence_ms = 100;
	rig_start(rig);
	peer_up(&two);
	peer_up(&three);
	fh2 = peer_open(&two, ino);
	fh3 = peer_open(&three, ino);
	unique = cut_while_three_holds();
	id = recalled(&three, 10 * B, MIB, false);
	conn = three.conn;
	while (rig->closed_conn != conn)
		rig_await_mail(rig);
	answer(&three, id, true); /* too late: that connection is nobody's */
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_RESULT));
	peer_up(&three);
	give_back(&three, 10 * B, MIB, false);
	result(&two, unique);
}

static void redirected_by_the_operator(void **state)
{
	Csv__Message *msg;

	(void)state;
	write_ok(&two, 0, MIB);
	hold(&three, 0, B, true);
	rig->redirected = true;
	rig_tables(rig);
	give_back(&three, 0, MIB, false);
	msg = get(&three, 0, B, false);
	assert_int_equal(msg->layout->n_extents, 0);
	assert_string_equal(msg->layout->reason, "redirected by the operator");
	done(msg);
	rig->redirected = false;
	rig_tables(rig);
	msg = get(&three, 0, B, false);
	(void)good(msg);
	done(msg);
}

/* ---- block-redirected ------------------------------------------------------------------------- */

static uint64_t address_of(struct peer *p, uint64_t off, bool write)
{
	Csv__Message *msg = get(p, off, B, write);
	const Csv__Extent *e = at(good(msg), off);
	uint64_t address = e->address + (off - e->offset);

	assert_true(e->address);
	done(msg);
	return address;
}

static uint64_t post_block(struct peer *p, bool write, uint64_t off, uint64_t address,
			   const void *bytes, size_t len)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = write ? CSV__KIND__BLOCK_WRITE : CSV__KIND__BLOCK_READ;
	op.ino = ino;
	op.fh = fh_of(p);
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

	done(msg);
	return error;
}

static void blocks_by_way_of_the_coordinator(void **state)
{
	uint64_t where, unique;
	struct csv_mail *io;
	Csv__Message *msg;

	(void)state;
	write_ok(&two, 0, MIB);
	where = address_of(&three, 5 * B, true);
	unique = post_block(&three, true, 5 * B + 512, where + 512, data + MIB, 1024);
	io = rig_question(rig, MAIL_IO);
	assert_true(io->address == where + 512 && io->count == 1024 && io->ok);
	assert_false(peer_has(&three, CSV__MESSAGE__MSG_RESULT));
	rig_io_done(rig, io, 0);
	assert_int_equal(error_of(&three, unique), 0);
	unique = post_block(&three, false, 5 * B, where, NULL, 2 * B);
	rig_io_done(rig, rig_question(rig, MAIL_IO), 0);
	msg = peer_result(&three, unique);
	assert_int_equal(msg->result->data.len, 2 * B);
	assert_memory_equal(msg->result->data.data, data + 5 * B, 512);
	assert_memory_equal(msg->result->data.data + 512, data + MIB, 1024);
	done(msg);
}

/* By place, so only where the session's layout and the map of now agree that it is his. */
static void blocks_of_others_are_refused(void **state)
{
	uint64_t where;

	(void)state;
	write_ok(&two, 0, MIB);
	where = address_of(&two, 0, true);
	assert_int_equal(error_of(&three, post_block(&three, true, 0, where, data, B)), EAGAIN);
	hold(&three, 0, B, false);
	(void)address_of(&three, 0, true);
	assert_int_equal(error_of(&three, post_block(&three, true, 0, where + B, data, B)), EAGAIN);
	assert_int_equal(error_of(&three, post_block(&three, true, 0, where + 512, data, B)),
			 EAGAIN);
	assert_int_equal(error_of(&three, post_block(&three, true, 0, where, data, 100)), EINVAL);
	assert_int_equal(error_of(&three, post_block(&three, true, MIB, where, data, B)), EAGAIN);
	assert_memory_equal(rig->mem + where, data, B);
}

/* A proxy that holds a dead node's write: the fence is paid when it has landed, not before. */
static void a_fence_waits_for_what_is_done_for_the_dead(void **state)
{
	uint64_t where, fence;
	struct csv_mail *io;

	(void)state;
	write_ok(&two, 0, MIB);
	where = address_of(&three, 0, true);
	(void)post_block(&three, true, 0, where, data + MIB, B);
	io = rig_question(rig, MAIL_IO);
	fence = rig_post_fence(rig, 3);
	free(rig_question(rig, MAIL_IO_CANCEL)); /* what has not begun is called off */
	rig_settle(rig);
	assert_true(rig->fence_done != fence);
	rig_io_done(rig, io, 0);
	while (rig->fence_done != fence)
		rig_await_mail(rig);
}

static void without_waiting_is_noticed(void **state)
{
	uint64_t where, fence;
	struct csv_mail *io;

	(void)state;
	rig_kill(rig);
	rig->defects = COORD_DEFECT_NO_PROXY_WAIT;
	rig_start(rig);
	peer_up(&two);
	peer_up(&three);
	fh2 = peer_open(&two, ino);
	fh3 = peer_open(&three, ino);
	write_ok(&two, 0, MIB);
	where = address_of(&three, 0, true);
	(void)post_block(&three, true, 0, where, data + MIB, B);
	io = rig_question(rig, MAIL_IO);
	fence = rig_post_fence(rig, 3);
	rig_settle(rig);
	assert_true(rig->fence_done == fence); /* paid, and now it lands on what others wrote */
	write_ok(&two, 0, B);
	rig_io_done(rig, io, 0);
	rig_settle(rig);
	assert_memory_not_equal(rig->mem + where, data, B);
}

/* The client sends it again after the welcome; the first copy must not come behind. */
static void a_welcome_waits_for_what_is_done(void **state)
{
	uint64_t where, unique;
	struct csv_mail *io;

	(void)state;
	write_ok(&two, 0, MIB);
	where = address_of(&three, 0, true);
	unique = post_block(&three, true, 0, where, data + MIB, B);
	io = rig_question(rig, MAIL_IO);
	peer_lost(&three);
	peer_hello(&three);
	assert_false(peer_has(&three, CSV__MESSAGE__MSG_WELCOME));
	rig_io_done(rig, io, ECANCELED);
	done(peer_expect(&three, CSV__MESSAGE__MSG_WELCOME));
	assert_false(peer_has(&three, CSV__MESSAGE__MSG_RESULT)); /* of a connection that is gone */
	{
		Csv__Op op = CSV__OP__INIT;

		op.kind = CSV__KIND__BLOCK_WRITE;
		op.unique = unique;
		op.resent = true;
		op.ino = ino;
		op.fh = fh3;
		op.address = where;
		op.data = (ProtobufCBinaryData){ B, data + MIB };
		peer_post(&three, &op);
	}
	rig_io_done(rig, rig_question(rig, MAIL_IO), 0);
	assert_int_equal(error_of(&three, unique), 0);
	assert_memory_equal(rig->mem + where, data + MIB, B);
}

/* Under recall it is still his until he has returned it: what is on the way gets through. */
static void blocks_under_recall(void **state)
{
	uint64_t where, size, unique, id;

	(void)state;
	write_ok(&two, 0, MIB);
	where = address_of(&three, 20 * B, true);
	size = post_size(&two, B);
	id = recalled(&three, 20 * B, MIB, false);
	unique = post_block(&three, true, 20 * B, where, data, B);
	rig_io_done(rig, rig_question(rig, MAIL_IO), 0);
	assert_int_equal(error_of(&three, unique), 0);
	answer(&three, id, true);
	result(&two, size);
	assert_int_equal(error_of(&three, post_block(&three, true, 20 * B, where, data, B)),
			 EAGAIN);
}

/* ---- the rest --------------------------------------------------------------------------------- */

static Csv__Attr getattr(struct peer *p)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Message *msg;
	Csv__Attr attr;

	op.kind = CSV__KIND__GETATTR;
	op.ino = ino;
	msg = peer_call(p, &op);
	assert_int_equal(msg->result->error, 0);
	attr = *msg->result->attr;
	done(msg);
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

	body.ino = ino;
	body.mtime_ns = mtime_ns;
	msg.msg_case = CSV__MESSAGE__MSG_TOUCHED;
	msg.touched = &body;
	peer_send(p, &msg);
}

static void direct_writes_move_the_time(void **state)
{
	Csv__Attr before, after;

	(void)state;
	write_ok(&two, 0, B);
	before = getattr(&two);
	touch(&two, ns_of(before.mtime) - 1000000000); /* of before what was told later */
	after = getattr(&two);
	assert_true(ns_of(after.mtime) == ns_of(before.mtime));
	touch(&two, INT64_MAX); /* a clock that is wrong does not make a future */
	after = getattr(&two);
	assert_true(ns_of(after.mtime) > ns_of(before.mtime) &&
		    ns_of(after.mtime) <= ns_of(after.ctime) + 1000000000);
}

static void tag(struct peer *p, uint64_t generation)
{
	Csv__Op op = CSV__OP__INIT;
	char name[] = "vm1";

	op.kind = CSV__KIND__TAG;
	op.ino = ino;
	op.fh = fh_of(p);
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
	rig->owner = &owner;
	rig_tables(rig);
	write_ok(&two, 0, MIB);
	tag(&two, 4);
	hold(&two, 0, B, true);
	owner.generation = 5;
	rig_tables(rig);
	tag(&three, 5);
	ask(&three, 0, B, true);
	id = recalled(&two, 0, MIB, true);
	assert_false(peer_has(&three, CSV__MESSAGE__MSG_LAYOUT));
	answer(&two, id, true);
	msg = peer_expect(&three, CSV__MESSAGE__MSG_LAYOUT);
	assert_true(good(msg)->write);
	done(msg);
	msg = get(&two, 0, B, false);
	assert_int_equal(msg->layout->error, ESTALE);
	done(msg);
}

/* Growth prepares space behind the end; it does not stay. */
static void a_closed_file_has_what_it_needs(void **state)
{
	Csv__Attr attr;

	(void)state;
	for (uint64_t off = 0; off < 2 * MIB; off += 64 * 1024)
		write_ok(&two, off, 64 * 1024);
	write_ok(&three, 2 * MIB - B, B);
	assert_int_equal(peer_write(&two, ino, fh2, 2 * MIB, data, B), 0);
	attr = getattr(&two);
	assert_true(attr.blocks > (2 * MIB + 64 * 1024) / 512);
	peer_release(&two, ino, fh2);
	peer_release(&three, ino, fh3);
	attr = getattr(&two);
	assert_int_equal(attr.blocks, (2 * MIB + 64 * 1024) / 512);
}

/* A second failover before the first one's grace has ended changes nobody's duty. */
static void two_failovers_in_one_grace(void **state)
{
	Csv__Handle h = CSV__HANDLE__INIT;
	Csv__Op op = CSV__OP__INIT;

	(void)state;
	rig_kill(rig);
	rig_start(rig);
	assert_int_equal(rig->state, COORD_GRACE);
	assert_true(peer_up(&two)); /* has reclaimed; three has not */
	rig_kill(rig);
	rig_start(rig);
	h.fh = fh2;
	h.ino = ino;
	h.resource = (char *)(uintptr_t) "";
	peer_hello(&two);
	done(peer_expect(&two, CSV__MESSAGE__MSG_WELCOME));
	peer_reclaim(&two, &h, 1);
	assert_int_equal(rig->state, COORD_GRACE);
	op.kind = CSV__KIND__GETATTR;
	op.ino = ino;
	peer_post(&two, &op);
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_RESULT));
	assert_true(peer_up(&three));
	result(&two, op.unique);
	/* What two had open from the first term on is still open. */
	assert_int_equal(peer_write(&two, ino, fh2, 0, data, B), 0);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
		RIG_TEST(blocks_by_way_of_the_coordinator),
		RIG_TEST(blocks_of_others_are_refused),
		RIG_TEST(a_fence_waits_for_what_is_done_for_the_dead),
		RIG_TEST(without_waiting_is_noticed),
		RIG_TEST(a_welcome_waits_for_what_is_done),
		RIG_TEST(blocks_under_recall),
		RIG_TEST(direct_writes_move_the_time),
		RIG_TEST(an_earlier_owner_gives_back_first),
		RIG_TEST(a_closed_file_has_what_it_needs),
		RIG_TEST(two_failovers_in_one_grace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
