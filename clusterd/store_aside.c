/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/store_aside.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/file.h"

enum { ASIDE_MAX = 10000 };

static int sync_path(const char *path, int flags, struct cl_error *err)
{
	_cleanup_close_ int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return cl_error_errno(err, -errno, "%s", path);
	return 0;
}

/* Durable: after a power cut the file is there as a whole, or not at all. */
static int write_synced(const char *dir, const char *name, const char *text, struct cl_error *err)
{
	char path[PATH_MAX];
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	r = cl_file_write(path, text, 0600, err);
	if (r == 0)
		r = sync_path(path, O_RDONLY, err);
	return r == 0 ? sync_path(dir, O_RDONLY | O_DIRECTORY, err) : r;
}

int store_condemn(const char *dir, const char *why, struct cl_error *err)
{
	return write_synced(dir, "cluster.condemned", why, err);
}

int store_condemned(const char *dir, char why[STORE_WHY_MAX], struct cl_error *err)
{
	char path[PATH_MAX];
	_cleanup_free_ char *text = NULL;
	int r;

	(void)snprintf(path, sizeof(path), "%s/cluster.condemned", dir);
	r = cl_file_read(path, 4096, &text, NULL, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	(void)snprintf(why, STORE_WHY_MAX, "%s", text);
	return 1;
}

static int make_dir(const char *dir, char *ret_name, size_t size, struct cl_error *err)
{
	char path[PATH_MAX];

	for (int i = 1; i < ASIDE_MAX; i++) {
		(void)snprintf(ret_name, size, "aside-%d", i);
		(void)snprintf(path, sizeof(path), "%s/%s", dir, ret_name);
		if (mkdir(path, 0700) == 0)
			return 0;
		if (errno != EEXIST)
			return cl_error_errno(err, -errno, "%s", path);
	}
	return cl_error_set(err, -ENOSPC, "%s: too many databases set aside", dir);
}

static int move(const char *dir, const char *to, const char *name, struct cl_error *err)
{
	char from_path[PATH_MAX], to_path[PATH_MAX];

	(void)snprintf(from_path, sizeof(from_path), "%s/%s", dir, name);
	(void)snprintf(to_path, sizeof(to_path), "%s/%s/%s", dir, to, name);
	if (rename(from_path, to_path) < 0 && errno != ENOENT)
		return cl_error_errno(err, -errno, "%s", from_path);
	return 0;
}

/* Only for people: what it said. The original stays until the new database overwrites it. */
static void copy_guard(const char *dir, const char *to)
{
	char path[PATH_MAX], buf[64];
	_cleanup_close_ int in = -1, out = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/cluster.guard", dir);
	in = open(path, O_RDONLY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s/%s/cluster.guard", dir, to);
	out = in < 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	n = out < 0 ? 0 : read(in, buf, sizeof(buf));
	if (n > 0)
		(void)!write(out, buf, (size_t)n);
}

int store_set_aside(const char *dir, const char *why, char *ret_where, size_t size,
		    struct cl_error *err)
{
	/* The condemnation last: while it stands, all of this is done again. */
	static const char *const names[] = { "cluster.db", "cluster.db-wal", "cluster.db-shm",
					     "cluster.condemned" };
	char name[32], path[PATH_MAX];
	int r = make_dir(dir, name, sizeof(name), err);

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	r = write_synced(path, "why", why, err);
	if (r == 0)
		copy_guard(dir, name);
	for (size_t i = 0; r == 0 && i < sizeof(names) / sizeof(*names); i++)
		r = move(dir, name, names[i], err);
	if (r == 0)
		r = sync_path(dir, O_RDONLY | O_DIRECTORY, err);
	(void)snprintf(ret_where, size, "%s", path);
	return r;
}
