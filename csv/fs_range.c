/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ranges of files: map, alloc, prealloc, convert, punch, truncate.
 *
 * Zeros are written straight to the device, before the map that makes them visible is committed;
 * the commit flushes in between (jbd2_write.c). They go only where nobody can see or write:
 * clusters that this operation took or that are unwritten, and bytes beyond the end of file.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

static uint64_t blocks_up(uint64_t bytes)
{
	return bytes / FS_BLOCK_SIZE + (bytes % FS_BLOCK_SIZE ? 1 : 0);
}

static uint64_t cluster_down(uint64_t blk)
{
	return blk - blk % FS_RATIO;
}

static uint64_t cluster_up(uint64_t blk)
{
	return cluster_down(blk + FS_RATIO - 1);
}

#define FILE_BLOCKS_MAX (UINT64_C(1) << 32)

static int load_file(struct fs *fs, uint32_t ino, struct fs_inode *ret)
{
	int r = fs_inode_load(fs, ino, ret);

	if (r < 0)
		return r;
	if (!ext2fs_test_inode_bitmap2(fs->e2->inode_map, ino))
		return -ENOENT;
	if (LINUX_S_ISDIR(ret->raw.i_mode))
		return -EISDIR;
	return LINUX_S_ISREG(ret->raw.i_mode) && fs_inode_has_extents(ret) ? 0 : -EINVAL;
}

static int load_to_change(struct fs *fs, uint32_t ino, struct fs_inode *ret)
{
	return fs_may_change(fs) ? load_file(fs, ino, ret) : -EROFS;
}

/* [off, off + len) in bytes is a range that a file can have. */
static int check_range(uint64_t off, uint64_t len)
{
	return !len ? -EINVAL : off > FS_FILE_MAX || len > FS_FILE_MAX - off ? -EFBIG : 0;
}

/* ---- map -------------------------------------------------------------------------------- */

static size_t map_add(struct fs_extent *out, size_t n, const struct fs_extent *e)
{
	if (e->len)
		out[n++] = *e;
	return n;
}

int fs_map(struct fs *fs, uint32_t ino, uint64_t lblk, uint64_t len, struct fs_extent *ret,
	   size_t max)
{
	uint64_t end = lblk + len;
	struct fs_inode i;
	size_t n = 0;
	fs_tree t;
	int r = end < lblk || end > FILE_BLOCKS_MAX ? -EINVAL : load_file(fs, ino, &i);

	if (r == 0)
		r = fs_tree_open(fs, &i, &t);
	if (r < 0)
		return r;
	while (lblk < end && n < max) {
		struct fs_piece p;
		uint64_t skip, take;

		r = fs_tree_next(t, lblk, &p);
		if (r < 0)
			break;
		if (!p.len || p.lblk >= end)
			p = (struct fs_piece){ .lblk = end };
		if (p.lblk > lblk) {
			n = map_add(ret, n, &(struct fs_extent){ lblk, p.lblk - lblk, 0, FS_HOLE });
			lblk = p.lblk;
			continue;
		}
		skip = lblk - p.lblk;
		take = p.len - skip < end - lblk ? p.len - skip : end - lblk;
		n = map_add(ret, n,
			    &(struct fs_extent){ lblk, take, p.pblk + skip,
						 p.unwritten ? FS_UNWRITTEN : FS_DATA });
		lblk += take;
	}
	fs_tree_close(&t);
	return r < 0 ? r : (int)n;
}

/* ---- zeros ------------------------------------------------------------------------------ */

/* Zero bytes [from, to) of block lblk, if it is DATA. */
static int zero_part(struct fs *fs, struct fs_inode *i, uint64_t lblk, unsigned from, unsigned to)
{
	uint8_t block[FS_BLOCK_SIZE];
	struct fs_piece p;
	uint64_t off;
	fs_tree t;
	int r = fs_tree_open(fs, i, &t);

	if (r < 0)
		return r;
	r = fs_tree_next(t, lblk, &p);
	fs_tree_close(&t);
	if (r < 0 || !p.len || p.lblk > lblk || p.unwritten)
		return r;
	off = (p.pblk + lblk - p.lblk) * FS_BLOCK_SIZE;
	r = fs_dev_read(fs->dev, off, block, sizeof(block));
	if (r < 0)
		return r;
	memset(block + from, 0, to - from);
	return fs_dev_write(fs->dev, off, block, sizeof(block), 0);
}

/*
 * Done when the file grows, not when it shrinks: bytes beyond the end belong to nobody, while
 * zeroing before a truncation is committed would leave the old size with zeros in it after a crash.
 */
