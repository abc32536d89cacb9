/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access control lists of files: mode and list are kept in step here, in one operation. libext2fs turns the
 * value that callers know into what is on disk, and back.
 */
#include "config.h"

#include <string.h>

#include "csv/acl.h"
#include "csv/fs_int.h"

/* -ENODATA: none. One that does not hold together on disk counts as damage. */
static int get(struct fs *fs, uint32_t ino, const char *name, uint8_t **ret, size_t *ret_len)
{
	void *value = NULL;
	int r = fs_xattr_get(fs, ino, name, &value, ret_len);

	if (r < 0)
		return r;
	if (acl_check(value, *ret_len) < 0) {
		free(value);
		return -EUCLEAN;
	}
	*ret = value;
	return 0;
}

static int set_mode(struct fs *fs, uint32_t ino, uint32_t mode)
{
	struct fs_inode i;
	int r = fs_inode_load(fs, ino, &i);

	if (r < 0)
		return r;
	i.raw.i_mode = (uint16_t)mode;
	fs_inode_touch(fs, &i, FS_T_CTIME);
	return fs_inode_store(fs, &i);
}

int fs_acl_set(struct fs *fs, uint32_t ino, const char *name, const void *value, size_t len,
	       bool kill_setgid)
{
	struct fs_attr a;
	bool keep = len > ACL_EMPTY;
	int r = len ? acl_check(value, len) : 0;

	if (r == 0)
		r = fs_getattr(fs, ino, &a);
	if (r < 0)
		return r;
	if (strcmp(name, ACL_DEFAULT) == 0) {
		if (!LINUX_S_ISDIR(a.mode))
			return keep ? -EACCES : 0;
	} else if (keep) {
		keep = acl_to_mode(value, len, &a.mode);
		if (kill_setgid)
			a.mode &= ~(uint32_t)LINUX_S_ISGID;
	}
	r = set_mode(fs, ino, a.mode);
	return r < 0 ? r : fs_xattr_store(fs, ino, name, keep ? value : NULL, len);
}

int fs_acl_chmod(struct fs *fs, uint32_t ino, uint32_t mode)
{
	_cleanup_free_ uint8_t *acl = NULL;
	size_t len;
	int r = get(fs, ino, ACL_ACCESS, &acl, &len);

	if (r < 0)
		return r == -ENODATA ? 0 : r;
	acl_chmod(acl, len, mode);
	return fs_xattr_store(fs, ino, ACL_ACCESS, acl, len);
}

int fs_acl_inherit(struct fs *fs, uint32_t dir, uint32_t umask, uint32_t *mode,
		   struct fs_inherited *ret)
{
	size_t len;
	uint8_t *acl;
	int r = -ENODATA;

	*ret = (struct fs_inherited){ .len = 0 };
	if (LINUX_S_ISLNK(*mode))
		return 0;
	if (dir)
		r = get(fs, dir, ACL_DEFAULT, &acl, &len);
	if (r == -ENODATA) {
		*mode &= ~(umask & 0777);
		return 0;
	}
	if (r < 0)
		return r;
	ret->len = len;
	ret->access = malloc(len);
	if (!ret->access) {
		free(acl);
		return -ENOMEM;
	}
	memcpy(ret->access, acl, len);
	ret->keep_access = acl_inherit(ret->access, len, mode);
	if (LINUX_S_ISDIR(*mode))
		ret->dir = acl;
	else
		free(acl);
	return 0;
}

int fs_acl_apply(struct fs *fs, uint32_t ino, const struct fs_inherited *in)
{
	int r = 0;

	if (in->keep_access)
		r = fs_xattr_store(fs, ino, ACL_ACCESS, in->access, in->len);
	if (r == 0 && in->dir)
		r = fs_xattr_store(fs, ino, ACL_DEFAULT, in->dir, in->len);
	return r;
}

void fs_inherited_fini(struct fs_inherited *in)
{
	free(in->access);
	free(in->dir);
}
