/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "tests/unit/coord_rig.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include <fcntl.h>

#include "csv/fs.h"
#include "lib/monotime.h"

#define BYTES (32u << 20)
#define PATIENCE_MS 10000

static const uint8_t uuid[16] = "a volume's uuid";

/* ---- the device ----------------------------------------------------------------------------- */

struct mem_dev {
	struct fs_dev dev;
	struct rig *rig;
};

static struct rig *rig_of(struct fs_dev *dev)
{
	return ((struct mem_dev *)(void *)dev)->rig;
}

static int mem_read(struct fs_dev *dev, uint64_t off, void *buf, size_t len)
{
	struct rig *rig = rig_of(dev);

	memcpy(buf, rig->mem + off, len);
	return rig->fail;
}

static int mem_write(struct fs_dev *dev, uint64_t off, const void *buf, size_t len, unsigned flags)
{
	struct rig *rig = rig_of(dev);

	(void)flags;
	if (!rig->fail)
		memcpy(rig->mem + off, buf, len);
	return rig->fail;
}

static int mem_flush(struct fs_dev *dev)
{
	struct rig *rig = rig_of(dev);

	if (rig->flushes_left && !--rig->flushes_left)
		rig->fail = -ENOLINK;
	return rig->fail;
}

static void mem_free(struct fs_dev *dev)
{
	free(dev);
}

static const struct fs_dev_ops mem_ops = { mem_read, mem_write, mem_flush, mem_free };

static struct fs_dev *dev_new(struct rig *rig)
{
	struct mem_dev *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	d->dev.ops = &mem_ops;
	d->dev.bytes = BYTES;
	d->rig = rig;
	return &d->dev;
}

static int open_dev(void *user, struct coord *coord, struct fs_dev **ret, struct cl_error *err)
{
	struct rig *rig = user;

	(void)coord;
	(void)err;
	rig->opens++;
	*ret = dev_new(rig);
	return 0;
}

/* ---- mail ----------------------------------------------------------------------------------- */

static void post(struct rig *rig, struct csv_mail *mail)
{
	assert_non_null(mail);
	coord_post(rig->coord, mail);
}

static struct csv_mail *mail_new(enum csv_mail_kind kind)
{
	struct csv_mail *mail = csv_mail_new(kind, NULL, 0);

	assert_non_null(mail);
	return mail;
}

void rig_answer(struct rig *rig, struct csv_mail *question, bool ok, uint64_t key)
{
	struct csv_mail *mail = mail_new(MAIL_NEXUS);

	mail->id = question->id;
	mail->ok = ok;
	mail->key = key;
	mail->pr_type = 6;
	(void)snprintf(mail->text, sizeof(mail->text), "%s", ok ? "" : "the test says no");
	free(question);
	post(rig, mail);
}

void rig_io_done(struct rig *rig, struct csv_mail *io, int error)
{
	bool read = !io->ok && !error;
	struct csv_mail *mail =
		csv_mail_new(MAIL_IO_DONE, rig->mem + io->address, read ? io->count : 0);

	assert_non_null(mail);
	if (io->ok && !error)
		memcpy(rig->mem + io->address, io->body, io->len);
	mail->id = io->id;
	mail->ok = io->ok;
	mail->state = error;
	mail->count = io->count;
	free(io);
	post(rig, mail);
}

/* Takes it. */
static void on_question(struct rig *rig, struct csv_mail *mail)
{
	rig->kills += mail->kind == MAIL_KILL;
	if (rig->manual)
		assert_int_equal(rig_mail_vec_push(&rig->questions, mail), 0);
	else
		rig_answer(rig, mail, true,
			   mail->kind == MAIL_PERMIT ? ++rig->last_key : mail->key);
}

static void on_reply(struct rig *rig, const struct csv_mail *mail)
{
	struct received r = { mail->conn, csv__message__unpack(NULL, mail->len, mail->body) };

	assert_non_null(r.msg);
	assert_int_equal(received_vec_push(&rig->received, r), 0);
}

