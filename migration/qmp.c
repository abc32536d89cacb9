/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/vec.h"
#include "migration/qmp_stream.h"

#define OUT_MAX (1U << 20) /* unsent bytes: a QEMU that reads nothing is cut off */

struct pending {
	uint64_t id;
	struct cl_mono deadline;
	qmp_reply_fn fn;
	void *user;
};

CL_DEFINE_VEC(pending_vec, struct pending);

struct qmp {
	struct cl_loop *loop;
	const struct qmp_ops *ops;
	void *user;
	int fd;
	struct cl_source *io, *timer;
	struct qmp_stream in;
	char *out;
	size_t out_len;
	int pass_fd; /* leaves with the byte at pass_at of what is unsent; -1 = none */
	size_t pass_at;
	struct pending_vec pending;
	uint64_t next_id;
	bool greeted, ready, closed;
	/* Callbacks on the stack; the memory goes when the last one has returned. */
	int depth;
	bool freed;
};

static void release(struct qmp *qmp)
{
	cl_source_free(qmp->io);
	cl_source_free(qmp->timer);
	if (qmp->fd >= 0)
		close(qmp->fd);
	qmp_stream_fini(&qmp->in);
	free(qmp->out);
	cl_closep(&qmp->pass_fd);
	pending_vec_fini(&qmp->pending);
	free(qmp);
}

static void enter(struct qmp *qmp)
{
	qmp->depth++;
}

static void leave(struct qmp *qmp)
{
	if (--qmp->depth == 0 && qmp->freed)
		release(qmp);
}

void qmp_free(struct qmp *qmp)
{
	if (!qmp)
		return;
	qmp->freed = qmp->closed = true;
	if (qmp->depth == 0)
		release(qmp);
}

static void answer(struct qmp *qmp, size_t i, const json_t *result, const struct cl_error *err)
{
	struct pending p = qmp->pending.v[i];

	pending_vec_remove(&qmp->pending, i);
	if (p.fn && !qmp->freed)
		p.fn(p.user, result, err);
}

/* The connection is over: everybody who waits is told, then the owner. */
static void hang_up(struct qmp *qmp, const struct cl_error *why)
{
	struct cl_error lost = CL_ERROR_INIT;

	if (qmp->closed)
		return;
	qmp->closed = true;
	cl_source_free(cl_steal(qmp->io));
	cl_source_free(cl_steal(qmp->timer));
	cl_error_set(&lost, -ECONNRESET, "%s", why->msg);
	while (qmp->pending.n && !qmp->freed)
		answer(qmp, 0, NULL, &lost);
	if (!qmp->freed)
		qmp->ops->closed(qmp->user, why);
}

static void arm_timer(struct qmp *qmp)
{
	struct cl_mono first = { INT64_MAX };

	for (size_t i = 0; i < qmp->pending.n; i++)
		if (qmp->pending.v[i].deadline.ns < first.ns)
			first = qmp->pending.v[i].deadline;
	if (first.ns == INT64_MAX)
		cl_timer_cancel(qmp->timer);
	else
		cl_timer_set(qmp->timer, first);
}

static void on_deadline(void *user)
{
	struct qmp *qmp = user;
	struct cl_mono now = cl_mono_now();
	struct cl_error late = CL_ERROR_INIT;

	cl_error_set(&late, -ETIMEDOUT, "qemu does not answer");
	enter(qmp);
	for (size_t i = 0; i < qmp->pending.n && !qmp->closed;)
		if (qmp->pending.v[i].deadline.ns <= now.ns)
			answer(qmp, i, NULL, &late), i = 0;
		else
			i++;
	if (!qmp->closed)
		arm_timer(qmp);
	leave(qmp);
}

static ssize_t send_with_fd(struct qmp *qmp)
{
	struct iovec iov = { qmp->out, qmp->out_len };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &qmp->pass_fd, sizeof(int));
	n = sendmsg(qmp->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0) {
		cl_closep(&qmp->pass_fd);
		qmp->pass_fd = -1;
	}
	return n;
}

/* A descriptor belongs to the command that it is sent with, not to one before it. */
static ssize_t send_some(struct qmp *qmp)
{
	ssize_t n;

	if (qmp->pass_fd >= 0 && qmp->pass_at == 0)
		return send_with_fd(qmp);
	n = send(qmp->fd, qmp->out, qmp->pass_fd >= 0 ? qmp->pass_at : qmp->out_len,
		 MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0 && qmp->pass_fd >= 0)
		qmp->pass_at -= (size_t)n;
	return n;
}

