/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "tests/unit/mount_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/op.h"

struct mount_rig rig;

/* ---- the nexus, played --------------------------------------------------------------------- */

struct data {
	struct data_config cfg;
};

static enum lun_result on_submit(struct lun_data *data, struct lun_io *io)
{
	(void)data;
	if (rig.n_ios >= (int)rig.lun_depth)
		return LUN_BUSY;
	rig.ios[rig.n_ios++] = io;
	return LUN_OK;
}

static const struct lun_ops lun_ops = { .submit = on_submit };
static struct lun_data lun = { .ops = &lun_ops, .block_size = 512, .bytes = UINT64_C(1) << 40 };

int data_new(struct cl_loop *loop, const struct data_config *config, struct data **ret,
	     struct cl_error *err)
{
	(void)loop;
	(void)err;
	rig.nexus = calloc(1, sizeof(*rig.nexus));
	assert_non_null(rig.nexus);
	rig.nexus->cfg = *config;
	*ret = rig.nexus;
	return 0;
}

void rig_end_io(int i, enum lun_result r)
{
	struct lun_io *io = rig.ios[i];

	memmove(&rig.ios[i], &rig.ios[i + 1], (size_t)(rig.n_ios - i - 1) * sizeof(rig.ios[0]));
	rig.n_ios--;
	io->done(io, r);
}

void rig_lose_lun(void)
{
	rig.lun_open = false;
	rig.nexus->cfg.changed(rig.nexus->cfg.user);
	while (rig.n_ios)
		rig_end_io(0, LUN_LOST);
}

void data_free(struct data *d)
{
	if (d && rig.lun_open)
		rig_lose_lun();
	free(d);
}

bool data_may_begin(const struct data *d)
{
	(void)d;
	return true;
}

void data_session_up(struct data *d)
{
	if (!rig.lun_open)
		(void)d->cfg.ask(d->cfg.user, ++rig.asked_id);
}

void data_session_down(struct data *d)
{
	(void)d;
}

void data_close(struct data *d, const char *why)
{
	(void)d;
	(void)why;
	if (rig.lun_open)
		rig_lose_lun();
}

bool data_is_asked(const struct data *d, uint64_t id)
{
	(void)d;
	return id == rig.asked_id;
}

void data_permit(struct data *d, uint64_t key, uint32_t pr_type)
{
	(void)pr_type;
	rig.lun_key = key;
	(void)d->cfg.registered(d->cfg.user, key);
}

void data_go(struct data *d, uint64_t key)
{
	rig.lun_open = key == rig.lun_key;
	d->cfg.changed(d->cfg.user);
}

void data_refuse(struct data *d, uint64_t id, const char *reason)
{
	(void)d;
	(void)id;
	(void)reason;
}

void data_barrier_answered(struct data *d)
{
	assert_ptr_equal(d, rig.nexus);
	rig.n_barriers++;
}

uint64_t data_key(const struct data *d)
{
	(void)d;
	return rig.lun_open ? rig.lun_key : 0;
}

struct lun_data *data_path(struct data *d)
{
	(void)d;
	return rig.lun_open ? &lun : NULL;
}

