/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Large directories: what an operation costs does not grow with them, and nothing gets lost or moves. */
#include "config.h"

#include <stdio.h>

#include "tests/unit/fs_vol.h"

#define NAMES 6000
#define BATCH 100

static void name_of(unsigned i, char *name)
{
	(void)snprintf(name, 32, "%u-%.*s", i, (int)(i % 20), "....................");
}

/* Blocks that the cache was asked for: a measure that does not depend on the machine. */
static uint32_t cost_of_batch(struct vol *v, uint32_t dir, unsigned from)
{
	uint32_t before = v->fs->cache.tick;
	char name[32];

	begin(v);
	for (unsigned i = from; i < from + BATCH; i++) {
		name_of(i, name);
		assert_int_equal(
			fs_mknod(v->fs, dir, name, &(struct fs_new){ .mode = S_IFIFO }, NULL), 0);
	}
	end(v);
	return v->fs->cache.tick - before;
}

static uint32_t make_dir(struct vol *v)
{
	struct fs_attr a;

	begin(v);
	assert_int_equal(fs_mkdir(v->fs, FS_ROOT_INO, "dir", &subdir, &a), 0);
	end(v);
	return a.ino;
}

/* The volume has 500 inodes or so: names of one file, from here on. */
static void fill(struct vol *v, uint32_t dir, uint32_t ino, unsigned from, unsigned to)
{
	char name[32];

	begin(v);
	for (unsigned i = from; i < to; i++) {
		name_of(i, name);
		assert_int_equal(fs_link(v->fs, ino, dir, name, NULL), 0);
	}
	end(v);
}

static void cost_does_not_grow(void **state)
{
	struct vol *v = vol_new();
	uint32_t dir = make_dir(v), first, last, ino = make(v, "f", 0);

	(void)state;
	first = cost_of_batch(v, dir, 0);
	fill(v, dir, ino, BATCH, NAMES - BATCH);
	last = cost_of_batch(v, dir, NAMES - BATCH);
	assert_true(last < 2 * first);
	vol_free(v);
}

struct seen {
	unsigned char n[NAMES];
	uint64_t at[NAMES];
};

static bool see(void *user, const char *name, uint32_t ino, unsigned dt_type, uint64_t next_cookie)
{
	struct seen *s = user;
	unsigned i;

	(void)ino;
	(void)dt_type;
	if (sscanf(name, "%u-", &i) == 1 && i < NAMES) {
		s->n[i]++;
		s->at[i] = next_cookie;
	}
	return true;
}

static void list(struct vol *v, uint32_t dir, struct seen *s)
{
	memset(s, 0, sizeof(*s));
	assert_int_equal(fs_readdir(v->fs, dir, 0, see, s), 0);
}

static void remove_some(struct vol *v, uint32_t dir)
{
	char name[32];

	begin(v);
	for (unsigned i = 0; i < NAMES; i += 3) {
		name_of(i, name);
		assert_int_equal(fs_unlink(v->fs, dir, name, false, NULL), 0);
	}
	end(v);
}

static void check_names(struct vol *v, uint32_t dir, const struct seen *s)
{
	char name[32];
	uint32_t ino;

	for (unsigned i = 0; i < NAMES; i++) {
		name_of(i, name);
		assert_int_equal(s->n[i], i % 3 ? 1 : 0);
		assert_int_equal(fs_lookup(v->fs, dir, name, &ino), i % 3 ? 0 : -ENOENT);
	}
}

