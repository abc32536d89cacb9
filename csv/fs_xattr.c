/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extended attributes, by libext2fs: in the inode's spare room, then in a block of its own. */
#include "config.h"

#include <string.h>

#include "csv/acl.h"
#include "csv/fs_int.h"

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

static const char *const spaces[] = { "user.", "trusted.", "security." };

static int check_name(const char *name)
{
	size_t len = strlen(name);

	if (len > FS_NAME_MAX)
		return -ERANGE;
	if (acl_is_name(name))
		return 0;
	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++)
		if (strncmp(name, spaces[i], strlen(spaces[i])) == 0)
			return len > strlen(spaces[i]) ? 0 : -EINVAL;
	return -EOPNOTSUPP;
}

int fs_xattr_get(struct fs *fs, uint32_t ino, const char *name, void **ret, size_t *ret_len)
{
	_cleanup_(xattrs_closep) struct ext2_xattr_handle *h = NULL;
	int r = check_name(name);

	if (r == 0)
		r = xattrs_open(fs, ino, &h);
	return r < 0 ? r : fs_errno(ext2fs_xattr_get(h, name, ret, ret_len));
}

enum there { NOT_THERE, THERE, THERE_SAME };

static enum there is_there(struct ext2_xattr_handle *h, const char *name, const void *value,
			   size_t len)
{
	_cleanup_free_ void *old = NULL;
	size_t old_len;

	if (ext2fs_xattr_get(h, name, &old, &old_len))
		return NOT_THERE;
	return old_len == len && value && memcmp(old, value, len) == 0 ? THERE_SAME : THERE;
}

static int put(struct ext2_xattr_handle *h, const char *name, const void *value, size_t len)
{
	errcode_t e;

	(void)pthread_mutex_lock(&fs_e2_zero_buffer);
	e = value ? ext2fs_xattr_set(h, name, value, len) : ext2fs_xattr_remove(h, name);
	(void)pthread_mutex_unlock(&fs_e2_zero_buffer);
	return fs_errno(e);
}

int fs_xattr_store(struct fs *fs, uint32_t ino, const char *name, const void *value, size_t len)
{
	_cleanup_(xattrs_closep) struct ext2_xattr_handle *h = NULL;
	int r = xattrs_open(fs, ino, &h);

	if (r < 0)
		return r;
	if (!value && !is_there(h, name, NULL, 0))
		return 0;
	return put(h, name, value, len);
}

/* Header and end of the block, the entry, name and value each padded to 4. */
static bool fits(const char *name, size_t len)
{
	size_t name_len = strlen(strchr(name, '.') + 1);

	return len <= FS_BLOCK_SIZE &&
	       32 + 4 + 16 + (name_len + 3) / 4 * 4 + (len + 3) / 4 * 4 <= FS_BLOCK_SIZE;
}

static int set(struct fs *fs, uint32_t ino, const char *name, const void *value, size_t len,
	       unsigned flags)
{
	_cleanup_(xattrs_closep) struct ext2_xattr_handle *h = NULL;
	int r = xattrs_open(fs, ino, &h);
	enum there there;

	if (r < 0)
		return r;
	there = is_there(h, name, value, len);
	if (there && flags & FS_XATTR_CREATE)
		return -EEXIST;
	if (!there && flags & FS_XATTR_REPLACE)
		return -ENODATA;
	if (there == THERE_SAME)
		return 0;
	if (!fits(name, len))
		return -ENOSPC;
	r = put(h, name, value, len);
	return r < 0 ? r : touch(fs, ino);
}

int fs_xattr_set(struct fs *fs, uint32_t ino, const char *name, const void *value, size_t len,
		 unsigned flags)
{
	int r = fs_may_change(fs) ? check_name(name) : -EROFS;

	if (r < 0)
		return r;
	if (acl_is_name(name))
		return fs_acl_set(fs, ino, name, value, len, flags & FS_XATTR_KILL_SETGID);
	/* Nothing there may look like nothing to set. */
	return set(fs, ino, name, value ? value : "", len, flags);
}

int fs_xattr_remove(struct fs *fs, uint32_t ino, const char *name)
{
	_cleanup_(xattrs_closep) struct ext2_xattr_handle *h = NULL;
	int r = fs_may_change(fs) ? check_name(name) : -EROFS;

	if (r == 0)
		r = xattrs_open(fs, ino, &h);
	if (r < 0)
		return r;
	if (!is_there(h, name, NULL, 0))
		return acl_is_name(name) ? 0 : -ENODATA;
	fs->op.use_reserve = true;
	r = put(h, name, NULL, 0);
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
