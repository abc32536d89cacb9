/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every allocation and release inside libext2fs passes here (linker --wrap): the library itself has
 * no undo, its one callback is broken in 1.47.0, and inodes have none. Three things hang on it:
 *   - undo: an abort puts bitmaps and group descriptors back;
 *   - dirty groups: the commit writes those and no others;
 *   - quarantine: a freed cluster stays marked in memory until the freeing transaction is durable.
 * The image that goes to the journal has it free. What goes wrong without it: the cluster is given
 * out and written at once, the node dies before the commit, and the old owner, back after replay,
 * has lost its data.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

void __real_ext2fs_block_alloc_stats2(ext2_filsys e2, blk64_t blk, int inuse);
void __real_ext2fs_block_alloc_stats_range(ext2_filsys e2, blk64_t blk, blk_t num, int inuse);
void __real_ext2fs_inode_alloc_stats2(ext2_filsys e2, ext2_ino_t ino, int inuse, int isdir);
void __wrap_ext2fs_block_alloc_stats2(ext2_filsys e2, blk64_t blk, int inuse);
void __wrap_ext2fs_block_alloc_stats_range(ext2_filsys e2, blk64_t blk, blk_t num, int inuse);
void __wrap_ext2fs_inode_alloc_stats2(ext2_filsys e2, ext2_ino_t ino, int inuse, int isdir);

/* The descriptor as it is before its first change in this operation. */
static void save_group(struct fs *fs, uint32_t group)
{
	struct fs_undo_group u = { .group = group };

	if (!fs->tx.group_dirty[group]) {
		if (fs_u32_vec_push(&fs->tx.groups, group) < 0)
			fs->op.failed = true;
		fs->tx.group_dirty[group] = 1;
	}
	for (size_t i = fs->op.groups.n; i-- > 0;)
		if (fs->op.groups.v[i].group == group)
			return;
	memcpy(u.desc, ext2fs_group_desc(fs->e2, fs->e2->group_desc, group),
	       EXT2_DESC_SIZE(fs->e2->super) < sizeof(u.desc) ? EXT2_DESC_SIZE(fs->e2->super)
							      : sizeof(u.desc));
	if (fs_undo_group_vec_push(&fs->op.groups, u) < 0)
		fs->op.failed = true;
}

static void note(struct fs *fs, uint64_t start, uint32_t len, bool inode, bool set)
{
	struct fs_undo_bits u = { .start = start, .len = len, .inode = inode, .set = set };

	if (set)
		fs->op.grew = true;
	if (fs_undo_vec_push(&fs->op.bits, u) < 0)
		fs->op.failed = true;
}

static void note_free(struct fs *fs, uint64_t blk, uint32_t len)
{
	if (fs_range_vec_push(&fs->op.frees, (struct fs_range){ blk, len }) < 0)
		fs->op.failed = true;
}

static bool quarantine(const struct fs *fs)
{
	return !(fs->defects & FS_DEFECT_NO_QUARANTINE);
}

static void note_blocks(struct fs *fs, uint64_t blk, uint32_t num, int inuse)
{
	uint32_t first = ext2fs_group_of_blk2(fs->e2, blk);
	uint32_t last = ext2fs_group_of_blk2(fs->e2, blk + num - 1);

	for (uint32_t g = first; g <= last; g++)
		save_group(fs, g);
	note(fs, blk, num, false, inuse > 0);
	if (fs->check)
		fs_check_moved(fs->check, blk, num);
	if (inuse < 0)
		note_free(fs, blk, num);
}

void __wrap_ext2fs_block_alloc_stats2(ext2_filsys e2, blk64_t blk, int inuse)
{
	struct fs *fs = e2->priv_data;

	/* One block stands for its whole cluster. */
	if (fs)
		note_blocks(fs, blk - blk % FS_RATIO, FS_RATIO, inuse);
	__real_ext2fs_block_alloc_stats2(e2, blk, inuse);
	if (fs && inuse < 0 && quarantine(fs))
		ext2fs_mark_block_bitmap2(e2->block_map, blk);
}

void __wrap_ext2fs_block_alloc_stats_range(ext2_filsys e2, blk64_t blk, blk_t num, int inuse)
{
	struct fs *fs = e2->priv_data;

	if (fs && num)
		note_blocks(fs, blk, num, inuse);
	__real_ext2fs_block_alloc_stats_range(e2, blk, num, inuse);
	if (fs && inuse < 0 && quarantine(fs))
		ext2fs_mark_block_bitmap_range2(e2->block_map, blk, num);
}

void __wrap_ext2fs_inode_alloc_stats2(ext2_filsys e2, ext2_ino_t ino, int inuse, int isdir)
{
	struct fs *fs = e2->priv_data;

	if (fs) {
		save_group(fs, ext2fs_group_of_ino(e2, ino));
		note(fs, ino, 1, true, inuse > 0);
	}
	__real_ext2fs_inode_alloc_stats2(e2, ino, inuse, isdir);
}

static void undo_bits(struct fs *fs, const struct fs_undo_bits *u)
{
	if (u->inode && u->set)
		ext2fs_unmark_inode_bitmap2(fs->e2->inode_map, (ext2_ino_t)u->start);
	else if (u->inode)
		ext2fs_mark_inode_bitmap2(fs->e2->inode_map, (ext2_ino_t)u->start);
	else if (u->set)
		ext2fs_unmark_block_bitmap_range2(fs->e2->block_map, u->start, u->len);
	else
		ext2fs_mark_block_bitmap_range2(fs->e2->block_map, u->start, u->len);
}

void fs_undo_apply(struct fs *fs)
{
	if (fs->defects & FS_DEFECT_NO_UNDO)
		return;
	for (size_t i = fs->op.bits.n; i-- > 0;)
		undo_bits(fs, &fs->op.bits.v[i]);
	for (size_t i = 0; i < fs->op.groups.n; i++) {
		struct fs_undo_group *u = &fs->op.groups.v[i];

		memcpy(ext2fs_group_desc(fs->e2, fs->e2->group_desc, u->group), u->desc,
		       EXT2_DESC_SIZE(fs->e2->super));
	}
	memcpy(fs->e2->super, &fs->op.sb, sizeof(fs->op.sb));
}

void fs_op_reset(struct fs *fs)
{
	fs_buf_vec_clear(&fs->op.bufs);
	fs_undo_vec_clear(&fs->op.bits);
	fs_undo_group_vec_clear(&fs->op.groups);
	fs_range_vec_clear(&fs->op.frees);
	fs_u32_vec_clear(&fs->op.dirs);
	fs_rest_vec_clear(&fs->op.rest);
	fs->op.active = fs->op.use_reserve = fs->op.failed = fs->op.grew = false;
	fs->op.bared = false;
}

void fs_tx_release_quarantine(struct fs *fs)
{
	for (size_t i = 0; i < fs->tx.frees.n && quarantine(fs); i++)
		ext2fs_unmark_block_bitmap_range2(fs->e2->block_map, fs->tx.frees.v[i].blk,
						  (unsigned)fs->tx.frees.v[i].len);
	fs_range_vec_clear(&fs->tx.frees);
	fs->tx.n_free_blocks = 0;
}
