/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FUSE front end of one mount: reads requests, makes calls of them, writes replies.
 *
 * The descriptor and the state memfd belong to the keeper and outlive this process. The state holds
 * the mount's number and the kernel's INIT with our answer to it, so that the next csvd can take the
 * connection over: it feeds the stored INIT to libfuse, asks the kernel to send again what was not
 * answered (FUSE_NOTIFY_RESEND), and only then reads. Values negotiated by the first csvd stay until
 * the mount ends.
 *
 * Every buffer that /dev/fuse is read into or replied from must be faulted in (mlockall, before
 * anything here): where a page is missing at the moment of a SIGKILL, the kernel answers EIO to the
 * application instead of keeping the request for the next csvd.
 */
#ifndef CL_CSV_FRONT_H
#define CL_CSV_FRONT_H

#include "csv/client.h"
#include "lib/error.h"
#include "lib/loop.h"

struct front;

struct front_hooks {
	void (*gone)(void *user); /* the mount has ended (unmounted, or the connection aborted) */
	void *user;
};

struct mount_state;

/* Maps the memfd (taken over). A fresh one gets its number here; one that has one keeps it. */
int front_state_open(int memfd, struct mount_state **ret, struct cl_error *err);
void front_state_close(struct mount_state *state); /* accepts NULL */
uint64_t front_state_mount(const struct mount_state *state);
struct holding_shared *front_state_holding(struct mount_state *state);

/*
 * fd is taken over (closed at the end; the keeper has its own). Calls go to client; state and client
 * are borrowed and outlive the front's last use. Begins to read at once.
 */
int front_new(struct cl_loop *loop, const char *name, int fd, struct mount_state *state,
	      struct client *client, const struct front_hooks *hooks, struct front **ret,
	      struct cl_error *err);
/* The client must have been freed before: its calls are answered through here. */
void front_free(struct front *front);

#endif
