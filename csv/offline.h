/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work on a volume whose file system is closed: e2fsck, growing, wiping. It runs in the coordinator's
 * place and thread, over the coordinator's own data session: a key that the control session permitted
 * and saw, a GO from the log. So whoever fences this node fences the work, and no node can begin to
 * serve the volume beside it.
 *
 * The tools want a file. This process serves them one: a FUSE mount of a single regular file in a
 * private directory, each read and write of which is one on the LUN, uncached. A tool is a child that
 * dies with this thread; at the first error of the LUN it is killed, so that it does not decide
 * anything upon blocks that it could not read.
 */
#ifndef CL_CSV_OFFLINE_H
#define CL_CSV_OFFLINE_H

#include <stdatomic.h>

#include "csv/coord.h"
#include "proto/volume.pb-c.h"

struct offline_job {
	uint64_t id;
	uint32_t kind; /* Vol.Job.Kind: CHECK_OFFLINE, GROW, WIPE */
	bool change;   /* CHECK_OFFLINE: repair */
	uint8_t volume[16], cluster[16];
	char name[64];
	const _Atomic int64_t *lease_until_ms;
};

/* For coord_config.job; user is a struct offline_job. Answers the job before it returns. */
int offline_run(void *user, struct coord *coord, struct fs_dev *dev, struct cl_error *err);

#endif
