/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growing volumes: of every kind, interrupted at every write, twice; judged by e2fsck and by the files. */
#include "config.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "csv/fs_grow.h"
#include "tests/unit/fs_vol.h"

#define GIB (UINT64_C(1) << 30)
#define FILE_BYTES 300000

/* A sparse file as a device of any size; its writes fail after some. */
struct big {
	struct fs_dev dev;
	struct fs_dev *file;
	int fd;
	long left; /* < 0: never */
};

static int big_read(struct fs_dev *dev, uint64_t off, void *buf, size_t len)
{
	return fs_dev_read(((struct big *)(void *)dev)->file, off, buf, len);
}

static int big_write(struct fs_dev *dev, uint64_t off, const void *buf, size_t len, unsigned flags)
{
	struct big *b = (struct big *)(void *)dev;

	if (b->left == 0)
		return -EIO;
	b->left -= b->left > 0;
	return fs_dev_write(b->file, off, buf, len, flags);
}

static int big_flush(struct fs_dev *dev)
{
	(void)dev;
	return 0;
}

static void big_free(struct fs_dev *dev)
{
	(void)dev;
}

static const struct fs_dev_ops big_ops = { big_read, big_write, big_flush, big_free };

static void big_resize(struct big *b, uint64_t bytes)
{
	fs_dev_free(b->file);
	assert_int_equal(ftruncate(b->fd, (off_t)bytes), 0);
	assert_int_equal(fs_dev_file_from_fd(dup(b->fd), &b->file, NULL), 0);
	b->dev.bytes = bytes;
}

static void big_new(struct big *b, uint64_t bytes)
{
	*b = (struct big){ .dev.ops = &big_ops, .left = -1, .fd = memfd_create("big", 0) };
	assert_true(b->fd >= 0);
	big_resize(b, bytes);
}

static void big_end(struct big *b)
{
	fs_dev_free(b->file);
	(void)close(b->fd);
}

static int fsck(const struct big *b, const char *how)
{
	char cmd[200];

	sprintf(cmd, "PATH=$PATH:/usr/sbin:/sbin e2fsck %s /proc/self/fd/%d >/dev/null 2>&1", how,
		b->fd);
	return system(cmd);
}

static uint64_t put_file(struct big *b, const char *name, uint64_t prealloc)
{
	uint8_t data[FS_BLOCK_SIZE];
	struct fs_extent e;
	struct fs_attr a;
	struct fs *fs;

	assert_int_equal(fs_open(&b->dev, NULL, &fs, NULL), 0);
	assert_int_equal(fs_begin(fs, now), 0);
	assert_int_equal(fs_mknod(fs, FS_ROOT_INO, name, &file, &a), 0);
	assert_int_equal(fs_alloc(fs, a.ino, 0, FILE_BYTES, FILE_BYTES), 0);
	if (prealloc)
		assert_int_equal(fs_prealloc(fs, a.ino, GIB, prealloc, 0), 0);
	assert_int_equal(fs_end(fs), 0);
	assert_int_equal(fs_commit(fs), 0);
	assert_int_equal(fs_map(fs, a.ino, 3, 1, &e, 1), 1);
	memset(data, name[0], sizeof(data));
	assert_int_equal(fs_dev_write(&b->dev, e.pblk * FS_BLOCK_SIZE, data, sizeof(data), 0), 0);
	assert_int_equal(fs_close(fs), 0);
	fs_free(fs);
	return e.pblk;
}

static void check_file(struct big *b, const char *name)
{
	uint8_t data[FS_BLOCK_SIZE];
	struct fs_extent e;
	struct fs *fs;
	uint32_t ino;

	assert_int_equal(fs_open(&b->dev, NULL, &fs, NULL), 0);
	assert_int_equal(fs_lookup(fs, FS_ROOT_INO, name, &ino), 0);
	assert_int_equal(fs_map(fs, ino, 3, 1, &e, 1), 1);
	assert_int_equal(fs_dev_read(&b->dev, e.pblk * FS_BLOCK_SIZE, data, sizeof(data)), 0);
	for (size_t i = 0; i < sizeof(data); i++)
		assert_int_equal(data[i], name[0]);
	fs_free(fs);
}

