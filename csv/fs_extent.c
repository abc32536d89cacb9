/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Editing extent trees with the primitives of libext2fs (goto, get, insert, replace, delete,
 * fix_parents). Its ext2fs_extent_set_bmap() works per block and damages trees before 1.47.3, and
 * ext2fs_punch() frees block by block; neither is used. A conversion is a removal and an insertion
 * of the same blocks in the other state.
 *
 * After every change the position is looked up afresh: insert may split a node, delete may take one
 * away.
 */
#include "config.h"

#include "csv/fs_int.h"

#define LEN_MAX 32768u		 /* of a written extent */
#define LEN_MAX_UNWRITTEN 32752u /* 32767, in whole clusters */

int fs_tree_open(struct fs *fs, struct fs_inode *i, fs_tree *ret)
{
	return fs_errno(ext2fs_extent_open2(fs->e2, i->ino, fs_raw(i), ret));
}

int fs_tree_edit(struct fs *fs, struct fs_inode *i, fs_tree *ret)
{
	fs_maps_forget(fs, i->ino);
	return fs_tree_open(fs, i, ret);
}

void fs_tree_close(fs_tree *t)
{
	if (*t)
		ext2fs_extent_free(*t);
	*t = NULL;
}

static uint64_t max_len(bool unwritten)
{
	return unwritten ? LEN_MAX_UNWRITTEN : LEN_MAX;
}

static struct fs_piece to_piece(const struct ext2fs_extent *e)
{
	return (struct fs_piece){ .lblk = e->e_lblk,
				  .len = e->e_len,
				  .pblk = e->e_pblk,
				  .unwritten = e->e_flags & EXT2_EXTENT_FLAGS_UNINIT };
}

static struct ext2fs_extent to_extent(const struct fs_piece *p)
{
	return (struct ext2fs_extent){ .e_lblk = p->lblk,
				       .e_len = (uint32_t)p->len,
				       .e_pblk = p->pblk,
				       .e_flags = EXT2_EXTENT_FLAGS_LEAF |
						  (p->unwritten ? EXT2_EXTENT_FLAGS_UNINIT : 0) };
}

/*
 * Stand on the extent that covers lblk, else on the one before it in its leaf, else on the first of
 * the leaf. 0 = covers, 1 = does not, 2 = the tree is empty.
 */
static int go_to(fs_tree t, uint64_t lblk, struct ext2fs_extent *ret)
{
	errcode_t e = ext2fs_extent_goto(t, lblk), g;

	if (e && e != EXT2_ET_EXTENT_NOT_FOUND)
		return fs_errno(e);
	g = ext2fs_extent_get(t, EXT2_EXTENT_CURRENT, ret);
	if (g == EXT2_ET_NO_CURRENT_NODE)
		return 2;
	if (g)
		return fs_errno(g);
	return e ? 1 : 0;
}

int fs_tree_next(fs_tree t, uint64_t lblk, struct fs_piece *ret)
{
	struct ext2fs_extent ext;
	int r = go_to(t, lblk, &ext);

	*ret = (struct fs_piece){ .len = 0 };
	if (r < 0 || r == 2)
		return r < 0 ? r : 0;
	while (ext.e_lblk + ext.e_len <= lblk) {
		errcode_t e = ext2fs_extent_get(t, EXT2_EXTENT_NEXT_LEAF, &ext);

		if (e == EXT2_ET_EXTENT_NO_NEXT)
			return 0;
		if (e)
			return fs_errno(e);
	}
	*ret = to_piece(&ext);
	return 0;
}

int fs_tree_following(fs_tree t, uint64_t lblk, struct fs_piece *ret)
{
	struct ext2fs_extent ext;

	*ret = (struct fs_piece){ .len = 0 };
	do { /* after a goto the library walks the leaf that it stands in a second time */
		errcode_t e = ext2fs_extent_get(t, EXT2_EXTENT_NEXT_LEAF, &ext);

		if (e == EXT2_ET_EXTENT_NO_NEXT)
			return 0;
		if (e)
			return fs_errno(e);
	} while (ext.e_lblk < lblk);
	*ret = to_piece(&ext);
	return 0;
}

/* The index above has to begin where its first child does. A tree that became empty has no
 * position. */
static int fix_parents(fs_tree t)
{
	errcode_t e = ext2fs_extent_fix_parents(t);

	return e == EXT2_ET_NO_CURRENT_NODE ? 0 : fs_errno(e);
}

