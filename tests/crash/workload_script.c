/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The script: each history that has to be in every run. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "csv/fs_int.h"
#include "tests/crash/workload_int.h"

#define DEEP_STEPS 100 /* from here on the longer parts of the script run too */

/* Levels of the file's extent tree below its inode. */
static unsigned fs_tree_depth(struct fs *fs, uint32_t ino)
{
	struct ext2_extent_info info = { .max_depth = 0 };
	struct fs_inode i;
	fs_tree t;

	if (fs_inode_load(fs, ino, &i) == 0 && fs_tree_open(fs, &i, &t) == 0) {
		(void)ext2fs_extent_get_info(t, &info);
		fs_tree_close(&t);
	}
	return (unsigned)info.max_depth;
}

/*
 * Metadata that becomes somebody's data: a directory of several blocks is made, emptied and
 * removed; a file takes the cluster and is written, all before a checkpoint. Without revokes a
 * replay destroys the data.
 */
static void reuse(struct workload *w, unsigned n)
{
	char name[256], dir[16], file[16];
	struct fs_attr d, f;

	sprintf(dir, "reuse%u", n);
	sprintf(file, "file%u", n);
	wl_begin(w);
	wl_must(fs_mkdir(w->fs, FS_ROOT_INO, dir, &(struct fs_new){ .mode = 0700 }, &d), "mkdir");
	for (int i = 0; i < 60; i++) {
		memset(name, 'n', 200);
		sprintf(name + 200, "%d", i);
		wl_must(fs_mknod(w->fs, d.ino, name, &file_mode, NULL), "mknod");
	}
	wl_must(wl_finish(w, 0, false), "fill a directory");
	wl_commit(w);
	wl_begin(w);
	for (int i = 0; i < 60; i++) {
		memset(name, 'n', 200);
		sprintf(name + 200, "%d", i);
		wl_must(fs_unlink(w->fs, d.ino, name, false, NULL), "unlink");
	}
	wl_must(fs_rmdir(w->fs, FS_ROOT_INO, dir), "rmdir");
	wl_must(wl_finish(w, 0, false), "remove a directory");
	wl_commit(w);
	wl_begin(w);
	wl_must(fs_mknod(w->fs, FS_ROOT_INO, file, &file_mode, &f), "create");
	wl_must(fs_alloc(w->fs, f.ino, 0, 3 * FS_CLUSTER_SIZE, 3 * FS_CLUSTER_SIZE), "alloc");
	wl_must(wl_finish(w, 0, false), "file");
	wl_commit(w);
	for (unsigned lblk = 0; lblk < 48; lblk += 16) {
		wl_write_data(w, f.ino, lblk);
		wl_write_data(w, f.ino, lblk + 1);
	}
	if (n % 2) {
		wl_begin(w);
		wl_must(wl_finish(w, fs_unlink(w->fs, FS_ROOT_INO, file, false, NULL), false),
			"unlink file");
		wl_commit(w);
	}
}

/* A tree with an index level: every second block of a preallocated range becomes DATA, then all of
 * it. */
static void fragments(struct workload *w)
{
	struct fs_attr f;

	wl_begin(w);
	wl_must(fs_mknod(w->fs, FS_ROOT_INO, "fragments", &file_mode, &f), "create");
	wl_must(fs_prealloc(w->fs, f.ino, 0, 1 << 20, 1 << 20), "prealloc");
	wl_must(wl_finish(w, 0, false), "prealloc");
	wl_commit(w);
	for (unsigned i = 0; i < 40; i++) {
		wl_begin(w);
		wl_must(wl_finish(w, fs_alloc(w->fs, f.ino, i * 8192, 4096, 0), false),
			"alloc a block");
		if (i % 8 == 7) {
			wl_commit(w);
			wl_write_data(w, f.ino, i * 2);
		}
	}
	wl_begin(w);
	wl_must(wl_finish(w, fs_alloc(w->fs, f.ino, 0, 1 << 20, 0), false), "alloc the rest");
	wl_commit(w);
	wl_begin(w);
	wl_must(wl_finish(w, fs_punch(w->fs, f.ino, 200000, 500000), false), "punch");
	wl_commit(w);
}

