/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls of the kernel: which way each goes, what its answer changes, acknowledgements, stop orders. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csv/client_int.h"
#include "csv/op.h"
#include "csv/owner.h"
#include "lib/log.h"

#define ACK_MS 100  /* answers are acknowledged in groups, this late at most */
#define ACK_MAX 128 /* or when there are so many */
#define SIZE_KNOWN_MS 200

bool client_may_send(const struct client *c)
{
	return c->sm.state == CLIENT_ACTIVE && !c->held;
}

static bool send_call(struct client *c, struct call *call)
{
	Csv__Message msg = CSV__MESSAGE__INIT;

	if (call->sent)
		counters_add(c->cfg.counters, COUNTERS_RESENDS);
	call->op.resent |= call->sent;
	msg.msg_case = CSV__MESSAGE__MSG_OP;
	msg.op = &call->op;
	call->sent = true;
	call->way = CALL_SENT;
	return client_send(c, op_is_bulk(&call->op), &msg);
}

void client_send_acks(void *user)
{
	struct client *c = user;
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Ack ack = CSV__ACK__INIT;

	if (!c->acks.n || !client_may_send(c))
		return;
	ack.n_unique = c->acks.n;
	ack.unique = c->acks.v;
	msg.msg_case = CSV__MESSAGE__MSG_ACK;
	msg.ack = &ack;
	if (client_send(c, false, &msg))
		unique_vec_clear(&c->acks);
}

static void add_ack(struct client *c, uint64_t unique)
{
	if (!c->acks.n)
		(void)cl_timer_set_in(c->ack_timer, ACK_MS);
	(void)unique_vec_push(&c->acks, unique);
	if (c->acks.n >= ACK_MAX)
		client_send_acks(c);
}

/* ---- what is open and locked here ---------------------------------------------------------- */

static void remember_lock(struct client *c, const struct call *call)
{
	const Csv__Lock *in = &call->lock;
	struct lock l = {
		.fh = in->fh,
		.ino = in->ino,
		.owner = in->owner,
		.pid = in->pid,
		.flock = in->flock,
		.start = in->start,
		.end = in->end,
	};

	l.type = in->type == F_RDLCK   ? LOCK_SHARED
		 : in->type == F_WRLCK ? LOCK_EXCLUSIVE
				       : LOCK_FREE;
	/* Two owners of this node can hold ranges that exclude each other only by our mistake. */
	if (holding_lock(&c->holding, &l) < 0)
		log_error("volume '%s': a granted lock cannot be remembered", c->name);
}

/* No handle is open on the file here. */
static bool is_closed(const struct client *c, uint64_t ino)
{
	for (size_t i = 0; i < c->holding.opens.n; i++)
		if (c->holding.opens.v[i].ino == ino)
			return false;
	return true;
}

/*
 * What lies behind the end of file is not to be had as a layout: most files are read and written once,
 * whole, and would pay for a question each time. Only a hint, and not for long.
 */
static void note_size(struct client *c, const Csv__Attr *attr)
{
	if (c->data && is_closed(c, attr->ino))
		(void)map_refuse(&c->map, attr->ino, attr->size,
				 cl_mono_ms(cl_mono_now()) + SIZE_KNOWN_MS);
}

/* What an answered call changes in what this node holds. */
static void remember(struct client *c, const struct call *call, const Csv__Result *res)
{
	const Csv__Op *op = &call->op;
	struct open_file file = { .fh = op->unique, .flags = op->flags };

	switch (op->kind) {
	case CSV__KIND__OPEN:
	case CSV__KIND__CREATE:
		file.ino = res->attr ? res->attr->ino : 0;
		if (res->attr)
			note_size(c, res->attr);
		if (holding_open(&c->holding, &file) < 0)
			log_error("volume '%s': more than %d open files", c->name, HOLDING_MAX);
		break;
	case CSV__KIND__TAG:
		holding_tag(&c->holding, op->fh, op->resource, op->generation);
		break;
	case CSV__KIND__SETLK:
		remember_lock(c, call);
		break;
	case CSV__KIND__FLUSH:
		holding_flush(&c->holding, op->ino, op->lock->owner);
		break;
	default:
		break;
	}
}

/* ---- calls --------------------------------------------------------------------------------- */

static void unlink_call(struct client *c, struct call *call)
{
	if (call->prev)
		call->prev->next = call->next;
	else
		c->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	else
		c->last = call->prev;
	c->n_calls--;
}

