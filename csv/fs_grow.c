/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/fs_grow.h"

#include <string.h>

#include "csv/fs_int.h"

/*
 * The larger file system: `e2` is what libext2fs's functions for places and checksums need of one, with a superblock and
 * descriptors of its own. The volume's own object keeps the old size.
 */
struct grow {
	struct fs *fs;
	struct ext2_super_block sb;
	struct struct_ext2_filsys e2;
	uint8_t *desc;
	uint64_t old_blocks, new_blocks;
	uint32_t old_groups, new_groups;
};

static uint32_t per_group(const struct grow *g)
{
	return g->sb.s_blocks_per_group;
}

static uint64_t first_of(const struct grow *g, uint32_t group)
{
	return (uint64_t)group * per_group(g);
}

static uint64_t blocks_of(const struct grow *g, uint32_t group)
{
	uint64_t left = g->new_blocks - first_of(g, group);

	return left < per_group(g) ? left : per_group(g);
}

/* Blocks at the start of a group that copies of superblock and descriptors take. */
static uint32_t copies_in(struct grow *g, uint32_t group, blk64_t *super, blk64_t *old_desc,
			  blk64_t *new_desc)
{
	blk_t used;

	(void)ext2fs_super_and_bgd_loc2(&g->e2, group, super, old_desc, new_desc, &used);
	return used;
}

/* Clusters of a new group that its own metadata takes. */
static uint64_t meta_clusters(struct grow *g, uint32_t group)
{
	blk64_t a, b, c;
	uint64_t n = copies_in(g, group, &a, &b, &c) + 2 + g->e2.inode_blocks_per_group;

	return fs_cluster_up(n) / FS_RATIO;
}

/* ---- the new geometry ----------------------------------------------------------------------- */

static void set_size(struct grow *g, uint64_t blocks)
{
	uint32_t per_block = EXT2_DESC_PER_BLOCK(&g->sb);

	g->new_blocks = blocks;
	g->new_groups = (uint32_t)((blocks + per_group(g) - 1) / per_group(g));
	g->e2.group_desc_count = g->new_groups;
	g->e2.desc_blocks = (g->new_groups + per_block - 1) / per_block;
	ext2fs_blocks_count_set(&g->sb, blocks);
}

static int plan(struct grow *g, struct cl_error *err)
{
	uint64_t blocks = fs_cluster_down(g->fs->dev->bytes / FS_BLOCK_SIZE), tail;
	uint32_t old_desc_blocks = g->fs->e2->desc_blocks;

	if (blocks <= g->old_blocks)
		blocks = g->old_blocks;
	if (blocks / per_group(g) + 1 > UINT32_MAX / g->sb.s_inodes_per_group)
		return cl_error_set(err, -EFBIG, "the device is too large for the volume's inodes");
	set_size(g, blocks);
	if (g->e2.desc_blocks > old_desc_blocks && !ext2fs_has_feature_meta_bg(&g->sb)) {
		ext2fs_set_feature_meta_bg(&g->sb);
		g->sb.s_first_meta_bg = old_desc_blocks;
	}
	tail = blocks_of(g, g->new_groups - 1);
	if (g->new_groups > g->old_groups &&
	    tail / FS_RATIO < meta_clusters(g, g->new_groups - 1) + FS_RATIO)
		set_size(g, blocks - tail);
	if (g->e2.desc_blocks <= old_desc_blocks) { /* as it was */
		g->sb.s_feature_incompat = g->fs->e2->super->s_feature_incompat;
		g->sb.s_first_meta_bg = g->fs->e2->super->s_first_meta_bg;
	}
	return 0;
}

static int init(struct grow *g, struct fs *fs)
{
	size_t old = (size_t)fs->e2->desc_blocks * FS_BLOCK_SIZE;

	g->fs = fs;
	g->sb = *fs->e2->super;
	g->e2 = *fs->e2;
	g->e2.super = &g->sb;
	g->old_blocks = ext2fs_blocks_count(fs->e2->super);
	g->old_groups = fs->e2->group_desc_count;
	g->desc = calloc(1, old + (size_t)(fs->dev->bytes / FS_BLOCK_SIZE / per_group(g) + 65) *
					    EXT2_DESC_SIZE(&g->sb));
	if (!g->desc)
		return -ENOMEM;
	memcpy(g->desc, fs->e2->group_desc, old);
	g->e2.group_desc = (struct opaque_ext2_group_desc *)(void *)g->desc;
	return 0;
}

/* ---- new groups, behind the old end --------------------------------------------------------- */

