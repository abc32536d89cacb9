/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bad disk under clusterd's database, for LD_PRELOAD: while the file $BAD_DISK exists, writes to and syncs of any
 * cluster.db* end with an I/O error.
 */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static ssize_t (*real_pwrite64)(int, const void *, size_t, off64_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fdatasync)(int), (*real_fsync)(int);

__attribute__((constructor)) static void start(void)
{
	real_pwrite64 = dlsym(RTLD_NEXT, "pwrite64");
	real_write = dlsym(RTLD_NEXT, "write");
	real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	real_fsync = dlsym(RTLD_NEXT, "fsync");
}

static bool is_bad(int fd)
{
	const char *when = getenv("BAD_DISK");
	char link[64], path[256];
	ssize_t n;

	if (!when || access(when, F_OK) < 0)
		return false;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = 0;
	if (!strstr(path, "/cluster.db"))
		return false;
	errno = EIO;
	return true;
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t at)
{
	return is_bad(fd) ? -1 : real_pwrite64(fd, buf, n, at);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
	return is_bad(fd) ? -1 : real_pwrite64(fd, buf, n, at);
}

ssize_t write(int fd, const void *buf, size_t n)
{
	return is_bad(fd) ? -1 : real_write(fd, buf, n);
}

int fdatasync(int fd)
{
	return is_bad(fd) ? -1 : real_fdatasync(fd);
}

int fsync(int fd)
{
	return is_bad(fd) ? -1 : real_fsync(fd);
}
