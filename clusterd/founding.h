/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `init` and `join` on a machine that is in no cluster yet: its corosync has to be given a
 * configuration first, made here or fetched from a member by a token; then corosync comes up, the core
 * with it, and the core is asked. One at a time.
 */
#ifndef CL_CLUSTERD_FOUNDING_H
#define CL_CLUSTERD_FOUNDING_H

#include "clusterd/core/node.h"
#include "lib/error.h"
#include "proto/ipc.pb-c.h"

struct daemon;
struct founding;

int founding_new(struct daemon *d, struct founding **ret);
void founding_free(struct founding *f);

/* Begins; the client is answered by ipc.h, or by the core to whom it is given on. */
int founding_init(struct founding *f, uint64_t client, const Ipc__Request *msg,
		  struct cl_error *err);
int founding_join(struct founding *f, uint64_t client, const Ipc__Request *msg,
		  struct cl_error *err);
/* The core is there. */
void founding_core_up(struct founding *f);
void founding_client_gone(struct founding *f, uint64_t client);

/* A newer configuration for a corosync of ours, from a member: written, and corosync started or told. */
int founding_take_conf(struct daemon *d, const char *text, const void *key, size_t key_len,
		       struct cl_error *err);

/* `create token`: the token's text. */
int founding_token(struct daemon *d, int64_t seconds, char *ret, size_t size, struct cl_error *err);

#endif
