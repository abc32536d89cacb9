/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/lease_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/le.h"
#include "lib/log.h"

#define SIZE 16
#define ENDED 1 /* before any lease of any boot */

/* Both or none: half of it would be worth less than nothing. */
struct lease_file lease_file_read(int fd, int64_t latest_ms)
{
	uint8_t buf[SIZE + 1]; /* one more: a longer file is none of ours */
	struct lease_file kept = { 0 };
	uint64_t until, beat;

	if (latest_ms < 0 || pread(fd, buf, sizeof(buf), 0) != SIZE)
		return kept;
	until = cl_get_le64(buf);
	beat = cl_get_le64(buf + 8);
	if (until == 0 || until > (uint64_t)latest_ms || beat > (uint64_t)latest_ms)
		return kept;
	kept.until_ms = (int64_t)until;
	kept.beat_ms = (int64_t)beat;
	return kept;
}

int lease_file_lock(int fd)
{
	const struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_SETLK, &whole) < 0 ? -EAGAIN : 0;
}

bool lease_file_locked(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int lease_file_open(const char *dir, int64_t latest_ms, struct lease_file *ret,
		    struct cl_error *err)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/" LEASE_FILE, dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return cl_error_errno(err, -errno, "%s", path);
	if (lease_file_lock(fd) < 0)
		return cl_error_set(err, -EBUSY, "%s is locked: another clusterd runs", path);
	*ret = lease_file_read(fd, latest_ms);
	if (ret->until_ms)
		return cl_steal_fd(&fd);
	if (fstat(fd, &st) == 0 && st.st_size > 0)
		log_warning("%s: not the end of a lease; what runs here has a second to get one",
			    path);
	/* What is none of ours would stand behind our bytes, and make them none of ours, too. */
	if (ftruncate(fd, 0) < 0)
		return cl_error_errno(err, -errno, "%s", path);
	return cl_steal_fd(&fd);
}

int lease_file_write(int fd, const struct lease_file *kept, struct cl_error *err)
{
	uint8_t buf[SIZE];
	ssize_t n;

	cl_put_le64(buf, kept->until_ms > 0 ? (uint64_t)kept->until_ms : ENDED);
	cl_put_le64(buf + 8, kept->beat_ms > 0 ? (uint64_t)kept->beat_ms : 0);
	n = pwrite(fd, buf, sizeof(buf), 0);
	if (n == sizeof(buf))
		return 0;
	return cl_error_errno(err, n < 0 ? -errno : -EIO, "write the end of the lease");
}
