/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "tests/crash/workload.h"

#include <stdio.h>
#include <string.h>

#include "csv/fs_int.h"

#define DEEP_STEPS 100 /* from here on the longer parts of the script run too */

static const uint8_t volume_uuid[FS_UUID_SIZE] = { 1, 2,  3,  4,  5,  6,  7,  8,
						   9, 10, 11, 12, 13, 14, 15, 16 };

int workload_mkfs(struct trace_dev *t, struct cl_error *err)
{
	struct fs_mkfs_options opt = { .name = "crash", .now = { 1700000000, 0 }, .force = true };

	memcpy(opt.volume_uuid, volume_uuid, sizeof(volume_uuid));
	memset(opt.cluster_uuid, 7, sizeof(opt.cluster_uuid));
	return fs_mkfs(&t->dev, &opt, err);
}

static unsigned rnd(struct workload *w, unsigned n)
{
	w->rng = w->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((w->rng >> 33) % n);
}

/* ---- states ----------------------------------------------------------------------------- */

static void take(struct workload *w)
{
	struct canon c;
	int r = canon_take(w->fs, &w->t->dev, NULL, &c);

	if (r < 0) {
		fprintf(stderr, "workload: state %zu cannot be read: %d\n", w->states.n, r);
		exit(3);
	}
	if (canon_vec_push(&w->states, c) < 0)
		exit(3);
	trace_dev_mark(w->t, w->states.n - 1);
}

static void commit(struct workload *w)
{
	uint32_t head = w->fs->writer.head;
	int r = fs_commit(w->fs);

	w->wraps += w->fs->writer.head < head;

	if (r < 0) {
		fprintf(stderr, "workload: commit: %d\n", r);
		exit(3);
	}
	take(w);
}

static void must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "workload: %s: %d\n", what, r);
		exit(3);
	}
}

/* One more step of deletions and cuts. */
static void work(struct workload *w)
{
	must(fs_work(w->fs, (struct timespec){ w->now, 0 }), "work");
	commit(w);
}

/* fs_begin() would go on with deletions when space is short; here, so that each state is taken. */
static void work_when_short(struct workload *w)
{
	struct fs_statfs s;

	if (fs_has_work(w->fs) && fs_uncommitted(w->fs))
		commit(w);
	fs_statfs(w->fs, &s);
	while (fs_has_work(w->fs) && s.bfree < 2500)
		work(w);
}

static void begin(struct workload *w)
{
	struct canon c = { 0 };
	bool before;
	int r;

	work_when_short(w);
	before = fs_uncommitted(w->fs);
	/* begin may commit by itself: the state it makes durable is the one before it. */
	if (before)
		(void)canon_take(w->fs, &w->t->dev, NULL, &c);
	w->now += 7;
	r = fs_begin(w->fs, (struct timespec){ w->now, (long)(w->now % 1000) * 1000 });
	if (r < 0) {
		fprintf(stderr, "workload: begin: %d\n", r);
		exit(3);
	}
	if (before && !fs_uncommitted(w->fs)) {
		if (canon_vec_push(&w->states, c) < 0)
			exit(3);
		trace_dev_mark(w->t, w->states.n - 1);
	}
}

/* End it, or take it back because it failed or for the sake of it. */
static int finish(struct workload *w, int r, bool spoil)
{
	if (r >= 0 && !spoil)
		r = fs_end(w->fs);
	if (r < 0 || spoil) {
		if (r == -EUCLEAN || r == -EIO)
			fprintf(stderr, "workload: operation failed with %d\n", r);
		fs_abort(w->fs);
		w->aborts++;
		return r < 0 ? r : -ECANCELED;
	}
	w->ops++;
	return 0;
}

static void write_block(struct workload *w, uint64_t pblk, const void *block)
{
	w->t->users = true;
	(void)fs_dev_write(&w->t->dev, pblk * FS_BLOCK_SIZE, block, FS_BLOCK_SIZE, 0);
	w->t->users = false;
}