static void nothing_is_lost_or_moves(void **state)
{
	struct seen *before = malloc(sizeof(*before)), *after = malloc(sizeof(*after));
	struct vol *v = vol_new();
	uint32_t dir = make_dir(v), ino = make(v, "f", 0), blocks;
	struct fs_attr a;

	(void)state;
	fill(v, dir, ino, 0, NAMES);
	list(v, dir, before);
	assert_int_equal(fs_getattr(v->fs, dir, &a), 0);
	blocks = (uint32_t)a.size;
	remove_some(v, dir);
	list(v, dir, after);
	check_names(v, dir, after);
	for (unsigned i = 0; i < NAMES; i++)
		if (i % 3)
			assert_int_equal(after->n[i], before->n[i]);
	/* The cache read anew says the same, and the room of what went is used again. */
	reopen(v);
	list(v, dir, after);
	check_names(v, dir, after);
	begin(v);
	for (unsigned i = 0; i < NAMES; i += 3) {
		char name[32];

		name_of(i, name);
		assert_int_equal(fs_link(v->fs, ino, dir, name, NULL), 0);
	}
	end(v);
	assert_int_equal(fs_getattr(v->fs, dir, &a), 0);
	assert_int_equal(a.size, blocks);
	vol_free(v);
	free(before);
	free(after);
}

/* Renamed over, exchanged: the names keep their places. */
static void replaced_in_place(void **state)
{
	struct seen *before = malloc(sizeof(*before)), *after = malloc(sizeof(*after));
	struct vol *v = vol_new();
	uint32_t dir = make_dir(v), f = make(v, "f", 0), g = make(v, "g", 0), ino;

	(void)state;
	fill(v, dir, f, 0, 200);
	list(v, dir, before);
	begin(v);
	assert_int_equal(fs_rename(v->fs, FS_ROOT_INO, "g", dir, "50-..........", 0, NULL), 0);
	assert_int_equal(fs_rename(v->fs, dir, "50-..........", dir, "70-..........",
				   FS_RENAME_EXCHANGE, NULL),
			 0);
	end(v);
	list(v, dir, after);
	assert_memory_equal(before, after, sizeof(*before));
	assert_int_equal(fs_lookup(v->fs, dir, "70-..........", &ino), 0);
	assert_int_equal(ino, g);
	assert_int_equal(fs_lookup(v->fs, dir, "50-..........", &ino), 0);
	assert_int_equal(ino, f);
	vol_free(v);
	free(before);
	free(after);
}

/* 65000 subdirectories are counted; with one more the count says 1, for good. */
static void many_subdirectories(void **state)
{
	struct vol *v = vol_new();
	uint32_t dir = make_dir(v);
	struct fs_inode i;
	struct fs_attr a;

	(void)state;
	begin(v);
	assert_int_equal(fs_inode_load(v->fs, dir, &i), 0);
	i.raw.i_links_count = 65000;
	assert_int_equal(fs_inode_store(v->fs, &i), 0);
	assert_int_equal(fs_mkdir(v->fs, dir, "one", &subdir, NULL), 0);
	assert_int_equal(fs_getattr(v->fs, dir, &a), 0);
	assert_int_equal(a.nlink, 1);
	assert_int_equal(fs_mkdir(v->fs, dir, "two", &subdir, NULL), 0);
	assert_int_equal(fs_rmdir(v->fs, dir, "one"), 0);
	assert_int_equal(fs_getattr(v->fs, dir, &a), 0);
	assert_int_equal(a.nlink, 1);
	fs_abort(v->fs);
	vol_free(v);
}

static void many_links(void **state)
{
	struct vol *v = vol_new();
	uint32_t ino = make(v, "f", 0);
	struct fs_inode i;

	(void)state;
	begin(v);
	assert_int_equal(fs_inode_load(v->fs, ino, &i), 0);
	i.raw.i_links_count = 64999;
	assert_int_equal(fs_inode_store(v->fs, &i), 0);
	assert_int_equal(fs_link(v->fs, ino, FS_ROOT_INO, "g", NULL), 0);
	assert_int_equal(fs_link(v->fs, ino, FS_ROOT_INO, "h", NULL), -EMLINK);
	fs_abort(v->fs);
	vol_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cost_does_not_grow), cmocka_unit_test(nothing_is_lost_or_moves),
		cmocka_unit_test(replaced_in_place),  cmocka_unit_test(many_subdirectories),
		cmocka_unit_test(many_links),
	};

	return cmocka_run_group_tests(tests, vol_setup, NULL);
}
