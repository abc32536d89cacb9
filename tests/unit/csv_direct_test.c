/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct I/O of a mount against a scripted coordinator and a scripted LUN: what goes directly and what
 * does not, recalls, I/O of unknown fate, reclaim, stop orders, the last release. The nexus itself
 * (data.c) is played here; it has a test of its own.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/client.h"
#include "csv/data.h"
#include "csv/op.h"

#define EPOCH 3
#define KB 1024u
#define BASE (1u << 30)
#define INO 12
#define FH 100

/* ---- the nexus, played --------------------------------------------------------------------- */

struct data {
	struct data_config cfg;
};
static struct data *nexus;
static bool lun_open;
static uint64_t lun_key, asked_id;
static unsigned lun_depth; /* more are LUN_BUSY */
static struct lun_io *ios[512];
static int n_ios;

static enum lun_result on_submit(struct lun_data *data, struct lun_io *io)
{
	(void)data;
	if (n_ios >= (int)lun_depth)
		return LUN_BUSY;
	ios[n_ios++] = io;
	return LUN_OK;
}

static const struct lun_ops lun_ops = { .submit = on_submit };
static struct lun_data lun = { .ops = &lun_ops, .block_size = 512, .bytes = UINT64_C(1) << 40 };

int data_new(struct cl_loop *loop, const struct data_config *config, struct data **ret,
	     struct cl_error *err)
{
	(void)loop;
	(void)err;
	nexus = calloc(1, sizeof(*nexus));
	assert_non_null(nexus);
	nexus->cfg = *config;
	*ret = nexus;
	return 0;
}

static void end_io(int i, enum lun_result r)
{
	struct lun_io *io = ios[i];

	memmove(&ios[i], &ios[i + 1], (size_t)(n_ios - i - 1) * sizeof(ios[0]));
	n_ios--;
	io->done(io, r);
}

static void lose_lun(void)
{
	lun_open = false;
	nexus->cfg.changed(nexus->cfg.user);
	while (n_ios)
		end_io(0, LUN_LOST);
}

void data_free(struct data *d)
{
	if (d && lun_open)
		lose_lun();
	free(d);
}

bool data_may_begin(const struct data *d)
{
	(void)d;
	return true;
}

void data_session_up(struct data *d)
{
	if (!lun_open)
		(void)d->cfg.ask(d->cfg.user, ++asked_id);
}

void data_session_down(struct data *d)
{
	(void)d;
}

void data_close(struct data *d, const char *why)
{
	(void)d;
	(void)why;
	if (lun_open)
		lose_lun();
}

bool data_is_asked(const struct data *d, uint64_t id)
{
	(void)d;
	return id == asked_id;
}

void data_permit(struct data *d, uint64_t key, uint32_t pr_type)
{
	(void)pr_type;
	lun_key = key;
	(void)d->cfg.registered(d->cfg.user, key);
}

void data_go(struct data *d, uint64_t key)
{
	lun_open = key == lun_key;
	d->cfg.changed(d->cfg.user);
}

void data_refuse(struct data *d, uint64_t id, const char *reason)
{
	(void)d;
	(void)id;
	(void)reason;
}

static int n_barriers;

void data_barrier_answered(struct data *d)
{
	assert_ptr_equal(d, nexus);
	n_barriers++;
}

uint64_t data_key(const struct data *d)
{
	(void)d;
	return lun_open ? lun_key : 0;
}

struct lun_data *data_path(struct data *d)
{
	(void)d;
	return lun_open ? &lun : NULL;
}

enum data_state data_state(const struct data *d)
{
	(void)d;
	return lun_open ? DATA_OPEN : DATA_NONE;
}

const char *data_reason(const struct data *d)
{
	(void)d;
	return "";
}

void data_begin_batch(struct data *d)
{
	(void)d;
}

void data_end_batch(struct data *d)
{
	(void)d;
}

/* ---- the coordinator, played --------------------------------------------------------------- */

static struct cl_loop *loop;
static struct client *client;
static struct holding_shared *shared;
static Vol__Tables tables = VOL__TABLES__INIT;
static Vol__Owner owner = VOL__OWNER__INIT;

static int n_ops, n_asks, n_reclaims, n_returned, n_busy, n_touched, n_reconnects, n_byes;
static Csv__Kind op_kind;
static bool op_sync;
static uint64_t op_unique, op_address, op_length, ask_id, ask_start, ask_end, hello_nexus;
static bool ask_write;

