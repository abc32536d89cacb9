/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clusterd's side of clusterctl's IPC: libqb server in the loop. It knows requests and answers as
 * messages, not what they mean. Who may connect at all is decided by the peer's uid and groups.
 *
 * One connection has at most one request under way. Its answers are queued while the client does
 * not read, within a bound; a client beyond it is cut off.
 */
#ifndef CL_CLUSTERD_IPC_H
#define CL_CLUSTERD_IPC_H

#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"
#include "lib/loop.h"
#include "proto/ipc.pb-c.h"

struct ipc;

/* Each may do what the ones before it may. */
enum ipc_role {
	IPC_NONE,
	IPC_VIEW,  /* group clusterview: read */
	IPC_OP,	   /* group clusterop: start, stop, move, drain */
	IPC_ADMIN, /* root and group clusteradm: all */
};

struct ipc_who {
	uid_t uid;
	char user[32]; /* its name, or its number */
	enum ipc_role role;
};

struct ipc_ops {
	/* client: names this request from now on; never given twice. msg is borrowed. */
	void (*on_request)(void *user, uint64_t client, const struct ipc_who *who,
			   const Ipc__Request *msg);
	/* It was answered for good; why: NULL = it was done. Also from within an answer. */
	void (*on_end)(void *user, uint64_t client, const struct cl_error *why);
	/* Somebody in none of the groups wanted to connect. */
	void (*on_stranger)(void *user, const struct ipc_who *who);
	/* The client left before the last answer. */
	void (*on_gone)(void *user, uint64_t client);
};

/* One per process (libqb's server callbacks have no context before a connection exists). */
int ipc_new(struct cl_loop *loop, const char *service, const struct ipc_ops *ops, void *user,
	    struct ipc **ret, struct cl_error *err);
void ipc_free(struct ipc *ipc);

/* How many are connected. */
unsigned ipc_clients(const struct ipc *ipc);

/* Answers. A client that is gone is not an error: nothing happens. Strings are copied. */
void ipc_progress(struct ipc *ipc, uint64_t client, const char *json);
void ipc_done(struct ipc *ipc, uint64_t client, const char *json);
void ipc_fail(struct ipc *ipc, uint64_t client, const struct cl_error *error, const char *object);

/* The role of a user; pure but for the user database. Exposed for the test. */
enum ipc_role ipc_role_of(uid_t uid, gid_t gid);

CL_DEFINE_CLEANUP(struct ipc, ipc_free);

#endif
