/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way to a coordinator on another node: two TCP connections, control and bulk. One attempt: it
 * comes up as a whole or goes down as a whole; the owner makes another when it likes.
 */
#ifndef CL_CSV_LINK_H
#define CL_CSV_LINK_H

#include "csv/wire.h"
#include "lib/loop.h"
#include "lib/tls.h"

struct link;

struct link_ops {
	void (*up)(void *user);
	/* body borrowed. false = the message was not acceptable: the link goes down. */
	bool (*input)(void *user, const Csv__Message *msg);
	/* Once, from the loop. The owner frees the link, here or later. */
	void (*down)(void *user, const char *why);
};

/* from: this node's storage address; to: the coordinator's. tls: NULL = plain; else the other side's
 * certificate has to name `peer`. Does not block. */
int link_new(struct cl_loop *loop, const char *from, const char *to, struct cl_tls_creds *tls,
	     const char *peer, const struct link_ops *ops, void *user, struct link **ret,
	     struct cl_error *err);
void link_free(struct link *link);
bool link_send(struct link *link, bool bulk, const Csv__Message *msg);

#endif