/* One block of file data, as a client writes it, flushed: a step of its own. */
static void write_data(struct workload *w, uint32_t ino, uint64_t lblk)
{
	uint8_t block[FS_BLOCK_SIZE];
	struct fs_extent e;

	if (fs_uncommitted(w->fs))
		commit(w); /* nobody writes before the map is durable */
	if (fs_map(w->fs, ino, lblk, 1, &e, 1) != 1 || e.state != FS_DATA)
		return;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(rnd(w, 256));
	if (rnd(w, 8) == 0)
		memcpy(block, "\xc0\x3b\x39\x98", 4);
	write_block(w, e.pblk, block);
	(void)fs_dev_flush(&w->t->dev);
	take(w);
}

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

/* ---- operations ------------------------------------------------------------------------- */

static uint32_t find(struct workload *w, uint32_t dir, const char *name)
{
	uint32_t ino;

	return fs_lookup(w->fs, dir, name, &ino) == 0 ? ino : 0;
}

static uint32_t some_dir(struct workload *w)
{
	char name[16];
	uint32_t ino;

	sprintf(name, "d%u", rnd(w, 5));
	ino = find(w, FS_ROOT_INO, name);
	return ino && rnd(w, 4) ? ino : FS_ROOT_INO;
}

static void some_name(struct workload *w, char *name)
{
	unsigned n = rnd(w, 14);

	sprintf(name, "f%u", n);
	if (n > 10) /* long ones, so that directories grow */
		memset(name + strlen(name), 'x', 150), name[152] = 0;
}

struct ctx {
	uint32_t dir, ino;
	char name[256];
	uint64_t off, len;
};

static const struct fs_new file_mode = { .mode = S_IFREG | 0644, .uid = 1000, .gid = 100 };

static int op_create(struct workload *w, struct ctx *c)
{
	return fs_mknod(w->fs, c->dir, c->name, &file_mode, NULL);
}

static int op_mkdir(struct workload *w, struct ctx *c)
{
	sprintf(c->name, "d%u", rnd(w, 5));
	return fs_mkdir(w->fs, rnd(w, 3) ? FS_ROOT_INO : c->dir, c->name,
			&(struct fs_new){ .mode = 0755 | (rnd(w, 2) ? 02000 : 0), .gid = 5 }, NULL);
}

static int op_rmdir(struct workload *w, struct ctx *c)
{
	sprintf(c->name, "d%u", rnd(w, 5));
	return fs_rmdir(w->fs, rnd(w, 3) ? FS_ROOT_INO : c->dir, c->name);
}

static int op_unlink(struct workload *w, struct ctx *c)
{
	return fs_unlink(w->fs, c->dir, c->name, rnd(w, 3) == 0, NULL);
}

static int op_orphan_free(struct workload *w, struct ctx *c)
{
	uint32_t ino = 0;

	(void)c;
	for (unsigned n = rnd(w, 4) + 1; n; n--)
		if (fs_orphan_next(w->fs, ino, &ino) < 0 || !ino)
			return -ENOENT;
	return fs_orphan_free(w->fs, ino);
}

static int op_rename(struct workload *w, struct ctx *c)
{
	uint32_t to = some_dir(w);
	char name[256];

	some_name(w, name);
	if (rnd(w, 5) == 0) {
		sprintf(c->name, "d%u", rnd(w, 5));
		sprintf(name, "d%u", rnd(w, 5));
	}
	return fs_rename(w->fs, c->dir, c->name, to, name, rnd(w, 2) ? FS_RENAME_REPLACED_OPEN : 0,
			 NULL);
}

static int op_link(struct workload *w, struct ctx *c)
{
	char name[256];

	some_name(w, name);
	return c->ino ? fs_link(w->fs, c->ino, some_dir(w), name, NULL) : -ENOENT;
}

static int op_symlink(struct workload *w, struct ctx *c)
{
	char target[400];
	unsigned len = rnd(w, 2) ? 20 : 300;

	memset(target, 'a' + (int)rnd(w, 26), len);
	target[len] = 0;
	return fs_symlink(w->fs, c->dir, c->name, target, &(struct fs_new){ .uid = 3 }, NULL);
}

static int op_node(struct workload *w, struct ctx *c)
{
	struct fs_new n = { .mode = S_IFCHR | 0600, .rdev = rnd(w, 2) ? 0x103 : 0x12345 };

	return fs_mknod(w->fs, c->dir, c->name, &n, NULL);
}

