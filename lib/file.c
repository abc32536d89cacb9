/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lib/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"

int cl_file_read(const char *path, size_t max, char **ret, size_t *ret_len, struct cl_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *buf = NULL;
	size_t len = 0, cap = 0;
	ssize_t n;

	if (fd < 0)
		return cl_error_errno(err, -errno, "%s", path);
	do {
		if (cap - len < 2) {
			char *more = realloc(buf, cap += 4096);

			if (!more)
				return cl_error_errno(err, -ENOMEM, "%s", path);
			buf = more;
		}
		n = read(fd, buf + len, cap - len - 1);
		if (n < 0 && errno != EINTR)
			return cl_error_errno(err, -errno, "%s", path);
		len += n > 0 ? (size_t)n : 0;
		if (len > max)
			return cl_error_errno(err, -EFBIG, "%s", path);
	} while (n != 0);
	buf[len] = '\0';
	if (ret_len)
		*ret_len = len;
	*ret = cl_steal(buf);
	return 0;
}

static int write_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		p += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* The directory's entry is durable when the directory is. */
static int sync_directory(const char *path)
{
	_cleanup_free_ char *dir = strdup(path);
	_cleanup_close_ int fd = -1;
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!slash)
		return -ENOMEM;
	slash[slash == dir] = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_file(const char *path, const void *data, size_t len, mode_t mode, bool sync,
		      struct cl_error *err)
{
	_cleanup_free_ char *tmp = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (asprintf(&tmp, "%s.new", path) < 0)
		return cl_error_errno(err, -ENOMEM, "%s", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return cl_error_errno(err, -errno, "%s", tmp);
	r = write_all(fd, data, len);
	if (r == 0 && sync && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && rename(tmp, path) < 0)
		r = -errno;
	if (r == 0 && sync)
		r = sync_directory(path);
	if (r < 0) {
		unlink(tmp);
		return cl_error_errno(err, r, "%s", path);
	}
	return 0;
}

int cl_file_write(const char *path, const char *text, mode_t mode, struct cl_error *err)
{
	return write_file(path, text, strlen(text), mode, false, err);
}

int cl_file_write_synced(const char *path, const void *data, size_t len, mode_t mode,
			 struct cl_error *err)
{
	return write_file(path, data, len, mode, true, err);
}
