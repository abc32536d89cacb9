/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "proto/conn.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/assert.h"

#define READ_SIZE (64 * 1024)
#define QUEUE_DEFAULT (8 * 1024 * 1024)

struct frame_conn {
	int fd;
	struct cl_stream stream; /* ops NULL: the bare socket */
	bool shaken;		 /* its handshake is over */
	struct frame_hello hello;
	uint16_t version; /* 0 until agreed */
	const struct frame_conn_ops *ops;
	void *user;
	struct cl_source *io, *closing;
	struct frame_reader in;
	uint8_t *out;
	size_t out_start, out_end, out_cap, out_max;
	struct cl_error why; /* code != 0: closed, on_closed is due or done */
	unsigned depth;	     /* inside callbacks */
	bool doomed;	     /* freed from within a callback */
};

static void conn_destroy(struct frame_conn *conn)
{
	cl_source_free(conn->io);
	cl_source_free(conn->closing);
	if (conn->stream.ops)
		conn->stream.ops->free(conn->stream.stream);
	if (conn->fd >= 0)
		(void)close(conn->fd);
	frame_reader_fini(&conn->in);
	free(conn->out);
	free(conn);
}

void frame_conn_free(struct frame_conn *conn)
{
	if (!conn)
		return;
	if (conn->depth) {
		conn->doomed = true;
		return;
	}
	conn_destroy(conn);
}

static void conn_enter(struct frame_conn *conn)
{
	conn->depth++;
}

/* True when the owner freed it meanwhile: touch it no more. */
static bool conn_leave(struct frame_conn *conn)
{
	if (--conn->depth || !conn->doomed)
		return false;
	conn_destroy(conn);
	return true;
}

/* Ends the connection; the owner hears of it from the loop, not from inside its own call. */
static void conn_fail(struct frame_conn *conn, const struct cl_error *why)
{
	if (conn->why.code)
		return;
	conn->why = *why;
	cl_source_free(conn->io);
	conn->io = NULL;
	(void)shutdown(conn->fd, SHUT_RDWR);
	(void)cl_timer_set_in(conn->closing, 0);
}

static void conn_fail_errno(struct frame_conn *conn, int code, const char *what)
{
	struct cl_error why = CL_ERROR_INIT;

	(void)cl_error_errno(&why, code, "%s", what);
	conn_fail(conn, &why);
}

static void on_closing(void *user)
{
	struct frame_conn *conn = user;

	conn_enter(conn);
	conn->ops->on_closed(conn->user, &conn->why);
	(void)conn_leave(conn);
}

/* As the stream's: bytes or a negative errno. */
static ssize_t conn_send(struct frame_conn *conn, const void *data, size_t len)
{
	ssize_t n;

	if (conn->stream.ops)
		return conn->stream.ops->send(conn->stream.stream, data, len);
	n = send(conn->fd, data, len, MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

static ssize_t conn_recv(struct frame_conn *conn, void *data, size_t len)
{
	ssize_t n;

	if (conn->stream.ops)
		return conn->stream.ops->recv(conn->stream.stream, data, len);
	n = recv(conn->fd, data, len, 0);
	return n < 0 ? -errno : n;
}

static void conn_flush(struct frame_conn *conn)
{
	while (conn->shaken && conn->out_start < conn->out_end) {
		ssize_t n = conn_send(conn, conn->out + conn->out_start,
				      conn->out_end - conn->out_start);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN)
			break;
		if (n < 0) {
			conn_fail_errno(conn, (int)n, "send");
			return;
		}
		conn->out_start += (size_t)n;
	}
	if (conn->out_start == conn->out_end)
		conn->out_start = conn->out_end = 0;
	(void)cl_fd_set_events(conn->io, conn->out_end ? POLLIN | POLLOUT : POLLIN);
}

static int conn_queue(struct frame_conn *conn, const void *data, size_t n)
{
	size_t used = conn->out_end - conn->out_start;
	size_t cap = conn->out_cap ? conn->out_cap : 4096;
	uint8_t *out;

	if (conn->out_start) {
		memmove(conn->out, conn->out + conn->out_start, used);
		conn->out_start = 0;
		conn->out_end = used;
	}
	while (cap < used + n)
		cap *= 2;
	if (cap > conn->out_cap) {
		out = realloc(conn->out, cap);
		if (!out)
			return -ENOMEM;
		conn->out = out;
		conn->out_cap = cap;
	}
	if (n)
		memcpy(conn->out + conn->out_end, data, n);
	conn->out_end += n;
	return 0;
}

int frame_conn_send(struct frame_conn *conn, uint16_t type, const void *body, size_t len)
{
	uint8_t header[FRAME_HEADER_SIZE];
	int r;

	cl_assert(type >= FRAME_TYPE_FIRST && len <= FRAME_BODY_MAX);
	if (conn->why.code)
		return -EPIPE;
	if (!conn->version)
		return -ENOTCONN;
	if (conn->out_end - conn->out_start + sizeof(header) + len > conn->out_max) {
		conn_fail_errno(conn, -ENOBUFS, "the other side does not read");
		return -ENOBUFS;
	}
	frame_put_header(header, conn->version, type, (uint32_t)len);
	r = conn_queue(conn, header, sizeof(header));
	if (r == 0)
		r = conn_queue(conn, body, len);
	if (r < 0) {
		conn_fail_errno(conn, r, "queue"); /* half a frame may be in it */
		return r;
	}
	conn_flush(conn);
	return conn->why.code ? -EPIPE : 0;
}

static int conn_on_hello(struct frame_conn *conn, const struct frame *frame, struct cl_error *err)
{
	struct frame_hello theirs;
	int r = frame_get_hello(frame, &theirs, err);

	if (r < 0)
		return r;
	r = frame_negotiate(&conn->hello, &theirs, err);
	if (r < 0)
		return r;
	conn->version = (uint16_t)r;
	if (conn->ops->on_ready)
		conn->ops->on_ready(conn->user, conn->version);
	return 0;
}

static int conn_on_frame(struct frame_conn *conn, const struct frame *frame, struct cl_error *err)
{
	if (!conn->version)
		return conn_on_hello(conn, frame, err);
	if (frame->version != conn->version || frame->type < FRAME_TYPE_FIRST)
		return cl_error_set(err, -CL_ECORRUPT, "frame of version %u type %u, agreed was %u",
				    frame->version, frame->type, conn->version);
	conn->ops->on_frame(conn->user, frame);
	return 0;
}

static void conn_drain_frames(struct frame_conn *conn)
{
	struct cl_error err = CL_ERROR_INIT;
	struct frame frame;
	int r = 0;

	while (!conn->why.code && !conn->doomed &&
	       (r = frame_reader_next(&conn->in, &frame, &err)) > 0) {
		r = conn_on_frame(conn, &frame, &err);
		if (r < 0)
			break;
	}
	if (r < 0)
		conn_fail(conn, &err);
}

/* One read per turn of the loop: a busy peer does not starve the others. */
static void conn_read(struct frame_conn *conn)
{
	uint8_t *room;
	ssize_t n;
	int r = frame_reader_space(&conn->in, READ_SIZE, &room);

	if (r < 0) {
		conn_fail_errno(conn, r, "read");
		return;
	}
	n = conn_recv(conn, room, READ_SIZE);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n < 0) {
		conn_fail_errno(conn, (int)n, "read");
		return;
	}
	if (n == 0) {
		conn_fail_errno(conn, -ECONNRESET, "closed by the other side");
		return;
	}
	frame_reader_filled(&conn->in, (size_t)n);
	conn_drain_frames(conn);
}

