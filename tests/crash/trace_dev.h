/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device in memory that remembers every write, flush and mark, in pieces of one block. */
#ifndef TESTS_CRASH_TRACE_DEV_H
#define TESTS_CRASH_TRACE_DEV_H

#include "csv/fs_dev.h"
#include "lib/vec.h"

enum trace_kind { TRACE_WRITE, TRACE_FUA, TRACE_FLUSH, TRACE_MARK };

struct trace_event {
	enum trace_kind kind;
	uint64_t off;  /* write: byte offset; mark: the number of the state that is durable now */
	uint8_t *data; /* FS_BLOCK_SIZE bytes */
	bool users; /* file data that was written by a user: what it is when torn is nobody's promise */
};
CL_DEFINE_VEC(trace_vec, struct trace_event);

struct trace_dev {
	struct fs_dev dev;
	uint8_t *mem;
	bool tracing;
	bool users;	    /* writes from here on are a user's */
	int64_t fail_after; /* writes until they fail with EIO; < 0 = never */
	struct trace_vec events;
};

/* bytes of zeros, or around existing memory (not freed) when mem is given. */
int trace_dev_init(struct trace_dev *t, uint64_t bytes, void *mem);
void trace_dev_fini(struct trace_dev *t);
void trace_dev_mark(struct trace_dev *t, uint64_t state);

#endif
