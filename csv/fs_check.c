/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One walk over groups, inodes and clusters. Every cluster has two bits: `owned`, somebody was seen to have it, and
 * `moved`, it was allocated or freed since the walk began (fs_hook.c tells). A cluster that did not move has the
 * owner that it had at the beginning, so that nothing has to be looked at twice, and a moved one is not judged.
 */
#include "config.h"

#include "csv/fs_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "csv/fs_int.h"

#define GROUPS_A_STEP 16
#define TABLE_BLOCKS_A_STEP 16
#define CLUSTERS_A_STEP 65536
#define TOLD_MAX 100

enum phase { GROUPS, INODES, CLUSTERS, DONE };

struct fs_check {
	struct fs *fs;
	fs_check_problem_fn problem;
	void *user;
	struct fs_check_report report;
	enum phase phase;
	uint64_t at; /* group, block of inode tables, cluster */
	uint64_t n_clusters, ownerless, first_ownerless;
	uint8_t *owned, *moved;
	/* The descriptors as they were committed; e2 is what libext2fs's checksums need. */
	struct struct_ext2_filsys e2;
	uint8_t *desc;
};

/* ---- telling ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void found(struct fs_check *c, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	if (c->report.problems++ >= TOLD_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->problem(c->user, text);
}

/* ---- clusters --------------------------------------------------------------------------------- */

static bool bit(const uint8_t *bits, uint64_t n)
{
	return bits[n / 8] >> n % 8 & 1;
}

static void set_bit(uint8_t *bits, uint64_t n)
{
	bits[n / 8] |= (uint8_t)(1u << n % 8);
}

void fs_check_moved(struct fs_check *c, uint64_t blk, uint64_t n_blocks)
{
	for (uint64_t k = blk / FS_RATIO; k <= (blk + n_blocks - 1) / FS_RATIO; k++)
		if (k < c->n_clusters)
			set_bit(c->moved, k);
}

/* Group metadata: several kinds share a cluster. */
static void own_meta(struct fs_check *c, uint64_t blk, uint64_t n)
{
	for (uint64_t k = blk / FS_RATIO; n && k <= (blk + n - 1) / FS_RATIO; k++)
		if (k < c->n_clusters)
			set_bit(c->owned, k);
}

static void own(struct fs_check *c, uint32_t ino, uint64_t cluster)
{
	if (!bit(c->moved, cluster)) {
		if (bit(c->owned, cluster))
			found(c, "inode %u: cluster %llu has another owner", ino,
			      (unsigned long long)cluster);
		if (!ext2fs_test_block_bitmap2(c->fs->e2->block_map, cluster * FS_RATIO))
			found(c, "inode %u: cluster %llu is marked as free", ino,
			      (unsigned long long)cluster);
	}
	set_bit(c->owned, cluster);
	c->report.clusters++;
}

/* A block as it is now: what waits to be written home in memory, otherwise the device's, past the cache. */
static int read_meta(struct fs_check *c, uint64_t blk, uint8_t *ret)
{
	struct fs_buf *b = fs_buf_peek(c->fs, blk);

	if (b && (b->tx || b->log)) {
		memcpy(ret, b->data, FS_BLOCK_SIZE);
		return 0;
	}
	return fs_dev_read(c->fs->dev, blk * FS_BLOCK_SIZE, ret, FS_BLOCK_SIZE);
}

/* ---- groups ----------------------------------------------------------------------------------- */

static int read_descriptors(struct fs_check *c, uint32_t group)
{
	uint32_t per = EXT2_DESC_PER_BLOCK(c->fs->e2->super);

	return read_meta(c,
			 ext2fs_descriptor_block_loc2(
				 c->fs->e2, c->fs->e2->super->s_first_data_block, group / per),
			 c->desc + (size_t)(group / per) * FS_BLOCK_SIZE);
}

static uint32_t zeros_in(const uint8_t *bits, uint32_t n)
{
	uint32_t zeros = 0;

	for (uint32_t i = 0; i < n; i++)
		zeros += !bit(bits, i);
	return zeros;
}