static void take(struct rig *rig, struct csv_mail *mail)
{
	switch (mail->kind) {
	case MAIL_KILL:
	case MAIL_PERMIT:
	case MAIL_SEE:
		on_question(rig, mail);
		return;
	case MAIL_IO:
	case MAIL_IO_CANCEL:
		assert_int_equal(rig_mail_vec_push(&rig->questions, mail), 0);
		return;
	case MAIL_REPLY:
		on_reply(rig, mail);
		break;
	case MAIL_STATE:
		rig->state = (enum coord_state)mail->state;
		rig->later_epoch = mail->id;
		(void)snprintf(rig->text, sizeof(rig->text), "%s", mail->text);
		break;
	case MAIL_CLOSE_CONN:
		rig->closed_conn = mail->conn;
		break;
	case MAIL_FENCE_DONE:
		rig->fence_done = mail->id;
		break;
	default:
		break;
	}
	free(mail);
}

/* Takes at least one mail; fails the test when none comes. */
void rig_await_mail(struct rig *rig)
{
	int64_t end = cl_mono_ms(cl_mono_now()) + PATIENCE_MS;
	struct csv_mail *mail;

	while (!(mail = csv_mail_get(&rig->out))) {
		if (cl_mono_ms(cl_mono_now()) > end)
			fail_msg("the coordinator says nothing (%s)", rig->text);
		cl_mailbox_wait(&rig->out, 100);
	}
	take(rig, mail);
}

void rig_poll(struct rig *rig)
{
	struct csv_mail *mail;

	while ((mail = csv_mail_get(&rig->out)))
		take(rig, mail);
}

void rig_await_state(struct rig *rig, enum coord_state state)
{
	while (rig->state != state)
		rig_await_mail(rig);
}

struct csv_mail *rig_question(struct rig *rig, enum csv_mail_kind kind)
{
	for (;; rig_await_mail(rig))
		for (size_t i = 0; i < rig->questions.n; i++) {
			struct csv_mail *mail = rig->questions.v[i];

			if (mail->kind != kind)
				continue;
			rig_mail_vec_remove(&rig->questions, i);
			return mail;
		}
}

/* ---- tables --------------------------------------------------------------------------------- */

static struct csv_mail *pack_tables(struct rig *rig)
{
	Vol__Tables t = VOL__TABLES__INIT;
	Vol__Node nodes[RIG_NODES], *np[RIG_NODES];
	Vol__Volume volume = VOL__VOLUME__INIT, *vp = &volume;
	Vol__Debt debt = VOL__DEBT__INIT, *dp = &debt;
	struct csv_mail *mail;

	for (uint32_t i = 0; i < RIG_NODES; i++) {
		vol__node__init(&nodes[i]);
		nodes[i].id = i + 1;
		nodes[i].incarnation = rig->incarnation[i + 1] ? rig->incarnation[i + 1] : 1;
		nodes[i].living = rig->incarnation[i + 1] != 0;
		np[i] = &nodes[i];
	}
	t.self = 1;
	t.cluster = (ProtobufCBinaryData){ sizeof(rig->cluster), rig->cluster };
	t.n_nodes = RIG_NODES;
	t.nodes = np;
	volume.uuid = (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)uuid };
	volume.redirected = rig->redirected;
	volume.n_debts = rig->owed ? 1 : 0;
	volume.debts = &dp;
	t.n_volumes = 1;
	t.volumes = &vp;
	t.n_owners = rig->owner ? 1 : 0;
	t.owners = &rig->owner;
	mail = csv_mail_new(MAIL_TABLES, NULL, vol__tables__get_packed_size(&t));
	assert_non_null(mail);
	(void)vol__tables__pack(&t, mail->body);
	return mail;
}

void rig_tables(struct rig *rig)
{
	post(rig, pack_tables(rig));
}