static int op_size(struct workload *w, struct ctx *c)
{
	struct fs_attr a = { .size = (uint64_t)rnd(w, 3) * 70000 + rnd(w, 300000) };

	return c->ino ? fs_setattr(w->fs, c->ino, FS_SET_SIZE, &a, NULL) : -ENOENT;
}

static int op_attr(struct workload *w, struct ctx *c)
{
	struct fs_attr a = { .mode = rnd(w, 07777),
			     .uid = rnd(w, 200000),
			     .gid = 70000,
			     .mtime = { 5000000000, 999999999 } };

	return c->ino ? fs_setattr(w->fs, c->ino,
				   FS_SET_MODE | FS_SET_UID | FS_SET_GID | FS_SET_MTIME, &a, NULL)
		      : -ENOENT;
}

static int op_alloc(struct workload *w, struct ctx *c)
{
	return c->ino ? fs_alloc(w->fs, c->ino, c->off, c->len, rnd(w, 3) ? c->off + c->len : 0)
		      : -ENOENT;
}

static int op_prealloc(struct workload *w, struct ctx *c)
{
	return c->ino ? fs_prealloc(w->fs, c->ino, c->off, c->len, 0) : -ENOENT;
}

static int op_punch(struct workload *w, struct ctx *c)
{
	/* Whole blocks: the zeroing of partial ones happens outside of the transaction. */
	return c->ino ? fs_punch(w->fs, c->ino, c->off & ~4095ull, (c->len | 4095) + 1) : -ENOENT;
}

static int op_zero_range(struct workload *w, struct ctx *c)
{
	/* Whole blocks, as with punch. */
	return c->ino ? fs_zero_range(w->fs, c->ino, c->off & ~4095ull, (c->len | 4095) + 1,
				      rnd(w, 2) ? (c->off & ~4095ull) + c->len : 0)
		      : -ENOENT;
}

static int op_trim(struct workload *w, struct ctx *c)
{
	return c->ino ? fs_trim(w->fs, c->ino) : -ENOENT;
}

static int op_xattr(struct workload *w, struct ctx *c)
{
	char name[32], value[3000];
	unsigned len = rnd(w, 3) ? rnd(w, 60) : rnd(w, 3000);

	if (!c->ino)
		return -ENOENT;
	sprintf(name, "user.a%u", rnd(w, 3));
	if (rnd(w, 4) == 0)
		return fs_xattr_remove(w->fs, c->ino, name);
	memset(value, 'a' + (int)rnd(w, 26), sizeof(value));
	return fs_xattr_set(w->fs, c->ino, name, value, len, 0);
}

static int op_record(struct workload *w, struct ctx *c)
{
	struct fs_record_key key = { rnd(w, 4), 77, rnd(w, 40) };
	uint8_t data[FS_RECORD_MAX];

	(void)c;
	memset(data, (int)rnd(w, 256), sizeof(data));
	if (rnd(w, 3) == 0)
		return fs_record_drop(w->fs, rnd(w, 2), &key);
	return fs_record_put(w->fs, rnd(w, 2), &key, data, rnd(w, FS_RECORD_MAX));
}

static int op_epoch(struct workload *w, struct ctx *c)
{
	struct fs_vol v;

	(void)c;
	fs_vol_get(w->fs, &v);
	return fs_set_epoch(w->fs, v.epoch + 1);
}

static int op_tmpfile(struct workload *w, struct ctx *c)
{
	struct fs_attr a;
	int r = fs_tmpfile(w->fs, &file_mode, &a);

	if (r == 0 && rnd(w, 2))
		r = fs_prealloc(w->fs, a.ino, 0, c->len, 0);
	if (r == 0 && rnd(w, 2))
		r = fs_link(w->fs, a.ino, c->dir, c->name, NULL);
	return r;
}

/* More than there is: everything it had got half-way has to be taken back. */
static int op_too_much(struct workload *w, struct ctx *c)
{
	return c->ino ? fs_alloc(w->fs, c->ino, 0, 64u << 20, 64u << 20) : -ENOENT;
}

