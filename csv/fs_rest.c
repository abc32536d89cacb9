/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Large files in steps. What goes wrong otherwise: a transaction as large as the file, more than the journal takes, and
 * everybody waits for it.
 *
 * Deleting: the operation itself frees the first few hundred extents, and the rest waits on the orphan list, where ext4
 * has always kept inodes without a name. A crash leaves it there: the next coordinator, e2fsck and the kernel finish the
 * work. The list on disk does not say whether such an inode is still open; that is the caller's to know. So in memory
 * there is a list of those to go on with: `rest`.
 *
 * Cutting: from the end, each step a truncation of its own. ext4 keeps half-cut files on the orphan list too, but e2fsck
 * 1.47 destroys data before the cut when it finishes one with clusters of several blocks.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

/* ---- deleting --------------------------------------------------------------------------- */

int fs_rest_note(struct fs *fs, uint32_t ino, bool more)
{
	return fs_rest_vec_push(&fs->op.rest, (struct fs_rest){ ino, more }) < 0 ? -ENOMEM : 0;
}

static void forget(struct fs *fs, uint32_t ino)
{
	size_t kept = 0;

	for (size_t n = 0; n < fs->rest.n; n++)
		if (fs->rest.v[n].ino != ino)
			fs->rest.v[kept++] = fs->rest.v[n];
	fs->rest.n = kept;
}

void fs_rest_apply(struct fs *fs)
{
	for (size_t n = 0; n < fs->op.rest.n; n++) {
		forget(fs, fs->op.rest.v[n].ino);
		if (fs->op.rest.v[n].more)
			(void)fs_rest_vec_push(&fs->rest, fs->op.rest.v[n]); /* room is there */
	}
}

bool fs_has_work(const struct fs *fs)
{
	return fs->rest.n && !fs->dead && !fs->read_only;
}

int fs_work(struct fs *fs, struct timespec now)
{
	uint32_t ino = fs->rest.n ? fs->rest.v[fs->rest.n - 1].ino : 0;
	int r = ino ? fs_op_begin(fs, now) : 0;

	if (r < 0 || !ino)
		return r;
	r = fs_orphan_free(fs, ino);
	if (r == 0)
		r = fs_end(fs);
	if (r < 0) {
		fs_abort(fs);
		if (r != -ENOMEM)
			forget(fs, ino); /* it stays an orphan: e2fsck's, or the next open's */
		return r;
	}
	return 1;
}

int fs_make_space(struct fs *fs, struct timespec now)
{
	uint64_t before = fs_usable_blocks(fs);
	int r = 1;

	while (r > 0 && fs_has_work(fs))
		r = fs_work(fs, now);
	if (r >= 0)
		r = fs_commit(fs);
	return r < 0 ? r : fs_usable_blocks(fs) > before;
}

/* A list that runs in circles is refused, once and here. */
int fs_orphans_check(struct fs *fs, struct cl_error *err)
{
	uint32_t left = fs->e2->super->s_inodes_count, ino = fs->e2->super->s_last_orphan;

	while (ino) {
		struct fs_inode i;
		int r = left-- ? fs_inode_load(fs, ino, &i) : -ELOOP;

		if (r == 0 && !ext2fs_test_inode_bitmap2(fs->e2->inode_map, ino))
			r = -ENOENT;
		if (r < 0)
			return cl_error_set(
				err, r == -EIO ? r : -EUCLEAN,
				"the orphan list is damaged at inode %u: run e2fsck -fy", ino);
		ino = i.raw.i_dtime;
	}
	return 0;
}

/* ---- cutting ---------------------------------------------------------------------------- */

/* Where each extent from block s on begins. */
static int starts_from(struct fs *fs, uint32_t ino, uint64_t s, struct fs_u32_vec *ret)
{
	struct fs_inode i;
	struct fs_piece p;
	fs_tree t;
	int r = fs_file_load(fs, ino, &i);

	if (r == 0)
		r = fs_tree_open(fs, &i, &t);
	if (r < 0)
		return r;
	r = fs_tree_next(t, s, &p);
	while (r == 0 && p.len) {
		if (p.lblk >= s && fs_u32_vec_push(ret, (uint32_t)p.lblk) < 0)
			r = -ENOMEM;
		if (r == 0)
			r = fs_tree_following(t, p.lblk + p.len, &p);
	}
	fs_tree_close(&t);
	return r;
}

static int cut_step(struct fs *fs, struct timespec now, uint32_t ino, uint64_t from)
{
	struct fs_inode i;
	int r = fs_begin(fs, now);

	if (r < 0)
		return r;
	r = fs_inode_load(fs, ino, &i);
	if (r == 0)
		r = fs_unmap(fs, &i, from, FS_FILE_BLOCKS_MAX);
	if (r == 0) {
		if (EXT2_I_SIZE(fs_raw(&i)) > from * FS_BLOCK_SIZE)
			fs_inode_set_size(&i, from * FS_BLOCK_SIZE);
		fs_inode_touch(fs, &i, FS_T_MTIME | FS_T_CTIME);
		r = fs_inode_store(fs, &i);
	}
	if (r == 0)
		r = fs_end(fs);
	if (r < 0)
		fs_abort(fs);
	return r;
}

int fs_cut_ahead(struct fs *fs, struct timespec now, uint32_t ino, uint64_t size)
{
	_cleanup_(fs_u32_vec_fini) struct fs_u32_vec starts = { 0 };
	int r = size > FS_FILE_MAX ? -EFBIG : starts_from(fs, ino, fs_blocks_up(size), &starts);

	while (r == 0 && starts.n > fs->step_extents) {
		starts.n -= fs->step_extents;
		r = cut_step(fs, now, ino, starts.v[starts.n]);
	}
	return r;
}