uint64_t rig_post_fence(struct rig *rig, uint32_t node)
{
	static uint64_t id = 1;
	struct csv_mail *mail = mail_new(MAIL_FENCED);

	mail->id = ++id;
	mail->node = node;
	mail->incarnation = rig->incarnation[node];
	rig->incarnation[node] = 0;
	rig_tables(rig);
	post(rig, mail);
	return id;
}

void rig_fence(struct rig *rig, uint32_t node)
{
	uint64_t id = rig_post_fence(rig, node);

	while (rig->fence_done != id)
		rig_await_mail(rig);
}

/* ---- life ----------------------------------------------------------------------------------- */

static void make_volume(struct rig *rig)
{
	static uint8_t *fresh;
	struct fs_mkfs_options opt = { .name = "vol1", .force = true };
	_cleanup_(fs_dev_freep) struct fs_dev *dev = dev_new(rig);
	struct cl_error err = CL_ERROR_INIT;

	if (!fresh) {
		memcpy(opt.volume_uuid, uuid, sizeof(uuid));
		memcpy(opt.cluster_uuid, rig->cluster, sizeof(rig->cluster));
		if (fs_mkfs(dev, &opt, &err) < 0)
			fail_msg("mkfs: %s", err.msg);
		fresh = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
		assert_ptr_not_equal(fresh, MAP_FAILED);
		memcpy(fresh, rig->mem, BYTES);
	}
	memcpy(rig->mem, fresh, BYTES);
}

struct rig *rig_new(void)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(rig->mem, MAP_FAILED);
	memcpy(rig->cluster, "a cluster's uuid", sizeof(rig->cluster));
	make_volume(rig);
	assert_int_equal(cl_mailbox_init(&rig->out), 0);
	atomic_store(&rig->lease_until_ms, INT64_MAX);
	for (int i = 1; i <= RIG_NODES; i++)
		rig->incarnation[i] = 1;
	return rig;
}

void rig_begin(struct rig *rig)
{
	struct coord_config cfg = {
		.name = "vol1",
		.self = 1,
		.epoch = ++rig->epoch,
		.open = open_dev,
		.user = rig,
		.lease_until_ms = &rig->lease_until_ms,
		.out = &rig->out,
		.silence_ms = rig->silence_ms,
		.look_ms = 10,
		.defects = rig->defects,
	};
	struct csv_mail *tables = pack_tables(rig);
	struct cl_error err = CL_ERROR_INIT;

	memcpy(cfg.volume, uuid, sizeof(uuid));
	rig->state = COORD_OPENING;
	assert_int_equal(coord_new(&cfg, tables->body, tables->len, &rig->coord, &err), 0);
	free(tables);
	if (rig->fence_first)
		(void)rig_post_fence(rig, rig->fence_first);
	while (rig->state == COORD_OPENING)
		rig_await_mail(rig);
}

void rig_start(struct rig *rig)
{
	rig_begin(rig);
	rig_settle(rig);
}

static void forget(struct rig *rig)
{
	struct csv_mail *mail;

	while ((mail = csv_mail_get(&rig->out)))
		free(mail);
	for (size_t i = 0; i < rig->received.n; i++)
		csv__message__free_unpacked(rig->received.v[i].msg, NULL);
	received_vec_clear(&rig->received);
	for (size_t i = 0; i < rig->questions.n; i++)
		free(rig->questions.v[i]);
	rig_mail_vec_clear(&rig->questions);
}

void rig_kill(struct rig *rig)
{
	post(rig, mail_new(MAIL_STOP));
	coord_free(rig->coord);
	rig->coord = NULL;
	forget(rig);
}

void rig_close(struct rig *rig)
{
	post(rig, mail_new(MAIL_CLOSE));
	rig_await_state(rig, COORD_CLOSED);
	rig_kill(rig);
}

void rig_free(struct rig *rig)
{
	if (rig->coord)
		rig_kill(rig);
	forget(rig);
	received_vec_fini(&rig->received);
	rig_mail_vec_fini(&rig->questions);
	cl_mailbox_fini(&rig->out);
	(void)munmap(rig->mem, BYTES);
	free(rig);
}

/* ---- clients -------------------------------------------------------------------------------- */