static const struct {
	int (*fn)(struct workload *w, struct ctx *c);
	unsigned weight;
} table[] = {
	{ op_create, 14 },     { op_mkdir, 6 },	  { op_rmdir, 4 },    { op_unlink, 9 },
	{ op_orphan_free, 5 }, { op_rename, 9 },  { op_link, 4 },     { op_symlink, 4 },
	{ op_node, 2 },	       { op_size, 8 },	  { op_attr, 3 },     { op_alloc, 16 },
	{ op_prealloc, 5 },    { op_punch, 8 },	  { op_xattr, 8 },    { op_record, 8 },
	{ op_epoch, 1 },       { op_tmpfile, 4 }, { op_too_much, 1 }, { op_zero_range, 5 },
	{ op_trim, 3 },
};

/* Blocks as a client sends them, to whatever is mapped there. */
static void write_mapped(struct workload *w, uint32_t ino, uint64_t lblk, uint64_t end)
{
	uint8_t block[FS_BLOCK_SIZE];

	for (; lblk < end; lblk++) {
		struct fs_extent e;

		if (fs_map(w->fs, ino, lblk, 1, &e, 1) != 1 || e.state == FS_HOLE)
			exit(3);
		if (e.state == FS_DATA)
			continue; /* would change what is durable: write_data() does that */
		memset(block, (int)rnd(w, 256), sizeof(block));
		write_block(w, e.pblk, block);
	}
}

/* A write to new blocks, its data before its map: two operations, mostly in one transaction. */
static int data_first(struct workload *w, struct ctx *c)
{
	uint64_t off = c->off & ~4095ull, len = (c->len | 4095) + 1;
	struct fs_attr a;
	int r;

	begin(w);
	r = c->ino ? fs_prepare(w->fs, c->ino, off, len, rnd(w, 2) ? 1 << 18 : 0) : -ENOENT;
	r = finish(w, r, false);
	if (r < 0)
		return r;
	if (rnd(w, 4) == 0)
		commit(w);
	write_mapped(w, c->ino, off / FS_BLOCK_SIZE, (off + len) / FS_BLOCK_SIZE);
	begin(w);
	r = fs_getattr(w->fs, c->ino, &a);
	if (r == 0)
		r = fs_convert(w->fs, c->ino, off, len, off + len > a.size ? off + len : 0);
	return finish(w, r, rnd(w, 10) == 0);
}

static int random_op(struct workload *w)
{
	unsigned total = 0, k;
	struct ctx c = { .dir = some_dir(w) };
	int r;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		total += table[i].weight;
	/* Rather a name that is there, or few operations would get far. */
	for (unsigned tries = 0; tries < 5 && !c.ino; tries++) {
		c.dir = some_dir(w);
		some_name(w, c.name);
		c.ino = find(w, c.dir, c.name);
	}
	if (rnd(w, 4) == 0)
		some_name(w, c.name);
	c.off = (uint64_t)rnd(w, 60) * 4096 + rnd(w, 2) * rnd(w, 4096);
	c.len = 1 + rnd(w, rnd(w, 4) ? 20000 : 200000);
	if (rnd(w, 8) == 0)
		return data_first(w, &c);
	k = rnd(w, total);
	begin(w);
	for (size_t i = 0;; i++) {
		if (k < table[i].weight) {
			r = table[i].fn(w, &c);
			break;
		}
		k -= table[i].weight;
	}
	r = finish(w, r, rnd(w, 6) == 0);
	if (r == 0 && c.ino && rnd(w, 2))
		write_data(w, c.ino, c.off / FS_BLOCK_SIZE);
	return r;
}