static bool on_send(void *user, bool bulk, Csv__Message *msg)
{
	(void)user;
	switch (msg->msg_case) {
	case CSV__MESSAGE__MSG_HELLO:
		hello_nexus = bulk ? hello_nexus : msg->hello->nexus;
		break;
	case CSV__MESSAGE__MSG_OP:
		n_ops++;
		op_kind = msg->op->kind;
		op_unique = msg->op->unique;
		op_address = msg->op->address;
		op_length = msg->op->data.len + msg->op->length;
		op_sync = msg->op->sync;
		break;
	case CSV__MESSAGE__MSG_LAYOUT_GET:
		n_asks++;
		ask_id = msg->layout_get->id;
		ask_start = msg->layout_get->offset;
		ask_end = ask_start + msg->layout_get->length;
		ask_write = msg->layout_get->write;
		break;
	case CSV__MESSAGE__MSG_RECALLED:
		n_returned += msg->recalled->returned;
		n_busy += !msg->recalled->returned;
		break;
	case CSV__MESSAGE__MSG_RECLAIM:
		n_reclaims++;
		break;
	case CSV__MESSAGE__MSG_TOUCHED:
		n_touched++;
		break;
	case CSV__MESSAGE__MSG_BYE:
		n_byes++;
		break;
	default:
		break;
	}
	return true;
}

static void on_changed(void *user, const char *reason)
{
	(void)user;
	(void)reason;
}

static void on_reconnect(void *user)
{
	(void)user;
	n_reconnects++;
}

static int n_answers, last_error;
static uint8_t answer[1 << 20];
static uint64_t file_size; /* as an OPEN says */
static size_t answer_len;

static void on_done(struct call *call, const Csv__Result *res)
{
	n_answers++;
	last_error = (int)res->error;
	answer_len = res->data.len < sizeof(answer) ? res->data.len : sizeof(answer);
	if (answer_len)
		memcpy(answer, res->data.data, answer_len);
	call_free(call);
}

static void make_client(unsigned defects)
{
	struct client_config cfg = { .name = "vol1",
				     .node = 1,
				     .mount = 77,
				     .url = "iscsi://127.0.0.1/iqn.a:b/1",
				     .shared = shared,
				     .defects = defects,
				     .send = on_send,
				     .changed = on_changed,
				     .reconnect = on_reconnect };

	assert_int_equal(client_new(loop, &cfg, &client), 0);
	client_set_tables(client, &tables);
}

static bool tell(Csv__Message *msg, Csv__Message__MsgCase what, uint64_t epoch)
{
	msg->epoch = epoch;
	msg->msg_case = what;
	return client_input(client, msg);
}

static void welcome(uint64_t epoch, bool reclaim)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Welcome body = CSV__WELCOME__INIT;

	body.reclaim = reclaim;
	msg.welcome = &body;
	assert_true(tell(&msg, CSV__MESSAGE__MSG_WELCOME, epoch));
}

static void reclaimed(uint64_t epoch)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Reclaimed body = CSV__RECLAIMED__INIT;

	msg.reclaimed = &body;
	assert_true(tell(&msg, CSV__MESSAGE__MSG_RECLAIMED, epoch));
}

static void permit_and_go(uint64_t key, uint64_t epoch)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__NexusPermit permit = CSV__NEXUS_PERMIT__INIT;
	Csv__NexusGo go = CSV__NEXUS_GO__INIT;

	permit.id = asked_id;
	permit.key = key;
	msg.nexus_permit = &permit;
	assert_true(tell(&msg, CSV__MESSAGE__MSG_NEXUS_PERMIT, epoch));
	go.key = key;
	msg.nexus_go = &go;
	assert_true(tell(&msg, CSV__MESSAGE__MSG_NEXUS_GO, epoch));
}

/* Of an operation that found or made no file. */
static void failed(uint64_t unique, int error)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Result res = CSV__RESULT__INIT;

	res.unique = unique;
	res.error = (uint32_t)error;
	msg.result = &res;
	assert_true(tell(&msg, CSV__MESSAGE__MSG_RESULT, EPOCH));
}

static void result(uint64_t unique)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Result res = CSV__RESULT__INIT;
	Csv__Attr attr = CSV__ATTR__INIT;

	attr.ino = INO;
	attr.size = file_size;
	res.unique = unique;
	res.attr = &attr;
	msg.result = &res;
	assert_true(tell(&msg, CSV__MESSAGE__MSG_RESULT, EPOCH));
}

/* [start, end) of the file: DATA at address, or a hole (0). */
static void grant(uint64_t start, uint64_t end, uint64_t address, bool write)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Layout body = CSV__LAYOUT__INIT;
	Csv__Extent e = CSV__EXTENT__INIT, *list[] = { &e };

	e.offset = start;
	e.length = end - start;
	e.address = address;
	body.id = ask_id;
	body.ino = INO;
	body.n_extents = start < end;
	body.extents = list;
	body.write = write;
	msg.layout = &body;
	assert_true(tell(&msg, CSV__MESSAGE__MSG_LAYOUT, EPOCH));
}

