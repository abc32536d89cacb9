/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random operations, weighted; see workload_int.h. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "csv/fs_int.h"
#include "tests/crash/workload_int.h"

static uint32_t some_dir(struct workload *w)
{
	char name[16];
	uint32_t ino;

	sprintf(name, "d%u", wl_rnd(w, 5));
	ino = wl_find(w, FS_ROOT_INO, name);
	return ino && wl_rnd(w, 4) ? ino : FS_ROOT_INO;
}

static void some_name(struct workload *w, char *name)
{
	unsigned n = wl_rnd(w, 14);

	sprintf(name, "f%u", n);
	if (n > 10) /* long ones, so that directories grow */
		memset(name + strlen(name), 'x', 150), name[152] = 0;
}

struct ctx {
	uint32_t dir, ino;
	char name[256];
	uint64_t off, len;
};

static int op_create(struct workload *w, struct ctx *c)
{
	return fs_mknod(w->fs, c->dir, c->name, &file_mode, NULL);
}

static int op_mkdir(struct workload *w, struct ctx *c)
{
	sprintf(c->name, "d%u", wl_rnd(w, 5));
	return fs_mkdir(w->fs, wl_rnd(w, 3) ? FS_ROOT_INO : c->dir, c->name,
			&(struct fs_new){ .mode = 0755 | (wl_rnd(w, 2) ? 02000 : 0), .gid = 5 },
			NULL);
}

static int op_rmdir(struct workload *w, struct ctx *c)
{
	sprintf(c->name, "d%u", wl_rnd(w, 5));
	return fs_rmdir(w->fs, wl_rnd(w, 3) ? FS_ROOT_INO : c->dir, c->name);
}

static int op_unlink(struct workload *w, struct ctx *c)
{
	return fs_unlink(w->fs, c->dir, c->name, wl_rnd(w, 3) == 0, NULL);
}

static int op_orphan_free(struct workload *w, struct ctx *c)
{
	uint32_t ino = 0;

	(void)c;
	for (unsigned n = wl_rnd(w, 4) + 1; n; n--)
		if (fs_orphan_next(w->fs, ino, &ino) < 0 || !ino)
			return -ENOENT;
	return fs_orphan_free(w->fs, ino);
}

static int op_rename(struct workload *w, struct ctx *c)
{
	uint32_t to = some_dir(w);
	char name[256];

	some_name(w, name);
	if (wl_rnd(w, 5) == 0) {
		sprintf(c->name, "d%u", wl_rnd(w, 5));
		sprintf(name, "d%u", wl_rnd(w, 5));
	}
	return fs_rename(w->fs, c->dir, c->name, to, name,
			 wl_rnd(w, 2) ? FS_RENAME_REPLACED_OPEN : 0, NULL);
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
	unsigned len = wl_rnd(w, 2) ? 20 : 300;

	memset(target, 'a' + (int)wl_rnd(w, 26), len);
	target[len] = 0;
	return fs_symlink(w->fs, c->dir, c->name, target, &(struct fs_new){ .uid = 3 }, NULL);
}

static int op_node(struct workload *w, struct ctx *c)
{
	struct fs_new n = { .mode = S_IFCHR | 0600, .rdev = wl_rnd(w, 2) ? 0x103 : 0x12345 };

	return fs_mknod(w->fs, c->dir, c->name, &n, NULL);
}

static int op_size(struct workload *w, struct ctx *c)
{
	struct fs_attr a = { .size = (uint64_t)wl_rnd(w, 3) * 70000 + wl_rnd(w, 300000) };

	return c->ino ? fs_setattr(w->fs, c->ino, FS_SET_SIZE, &a, NULL) : -ENOENT;
}

static int op_attr(struct workload *w, struct ctx *c)
{
	struct fs_attr a = { .mode = wl_rnd(w, 07777),
			     .uid = wl_rnd(w, 200000),
			     .gid = 70000,
			     .mtime = { 5000000000, 999999999 } };

	return c->ino ? fs_setattr(w->fs, c->ino,
				   FS_SET_MODE | FS_SET_UID | FS_SET_GID | FS_SET_MTIME, &a, NULL)
		      : -ENOENT;
}

