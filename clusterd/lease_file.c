/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/lease_file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/le.h"
#include "lib/log.h"

#define SIZE 8
#define ENDED 1 /* before any lease of any boot */

static int64_t read_until(int fd, const char *path, int64_t latest_ms)
{
	uint8_t buf[SIZE + 1]; /* one more: a longer file is none of ours */
	ssize_t n = pread(fd, buf, sizeof(buf), 0);
	uint64_t until = n == SIZE ? cl_get_le64(buf) : 0;

	if (n == 0)
		return 0;
	if (until == 0 || latest_ms < 0 || until > (uint64_t)latest_ms) {
		log_warning("%s: not the end of a lease; what runs here has a second to get one",
			    path);
		return 0;
	}
	return (int64_t)until;
}

int lease_file_open(const char *dir, int64_t latest_ms, int64_t *ret_until_ms, struct cl_error *err)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/lease", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return cl_error_errno(err, -errno, "%s", path);
	*ret_until_ms = read_until(fd, path, latest_ms);
	/* What is none of ours would stand behind our eight bytes, and make them none of ours, too. */
	if (*ret_until_ms == 0 && ftruncate(fd, 0) < 0)
		return cl_error_errno(err, -errno, "%s", path);
	return cl_steal_fd(&fd);
}

int lease_file_write(int fd, int64_t until_ms, struct cl_error *err)
{
	uint8_t buf[SIZE];
	ssize_t n;

	cl_put_le64(buf, until_ms > 0 ? (uint64_t)until_ms : ENDED);
	n = pwrite(fd, buf, sizeof(buf), 0);
	if (n == sizeof(buf))
		return 0;
	return cl_error_errno(err, n < 0 ? -errno : -EIO, "write the end of the lease");
}
