/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking away from files: punch, truncate. What goes is first taken from the tree, and a cluster is free when nothing of it
 * is mapped.
 */
#include "config.h"

#include "csv/fs_int.h"

static int unmap(struct fs *fs, struct fs_inode *i, uint64_t s, uint64_t e)
{
	_cleanup_(fs_piece_vec_fini) struct fs_piece_vec removed = { 0 };
	fs_tree t;
	int r;

	if (s >= e)
		return 0;
	fs->op.use_reserve =
		true; /* a full volume must be able to shrink; a split may need a block */
	if (s % FS_RATIO || (e < FS_FILE_BLOCKS_MAX && e % FS_RATIO))
		fs->op.bared = true; /* blocks of clusters that stay */
	r = fs_tree_edit(fs, i, &t);
	if (r < 0)
		return r;
	r = fs_tree_remove(t, s, e, &removed);
	if (r == 0)
		r = fs_clusters_free(fs, i, t, &removed);
	fs_tree_close(&t);
	return r;
}

int fs_truncate(struct fs *fs, struct fs_inode *i, uint64_t size)
{
	uint64_t old = EXT2_I_SIZE(fs_raw(i));
	int r;

	if (fs_blocks_up(size) >= FS_FILE_BLOCKS_MAX)
		return -EFBIG;
	if (size > old)
		return fs_grow_to(fs, i, size);
	if (!fs_inode_has_extents(i))
		return -EINVAL;
	r = unmap(fs, i, fs_blocks_up(size), FS_FILE_BLOCKS_MAX);
	if (size % FS_BLOCK_SIZE)
		fs->op.bared = true; /* the tail of the last block, too, is zeroed when it grows */
	if (r == 0)
		fs_inode_set_size(i, size);
	return r;
}

int fs_punch(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len)
{
	struct fs_inode i;
	int r = fs_file_load_range(fs, ino, off, len, &i);

	if (r == 0)
		r = fs_zero_edges(fs, &i, off, off + len);
	if (r == 0)
		r = unmap(fs, &i, fs_blocks_up(off), (off + len) / FS_BLOCK_SIZE);
	if (r < 0)
		return r;
	fs_inode_touch(fs, &i, FS_T_MTIME | FS_T_CTIME);
	return fs_inode_store(fs, &i);
}

int fs_trim(struct fs *fs, uint32_t ino)
{
	struct fs_inode i;
	int r = fs_file_load_range(fs, ino, 0, 1, &i);

	if (r == 0)
		r = unmap(fs, &i, fs_cluster_up(fs_blocks_up(EXT2_I_SIZE(fs_raw(&i)))),
			  FS_FILE_BLOCKS_MAX);
	return r < 0 ? r : fs_inode_store(fs, &i);
}

/* ---- the whole volume ------------------------------------------------------------------- */

void fs_statfs(const struct fs *fs, struct fs_statfs *ret)
{
	const struct ext2_super_block *sb = fs->e2->super;
	uint64_t free_blocks = fs_free_blocks(fs);

	*ret = (struct fs_statfs){
		.blocks = ext2fs_blocks_count(fs->e2->super),
		.bfree = free_blocks,
		.bavail = free_blocks > fs->reserve_blocks ? free_blocks - fs->reserve_blocks : 0,
		.files = sb->s_inodes_count,
		.ffree = sb->s_free_inodes_count,
	};
}
