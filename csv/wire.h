/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What both ends of a csvd-to-csvd connection agree on, besides proto/csv.proto. */
#ifndef CL_CSV_WIRE_H
#define CL_CSV_WIRE_H

#include "proto/csv.pb-c.h"
#include "proto/conn.h"

#define CSV_PORT 7411
#define CSV_FRAME_MESSAGE FRAME_TYPE_FIRST
#define CSV_QUEUE_MAX (384u << 20) /* of unsent bytes: every request of a mount at once, and more */
/* A node that answers nothing for so long is as good as gone: connect again, or to its successor. */
#define CSV_USER_TIMEOUT_MS 5000

extern const struct frame_hello csv_hello;

/* Queue msg on conn. false: the connection is broken; its on_closed follows. */
bool csv_wire_send(struct frame_conn *conn, const Csv__Message *msg);

/* TCP_NODELAY, TCP_USER_TIMEOUT, keepalive. */
void csv_wire_tune(int fd);

#endif