void peer_init(struct peer *p, struct rig *rig, uint32_t node)
{
	*p = (struct peer){ .rig = rig,
			    .node = node,
			    .mount = 1000 + node,
			    .incarnation = rig->incarnation[node],
			    .unique = node * 100000,
			    .process = 1 };
}

void peer_send(struct peer *p, Csv__Message *msg)
{
	struct csv_mail *mail;

	msg->epoch = p->rig->epoch;
	msg->node = p->node;
	msg->mount = p->mount;
	msg->incarnation = p->incarnation;
	mail = csv_mail_pack(MAIL_MESSAGE, msg);
	assert_non_null(mail);
	mail->conn = p->conn;
	post(p->rig, mail);
}

void peer_hello(struct peer *p)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Hello hello = CSV__HELLO__INIT;

	p->conn = ++p->rig->last_conn;
	hello.volume = (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)uuid };
	hello.process = p->process;
	hello.nexus = p->nexus;
	msg.msg_case = CSV__MESSAGE__MSG_HELLO;
	msg.hello = &hello;
	peer_send(p, &msg);
}

/* A hello of another epoch is refused, by an answer in its turn. */
void rig_settle(struct rig *rig)
{
	struct peer nobody = { .rig = rig, .node = 255, .mount = 1 };
	uint64_t epoch = rig->epoch;

	rig->epoch = 0;
	peer_hello(&nobody);
	rig->epoch = epoch;
	csv__message__free_unpacked(peer_expect(&nobody, CSV__MESSAGE__MSG_REFUSE), NULL);
}

static Csv__Message *find(struct peer *p, Csv__Message__MsgCase what, uint64_t unique)
{
	for (size_t i = 0; i < p->rig->received.n; i++) {
		struct received r = p->rig->received.v[i];

		if (r.conn != p->conn || r.msg->msg_case != what ||
		    (unique && r.msg->result->unique != unique))
			continue;
		received_vec_remove(&p->rig->received, i);
		return r.msg;
	}
	return NULL;
}

Csv__Message *peer_take(struct peer *p, Csv__Message__MsgCase what)
{
	for (size_t i = 0; i < p->rig->received.n; i++) {
		struct received r = p->rig->received.v[i];

		if (r.conn != p->conn || (what && r.msg->msg_case != what))
			continue;
		received_vec_remove(&p->rig->received, i);
		return r.msg;
	}
	return NULL;
}

Csv__Message *peer_expect(struct peer *p, Csv__Message__MsgCase what)
{
	Csv__Message *msg;

	while (!(msg = find(p, what, 0)))
		rig_await_mail(p->rig);
	return msg;
}

bool peer_has(struct peer *p, Csv__Message__MsgCase what)
{
	rig_settle(p->rig);
	for (size_t i = 0; i < p->rig->received.n; i++)
		if (p->rig->received.v[i].conn == p->conn &&
		    p->rig->received.v[i].msg->msg_case == what)
			return true;
	return false;
}

void peer_reclaim(struct peer *p, const Csv__Handle *h, size_t n)
{
	peer_reclaim_grown(p, h, n, NULL, 0);
}

void peer_reclaim_grown(struct peer *p, const Csv__Handle *h, size_t n, const Csv__Grown *grown,
			size_t n_grown)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Reclaim body = CSV__RECLAIM__INIT;
	Csv__Handle *hp[16];
	Csv__Grown *gp[64];

	assert_true(n <= 16 && n_grown <= 64);
	for (size_t i = 0; i < n; i++)
		hp[i] = (Csv__Handle *)(uintptr_t)&h[i];
	for (size_t i = 0; i < n_grown; i++)
		gp[i] = (Csv__Grown *)(uintptr_t)&grown[i];
	body.n_grown = n_grown;
	body.grown = gp;
	body.n_handles = n;
	body.handles = hp;
	body.last = true;
	msg.msg_case = CSV__MESSAGE__MSG_RECLAIM;
	msg.reclaim = &body;
	peer_send(p, &msg);
	csv__message__free_unpacked(peer_expect(p, CSV__MESSAGE__MSG_RECLAIMED), NULL);
}

