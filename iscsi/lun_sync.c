/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The session for a thread that may block: each call polls until its own I/O is done.
 *
 * Between calls nobody serves the session. So each turn polls BEFORE it serves: answers that have
 * waited in the socket are taken in before any silence is counted.
 */
#include "config.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "iscsi/lun_sync.h"
#include "lib/monotime.h"

struct lun_sync {
	struct lun_session *session; /* NULL once it has failed */
	int wake_fd;		     /* other threads' words: */
	_Atomic bool broken, barrier;
	int failed; /* negative, for good */
	uint32_t deadline_ms;
	uint64_t key, bytes;
	uint32_t block_size;
	struct cl_error why;
	struct lun_cmd cmd;
	bool unused; /* unregister at the end */
};

static int64_t now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

/*
 * After a failure the session goes at once: an I/O that is given up still points to the caller's
 * stack and buffer.
 */
static int fail(struct lun_sync *y, int code, const char *what)
{
	if (!y->failed) {
		const char *reason = lun_session_reason(y->session);

		y->failed = code;
		(void)cl_error_set(&y->why, code, "%s", what ? what : reason);
	}
	lun_session_free(y->session);
	y->session = NULL;
	return y->failed;
}

static int wait_ms(const struct lun_sync *y, int64_t until)
{
	int64_t t = lun_session_deadline_ms(y->session), now = now_ms();

	if (until < t)
		t = until;
	if (t <= now)
		return 0;
	return t - now > 60000 ? 60000 : (int)(t - now);
}

static void hear(struct lun_sync *y)
{
	uint64_t count;

	(void)!read(y->wake_fd, &count, sizeof(count));
	if (atomic_exchange(&y->barrier, false))
		lun_session_barrier_answered(y->session);
}

/* One turn: wait for the socket, the deadline or the break. 0 or negative (failed for good). */
static int turn(struct lun_sync *y, int64_t until)
{
	struct pollfd p[2] = {
		{ .fd = lun_session_fd(y->session), .events = lun_session_events(y->session) },
		{ .fd = y->wake_fd, .events = POLLIN },
	};
	int n = poll(p, 2, wait_ms(y, until));

	if (n > 0 && p[1].revents)
		hear(y);
	if (atomic_load(&y->broken))
		return fail(y, -ENOLINK, "broken off");
	lun_session_service(y->session, n > 0 ? p[0].revents : 0);
	switch (lun_session_state(y->session)) {
	case LUN_DEAD:
		return fail(y, -ENOLINK, NULL);
	case LUN_STOPPED:
		return fail(y, -EBADE, NULL);
	default:
		return now_ms() >= until ? fail(y, -ENOLINK, "not done by the deadline") : 0;
	}
}

static int64_t call_deadline(const struct lun_sync *y)
{
	return y->deadline_ms ? now_ms() + y->deadline_ms : INT64_MAX;
}

/* ---- opening ---- */

static void on_cmd(struct lun_cmd *cmd)
{
	*(bool *)cmd->user = true;
}

static int command(struct lun_sync *y, struct pr_op op, struct cl_error *err)
{
	bool done = false;
	int64_t until = call_deadline(y);

	y->cmd = (struct lun_cmd){ .op = op, .done = on_cmd, .user = &done };
	if (lun_session_command(y->session, &y->cmd) != LUN_OK)
		return cl_error_set(err, -ENOLINK, "cannot send %s", pr_op_name(op.kind));
	while (!done)
		if (turn(y, until) < 0)
			return cl_error_set(err, y->failed, "%s", y->why.msg);
	if (y->cmd.answer.result == LUN_OK)
		return 0;
	return cl_error_set(err, -EIO, "%s: %s", pr_op_name(op.kind),
			    lun_result_name(y->cmd.answer.result));
}

static int register_key(struct lun_sync *y, struct cl_error *err)
{
	/* Old key 0: on a nexus that has a key already this must fail, not replace it. */
	return command(y, (struct pr_op){ .kind = PR_OP_REGISTER, .arg = y->key }, err);
}

static int log_in(struct lun_sync *y, const struct lun_session_config *config, unsigned portal,
		  struct cl_error *err)
{
	struct lun_session_config c = *config;
	int r;

	c.portal = portal;
	c.role = LUN_ROLE_DATA;
	c.hooks = (struct lun_session_hooks){ 0 };
	r = lun_session_new(&c, &y->session, err);
	if (r < 0)
		return r;
	y->failed = 0;
	while (lun_session_state(y->session) == LUN_CONNECTING)
		if (turn(y, INT64_MAX) < 0)
			return cl_error_set(err, y->failed, "%s", y->why.msg);
	y->bytes = lun_session_data(y->session)->bytes;
	y->block_size = lun_session_data(y->session)->block_size;
	return 0;
}

static int connect_any(const struct lun_session_config *config, struct lun_sync **ret,
		       struct cl_error *err)
{
	_cleanup_(lun_sync_closep) struct lun_sync *y = calloc(1, sizeof(*y));
	int r = -EINVAL;

	if (!y)
		return cl_error_errno(err, -ENOMEM, "LUN session");
	y->key = config->key;
	y->deadline_ms = config->io_ms ? config->io_ms : 60000;
	y->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (y->wake_fd < 0)
		return cl_error_errno(err, -errno, "LUN session");
	for (unsigned p = 0; p < config->url->n_portals; p++) {
		r = log_in(y, config, (config->portal + p) % config->url->n_portals, err);
		if (r == 0)
			break;
	}
	if (r == 0)
		*ret = cl_steal(y);
	return r;
}

int lun_sync_open(const struct lun_session_config *config, struct lun_sync **ret,
		  struct cl_error *err)
{
	_cleanup_(lun_sync_closep) struct lun_sync *y = NULL;
	int r = connect_any(config, &y, err);

