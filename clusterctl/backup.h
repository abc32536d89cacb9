/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `backup` and `restore`: the file is the client's. */
#ifndef CL_CLUSTERCTL_BACKUP_H
#define CL_CLUSTERCTL_BACKUP_H

#include <jansson.h>

#include "clusterctl/args.h"
#include "lib/error.h"

/* Whether the verb's operand is a file that clusterd is not to see as a name. Then `args` is made ready
 * for it: backup has no operand, restore names the file with its whole path. */
int backup_prepare(struct args *args, struct cl_error *err);

/* The answer of `backup`, to the file: as a whole, synced, readable by its owner alone. */
int backup_write(const char *path, const json_t *result, struct cl_error *err);

#endif