static void recall(uint64_t start, uint64_t len, bool keep_read)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Recall body = CSV__RECALL__INIT;

	body.id = 5;
	body.ino = INO;
	body.offset = start;
	body.length = len;
	body.keep_read = keep_read;
	msg.recall = &body;
	assert_true(tell(&msg, CSV__MESSAGE__MSG_RECALL, EPOCH));
}

/* ---- the kernel, played -------------------------------------------------------------------- */

static uint64_t unique;

static struct call *new_call(Csv__Kind kind)
{
	struct call *call = call_new(kind, ++unique, INO);

	assert_non_null(call);
	call->done = on_done;
	call->op.fh = FH;
	return call;
}

static void do_read(uint64_t off, uint64_t len)
{
	struct call *call = new_call(CSV__KIND__READ);

	call->op.offset = off;
	call->op.length = len;
	client_submit(client, call);
}

static void do_write(uint64_t off, uint64_t len, unsigned flags)
{
	struct call *call = new_call(CSV__KIND__WRITE);
	struct buf *buf = buf_new(len);

	assert_non_null(buf);
	memset(buf->data, (int)unique, len);
	call_set_buf(call, buf, buf->data, len);
	buf_unref(buf);
	call->op.offset = off;
	call->op.flags = flags;
	client_submit(client, call);
}

static void do_simple(Csv__Kind kind)
{
	client_submit(client, new_call(kind));
}

/* fdatasync(2) */
static void sync_data(void)
{
	struct call *call = new_call(CSV__KIND__FSYNC);

	call->op.flags = OP_SYNC_DATA;
	client_submit(client, call);
	end_io(0, LUN_OK);
}

static void open_file(void)
{
	struct call *call = call_new(CSV__KIND__OPEN, FH, INO);

	assert_non_null(call);
	call->done = on_done;
	client_submit(client, call);
	result(FH);
}

static void tag(const char *resource, uint64_t generation)
{
	struct call *call = new_call(CSV__KIND__TAG);

	call->op.generation = generation;
	assert_int_equal(call_set_resource(call, resource), 0);
	client_submit(client, call);
	result(unique);
}

static void forget(void)
{
	n_ops = n_asks = n_reclaims = n_returned = n_busy = n_touched = n_reconnects = n_byes = 0;
	n_answers = last_error = 0;
}

/* An open file, an open nexus. */
static void come_up(unsigned defects)
{
	lun_open = false;
	lun_depth = 256;
	file_size = UINT64_C(1) << 40;
	lun_key = asked_id = 0;
	unique = 1000;
	n_ios = 0;
	shared = calloc(1, sizeof(*shared));
	assert_int_equal(cl_loop_new(&loop), 0);
	make_client(defects);
	client_up(client, EPOCH, 1);
	welcome(EPOCH, true);
	reclaimed(EPOCH);
	permit_and_go(7, EPOCH);
	open_file();
	forget();
}