static void count(const struct client *c, const struct call *call, const Csv__Result *res)
{
	bool writes = call->op.kind == CSV__KIND__WRITE;
	int64_t ns = cl_mono_now().ns - call->since_ns;

	if (res->error || (!writes && call->op.kind != CSV__KIND__READ))
		return;
	counters_add_io(c->cfg.counters,
			call->way == CALL_DIRECT || call->way == CALL_GROWING ? COUNTERS_DIRECT
			: call->way == CALL_BLOCK ? COUNTERS_BLOCK_REDIRECTED
						  : COUNTERS_FILE_REDIRECTED,
			writes, writes ? call->op.data.len : res->data.len, (uint64_t)ns / 1000);
}

void client_answer(struct client *c, struct call *call, const Csv__Result *res)
{
	uint64_t unique = call->op.unique;
	bool record = call_has_record(call) && !res->error;

	unlink_call(c, call);
	count(c, call, res);
	call->done(call, res); /* the reply has been written to /dev/fuse after this */
	if (record)
		add_ack(c, unique);
}

void client_answer_error(struct client *c, struct call *call, int error)
{
	Csv__Result res = CSV__RESULT__INIT;

	res.unique = call->op.unique;
	res.error = (uint32_t)error;
	client_answer(c, call, &res);
}

static struct call *find_call(struct client *c, uint64_t unique)
{
	for (struct call *call = c->calls; call; call = call->next)
		if (call->op.unique == unique)
			return call;
	return NULL;
}

static bool op_writes(const Csv__Op *op)
{
	return op->kind == CSV__KIND__WRITE || op->kind == CSV__KIND__FALLOCATE ||
	       op->kind == CSV__KIND__SETLK || op->kind == CSV__KIND__SETATTR;
}

static const struct open_file *find_open(const struct client *c, uint64_t fh)
{
	return fh ? holding_find(&c->holding, fh) : NULL;
}

/* Refused before it travels: the tables here may be ahead of the coordinator's. */
static bool is_stale(const struct client *c, const struct call *call)
{
	const struct open_file *o = find_open(c, call->op.fh);

	if (!o || !o->generation || call->op.kind == CSV__KIND__RELEASE ||
	    call->op.kind == CSV__KIND__FLUSH ||
	    (call->op.kind == CSV__KIND__SETLK && call->lock.type == F_UNLCK))
		return false;
	return owner_judge(c->tables, o->resource, o->generation, op_writes(&call->op)) ==
	       OWNER_STALE;
}

/*
 * Of a VM that is being stopped. Also the FLUSH of its dying process, which would wait for a
 * coordinator: what it would drop goes with the RELEASE, which is never refused.
 */
static bool is_stopped(const struct client *c, const struct call *call)
{
	const struct open_file *o = find_open(c, call->op.fh);

	if (!o || !o->generation || call->op.kind == CSV__KIND__RELEASE)
		return false;
	for (size_t i = 0; i < c->stopped.n; i++)
		if (!strcmp(c->stopped.v[i].resource, o->resource))
			return o->generation <= c->stopped.v[i].generation;
	return false;
}

/* ---- which way ----------------------------------------------------------------------------- */

/* Shows times and sizes: tell first what was written directly. */
static bool shows_times(const Csv__Op *op)
{
	Csv__Kind kind = op->kind;

	if (kind == CSV__KIND__FSYNC)
		return op->flags != OP_SYNC_DATA;
	return kind == CSV__KIND__GETATTR || kind == CSV__KIND__SETATTR ||
	       kind == CSV__KIND__LOOKUP || kind == CSV__KIND__RELEASE || kind == CSV__KIND__LINK;
}

/*
 * The layouts of a file end with the RELEASE of its last handle, at the coordinator, too. So it is
 * not sent before the direct I/O has ended: a write would land on what may be somebody else's by
 * then. Of unknown fate counts as under way. false: it has to wait.
 */
static bool let_go(struct client *c, struct call *call)
{
	if (call->released)
		return true;
	/* Growth that is not known to be durable would be reclaimed by somebody who has the file no more. */
	if (client_io_of_handle(c, call->op.fh) || client_settle(c, call->op.ino)) {
		call->way = CALL_DRAINING;
		c->n_draining++;
		return false;
	}
	/* Not reclaimed from here on; the RELEASE itself still travels. */
	call->released = true;
	holding_release(&c->holding, call->op.fh);
	if (is_closed(c, call->op.ino))
		client_drop_layouts(c, call->op.ino);
	return true;
}