/*
 * A file goes and another takes space in the same transaction. Without the quarantine the new one's zeros are written over the
 * old one's data before the commit, and a crash brings the old one back with them.
 */
static void same_transaction(struct workload *w, unsigned n)
{
	struct fs_attr f;
	char name[32];

	sprintf(name, "old%u", n);
	wl_begin(w);
	wl_must(fs_mknod(w->fs, FS_ROOT_INO, name, &file_mode, &f), "create");
	wl_must(fs_alloc(w->fs, f.ino, 0, 4096, 4096), "alloc");
	wl_must(wl_finish(w, 0, false), "old file");
	wl_commit(w);
	wl_write_data(w, f.ino, 0);
	wl_begin(w);
	wl_must(wl_finish(w, fs_unlink(w->fs, FS_ROOT_INO, name, false, NULL), false), "unlink");
	wl_begin(w);
	sprintf(name, "new%u", n);
	wl_must(fs_mknod(w->fs, FS_ROOT_INO, name, &file_mode, &f), "create");
	wl_must(fs_alloc(w->fs, f.ino, 0, 4096, 4096), "alloc");
	wl_must(wl_finish(w, 0, false), "new file");
	wl_commit(w);
}

/*
 * Blocks that are cut off and come back within what could be one transaction, their cluster staying where it is: by a hole, by
 * the end of file in a block, by zeros. What comes back is zeroed on the device, under the old file.
 */
static void bared(struct workload *w, unsigned n)
{
	struct fs_attr f, size = { .size = 10000 + 4096 * n };
	char name[32];

	sprintf(name, "bared%u", n);
	wl_begin(w);
	wl_must(fs_mknod(w->fs, FS_ROOT_INO, name, &file_mode, &f), "create");
	wl_must(fs_alloc(w->fs, f.ino, 0, 65536, 65536), "alloc");
	wl_must(wl_finish(w, 0, false), "file");
	wl_commit(w);
	for (unsigned b = 0; b < 6; b++)
		wl_write_data(w, f.ino, b);
	wl_begin(w);
	if (n == 0)
		wl_must(fs_punch(w->fs, f.ino, 4096, 8192), "punch");
	else if (n == 1)
		wl_must(fs_setattr(w->fs, f.ino, FS_SET_SIZE, &size, NULL), "cut");
	else
		wl_must(fs_zero_range(w->fs, f.ino, 4096, 8192, 0), "zero");
	wl_must(wl_finish(w, 0, false), "bare");
	wl_begin(w);
	wl_must(fs_alloc(w->fs, f.ino, 0, 65536, 65536), "alloc again");
	wl_must(wl_finish(w, 0, false), "fill");
	wl_commit(w);
}

/* From its end, in steps, each a state of its own: asked at every block, so that no call makes two of them. */
static void cut_ahead(struct workload *w, uint32_t ino, uint64_t size)
{
	for (uint64_t at = 4000; at > size / FS_BLOCK_SIZE + 1; at--) {
		wl_must(fs_cut_ahead(w->fs, (struct timespec){ w->now, 0 }, ino,
				     at * FS_BLOCK_SIZE),
			"cut ahead");
		if (fs_uncommitted(w->fs))
			wl_commit(w);
	}
}

/*
 * A file of many extents is cut, grows again, and is deleted: in steps of a few extents, with a commit after each, so that a
 * crash finds each of them half done.
 */
