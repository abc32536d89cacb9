/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filling ranges of files: alloc, prealloc, convert, zero.
 *
 * Zeros are written straight to the device, before the map that makes them visible is committed;
 * the commit flushes in between (jbd2_write.c). They go only where nobody can see or write:
 * clusters that this operation took or that are unwritten, and bytes beyond the end of file.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

/* ---- zeros ------------------------------------------------------------------------------ */

/* Zero bytes [from, to) of block lblk, if it is DATA. */
int fs_zero_part(struct fs *fs, struct fs_inode *i, uint64_t lblk, unsigned from, unsigned to)
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
 * The size grows; what the last block has beyond the old one is zeroed as far as `upto`, where the caller has written.
 * Done when the file grows, not when it shrinks: bytes beyond the end belong to nobody, while
 * zeroing before a truncation is committed would leave the old size with zeros in it after a crash.
 */
static int grow(struct fs *fs, struct fs_inode *i, uint64_t new_size, uint64_t upto)
{
	uint64_t size = EXT2_I_SIZE(fs_raw(i)), blk = size / FS_BLOCK_SIZE;
	unsigned from = size % FS_BLOCK_SIZE, to = FS_BLOCK_SIZE;
	int r = 0;

	if (new_size <= size)
		return 0;
	if (fs_blocks_up(new_size) >= FS_FILE_BLOCKS_MAX)
		return -EFBIG;
	if (upto / FS_BLOCK_SIZE <= blk)
		to = upto > size ? upto % FS_BLOCK_SIZE : from;
	if (from && to > from)
		r = fs_zero_part(fs, i, blk, from, to);
	if (r < 0)
		return r;
	fs_inode_set_size(i, new_size);
	fs_inode_touch(fs, i, FS_T_MTIME | FS_T_CTIME);
	return 0;
}

