/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sharefs SOURCE MOUNTPOINT FAULTS: the directory SOURCE as a file system of its own, as a share is one, for drills that
 * need a share which does what shares do. It hangs while this process is stopped (SIGSTOP). FAULTS is a file that
 * is looked at with each operation; what it says:
 *
 *     errno N     every operation fails so; of ENOSPC, EDQUOT and EROFS only what would write
 *     lost N      the answer of each N-th rename is lost: it is done, and "no such file" is answered, as by an NFS
 *                 server that is asked again and has forgotten that it was asked before
 *
 * Nothing is cached by the kernel. One thread.
 */
#include "config.h"

#define FUSE_USE_VERSION 314
#include <fuse3/fuse.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int source;
static const char *faults;
static unsigned renames;

/* FUSE's paths begin with a slash. */
static const char *below(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static bool says(const char *word, int *ret)
{
	FILE *f = fopen(faults, "re");
	char got[16] = "";
	bool any = f && fscanf(f, "%15s %d", got, ret) == 2 && strcmp(got, word) == 0;

	if (f)
		(void)fclose(f);
	return any;
}

static int fault(bool writes)
{
	int n;

	if (!says("errno", &n) || (!writes && (n == ENOSPC || n == EDQUOT || n == EROFS)))
		return 0;
	return -n;
}

static int result(int r)
{
	return r < 0 ? -errno : 0;
}

static int s_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	int r = fault(false);

	(void)fi;
	return r < 0 ? r : result(fstatat(source, below(path), st, AT_SYMLINK_NOFOLLOW));
}

static int s_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t at,
		     struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	int r = fault(false), fd;
	struct dirent *e;
	DIR *dir;

	(void)at;
	(void)fi;
	(void)flags;
	if (r < 0)
		return r;
	fd = openat(source, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir)
		return -errno;
	while ((e = readdir(dir)))
		(void)fill(buf, e->d_name, NULL, 0, 0);
	(void)closedir(dir);
	return 0;
}

static int open_as(const char *path, int flags, mode_t mode, struct fuse_file_info *fi)
{
	int fd = openat(source, below(path), (flags & ~O_DIRECT) | O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	fi->direct_io = 1;
	return 0;
}

static int s_open(const char *path, struct fuse_file_info *fi)
{
	int r = fault((fi->flags & O_ACCMODE) != O_RDONLY);

	return r < 0 ? r : open_as(path, fi->flags, 0, fi);
}

static int s_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int r = fault(true);

	return r < 0 ? r : open_as(path, fi->flags | O_CREAT, mode, fi);
}

static int s_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	return result(close((int)fi->fh));
}

static int s_read(const char *path, char *buf, size_t len, off_t at, struct fuse_file_info *fi)
{
	int r = fault(false);
	ssize_t n;

	(void)path;
	if (r < 0)
		return r;
	n = pread((int)fi->fh, buf, len, at);
	return n < 0 ? -errno : (int)n;
}

static int s_write(const char *path, const char *buf, size_t len, off_t at,
		   struct fuse_file_info *fi)
{
	int r = fault(true);
	ssize_t n;

	(void)path;
	if (r < 0)
		return r;
	n = pwrite((int)fi->fh, buf, len, at);
	return n < 0 ? -errno : (int)n;
}

static int s_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	int r = fault(true);

	(void)path;
	(void)datasync;
	return r < 0 ? r : result(fsync((int)fi->fh));
}

static int s_fsyncdir(const char *path, int datasync, struct fuse_file_info *fi)
{
	(void)path;
	(void)datasync;
	(void)fi;
	return fault(true);
}

static int s_unlink(const char *path)
{
	int r = fault(true);

	return r < 0 ? r : result(unlinkat(source, below(path), 0));
}

static int s_rename(const char *from, const char *to, unsigned flags)
{
	int r = fault(true), n;

	if (r < 0 || flags)
		return r < 0 ? r : -EINVAL;
	r = result(renameat(source, below(from), source, below(to)));
	if (r == 0 && says("lost", &n) && n > 0 && ++renames % (unsigned)n == 0)
		r = -ENOENT;
	return r;
}

static void *s_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	(void)conn;
	cfg->use_ino = 1;
	cfg->hard_remove = 1;
	cfg->attr_timeout = cfg->entry_timeout = cfg->negative_timeout = 0;
	return NULL;
}

static const struct fuse_operations ops = {
	.init = s_init,
	.getattr = s_getattr,
	.readdir = s_readdir,
	.open = s_open,
	.create = s_create,
	.release = s_release,
	.read = s_read,
	.write = s_write,
	.fsync = s_fsync,
	.fsyncdir = s_fsyncdir,
	.unlink = s_unlink,
	.rename = s_rename,
};

int main(int argc, char *argv[])
{
	char front[] = "-f", one[] = "-s";
	char *args[] = { argv[0], front, one, argc == 4 ? argv[2] : NULL, NULL };

	if (argc != 4) {
		(void)fputs("usage: sharefs SOURCE MOUNTPOINT FAULTS\n", stderr);
		return 2;
	}
	faults = argv[3];
	source = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (source < 0) {
		perror(argv[1]);
		return 1;
	}
	return fuse_main(4, args, &ops, NULL);
}
