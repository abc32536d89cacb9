/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block device under a volume, as the file system sees it: blocking, byte-addressed in whole
 * 4-KiB blocks. csvd gives an adapter over the LUN, tests and tools a file or memory.
 *
 * What the journal's proof asks of it:
 *   - write() returns after the device acknowledged; it may still be in a volatile cache;
 *   - FS_DEV_FUA: this write is on stable storage when write() returns;
 *   - flush() makes every write that returned before stable;
 *   - a failed or timed-out write may still land later: the owner must kill the nexus before the
 *     device is opened again (the file system stops for good at the first failed write).
 */
#ifndef CSV_FS_DEV_H
#define CSV_FS_DEV_H

#include <stddef.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"

#define FS_BLOCK_SIZE 4096u

enum { FS_DEV_FUA = 1 };

struct fs_dev;

/* off and len are multiples of FS_BLOCK_SIZE; at most 1 MiB a call. 0 or -errno. May block. */
struct fs_dev_ops {
	int (*read)(struct fs_dev *dev, uint64_t off, void *buf, size_t len);
	int (*write)(struct fs_dev *dev, uint64_t off, const void *buf, size_t len, unsigned flags);
	int (*flush)(struct fs_dev *dev);
	void (*free)(struct fs_dev *dev); /* called by fs_dev_free() only */
};

struct fs_dev {
	const struct fs_dev_ops *ops;
	uint64_t bytes; /* size of the device */
};

/* A file or block device; read_only opens it so. The size is taken at open. */
int fs_dev_file_open(const char *path, int read_only, struct fs_dev **ret, struct cl_error *err);

/* The same over a descriptor, which the device owns from here on (also when this fails). */
int fs_dev_file_from_fd(int fd, struct fs_dev **ret, struct cl_error *err);

/* Accepts NULL. */
void fs_dev_free(struct fs_dev *dev);
CL_DEFINE_CLEANUP(struct fs_dev, fs_dev_free);

/* Any length (multiple of the block size), cut into pieces of at most 1 MiB. */
int fs_dev_read(struct fs_dev *dev, uint64_t off, void *buf, size_t len);
int fs_dev_write(struct fs_dev *dev, uint64_t off, const void *buf, size_t len, unsigned flags);
int fs_dev_zero(struct fs_dev *dev, uint64_t off, uint64_t len);
int fs_dev_flush(struct fs_dev *dev);

#endif
