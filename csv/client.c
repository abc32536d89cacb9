/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csv/dying.h"
#include "csv/op.h"
#include "csv/owner.h"
#include "lib/log.h"
#include "lib/sm.h"

#define ACK_MS 100	/* answers are acknowledged in groups, this late at most */
#define ACK_MAX 128	/* or when there are so many */
#define RECLAIM_MAX 500 /* handles, and locks, in one message */

CL_DEFINE_VEC(unique_vec, uint64_t);

/* A stop order: nothing of these generations goes out any more. */
struct stopped {
	char resource[64];
	uint64_t generation; /* and below */
};
CL_DEFINE_VEC(stopped_vec, struct stopped);

struct client {
	struct client_config cfg;
	char name[64];
	struct sm sm;
	uint64_t epoch, incarnation, sequence, connect;
	bool held;
	struct call *calls, *last; /* in the order of submission */
	unsigned n_calls;
	struct holding holding;
	struct unique_vec acks;
	struct stopped_vec stopped;
	struct cl_source *ack_timer;
	const Vol__Tables *tables; /* borrowed */
};

static const struct sm_state client_states[] = {
	[CLIENT_OFFLINE] = { "offline", SM_TO(CLIENT_GREETED), SM_INITIAL },
	[CLIENT_GREETED] = { "greeted",
			     SM_TO(CLIENT_RECLAIMING) | SM_TO(CLIENT_ACTIVE) |
				     SM_TO(CLIENT_OFFLINE),
			     0 },
	[CLIENT_RECLAIMING] = { "reclaiming", SM_TO(CLIENT_ACTIVE) | SM_TO(CLIENT_OFFLINE), 0 },
	[CLIENT_ACTIVE] = { "active", SM_TO(CLIENT_OFFLINE), 0 },
};

/* ---- sending ------------------------------------------------------------------------------- */

static bool send_msg(struct client *c, bool bulk, Csv__Message *msg)
{
	msg->epoch = c->epoch;
	msg->incarnation = c->incarnation;
	msg->node = c->cfg.node;
	msg->mount = c->cfg.mount;
	msg->sequence = ++c->sequence;
	return c->cfg.send(c->cfg.user, bulk, msg);
}

static bool send_call(struct client *c, struct call *call)
{
	Csv__Message msg = CSV__MESSAGE__INIT;

	call->op.resent |= call->sent;
	msg.msg_case = CSV__MESSAGE__MSG_OP;
	msg.op = &call->op;
	call->sent = call->on_wire = true;
	return send_msg(c, op_is_bulk(&call->op), &msg);
}

static bool may_send(const struct client *c)
{
	return c->sm.state == CLIENT_ACTIVE && !c->held;
}

static void send_waiting(struct client *c)
{
	for (struct call *call = c->calls; call && may_send(c); call = call->next)
		if (!call->on_wire && !send_call(c, call))
			return;
}

static void send_acks(void *user)
{
	struct client *c = user;
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Ack ack = CSV__ACK__INIT;

	if (!c->acks.n || !may_send(c))
		return;
	ack.n_unique = c->acks.n;
	ack.unique = c->acks.v;
	msg.msg_case = CSV__MESSAGE__MSG_ACK;
	msg.ack = &ack;
	if (send_msg(c, false, &msg))
		unique_vec_clear(&c->acks);
}