	if (r == 0 && y->key)
		r = register_key(y, err);
	if (r == 0)
		*ret = cl_steal(y);
	return r;
}

/* A coordinator always has a reservation. Keys of ours without one are what somebody left behind. */
static int check_unused(struct lun_sync *y, struct cl_error *err)
{
	const struct pr_answer *a = &y->cmd.answer;
	struct pr_key key;
	int r = command(y, (struct pr_op){ .kind = PR_OP_READ_RESERVATION }, err);

	if (r == 0 && a->type)
		return cl_error_set(err, -EBUSY,
				    "the LUN is in use: it has a reservation of type %u", a->type);
	if (r == 0)
		r = command(y, (struct pr_op){ .kind = PR_OP_READ_KEYS }, err);
	for (size_t i = 0; r == 0 && i < a->n_keys; i++)
		if (!pr_key_parse(a->keys[i], &key))
			r = cl_error_set(err, -EBUSY,
					 "the LUN is in use: a foreign key is registered");
	return r;
}

int lun_sync_open_unused(const struct lun_session_config *config, struct lun_sync **ret,
			 struct cl_error *err)
{
	_cleanup_(lun_sync_closep) struct lun_sync *y = NULL;
	int r = connect_any(config, &y, err);

	if (r == 0)
		r = check_unused(y, err);
	if (r == 0)
		r = register_key(y, err);
	if (r < 0)
		return r;
	y->unused = true;
	r = lun_session_go(y->session, err);
	if (r == 0)
		*ret = cl_steal(y);
	return r;
}

int lun_sync_go(struct lun_sync *y, struct cl_error *err)
{
	if (y->failed)
		return cl_error_set(err, y->failed, "%s", y->why.msg);
	return lun_session_go(y->session, err);
}

void lun_sync_close(struct lun_sync *y)
{
	if (!y)
		return;
	if (y->unused && !y->failed) {
		y->deadline_ms = 2000;
		(void)command(y, (struct pr_op){ .kind = PR_OP_REGISTER, .key = y->key }, NULL);
	}
	lun_session_free(y->session);
	if (y->wake_fd >= 0)
		(void)close(y->wake_fd);
	free(y);
}

/* ---- I/O ---- */

struct waiter {
	struct lun_io io; /* first */
	bool done;
	enum lun_result result;
};

static void on_io(struct lun_io *io, enum lun_result result)
{
	struct waiter *w = (struct waiter *)io;

	w->done = true;
	w->result = result;
}

/* The end of an I/O as an errno; what can only get worse makes the whole object fail. */
static int outcome(struct lun_sync *y, const struct lun_io *io, enum lun_result result)
{
	int e = result == LUN_REFUSED ? -EPERM /* no GO yet */ : lun_io_errno(io, result);

	return e == -EBADE || e == -ENOLINK ? fail(y, e, NULL) : e;
}

static int run(struct lun_sync *y, struct waiter *w)
{
	int64_t until = call_deadline(y);
	enum lun_result r;

	w->io.done = on_io;
	r = lun_submit(lun_session_data(y->session), &w->io);
	if (r != LUN_OK)
		return outcome(y, &w->io, r);
	while (!w->done)
		if (turn(y, until) < 0)
			return y->failed;
	return outcome(y, &w->io, w->result);
}

static int transfer(struct lun_sync *y, enum lun_dir dir, void *buf, size_t len, uint64_t offset,
		    bool fua)
{
	while (len && !y->failed) {
		struct iovec iov = { buf, len < LUN_IO_BYTES_MAX ? len : LUN_IO_BYTES_MAX };
		struct waiter w = { .io = { .dir = dir,
					    .fua = fua,
					    .offset = offset,
					    .length = (uint32_t)iov.iov_len,
					    .iov = &iov,
					    .iovcnt = 1 } };
		int r = run(y, &w);

		if (r < 0)
			return r;
		buf = (char *)buf + iov.iov_len;
		offset += iov.iov_len;
		len -= iov.iov_len;
	}
	return y->failed;
}

int lun_sync_pread(struct lun_sync *y, void *buf, size_t len, uint64_t offset)
{
	return transfer(y, LUN_READ, buf, len, offset, false);
}

int lun_sync_pwrite(struct lun_sync *y, const void *buf, size_t len, uint64_t offset, bool fua)
{
	return transfer(y, LUN_WRITE, (void *)(uintptr_t)buf, len, offset, fua);
}

int lun_sync_flush(struct lun_sync *y)
{
	struct waiter w = { .io = { .dir = LUN_FLUSH } };

	return y->failed ? y->failed : run(y, &w);
}

void lun_sync_set_deadline(struct lun_sync *y, uint32_t ms)
{
	y->deadline_ms = ms;
}

const char *lun_sync_reason(const struct lun_sync *y)
{
	return y->why.msg;
}

uint64_t lun_sync_key(const struct lun_sync *y)
{
	return y->key;
}

uint64_t lun_sync_bytes(const struct lun_sync *y)
{
	return y->bytes;
}

uint32_t lun_sync_block_size(const struct lun_sync *y)
{
	return y->block_size;
}

/* In another thread: only the flags and the descriptor. The flag goes before its wake. */
static void wake(struct lun_sync *y, _Atomic bool *flag)
{
	uint64_t one = 1;

	atomic_store(flag, true);
	(void)!write(y->wake_fd, &one, sizeof(one));
}

void lun_sync_break(struct lun_sync *y)
{
	wake(y, &y->broken);
}

void lun_sync_barrier_answered(struct lun_sync *y)
{
	wake(y, &y->barrier);
}
