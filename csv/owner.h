/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a tagged handle may do, by the owner table of the log. Pure. This is the rule that makes a
 * stale owner's write fail at the file: (resource, generation) of the handle against the owner's.
 */
#ifndef CL_CSV_OWNER_H
#define CL_CSV_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/volume.pb-c.h"

enum owner_verdict {
	OWNER_ALLOW,
	OWNER_WAIT,  /* not yet, or the table is older than the handle: decide with the next one */
	OWNER_STALE, /* its time is over (ESTALE) */
};

/*
 * writes: the operation changes data or takes a lock. resource "" = not tagged: allowed.
 * A table without the resource means that this node has not heard of it yet: wait.
 */
enum owner_verdict owner_judge(const Vol__Tables *tables, const char *resource, uint64_t generation,
			       bool writes);

#endif
