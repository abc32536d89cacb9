/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extended attributes, by libext2fs: in the inode's spare room, then in a block of its own. */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

#define VALUE_MAX 3800u /* what fits into the one block with its headers and name */

static void xattrs_closep(struct ext2_xattr_handle **h)
{
	if (*h)
		(void)ext2fs_xattrs_close(h);
}

static int xattrs_open(struct fs *fs, uint32_t ino, struct ext2_xattr_handle **ret)
{
	struct fs_attr a;
	errcode_t e;
	int r = fs_getattr(fs, ino, &a);

	if (r < 0)
		return r;
	e = ext2fs_xattrs_open(fs->e2, ino, ret);
	if (e)
		return fs_errno(e);
	return fs_errno(ext2fs_xattrs_read(*ret));
}

static int touch(struct fs *fs, uint32_t ino)
{
	struct fs_inode i;
	int r = fs_inode_load(fs, ino, &i);

	if (r < 0)
		return r;
	fs_inode_touch(fs, &i, FS_T_CTIME);
	return fs_inode_store(fs, &i);
}

int fs_xattr_get(struct fs *fs, uint32_t ino, const char *name, void **ret, size_t *ret_len)
{
	_cleanup_(xattrs_closep) struct ext2_xattr_handle *h = NULL;
	int r = xattrs_open(fs, ino, &h);

	return r < 0 ? r : fs_errno(ext2fs_xattr_get(h, name, ret, ret_len));
}

static bool has(struct ext2_xattr_handle *h, const char *name)
{
	void *value = NULL;
	size_t len;
	errcode_t e = ext2fs_xattr_get(h, name, &value, &len);

	free(value);
	return e == 0;
}

static const char *const spaces[] = { "user.", "trusted.", "security.", "system.posix_acl_" };

static bool name_ok(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]) && len <= FS_NAME_MAX; i++)
		if (strncmp(name, spaces[i], strlen(spaces[i])) == 0 && len > strlen(spaces[i]))
			return true;
	return false;
}

int fs_xattr_set(struct fs *fs, uint32_t ino, const char *name, const void *value, size_t len,
		 unsigned flags)
{
	_cleanup_(xattrs_closep) struct ext2_xattr_handle *h = NULL;
	int r = fs_may_change(fs) ? 0 : -EROFS;

	if (r == 0)
		r = !name_ok(name)    ? -EOPNOTSUPP
		    : len > VALUE_MAX ? -E2BIG
				      : xattrs_open(fs, ino, &h);
	if (r < 0)
		return r;
	if (flags & (FS_XATTR_CREATE | FS_XATTR_REPLACE)) {
		bool there = has(h, name);

		if (there && flags & FS_XATTR_CREATE)
			return -EEXIST;
		if (!there && flags & FS_XATTR_REPLACE)
			return -ENODATA;
	}
	(void)pthread_mutex_lock(&fs_e2_zero_buffer);
	r = fs_errno(ext2fs_xattr_set(h, name, value, len));
	(void)pthread_mutex_unlock(&fs_e2_zero_buffer);
	return r < 0 ? r : touch(fs, ino);
}

int fs_xattr_remove(struct fs *fs, uint32_t ino, const char *name)
{
	_cleanup_(xattrs_closep) struct ext2_xattr_handle *h = NULL;
	int r = fs_may_change(fs) ? xattrs_open(fs, ino, &h) : -EROFS;

	if (r < 0)
		return r;
	if (!has(h, name))
		return -ENODATA;
	fs->op.use_reserve = true;
	(void)pthread_mutex_lock(&fs_e2_zero_buffer);
	r = fs_errno(ext2fs_xattr_remove(h, name));
	(void)pthread_mutex_unlock(&fs_e2_zero_buffer);
	return r < 0 ? r : touch(fs, ino);
}

struct list {
	char *buf;
	size_t len;
	int r;
};

static int list_one(char *name, char *value, size_t value_len, void *user)
{
	struct list *l = user;
	size_t n = strlen(name) + 1;
	char *buf = realloc(l->buf, l->len + n);

	(void)value;
	(void)value_len;
	if (!buf) {
		l->r = -ENOMEM;
		return XATTR_ABORT;
	}
	memcpy(buf + l->len, name, n);
	l->buf = buf;
	l->len += n;
	return 0;
}

int fs_xattr_list(struct fs *fs, uint32_t ino, char **ret, size_t *ret_len)
{
	_cleanup_(xattrs_closep) struct ext2_xattr_handle *h = NULL;
	struct list l = { .r = 0 };
	int r = xattrs_open(fs, ino, &h);

	if (r < 0)
		return r;
	r = fs_errno(ext2fs_xattrs_iterate(h, list_one, &l));
	if (r == 0)
		r = l.r;
	if (r < 0) {
		free(l.buf);
		return r;
	}
	*ret = l.buf;
	*ret_len = l.len;
	return 0;
}