static int setup(void **state)
{
	(void)state;
	come_up(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	client_free(client);
	cl_loop_free(loop);
	free(shared);
	buf_trim();
	return 0;
}

/* [0, 64K) DATA that may be written, then a hole up to 128K; nothing further. */
static void learn(void)
{
	do_read(0, 4 * KB);
	assert_int_equal(n_asks, 1);
	grant(0, 64 * KB, BASE, true);
	end_io(0, LUN_OK);
	do_read(64 * KB, 4 * KB);
	/* What was not granted is not asked for again at once: the coordinator reads it. */
	assert_int_equal(op_kind, CSV__KIND__READ);
	result(op_unique);
	forget();
}

/* ---- tests --------------------------------------------------------------------------------- */

static void read_goes_directly(void **state)
{
	(void)state;
	do_read(4 * KB + 100, 8 * KB);
	assert_int_equal(n_ops, 0);
	assert_int_equal(n_asks, 1);
	assert_false(ask_write);
	assert_int_equal(ask_start, 0); /* a whole window */
	assert_true(ask_end >= 1 << 20);
	grant(0, 64 * KB, BASE, false);
	/* Whole blocks of the LUN around it. */
	assert_int_equal(n_ios, 1);
	assert_int_equal(ios[0]->offset, BASE + 4 * KB);
	assert_int_equal(ios[0]->length, 8 * KB + 512);
	for (unsigned i = 0; i < ios[0]->length; i++)
		((uint8_t *)ios[0]->iov->iov_base)[i] = (uint8_t)(i / 4);
	end_io(0, LUN_OK);
	assert_int_equal(n_answers, 1);
	assert_int_equal(answer_len, 8 * KB);
	assert_int_equal(answer[0], 25);
	do_read(0, 64 * KB); /* known: no question */
	assert_int_equal(n_asks, 1);
	assert_int_equal(n_ios, 1);
	end_io(0, LUN_OK);
}

static void holes_are_zeros(void **state)
{
	(void)state;
	memset(answer, 1, sizeof(answer));
	do_read(0, 4 * KB);
	grant(0, 64 * KB, 0, false);
	assert_int_equal(n_ios, 0);
	assert_int_equal(n_answers, 1);
	assert_int_equal(answer_len, 4 * KB);
	for (int i = 0; i < 4096; i++)
		assert_int_equal(answer[i], 0);
}

static void writes_need_the_right(void **state)
{
	(void)state;
	do_write(4 * KB, 4 * KB, 0);
	grant(0, 64 * KB, BASE, false); /* the first question was where it is */
	assert_int_equal(n_asks, 2);
	assert_true(ask_write);
	assert_int_equal(ask_end, 64 * KB); /* as far as it is known DATA */
	assert_int_equal(n_ios, 0);
	grant(0, 64 * KB, BASE, true);
	assert_int_equal(n_ios, 1);
	assert_int_equal(ios[0]->dir, LUN_WRITE);
	assert_int_equal(ios[0]->offset, BASE + 4 * KB);
	end_io(0, LUN_OK);
	assert_int_equal(n_answers, 1);
	assert_int_equal(n_ops, 0);
}

static void holes_are_filled_for_the_write_only(void **state)
{
	(void)state;
	do_write(8 * KB, 4 * KB, 0);
	grant(0, 64 * KB, 0, false);
	assert_int_equal(n_asks, 2);
	assert_true(ask_write);
	assert_int_equal(ask_start, 8 * KB);
	assert_int_equal(ask_end, 12 * KB);
	grant(0, 64 * KB, BASE, true);
	assert_int_equal(n_ios, 1);
	end_io(0, LUN_OK);
}

static void the_rest_is_the_coordinators(void **state)
{
	(void)state;
	learn();
	do_write(0, 4 * KB, O_APPEND);
	do_write(100, 512, 0);	      /* part of a block */
	do_write(60 * KB, 8 * KB, 0); /* past what was granted */
	assert_int_equal(n_ops, 3);
	assert_int_equal(n_ios, 0);
	client_hold(client, true);
	do_write(0, 4 * KB, 0); /* no lease */
	assert_int_equal(n_ios, 0);
	client_hold(client, false);
	assert_int_equal(n_ios, 1);
	end_io(0, LUN_OK);
}

static void times_are_told_first(void **state)
{
	(void)state;
	learn();
	do_write(0, 4 * KB, 0);
	end_io(0, LUN_OK);
	assert_int_equal(n_touched, 0);
	sync_data();
	assert_int_equal(n_touched, 0);
	do_simple(CSV__KIND__GETATTR);
	assert_int_equal(n_touched, 1);
	do_simple(CSV__KIND__FSYNC); /* of the target's cache */
	assert_int_equal(ios[0]->dir, LUN_FLUSH);
	end_io(0, LUN_OK);
	assert_int_equal(n_touched, 1);
}

static void recall_waits_for_what_is_under_way(void **state)
{
	(void)state;
	learn();
	do_write(0, 4 * KB, 0);
	do_read(32 * KB, 4 * KB);
	recall(4 * KB, UINT64_MAX, true); /* neither is in its way: the read may go on */
	assert_int_equal(n_returned, 1);
	recall(0, UINT64_MAX, false);
	assert_int_equal(n_busy, 1);
	do_read(0, 4 * KB); /* out of the map at once */
	assert_int_equal(n_ios, 2);
	end_io(1, LUN_OK);
	assert_int_equal(n_returned, 1);
	end_io(0, LUN_OK);
	assert_int_equal(n_returned, 2);
	assert_int_equal(n_ios, 0);
}

static void unknown_fate_is_under_way(void **state)
{
	(void)state;
	learn();
	do_write(0, 4 * KB, 0);
	do_read(4 * KB, 4 * KB);
	lose_lun();
	assert_int_equal(n_ops, 1); /* the read goes by the coordinator, the write waits */
	assert_int_equal(op_kind, CSV__KIND__BLOCK_READ);
	recall(0, 4 * KB, false);
	assert_int_equal(n_returned, 0);
	nexus->cfg.ask(nexus->cfg.user, ++asked_id);
	permit_and_go(8, EPOCH);
	assert_int_equal(n_asks,
			 1); /* before there was a new nexus; it was called back meanwhile */
	assert_int_equal(n_returned, 1);
	assert_int_equal(n_answers, 0);
	grant(0, 4 * KB, BASE, true);
	assert_int_equal(n_ios, 1);
	end_io(0, LUN_OK);
	assert_int_equal(n_answers, 1);
}

/* The hello names no nexus: with the welcome the old one is dead. */
static void welcome_releases(void **state)
{
	(void)state;
	learn();
	do_write(0, 4 * KB, 0);
	lose_lun();
	client_down(client);
	client_up(client, EPOCH, 1);
	assert_int_equal(hello_nexus, 0);
	assert_int_equal(n_ops, 0);
	welcome(EPOCH, false);
	assert_int_equal(n_ops, 1);
}

/* Lost after the hello had named it: the welcome says nothing about it. */
static void welcome_spares_the_named(void **state)
{
	(void)state;
	learn();
	do_write(0, 4 * KB, 0);
	client_down(client);
	client_up(client, EPOCH, 1);
	assert_int_equal(hello_nexus, 7);
	lose_lun();
	welcome(EPOCH, false);
	assert_int_equal(n_ops, 0);
	permit_and_go(8, EPOCH);
	assert_int_equal(n_ops, 1);
}

static void layouts_survive_the_connection(void **state)
{
	(void)state;
	learn();
	client_down(client);
	do_write(0, 4 * KB, 0);
	assert_int_equal(n_ios, 1);
	end_io(0, LUN_OK);
	assert_int_equal(n_answers, 1);
	client_up(client, EPOCH, 1);
	welcome(EPOCH, false);
	do_read(0, 4 * KB);
	assert_int_equal(n_ios, 1);
	end_io(0, LUN_OK);
}

static void reclaim_drops_and_drains(void **state)
{
	(void)state;
	learn();
	do_write(0, 4 * KB, 0);
	client_down(client);
	client_up(client, EPOCH + 1, 1);
	do_write(4 * KB, 4 * KB, 0); /* under layouts it goes on until RECLAIM */
	welcome(EPOCH + 1, true);
	do_write(8 * KB, 4 * KB, 0);
	assert_int_equal(n_ios, 2);
	assert_int_equal(n_reclaims, 0);
	end_io(0, LUN_OK);
	assert_int_equal(n_reclaims, 0);
	end_io(0, LUN_OK);
	assert_int_equal(n_reclaims, 1);
	reclaimed(EPOCH + 1);
	assert_int_equal(n_asks, 1); /* layouts are asked for anew */
}

static bool tell_barrier(uint64_t epoch)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Barrier body = CSV__BARRIER__INIT;

	body.n = 1;
	msg.barrier = &body;
	return tell(&msg, CSV__MESSAGE__MSG_BARRIER, epoch);
}