static void conn_shake(struct frame_conn *conn)
{
	const struct cl_stream *s = &conn->stream;
	struct cl_error why = CL_ERROR_INIT;
	int r = s->ops ? s->ops->handshake(s->stream, &why) : 1;

	if (r < 0) {
		conn_fail(conn, &why);
		return;
	}
	if (r == 0) {
		(void)cl_fd_set_events(conn->io, s->ops->wants_write(s->stream) ? POLLOUT : POLLIN);
		return;
	}
	conn->shaken = true;
	conn_flush(conn);
}

static void on_io(void *user, int fd, uint32_t revents)
{
	struct frame_conn *conn = user;

	(void)fd;
	conn_enter(conn);
	if (!conn->shaken) {
		conn_shake(conn);
		(void)conn_leave(conn);
		return;
	}
	if (revents & POLLOUT)
		conn_flush(conn);
	if (!conn->why.code && (revents & (POLLIN | POLLHUP | POLLERR)))
		conn_read(conn);
	(void)conn_leave(conn);
}

static int conn_setup(struct frame_conn *conn, struct cl_loop *loop)
{
	uint8_t hello[FRAME_HEADER_SIZE + FRAME_HELLO_BODY];
	int flags = fcntl(conn->fd, F_GETFL);
	int r;

	if (flags < 0 || fcntl(conn->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	r = cl_timer_new(loop, on_closing, conn, &conn->closing);
	if (r == 0)
		r = cl_fd_new(loop, conn->fd, POLLIN, on_io, conn, &conn->io);
	frame_put_hello(hello, &conn->hello);
	if (r == 0)
		r = conn_queue(conn, hello, sizeof(hello));
	if (r == 0)
		conn_shake(conn);
	return r;
}

int frame_conn_new(struct cl_loop *loop, int fd, const struct frame_hello *hello, size_t queue_max,
		   const struct frame_conn_ops *ops, void *user, struct frame_conn **ret)
{
	return frame_conn_new_on(loop, fd, (struct cl_stream){ 0 }, hello, queue_max, ops, user,
				 ret);
}

int frame_conn_new_on(struct cl_loop *loop, int fd, struct cl_stream stream,
		      const struct frame_hello *hello, size_t queue_max,
		      const struct frame_conn_ops *ops, void *user, struct frame_conn **ret)
{
	struct frame_conn *conn = calloc(1, sizeof(*conn));
	int r;

	if (!conn) {
		if (stream.ops)
			stream.ops->free(stream.stream);
		(void)close(fd);
		return -ENOMEM;
	}
	conn->fd = fd;
	conn->stream = stream;
	conn->hello = *hello;
	conn->ops = ops;
	conn->user = user;
	conn->out_max = queue_max ? queue_max : QUEUE_DEFAULT;
	r = conn_setup(conn, loop);
	if (r < 0) {
		conn_destroy(conn);
		return r;
	}
	*ret = conn;
	return 0;
}
