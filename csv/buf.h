/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buffers for data on its way between /dev/fuse and the LUN: aligned to a page, resident, counted,
 * and kept for the next one. A page that is missing when csvd is killed makes the kernel answer EIO
 * (front.h), and to fault a fresh megabyte in costs more than to write it. One thread.
 */
#ifndef CL_CSV_BUF_H
#define CL_CSV_BUF_H

#include <stddef.h>
#include <stdint.h>

#define BUF_BYTES_MAX (1024u * 1024 + 128 * 1024)

struct buf {
	struct buf *next; /* while free */
	unsigned refs, class;
	size_t size;
	uint8_t *data;
};

/* At least len bytes, with one reference. NULL: out of memory, or more than BUF_BYTES_MAX. */
struct buf *buf_new(size_t len);
struct buf *buf_ref(struct buf *buf);
void buf_unref(struct buf *buf); /* accepts NULL */
/* Frees what is kept (the end of a process that looks for leaks). */
void buf_trim(void);

#endif
