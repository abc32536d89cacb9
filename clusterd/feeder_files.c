/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/feeder_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "proto/heartbeat.h"

#define LEASE_LONGEST_MS 600000 /* a file that says more is none of ours */

void feeder_files_init(struct feeder_files *f, const char *run_directory)
{
	*f = (struct feeder_files){
		.run_directory = run_directory,
		.lease = -1,
		.heartbeat = -1,
		.own = -1,
	};
}

void feeder_files_fini(struct feeder_files *f)
{
	cl_closep(&f->lease);
	cl_closep(&f->heartbeat);
	cl_closep(&f->own);
	feeder_files_init(f, f->run_directory);
}

static int open_in(const char *dir, const char *name, int flags)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int feeder_files_own(struct feeder_files *f, bool *ret_armed, struct cl_error *err)
{
	struct stat st;

	if (mkdir(f->run_directory, 0711) < 0 && errno != EEXIST)
		return cl_error_errno(err, -errno, "%s", f->run_directory);
	f->own = open_in(f->run_directory, FEEDER_FILE, O_RDWR | O_CREAT);
	if (f->own < 0 || fstat(f->own, &st) < 0)
		return cl_error_errno(err, -errno, "%s/" FEEDER_FILE, f->run_directory);
	if (lease_file_lock(f->own) < 0)
		return cl_error_set(err, -EBUSY,
				    "%s/" FEEDER_FILE " is locked: another feeder runs",
				    f->run_directory);
	*ret_armed = st.st_size > 0;
	return 0;
}

int feeder_files_say(const struct feeder_files *f, int timeout_ms, const char *device)
{
	char line[PATH_MAX + 32];
	int n = timeout_ms < 0 ? 0
			       : snprintf(line, sizeof(line), "%d %s\n", timeout_ms,
					  *device ? device : "-");

	if (n < 0 || n >= (int)sizeof(line))
		return -ENAMETOOLONG;
	/* The new text first: an empty file would say that no watchdog runs. */
	if (pwrite(f->own, line, (size_t)n, 0) != n || ftruncate(f->own, n) < 0)
		return -errno;
	return 0;
}

/* A file that was removed is nobody's any more: a new clusterd writes another one. */
static void open_again(struct feeder_files *f, int *fd, const char *name)
{
	struct stat st;

	if (*fd >= 0 && fstat(*fd, &st) == 0 && st.st_nlink > 0)
		return;
	cl_closep(fd);
	*fd = open_in(f->run_directory, name, O_RDONLY);
}

void feeder_files_look(struct feeder_files *f, int64_t now_ms, struct feeder_view *ret)
{
	struct lease_file kept;

	open_again(f, &f->lease, LEASE_FILE);
	open_again(f, &f->heartbeat, HEARTBEAT_FILE);
	kept = lease_file_read(f->lease, now_ms + LEASE_LONGEST_MS);
	if (kept.until_ms) /* what cannot be read says nothing new */
		f->kept = kept;
	ret->now_ms = now_ms;
	ret->lease_until_ms = f->kept.until_ms;
	ret->beat_ms = f->kept.beat_ms;
	ret->heartbeat_until_ms = heartbeat_file_read(f->heartbeat, now_ms + HEARTBEAT_FRESH_MS);
	ret->clusterd_lives = f->lease >= 0 && lease_file_locked(f->lease);
}

struct feeder_said feeder_files_said(const char *run_directory)
{
	_cleanup_close_ int fd = open_in(run_directory, FEEDER_FILE, O_RDONLY);
	struct feeder_said said = { 0 };
	char buf[32];
	ssize_t n = fd < 0 ? -1 : pread(fd, buf, sizeof(buf) - 1, 0);
	long ms;

	if (n < 0)
		return said;
	buf[n] = 0;
	ms = strtol(buf, NULL, 10);
	said.lives = lease_file_locked(fd);
	said.armed = n > 0;
	said.timeout_ms = ms > 0 && ms < INT_MAX ? (int)ms : 0;
	return said;
}
