/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log as a ring of blocks on the device: where each block of it lies, and its superblock. Used
 * by the writer and by the replay.
 */
#ifndef CSV_JBD2_LOG_H
#define CSV_JBD2_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "csv/fs_dev.h"
#include "csv/jbd2_fmt.h"

struct jbd2_log {
	struct fs_dev *dev;
	uint64_t *map; /* physical block of each log block; owned */
	uint32_t len;  /* log blocks, superblock included; the ring is [first, len) */
	uint32_t first;
	uint32_t seed;
	union {
		struct jbd2_super sb; /* block 0 as last read or written */
		uint8_t block0[FS_BLOCK_SIZE];
	};
};

/* Take over map (len entries) and read the superblock. -EUCLEAN and words when it is not usable. */
int jbd2_log_open(struct jbd2_log *log, struct fs_dev *dev, uint64_t *map, uint32_t len,
		  struct cl_error *err);
void jbd2_log_fini(struct jbd2_log *log);

int jbd2_log_read(struct jbd2_log *log, uint32_t at, void *block);
/* Write the superblock (checksum set here) and make it stable. */
int jbd2_log_write_super(struct jbd2_log *log, uint32_t start, uint32_t sequence);

static inline uint32_t jbd2_log_next(const struct jbd2_log *log, uint32_t at)
{
	return at + 1 < log->len ? at + 1 : log->first;
}

#endif
