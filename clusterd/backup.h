/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cluster database as a JSON document, for `clusterctl backup` and `restore`. The state is in it as
 * hexadecimal of quorum/state.h's bytes, with a checksum; the rest is for people and for the new line.
 */
#ifndef CL_CLUSTERD_BACKUP_H
#define CL_CLUSTERD_BACKUP_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "clusterd/core/node.h"
#include "lib/error.h"

#define BACKUP_FORMAT 1
#define BACKUP_BYTES_MAX (64 * 1024 * 1024)

/* {"backup":{...}} of that state of the node; NULL without memory. */
json_t *backup_make(const struct node *node, const struct state *state);

struct backup {
	uint64_t line;
	uint8_t *state; /* owned */
	size_t len;
};

/* From a file that an operator names: hostile until checked. -CL_ECORRUPT, -EPROTONOSUPPORT or the
 * file's error. */
int backup_read(const char *path, struct backup *ret, struct cl_error *err);
void backup_fini(struct backup *b);

#endif
