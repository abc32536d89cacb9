/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks between processes of one machine. */
#include "config.h"

#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "tests/posix/posix.h"

static long set(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type, .l_start = start, .l_len = len };

	return fcntl(fd, cmd, &fl);
}

static int of_description;

static void ask(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type, .l_start = start, .l_len = len };
	int r = fcntl(fd, cmd, &fl);

	if (r < 0)
		say("  ask = %s", strerrorname_np(errno));
	else if (fl.l_type == F_UNLCK)
		say("  ask: free");
	else /* whose it is the kernel answers by itself, wrongly for descriptions on FUSE */
		say("  ask: %s %lld+%lld %s", fl.l_type == F_RDLCK ? "read" : "write",
		    (long long)fl.l_start, (long long)fl.l_len,
		    of_description	    ? ""
		    : fl.l_pid == getppid() ? "parent"
					    : "not parent");
}

/* In another process, with a descriptor of its own. */
static void other(void (*fn)(int fd))
{
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int fd = open("l", O_RDWR);

		fn(fd);
		(void)fflush(stdout);
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
}

static void other_posix(int fd)
{
	T(set(fd, F_SETLK, F_WRLCK, 0, 10));
	T(set(fd, F_SETLK, F_RDLCK, 0, 10));
	T(set(fd, F_SETLK, F_WRLCK, 10, 10));
	T(set(fd, F_SETLK, F_WRLCK, 5, 1));
	ask(fd, F_GETLK, F_WRLCK, 0, 0);
	ask(fd, F_GETLK, F_RDLCK, 0, 5);
	of_description++;
	ask(fd, F_OFD_GETLK, F_WRLCK, 0, 5);
	of_description--;
	T(set(fd, F_OFD_SETLK, F_WRLCK, 0, 0));
	T(flock(fd, LOCK_EX | LOCK_NB));
}

static void posix_locks(int fd)
{
	int second;

	T(set(fd, F_SETLK, F_WRLCK, 0, 10));
	other(other_posix);
	T(set(fd, F_SETLK, F_RDLCK, 0, 10));
	other(other_posix);
	T(set(fd, F_SETLK, F_UNLCK, 4, 2));
	other(other_posix);
	T(set(fd, F_SETLK, F_WRLCK, 20, 0));
	other(other_posix);
	second = open("l", O_RDWR);
	(void)close(second);
	say("after a close of another descriptor:");
	other(other_posix);
	T(set(fd, F_SETLK, F_WRLCK, -1, 1));
	T(set(fd, F_SETLK, F_WRLCK, 10, -5));
	other(other_posix);
	T(set(fd, F_SETLK, 77, 0, 1));
	T(set(fd, F_SETLK, F_UNLCK, 0, 0));
	second = open("l", O_RDONLY);
	T(set(second, F_SETLK, F_WRLCK, 0, 1));
	T(set(second, F_SETLK, F_RDLCK, 0, 1));
	(void)close(second);
}

static void ofd_locks(int fd)
{
	int second = open("l", O_RDWR), copy = dup(fd);

	of_description = 1;
	T(set(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
	T(set(second, F_OFD_SETLK, F_WRLCK, 0, 10));
	T(set(second, F_SETLK, F_WRLCK, 0, 10));
	ask(second, F_OFD_GETLK, F_WRLCK, 0, 10);
	T(set(copy, F_OFD_SETLK, F_RDLCK, 0, 10));
	T(set(second, F_OFD_SETLK, F_RDLCK, 0, 10));
	(void)close(copy);
	T(set(second, F_OFD_SETLK, F_WRLCK, 0, 10));
	other(other_posix);
	(void)close(second);
	T(set(fd, F_OFD_SETLK, F_UNLCK, 0, 0));
	of_description = 0;
}

static void other_flock(int fd)
{
	T(flock(fd, LOCK_EX | LOCK_NB));
	T(flock(fd, LOCK_SH | LOCK_NB));
	T(set(fd, F_SETLK, F_WRLCK, 0, 0));
}

static void flocks(int fd)
{
	int second = open("l", O_RDONLY);

	T(flock(fd, LOCK_SH));
	other(other_flock);
	T(flock(fd, LOCK_EX));
	other(other_flock);
	T(flock(second, LOCK_SH | LOCK_NB));
	T(flock(fd, LOCK_UN));
	T(flock(second, LOCK_EX | LOCK_NB));
	other(other_flock);
	(void)close(second);
	other(other_flock);
}

/* ---- waiting, and circles ------------------------------------------------------------------ */

static void on_alarm(int signo)
{
	(void)signo;
}

/* Child: takes its byte, says so, waits for ours; prints nothing but what it got. */
static pid_t circle_child(int *ret_ready)
{
	int p[2];
	pid_t pid;

	NEED(pipe(p));
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int fd = open("l", O_RDWR);
		long r = set(fd, F_SETLK, F_WRLCK, 1, 1);

		(void)!write(p[1], "x", 1);
		r |= set(fd, F_SETLKW, F_WRLCK, 0, 1);
		_exit(r ? 1 : 0);
	}
	(void)close(p[1]);
	*ret_ready = p[0];
	return pid;
}

/* Whether pid waits in a lock call; /proc says which call a process is in. */
static int waits(pid_t pid)
{
	char path[64], text[64] = "";
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	(void)!read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	return atoi(text) == 72; /* fcntl on x86-64 */
}

static void circle(int fd)
{
	int ready, status = 0;
	pid_t pid;
	char c;

	T(set(fd, F_SETLK, F_WRLCK, 0, 1));
	pid = circle_child(&ready);
	(void)!read(ready, &c, 1);
	for (int i = 0; i < 1000 && !waits(pid); i++)
		(void)poll(NULL, 0, 5);
	T(set(fd, F_SETLKW, F_WRLCK, 1, 1));
	T(set(fd, F_SETLK, F_UNLCK, 0, 0));
	(void)waitpid(pid, &status, 0);
	say("the other one: %d", WEXITSTATUS(status));
	(void)close(ready);
}

static void other_waits(int fd)
{
	struct sigaction sa = { .sa_handler = on_alarm };

	(void)sigaction(SIGALRM, &sa, NULL);
	(void)alarm(1);
	T(set(fd, F_SETLKW, F_WRLCK, 0, 1));
	(void)alarm(1);
	T(set(fd, F_OFD_SETLKW, F_WRLCK, 0, 1));
}

static void interrupted(int fd)
{
	T(set(fd, F_SETLK, F_WRLCK, 0, 1));
	other(other_waits);
	T(set(fd, F_SETLK, F_UNLCK, 0, 0));
}

void cases_lock(void)
{
	int fd;

	put("l", "", 0666, 0, 0);
	fd = FD(open("l", O_RDWR));
	posix_locks(fd);
	ofd_locks(fd);
	flocks(fd);
	circle(fd);
	interrupted(fd);
	(void)close(fd);
}