static void make_big(struct big *b, uint64_t bytes)
{
	struct fs_mkfs_options opt = { .name = "big", .volume_uuid = { 2 }, .now = now };

	big_new(b, bytes);
	assert_int_equal(fs_mkfs(&b->dev, &opt, NULL), 0);
	(void)put_file(b, "before", 0);
}

static void grow_to(struct big *b, uint64_t bytes, uint64_t expect)
{
	struct cl_error err = CL_ERROR_INIT;
	uint64_t was, is;

	big_resize(b, bytes);
	if (fs_grow(&b->dev, NULL, &was, &is, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(is, expect);
	assert_int_equal(fsck(b, "-fn"), 0);
	check_file(b, "before");
}

/* The new space can be used, all of it but the reserve. */
static void fill(struct big *b)
{
	struct fs_statfs s;
	struct fs *fs;

	assert_int_equal(fs_open(&b->dev, NULL, &fs, NULL), 0);
	fs_statfs(fs, &s);
	fs_free(fs);
	(void)put_file(b, "after", (s.bavail - s.bavail / 50 - 1024) * FS_BLOCK_SIZE);
	assert_int_equal(fsck(b, "-fn"), 0);
	check_file(b, "after");
}

static void test_sizes(void **state)
{
	static const struct {
		uint64_t from, to, expect;
	} t[] = {
		{ GIB / 16, GIB / 8, GIB / 8 },	     /* within a group */
		{ GIB, GIB, GIB },		     /* not at all */
		{ GIB, GIB + 5000, GIB },	     /* less than a cluster */
		{ GIB, 2 * GIB + 65536, 2 * GIB },   /* too little for another group */
		{ GIB, 3 * GIB, 3 * GIB },	     /* a second group */
		{ 4 * GIB, 40 * GIB, 40 * GIB },     /* many, the same descriptors' block */
		{ 100 * GIB, 500 * GIB, 500 * GIB }, /* more blocks of descriptors */
		{ 128 * GIB, 131 * GIB, 131 * GIB }, /* the first was just full */
	};

	(void)state;
	for (size_t n = 0; n < sizeof(t) / sizeof(t[0]); n++) {
		struct big b;

		make_big(&b, t[n].from);
		grow_to(&b, t[n].to, t[n].expect);
		if (t[n].to <= 40 * GIB)
			fill(&b);
		big_end(&b);
	}
}

static void test_again_and_again(void **state)
{
	struct big b;

	(void)state;
	make_big(&b, 100 * GIB);
	grow_to(&b, 129 * GIB, 129 * GIB);
	grow_to(&b, 200 * GIB, 200 * GIB);
	grow_to(&b, 200 * GIB, 200 * GIB);
	grow_to(&b, 259 * GIB, 259 * GIB);
	grow_to(&b, 600 * GIB, 600 * GIB);
	/* The backups are those of the grown volume. */
	assert_in_range(fsck(&b, "-fy -b 524288 -B 4096"), 0, 256); /* corrected, at most */
	assert_int_equal(fsck(&b, "-fn"), 0);
	check_file(&b, "before");
	big_end(&b);
}

/* The node dies at each write: the volume is the old or the new one, and growing again finishes it. */
static void test_interrupted(void **state)
{
	bool done = false;

	(void)state;
	for (long k = 0; !done; k++) {
		struct cl_error err = CL_ERROR_INIT;
		uint64_t was, is;
		struct big b;

		make_big(&b, 127 * GIB);
		big_resize(&b, 134 * GIB);
		b.left = k;
		done = fs_grow(&b.dev, NULL, &was, &is, &err) == 0;
		b.left = -1;
		check_file(&b, "before"); /* replays */
		if (k % 4 == 0)
			assert_int_equal(fsck(&b, "-fn"), 0);
		if (k % 4 == 0 || done)
			grow_to(&b, 134 * GIB, 134 * GIB);
		big_end(&b);
		assert_true(k < 200);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_again_and_again),
		cmocka_unit_test(test_interrupted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
