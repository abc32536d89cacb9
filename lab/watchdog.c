/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node's watchdog, outside of the node, where a real one is:
 *
 *   lab-watchdog FIFO CGROUP COMMAND...
 *
 * The FIFO is /dev/watchdog in the node. "T<ms>\n" starts it with that timeout, 'V' stops it (the kernel's magic
 * close), any other byte pets it. When nothing came for the timeout the node's CGROUP is frozen at once, so that
 * nothing executes there any more, not even a last word to the network, and COMMAND cuts the power.
 *
 * A node that the lab has frozen is a machine that was stopped as a whole, as a hypervisor does it: its watchdog
 * stands, too, and begins anew at the thaw. That is the worse case for a cluster: it comes back to life.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t timeout_ms; /* 0: it does not run */
static int64_t fire_ms;
static char number[16]; /* of "T<ms>\n", as far as it has come */
static int digits = -1; /* -1: not in one */

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void take(char c)
{
	fire_ms = now_ms() + timeout_ms;
	if (c == 'V') {
		timeout_ms = 0;
	} else if (c == 'T') {
		digits = 0;
	} else if (digits >= 0 && c >= '0' && c <= '9' && digits < (int)sizeof(number) - 1) {
		number[digits++] = c;
	} else if (digits >= 0) {
		number[digits] = 0;
		digits = -1;
		timeout_ms = strtoll(number, NULL, 10);
		fire_ms = now_ms() + timeout_ms;
	}
}

static int cgroup_file(const char *cgroup, int flags)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/cgroup.freeze", cgroup);
	return open(path, flags | O_CLOEXEC);
}

static bool stands(const char *cgroup)
{
	int fd = cgroup_file(cgroup, O_RDONLY);
	char is = '0';
	bool yes = fd >= 0 && read(fd, &is, 1) == 1 && is == '1';

	if (fd >= 0)
		(void)close(fd);
	return yes;
}

static void fire(const char *cgroup, char **command)
{
	int fd = cgroup_file(cgroup, O_WRONLY);

	if (fd >= 0 && write(fd, "1", 1) != 1)
		perror("freeze");
	if (fd >= 0)
		(void)close(fd);
	fprintf(stderr, "watchdog: not petted for %d ms: the power is cut\n", (int)timeout_ms);
	timeout_ms = 0;
	if (fork() != 0)
		return;
	(void)signal(SIGCHLD, SIG_DFL);
	(void)execv(command[0], command);
	perror(command[0]);
	_exit(127);
}

int main(int argc, char **argv)
{
	struct pollfd p = { .events = POLLIN };

	if (argc < 4) {
		fprintf(stderr, "usage: lab-watchdog FIFO CGROUP COMMAND...\n");
		return 2;
	}
	/* For both, so that it never ends when the node's end is closed. */
	p.fd = open(argv[1], O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (p.fd < 0) {
		perror(argv[1]);
		return 1;
	}
	(void)signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int64_t left = fire_ms - now_ms();
		char c;

		(void)poll(&p, 1, timeout_ms == 0 ? -1 : left > 0 ? (int)left : 0);
		while (read(p.fd, &c, 1) == 1)
			take(c);
		if (timeout_ms == 0 || now_ms() < fire_ms)
			continue;
		if (!stands(argv[2])) {
			fire(argv[2], argv + 3);
			continue;
		}
		fire_ms = now_ms() + timeout_ms;
	}
}
