/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names: lookup, making, linking, removing. */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

#define LINK_MAX_FILES 65000u
#define FAST_SYMLINK 59u /* bytes that fit into the inode with their zero */

/* Whether name may be made, removed or replaced in dir. */
int fs_name_check(struct fs *fs, uint32_t dir, const char *name)
{
	if (!fs_may_change(fs))
		return -EROFS;
	if (!*name || strchr(name, '/'))
		return -EINVAL;
	if (strlen(name) > FS_NAME_MAX)
		return -ENAMETOOLONG;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	if (dir == fs->hidden_ino ||
	    (dir == FS_ROOT_INO && fs->hidden_ino && strcmp(name, FS_HIDDEN_NAME) == 0))
		return -EPERM;
	return 0;
}

int fs_lookup(struct fs *fs, uint32_t dir, const char *name, uint32_t *ret_ino)
{
	struct fs_inode i;
	int r;

	if (strlen(name) > FS_NAME_MAX)
		return -ENAMETOOLONG;
	if (dir == FS_ROOT_INO && strcmp(name, FS_HIDDEN_NAME) == 0)
		return -ENOENT;
	r = fs_inode_load_dir(fs, dir, &i);
	return r < 0 ? r : fs_names_lookup(fs, &i, name, ret_ino, NULL);
}

/* dir, loaded, and name is free in it. */
static int begin_new(struct fs *fs, uint32_t dir, const char *name, struct fs_inode *ret_dir)
{
	uint32_t other;
	int r = fs_name_check(fs, dir, name);

	if (r == 0)
		r = fs_inode_load_dir(fs, dir, ret_dir);
	if (r == 0)
		r = fs_names_lookup(fs, ret_dir, name, &other, NULL);
	if (r == 0)
		return -EEXIST;
	return r == -ENOENT ? 0 : r;
}

/* A directory with the set-group-id bit gives its group on, and to directories the bit too. */
int fs_inherit(struct fs *fs, const struct fs_new *n, const struct fs_inode *dir, uint32_t type,
	       struct fs_new *ret, struct fs_inherited *acls)
{
	struct fs_attr a;

	*ret = *n;
	ret->mode = (n->mode & 07777) | type;
	fs_inode_attr(dir, &a);
	if (a.mode & LINUX_S_ISGID) {
		ret->gid = a.gid;
		if (LINUX_S_ISDIR(type))
			ret->mode |= LINUX_S_ISGID;
	}
	return fs_acl_inherit(fs, dir->ino, n->umask, &ret->mode, acls);
}

static int finish_new(struct fs *fs, struct fs_inode *dir, const char *name, struct fs_inode *i,
		      const struct fs_inherited *in, struct fs_attr *ret)
{
	int r = fs_inode_store(fs, i);

	if (r == 0 && in)
		r = fs_acl_apply(fs, i->ino, in);
	if (r == 0)
		r = fs_dir_add(fs, dir, name, i->ino, i->raw.i_mode);
	if (r == 0 && ret)
		fs_inode_attr(i, ret);
	return r;
}

/* A regular file begins with an empty extent tree. */
static int init_tree(struct fs *fs, struct fs_inode *i)
{
	fs_tree t;
	int r = fs_tree_open(fs, i, &t);

	if (r == 0)
		fs_tree_close(&t);
	return r;
}

int fs_mknod(struct fs *fs, uint32_t dir, const char *name, const struct fs_new *n,
	     struct fs_attr *ret)
{
	uint32_t type = n->mode & LINUX_S_IFMT ? n->mode & LINUX_S_IFMT : LINUX_S_IFREG;
	_cleanup_(fs_inherited_fini) struct fs_inherited in = { .len = 0 };
	struct fs_inode d, i;
	struct fs_new m;
	int r = begin_new(fs, dir, name, &d);

