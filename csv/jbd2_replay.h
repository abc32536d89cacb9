/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The replay: reads the log from its tail, finds the last whole transaction, and gives out the
 * newest copy of every logged block that was not revoked later. Tolerates any damage: bounded,
 * never asserts on what it reads.
 */
#ifndef CSV_JBD2_REPLAY_H
#define CSV_JBD2_REPLAY_H

#include "csv/jbd2_log.h"

/* n blocks from blk on; each block at most once. 0 or -errno, which ends the replay. */
typedef int (*jbd2_apply_fn)(void *user, uint64_t blk, const void *data, size_t n);

/*
 * Call apply for each block of the log's whole transactions. ret_sequence: what the next
 * transaction's sequence has to be, such that nothing that is left in the log can be taken for a
 * part of it. Writes nothing itself. max_blk: blocks beyond are damage (-EUCLEAN).
 */
int jbd2_replay(struct jbd2_log *log, uint64_t max_blk, jbd2_apply_fn apply, void *user,
		uint32_t *ret_sequence, struct cl_error *err);

#endif
