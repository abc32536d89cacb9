/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rename(2): one operation, so that a crash leaves the old name or the new one, never both or none.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

struct rename {
	struct fs_inode from, to; /* directories; `to` is not loaded when it is the same one */
	bool same_dir;
	struct fs_inode i;
	bool replaces;
	struct fs_inode victim;
};

static struct fs_inode *to_dir(struct rename *rn)
{
	return rn->same_dir ? &rn->from : &rn->to;
}

/* dir must not be ino or below it: the directory would vanish from the tree. */
static int check_loop(struct fs *fs, uint32_t ino, uint32_t dir)
{
	uint32_t steps = fs->e2->super->s_inodes_count;

	while (steps--) {
		struct fs_inode d;
		int r;

		if (dir == ino)
			return -EINVAL;
		if (dir == FS_ROOT_INO)
			return 0;
		r = fs_inode_load_dir(fs, dir, &d);
		if (r == 0)
			r = fs_dir_parent(fs, &d, &dir);
		if (r < 0)
			return r;
	}
	return -EUCLEAN;
}

static int check_victim(struct fs *fs, struct rename *rn, unsigned flags)
{
	bool a = LINUX_S_ISDIR(rn->i.raw.i_mode), b = LINUX_S_ISDIR(rn->victim.raw.i_mode);

	if (flags & FS_RENAME_NOREPLACE)
		return -EEXIST;
	if (flags & FS_RENAME_EXCHANGE)
		return b && !rn->same_dir ? check_loop(fs, rn->victim.ino, rn->from.ino) : 0;
	if (a && !b)
		return -ENOTDIR;
	if (!a && b)
		return -EISDIR;
	return b ? fs_dir_is_empty(fs, &rn->victim) : 0;
}

static int load(struct fs *fs, uint32_t dir, const char *name, uint32_t new_dir,
		const char *new_name, unsigned flags, struct rename *rn)
{
	uint32_t ino, victim;
	int r = fs_inode_load_dir(fs, dir, &rn->from);

	rn->same_dir = dir == new_dir;
	if (r == 0 && !rn->same_dir)
		r = fs_inode_load_dir(fs, new_dir, &rn->to);
	if (r == 0)
		r = fs_names_lookup(fs, &rn->from, name, &ino, NULL);
	if (r == 0)
		r = fs_inode_load(fs, ino, &rn->i);
	if (r < 0)
		return r;
	r = fs_names_lookup(fs, to_dir(rn), new_name, &victim, NULL);
	if (r < 0 && (r != -ENOENT || flags & FS_RENAME_EXCHANGE))
		return r;
	rn->replaces = r == 0;
	if (rn->replaces && victim == ino)
		return flags & FS_RENAME_NOREPLACE ? -EEXIST
						   : 1; /* two names of one file: nothing to do */
	if (rn->replaces)
		r = fs_inode_load(fs, victim, &rn->victim);
	else
		r = 0;
	if (r == 0 && rn->replaces)
		r = check_victim(fs, rn, flags);
	if (r == 0 && LINUX_S_ISDIR(rn->i.raw.i_mode) && !rn->same_dir)
		r = check_loop(fs, ino, new_dir);
	return r;
}

/* The new name takes the file; what it stood for goes. */
static int replace(struct fs *fs, struct rename *rn, const char *name, unsigned flags,
		   uint32_t *ret_gone)
{
	struct fs_inode *d = to_dir(rn);
	bool is_dir = LINUX_S_ISDIR(rn->victim.raw.i_mode);
	int r;

	if (is_dir)
		fs_dir_link_dec(d);
	r = fs_dir_replace(fs, d, name, rn->i.ino, rn->i.raw.i_mode);
	if (r < 0)
		return r;
	if (is_dir) {
		fs_names_forget(fs, rn->victim.ino);
		return fs_inode_free(fs, &rn->victim);
	}
	return fs_inode_unlinked(fs, &rn->victim, flags & FS_RENAME_REPLACED_OPEN, ret_gone);
}

/* A directory's ".." and its parents' counts follow it. */
static int move_dir(struct fs *fs, const struct rename *rn, struct fs_inode *i,
		    struct fs_inode *from, struct fs_inode *to)
{
	if (!LINUX_S_ISDIR(i->raw.i_mode) || rn->same_dir)
		return 0;
	fs_dir_link_dec(from);
	fs_dir_link_inc(to);
	return fs_dir_set_parent(fs, i, to->ino);
}

static int touch(struct fs *fs, struct fs_inode *i)
{
	fs_inode_touch(fs, i, FS_T_CTIME);
	return fs_inode_store(fs, i);
}

static int move(struct fs *fs, struct rename *rn, const char *name, const char *new_name,
		unsigned flags, uint32_t *ret_gone)
{
	int r = move_dir(fs, rn, &rn->i, &rn->from, to_dir(rn));

	if (r == 0)
		r = fs_dir_remove(fs, &rn->from, name);
	if (r == 0 && rn->replaces)
		r = replace(fs, rn, new_name, flags, ret_gone);
	else if (r == 0)
		r = fs_dir_add(fs, to_dir(rn), new_name, rn->i.ino, rn->i.raw.i_mode);
	return r < 0 ? r : touch(fs, &rn->i);
}

static int exchange(struct fs *fs, struct rename *rn, const char *name, const char *new_name)
{
	int r = move_dir(fs, rn, &rn->i, &rn->from, to_dir(rn));

	if (r == 0)
		r = move_dir(fs, rn, &rn->victim, to_dir(rn), &rn->from);
	if (r == 0)
		r = fs_dir_replace(fs, &rn->from, name, rn->victim.ino, rn->victim.raw.i_mode);
	if (r == 0)
		r = fs_dir_replace(fs, to_dir(rn), new_name, rn->i.ino, rn->i.raw.i_mode);
	if (r == 0)
		r = touch(fs, &rn->i);
	return r < 0 ? r : touch(fs, &rn->victim);
}

int fs_rename(struct fs *fs, uint32_t dir, const char *name, uint32_t new_dir, const char *new_name,
	      unsigned flags, uint32_t *ret_gone)
{
	struct rename rn = { .same_dir = false };
	uint32_t gone = 0;
	int r = fs_name_check(fs, dir, name);

	if (flags & FS_RENAME_EXCHANGE && flags & FS_RENAME_NOREPLACE)
		return -EINVAL;
	if (r == 0)
		r = fs_name_check(fs, new_dir, new_name);
	if (r == 0)
		r = load(fs, dir, name, new_dir, new_name, flags, &rn);
	if (r == 0 && flags & FS_RENAME_EXCHANGE)
		r = exchange(fs, &rn, name, new_name);
	else if (r == 0)
		r = move(fs, &rn, name, new_name, flags, &gone);
	if (r >= 0 && ret_gone)
		*ret_gone = gone;
	return r < 0 ? r : 0;
}