static int flush_out(struct qmp *qmp)
{
	while (qmp->out_len) {
		ssize_t n = send_some(qmp);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -errno;
		qmp->out_len -= (size_t)n;
		memmove(qmp->out, qmp->out + n, qmp->out_len);
	}
	return cl_fd_set_events(qmp->io, qmp->out_len ? POLLIN | POLLOUT : POLLIN);
}

static int queue_text(struct qmp *qmp, const char *text, size_t len)
{
	char *out;

	if (qmp->out_len + len + 1 > OUT_MAX)
		return -ENOBUFS;
	out = realloc(qmp->out, qmp->out_len + len + 1);
	if (!out)
		return -ENOMEM;
	qmp->out = out;
	memcpy(out + qmp->out_len, text, len);
	out[qmp->out_len + len] = '\n';
	qmp->out_len += len + 1;
	return 0;
}

static int send_command(struct qmp *qmp, uint64_t id, const char *command, json_t *args)
{
	_cleanup_free_ char *text = NULL;
	json_t *msg = json_pack("{s:s, s:I}", "execute", command, "id", (json_int_t)id);
	int r;

	if (args && (!msg || json_object_set(msg, "arguments", args) < 0)) {
		json_decref(msg);
		return -ENOMEM;
	}
	text = msg ? json_dumps(msg, JSON_COMPACT) : NULL;
	json_decref(msg);
	if (!text)
		return -ENOMEM;
	r = queue_text(qmp, text, strlen(text));
	if (r == 0)
		log_debug("qmp: > %s", text);
	/* A failed send shows as the end of the connection, from the loop. */
	return r < 0 ? r : (flush_out(qmp), 0);
}

static int exec(struct qmp *qmp, const char *command, json_t *args, int64_t timeout_ms,
		qmp_reply_fn fn, void *user)
{
	struct pending p = { .id = qmp->next_id,
			     .deadline = cl_mono_add_ms(cl_mono_now(), timeout_ms),
			     .fn = fn,
			     .user = user };
	int r = pending_vec_push(&qmp->pending, p);

	if (r < 0)
		return r;
	r = send_command(qmp, p.id, command, args);
	if (r < 0) {
		pending_vec_remove(&qmp->pending, qmp->pending.n - 1);
		return r;
	}
	qmp->next_id++;
	arm_timer(qmp);
	return 0;
}

int qmp_exec(struct qmp *qmp, const char *command, json_t *args, int64_t timeout_ms,
	     qmp_reply_fn fn, void *user)
{
	int r = qmp->closed || !qmp->ready ? -ENOTCONN
					   : exec(qmp, command, args, timeout_ms, fn, user);

	json_decref(args);
	return r;
}

int qmp_exec_fd(struct qmp *qmp, const char *command, json_t *args, int fd, int64_t timeout_ms,
		qmp_reply_fn fn, void *user)
{
	int r = qmp->closed || !qmp->ready ? -ENOTCONN : qmp->pass_fd >= 0 ? -EBUSY : 0;

	if (r == 0) {
		qmp->pass_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		qmp->pass_at = qmp->out_len;
		r = qmp->pass_fd < 0 ? -errno : exec(qmp, command, args, timeout_ms, fn, user);
		if (r < 0) {
			cl_closep(&qmp->pass_fd);
			qmp->pass_fd = -1;
		}
	}
	json_decref(args);
	return r;
}

static void on_capabilities(void *user, const json_t *result, const struct cl_error *err)
{
	struct qmp *qmp = user;

	(void)result;
	if (err) {
		hang_up(qmp, err);
		return;
	}
	qmp->ready = true;
	qmp->ops->ready(qmp->user);
}

static int on_answer(struct qmp *qmp, const struct qmp_msg *msg, struct cl_error *err)
{
	struct cl_error failed = CL_ERROR_INIT;

	if (!msg->has_id && msg->kind == QMP_ERROR)
		return cl_error_set(err, -EPROTO, "qmp: qemu says: %.200s", msg->desc);
	if (!msg->has_id || msg->id >= qmp->next_id)
		return cl_error_set(err, -EPROTO, "qmp: an answer that nobody asked for");
	for (size_t i = 0; i < qmp->pending.n; i++) {
		if (qmp->pending.v[i].id != msg->id)
			continue;
		if (msg->kind == QMP_ERROR)
			cl_error_set(&failed, -EIO, "%.300s", msg->desc);
		answer(qmp, i, msg->kind == QMP_ERROR ? NULL : msg->data,
		       msg->kind == QMP_ERROR ? &failed : NULL);
		if (!qmp->closed)
			arm_timer(qmp);
		return 0;
	}
	return 0; /* its deadline had passed */
}