static int replace_here(fs_tree t, const struct fs_piece *p)
{
	struct ext2fs_extent ext = to_extent(p);
	int r = fs_errno(ext2fs_extent_replace(t, 0, &ext));

	return r < 0 ? r : fix_parents(t);
}

static int insert_here(fs_tree t, int flags, const struct fs_piece *p)
{
	struct ext2fs_extent ext = to_extent(p);
	int r = fs_errno(ext2fs_extent_insert(t, flags, &ext));

	return r < 0 ? r : fix_parents(t);
}

static int delete_here(fs_tree t)
{
	int r = fs_errno(ext2fs_extent_delete(t, 0));

	return r < 0 ? r : fix_parents(t);
}

static bool joins(const struct fs_piece *a, const struct fs_piece *b)
{
	return a->unwritten == b->unwritten && a->lblk + a->len == b->lblk &&
	       a->pblk + a->len == b->pblk && a->len + b->len <= max_len(a->unwritten);
}

/* Swallow the extent that begins where p ends, if the two can be one. */
static int take_right(fs_tree t, struct fs_piece *p)
{
	struct ext2fs_extent ext;
	struct fs_piece right;
	int r = go_to(t, p->lblk + p->len, &ext);

	if (r != 0)
		return r < 0 ? r : 0;
	right = to_piece(&ext);
	if (!joins(p, &right))
		return 0;
	r = delete_here(t);
	if (r == 0)
		p->len += right.len;
	return r;
}

static int insert_one(fs_tree t, struct fs_piece p)
{
	struct ext2fs_extent ext;
	struct fs_piece at;
	int r = take_right(t, &p);

	if (r < 0)
		return r;
	r = go_to(t, p.lblk, &ext);
	if (r <= 0)
		return r < 0 ? r : -EUCLEAN; /* something is mapped there */
	if (r == 2)
		return insert_here(t, 0, &p);
	at = to_piece(&ext);
	if (at.lblk > p.lblk)
		return insert_here(t, 0, &p);
	if (!joins(&at, &p))
		return insert_here(t, EXT2_EXTENT_INSERT_AFTER, &p);
	at.len += p.len;
	return replace_here(t, &at);
}

int fs_tree_insert(fs_tree t, const struct fs_piece *all)
{
	struct fs_piece left = *all;

	while (left.len) {
		struct fs_piece p = left;
		int r;

		if (p.len > max_len(p.unwritten))
			p.len = max_len(p.unwritten);
		r = insert_one(t, p);
		if (r < 0)
			return r;
		left.lblk += p.len;
		left.pblk += p.len;
		left.len -= p.len;
	}
	return 0;
}

/* Standing on `at`, take [a, b) out of it. */
static int cut(fs_tree t, const struct fs_piece *at, uint64_t a, uint64_t b)
{
	uint64_t end = at->lblk + at->len;
	struct fs_piece left = *at, right = *at;
	int r;

	left.len = a - at->lblk;
	right.lblk = b;
	right.pblk += b - at->lblk;
	right.len = end - b;
	if (!left.len && !right.len)
		return delete_here(t);
	if (!left.len)
		return replace_here(t, &right);
	r = replace_here(t, &left);
	if (r < 0 || !right.len)
		return r;
	return insert_here(t, EXT2_EXTENT_INSERT_AFTER, &right);
}

int fs_tree_remove(fs_tree t, uint64_t start, uint64_t end, struct fs_piece_vec *ret)
{
	return fs_tree_remove_some(t, start, end, SIZE_MAX, ret);
}

int fs_tree_remove_some(fs_tree t, uint64_t start, uint64_t end, size_t max,
			struct fs_piece_vec *ret)
{
	for (;;) {
		struct fs_piece at, cutout;
		uint64_t a, b;
		int r = fs_tree_next(t, start, &at);

		if (r < 0 || !at.len || at.lblk >= end)
			return r;
		if (!max--)
			return 1;
		a = at.lblk > start ? at.lblk : start;
		b = at.lblk + at.len < end ? at.lblk + at.len : end;
		cutout = (struct fs_piece){ .lblk = a,
					    .len = b - a,
					    .pblk = at.pblk + (a - at.lblk),
					    .unwritten = at.unwritten };
		if (fs_piece_vec_push(ret, cutout) < 0)
			return -ENOMEM;
		r = cut(t, &at, a, b);
		if (r < 0)
			return r;
		start = b;
	}
}
