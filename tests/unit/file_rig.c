/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "tests/unit/file_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "csv/op.h"

struct file_rig file;

void msg_free(Csv__Message *msg)
{
	csv__message__free_unpacked(msg, NULL);
}

int file_setup(void **state)
{
	(void)state;
	file.rig = rig_new();
	rig_start(file.rig);
	peer_init(&file.two, file.rig, 2);
	peer_init(&file.three, file.rig, 3);
	peer_up(&file.two);
	peer_up(&file.three);
	file.ino = peer_create(&file.two, "file", &file.fh2);
	file.fh3 = peer_open(&file.three, file.ino);
	for (size_t i = 0; i < sizeof(file.data); i++)
		file.data[i] = (uint8_t)(i / B + i % 251 + 1);
	return 0;
}

int file_teardown(void **state)
{
	(void)state;
	rig_free(file.rig);
	return 0;
}

uint64_t file_post_size(struct peer *p, uint64_t size)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Attr attr = CSV__ATTR__INIT;

	attr.size = size;
	op.kind = CSV__KIND__SETATTR;
	op.ino = file.ino;
	op.attr = &attr;
	op.valid = OP_SET_SIZE;
	peer_post(p, &op);
	return op.unique;
}

void file_result(struct peer *p, uint64_t unique)
{
	Csv__Message *msg = peer_result(p, unique);

	assert_int_equal(msg->result->error, 0);
	msg_free(msg);
}

void file_set_size(uint64_t size)
{
	file_result(&file.two, file_post_size(&file.two, size));
}

uint64_t file_fh(const struct peer *p)
{
	return p == &file.two ? file.fh2 : file.fh3;
}

static void ask(struct peer *p, uint64_t off, uint64_t len, bool write, bool grow)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__LayoutGet body = CSV__LAYOUT_GET__INIT;

	body.id = 77;
	body.ino = file.ino;
	body.fh = file_fh(p);
	body.offset = off;
	body.length = len;
	body.write = write;
	body.grow = grow;
	msg.msg_case = CSV__MESSAGE__MSG_LAYOUT_GET;
	msg.layout_get = &body;
	peer_send(p, &msg);
}

void file_ask(struct peer *p, uint64_t off, uint64_t len, bool write)
{
	ask(p, off, len, write, false);
}

void file_ask_growth(struct peer *p, uint64_t off, uint64_t len)
{
	ask(p, off, len, true, true);
}

Csv__Message *file_get_growth(struct peer *p, uint64_t off, uint64_t len)
{
	file_ask_growth(p, off, len);
	return peer_expect(p, CSV__MESSAGE__MSG_LAYOUT);
}

Csv__Message *file_get(struct peer *p, uint64_t off, uint64_t len, bool write)
{
	file_ask(p, off, len, write);
	return peer_expect(p, CSV__MESSAGE__MSG_LAYOUT);
}

Csv__Layout *layout_good(Csv__Message *msg)
{
	assert_int_equal(msg->layout->error, 0);
	assert_true(msg->layout->n_extents > 0);
	return msg->layout;
}

const Csv__Extent *layout_at(const Csv__Layout *l, uint64_t off)
{
	for (size_t i = 0; i < l->n_extents; i++)
		if (l->extents[i]->offset <= off &&
		    off < l->extents[i]->offset + l->extents[i]->length)
			return l->extents[i];
	return NULL;
}

void file_hold(struct peer *p, uint64_t off, uint64_t len, bool write)
{
	msg_free(file_get(p, off, len, write));
}

void recall_answer(struct peer *p, uint64_t id, bool returned)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Recalled body = CSV__RECALLED__INIT;

	body.id = id;
	body.returned = returned;
	msg.msg_case = CSV__MESSAGE__MSG_RECALLED;
	msg.recalled = &body;
	peer_send(p, &msg);
}

uint64_t recall_await(struct peer *p, uint64_t off, uint64_t end, bool keep_read)
{
	Csv__Message *msg = peer_expect(p, CSV__MESSAGE__MSG_RECALL);
	uint64_t id = msg->recall->id;

	assert_true(msg->recall->ino == file.ino);
	assert_true(msg->recall->offset <= off);
	assert_true(msg->recall->offset + msg->recall->length >= end);
	assert_int_equal(msg->recall->keep_read, keep_read);
	msg_free(msg);
	return id;
}

void recall_give_back(struct peer *p, uint64_t off, uint64_t end, bool keep_read)
{
	recall_answer(p, recall_await(p, off, end, keep_read), true);
}

bool recall_none(struct peer *p)
{
	return !peer_has(p, CSV__MESSAGE__MSG_RECALL);
}

void file_write(struct peer *p, uint64_t off, size_t len)
{
	assert_int_equal(peer_write(p, file.ino, file_fh(p), off, file.data + off, len), 0);
}
