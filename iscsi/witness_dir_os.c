/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "iscsi/witness_dir_os.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/monotime.h"

/* Opened by its path each time: an NFS client asks the server about a directory that is opened. */
static int real_list(void *user, void (*name)(void *arg, const char *name), void *arg)
{
	struct wdir_real *real = user;
	int fd = openat(real->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir) {
		r = -errno;
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	errno = 0;
	while ((e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			name(arg, e->d_name);
	r = -errno;
	(void)closedir(dir);
	return r;
}

static int real_rename(void *user, const char *from, const char *to)
{
	struct wdir_real *real = user;

	return renameat(real->dir, from, real->dir, to) < 0 ? -errno : 0;
}

static void forget(struct wdir_real *real)
{
	if (real->fd >= 0)
		(void)close(real->fd);
	real->fd = -1;
	real->name[0] = 0;
}

/* Closed first: an NFS client would keep what is open, under another name. */
static int real_remove(void *user, const char *name)
{
	struct wdir_real *real = user;

	if (strcmp(real->name, name) == 0)
		forget(real);
	return unlinkat(real->dir, name, 0) < 0 ? -errno : 0;
}

static int real_create(void *user, const char *name)
{
	struct wdir_real *real = user;
	int fd =
		openat(real->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		(void)close(fd);
	return r;
}

/* O_DIRECT goes to the server past all pages of an NFS client. A file system that has none of it is local, or has
 * no such cache. */
static int open_past_caches(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 && errno == EINVAL ? openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
					 : fd;
}

static int read_all(int fd, uint64_t offset, uint8_t *buf, uint32_t len)
{
	uint32_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (uint32_t)n;
		if (n == 0 || n % WDIR_UNIT) /* its end; O_DIRECT would refuse what is left */
			break;
	}
	return (int)done;
}

/* A buffer as O_DIRECT wants it. */
static int real_read(void *user, const char *name, uint64_t offset, void *buf, uint32_t len)
{
	_cleanup_free_ uint8_t *aligned = aligned_alloc(WDIR_UNIT, len);
	struct wdir_real *real = user;
	int fd, r;

	if (!aligned)
		return -ENOMEM;
	fd = open_past_caches(real->dir, name);
	if (fd < 0)
		return -errno;
	r = read_all(fd, offset, aligned, len);
	if (r > 0)
		memcpy(buf, aligned, (size_t)r);
	(void)close(fd);
	return r;
}

/* Kept open: one file is written again and again. Not for reading, too: a server might lend us the file (a write
 * delegation), and whoever reads it when we are dead waits until that has expired. */
static int writable(struct wdir_real *real, const char *name)
{
	if (real->fd >= 0 && strcmp(real->name, name) == 0)
		return 0;
	forget(real);
	real->fd = openat(real->dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (real->fd < 0)
		return -errno;
	(void)snprintf(real->name, sizeof(real->name), "%s", name);
	return 0;
}

static int real_write(void *user, const char *name, uint64_t offset, const void *data, uint32_t len)
{
	struct wdir_real *real = user;
	uint32_t done = 0;
	int r = writable(real, name);

	while (r == 0 && done < len) {
		ssize_t n = pwrite(real->fd, (const char *)data + done, len - done,
				   (off_t)(offset + done));

		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n > 0)
			done += (uint32_t)n;
	}
	if (r == 0 && fdatasync(real->fd) < 0)
		r = -errno;
	if (r < 0)
		forget(real);
	return r;
}

/* A server does names at once and for good; a file system of this machine's own does it here. */
static int real_sync(void *user)
{
	struct wdir_real *real = user;
	int fd = openat(real->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || (fsync(fd) < 0 && errno != EINVAL) ? -errno : 0;

	if (fd >= 0)
		(void)close(fd);
	return r;
}

static uint64_t real_random(void *user)
{
	uint64_t n = 0;

	(void)user;
	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		n = (uint64_t)cl_mono_now().ns;
	return n;
}

int wdir_real_open(struct wdir_real *real, const char *path, struct wdir_os *ret,
		   struct cl_error *err)
{
	*real = (struct wdir_real){ .dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				    .fd = -1 };
	if (real->dir < 0)
		return cl_error_errno(err, -errno, "%.200s", path);
	*ret = (struct wdir_os){
		.user = real,
		.list = real_list,
		.rename = real_rename,
		.remove = real_remove,
		.create = real_create,
		.read = real_read,
		.write = real_write,
		.sync = real_sync,
		.random = real_random,
	};
	return 0;
}

void wdir_real_close(struct wdir_real *real)
{
	forget(real);
	if (real->dir >= 0)
		(void)close(real->dir);
	real->dir = -1;
}