bool peer_up(struct peer *p)
{
	Csv__Message *msg;
	bool reclaim;

	peer_hello(p);
	msg = peer_expect(p, CSV__MESSAGE__MSG_WELCOME);
	reclaim = msg->welcome->reclaim;
	csv__message__free_unpacked(msg, NULL);
	if (reclaim)
		peer_reclaim(p, NULL, 0);
	return reclaim;
}

void peer_lost(struct peer *p)
{
	struct csv_mail *mail = mail_new(MAIL_CONN_LOST);

	mail->conn = p->conn;
	post(p->rig, mail);
}

void peer_post(struct peer *p, Csv__Op *op)
{
	Csv__Message msg = CSV__MESSAGE__INIT;

	if (!op->unique)
		op->unique = ++p->unique;
	msg.msg_case = CSV__MESSAGE__MSG_OP;
	msg.op = op;
	peer_send(p, &msg);
}

Csv__Message *peer_result(struct peer *p, uint64_t unique)
{
	Csv__Message *msg;

	while (!(msg = find(p, CSV__MESSAGE__MSG_RESULT, unique)))
		rig_await_mail(p->rig);
	return msg;
}

Csv__Message *peer_call(struct peer *p, Csv__Op *op)
{
	peer_post(p, op);
	return peer_result(p, op->unique);
}

int peer_try(struct peer *p, Csv__Op *op)
{
	Csv__Message *msg = peer_call(p, op);
	int error = (int)msg->result->error;

	csv__message__free_unpacked(msg, NULL);
	return error;
}

uint64_t peer_create(struct peer *p, const char *name, uint64_t *ret_fh)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Message *msg;
	uint64_t ino;

	op.kind = CSV__KIND__CREATE;
	op.ino = FS_ROOT_INO;
	op.name = (char *)(uintptr_t)name;
	op.mode = 0644;
	op.flags = O_RDWR;
	msg = peer_call(p, &op);
	assert_int_equal(msg->result->error, 0);
	ino = msg->result->attr->ino;
	*ret_fh = op.unique;
	csv__message__free_unpacked(msg, NULL);
	return ino;
}

uint64_t peer_open(struct peer *p, uint64_t ino)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = CSV__KIND__OPEN;
	op.ino = ino;
	op.flags = O_RDWR;
	assert_int_equal(peer_try(p, &op), 0);
	return op.unique;
}

void peer_release(struct peer *p, uint64_t ino, uint64_t fh)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = CSV__KIND__RELEASE;
	op.ino = ino;
	op.fh = fh;
	assert_int_equal(peer_try(p, &op), 0);
}

uint64_t peer_post_write(struct peer *p, uint64_t ino, uint64_t fh, uint64_t off, const void *data,
			 size_t len)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = CSV__KIND__WRITE;
	op.ino = ino;
	op.fh = fh;
	op.offset = off;
	op.data = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)data };
	peer_post(p, &op);
	return op.unique;
}

int peer_write(struct peer *p, uint64_t ino, uint64_t fh, uint64_t off, const void *data,
	       size_t len)
{
	Csv__Message *msg = peer_result(p, peer_post_write(p, ino, fh, off, data, len));
	int error = (int)msg->result->error;

	csv__message__free_unpacked(msg, NULL);
	return error;
}

size_t peer_read(struct peer *p, uint64_t ino, uint64_t fh, uint64_t off, void *buf, size_t len)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Message *msg;
	size_t n;

	op.kind = CSV__KIND__READ;
	op.ino = ino;
	op.fh = fh;
	op.offset = off;
	op.length = len;
	msg = peer_call(p, &op);
	assert_int_equal(msg->result->error, 0);
	n = msg->result->data.len;
	assert_true(n <= len);
	if (n)
		memcpy(buf, msg->result->data.data, n);
	csv__message__free_unpacked(msg, NULL);
	return n;
}