static int check_bitmaps(struct fs_check *c, uint32_t g)
{
	uint32_t clusters = EXT2_CLUSTERS_PER_GROUP(c->e2.super),
		 inodes = EXT2_INODES_PER_GROUP(c->e2.super);
	uint8_t bits[FS_BLOCK_SIZE];
	int r = 0;

	if (!ext2fs_bg_flags_test(&c->e2, g, EXT2_BG_BLOCK_UNINIT)) {
		r = read_meta(c, ext2fs_block_bitmap_loc(&c->e2, g), bits);
		if (r < 0)
			return r;
		if (!ext2fs_block_bitmap_csum_verify(&c->e2, g, (char *)bits, (int)(clusters / 8)))
			found(c, "group %u: wrong checksum of the block bitmap", g);
		else if (zeros_in(bits, clusters) != ext2fs_bg_free_blocks_count(&c->e2, g))
			found(c, "group %u: %u clusters are free, not %u", g,
			      zeros_in(bits, clusters), ext2fs_bg_free_blocks_count(&c->e2, g));
	}
	if (!ext2fs_bg_flags_test(&c->e2, g, EXT2_BG_INODE_UNINIT)) {
		r = read_meta(c, ext2fs_inode_bitmap_loc(&c->e2, g), bits);
		if (r < 0)
			return r;
		if (!ext2fs_inode_bitmap_csum_verify(&c->e2, g, (char *)bits, (int)(inodes / 8)))
			found(c, "group %u: wrong checksum of the inode bitmap", g);
		else if (zeros_in(bits, inodes) != ext2fs_bg_free_inodes_count(&c->e2, g))
			found(c, "group %u: %u inodes are free, not %u", g, zeros_in(bits, inodes),
			      ext2fs_bg_free_inodes_count(&c->e2, g));
	}
	return r;
}

static int check_group(struct fs_check *c, uint32_t g)
{
	blk64_t super, old_desc, new_desc;
	blk_t used;
	int r = read_descriptors(c, g);

	if (r < 0)
		return r;
	if (!ext2fs_group_desc_csum_verify(&c->e2, g)) {
		found(c, "group %u: wrong checksum of its descriptor", g);
		return 0;
	}
	(void)ext2fs_super_and_bgd_loc2(&c->e2, g, &super, &old_desc, &new_desc, &used);
	own_meta(c, ext2fs_group_first_block2(&c->e2, g), used);
	own_meta(c, ext2fs_block_bitmap_loc(&c->e2, g), 1);
	own_meta(c, ext2fs_inode_bitmap_loc(&c->e2, g), 1);
	own_meta(c, ext2fs_inode_table_loc(&c->e2, g), c->e2.inode_blocks_per_group);
	return check_bitmaps(c, g);
}

static int step_groups(struct fs_check *c)
{
	int r = 0;

	for (int n = 0; n < GROUPS_A_STEP && r == 0 && c->at < c->e2.group_desc_count; n++)
		r = check_group(c, (uint32_t)c->at++);
	if (r == 0 && c->at >= c->e2.group_desc_count) {
		c->phase = INODES;
		c->at = 0;
	}
	return r;
}

/* ---- inodes ----------------------------------------------------------------------------------- */

struct walk {
	uint64_t next_lblk, last_cluster;
	bool bad;
};

static void check_extent(struct fs_check *c, uint32_t ino, const struct ext2fs_extent *e,
			 struct walk *w)
{
	bool leaf = e->e_flags & EXT2_EXTENT_FLAGS_LEAF;
	uint64_t len = leaf ? e->e_len : 1, last = (e->e_pblk + len - 1) / FS_RATIO;

	if (e->e_flags & EXT2_EXTENT_FLAGS_SECOND_VISIT)
		return;
	if (!e->e_pblk || !len || last >= c->n_clusters ||
	    (leaf && (e->e_lblk < w->next_lblk || e->e_lblk % FS_RATIO != e->e_pblk % FS_RATIO))) {
		found(c, "inode %u: the extent at block %llu is wrong", ino,
		      (unsigned long long)e->e_lblk);
		w->bad = true;
		return;
	}
	/* Two extents may share a cluster, if they follow each other. */
	for (uint64_t k = e->e_pblk / FS_RATIO; k <= last; k++)
		if (!leaf || k != w->last_cluster)
			own(c, ino, k);
	if (leaf) {
		w->last_cluster = last;
		w->next_lblk = e->e_lblk + len;
	}
}

