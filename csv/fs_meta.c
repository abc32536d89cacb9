/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From libext2fs's memory into journalled blocks: the bitmaps and descriptors of the groups that
 * the transaction touched, and the superblock. libext2fs's own flush writes all groups and past any
 * journal, so it is never called. Order: bitmap, its checksum into the descriptor, the descriptor's
 * checksum, superblock.
 *
 * Only whole descriptors of dirty groups are copied into the table's blocks: libext2fs clears
 * UNINIT flags in memory of groups where it merely looked, and such a flag must not reach the disk
 * without the bitmap.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

/* Replace a block in the running transaction, if it changed. */
static int put_block(struct fs *fs, uint64_t blk, const void *data)
{
	struct fs_buf *b;
	int r = fs_buf_get(fs, blk, &b);

	if (r < 0)
		return r;
	if (memcmp(b->data, data, FS_BLOCK_SIZE) == 0)
		return 0;
	memcpy(b->data, data, FS_BLOCK_SIZE);
	return fs_tx_add_buf(fs, b);
}

/* In the image, clusters in quarantine are free. */
static void clear_freed(struct fs *fs, uint32_t group, uint8_t *bits)
{
	uint64_t n = EXT2_CLUSTERS_PER_GROUP(fs->e2->super), first = (uint64_t)group * n;

	for (size_t i = 0; i < fs->tx.frees.n; i++) {
		uint64_t c = fs->tx.frees.v[i].blk / FS_RATIO;
		uint64_t end = c + fs->tx.frees.v[i].len / FS_RATIO;

		if (c < first)
			c = first;
		for (; c < end && c < first + n; c++)
			ext2fs_clear_bit((unsigned)(c - first), bits);
	}
}

/* Bits behind the end of the volume are set. */
static void pad_last_group(struct fs *fs, uint32_t group, uint8_t *bits)
{
	uint64_t n = EXT2_CLUSTERS_PER_GROUP(fs->e2->super);
	uint64_t total = ext2fs_blocks_count(fs->e2->super) / FS_RATIO, first = group * n;

	for (uint64_t c = total > first ? total - first : 0; c < n; c++)
		ext2fs_set_bit((unsigned)c, bits);
}

static int flush_block_bitmap(struct fs *fs, uint32_t g)
{
	uint32_t n = EXT2_CLUSTERS_PER_GROUP(fs->e2->super);
	uint8_t bits[FS_BLOCK_SIZE];
	errcode_t e;

	if (ext2fs_bg_flags_test(fs->e2, g, EXT2_BG_BLOCK_UNINIT))
		return 0;
	memset(bits, 0xff, sizeof(bits));
	e = ext2fs_get_block_bitmap_range2(fs->e2->block_map, (uint64_t)g * n, n, bits);
	if (e)
		return fs_errno(e);
	clear_freed(fs, g, bits);
	if (g + 1 == fs->e2->group_desc_count)
		pad_last_group(fs, g, bits);
	e = ext2fs_block_bitmap_csum_set(fs->e2, g, (char *)bits, (int)(n / 8));
	return e ? fs_errno(e) : put_block(fs, ext2fs_block_bitmap_loc(fs->e2, g), bits);
}

static int flush_inode_bitmap(struct fs *fs, uint32_t g)
{
	uint32_t n = EXT2_INODES_PER_GROUP(fs->e2->super);
	uint8_t bits[FS_BLOCK_SIZE];
	errcode_t e;

	if (ext2fs_bg_flags_test(fs->e2, g, EXT2_BG_INODE_UNINIT))
		return 0;
	memset(bits, 0xff, sizeof(bits));
	e = ext2fs_get_inode_bitmap_range2(fs->e2->inode_map, (uint64_t)g * n + 1, n, bits);
	if (e)
		return fs_errno(e);
	e = ext2fs_inode_bitmap_csum_set(fs->e2, g, (char *)bits, (int)(n / 8));
	return e ? fs_errno(e) : put_block(fs, ext2fs_inode_bitmap_loc(fs->e2, g), bits);
}

static int flush_desc(struct fs *fs, uint32_t g)
{
	uint32_t per = EXT2_DESC_PER_BLOCK(fs->e2->super);
	size_t size = EXT2_DESC_SIZE(fs->e2->super);
	uint64_t blk =
		ext2fs_descriptor_block_loc2(fs->e2, fs->e2->super->s_first_data_block, g / per);
	struct fs_buf *b;
	int r = fs_buf_get(fs, blk, &b);

	if (r < 0)
		return r;
	ext2fs_group_desc_csum_set(fs->e2, g);
	memcpy(b->data + (g % per) * size, ext2fs_group_desc(fs->e2, fs->e2->group_desc, g), size);
	return fs_tx_add_buf(fs, b);
}

static int flush_super(struct fs *fs)
{
	uint8_t block[FS_BLOCK_SIZE];
	struct fs_buf *b;
	int r = fs_buf_get(fs, 0, &b);

	if (r < 0)
		return r;
	ext2fs_superblock_csum_set(fs->e2, fs->e2->super);
	memcpy(block, b->data, sizeof(block));
	memcpy(block + SUPERBLOCK_OFFSET, fs->e2->super, SUPERBLOCK_SIZE);
	return put_block(fs, 0, block);
}

int fs_meta_flush(struct fs *fs)
{
	int r = 0;

	for (size_t i = 0; i < fs->tx.groups.n && r == 0; i++) {
		uint32_t g = fs->tx.groups.v[i];

		r = flush_block_bitmap(fs, g);
		if (r == 0)
			r = flush_inode_bitmap(fs, g);
		if (r == 0)
			r = flush_desc(fs, g);
	}
	return r == 0 ? flush_super(fs) : r;
}

/*
 * Only the flag changes on the device: the superblock in memory may hold what operations did that
 * are not committed, an orphan list's head for one, and it would be ahead of everything else after
 * a crash.
 */
int fs_super_write(struct fs *fs, bool needs_recovery)
{
	struct ext2_super_block *sb;
	struct fs_buf *b;
	int r = fs_buf_get(fs, 0, &b);

	if (r < 0)
		return r;
	sb = (struct ext2_super_block *)(b->data + SUPERBLOCK_OFFSET);
	if (needs_recovery) {
		ext2fs_set_feature_journal_needs_recovery(sb);
		ext2fs_set_feature_journal_needs_recovery(fs->e2->super);
	} else {
		ext2fs_clear_feature_journal_needs_recovery(sb);
		ext2fs_clear_feature_journal_needs_recovery(fs->e2->super);
	}
	ext2fs_superblock_csum_set(fs->e2, sb);
	return fs_dev_write(fs->dev, 0, b->data, FS_BLOCK_SIZE, FS_DEV_FUA);
}

uint64_t fs_free_blocks(const struct fs *fs)
{
	return ext2fs_free_blocks_count(fs->e2->super);
}