/* Also between welcome and reclaim: what it drains may be what the target has dropped. */
static void barriers_are_passed_on(void **state)
{
	(void)state;
	n_barriers = 0;
	assert_true(tell_barrier(EPOCH));
	assert_int_equal(n_barriers, 1);
	client_down(client);
	client_up(client, EPOCH + 1, 1);
	assert_false(tell_barrier(EPOCH + 1)); /* out of turn */
	welcome(EPOCH + 1, true);
	assert_true(tell_barrier(EPOCH + 1));
	assert_int_equal(n_barriers, 2);
}

static void lost_while_draining_says_hello_again(void **state)
{
	(void)state;
	learn();
	do_write(0, 4 * KB, 0);
	client_down(client);
	client_up(client, EPOCH + 1, 1);
	welcome(EPOCH + 1, true);
	lose_lun();
	assert_int_equal(n_reconnects, 1);
	assert_int_equal(n_reclaims, 0);
	client_down(client);
	client_up(client, EPOCH + 1, 1);
	assert_int_equal(hello_nexus, 0);
	welcome(EPOCH + 1, true);
	assert_int_equal(n_reclaims, 1);
}

static void stop_order_waits_for_the_end(void **state)
{
	Vol__Owner *owners[] = { &owner };

	(void)state;
	owner.resource = (char *)(uintptr_t) "vm1";
	owner.generation = 4;
	tables.n_owners = 1;
	tables.owners = owners;
	tag("vm1", 4);
	learn();
	do_write(0, 4 * KB, 0);
	client_fail(client, "vm1", 4);
	assert_int_equal(n_answers, 1);
	assert_int_equal(last_error, EIO);
	assert_false(client_failed(client, "vm1", 4));
	assert_true(client_failed(client, "vm2", 4));
	do_simple(CSV__KIND__RELEASE); /* waits, too: its layouts end with it */
	assert_int_equal(n_ops, 0);
	lose_lun();
	assert_false(client_failed(client, "vm1", 4)); /* it may still land */
	nexus->cfg.ask(nexus->cfg.user, ++asked_id);
	permit_and_go(8, EPOCH);
	assert_true(client_failed(client, "vm1", 4));
	assert_int_equal(n_ops, 1);
	assert_int_equal(op_kind, CSV__KIND__RELEASE);
	tables.n_owners = 0;
}