/* libext2fs compares the checksums of the tree's blocks as it reads them. */
static int check_tree(struct fs_check *c, struct fs_inode *i)
{
	struct walk w = { .last_cluster = UINT64_MAX };
	struct ext2fs_extent e;
	errcode_t err;
	fs_tree t;
	int r = fs_tree_open(c->fs, i, &t);

	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		found(c, "inode %u: its extent tree cannot be read", i->ino);
		return 0;
	}
	err = ext2fs_extent_get(t, EXT2_EXTENT_ROOT, &e);
	while (!err && !w.bad) {
		check_extent(c, i->ino, &e, &w);
		err = ext2fs_extent_get(t, EXT2_EXTENT_NEXT, &e);
	}
	fs_tree_close(&t);
	if (err == ENOMEM || err == EIO || err == ENOLINK)
		return -(int)err;
	if (err && err != EXT2_ET_EXTENT_NO_NEXT && err != EXT2_ET_NO_CURRENT_NODE)
		found(c, "inode %u: its extent tree is damaged: %s", i->ino, error_message(err));
	return 0;
}

struct names {
	struct fs_check *c;
	uint32_t dir;
};

static int check_name(void *user, const struct fs_dirent *d)
{
	struct names *n = user;
	struct fs *fs = n->c->fs;

	if (!d->ino || d->ino > fs->e2->super->s_inodes_count ||
	    !ext2fs_test_inode_bitmap2(fs->e2->inode_map, d->ino))
		found(n->c, "directory %u: the name '%.60s' leads to inode %u, which is not in use",
		      n->dir, d->name, d->ino);
	return 0;
}

static int check_inode(struct fs_check *c, uint32_t ino, const uint8_t *raw)
{
	struct fs_inode i = { .ino = ino };
	struct names n = { c, ino };
	uint64_t ea;
	int r = 0;

	memcpy(&i.raw, raw, sizeof(i.raw));
	if (ino < EXT2_FIRST_INO(c->e2.super) && !i.raw.i_mode)
		return 0;
	c->report.inodes++;
	if (!ext2fs_inode_csum_verify(c->fs->e2, ino, (struct ext2_inode_large *)(uintptr_t)raw)) {
		found(c, "inode %u: wrong checksum", ino);
		return 0;
	}
	ea = i.raw.i_file_acl | (uint64_t)i.raw.osd2.linux2.l_i_file_acl_high << 32;
	if (ea)
		own_meta(c, ea, 1); /* may have several owners */
	if (fs_inode_has_extents(&i))
		r = check_tree(c, &i);
	if (r == 0 && LINUX_S_ISDIR(i.raw.i_mode)) {
		r = fs_dir_foreach(c->fs, &i, 0, check_name, &n);
		if (r == -EUCLEAN)
			found(c, "directory %u: damaged", ino);
		r = r == -EUCLEAN ? 0 : r;
	}
	return r;
}

/* The inodes of one block of a group's table. */
static int check_table_block(struct fs_check *c, uint32_t g, uint32_t n)
{
	uint32_t size = EXT2_INODE_SIZE(c->e2.super), per = FS_BLOCK_SIZE / size,
		 first = g * EXT2_INODES_PER_GROUP(c->e2.super) + n * per + 1;
	uint8_t block[FS_BLOCK_SIZE];
	bool any = false;
	int r = 0;

	for (uint32_t k = 0; k < per; k++)
		any |= ext2fs_test_inode_bitmap2(c->fs->e2->inode_map, first + k) != 0;
	if (!any)
		return 0;
	r = read_meta(c, ext2fs_inode_table_loc(c->fs->e2, g) + n, block);
	for (uint32_t k = 0; k < per && r == 0; k++)
		if (ext2fs_test_inode_bitmap2(c->fs->e2->inode_map, first + k))
			r = check_inode(c, first + k, block + (size_t)k * size);
	return r;
}

