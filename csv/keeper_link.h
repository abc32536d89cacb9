/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csvd's side of the conversation with its keeper. */
#ifndef CL_CSV_KEEPER_LINK_H
#define CL_CSV_KEEPER_LINK_H

#include "lib/error.h"
#include "lib/loop.h"

struct keeper_link;

struct keeper_ops {
	/* A mount stands: made on request, or left by an earlier csvd. fds are the callee's. */
	void (*mounted)(void *user, const char *name, int error, int fuse_fd, int state_fd);
	void (*unmounted)(void *user, const char *name);
	/* All that an earlier csvd left have been told. */
	void (*ready)(void *user);
};

/* sock and beat_fd are inherited from the keeper. Begins to beat; says hello. */
int keeper_link_new(struct cl_loop *loop, int sock, int beat_fd, const struct keeper_ops *ops,
		    void *user, struct keeper_link **ret, struct cl_error *err);
void keeper_link_free(struct keeper_link *link);
void keeper_link_mount(struct keeper_link *link, const char *name);
void keeper_link_unmount(struct keeper_link *link, const char *name);

#endif