	if (r == 0 && (type == LINUX_S_IFDIR || type == LINUX_S_IFLNK))
		r = -EINVAL;
	if (r == 0)
		r = fs_inherit(fs, n, &d, type, &m, &in);
	if (r == 0)
		r = fs_inode_new(fs, dir, &m, &i);
	if (r < 0)
		return r;
	i.raw.i_links_count = 1;
	if (type == LINUX_S_IFREG)
		r = init_tree(fs, &i);
	return r < 0 ? r : finish_new(fs, &d, name, &i, &in, ret);
}

/*
 * Directories count their subdirectories up to 65000; one that had more says 1, for good ("dir_nlink").
 * e2fsck and the kernel know it.
 */
void fs_dir_link_inc(struct fs_inode *d)
{
	if (d->raw.i_links_count != 1 && ++d->raw.i_links_count > LINK_MAX_FILES)
		d->raw.i_links_count = 1;
}

void fs_dir_link_dec(struct fs_inode *d)
{
	if (d->raw.i_links_count > 2)
		d->raw.i_links_count--;
}

int fs_mkdir(struct fs *fs, uint32_t dir, const char *name, const struct fs_new *n,
	     struct fs_attr *ret)
{
	_cleanup_(fs_inherited_fini) struct fs_inherited in = { .len = 0 };
	struct fs_inode d, i;
	struct fs_new m;
	int r = begin_new(fs, dir, name, &d);

	if (r == 0)
		r = fs_inherit(fs, n, &d, LINUX_S_IFDIR, &m, &in);
	if (r == 0)
		r = fs_inode_new(fs, dir, &m, &i);
	if (r < 0)
		return r;
	i.raw.i_links_count = 2;
	r = fs_dir_init(fs, &i, dir);
	if (r < 0)
		return r;
	fs_dir_link_inc(&d);
	return finish_new(fs, &d, name, &i, &in, ret);
}

/* The target as the first block of the file, journalled like metadata. */
static int store_target(struct fs *fs, struct fs_inode *i, const char *target, size_t len)
{
	uint8_t buf[FS_BLOCK_SIZE] = { 0 };
	uint64_t pblk;
	int r;

	if (len <= FAST_SYMLINK) {
		memcpy(i->raw.i_block, target, len);
		return 0;
	}
	r = fs_map_one(fs, i, 0, &pblk);
	if (r < 0)
		return r;
	memcpy(buf, target, len);
	return fs_buf_write(fs, pblk, buf);
}

int fs_symlink(struct fs *fs, uint32_t dir, const char *name, const char *target,
	       const struct fs_new *n, struct fs_attr *ret)
{
	size_t len = strlen(target);
	struct fs_inherited none;
	struct fs_inode d, i;
	struct fs_new m = { 0 };
	int r = !len		       ? -ENOENT
		: len >= FS_BLOCK_SIZE ? -ENAMETOOLONG
				       : begin_new(fs, dir, name, &d);

	if (r == 0)
		r = fs_inherit(fs, n, &d, LINUX_S_IFLNK, &m, &none);
	m.mode |= 0777;
	if (r == 0)
		r = fs_inode_new(fs, dir, &m, &i);
	if (r < 0)
		return r;
	i.raw.i_links_count = 1;
	r = store_target(fs, &i, target, len);
	fs_inode_set_size(&i, len);
	return r < 0 ? r : finish_new(fs, &d, name, &i, NULL, ret);
}