int fs_grow_to(struct fs *fs, struct fs_inode *i, uint64_t new_size)
{
	return grow(fs, i, new_size, UINT64_MAX);
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
	uint64_t pblk, len, to = fs_cluster_up(a + 1) < b ? fs_cluster_up(a + 1) : b;
	int r = fs_cluster_implied(t, a, &pblk);

	if (r == 0 && !pblk) {
		/* A whole cluster is free here: a is its start, or the hole is all of it. */
		uint64_t c = fs_cluster_down(a),
			 want = fs_cluster_down(b) > c ? fs_cluster_down(b) - c : FS_RATIO;

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
	uint64_t at = fs_cluster_down(s), end = fs_cluster_up(e);

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
	uint64_t at = fs_cluster_down(s), end = fs_cluster_up(e), holes;
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

/* DATA -> unwritten in [s, e): reads as zeros, and keeps its clusters. */
static int unconvert(struct fs *fs, fs_tree t, uint64_t s, uint64_t e)
{
	_cleanup_(fs_piece_vec_fini) struct fs_piece_vec removed = { 0 };

	while (s < e) {
		struct fs_piece p, q;
		int r = fs_tree_next(t, s, &p);

		if (r < 0 || !p.len || p.lblk >= e)
			return r;
		q = p;
		if (q.lblk < s) {
			q.pblk += s - q.lblk;
			q.len -= s - q.lblk;
			q.lblk = s;
		}
		if (q.lblk + q.len > e)
			q.len = e - q.lblk;
		s = q.lblk + q.len;
		if (q.unwritten)
			continue;
		fs->op.bared = true;
		q.unwritten = true;
		r = fs_tree_remove(t, q.lblk, s, &removed);
		if (r == 0)
			r = fs_tree_insert(t, &q);
		if (r < 0)
			return r;
	}
	return 0;
}

enum fill { FILL_DATA, FILL_UNWRITTEN, FILL_CONVERT, FILL_ZERO };

/* Of the blocks [s, e); for FILL_ZERO they are those that lie in the range whole. */
static int fill_tree(struct fs *fs, struct fs_inode *i, uint64_t s, uint64_t e, enum fill how)
{
	fs_tree t;
	int r = fs_tree_edit(fs, i, &t);

	if (r < 0)
		return r;
	if (how == FILL_DATA)
		r = fill_holes(fs, i, t, s, e, s, e);
	else if (how == FILL_UNWRITTEN)
		r = fill_holes(fs, i, t, s, e, 0, 0);
	if (r == 0 && (how == FILL_DATA || how == FILL_CONVERT))
		r = convert(fs, t, s, e, how == FILL_DATA);
	if (r == 0 && how == FILL_ZERO)
		r = unconvert(fs, t, s, e);
	fs_tree_close(&t);
	return r;
}

static int fill(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len, uint64_t new_size,
		enum fill how)
{
	uint64_t s = off / FS_BLOCK_SIZE, e = fs_blocks_up(off + len);
	struct fs_inode i;
	int r = fs_file_load_range(fs, ino, off, len, &i);

	if (r == 0)
		r = grow(fs, &i, new_size, how == FILL_CONVERT ? off : UINT64_MAX);
	/* DATA beyond the end of file is what e2fsck takes for a wrong size. */
	if (r == 0 && how != FILL_UNWRITTEN && e > fs_blocks_up(EXT2_I_SIZE(fs_raw(&i))))
		r = -EINVAL;
	if (r == 0)
		r = fill_tree(fs, &i, s, e, how);
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
	return new_size > off + len ? -EINVAL : fill(fs, ino, off, len, new_size, FILL_CONVERT);
}

/* Whether the pieces of [s, e) leave no hole; blocks of holes in the clusters of [ws, we). */
static int look_at_holes(struct fs *fs, struct fs_inode *i, uint64_t s, uint64_t e, uint64_t ws,
			 uint64_t we, bool *ret_any, uint64_t *ret_wide)
{
	uint64_t n = 0;
	fs_tree t;
	int r = fs_tree_open(fs, i, &t);

	if (r < 0)
		return r;
	r = count_holes(t, s, e, &n);
	*ret_any = n > 0;
	if (r == 0)
		r = count_holes(t, ws, we, ret_wide);
	fs_tree_close(&t);
	return r;
}

int fs_prepare(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len, uint64_t chunk)
{
	uint64_t s = off / FS_BLOCK_SIZE, e = fs_blocks_up(off + len), unit = chunk / FS_BLOCK_SIZE;
	uint64_t ws, we, wide = 0;
	struct fs_inode i;
	bool any = false;
	int r = fs_file_load_range(fs, ino, off, len, &i);

	if (r < 0)
		return r;
	unit = unit ? unit : 1;
	ws = s - s % unit;
	we = (e + unit - 1) / unit * unit;
	if (we >= FS_FILE_BLOCKS_MAX)
		we = e;
	r = look_at_holes(fs, &i, s, e, ws, we, &any, &wide);
	if (r < 0 || !any)
		return r;
	/* What is only for later must not take the last space from others, nor all of it. */
	if (!fs_space_for(fs, 2 * wide)) {
		ws = s;
		we = e;
	}
	r = fill_tree(fs, &i, ws, we, FILL_UNWRITTEN);
	return r < 0 ? r : fs_inode_store(fs, &i);
}

/* The parts of blocks at both ends of [off, end): zeroed where they are DATA. */
int fs_zero_edges(struct fs *fs, struct fs_inode *i, uint64_t off, uint64_t end)
{
	uint64_t s = fs_blocks_up(off), e = end / FS_BLOCK_SIZE;
	int r = 0;

	if (s > e) /* inside one block */
		return fs_zero_part(fs, i, e, off % FS_BLOCK_SIZE, end % FS_BLOCK_SIZE);
	if (off % FS_BLOCK_SIZE)
		r = fs_zero_part(fs, i, s - 1, off % FS_BLOCK_SIZE, FS_BLOCK_SIZE);
	if (r == 0 && end % FS_BLOCK_SIZE)
		r = fs_zero_part(fs, i, e, 0, end % FS_BLOCK_SIZE);
	return r;
}

int fs_zero_range(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len, uint64_t new_size)
{
	uint64_t end = off + len, s = fs_blocks_up(off), e = end / FS_BLOCK_SIZE;
	struct fs_inode i;
	int r = fs_file_load_range(fs, ino, off, len, &i);

	if (r == 0)
		r = fs_zero_edges(fs, &i, off, end);
	if (r == 0)
		r = fs_grow_to(fs, &i, new_size);
	if (r == 0)
		r = fill_tree(fs, &i, off / FS_BLOCK_SIZE, fs_blocks_up(end), FILL_UNWRITTEN);
	if (r == 0 && s < e)
		r = fill_tree(fs, &i, s, e, FILL_ZERO);
	if (r < 0)
		return r;
	fs_inode_touch(fs, &i, FS_T_MTIME | FS_T_CTIME);
	return fs_inode_store(fs, &i);
}