int fs_zero_tail(struct fs *fs, struct fs_inode *i)
{
	uint64_t size = EXT2_I_SIZE(fs_raw(i));

	if (size % FS_BLOCK_SIZE == 0)
		return 0;
	return zero_part(fs, i, size / FS_BLOCK_SIZE, size % FS_BLOCK_SIZE, FS_BLOCK_SIZE);
}

static int grow_to(struct fs *fs, struct fs_inode *i, uint64_t new_size)
{
	int r;

	if (new_size <= EXT2_I_SIZE(fs_raw(i)))
		return 0;
	if (blocks_up(new_size) >= FILE_BLOCKS_MAX)
		return -EFBIG;
	r = fs_zero_tail(fs, i);
	if (r < 0)
		return r;
	fs_inode_set_size(i, new_size);
	fs_inode_touch(fs, i, FS_T_MTIME | FS_T_CTIME);
	return 0;
}

/* ---- filling holes ---------------------------------------------------------------------- */

/* Insert the blocks [a, b) at pblk: DATA inside [s, e), zeroed first, the rest unwritten. */
static int insert_split(struct fs *fs, fs_tree t, uint64_t a, uint64_t b, uint64_t pblk, uint64_t s,
			uint64_t e)
{
	uint64_t cut[4] = { a, s < a ? a : s > b ? b : s, e < a ? a : e > b ? b : e, b };

	for (int k = 0; k < 3; k++) {
		struct fs_piece p = { .lblk = cut[k],
				      .len = cut[k + 1] > cut[k] ? cut[k + 1] - cut[k] : 0,
				      .pblk = pblk + (cut[k] - a),
				      .unwritten = k != 1 };
		int r = 0;

		if (!p.len)
			continue;
		if (!p.unwritten)
			r = fs_dev_zero(fs->dev, p.pblk * FS_BLOCK_SIZE, p.len * FS_BLOCK_SIZE);
		if (r == 0)
			r = fs_tree_insert(t, &p);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Fill the hole [a, b), which may begin and end inside clusters, from one run or one implied
 * cluster. */
static int fill_some(struct fs *fs, struct fs_inode *i, fs_tree t, uint64_t a, uint64_t b,
		     uint64_t s, uint64_t e, uint64_t *ret_to)
{
	uint64_t pblk, len, to = cluster_up(a + 1) < b ? cluster_up(a + 1) : b;
	int r = fs_cluster_implied(t, a, &pblk);

	if (r == 0 && !pblk) {
		/* A whole cluster is free here: a is its start, or the hole is all of it. */
		uint64_t c = cluster_down(a),
			 want = cluster_down(b) > c ? cluster_down(b) - c : FS_RATIO;

		r = fs_clusters_take(fs, i, fs_alloc_goal(fs, i, t, c), want, &pblk, &len);
		pblk += a - c;
		to = c + len < b ? c + len : b;
	}
	if (r == 0)
		r = insert_split(fs, t, a, to, pblk, s, e);
	*ret_to = to;
	return r;
}

/* Blocks of holes in the clusters of [s, e): known before anything is zeroed for nothing. */
static int count_holes(fs_tree t, uint64_t s, uint64_t e, uint64_t *ret)
{
	uint64_t at = cluster_down(s), end = cluster_up(e);

	*ret = 0;
	while (at < end) {
		struct fs_piece p;
		int r = fs_tree_next(t, at, &p);

		if (r < 0)
			return r;
		if (!p.len || p.lblk >= end) {
			*ret += end - at;
			break;
		}
		*ret += p.lblk > at ? p.lblk - at : 0;
		at = p.lblk + p.len;
	}
	return 0;
}

/*
 * Map every hole of the clusters of [s, e): what is inside [ds, de) becomes DATA (zeroed), the rest
 * unwritten. Nothing that is mapped already changes.
 */
static int fill_holes(struct fs *fs, struct fs_inode *i, fs_tree t, uint64_t s, uint64_t e,
		      uint64_t ds, uint64_t de)
{
	uint64_t at = cluster_down(s), end = cluster_up(e), holes;
	int r = count_holes(t, s, e, &holes);

	if (r == 0 && !fs_space_for(fs, holes / FS_RATIO * FS_RATIO))
		r = -ENOSPC;
	while (r == 0 && at < end) {
		struct fs_piece p;

		r = fs_tree_next(t, at, &p);
		if (r < 0)
			return r;
		if (p.len && p.lblk <= at) {
			at = p.lblk + p.len;
			continue;
		}
		r = fill_some(fs, i, t, at, p.len && p.lblk < end ? p.lblk : end, ds, de, &at);
	}
	return r;
}

/* Unwritten -> DATA in [s, e); zeroed unless the caller has written them. */
static int convert(struct fs *fs, fs_tree t, uint64_t s, uint64_t e, bool zero)
{
	_cleanup_(fs_piece_vec_fini) struct fs_piece_vec removed = { 0 };

	while (s < e) {
		struct fs_piece p;
		int r = fs_tree_next(t, s, &p);
		uint64_t end;

		if (r < 0)
			return r;
		if (!p.len || p.lblk > s)
			return -EINVAL; /* a hole */
		end = p.lblk + p.len < e ? p.lblk + p.len : e;
		if (p.unwritten) {
			struct fs_piece q = { .lblk = s,
					      .len = end - s,
					      .pblk = p.pblk + (s - p.lblk) };

			if (zero)
				r = fs_dev_zero(fs->dev, q.pblk * FS_BLOCK_SIZE,
						q.len * FS_BLOCK_SIZE);
			if (r == 0)
				r = fs_tree_remove(t, s, end, &removed);
			if (r == 0)
				r = fs_tree_insert(t, &q);
			if (r < 0)
				return r;
		}
		s = end;
	}
	return 0;
}

enum fill { FILL_DATA, FILL_UNWRITTEN, FILL_CONVERT };

static int fill(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len, uint64_t new_size,
		enum fill how)
{
	uint64_t s = off / FS_BLOCK_SIZE, e = blocks_up(off + len);
	struct fs_inode i;
	fs_tree t;
	int r = check_range(off, len);

	if (r == 0)
		r = load_to_change(fs, ino, &i);
	if (r == 0)
		r = grow_to(fs, &i, new_size);
	/* DATA beyond the end of file is what e2fsck takes for a wrong size. */
	if (r == 0 && how != FILL_UNWRITTEN && e > blocks_up(EXT2_I_SIZE(fs_raw(&i))))
		r = -EINVAL;
	if (r == 0)
		r = fs_tree_open(fs, &i, &t);
	if (r < 0)
		return r;
	if (how == FILL_DATA)
		r = fill_holes(fs, &i, t, s, e, s, e);
	else if (how == FILL_UNWRITTEN)
		r = fill_holes(fs, &i, t, s, e, 0, 0);
	if (r == 0 && how != FILL_UNWRITTEN)
		r = convert(fs, t, s, e, how == FILL_DATA);
	fs_tree_close(&t);
	return r < 0 ? r : fs_inode_store(fs, &i);
}

int fs_alloc(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len, uint64_t new_size)
{
	return fill(fs, ino, off, len, new_size, FILL_DATA);
}

int fs_prealloc(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len, uint64_t new_size)
{
	return fill(fs, ino, off, len, new_size, FILL_UNWRITTEN);
}

int fs_convert(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len, uint64_t new_size)
{
	return fill(fs, ino, off, len, new_size, FILL_CONVERT);
}

/* ---- freeing ---------------------------------------------------------------------------- */

static int unmap(struct fs *fs, struct fs_inode *i, uint64_t s, uint64_t e)
{
	_cleanup_(fs_piece_vec_fini) struct fs_piece_vec removed = { 0 };
	fs_tree t;
	int r;

	if (s >= e)
		return 0;
	fs->op.use_reserve =
		true; /* a full volume must be able to shrink; a split may need a block */
	r = fs_tree_open(fs, i, &t);
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

	if (blocks_up(size) >= FILE_BLOCKS_MAX)
		return -EFBIG;
	if (size > old)
		return grow_to(fs, i, size);
	if (!fs_inode_has_extents(i))
		return -EINVAL;
	r = unmap(fs, i, blocks_up(size), FILE_BLOCKS_MAX);
	if (r == 0)
		fs_inode_set_size(i, size);
	return r;
}

int fs_punch(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len)
{
	uint64_t end = off + len, s = blocks_up(off), e = end / FS_BLOCK_SIZE;
	struct fs_inode i;
	int r = check_range(off, len);

	if (r == 0)
		r = load_to_change(fs, ino, &i);
	if (r == 0 && s > e) /* inside one block */
		r = zero_part(fs, &i, e, off % FS_BLOCK_SIZE, end % FS_BLOCK_SIZE);
	else if (r == 0) {
		if (off % FS_BLOCK_SIZE)
			r = zero_part(fs, &i, s - 1, off % FS_BLOCK_SIZE, FS_BLOCK_SIZE);
		if (r == 0 && end % FS_BLOCK_SIZE)
			r = zero_part(fs, &i, e, 0, end % FS_BLOCK_SIZE);
		if (r == 0)
			r = unmap(fs, &i, s, e);
	}
	if (r < 0)
		return r;
	fs_inode_touch(fs, &i, FS_T_MTIME | FS_T_CTIME);
	return fs_inode_store(fs, &i);
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