static int write_bitmaps(struct grow *g, uint32_t group, uint64_t meta)
{
	uint64_t clusters = blocks_of(g, group) / FS_RATIO;
	uint8_t bits[2 * FS_BLOCK_SIZE];

	memset(bits, 0xff, sizeof(bits));
	for (uint64_t c = meta; c < clusters; c++)
		ext2fs_clear_bit((unsigned)c, bits);
	for (uint32_t i = 0; i < g->sb.s_inodes_per_group; i++)
		ext2fs_clear_bit(i, bits + FS_BLOCK_SIZE);
	(void)ext2fs_block_bitmap_csum_set(&g->e2, group, (char *)bits,
					   (int)(g->sb.s_clusters_per_group / 8));
	(void)ext2fs_inode_bitmap_csum_set(&g->e2, group, (char *)bits + FS_BLOCK_SIZE,
					   (int)(g->sb.s_inodes_per_group / 8));
	return fs_dev_write(g->fs->dev, ext2fs_block_bitmap_loc(&g->e2, group) * FS_BLOCK_SIZE,
			    bits, sizeof(bits), 0);
}

static int add_group(struct grow *g, uint32_t group)
{
	blk64_t a, b, c, at = first_of(g, group) + copies_in(g, group, &a, &b, &c);
	uint64_t meta = meta_clusters(g, group), n = blocks_of(g, group) / FS_RATIO - meta;
	uint32_t inodes = g->sb.s_inodes_per_group;
	int r;

	ext2fs_block_bitmap_loc_set(&g->e2, group, at);
	ext2fs_inode_bitmap_loc_set(&g->e2, group, at + 1);
	ext2fs_inode_table_loc_set(&g->e2, group, at + 2);
	ext2fs_bg_free_blocks_count_set(&g->e2, group, (__u32)n);
	ext2fs_bg_free_inodes_count_set(&g->e2, group, inodes);
	ext2fs_bg_itable_unused_set(&g->e2, group, inodes);
	ext2fs_bg_flags_set(&g->e2, group, EXT2_BG_INODE_UNINIT | EXT2_BG_INODE_ZEROED);
	r = fs_dev_zero(g->fs->dev, (at + 2) * FS_BLOCK_SIZE,
			(uint64_t)g->e2.inode_blocks_per_group * FS_BLOCK_SIZE);
	if (r == 0)
		r = write_bitmaps(g, group, meta);
	ext2fs_group_desc_csum_set(&g->e2, group);
	ext2fs_free_blocks_count_add(&g->sb, n * FS_RATIO);
	g->sb.s_inodes_count += inodes;
	g->sb.s_free_inodes_count += inodes;
	if (g->sb.s_overhead_clusters)
		g->sb.s_overhead_clusters += (uint32_t)meta;
	return r;
}

/* ---- the old part, in one transaction -------------------------------------------------------- */

/* The last group gets what was behind it, up to its full size. */
static int fill_last_group(struct grow *g)
{
	uint32_t group = g->old_groups - 1;
	uint64_t from = (g->old_blocks - first_of(g, group)) / FS_RATIO,
		 to = blocks_of(g, group) / FS_RATIO;
	uint8_t bits[FS_BLOCK_SIZE];
	struct fs_buf *b;
	int r;

	if (from >= to)
		return 0;
	ext2fs_bg_free_blocks_count_set(
		&g->e2, group, ext2fs_bg_free_blocks_count(&g->e2, group) + (__u32)(to - from));
	ext2fs_free_blocks_count_add(&g->sb, (to - from) * FS_RATIO);
	if (ext2fs_bg_flags_test(&g->e2, group, EXT2_BG_BLOCK_UNINIT)) {
		ext2fs_group_desc_csum_set(&g->e2, group);
		return 0; /* nothing is there to be changed */
	}
	r = fs_buf_get(g->fs, ext2fs_block_bitmap_loc(&g->e2, group), &b);
	if (r < 0)
		return r;
	memcpy(bits, b->data, sizeof(bits));
	for (uint64_t c = from; c < to; c++)
		ext2fs_clear_bit((unsigned)c, bits);
	(void)ext2fs_block_bitmap_csum_set(&g->e2, group, (char *)bits,
					   (int)(g->sb.s_clusters_per_group / 8));
	ext2fs_group_desc_csum_set(&g->e2, group);
	return fs_buf_write(g->fs, ext2fs_block_bitmap_loc(&g->e2, group), bits);
}