enum data_state data_state(const struct data *d)
{
	(void)d;
	return rig.lun_open ? DATA_OPEN : DATA_NONE;
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

static bool on_send(void *user, bool bulk, Csv__Message *msg)
{
	(void)user;
	switch (msg->msg_case) {
	case CSV__MESSAGE__MSG_HELLO:
		rig.hello_nexus = bulk ? rig.hello_nexus : msg->hello->nexus;
		break;
	case CSV__MESSAGE__MSG_OP:
		rig.n_ops++;
		rig.op_kind = msg->op->kind;
		rig.op_unique = msg->op->unique;
		rig.op_address = msg->op->address;
		rig.op_length = msg->op->data.len + msg->op->length;
		rig.op_sync = msg->op->sync;
		rig.op_later = msg->op->later;
		break;
	case CSV__MESSAGE__MSG_LAYOUT_GET:
		rig.n_asks++;
		rig.ask_id = msg->layout_get->id;
		rig.ask_start = msg->layout_get->offset;
		rig.ask_end = rig.ask_start + msg->layout_get->length;
		rig.ask_write = msg->layout_get->write;
		rig.ask_grow = msg->layout_get->grow;
		break;
	case CSV__MESSAGE__MSG_RECALLED:
		rig.grow_before_returned = rig.op_kind == CSV__KIND__GROW;
		rig.n_returned += msg->recalled->returned;
		rig.n_busy += !msg->recalled->returned;
		break;
	case CSV__MESSAGE__MSG_RECLAIM:
		rig.n_reclaims++;
		rig.n_grown = (unsigned)msg->reclaim->n_grown;
		if (rig.n_grown) {
			rig.grown_start = msg->reclaim->grown[0]->offset;
			rig.grown_end = rig.grown_start + msg->reclaim->grown[0]->length;
		}
		break;
	case CSV__MESSAGE__MSG_TOUCHED:
		rig.n_touched++;
		break;
	case CSV__MESSAGE__MSG_SETTLE:
		rig.n_settles++;
		break;
	case CSV__MESSAGE__MSG_BYE:
		rig.n_byes++;
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
	rig.n_reconnects++;
}

static void on_done(struct call *call, const Csv__Result *res)
{
	rig.n_answers++;
	rig.last_error = (int)res->error;
	rig.answer_len = res->data.len < sizeof(rig.answer) ? res->data.len : sizeof(rig.answer);
	if (rig.answer_len)
		memcpy(rig.answer, res->data.data, rig.answer_len);
	call_free(call);
}

static void make_client(unsigned defects)
{
	struct client_config cfg = { .name = "vol1",
				     .node = 1,
				     .mount = 77,
				     .url = "iscsi://127.0.0.1/iqn.a:b/1",
				     .shared = rig.shared,
				     .defects = defects,
				     .send = on_send,
				     .changed = on_changed,
				     .reconnect = on_reconnect };

	assert_int_equal(client_new(rig.loop, &cfg, &rig.client), 0);
	client_set_tables(rig.client, &rig.tables);
}

bool rig_tell(Csv__Message *msg, Csv__Message__MsgCase what, uint64_t epoch)
{
	msg->epoch = epoch;
	msg->msg_case = what;
	return client_input(rig.client, msg);
}

void rig_welcome(uint64_t epoch, bool reclaim)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Welcome body = CSV__WELCOME__INIT;

	body.reclaim = reclaim;
	msg.welcome = &body;
	assert_true(rig_tell(&msg, CSV__MESSAGE__MSG_WELCOME, epoch));
}

void rig_reclaimed(uint64_t epoch)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Reclaimed body = CSV__RECLAIMED__INIT;

	msg.reclaimed = &body;
	assert_true(rig_tell(&msg, CSV__MESSAGE__MSG_RECLAIMED, epoch));
}

void rig_permit_and_go(uint64_t key, uint64_t epoch)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__NexusPermit permit = CSV__NEXUS_PERMIT__INIT;
	Csv__NexusGo go = CSV__NEXUS_GO__INIT;

	permit.id = rig.asked_id;
	permit.key = key;
	msg.nexus_permit = &permit;
	assert_true(rig_tell(&msg, CSV__MESSAGE__MSG_NEXUS_PERMIT, epoch));
	go.key = key;
	msg.nexus_go = &go;
	assert_true(rig_tell(&msg, CSV__MESSAGE__MSG_NEXUS_GO, epoch));
}

void rig_failed(uint64_t unique, int error)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Result res = CSV__RESULT__INIT;

	res.unique = unique;
	res.error = (uint32_t)error;
	msg.result = &res;
	assert_true(rig_tell(&msg, CSV__MESSAGE__MSG_RESULT, EPOCH));
}

void rig_result_growth(uint64_t unique, uint64_t number)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Result res = CSV__RESULT__INIT;

	res.unique = unique;
	res.growth = number;
	msg.result = &res;
	assert_true(rig_tell(&msg, CSV__MESSAGE__MSG_RESULT, EPOCH));
}

void rig_settled(uint64_t number)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Settled body = CSV__SETTLED__INIT;

	body.growth = number;
	msg.settled = &body;
	assert_true(rig_tell(&msg, CSV__MESSAGE__MSG_SETTLED, EPOCH));
}

void rig_result(uint64_t unique)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Result res = CSV__RESULT__INIT;
	Csv__Attr attr = CSV__ATTR__INIT;

	attr.ino = INO;
	attr.size = rig.file_size;
	res.unique = unique;
	res.attr = &attr;
	msg.result = &res;
	assert_true(rig_tell(&msg, CSV__MESSAGE__MSG_RESULT, EPOCH));
}

static void answer_ask(uint64_t start, uint64_t end, uint64_t address, bool write, bool grow)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Layout body = CSV__LAYOUT__INIT;
	Csv__Extent e = CSV__EXTENT__INIT, *list[] = { &e };

	e.offset = start;
	e.length = end - start;
	e.address = address;
	body.id = rig.ask_id;
	body.ino = INO;
	body.n_extents = start < end;
	body.extents = list;
	body.write = write;
	body.grow = grow;
	msg.layout = &body;
	assert_true(rig_tell(&msg, CSV__MESSAGE__MSG_LAYOUT, EPOCH));
}

void rig_grant(uint64_t start, uint64_t end, uint64_t address, bool write)
{
	answer_ask(start, end, address, write, false);
}

void rig_grant_growth(uint64_t start, uint64_t end, uint64_t address)
{
	answer_ask(start, end, address, true, true);
}

