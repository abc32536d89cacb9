/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Deleting and cutting large files in steps. The operation itself frees the first few hundred extents, and what is
 * left waits on the orphan list, where ext4 has always kept both: inodes without a name, to be freed, and inodes with
 * a name whose size is set and whose blocks beyond it are to go. A crash leaves them there: the next coordinator,
 * e2fsck and the kernel all finish the work. What goes wrong otherwise: a transaction as large as the file
 * (more than the journal takes), and everybody waits for it.
 *
 * The list on disk does not say whether an inode without a name is still open; that is the caller's to know. So in
 * memory there is a list of those to go on with: `rest`.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

int fs_rest_note(struct fs *fs, uint32_t ino, enum fs_rest_kind kind)
{
	return fs_rest_vec_push(&fs->op.rest, (struct fs_rest){ ino, kind }) < 0 ? -ENOMEM : 0;
}

/* As of the running operation. */
enum fs_rest_kind fs_rest_of(const struct fs *fs, uint32_t ino)
{
	for (size_t n = fs->op.rest.n; n-- > 0;)
		if (fs->op.rest.v[n].ino == ino)
			return fs->op.rest.v[n].kind;
	for (size_t n = 0; n < fs->rest.n; n++)
		if (fs->rest.v[n].ino == ino)
			return fs->rest.v[n].kind;
	return FS_REST_NONE;
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
		if (fs->op.rest.v[n].kind != FS_REST_NONE)
			(void)fs_rest_vec_push(&fs->rest, fs->op.rest.v[n]); /* room is there */
	}
}

/*
 * A file whose cut is not finished is about to change its size or map: it is finished first, whatever it takes.
 * Without it, blocks that were cut off would be back when the file grows.
 */
int fs_rest_finish(struct fs *fs, struct fs_inode *i)
{
	int r;

	if (fs_rest_of(fs, i->ino) != FS_REST_CUT)
		return 0;
	r = fs_unmap(fs, i, fs_blocks_up(EXT2_I_SIZE(fs_raw(i))), FS_FILE_BLOCKS_MAX);
	if (r == 0)
		r = fs_orphan_remove(fs, i);
	if (r == 0)
		r = fs_rest_note(fs, i->ino, FS_REST_NONE);
	return r < 0 ? r : fs_inode_store(fs, i);
}

static int step_cut(struct fs *fs, struct fs_inode *i)
{
	int r = fs_unmap_some(fs, i, fs_blocks_up(EXT2_I_SIZE(fs_raw(i))));

	if (r == 0) {
		r = fs_orphan_remove(fs, i);
		if (r == 0)
			r = fs_rest_note(fs, i->ino, FS_REST_NONE);
	}
	return r < 0 ? r : fs_inode_store(fs, i);
}

static int step_free(struct fs *fs, struct fs_inode *i)
{
	int r = fs_orphan_remove(fs, i);

	if (r == 0)
		r = fs_rest_note(fs, i->ino, FS_REST_NONE);
	return r < 0 ? r : fs_inode_free(fs, i);
}

int fs_rest_step(struct fs *fs, uint32_t ino)
{
	struct fs_inode i;
	int r = fs_inode_load(fs, ino, &i);

	if (r < 0)
		return r;
	return i.raw.i_links_count ? step_cut(fs, &i) : step_free(fs, &i);
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
	r = fs_rest_step(fs, ino);
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

/* Cuts that the coordinator before us did not finish. A list that runs in circles is refused here, once. */
int fs_rest_load(struct fs *fs, struct cl_error *err)
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
		if (i.raw.i_links_count &&
		    fs_rest_vec_push(&fs->rest, (struct fs_rest){ ino, FS_REST_CUT }) < 0)
			return cl_error_errno(err, -ENOMEM, "orphans");
		ino = i.raw.i_dtime;
	}
	return 0;
}