static void add_ack(struct client *c, uint64_t unique)
{
	if (!c->acks.n)
		(void)cl_timer_set_in(c->ack_timer, ACK_MS);
	(void)unique_vec_push(&c->acks, unique);
	if (c->acks.n >= ACK_MAX)
		send_acks(c);
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

/* What an answered call changes in what this node holds. */
static void remember(struct client *c, const struct call *call, const Csv__Result *res)
{
	const Csv__Op *op = &call->op;
	struct open_file file = { .fh = op->unique, .flags = op->flags };

	switch (op->kind) {
	case CSV__KIND__OPEN:
	case CSV__KIND__CREATE:
		file.ino = res->attr ? res->attr->ino : 0;
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

static void answer(struct client *c, struct call *call, const Csv__Result *res)
{
	uint64_t unique = call->op.unique;
	bool record = call_has_record(call) && !res->error;

	unlink_call(c, call);
	call->done(call, res); /* the reply has been written to /dev/fuse after this */
	if (record)
		add_ack(c, unique);
}

static void answer_error(struct client *c, struct call *call, int error)
{
	Csv__Result res = CSV__RESULT__INIT;

	res.unique = call->op.unique;
	res.error = (uint32_t)error;
	answer(c, call, &res);
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

/* Refused before it travels: the tables here may be ahead of the coordinator's. */
static bool is_stale(struct client *c, const struct call *call)
{
	const struct open_file *o = call->op.fh ? holding_find(&c->holding, call->op.fh) : NULL;

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
static bool is_stopped(struct client *c, const struct call *call)
{
	const struct open_file *o = call->op.fh ? holding_find(&c->holding, call->op.fh) : NULL;

	if (!o || !o->generation || call->op.kind == CSV__KIND__RELEASE)
		return false;
	for (size_t i = 0; i < c->stopped.n; i++)
		if (!strcmp(c->stopped.v[i].resource, o->resource))
			return o->generation <= c->stopped.v[i].generation;
	return false;
}

static void append_call(struct client *c, struct call *call)
{
	call->prev = c->last;
	call->next = NULL;
	if (c->last)
		c->last->next = call;
	else
		c->calls = call;
	c->last = call;
	c->n_calls++;
}

void client_submit(struct client *c, struct call *call)
{
	append_call(c, call);
	if (is_stopped(c, call) || is_stale(c, call)) {
		answer_error(c, call, is_stopped(c, call) ? EIO : ESTALE);
		return;
	}
	/* Not reclaimed from here on; the RELEASE itself still travels. */
	if (call->op.kind == CSV__KIND__RELEASE)
		holding_release(&c->holding, call->op.fh);
	if (may_send(c))
		(void)send_call(c, call);
}

void client_interrupt(struct client *c, uint64_t unique)
{
	struct call *call = find_call(c, unique);
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Op op = CSV__OP__INIT;

	if (!call || call->op.kind != CSV__KIND__SETLK)
		return;
	if (!call->sent) {
		answer_error(c, call, EINTR);
		return;
	}
	if (!may_send(c))
		return; /* the kernel asks once; the caller is killed or waits for the failover */
	op.kind = CSV__KIND__CANCEL;
	op.offset = unique;
	msg.msg_case = CSV__MESSAGE__MSG_OP;
	msg.op = &op;
	(void)send_msg(c, false, &msg);
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

static void done_free(struct call *call, const Csv__Result *res)
{
	(void)res;
	call_free(call);
}

/* The kernel was told that this OPEN failed, and the coordinator did it all the same. */
static void opened_for_nobody(struct call *call, const Csv__Result *res)
{
	/* The kernel's numbers are even. */
	struct call *release =
		res->error ? NULL : call_new(CSV__KIND__RELEASE, call->op.unique | 1, call->op.ino);

	if (release) {
		release->op.fh = call->op.unique;
		release->done = done_free;
		client_submit(call->user, release);
	}
	call_free(call);
}

/* Stands in for an OPEN whose caller is answered before the coordinator has. */
static bool keep_open(struct client *c, const struct call *call)
{
	struct call *stub = call_new(CSV__KIND__OPEN, call->op.unique, call->op.ino);

	if (!stub)
		return false;
	stub->op.flags = call->op.flags;
	stub->sent = call->sent;
	stub->on_wire = call->on_wire;
	stub->done = opened_for_nobody;
	stub->user = c;
	append_call(c, stub);
	return true;
}

/*
 * Its caller is dying: nobody sees the answer. What was never sent is dropped whole. What was sent may
 * be done or not, as with any process that is killed; but what leaves something at the coordinator (a
 * record, a handle) is waited for.
 */
static void give_up(struct client *c, struct call *call)
{
	bool dying = c->cfg.is_dying ? c->cfg.is_dying(call->pid) : dying_thread(call->pid);
	Csv__Kind kind = call->op.kind;

	if (!dying || kind == CSV__KIND__RELEASE || (call->sent && call_has_record(call)))
		return;
	if (call->sent && kind == CSV__KIND__OPEN && !keep_open(c, call))
		return;
	answer_error(c, call, EINTR);
}

void client_fail(struct client *c, const char *resource, uint64_t generation)
{
	struct call *call, *next;

	if (c->cfg.fail_none)
		return;

	note_stopped(c, resource, generation);
	for (call = c->calls; call; call = next) {
		next = call->next;
		if (is_stopped(c, call))
			answer_error(c, call, EIO);
		else
			give_up(c, call);
	}
}

void client_set_tables(struct client *c, const Vol__Tables *tables)
{
	c->tables = tables;
}

void client_hold(struct client *c, bool hold)
{
	if (c->held == hold)
		return;
	c->held = hold;
	c->cfg.changed(c->cfg.user, NULL);
	send_waiting(c);
	send_acks(c);
}

/* ---- the conversation ---------------------------------------------------------------------- */

static void go_to(struct client *c, enum client_state state, const char *why)
{
	sm_move(&c->sm, (int)state, why);
	c->cfg.changed(c->cfg.user, NULL);
}

void client_up(struct client *c, uint64_t epoch, uint64_t incarnation)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Hello hello = CSV__HELLO__INIT;

	client_down(c);
	c->epoch = epoch;
	c->incarnation = incarnation;
	c->sequence = 0;
	hello.volume.data = c->cfg.volume;
	hello.volume.len = sizeof(c->cfg.volume);
	hello.connect = (uint64_t)cl_mono_now().ns;
	msg.msg_case = CSV__MESSAGE__MSG_HELLO;
	msg.hello = &hello;
	go_to(c, CLIENT_GREETED, "transport");
	if (!send_msg(c, false, &msg))
		return;
	hello.bulk = true;
	(void)send_msg(c, true, &msg);
}

void client_down(struct client *c)
{
	if (c->sm.state == CLIENT_OFFLINE)
		return;
	for (struct call *call = c->calls; call; call = call->next)
		call->on_wire = false;
	go_to(c, CLIENT_OFFLINE, "transport gone");
}

static void become_active(struct client *c)
{
	go_to(c, CLIENT_ACTIVE, "welcome");
	send_waiting(c);
	send_acks(c);
}

static void fill_handle(const struct open_file *o, Csv__Handle *h)
{
	csv__handle__init(h);
	h->fh = o->fh;
	h->ino = o->ino;
	h->flags = o->flags;
	h->resource = (char *)(uintptr_t)o->resource;
	h->generation = o->generation;
}

static void fill_lock(const struct lock *l, Csv__Lock *out)
{
	csv__lock__init(out);
	out->fh = l->fh;
	out->ino = l->ino;
	out->owner = l->owner;
	out->pid = l->pid;
	out->flock = l->flock;
	out->type = l->type == LOCK_SHARED ? F_RDLCK : F_WRLCK;
	out->start = l->start;
	out->end = l->end;
}

/* One message of up to RECLAIM_MAX handles and locks, from the given positions on. */
static bool send_reclaim_part(struct client *c, size_t h0, size_t l0)
{
	static Csv__Handle handles[RECLAIM_MAX], *hp[RECLAIM_MAX];
	static Csv__Lock locks[RECLAIM_MAX], *lp[RECLAIM_MAX];
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Reclaim body = CSV__RECLAIM__INIT;

	for (size_t i = h0; i < c->holding.opens.n && body.n_handles < RECLAIM_MAX; i++) {
		hp[body.n_handles] = &handles[body.n_handles];
		fill_handle(&c->holding.opens.v[i], &handles[body.n_handles++]);
	}
	for (size_t i = l0; i < c->holding.locks.held.n && body.n_locks < RECLAIM_MAX; i++) {
		lp[body.n_locks] = &locks[body.n_locks];
		fill_lock(&c->holding.locks.held.v[i], &locks[body.n_locks++]);
	}
	body.handles = hp;
	body.locks = lp;
	body.last = h0 + body.n_handles == c->holding.opens.n &&
		    l0 + body.n_locks == c->holding.locks.held.n;
	msg.msg_case = CSV__MESSAGE__MSG_RECLAIM;
	msg.reclaim = &body;
	return send_msg(c, false, &msg) && !body.last;
}

static void send_reclaim(struct client *c)
{
	size_t h = 0, l = 0;

	while (send_reclaim_part(c, h, l)) {
		h = h + RECLAIM_MAX < c->holding.opens.n ? h + RECLAIM_MAX : c->holding.opens.n;
		l = l + RECLAIM_MAX < c->holding.locks.held.n ? l + RECLAIM_MAX
							      : c->holding.locks.held.n;
	}
}

static void on_result(struct client *c, const Csv__Result *res)
{
	struct call *call = find_call(c, res->unique);

	/* Failed by order meanwhile, or answered on an earlier connection. */
	if (!call || !call->on_wire)
		return;
	if (res->again) {
		call->on_wire = false;
		return;
	}
	if (!res->error)
		remember(c, call, res);
	answer(c, call, res);
}

bool client_input(struct client *c, const Csv__Message *msg)
{
	if (msg->epoch != c->epoch)
		return false;
	switch (msg->msg_case) {
	case CSV__MESSAGE__MSG_WELCOME:
		if (c->sm.state != CLIENT_GREETED)
			return false;
		if (!msg->welcome->reclaim) {
			become_active(c);
			return true;
		}
		go_to(c, CLIENT_RECLAIMING, "welcome");
		send_reclaim(c);
		return true;
	case CSV__MESSAGE__MSG_RECLAIMED:
		if (c->sm.state != CLIENT_RECLAIMING)
			return false;
		become_active(c);
		return true;
	case CSV__MESSAGE__MSG_RESULT:
		if (c->sm.state != CLIENT_ACTIVE)
			return false;
		on_result(c, msg->result);
		return true;
	case CSV__MESSAGE__MSG_REFUSE:
		c->cfg.changed(c->cfg.user, msg->refuse->reason);
		return false;
	default:
		return false;
	}
}

void client_bye(struct client *c, const char *reason)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Bye bye = CSV__BYE__INIT;

	if (c->sm.state != CLIENT_ACTIVE)
		return;
	bye.reason = (char *)(uintptr_t)reason;
	msg.msg_case = CSV__MESSAGE__MSG_BYE;
	msg.bye = &bye;
	(void)send_msg(c, false, &msg);
}

/* ---- life ---------------------------------------------------------------------------------- */

int client_new(struct cl_loop *loop, const struct client_config *config, struct client **ret)
{
	struct client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->cfg = *config;
	(void)snprintf(c->name, sizeof(c->name), "%s", config->name);
	c->cfg.name = c->name;
	sm_init(&c->sm, "client", c->name, client_states, 4, CLIENT_OFFLINE, NULL);
	r = holding_init(&c->holding, config->shared);
	if (r >= 0)
		r = cl_timer_new(loop, send_acks, c, &c->ack_timer);
	if (r < 0) {
		holding_fini(&c->holding);
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	while (c->calls)
		answer_error(c, c->calls, ENOTCONN);
	cl_source_free(c->ack_timer);
	unique_vec_fini(&c->acks);
	stopped_vec_fini(&c->stopped);
	holding_fini(&c->holding);
	free(c);
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

enum client_state client_state(const struct client *c)
{
	return (enum client_state)c->sm.state;
}

unsigned client_waiting(const struct client *c)
{
	return c->n_calls;
}
