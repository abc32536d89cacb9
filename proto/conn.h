/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A framed connection on the loop: owns a non-blocking stream socket, says HELLO, negotiates, hands
 * in frames and queues frames out. One bad byte, an unknown version or a full output queue ends it:
 * on_closed is then called once, with the reason, from the loop (never from within a call that the
 * owner made).
 */
#ifndef CL_PROTO_CONN_H
#define CL_PROTO_CONN_H

#include "lib/loop.h"
#include "lib/stream.h"
#include "proto/frame.h"

struct frame_conn;

struct frame_conn_ops {
	/* Version agreed; from here frames may be sent. May be NULL. */
	void (*on_ready)(void *user, uint16_t version);
	/* One frame of the protocol (type >= FRAME_TYPE_FIRST). Body borrowed for the call. */
	void (*on_frame)(void *user, const struct frame *frame);
	/* The other end is gone or broke the rules. The owner frees the connection, here or later.
	 */
	void (*on_closed)(void *user, const struct cl_error *why);
};

/*
 * Takes over fd (made non-blocking; closed with the connection, on failure too). hello.protocol and
 * versions as in frame.h. queue_max = how many unsent bytes may pile up before the peer counts as
 * hung (0: 8 MiB). The callbacks may call anything of this header, frame_conn_free() included.
 */
int frame_conn_new(struct cl_loop *loop, int fd, const struct frame_hello *hello, size_t queue_max,
		   const struct frame_conn_ops *ops, void *user, struct frame_conn **ret);

/* The same over a stream on fd (TLS), which is taken over too. HELLO goes out after its handshake; one
 * that fails is on_closed(), with the stream's reason. */
int frame_conn_new_on(struct cl_loop *loop, int fd, struct cl_stream stream,
		      const struct frame_hello *hello, size_t queue_max,
		      const struct frame_conn_ops *ops, void *user, struct frame_conn **ret);

/* Accepts NULL. No callback runs after it. */
void frame_conn_free(struct frame_conn *conn);

/*
 * Queue one frame (type >= FRAME_TYPE_FIRST, len <= FRAME_BODY_MAX: asserted). Before on_ready:
 * -ENOTCONN. -EPIPE once closed, -ENOBUFS when the queue is full (the connection then ends).
 */
int frame_conn_send(struct frame_conn *conn, uint16_t type, const void *body, size_t len);

CL_DEFINE_CLEANUP(struct frame_conn, frame_conn_free);

#endif
