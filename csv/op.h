/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about kinds of operations that client and coordinator must agree on. Pure. */
#ifndef CL_CSV_OP_H
#define CL_CSV_OP_H

#include <stdbool.h>

#include "proto/csv.pb-c.h"

#define OP_SET_MODE (1u << 0) /* bits of `valid`: FUSE_SET_ATTR_MODE, */
#define OP_SET_SIZE (1u << 3) /* FUSE_SET_ATTR_SIZE */

#define OP_SYNC_DATA 1 /* flags of FSYNC: fdatasync(2), which owes no times */

/* Doing it a second time has the same effect and answer. If not, its answer is put on record. */
bool op_repeatable(const Csv__Op *op);

/* Goes over the bulk connection. */
bool op_is_bulk(const Csv__Op *op);

#endif
