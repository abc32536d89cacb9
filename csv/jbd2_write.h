/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writer: one transaction after the other into the log. Knows nothing of what is in the blocks.
 */
#ifndef CSV_JBD2_WRITE_H
#define CSV_JBD2_WRITE_H

#include <time.h>

#include "csv/jbd2_log.h"

struct jbd2_writer {
	struct jbd2_log *log;
	uint32_t head;	   /* next log block to be written */
	uint32_t used;	   /* log blocks between tail and head */
	uint32_t sequence; /* of the next transaction */
	bool no_flush;	   /* defect switch */
};

struct jbd2_block {
	uint64_t blk;
	const void *data;
};

struct jbd2_txn {
	const struct jbd2_block *blocks;
	size_t n_blocks;
	const uint64_t *revokes;
	size_t n_revokes;
	struct timespec now;
};

/* Log blocks that a transaction needs. */
uint32_t jbd2_txn_size(size_t n_blocks, size_t n_revokes);

/* Log blocks there are in all, without the superblock. */
uint32_t jbd2_writer_capacity(const struct jbd2_writer *w);

/*
 * Write the transaction; durable on 0. It must fit into the free part of the log. After a failure
 * the log's state is open: nothing may be written to it any more.
 */
int jbd2_writer_commit(struct jbd2_writer *w, const struct jbd2_txn *txn);

/* Everything that was logged is home and stable: the tail becomes the head. */
int jbd2_writer_tail_to_head(struct jbd2_writer *w);

#endif