static void in_steps(struct workload *w, unsigned n)
{
	struct fs_attr f, size = { .size = 150000 };
	char name[32];

	sprintf(name, "steps%u", n);
	wl_begin(w);
	wl_must(fs_mknod(w->fs, FS_ROOT_INO, name, &file_mode, &f), "create");
	wl_must(wl_finish(w, 0, false), "file");
	for (unsigned k = 0; k < 14; k++) {
		wl_begin(w);
		wl_must(fs_alloc(w->fs, f.ino, k * 100000, 30000, k * 100000 + 30000), "alloc");
		wl_must(wl_finish(w, 0, false), "fragments");
	}
	wl_commit(w);
	wl_write_data(w, f.ino, 0);
	cut_ahead(w, f.ino, size.size);
	wl_begin(w);
	wl_must(fs_setattr(w->fs, f.ino, FS_SET_SIZE, &size, NULL), "cut");
	wl_must(wl_finish(w, 0, false), "cut");
	wl_commit(w);
	if (n % 2) {
		size.size = 2 << 20;
		wl_begin(w);
		wl_must(fs_setattr(w->fs, f.ino, FS_SET_SIZE, &size, NULL), "grow");
		wl_must(wl_finish(w, 0, false), "grow");
		wl_begin(w);
		wl_must(fs_alloc(w->fs, f.ino, 0, 2 << 20, 0), "alloc");
		wl_must(wl_finish(w, 0, false), "fill");
		wl_commit(w);
	}
	while (fs_has_work(w->fs))
		wl_work(w);
	wl_begin(w);
	wl_must(fs_prealloc(w->fs, f.ino, 0, 700000, 0), "prealloc");
	wl_must(wl_finish(w, 0, false), "prealloc");
	for (unsigned k = 0; k < 10; k++) {
		wl_begin(w);
		wl_must(wl_finish(w, fs_alloc(w->fs, f.ino, k * 12288, 4096, 0), false), "alloc");
	}
	wl_commit(w);
	wl_begin(w);
	wl_must(wl_finish(w, fs_unlink(w->fs, FS_ROOT_INO, name, n % 3 == 0, NULL), false),
		"unlink");
	wl_commit(w);
	if (n % 3 == 0) {
		wl_begin(w);
		wl_must(wl_finish(w, fs_orphan_free(w->fs, f.ino), false), "orphan");
		wl_commit(w);
	}
	while (fs_has_work(w->fs))
		wl_work(w);
}

/*
 * An extent tree of more than two levels, and directories eight deep that are moved into each other. The file is made of
 * thousands of pieces, then changed in its middle, cut in steps and deleted.
 */
static void deep(struct workload *w)
{
	struct fs_attr f, d, size = { .size = 3 << 20 };
	uint32_t dir[8], at = FS_ROOT_INO;
	char name[32];

	wl_begin(w);
	for (unsigned n = 0; n < 8; n++) {
		sprintf(name, "deep%u", n);
		wl_must(fs_mkdir(w->fs, at, name, &(struct fs_new){ .mode = 0700 }, &d), "mkdir");
		dir[n] = at = d.ino;
	}
	wl_must(fs_mknod(w->fs, at, "pieces", &file_mode, &f), "create");
	wl_must(fs_prealloc(w->fs, f.ino, 0, 3000 * 4096, 3000 * 4096), "prealloc");
	wl_must(wl_finish(w, 0, false), "deep");
	wl_commit(w);
	for (uint64_t b = 0; b < 3000; b += 2) {
		wl_begin(w);
		wl_must(wl_finish(w, fs_convert(w->fs, f.ino, b * 4096, 4096, 0), false),
			"convert");
		if (b % 250 == 0)
			wl_commit(w);
	}
	wl_commit(w);
	w->max_depth = fs_tree_depth(w->fs, f.ino);
	wl_write_data(w, f.ino, 1500);
	wl_begin(w);
	wl_must(wl_finish(w, fs_punch(w->fs, f.ino, 800 * 4096, 300 * 4096), false), "punch");
	wl_commit(w);
	wl_begin(w);
	wl_must(wl_finish(w, fs_alloc(w->fs, f.ino, 900 * 4096, 100 * 4096, 0), false), "fill");
	wl_begin(w);
	wl_must(fs_rename(w->fs, dir[2], "deep3", FS_ROOT_INO, "moved", 0, NULL), "move");
	wl_must(fs_rename(w->fs, FS_ROOT_INO, "deep0", dir[7], "deep0", 0, NULL), "move below");
	wl_must(wl_finish(w, 0, false), "move");
	wl_commit(w);
	wl_begin(w);
	wl_must(wl_finish(w, fs_zero_range(w->fs, f.ino, 2000 * 4096, 300 * 4096, 0), false),
		"zeros");
	wl_commit(w);
	wl_begin(w);
	wl_must(wl_finish(w, fs_setattr(w->fs, f.ino, FS_SET_SIZE, &size, NULL), false), "cut");
	wl_commit(w);
	wl_begin(w);
	wl_must(wl_finish(w, fs_setattr(w->fs, f.ino, FS_SET_SIZE, &f, NULL), false), "grow");
	wl_commit(w);
	wl_begin(w);
	wl_must(wl_finish(w, fs_unlink(w->fs, dir[7], "pieces", false, NULL), false), "unlink");
	wl_commit(w);
	for (unsigned n = 0; n < 10 && fs_has_work(w->fs); n++)
		wl_work(w);
}

