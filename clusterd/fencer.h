/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fence agents that the core has ordered, while they run. See clusterd/fence.h. */
#ifndef CL_CLUSTERD_FENCER_H
#define CL_CLUSTERD_FENCER_H

#include "clusterd/core/node.h"
#include "lib/error.h"

struct fencer;
struct daemon;

int fencer_new(struct daemon *d, struct fencer **ret, struct cl_error *err);
/* Kills what runs. Accepts NULL. */
void fencer_free(struct fencer *fencer);

/* NODE_DO_FENCE; NODE_EV_FENCE follows, never from within. */
void fencer_do(struct fencer *fencer, const struct node_action *a);
void fencer_stop(struct fencer *fencer, uint64_t id);

#endif
