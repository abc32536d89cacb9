/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the file system share: a small volume in memory, made once by vol_setup(). */
#ifndef TESTS_UNIT_FS_VOL_H
#define TESTS_UNIT_FS_VOL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/fs_int.h"
#include "tests/crash/canon.h"
#include "tests/crash/trace_dev.h"

#define BYTES (32u << 20)

__attribute__((unused)) static uint8_t *fresh; /* a new volume, made once */
__attribute__((unused)) static const struct timespec now = { 1700000000, 5 };
__attribute__((
	unused)) static const struct fs_new file = { .mode = S_IFREG | 0640, .uid = 7, .gid = 8 };
__attribute__((unused)) static const struct fs_new subdir = { .mode = 0755 };

struct vol {
	struct trace_dev t;
	struct fs *fs;
};

static inline void reopen(struct vol *v)
{
	fs_free(v->fs);
	v->fs = NULL;
	assert_int_equal(fs_open(&v->t.dev, NULL, &v->fs, NULL), 0);
}

static inline struct vol *vol_new(void)
{
	struct vol *v = calloc(1, sizeof(*v));

	assert_int_equal(trace_dev_init(&v->t, BYTES, NULL), 0);
	memcpy(v->t.mem, fresh, BYTES);
	reopen(v);
	return v;
}

static inline void vol_free(struct vol *v)
{
	fs_free(v->fs);
	trace_dev_fini(&v->t);
	free(v);
}

static inline void begin(struct vol *v)
{
	assert_int_equal(fs_begin(v->fs, now), 0);
}

static inline void end(struct vol *v)
{
	assert_int_equal(fs_end(v->fs), 0);
	assert_int_equal(fs_commit(v->fs), 0);
}

static inline uint32_t make(struct vol *v, const char *name, uint64_t size)
{
	struct fs_attr a;

	begin(v);
	assert_int_equal(fs_mknod(v->fs, FS_ROOT_INO, name, &file, &a), 0);
	if (size)
		assert_int_equal(fs_alloc(v->fs, a.ino, 0, size, size), 0);
	end(v);
	return a.ino;
}

static inline struct fs_extent map_at(struct vol *v, uint32_t ino, uint64_t lblk, uint64_t len)
{
	struct fs_extent e;

	assert_int_equal(fs_map(v->fs, ino, lblk, len, &e, 1), 1);
	return e;
}

static inline int vol_setup(void **state)
{
	struct fs_mkfs_options opt = { .name = "test", .volume_uuid = { 1 }, .now = now };
	struct cl_error err = CL_ERROR_INIT;
	struct trace_dev t;

	(void)state;
	assert_int_equal(trace_dev_init(&t, BYTES, NULL), 0);
	if (fs_mkfs(&t.dev, &opt, &err) < 0)
		fail_msg("%s", err.msg);
	fresh = t.mem;
	return 0;
}

#endif
