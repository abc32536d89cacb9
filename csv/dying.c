/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/dying.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"

#define FLAG_EXITING 0x4 /* PF_EXITING, proc(5): flags of the kernel's linux/sched.h */

static bool read_proc(uint32_t tid, const char *what, char *buf, size_t size)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%u/%s", tid, what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, size - 1);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	return true;
}

static bool pending(const char *status, const char *field)
{
	const char *at = strstr(status, field);

	return at && (strtoull(at + strlen(field), NULL, 16) & 1ULL << (SIGKILL - 1));
}

/* The ninth field; the second is a name in parentheses that may hold anything. */
static bool exiting(const char *stat)
{
	const char *at = strrchr(stat, ')');
	unsigned long flags = 0;

	return at && sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %lu", &flags) == 1 &&
	       (flags & FLAG_EXITING);
}

bool dying_thread(uint32_t tid)
{
	char buf[4096];

	if (!tid)
		return false;
	if (read_proc(tid, "status", buf, sizeof(buf)) &&
	    (pending(buf, "\nSigPnd:") || pending(buf, "\nShdPnd:")))
		return true;
	return read_proc(tid, "stat", buf, sizeof(buf)) && exiting(buf);
}
