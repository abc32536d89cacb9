/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "proto/heartbeat.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/le.h"

#define SIZE 8

int heartbeat_file_open(const char *dir, struct cl_error *err)
{
	char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/" HEARTBEAT_FILE, dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? cl_error_errno(err, -errno, "%s", path) : fd;
}

int heartbeat_file_write(int fd, int64_t until_ms)
{
	uint8_t buf[SIZE];
	ssize_t n;

	cl_put_le64(buf, until_ms > 0 ? (uint64_t)until_ms : 0);
	n = pwrite(fd, buf, sizeof(buf), 0);
	return n == SIZE ? 0 : n < 0 ? -errno : -EIO;
}

int64_t heartbeat_file_read(int fd, int64_t latest_ms)
{
	uint8_t buf[SIZE];
	uint64_t until = pread(fd, buf, sizeof(buf), 0) == SIZE ? cl_get_le64(buf) : 0;

	return latest_ms > 0 && until <= (uint64_t)latest_ms ? (int64_t)until : 0;
}