static int step_inodes(struct fs_check *c)
{
	uint32_t per = c->e2.inode_blocks_per_group;
	uint64_t end = (uint64_t)per * c->e2.group_desc_count;
	int r = 0;

	for (int n = 0; n < TABLE_BLOCKS_A_STEP && r == 0 && c->at < end; n++, c->at++)
		r = check_table_block(c, (uint32_t)(c->at / per), (uint32_t)(c->at % per));
	if (r == 0 && c->at >= end) {
		c->phase = CLUSTERS;
		c->at = 0;
	}
	return r;
}

/* ---- clusters without an owner ------------------------------------------------------------------ */

static int step_clusters(struct fs_check *c)
{
	for (int n = 0; n < CLUSTERS_A_STEP && c->at < c->n_clusters; n++, c->at++) {
		if (bit(c->owned, c->at) || bit(c->moved, c->at) ||
		    !ext2fs_test_block_bitmap2(c->fs->e2->block_map, c->at * FS_RATIO))
			continue;
		if (!c->ownerless++)
			c->first_ownerless = c->at;
	}
	if (c->at < c->n_clusters)
		return 0;
	if (c->ownerless)
		found(c, "%llu clusters are in use and nobody has them, the first is %llu",
		      (unsigned long long)c->ownerless, (unsigned long long)c->first_ownerless);
	c->phase = DONE;
	return 0;
}

/* ---- all of it -------------------------------------------------------------------------------- */

int fs_check_new(struct fs *fs, fs_check_problem_fn problem, void *user, struct fs_check **ret)
{
	_cleanup_(fs_check_freep) struct fs_check *c = NULL;
	uint64_t clusters = ext2fs_blocks_count(fs->e2->super) / FS_RATIO;

	if (fs->check)
		return -EBUSY;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fs = fs;
	c->problem = problem;
	c->user = user;
	c->n_clusters = clusters;
	c->owned = calloc(clusters / 8 + 1, 1);
	c->moved = calloc(clusters / 8 + 1, 1);
	c->desc = calloc(fs->e2->desc_blocks, FS_BLOCK_SIZE);
	if (!c->owned || !c->moved || !c->desc)
		return -ENOMEM;
	c->e2 = *fs->e2;
	c->e2.group_desc = (struct opaque_ext2_group_desc *)(void *)c->desc;
	/* Freed, and waiting for the commit: in use in memory, and nobody's. */
	for (size_t i = 0; i < fs->tx.frees.n; i++)
		fs_check_moved(c, fs->tx.frees.v[i].blk, fs->tx.frees.v[i].len);
	fs->check = c;
	*ret = cl_steal(c);
	return 0;
}

static unsigned permille(const struct fs_check *c)
{
	uint64_t inodes = (uint64_t)c->e2.inode_blocks_per_group * c->e2.group_desc_count;

	switch (c->phase) {
	case GROUPS:
		return (unsigned)(c->at * 100 / c->e2.group_desc_count);
	case INODES:
		return (unsigned)(100 + c->at * 800 / inodes);
	case CLUSTERS:
		return (unsigned)(900 + c->at * 100 / c->n_clusters);
	case DONE:
	default:
		return 1000;
	}
}

int fs_check_step(struct fs_check *c, struct fs_check_report *ret)
{
	int r = 0;

	if (c->fs->dead)
		return -EROFS;
	if (c->phase == GROUPS)
		r = step_groups(c);
	else if (c->phase == INODES)
		r = step_inodes(c);
	else if (c->phase == CLUSTERS)
		r = step_clusters(c);
	if (r < 0)
		return r;
	c->report.done = c->phase == DONE;
	c->report.permille = permille(c);
	*ret = c->report;
	return 0;
}

void fs_check_free(struct fs_check *c)
{
	if (!c)
		return;
	if (c->fs->check == c)
		c->fs->check = NULL;
	free(c->owned);
	free(c->moved);
	free(c->desc);
	free(c);
}
