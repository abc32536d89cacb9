/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by front*.c: from the kernel's request to a call, from the result to a reply. */
#ifndef CL_CSV_FRONT_INT_H
#define CL_CSV_FRONT_INT_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "csv/front.h"

#define FRONT_MAX_WRITE (256 * 1024)

struct front;

struct client *front_client(struct front *front);
/* `unique` of the request that is being processed, without the RESEND bit; resent = it had it. */
uint64_t front_unique(const struct front *front, bool *ret_resent);
/* After the request has been processed: the kernel gave this one up. */
void front_interrupted(struct front *front, uint64_t unique);

extern const struct fuse_lowlevel_ops front_ops;

#endif
