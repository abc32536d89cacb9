/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clusterd-fence-guard: runs one fence agent for clusterd (clusterd/fence.h), and ends it when clusterd is not there
 * any more to do that: dead, or standing still. An agent that went on alone could switch a machine on that another
 * manager has had switched off since and believes to be off (docs/fencing.md).
 *
 *     clusterd-fence-guard PATH    descriptors 0 to 2 are the agent's; 3 is a pipe on which clusterd writes now and then
 *
 * The two are one process group, so that clusterd's own signals reach the agent. It ends as the agent ended.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusterd/fence.h"
#include "migration/proc.h"

enum { FAILED = 126 };

/* SIGTERM is for the agent: the guard goes on waiting for it. */
static int spawn(char *path, pid_t *ret)
{
	char *const argv[] = { path, NULL };
	posix_spawnattr_t attr;
	sigset_t all;
	int r;

	(void)signal(SIGTERM, SIG_IGN);
	(void)sigfillset(&all);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn(ret, path, NULL, &attr, argv, environ);
	(void)posix_spawnattr_destroy(&attr);
	return -r;
}

/* Nothing is said any more: who would hear it is gone. */
static void end_all(void)
{
	(void)kill(0, SIGKILL);
}

static bool hears(void)
{
	char beats[64];
	ssize_t n = read(FENCE_LIFE_FD, beats, sizeof(beats));

	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void guard(int pidfd)
{
	struct pollfd p[2] = {
		{ .fd = FENCE_LIFE_FD, .events = POLLIN },
		{ .fd = pidfd, .events = POLLIN },
	};

	for (;;) {
		int n = poll(p, 2, FENCE_SILENCE_MS);

		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0 && p[1].revents)
			return;
		if (n <= 0 || !hears())
			end_all();
	}
}

static int end_as(int status)
{
	int signo;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	signo = WTERMSIG(status);
	(void)signal(signo, SIG_DFL);
	(void)raise(signo);
	return FAILED;
}

int main(int argc, char **argv)
{
	int r, pidfd, status;
	pid_t pid;

	if (argc != 2 || fcntl(FENCE_LIFE_FD, F_SETFD, FD_CLOEXEC) < 0) {
		fprintf(stderr, "clusterd-fence-guard is started by clusterd, not by hand\n");
		return 2;
	}
	r = spawn(argv[1], &pid);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-r));
		return FAILED;
	}
	pidfd = proc_pidfd(pid);
	if (pidfd < 0)
		end_all();
	guard(pidfd);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return FAILED;
	return end_as(status);
}
