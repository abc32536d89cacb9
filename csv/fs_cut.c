/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking away from files: punch, truncate. What goes is first taken from the tree, and a cluster is free when nothing of it
 * is mapped.
 */
#include "config.h"

#include "csv/fs_int.h"

/* [s, e), at most max extents of it. 1 = there is more. */
static int unmap(struct fs *fs, struct fs_inode *i, uint64_t s, uint64_t e, size_t max)
{
	_cleanup_(fs_piece_vec_fini) struct fs_piece_vec removed = { 0 };
	fs_tree t;
	int r, more;

	if (s >= e)
		return 0;
	fs->op.use_reserve =
		true; /* a full volume must be able to shrink; a split may need a block */
	if (s % FS_RATIO || (e < FS_FILE_BLOCKS_MAX && e % FS_RATIO))
		fs->op.bared = true; /* blocks of clusters that stay */
	r = fs_tree_edit(fs, i, &t);
	if (r < 0)
		return r;
	more = fs_tree_remove_some(t, s, e, max, &removed);
	r = more < 0 ? more : fs_clusters_free(fs, i, t, &removed);
	fs_tree_close(&t);
	return r < 0 ? r : more;
}

int fs_unmap(struct fs *fs, struct fs_inode *i, uint64_t s, uint64_t e)
{
	return unmap(fs, i, s, e, SIZE_MAX);
}

int fs_unmap_some(struct fs *fs, struct fs_inode *i, uint64_t s)
{
	return unmap(fs, i, s, FS_FILE_BLOCKS_MAX, fs->step_extents);
}

int fs_truncate(struct fs *fs, struct fs_inode *i, uint64_t size)
{
	int r;

	if (fs_blocks_up(size) >= FS_FILE_BLOCKS_MAX)
		return -EFBIG;
	if (size > EXT2_I_SIZE(fs_raw(i)))
		return fs_grow_to(fs, i, size);
	if (!fs_inode_has_extents(i))
		return -EINVAL;
	if (size % FS_BLOCK_SIZE)
		fs->op.bared = true; /* the tail of the last block, too, is zeroed when it grows */
	r = fs_unmap(fs, i, fs_blocks_up(size), FS_FILE_BLOCKS_MAX);
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
		r = fs_unmap(fs, &i, fs_blocks_up(off), (off + len) / FS_BLOCK_SIZE);
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
		r = fs_unmap(fs, &i, fs_cluster_up(fs_blocks_up(EXT2_I_SIZE(fs_raw(&i)))),
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