void client_route(struct client *c, struct call *call)
{
	call->way = CALL_WAITING;
	if (call->dio)
		return; /* block-redirected, on a connection that is gone: until WELCOME */
	if (is_stopped(c, call) || is_stale(c, call)) {
		client_answer_error(c, call, is_stopped(c, call) ? EIO : ESTALE);
		return;
	}
	if (call->op.kind == CSV__KIND__RELEASE && !let_go(c, call))
		return;
	if (client_try_direct(c, call) || !client_may_send(c))
		return;
	if (shows_times(&call->op))
		client_send_touched(c);
	(void)send_call(c, call);
}

void client_route_waiting(struct client *c)
{
	struct call *call, *next;

	for (call = c->calls; call; call = next) {
		next = call->next; /* the call alone can be answered in here */
		if (call->way == CALL_WAITING)
			client_route(c, call);
	}
}

void client_append(struct client *c, struct call *call)
{
	call->prev = c->last;
	call->next = NULL;
	if (c->last)
		c->last->next = call;
	else
		c->calls = call;
	c->last = call;
	c->n_calls++;
	call->since_ns = cl_mono_now().ns;
}

void client_submit(struct client *c, struct call *call)
{
	client_append(c, call);
	client_route(c, call);
}

void client_on_result(struct client *c, const Csv__Result *res)
{
	struct call *call;

	if (client_on_block_result(c, res))
		return;
	call = find_call(c, res->unique);
	/* Failed by order meanwhile, or answered on an earlier connection. */
	if (!call || (call->way != CALL_SENT && call->way != CALL_GROWING))
		return;
	if (res->again) {
		call->way = CALL_WAITING;
		return;
	}
	if (call->way == CALL_GROWING && !client_grown(c, call, res))
		return;
	if (!res->error)
		remember(c, call, res);
	client_answer(c, call, res);
}

/* ---- interrupts, stop orders ------------------------------------------------------------------ */

void client_interrupt(struct client *c, uint64_t unique)
{
	struct call *call = find_call(c, unique);
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Op op = CSV__OP__INIT;

	if (!call || call->op.kind != CSV__KIND__SETLK)
		return;
	if (!call->sent) {
		client_answer_error(c, call, EINTR);
		return;
	}
	if (!client_may_send(c))
		return; /* the kernel asks once; the caller is killed or waits for the failover */
	op.kind = CSV__KIND__CANCEL;
	op.offset = unique;
	msg.msg_case = CSV__MESSAGE__MSG_OP;
	msg.op = &op;
	(void)client_send(c, false, &msg);
}

static void note_stopped(struct client *c, const char *resource, uint64_t generation)
{
	struct stopped entry = { .generation = generation };

	for (size_t i = 0; i < c->stopped.n; i++)
		if (!strcmp(c->stopped.v[i].resource, resource)) {
			if (c->stopped.v[i].generation < generation)
				c->stopped.v[i].generation = generation;
			return;
		}
	(void)snprintf(entry.resource, sizeof(entry.resource), "%s", resource);
	(void)stopped_vec_push(&c->stopped, entry);
}

void client_fail(struct client *c, const char *resource, uint64_t generation)
{
	struct call *call, *next;

#ifdef CL_DEFECTS
	if (c->cfg.defects & CLIENT_DEFECT_NO_FAIL)
		return;
#endif
	note_stopped(c, resource, generation);
	for (call = c->calls; call; call = next) {
		next = call->next;
		if (!is_stopped(c, call)) {
			client_give_up_dying(c, call);
			continue;
		}
		client_detach_io(c, call);
		client_answer_error(c, call, EIO);
	}
}

/*
 * Done when none of its direct I/O is under way any more, that of unknown fate included: an old write
 * must not land under the next generation. A csvd that has just been started does not know what its
 * predecessor had under way: that is dead with the welcome.
 */
bool client_failed(const struct client *c, const char *resource, uint64_t generation)
{
	if (c->data && !c->welcomed)
		return false;
	for (const struct dio *d = c->dios.first; d; d = d->next) {
		const struct open_file *o = find_open(c, d->fh);

		if (o && o->generation && o->generation <= generation &&
		    !strcmp(o->resource, resource))
			return false;
	}
	return true;
}

bool client_has_locks(const struct client *c, uint64_t ino)
{
	for (size_t i = 0; i < c->holding.locks.held.n; i++)
		if (c->holding.locks.held.v[i].ino == ino)
			return true;
	for (const struct call *call = c->calls; call; call = call->next)
		if (call->op.kind == CSV__KIND__SETLK && call->op.ino == ino)
			return true;
	return false;
}