static void owners_are_judged_here(void **state)
{
	Vol__Owner *owners[] = { &owner };

	(void)state;
	owner.resource = (char *)(uintptr_t) "vm1";
	owner.generation = 4;
	tables.n_owners = 1;
	tables.owners = owners;
	tag("vm1", 4);
	learn();
	owner.generation = 3; /* not yet: the coordinator lets it wait */
	do_write(0, 4 * KB, 0);
	assert_int_equal(n_ops, 1);
	owner.generation = 5;
	do_write(0, 4 * KB, 0);
	assert_int_equal(last_error, ESTALE);
	assert_int_equal(n_ios, 0);
	tables.n_owners = 0;
}

static void last_release_drops_the_map(void **state)
{
	(void)state;
	learn();
	do_simple(CSV__KIND__RELEASE);
	assert_int_equal(op_kind, CSV__KIND__RELEASE);
	result(op_unique);
	open_file();
	forget();
	do_read(0, 4 * KB);
	assert_int_equal(n_asks, 1);
}

/* What an OPEN said about the size spares a question that has no answer. */
static void small_files_are_not_asked_for(void **state)
{
	(void)state;
	do_simple(CSV__KIND__RELEASE);
	result(op_unique);
	file_size = 4 * KB;
	open_file();
	forget();
	do_read(0, 128 * KB);
	assert_int_equal(n_asks, 0);
	assert_int_equal(n_ops, 1);
	do_read(0, 4 * KB);
	assert_int_equal(n_asks, 1);
}

/* The question was still open when the last handle went: its answer must not stay. */
static void late_grant_is_dropped(void **state)
{
	Vol__Owner *owners[] = { &owner };

	(void)state;
	owner.resource = (char *)(uintptr_t) "vm1";
	owner.generation = 4;
	tables.n_owners = 1;
	tables.owners = owners;
	tag("vm1", 4);
	forget();
	do_read(0, 4 * KB);
	client_fail(client, "vm1", 4);
	do_simple(CSV__KIND__RELEASE);
	grant(0, 64 * KB, BASE, true);
	tables.n_owners = 0;
	open_file();
	forget();
	do_read(0, 4 * KB);
	assert_int_equal(n_ios, 0);
	assert_int_equal(n_asks, 1);
}

static void target_errors_are_answered(void **state)
{
	(void)state;
	learn();
	do_write(0, 4 * KB, 0);
	ios[0]->sense.key = 3;
	end_io(0, LUN_ERROR);
	assert_int_equal(last_error, EIO);
	do_write(0, 4 * KB, 0);
	ios[0]->sense = (struct lun_sense){ .key = 7, .ascq = 0x2707 };
	end_io(0, LUN_ERROR);
	assert_int_equal(last_error, ENOSPC);
	do_write(0, 4 * KB, 0);
	end_io(0, LUN_INVALID); /* the layout was wrong: the coordinator says what is */
	assert_int_equal(n_ops, 1);
}

static void depth_is_bounded(void **state)
{
	(void)state;
	learn();
	lun_depth = 3;
	for (int i = 0; i < 10; i++)
		do_write((uint64_t)i * 4 * KB, 4 * KB, 0);
	assert_int_equal(n_ios, 3);
	for (int i = 0; i < 10; i++)
		end_io(0, LUN_OK);
	assert_int_equal(n_answers, 10);
	for (int i = 0; i < 10; i++)
		do_write((uint64_t)i * 4 * KB, 4 * KB, 0);
	lose_lun();
	nexus->cfg.ask(nexus->cfg.user, ++asked_id);
	permit_and_go(8, EPOCH);
	assert_int_equal(n_ops, 10); /* all of them, those that never left, too */
}

static void goodbye_waits(void **state)
{
	(void)state;
	learn();
	do_write(0, 4 * KB, 0);
	client_bye(client, "the end");
	assert_int_equal(n_byes, 0);
	end_io(0, LUN_OK);
	assert_int_equal(n_byes, 1);
}