/*
 * The volume is filled up to the last cluster that may be taken; every kind of operation is tried there, then with one cluster
 * more. Commits, records and deletes go on all the time.
 */
static void full(struct workload *w)
{
	struct fs_statfs s;
	struct fs_attr f;
	int r = 0;

	wl_begin(w);
	wl_must(fs_mknod(w->fs, FS_ROOT_INO, "filler", &file_mode, &f), "create");
	wl_must(wl_finish(w, 0, false), "filler");
	wl_commit(w);
	fs_statfs(w->fs, &s);
	wl_begin(w);
	r = fs_prealloc(w->fs, f.ino, 0, (s.bavail > 16 ? s.bavail - 16 : 1) * FS_BLOCK_SIZE, 0);
	(void)wl_finish(w, r, false);
	wl_commit(w);
	for (unsigned n = 0; n < 30; n++) {
		if (wl_random_op(w) < 0)
			w->refused++;
		if (fs_uncommitted(w->fs))
			wl_commit(w);
		if (n % 6 == 5) {
			wl_begin(w);
			r = fs_punch(w->fs, f.ino, n * FS_CLUSTER_SIZE, FS_CLUSTER_SIZE);
			wl_must(wl_finish(w, r, false), "a full volume gives back");
			wl_commit(w);
		}
	}
	wl_begin(w);
	wl_must(wl_finish(w, fs_unlink(w->fs, FS_ROOT_INO, "filler", false, NULL), false),
		"delete");
	wl_commit(w);
	while (fs_has_work(w->fs))
		wl_work(w);
	wl_begin(w); /* found again */
	wl_must(fs_mknod(w->fs, FS_ROOT_INO, "after", &file_mode, &f), "create");
	wl_must(fs_alloc(w->fs, f.ino, 0, 1 << 20, 1 << 20), "alloc");
	wl_must(fs_unlink(w->fs, FS_ROOT_INO, "after", false, NULL), "unlink");
	wl_must(wl_finish(w, 0, false), "after");
	wl_commit(w);
}

/* Operations that get far and are then taken back. */
static void aborts(struct workload *w, unsigned n)
{
	uint32_t ino = wl_find(w, FS_ROOT_INO, "file0");
	struct fs_attr d;
	char name[32];

	sprintf(name, "aborted%u", n);
	wl_begin(w);
	wl_must(fs_mkdir(w->fs, FS_ROOT_INO, name, &(struct fs_new){ .mode = 0700 }, &d), "mkdir");
	wl_must(fs_mknod(w->fs, d.ino, "f", &file_mode, &d), "mknod");
	wl_must(fs_alloc(w->fs, d.ino, 0, 100000, 100000), "alloc");
	(void)wl_finish(w, 0, true);
	wl_begin(w);
	wl_must(fs_unlink(w->fs, FS_ROOT_INO, "file0", n % 2, NULL), "unlink");
	(void)wl_finish(w, 0, true);
	wl_begin(w);
	(void)wl_finish(w, fs_alloc(w->fs, ino, 0, 64u << 20, 64u << 20), false);
	wl_begin(w);
	wl_must(wl_finish(w,
			  fs_setattr(w->fs, ino, FS_SET_MODE, &(struct fs_attr){ .mode = n }, NULL),
			  false),
		"after aborts");
	wl_commit(w);
}

void wl_script(struct workload *w, unsigned steps)
{
	for (unsigned n = 0; n < 4; n++)
		reuse(w, n);
	fragments(w);
	for (unsigned n = 0; n < 4; n++) {
		aborts(w, n);
		same_transaction(w, n);
		if (n < 3)
			bared(w, n);
		in_steps(w, n);
	}
	if (steps >= DEEP_STEPS) {
		deep(w);
		full(w);
	}
}
