/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A member's side of `join --token`: listens on its corosync address, port 7412, TLS 1.3. Nobody is
 * told anything before he has shown a token that is good, or a member's certificate.
 */
#ifndef CL_CLUSTERD_JOIN_H
#define CL_CLUSTERD_JOIN_H

#include <stddef.h>

#include "proto/conn.h"
#include "proto/join.pb-c.h"

#define JOIN_PORT 7412
enum { JOIN_TO_MEMBER = FRAME_TYPE_FIRST, JOIN_FROM_MEMBER };

struct daemon;
struct join;
struct sockaddr_storage;

extern const struct frame_hello join_hello;

int join_new(struct daemon *d, struct join **ret);
void join_free(struct join *join);
/* Its certificate, or its address, may be another one. */
void join_listen(struct join *join);

/* The first corosync address of this node. -ENOENT. */
int join_own_address(const struct daemon *d, char *ret, size_t size);
int join_send_to(struct frame_conn *conn, const Join__ToMember *msg);

#endif