static int op_alloc(struct workload *w, struct ctx *c)
{
	return c->ino ? fs_alloc(w->fs, c->ino, c->off, c->len, wl_rnd(w, 3) ? c->off + c->len : 0)
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
				      wl_rnd(w, 2) ? (c->off & ~4095ull) + c->len : 0)
		      : -ENOENT;
}

static int op_trim(struct workload *w, struct ctx *c)
{
	return c->ino ? fs_trim(w->fs, c->ino) : -ENOENT;
}

static int op_xattr(struct workload *w, struct ctx *c)
{
	char name[32], value[3000];
	unsigned len = wl_rnd(w, 3) ? wl_rnd(w, 60) : wl_rnd(w, 3000);

	if (!c->ino)
		return -ENOENT;
	sprintf(name, "user.a%u", wl_rnd(w, 3));
	if (wl_rnd(w, 4) == 0)
		return fs_xattr_remove(w->fs, c->ino, name);
	memset(value, 'a' + (int)wl_rnd(w, 26), sizeof(value));
	return fs_xattr_set(w->fs, c->ino, name, value, len, 0);
}

static int op_record(struct workload *w, struct ctx *c)
{
	struct fs_record_key key = { wl_rnd(w, 4), 77, wl_rnd(w, 40) };
	uint8_t data[FS_RECORD_MAX];

	(void)c;
	memset(data, (int)wl_rnd(w, 256), sizeof(data));
	if (wl_rnd(w, 3) == 0)
		return fs_record_drop(w->fs, wl_rnd(w, 2), &key);
	return fs_record_put(w->fs, wl_rnd(w, 2), &key, data, wl_rnd(w, FS_RECORD_MAX));
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

	if (r == 0 && wl_rnd(w, 2))
		r = fs_prealloc(w->fs, a.ino, 0, c->len, 0);
	if (r == 0 && wl_rnd(w, 2))
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
		memset(block, (int)wl_rnd(w, 256), sizeof(block));
		wl_write_block(w, e.pblk, block);
	}
}

/* A write to new blocks, its data before its map: two operations, mostly in one transaction. */
static int data_first(struct workload *w, struct ctx *c)
{
	uint64_t off = c->off & ~4095ull, len = (c->len | 4095) + 1;
	struct fs_attr a;
	int r;

	wl_begin(w);
	r = c->ino ? fs_prepare(w->fs, c->ino, off, len, wl_rnd(w, 2) ? 1 << 18 : 0) : -ENOENT;
	r = wl_finish(w, r, false);
	if (r < 0)
		return r;
	if (wl_rnd(w, 4) == 0)
		wl_commit(w);
	write_mapped(w, c->ino, off / FS_BLOCK_SIZE, (off + len) / FS_BLOCK_SIZE);
	wl_begin(w);
	r = fs_getattr(w->fs, c->ino, &a);
	if (r == 0)
		r = fs_convert(w->fs, c->ino, off, len, off + len > a.size ? off + len : 0);
	return wl_finish(w, r, wl_rnd(w, 10) == 0);
}

int wl_random_op(struct workload *w)
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
		c.ino = wl_find(w, c.dir, c.name);
	}
	if (wl_rnd(w, 4) == 0)
		some_name(w, c.name);
	c.off = (uint64_t)wl_rnd(w, 60) * 4096 + wl_rnd(w, 2) * wl_rnd(w, 4096);
	c.len = 1 + wl_rnd(w, wl_rnd(w, 4) ? 20000 : 200000);
	if (wl_rnd(w, 8) == 0)
		return data_first(w, &c);
	k = wl_rnd(w, total);
	wl_begin(w);
	for (size_t i = 0;; i++) {
		if (k < table[i].weight) {
			r = table[i].fn(w, &c);
			break;
		}
		k -= table[i].weight;
	}
	r = wl_finish(w, r, wl_rnd(w, 6) == 0);
	if (r == 0 && c.ino && wl_rnd(w, 2))
		wl_write_data(w, c.ino, c.off / FS_BLOCK_SIZE);
	return r;
}
