/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unlinked but open: the classic chain s_last_orphan -> i_dtime -> .., which e2fsck and the kernel
 * empty by themselves. A take-over leaves it alone until grace is over: a client may still hold one
 * open.
 */
#include "config.h"

#include "csv/fs_int.h"

int fs_orphan_add(struct fs *fs, struct fs_inode *i)
{
	i->raw.i_dtime = fs->e2->super->s_last_orphan;
	fs->e2->super->s_last_orphan = i->ino;
	return fs_inode_store(fs, i);
}

int fs_orphan_next(struct fs *fs, uint32_t prev, uint32_t *ret_ino)
{
	struct fs_inode i;
	int r;

	if (!prev) {
		*ret_ino = fs->e2->super->s_last_orphan;
		return 0;
	}
	r = fs_inode_load(fs, prev, &i);
	if (r == 0)
		*ret_ino = i.raw.i_dtime;
	return r;
}

/* Take i out of the chain; its i_dtime is 0 afterwards (not stored). */
int fs_orphan_remove(struct fs *fs, struct fs_inode *i)
{
	uint32_t next = i->raw.i_dtime, at = fs->e2->super->s_last_orphan;
	uint32_t steps = fs->e2->super->s_inodes_count;

	i->raw.i_dtime = 0;
	if (at == i->ino) {
		fs->e2->super->s_last_orphan = next;
		return 0;
	}
	while (at && steps--) {
		struct fs_inode prev;
		int r = fs_inode_load(fs, at, &prev);

		if (r < 0)
			return r;
		if (prev.raw.i_dtime == i->ino) {
			prev.raw.i_dtime = next;
			return fs_inode_store(fs, &prev);
		}
		at = prev.raw.i_dtime;
	}
	return -ENOENT;
}

/* The kernel's, when it died in a truncation: the blocks beyond the size are to go, the file stays. */
static int finish_cut(struct fs *fs, struct fs_inode *i)
{
	int r = fs_unmap(fs, i, fs_blocks_up(EXT2_I_SIZE(fs_raw(i))), FS_FILE_BLOCKS_MAX);

	return r < 0 ? r : fs_inode_store(fs, i);
}

int fs_orphan_free(struct fs *fs, uint32_t ino)
{
	struct fs_inode i;
	int r = fs_may_change(fs) ? fs_inode_load(fs, ino, &i) : -EROFS;

	if (r == 0)
		r = fs_orphan_remove(fs, &i);
	if (r == 0)
		r = fs_rest_note(fs, ino, false);
	if (r < 0)
		return r;
	return i.raw.i_links_count ? finish_cut(fs, &i) : fs_inode_free(fs, &i);
}

int fs_tmpfile(struct fs *fs, const struct fs_new *n, struct fs_attr *ret)
{
	_cleanup_(fs_inherited_fini) struct fs_inherited in = { .len = 0 };
	struct fs_inode d, i;
	struct fs_new m = *n;
	fs_tree t;
	int r = fs_may_change(fs) ? 0 : -EROFS;

	m.mode = (n->mode & 07777) | LINUX_S_IFREG;
	if (r == 0 && n->dir) {
		r = fs_inode_load_dir(fs, n->dir, &d);
		if (r == 0)
			r = fs_inherit(fs, n, &d, LINUX_S_IFREG, &m, &in);
	}
	if (r == 0)
		r = fs_inode_new(fs, n->dir ? n->dir : FS_ROOT_INO, &m, &i);
	if (r == 0)
		r = fs_tree_open(fs, &i, &t);
	if (r < 0)
		return r;
	fs_tree_close(&t);
	r = fs_orphan_add(fs, &i);
	if (r == 0)
		r = fs_acl_apply(fs, i.ino, &in);
	if (r == 0 && ret)
		fs_inode_attr(&i, ret);
	return r;
}
