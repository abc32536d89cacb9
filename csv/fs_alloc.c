/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clusters: 64 KiB each, the unit of the bitmaps. A file's logical and physical clusters keep step:
 * block n of a file always lies at offset n % 16 of a cluster, so a cluster that is mapped in part
 * determines where its other blocks go, and it is free when none of them is mapped.
 */
#include "config.h"

#include "csv/fs_int.h"

/* First run of free clusters in [from, to), at most want blocks. */
static int find_run(struct fs *fs, uint64_t from, uint64_t to, uint64_t want, uint64_t *ret_blk,
		    uint64_t *ret_len)
{
	blk64_t start, end;
	errcode_t e;

	if (from >= to)
		return -ENOSPC;
	e = ext2fs_find_first_zero_block_bitmap2(fs->e2->block_map, from, to - 1, &start);
	if (e == ENOENT)
		return -ENOSPC;
	if (e)
		return fs_errno(e);
	start = fs_cluster_down(start);
	if (to - start > want)
		to = start + want;
	e = ext2fs_find_first_set_block_bitmap2(fs->e2->block_map, start, to - 1, &end);
	if (e == ENOENT)
		end = to;
	else if (e)
		return fs_errno(e);
	*ret_blk = start;
	*ret_len = fs_cluster_down(end) - start;
	return 0;
}

#define RUNS_SEEN 64

/*
 * The best of the runs from `from` on: one that begins right there (a file that grows stays in one piece), else the first
 * that is long enough, else the longest of the first few. Without it a big file is made of every small gap on its way.
 */
static int best_run(struct fs *fs, uint64_t from, uint64_t to, uint64_t want, uint64_t *ret_blk,
		    uint64_t *ret_len)
{
	uint64_t at = from, blk = 0, len = 0;
	int r = 0;

	*ret_len = 0;
	for (int n = 0; n < RUNS_SEEN && *ret_len < want; n++) {
		r = find_run(fs, at, to, want, &blk, &len);
		if (r < 0)
			break;
		if (len > *ret_len) {
			*ret_blk = blk;
			*ret_len = len;
		}
		if (blk == from)
			break;
		at = blk + len;
	}
	return *ret_len ? 0 : r;
}

int fs_clusters_take(struct fs *fs, struct fs_inode *i, uint64_t goal, uint64_t want,
		     uint64_t *ret_blk, uint64_t *ret_len)
{
	uint64_t total = ext2fs_blocks_count(fs->e2->super), blk = 0, len = 0;
	int r;

	if (goal >= total)
		goal = 0;
	goal = fs_cluster_down(goal);
	if (!fs_space_for(fs, FS_RATIO))
		return -ENOSPC;
	r = best_run(fs, goal, total, want, &blk, &len);
	if (r == -ENOSPC)
		r = best_run(fs, 0, goal, want, &blk, &len);
	if (r < 0)
		return r;
	ext2fs_block_alloc_stats_range(fs->e2, blk, (blk_t)len, +1);
	r = fs_errno(ext2fs_iblk_add_blocks(fs->e2, fs_raw(i), len / FS_RATIO));
	*ret_blk = blk;
	*ret_len = len;
	return r;
}

static int cluster_free(struct fs *fs, struct fs_inode *i, uint64_t pblk, uint64_t len)
{
	if (pblk < 1 || len > UINT32_MAX || pblk + len > ext2fs_blocks_count(fs->e2->super))
		return -EUCLEAN;
	/* Freeing what is free would spoil counts and give clusters out twice. */
	for (uint64_t b = pblk; b < pblk + len; b += FS_RATIO)
		if (!ext2fs_test_block_bitmap2(fs->e2->block_map, b))
			return -EUCLEAN;
	ext2fs_block_alloc_stats_range(fs->e2, pblk, (blk_t)len, -1);
	return fs_errno(ext2fs_iblk_sub_blocks(fs->e2, fs_raw(i), len / FS_RATIO));
}

/* Whether any block of the cluster around lblk is mapped. */
static int cluster_mapped(fs_tree t, uint64_t lblk, struct fs_piece *ret)
{
	uint64_t c = fs_cluster_down(lblk);
	int r = fs_tree_next(t, c, ret);

	if (r < 0)
		return r;
	return ret->len && ret->lblk < c + FS_RATIO;
}

int fs_cluster_implied(fs_tree t, uint64_t lblk, uint64_t *ret_pblk)
{
	struct fs_piece p;
	int r = cluster_mapped(t, lblk, &p);

	/* The cluster of p's part inside ours; p may begin before it. */
	*ret_pblk = r > 0 ? p.pblk + lblk - p.lblk : 0;
	return r < 0 ? r : 0;
}

int fs_clusters_free(struct fs *fs, struct fs_inode *i, fs_tree t,
		     const struct fs_piece_vec *pieces)
{
	uint64_t done = 0; /* logical block up to which clusters are dealt with */

	for (size_t n = 0; n < pieces->n; n++) {
		const struct fs_piece *p = &pieces->v[n];
		uint64_t end = p->lblk + p->len, c = fs_cluster_down(p->lblk);
		uint64_t run = 0, run_len = 0;
		int r = 0;

		for (c = c < done ? done : c; c < end && r == 0; c += FS_RATIO) {
			bool whole = c >= p->lblk && c + FS_RATIO <= end;
			struct fs_piece other;

			done = c + FS_RATIO;
			if (!whole) {
				r = cluster_mapped(t, c, &other);
				if (r < 0)
					return r;
				if (r > 0) {
					r = 0;
					continue;
				}
			}
			/* p may begin inside this cluster: go back to its start. */
			if (!run_len)
				run = p->pblk + c - p->lblk;
			run_len += FS_RATIO;
			if (!whole && c + FS_RATIO > end)
				break;
		}
		if (run_len)
			r = cluster_free(fs, i, run, run_len);
		if (r < 0)
			return r;
	}
	return 0;
}

uint64_t fs_alloc_goal(struct fs *fs, struct fs_inode *i, fs_tree t, uint64_t lblk)
{
	uint64_t back = lblk > 32768 ? lblk - 32768 : 0;
	uint64_t goal = ext2fs_find_inode_goal(fs->e2, i->ino, fs_raw(i), 0);
	struct fs_piece p;

	/* Behind what is mapped before it, so that growth stays contiguous. */
	while (back < lblk && fs_tree_next(t, back, &p) == 0 && p.len && p.lblk < lblk) {
		goal = p.pblk + p.len + (lblk - (p.lblk + p.len));
		back = p.lblk + p.len;
	}
	return goal;
}

int fs_map_one(struct fs *fs, struct fs_inode *i, uint64_t lblk, uint64_t *ret_pblk)
{
	struct fs_piece p = { .lblk = lblk, .len = 1 };
	uint64_t len;
	fs_tree t;
	int r = fs_tree_edit(fs, i, &t);

	if (r < 0)
		return r;
	r = fs_cluster_implied(t, lblk, &p.pblk);
	if (r == 0 && !p.pblk) {
		r = fs_clusters_take(fs, i, fs_alloc_goal(fs, i, t, lblk), FS_RATIO, &p.pblk, &len);
		p.pblk += lblk % FS_RATIO;
	}
	if (r == 0)
		r = fs_tree_insert(t, &p);
	fs_tree_close(&t);
	*ret_pblk = p.pblk;
	return r;
}