/* Descriptor blocks from that of the old last group on: in the old part journalled, behind it directly. */
static int write_descriptors(struct grow *g, bool old_part)
{
	uint32_t n = (g->old_groups - 1) / EXT2_DESC_PER_BLOCK(&g->sb);

	for (; n < g->e2.desc_blocks; n++) {
		blk64_t at = ext2fs_descriptor_block_loc2(&g->e2, g->sb.s_first_data_block, n);
		const uint8_t *data = g->desc + (size_t)n * FS_BLOCK_SIZE;
		int r = 0;

		if (old_part && at < g->old_blocks)
			r = fs_buf_write(g->fs, at, data);
		else if (!old_part && at >= g->old_blocks)
			r = fs_dev_write(g->fs->dev, at * FS_BLOCK_SIZE, data, FS_BLOCK_SIZE, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

static int switch_over(struct grow *g, struct timespec now)
{
	int r = fs_begin(g->fs, now);

	if (r < 0)
		return r;
	r = fill_last_group(g);
	if (r == 0)
		r = write_descriptors(g, true);
	if (r == 0) {
		*g->fs->e2->super = g->sb; /* the commit writes it */
		r = fs_end(g->fs);
	}
	if (r < 0) {
		fs_abort(g->fs);
		return r;
	}
	return fs_commit(g->fs);
}

/* ---- backups -------------------------------------------------------------------------------- */

static int write_super_copy(struct grow *g, uint32_t group, uint64_t at)
{
	uint8_t block[FS_BLOCK_SIZE] = { 0 };
	struct ext2_super_block *sb = (struct ext2_super_block *)(void *)block;

	memcpy(sb, &g->sb, sizeof(*sb));
	sb->s_block_group_nr = (uint16_t)group;
	ext2fs_clear_feature_journal_needs_recovery(sb);
	ext2fs_superblock_csum_set(&g->e2, sb);
	return fs_dev_write(g->fs->dev, at * FS_BLOCK_SIZE, block, sizeof(block), 0);
}

static int write_copies(struct grow *g, uint32_t group)
{
	uint32_t per_block = EXT2_DESC_PER_BLOCK(&g->sb), n = g->e2.desc_blocks;
	blk64_t super, old_desc, new_desc;
	int r = 0;

	(void)copies_in(g, group, &super, &old_desc, &new_desc);
	if (ext2fs_has_feature_meta_bg(&g->sb) && n > g->sb.s_first_meta_bg)
		n = g->sb.s_first_meta_bg;
	if (super)
		r = write_super_copy(g, group, super);
	if (r == 0 && old_desc)
		r = fs_dev_write(g->fs->dev, old_desc * FS_BLOCK_SIZE, g->desc,
				 (size_t)n * FS_BLOCK_SIZE, 0);
	if (r == 0 && new_desc)
		r = fs_dev_write(g->fs->dev, new_desc * FS_BLOCK_SIZE,
				 g->desc + (size_t)(group / per_block) * FS_BLOCK_SIZE,
				 FS_BLOCK_SIZE, 0);
	return r;
}

/* Whether group has the descriptors that are used, not a copy. */
static bool has_primary(struct grow *g, uint32_t group)
{
	return group == 0 || (ext2fs_has_feature_meta_bg(&g->sb) &&
			      group >= g->sb.s_first_meta_bg * EXT2_DESC_PER_BLOCK(&g->sb) &&
			      group % EXT2_DESC_PER_BLOCK(&g->sb) == 0);
}

static int write_backups(struct grow *g)
{
	int r = 0;

	for (uint32_t group = 1; group < g->new_groups && r == 0; group++) {
		blk64_t super, a, b;

		(void)copies_in(g, group, &super, &a, &b);
		if (!has_primary(g, group))
			r = write_copies(g, group);
		else if (super)
			r = write_super_copy(g, group, super);
	}
	return r == 0 ? fs_dev_flush(g->fs->dev) : r;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int grow(struct grow *g, struct cl_error *err)
{
	struct timespec now;
	int r = plan(g, err);

	(void)clock_gettime(CLOCK_REALTIME, &now);
	for (uint32_t group = g->old_groups; group < g->new_groups && r == 0; group++)
		r = add_group(g, group);
	if (r == 0)
		r = write_descriptors(g, false);
	if (r == 0)
		r = fs_dev_flush(g->fs->dev);
	if (r == 0 && g->new_blocks > g->old_blocks)
		r = switch_over(g, now);
	if (r == 0)
		r = fs_close(g->fs);
	if (r == 0)
		r = write_backups(g);
	return r;
}

int fs_grow(struct fs_dev *dev, const uint8_t *volume_uuid, uint64_t *ret_old, uint64_t *ret_new,
	    struct cl_error *err)
{
	struct fs_open_options opt = { .volume_uuid = volume_uuid };
	_cleanup_(fs_freep) struct fs *fs = NULL, *again = NULL;
	struct grow g = { 0 };
	int r = fs_open(dev, &opt, &fs, err);

	if (r < 0)
		return r;
	r = init(&g, fs);
	if (r == 0)
		r = grow(&g, err);
	free(g.desc);
	if (r < 0)
		return cl_error_errno(err, r, "grow the volume");
	/* What was written is read, and every group's checksum compared. */
	r = fs_open(dev, &opt, &again, err);
	if (r < 0)
		return r;
	*ret_old = g.old_blocks * FS_BLOCK_SIZE;
	*ret_new = g.new_blocks * FS_BLOCK_SIZE;
	return 0;
}
