/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is not asked of clusterd before a person has said it twice. */
#ifndef CL_CLUSTERCTL_CONFIRM_H
#define CL_CLUSTERCTL_CONFIRM_H

#include <stdio.h>

#include "clusterctl/args.h"

/*
 * `fence confirm NODE` without --yes: says on `out` what it means and reads the node's name from `in`.
 * Returns 0, also for every other verb, or -EINVAL when the line is not exactly the name.
 * May block on in.
 */
int confirm_typed(struct args *args, FILE *in, FILE *out, struct cl_error *err);

#endif