void rig_recall(uint64_t start, uint64_t len, bool keep_read)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Recall body = CSV__RECALL__INIT;

	body.id = 5;
	body.ino = INO;
	body.offset = start;
	body.length = len;
	body.keep_read = keep_read;
	msg.recall = &body;
	assert_true(rig_tell(&msg, CSV__MESSAGE__MSG_RECALL, EPOCH));
}

/* ---- the kernel, played -------------------------------------------------------------------- */

static struct call *new_call(Csv__Kind kind)
{
	struct call *call = call_new(kind, ++rig.unique, INO);

	assert_non_null(call);
	call->done = on_done;
	call->op.fh = FH;
	return call;
}

void rig_read(uint64_t off, uint64_t len)
{
	struct call *call = new_call(CSV__KIND__READ);

	call->op.offset = off;
	call->op.length = len;
	client_submit(rig.client, call);
}

static void do_write(uint64_t off, uint64_t len, unsigned flags, bool sync)
{
	struct call *call = new_call(CSV__KIND__WRITE);
	struct buf *buf = buf_new(len);

	assert_non_null(buf);
	memset(buf->data, (int)rig.unique, len);
	call_set_buf(call, buf, buf->data, len);
	buf_unref(buf);
	call->op.offset = off;
	call->op.flags = flags;
	call->op.sync = sync;
	client_submit(rig.client, call);
}

void rig_write(uint64_t off, uint64_t len, unsigned flags)
{
	do_write(off, len, flags, false);
}

void rig_write_sync(uint64_t off, uint64_t len)
{
	do_write(off, len, 0, true);
}

void rig_simple(Csv__Kind kind)
{
	client_submit(rig.client, new_call(kind));
}

void rig_sync_data(void)
{
	struct call *call = new_call(CSV__KIND__FSYNC);

	call->op.flags = OP_SYNC_DATA;
	client_submit(rig.client, call);
	rig_end_io(0, LUN_OK);
}

void rig_open_file(void)
{
	struct call *call = call_new(CSV__KIND__OPEN, FH, INO);

	assert_non_null(call);
	call->done = on_done;
	client_submit(rig.client, call);
	rig_result(FH);
}

void rig_tag(const char *resource, uint64_t generation)
{
	struct call *call = new_call(CSV__KIND__TAG);

	call->op.generation = generation;
	assert_int_equal(call_set_resource(call, resource), 0);
	client_submit(rig.client, call);
	rig_result(rig.unique);
}

void rig_own(const char *resource, uint64_t generation)
{
	static Vol__Owner *owners[] = { &rig.owner };

	rig.owner.resource = (char *)(uintptr_t)resource;
	rig.owner.generation = generation;
	rig.tables.n_owners = 1;
	rig.tables.owners = owners;
	rig_tag(resource, generation);
}

void rig_another_nexus(void)
{
	(void)rig.nexus->cfg.ask(rig.nexus->cfg.user, ++rig.asked_id);
	rig_permit_and_go(8, EPOCH);
}

void rig_forget(void)
{
	rig.n_ops = rig.n_asks = rig.n_reclaims = rig.n_returned = rig.n_busy = rig.n_touched = 0;
	rig.n_reconnects = rig.n_byes = rig.n_settles = rig.n_answers = rig.last_error = 0;
}

void rig_come_up(unsigned defects)
{
	rig = (struct mount_rig){ .lun_depth = 256,
				  .file_size = UINT64_C(1) << 40,
				  .unique = 1000,
				  .tables = VOL__TABLES__INIT,
				  .owner = VOL__OWNER__INIT };
	rig.shared = calloc(1, sizeof(*rig.shared));
	assert_non_null(rig.shared);
	assert_int_equal(cl_loop_new(&rig.loop), 0);
	make_client(defects);
	client_up(rig.client, EPOCH, 1);
	rig_welcome(EPOCH, true);
	rig_reclaimed(EPOCH);
	rig_permit_and_go(7, EPOCH);
	rig_open_file();
	rig_forget();
}

int rig_setup(void **state)
{
	(void)state;
	rig_come_up(0);
	return 0;
}

int rig_teardown(void **state)
{
	(void)state;
	client_free(rig.client);
	cl_loop_free(rig.loop);
	free(rig.shared);
	buf_trim();
	return 0;
}

void rig_learn(void)
{
	rig_read(0, 4 * KB);
	assert_int_equal(rig.n_asks, 1);
	rig_grant(0, 64 * KB, BASE, true);
	rig_end_io(0, LUN_OK);
	rig_read(64 * KB, 4 * KB);
	/* What was not granted is not asked for again at once: the coordinator reads it. */
	assert_int_equal(rig.op_kind, CSV__KIND__READ);
	rig_result(rig.op_unique);
	rig_forget();
}

void rig_restart_csvd(void)
{
	client_free(rig.client);
	rig.lun_open = false;
	make_client(0);
	rig_forget();
	client_up(rig.client, EPOCH, 1);
}