static int on_greeting(struct qmp *qmp, struct cl_error *err)
{
	int r;

	if (qmp->greeted)
		return cl_error_set(err, -EPROTO, "qmp: a second greeting");
	qmp->greeted = true;
	r = exec(qmp, "qmp_capabilities", NULL, 60000, on_capabilities, qmp);
	return r < 0 ? cl_error_errno(err, r, "qmp: qmp_capabilities") : 0;
}

static int dispatch(struct qmp *qmp, const struct qmp_msg *msg, struct cl_error *err)
{
	switch (msg->kind) {
	case QMP_GREETING:
		return on_greeting(qmp, err);
	case QMP_EVENT:
		if (qmp->ready)
			qmp->ops->event(qmp->user, msg->event, msg->data, msg->time_us);
		return 0;
	case QMP_RETURN:
	case QMP_ERROR:
		return on_answer(qmp, msg, err);
	}
	return 0;
}

static int drain_messages(struct qmp *qmp, struct cl_error *err)
{
	int r;

	while (!qmp->closed) {
		struct qmp_msg msg;

		r = qmp_stream_next(&qmp->in, &msg, err);
		if (r <= 0)
			return r;
		if (cl_log_enabled(CL_LOG_DEBUG)) {
			_cleanup_free_ char *text = json_dumps(msg.root, JSON_COMPACT);

			log_debug("qmp: < %.600s", text ? text : "?");
		}
		r = dispatch(qmp, &msg, err);
		qmp_msg_fini(&msg);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One read a turn: a QEMU that talks without pause does not starve the loop. */
static int receive(struct qmp *qmp, struct cl_error *err)
{
	char *at;
	ssize_t n;

	if (qmp_stream_reserve(&qmp->in, 16384, &at) < 0)
		return cl_error_errno(err, -ENOMEM, "qmp");
	n = recv(qmp->fd, at, 16384, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return cl_error_errno(err, -errno, "qmp");
	if (n == 0)
		return cl_error_set(err, -ECONNRESET, "qmp: qemu closed the connection");
	qmp_stream_commit(&qmp->in, (size_t)n);
	return drain_messages(qmp, err);
}

static void on_io(void *user, int fd, uint32_t revents)
{
	struct qmp *qmp = user;
	struct cl_error err = CL_ERROR_INIT;
	int r = 0;

	(void)fd;
	enter(qmp);
	if (revents & POLLOUT)
		r = flush_out(qmp);
	if (r < 0)
		cl_error_errno(&err, r, "qmp: send");
	else if (revents & (POLLIN | POLLERR | POLLHUP))
		r = receive(qmp, &err);
	if (r < 0 && !qmp->closed)
		hang_up(qmp, &err);
	leave(qmp);
}

static int connect_to(const char *path, struct cl_error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (strlen(path) >= sizeof(addr.sun_path))
		return cl_error_set(err, -ENAMETOOLONG, "%s: too long for a socket", path);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return cl_error_errno(err, -errno, "socket");
	/* The launcher made the socket listen before QEMU existed: no waiting, no second try. */
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return cl_error_errno(err, -errno, "connect to %s", path);
	return cl_steal_fd(&fd);
}

int qmp_open(struct cl_loop *loop, const char *path, const struct qmp_ops *ops, void *user,
	     struct qmp **ret, struct cl_error *err)
{
	_cleanup_(qmp_freep) struct qmp *qmp = calloc(1, sizeof(*qmp));
	int r;

	if (!qmp)
		return cl_error_errno(err, -ENOMEM, "qmp");
	*qmp = (struct qmp){ .loop = loop, .ops = ops, .user = user, .next_id = 1, .pass_fd = -1 };
	qmp->fd = connect_to(path, err);
	if (qmp->fd < 0)
		return qmp->fd;
	r = cl_timer_new(loop, on_deadline, qmp, &qmp->timer);
	if (r == 0)
		r = cl_fd_new(loop, qmp->fd, POLLIN, on_io, qmp, &qmp->io);
	if (r < 0)
		return cl_error_errno(err, r, "qmp");
	*ret = cl_steal(qmp);
	return 0;
}