int fs_readlink(struct fs *fs, uint32_t ino, char *buf, size_t size)
{
	struct fs_piece p;
	struct fs_buf *b;
	struct fs_inode i;
	uint64_t len;
	fs_tree t;
	int r = fs_inode_load(fs, ino, &i);

	if (r < 0)
		return r;
	len = EXT2_I_SIZE(fs_raw(&i));
	if (!LINUX_S_ISLNK(i.raw.i_mode) || !size)
		return -EINVAL;
	if (len >= FS_BLOCK_SIZE)
		return -EUCLEAN;
	if (len > size - 1)
		len = size - 1;
	buf[len] = 0;
	if (!fs_inode_has_extents(&i)) {
		memcpy(buf, i.raw.i_block,
		       len < sizeof(i.raw.i_block) ? len : sizeof(i.raw.i_block));
		return (int)len;
	}
	r = fs_tree_open(fs, &i, &t);
	if (r < 0)
		return r;
	r = fs_tree_next(t, 0, &p);
	fs_tree_close(&t);
	if (r == 0)
		r = p.len ? fs_buf_get(fs, p.pblk, &b) : -EUCLEAN;
	if (r < 0)
		return r;
	memcpy(buf, b->data, len);
	return (int)len;
}

int fs_link(struct fs *fs, uint32_t ino, uint32_t dir, const char *name, struct fs_attr *ret)
{
	struct fs_inode d, i;
	int r = begin_new(fs, dir, name, &d);

	if (r == 0)
		r = fs_inode_load(fs, ino, &i);
	if (r < 0)
		return r;
	if (LINUX_S_ISDIR(i.raw.i_mode) || !ext2fs_test_inode_bitmap2(fs->e2->inode_map, ino))
		return -EPERM;
	if (i.raw.i_links_count >= LINK_MAX_FILES)
		return -EMLINK;
	if (!i.raw.i_links_count) /* a temporary file gets its name */
		r = fs_orphan_remove(fs, &i);
	i.raw.i_links_count++;
	fs_inode_touch(fs, &i, FS_T_CTIME);
	return r < 0 ? r : finish_new(fs, &d, name, &i, NULL, ret);
}

int fs_inode_unlinked(struct fs *fs, struct fs_inode *i, bool still_open, uint32_t *ret_gone)
{
	fs->op.use_reserve = true;
	fs_inode_touch(fs, i, FS_T_CTIME);
	if (i->raw.i_links_count)
		i->raw.i_links_count--;
	if (i->raw.i_links_count)
		return fs_inode_store(fs, i);
	if (ret_gone)
		*ret_gone = i->ino;
	return still_open ? fs_orphan_add(fs, i) : fs_inode_free(fs, i);
}

/* dir and what name is in it. */
static int begin_remove(struct fs *fs, uint32_t dir, const char *name, struct fs_inode *ret_dir,
			struct fs_inode *ret)
{
	uint32_t ino;
	int r = fs_name_check(fs, dir, name);

	if (r == 0)
		r = fs_inode_load_dir(fs, dir, ret_dir);
	if (r == 0)
		r = fs_names_lookup(fs, ret_dir, name, &ino, NULL);
	return r < 0 ? r : fs_inode_load(fs, ino, ret);
}

int fs_unlink(struct fs *fs, uint32_t dir, const char *name, bool still_open, uint32_t *ret_gone)
{
	struct fs_inode d, i;
	uint32_t gone = 0;
	int r = begin_remove(fs, dir, name, &d, &i);

	if (r == 0 && LINUX_S_ISDIR(i.raw.i_mode))
		r = -EISDIR;
	if (r == 0)
		r = fs_dir_remove(fs, &d, name);
	if (r == 0)
		r = fs_inode_unlinked(fs, &i, still_open, &gone);
	if (r == 0 && ret_gone)
		*ret_gone = gone;
	return r;
}

int fs_rmdir(struct fs *fs, uint32_t dir, const char *name)
{
	struct fs_inode d, i;
	int r = begin_remove(fs, dir, name, &d, &i);

	if (r == 0 && !LINUX_S_ISDIR(i.raw.i_mode))
		r = -ENOTDIR;
	if (r == 0)
		r = fs_dir_is_empty(fs, &i);
	if (r < 0)
		return r;
	fs_dir_link_dec(&d);
	r = fs_dir_remove(fs, &d, name);
	if (r < 0)
		return r;
	fs_names_forget(fs, i.ino);
	return fs_inode_free(fs, &i);
}