/* No coordinator speaks to it before it is admitted anew: what counts is the log. */
static void paid_fence_ends_unknown_fate(void **state)
{
	Vol__Owner *owners[] = { &owner };
	uint8_t uuid[16] = { 0 };
	Vol__Node self = VOL__NODE__INIT, *nodes[] = { &self };
	Vol__Debt debt = VOL__DEBT__INIT, *debts[] = { &debt };
	Vol__Volume volume = VOL__VOLUME__INIT, *volumes[] = { &volume };

	(void)state;
	owner.resource = (char *)(uintptr_t) "vm1";
	owner.generation = 4;
	tables.n_owners = 1;
	tables.owners = owners;
	tag("vm1", 4);
	learn();
	do_write(0, 4 * KB, 0);
	lose_lun();
	do_write(8 * KB, 4 * KB, 0); /* by place over the coordinator */
	client_fail(client, "vm1", 4);
	client_down(client);
	self.id = debt.node = 1;
	volume.uuid = (ProtobufCBinaryData){ sizeof(uuid), uuid };
	volume.debts = debts;
	volume.n_debts = 1;
	tables.nodes = nodes;
	tables.volumes = volumes;
	tables.n_nodes = tables.n_volumes = 1;
	client_set_tables(client, &tables);
	assert_false(client_failed(client, "vm1", 4)); /* owed: it may still land */
	volume.n_debts = 0;
	self.living = true;
	client_set_tables(client, &tables);
	assert_false(client_failed(client, "vm1", 4)); /* a member: its coordinator will say */
	self.living = false;
	client_set_tables(client, &tables);
	assert_true(client_failed(client, "vm1", 4));
	assert_int_equal(n_ops, 1);
	tables.n_nodes = tables.n_volumes = tables.n_owners = 0;
}

/* ---- without a path: by place over the coordinator ------------------------------------------ */

static void blocks_go_by_the_coordinator(void **state)
{
	(void)state;
	learn();
	lose_lun();
	do_write(4 * KB, 1 * KB, 0);
	assert_int_equal(op_kind, CSV__KIND__BLOCK_WRITE);
	assert_true(op_address == BASE + 4 * KB && op_length == 1 * KB && !op_sync);
	assert_int_equal(n_touched, 0);
	result(op_unique);
	do_simple(CSV__KIND__GETATTR); /* its time is told like that of a direct one */
	assert_int_equal(n_touched, 1);
	do_read(512, 1 * KB);
	assert_int_equal(op_kind, CSV__KIND__BLOCK_READ);
	assert_true(op_address == BASE + 512 && op_length == 1 * KB);
	result(op_unique);
	assert_int_equal(n_answers, 2);
	assert_int_equal(n_asks, 0);
}

static void some_are_still_operations(void **state)
{
	(void)state;
	learn();
	lose_lun();
	do_write(100, 512, 0);
	assert_int_equal(op_kind, CSV__KIND__WRITE);
	do_read(0, 700);
	assert_int_equal(op_kind, CSV__KIND__READ);
	do_write(0, 4 * KB, O_APPEND);
	assert_int_equal(op_kind, CSV__KIND__WRITE);
	do_simple(CSV__KIND__FSYNC);
	assert_int_equal(op_kind, CSV__KIND__FSYNC);
	assert_int_equal(n_ops, 4);
}

/* One that never had a path gets layouts all the same; holes are not its business. */
static void layouts_without_a_path(void **state)
{
	(void)state;
	lose_lun();
	do_write(0, 4 * KB, 0);
	assert_int_equal(n_asks, 1);
	grant(0, 64 * KB, BASE, false);
	assert_true(n_asks == 2 && ask_write);
	grant(0, 64 * KB, BASE, true);
	assert_int_equal(op_kind, CSV__KIND__BLOCK_WRITE);
	result(op_unique);
	recall(0, UINT64_MAX, false);
	do_read(0, 4 * KB);
	grant(0, 64 * KB, 0, false);
	assert_int_equal(op_kind, CSV__KIND__READ);
}

static void recall_waits_for_blocks(void **state)
{
	(void)state;
	learn();
	lose_lun();
	do_write(0, 4 * KB, 0);
	recall(0, UINT64_MAX, false);
	assert_int_equal(n_returned, 0);
	assert_int_equal(n_busy, 1);
	do_simple(CSV__KIND__RELEASE); /* waits, too */
	assert_int_equal(n_ops, 1);
	result(op_unique);
	assert_int_equal(n_returned, 1);
	assert_int_equal(op_kind, CSV__KIND__RELEASE);
}

/* Nothing was done: not by place again. */
static void refused_blocks_are_operations(void **state)
{
	(void)state;
	learn();
	lose_lun();
	do_write(0, 4 * KB, 0);
	failed(op_unique, EAGAIN);
	assert_int_equal(n_ops, 2);
	assert_int_equal(op_kind, CSV__KIND__WRITE);
	recall(0, UINT64_MAX, false); /* as such it is in nobody's way */
	assert_int_equal(n_returned, 1);
	failed(op_unique, EAGAIN); /* and this is an answer */
	assert_int_equal(n_answers, 1);
	assert_int_equal(last_error, EAGAIN);
}

