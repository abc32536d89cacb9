/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The map of a file, and a cache of it: a write or a read asks for a few blocks at a time, and walking the extent
 * tree through libext2fs (inode, checksum, handle, leaf) for each costs more than the answer is worth.
 *
 * A window of the map of each of some files is kept as a sorted array. Whoever changes a tree opens it with
 * fs_tree_edit(), which forgets the file's window first; an abort forgets all of them.
 * What goes wrong otherwise: blocks that were freed and given to another file are written by the old map.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

#define WINDOW_ALIGN (UINT64_C(1) << 18) /* blocks: a window begins at a multiple of 1 GiB */
#define WINDOW_MORE 4096		 /* pieces read beyond the one that was asked for */
#define WINDOW_MAX 32768		 /* pieces at all */

/* ---- files ------------------------------------------------------------------------------ */

int fs_file_load(struct fs *fs, uint32_t ino, struct fs_inode *ret)
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

int fs_file_load_range(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len,
		       struct fs_inode *ret)
{
	if (!len)
		return -EINVAL;
	if (off > FS_FILE_MAX || len > FS_FILE_MAX - off)
		return -EFBIG;
	return fs_may_change(fs) ? fs_file_load(fs, ino, ret) : -EROFS;
}

/* ---- windows ---------------------------------------------------------------------------- */

static struct fs_window *find_window(struct fs_maps *m, uint32_t ino)
{
	for (size_t i = 0; i < FS_WINDOWS; i++)
		if (m->w[i].ino == ino)
			return &m->w[i];
	return NULL;
}

static void drop_window(struct fs_window *w)
{
	fs_map_piece_vec_fini(&w->pieces);
	*w = (struct fs_window){ 0 };
}

void fs_maps_forget(struct fs *fs, uint32_t ino)
{
	struct fs_window *w = find_window(&fs->maps, ino);

	if (w)
		drop_window(w);
}

void fs_maps_forget_all(struct fs *fs)
{
	for (size_t i = 0; i < FS_WINDOWS; i++)
		drop_window(&fs->maps.w[i]);
}

/* The file's own, else the one that was not used for the longest time, emptied. */
static struct fs_window *take_window(struct fs_maps *m, uint32_t ino)
{
	struct fs_window *w = find_window(m, ino);

	for (size_t i = 0; !w && i < FS_WINDOWS; i++)
		if (!m->w[i].ino)
			w = &m->w[i];
	if (!w) {
		w = &m->w[0];
		for (size_t i = 1; i < FS_WINDOWS; i++)
			if ((int32_t)(m->w[i].tick - w->tick) < 0)
				w = &m->w[i];
	}
	drop_window(w);
	return w;
}

/*
 * Read pieces from `from` on, until there are WINDOW_MORE behind lblk or no more. 0 = they reach beyond lblk; 1 = there are
 * too many before it.
 */
static int read_pieces(fs_tree t, struct fs_window *w, uint64_t from, uint64_t lblk)
{
	struct fs_piece p;
	size_t more = 0;
	int r = fs_tree_next(t, from, &p);

	fs_map_piece_vec_clear(&w->pieces);
	w->from = w->to = from;
	while (r == 0 && p.len && p.lblk < FS_FILE_BLOCKS_MAX) {
		struct fs_map_piece mp = { .lblk = (uint32_t)p.lblk,
					   .len = (uint32_t)p.len,
					   .pblk = p.pblk,
					   .unwritten = p.unwritten };

		if (more > WINDOW_MORE || w->pieces.n >= WINDOW_MAX)
			return w->to > lblk ? 0 : 1;
		if (fs_map_piece_vec_push(&w->pieces, mp) < 0)
			return -ENOMEM;
		w->to = p.lblk + p.len;
		more += w->to > lblk;
		r = fs_tree_following(t, w->to, &p);
	}
	if (r == 0)
		w->to = FS_FILE_BLOCKS_MAX;
	return r;
}

static int load_window(struct fs *fs, uint32_t ino, uint64_t lblk, struct fs_window **ret)
{
	struct fs_window *w;
	struct fs_inode i;
	fs_tree t;
	int r = fs_file_load(fs, ino, &i);

	if (r == 0)
		r = fs_tree_open(fs, &i, &t);
	if (r < 0)
		return r;
	w = take_window(&fs->maps, ino);
	r = read_pieces(t, w, lblk - lblk % WINDOW_ALIGN, lblk);
	if (r > 0)
		r = read_pieces(t, w, lblk, lblk);
	fs_tree_close(&t);
	if (r < 0) {
		drop_window(w);
		return r;
	}
	w->ino = ino;
	*ret = w;
	return 0;
}

static int window_for(struct fs *fs, uint32_t ino, uint64_t lblk, struct fs_window **ret)
{
	struct fs_window *w = ino ? find_window(&fs->maps, ino) : NULL;
	int r = 0;

	if (!w || lblk < w->from || lblk >= w->to)
		r = load_window(fs, ino, lblk, &w);
	if (r < 0)
		return r;
	w->tick = ++fs->maps.tick;
	*ret = w;
	return 0;
}

/* Index of the first piece that ends behind lblk. */
static size_t first_behind(const struct fs_window *w, uint64_t lblk)
{
	size_t lo = 0, hi = w->pieces.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct fs_map_piece *p = &w->pieces.v[mid];

		if ((uint64_t)p->lblk + p->len <= lblk)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* What the window says of [lblk, end): at most max pieces. */
static size_t from_window(const struct fs_window *w, uint64_t lblk, uint64_t end,
			  struct fs_extent *ret, size_t max)
{
	size_t n = 0;

	if (end > w->to)
		end = w->to;
	for (size_t k = first_behind(w, lblk); lblk < end && n < max; n++) {
		const struct fs_map_piece *p = k < w->pieces.n ? &w->pieces.v[k] : NULL;
		uint64_t start = p && p->lblk < end ? p->lblk : end, stop, skip;

		if (start > lblk) {
			ret[n] = (struct fs_extent){ lblk, start - lblk, 0, FS_HOLE };
			lblk = start;
			continue;
		}
		skip = lblk - p->lblk;
		stop = (uint64_t)p->lblk + p->len < end ? (uint64_t)p->lblk + p->len : end;
		ret[n] = (struct fs_extent){ lblk, stop - lblk, p->pblk + skip,
					     p->unwritten ? FS_UNWRITTEN : FS_DATA };
		lblk = stop;
		k++;
	}
	return n;
}

int fs_map(struct fs *fs, uint32_t ino, uint64_t lblk, uint64_t len, struct fs_extent *ret,
	   size_t max)
{
	uint64_t end = lblk + len;
	size_t n = 0;

	if (end < lblk || end > FS_FILE_BLOCKS_MAX)
		return -EINVAL;
	while (lblk < end && n < max) {
		struct fs_window *w;
		int r = window_for(fs, ino, lblk, &w);

		if (r < 0)
			return r;
		n += from_window(w, lblk, end, ret + n, max - n);
		lblk = ret[n - 1].lblk + ret[n - 1].len;
	}
	return (int)n;
}

int fs_is_data(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len)
{
	uint64_t at = off / FS_BLOCK_SIZE, end = fs_blocks_up(off + len);
	struct fs_extent e[16];

	if (off + len < off)
		return -EINVAL;
	while (at < end) {
		int n = fs_map(fs, ino, at, end - at, e, 16);

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++)
			if (e[i].state != FS_DATA)
				return 0;
		at = e[n - 1].lblk + e[n - 1].len;
	}
	return 1;
}