/* ---- the script ------------------------------------------------------------------------- */

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
	begin(w);
	must(fs_mkdir(w->fs, FS_ROOT_INO, dir, &(struct fs_new){ .mode = 0700 }, &d), "mkdir");
	for (int i = 0; i < 60; i++) {
		memset(name, 'n', 200);
		sprintf(name + 200, "%d", i);
		must(fs_mknod(w->fs, d.ino, name, &file_mode, NULL), "mknod");
	}
	must(finish(w, 0, false), "fill a directory");
	commit(w);
	begin(w);
	for (int i = 0; i < 60; i++) {
		memset(name, 'n', 200);
		sprintf(name + 200, "%d", i);
		must(fs_unlink(w->fs, d.ino, name, false, NULL), "unlink");
	}
	must(fs_rmdir(w->fs, FS_ROOT_INO, dir), "rmdir");
	must(finish(w, 0, false), "remove a directory");
	commit(w);
	begin(w);
	must(fs_mknod(w->fs, FS_ROOT_INO, file, &file_mode, &f), "create");
	must(fs_alloc(w->fs, f.ino, 0, 3 * FS_CLUSTER_SIZE, 3 * FS_CLUSTER_SIZE), "alloc");
	must(finish(w, 0, false), "file");
	commit(w);
	for (unsigned lblk = 0; lblk < 48; lblk += 16) {
		write_data(w, f.ino, lblk);
		write_data(w, f.ino, lblk + 1);
	}
	if (n % 2) {
		begin(w);
		must(finish(w, fs_unlink(w->fs, FS_ROOT_INO, file, false, NULL), false),
		     "unlink file");
		commit(w);
	}
}

/* A tree with an index level: every second block of a preallocated range becomes DATA, then all of
 * it. */
static void fragments(struct workload *w)
{
	struct fs_attr f;

	begin(w);
	must(fs_mknod(w->fs, FS_ROOT_INO, "fragments", &file_mode, &f), "create");
	must(fs_prealloc(w->fs, f.ino, 0, 1 << 20, 1 << 20), "prealloc");
	must(finish(w, 0, false), "prealloc");
	commit(w);
	for (unsigned i = 0; i < 40; i++) {
		begin(w);
		must(finish(w, fs_alloc(w->fs, f.ino, i * 8192, 4096, 0), false), "alloc a block");
		if (i % 8 == 7) {
			commit(w);
			write_data(w, f.ino, i * 2);
		}
	}
	begin(w);
	must(finish(w, fs_alloc(w->fs, f.ino, 0, 1 << 20, 0), false), "alloc the rest");
	commit(w);
	begin(w);
	must(finish(w, fs_punch(w->fs, f.ino, 200000, 500000), false), "punch");
	commit(w);
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
	begin(w);
	must(fs_mknod(w->fs, FS_ROOT_INO, name, &file_mode, &f), "create");
	must(fs_alloc(w->fs, f.ino, 0, 4096, 4096), "alloc");
	must(finish(w, 0, false), "old file");
	commit(w);
	write_data(w, f.ino, 0);
	begin(w);
	must(finish(w, fs_unlink(w->fs, FS_ROOT_INO, name, false, NULL), false), "unlink");
	begin(w);
	sprintf(name, "new%u", n);
	must(fs_mknod(w->fs, FS_ROOT_INO, name, &file_mode, &f), "create");
	must(fs_alloc(w->fs, f.ino, 0, 4096, 4096), "alloc");
	must(finish(w, 0, false), "new file");
	commit(w);
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
	begin(w);
	must(fs_mknod(w->fs, FS_ROOT_INO, name, &file_mode, &f), "create");
	must(fs_alloc(w->fs, f.ino, 0, 65536, 65536), "alloc");
	must(finish(w, 0, false), "file");
	commit(w);
	for (unsigned b = 0; b < 6; b++)
		write_data(w, f.ino, b);
	begin(w);
	if (n == 0)
		must(fs_punch(w->fs, f.ino, 4096, 8192), "punch");
	else if (n == 1)
		must(fs_setattr(w->fs, f.ino, FS_SET_SIZE, &size, NULL), "cut");
	else
		must(fs_zero_range(w->fs, f.ino, 4096, 8192, 0), "zero");
	must(finish(w, 0, false), "bare");
	begin(w);
	must(fs_alloc(w->fs, f.ino, 0, 65536, 65536), "alloc again");
	must(finish(w, 0, false), "fill");
	commit(w);
}