/* The coordinator says WELCOME when what it did for us has ended; not before that, not by another way. */
static void blocks_go_again_at_resume(void **state)
{
	(void)state;
	learn();
	lose_lun();
	do_write(0, 4 * KB, 0);
	client_down(client);
	client_hold(client, true);
	client_hold(client, false);
	client_up(client, EPOCH, 1);
	assert_int_equal(n_ops, 1);
	welcome(EPOCH, false);
	assert_int_equal(n_ops, 2);
	assert_int_equal(op_kind, CSV__KIND__BLOCK_WRITE);
	result(op_unique);
	assert_int_equal(n_answers, 1);
}

/* The claim has killed what the old coordinator had: reclaim need not wait, and the layout is another. */
static void blocks_at_a_take_over(void **state)
{
	(void)state;
	learn();
	lose_lun();
	do_write(0, 4 * KB, 0);
	client_down(client);
	client_up(client, EPOCH + 1, 1);
	assert_int_equal(n_reclaims, 0);
	welcome(EPOCH + 1, true);
	assert_int_equal(n_reclaims, 1);
	assert_int_equal(n_ops, 1);
	reclaimed(EPOCH + 1);
	assert_int_equal(n_ops, 1);
	assert_int_equal(n_asks, 1);
	assert_int_equal(n_answers, 0);
}

/* Its caller is gone; the write is not, before the coordinator has said so. */
static void stop_order_waits_for_blocks(void **state)
{
	Vol__Owner *owners[] = { &owner };
	uint64_t first;

	(void)state;
	owner.resource = (char *)(uintptr_t) "vm1";
	owner.generation = 4;
	tables.n_owners = 1;
	tables.owners = owners;
	tag("vm1", 4);
	learn();
	lose_lun();
	do_write(0, 4 * KB, 0);
	first = op_unique;
	do_write(4 * KB, 4 * KB, 0);
	client_fail(client, "vm1", 4);
	assert_int_equal(n_answers, 2);
	assert_false(client_failed(client, "vm1", 4));
	failed(first, 0);
	assert_false(client_failed(client, "vm1", 4));
	client_down(client); /* the other one's fate: by WELCOME */
	assert_false(client_failed(client, "vm1", 4));
	client_up(client, EPOCH, 1);
	assert_false(client_failed(client, "vm1", 4));
	welcome(EPOCH, false);
	assert_true(client_failed(client, "vm1", 4));
	assert_int_equal(n_answers, 2);
	tables.n_owners = 0;
}

/* The path is back: beside what is under way at the coordinator. */
static void direct_again_beside_blocks(void **state)
{
	(void)state;
	learn();
	lose_lun();
	do_write(0, 4 * KB, 0);
	nexus->cfg.ask(nexus->cfg.user, ++asked_id);
	permit_and_go(8, EPOCH);
	assert_int_equal(n_answers, 0); /* the PERMIT says nothing about it */
	recall(0, 4 * KB, false);
	assert_int_equal(n_returned, 0);
	do_write(8 * KB, 4 * KB, 0);
	assert_int_equal(n_ios, 1);
	end_io(0, LUN_OK);
	result(op_unique);
	assert_int_equal(n_returned, 1);
	assert_int_equal(n_answers, 2);
}

#ifdef CL_DEFECTS
static void without_drain_it_is_noticed(void **state)
{
	(void)state;
	teardown(NULL);
	come_up(CLIENT_DEFECT_NO_DRAIN);
	learn();
	do_write(0, 4 * KB, 0);
	recall(0, UINT64_MAX, false);
	assert_int_equal(n_returned, 1); /* with a write under way */
	end_io(0, LUN_OK);
}

static void without_hold_it_is_noticed(void **state)
{
	(void)state;
	teardown(NULL);
	come_up(CLIENT_DEFECT_NO_HOLD);
	learn();
	do_write(0, 4 * KB, 0);
	lose_lun();
	assert_int_equal(n_ops, 1); /* before anybody said that the nexus is dead */
}
#endif

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
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
		T(blocks_go_by_the_coordinator),
		T(some_are_still_operations),
		T(layouts_without_a_path),
		T(recall_waits_for_blocks),
		T(refused_blocks_are_operations),
		T(blocks_go_again_at_resume),
		T(blocks_at_a_take_over),
		T(stop_order_waits_for_blocks),
		T(direct_again_beside_blocks),
#ifdef CL_DEFECTS
		T(without_drain_it_is_noticed),
		T(without_hold_it_is_noticed),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
