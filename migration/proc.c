/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"

int proc_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

int proc_signal(int pidfd, int signo)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

/* /proc files are short or cut off at size - 1; returns the length. */
static ssize_t read_proc(const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) != 0) {
		if (n < 0)
			return -errno;
		len += (size_t)n;
	}
	buf[len] = '\0';
	return (ssize_t)len;
}

/* The fields behind the name, which may hold blanks and brackets itself. */
static const char *after_name(const char *stat)
{
	const char *p = strrchr(stat, ')');

	return p && p[1] == ' ' ? p + 2 : NULL;
}

int proc_start_time(pid_t pid, uint64_t *ret)
{
	char path[64], stat[1024];
	const char *p;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	n = read_proc(path, stat, sizeof(stat));
	if (n < 0)
		return (int)n;
	p = after_name(stat);
	for (int field = 3; p && field < 22; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	return p && sscanf(p, "%" SCNu64, ret) == 1 ? 0 : -EINVAL;
}

bool proc_cmdline_has(pid_t pid, const char *word)
{
	char path[64], line[65536];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	n = read_proc(path, line, sizeof(line));
	return n > 0 && memmem(line, (size_t)n, word, strlen(word));
}

static bool thread_stopped(pid_t pid, const char *tid)
{
	char path[320], stat[1024];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", (int)pid, tid);
	if (read_proc(path, stat, sizeof(stat)) < 0)
		return true; /* it has ended meanwhile */
	p = after_name(stat);
	return p && (*p == 'T' || *p == 'Z' || *p == 'X');
}

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

bool proc_all_stopped(pid_t pid)
{
	_cleanup_(close_dir) DIR *dir = NULL;
	struct dirent *e;
	char path[64];
	bool any = false;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		any = true;
		if (!thread_stopped(pid, e->d_name))
			return false;
	}
	return any;
}