/* From its end, in steps, each a state of its own: asked at every block, so that no call makes two of them. */
static void cut_ahead(struct workload *w, uint32_t ino, uint64_t size)
{
	for (uint64_t at = 4000; at > size / FS_BLOCK_SIZE + 1; at--) {
		must(fs_cut_ahead(w->fs, (struct timespec){ w->now, 0 }, ino, at * FS_BLOCK_SIZE),
		     "cut ahead");
		if (fs_uncommitted(w->fs))
			commit(w);
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
	begin(w);
	must(fs_mknod(w->fs, FS_ROOT_INO, name, &file_mode, &f), "create");
	must(finish(w, 0, false), "file");
	for (unsigned k = 0; k < 14; k++) {
		begin(w);
		must(fs_alloc(w->fs, f.ino, k * 100000, 30000, k * 100000 + 30000), "alloc");
		must(finish(w, 0, false), "fragments");
	}
	commit(w);
	write_data(w, f.ino, 0);
	cut_ahead(w, f.ino, size.size);
	begin(w);
	must(fs_setattr(w->fs, f.ino, FS_SET_SIZE, &size, NULL), "cut");
	must(finish(w, 0, false), "cut");
	commit(w);
	if (n % 2) {
		size.size = 2 << 20;
		begin(w);
		must(fs_setattr(w->fs, f.ino, FS_SET_SIZE, &size, NULL), "grow");
		must(finish(w, 0, false), "grow");
		begin(w);
		must(fs_alloc(w->fs, f.ino, 0, 2 << 20, 0), "alloc");
		must(finish(w, 0, false), "fill");
		commit(w);
	}
	while (fs_has_work(w->fs))
		work(w);
	begin(w);
	must(fs_prealloc(w->fs, f.ino, 0, 700000, 0), "prealloc");
	must(finish(w, 0, false), "prealloc");
	for (unsigned k = 0; k < 10; k++) {
		begin(w);
		must(finish(w, fs_alloc(w->fs, f.ino, k * 12288, 4096, 0), false), "alloc");
	}
	commit(w);
	begin(w);
	must(finish(w, fs_unlink(w->fs, FS_ROOT_INO, name, n % 3 == 0, NULL), false), "unlink");
	commit(w);
	if (n % 3 == 0) {
		begin(w);
		must(finish(w, fs_orphan_free(w->fs, f.ino), false), "orphan");
		commit(w);
	}
	while (fs_has_work(w->fs))
		work(w);
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

	begin(w);
	for (unsigned n = 0; n < 8; n++) {
		sprintf(name, "deep%u", n);
		must(fs_mkdir(w->fs, at, name, &(struct fs_new){ .mode = 0700 }, &d), "mkdir");
		dir[n] = at = d.ino;
	}
	must(fs_mknod(w->fs, at, "pieces", &file_mode, &f), "create");
	must(fs_prealloc(w->fs, f.ino, 0, 3000 * 4096, 3000 * 4096), "prealloc");
	must(finish(w, 0, false), "deep");
	commit(w);
	for (uint64_t b = 0; b < 3000; b += 2) {
		begin(w);
		must(finish(w, fs_convert(w->fs, f.ino, b * 4096, 4096, 0), false), "convert");
		if (b % 250 == 0)
			commit(w);
	}
	commit(w);
	w->max_depth = fs_tree_depth(w->fs, f.ino);
	write_data(w, f.ino, 1500);
	begin(w);
	must(finish(w, fs_punch(w->fs, f.ino, 800 * 4096, 300 * 4096), false), "punch");
	commit(w);
	begin(w);
	must(finish(w, fs_alloc(w->fs, f.ino, 900 * 4096, 100 * 4096, 0), false), "fill");
	begin(w);
	must(fs_rename(w->fs, dir[2], "deep3", FS_ROOT_INO, "moved", 0, NULL), "move");
	must(fs_rename(w->fs, FS_ROOT_INO, "deep0", dir[7], "deep0", 0, NULL), "move below");
	must(finish(w, 0, false), "move");
	commit(w);
	begin(w);
	must(finish(w, fs_zero_range(w->fs, f.ino, 2000 * 4096, 300 * 4096, 0), false), "zeros");
	commit(w);
	begin(w);
	must(finish(w, fs_setattr(w->fs, f.ino, FS_SET_SIZE, &size, NULL), false), "cut");
	commit(w);
	begin(w);
	must(finish(w, fs_setattr(w->fs, f.ino, FS_SET_SIZE, &f, NULL), false), "grow");
	commit(w);
	begin(w);
	must(finish(w, fs_unlink(w->fs, dir[7], "pieces", false, NULL), false), "unlink");
	commit(w);
	for (unsigned n = 0; n < 10 && fs_has_work(w->fs); n++)
		work(w);
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

	begin(w);
	must(fs_mknod(w->fs, FS_ROOT_INO, "filler", &file_mode, &f), "create");
	must(finish(w, 0, false), "filler");
	commit(w);
	fs_statfs(w->fs, &s);
	begin(w);
	r = fs_prealloc(w->fs, f.ino, 0, (s.bavail > 16 ? s.bavail - 16 : 1) * FS_BLOCK_SIZE, 0);
	(void)finish(w, r, false);
	commit(w);
	for (unsigned n = 0; n < 30; n++) {
		if (random_op(w) < 0)
			w->refused++;
		if (fs_uncommitted(w->fs))
			commit(w);
		if (n % 6 == 5) {
			begin(w);
			r = fs_punch(w->fs, f.ino, n * FS_CLUSTER_SIZE, FS_CLUSTER_SIZE);
			must(finish(w, r, false), "a full volume gives back");
			commit(w);
		}
	}
	begin(w);
	must(finish(w, fs_unlink(w->fs, FS_ROOT_INO, "filler", false, NULL), false), "delete");
	commit(w);
	while (fs_has_work(w->fs))
		work(w);
	begin(w); /* found again */
	must(fs_mknod(w->fs, FS_ROOT_INO, "after", &file_mode, &f), "create");
	must(fs_alloc(w->fs, f.ino, 0, 1 << 20, 1 << 20), "alloc");
	must(fs_unlink(w->fs, FS_ROOT_INO, "after", false, NULL), "unlink");
	must(finish(w, 0, false), "after");
	commit(w);
}

/* Operations that get far and are then taken back. */
static void aborts(struct workload *w, unsigned n)
{
	uint32_t ino = find(w, FS_ROOT_INO, "file0");
	struct fs_attr d;
	char name[32];

	sprintf(name, "aborted%u", n);
	begin(w);
	must(fs_mkdir(w->fs, FS_ROOT_INO, name, &(struct fs_new){ .mode = 0700 }, &d), "mkdir");
	must(fs_mknod(w->fs, d.ino, "f", &file_mode, &d), "mknod");
	must(fs_alloc(w->fs, d.ino, 0, 100000, 100000), "alloc");
	(void)finish(w, 0, true);
	begin(w);
	must(fs_unlink(w->fs, FS_ROOT_INO, "file0", n % 2, NULL), "unlink");
	(void)finish(w, 0, true);
	begin(w);
	(void)finish(w, fs_alloc(w->fs, ino, 0, 64u << 20, 64u << 20), false);
	begin(w);
	must(finish(w, fs_setattr(w->fs, ino, FS_SET_MODE, &(struct fs_attr){ .mode = n }, NULL),
		    false),
	     "after aborts");
	commit(w);
}

int workload_run(struct workload *w, struct trace_dev *t, uint64_t seed, unsigned steps,
		 unsigned defects, unsigned checkpoint_blocks, struct cl_error *err)
{
	struct fs_open_options opt = { .volume_uuid = volume_uuid,
				       .defects = defects,
				       .step_extents = 3,
				       .checkpoint_blocks = checkpoint_blocks };
	int r;

	*w = (struct workload){ .t = t, .rng = seed * 77 + 1, .now = 1700000100 };
	r = fs_open(&t->dev, &opt, &w->fs, err);
	if (r < 0)
		return r;
	t->tracing = true;
	take(w);
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
	for (unsigned i = 0; i < steps; i++) {
		for (unsigned k = 1 + rnd(w, 3); k; k--)
			if (random_op(w) < 0)
				w->refused++;
		if (fs_uncommitted(w->fs))
			commit(w);
		if (fs_has_work(w->fs) && rnd(w, 2))
			work(w);
	}
	r = fs_close(w->fs);
	t->tracing = false;
	return r < 0 ? cl_error_errno(err, r, "close") : 0;
}

void workload_fini(struct workload *w)
{
	fs_free(w->fs);
	canon_vec_fini(&w->states);
}
