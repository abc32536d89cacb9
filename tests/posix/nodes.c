/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What two mounts of one volume owe each other.
 *
 *     nodes create DIR1 DIR2 N    both open N new names with O_CREAT at the same time: nobody sees an error,
 *                                 and both have one file
 *     nodes append DIR1 DIR2 N    both append N records to one file: each is there once, whole, in order
 *     nodes lock DIR1 DIR2        POSIX, description and flock locks; waiting; circles
 *     nodes unlinked DIR1 DIR2    what one has open the other unlinks
 *
 * Exit status 0: so it was. Else one line says what was not.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *dirs[2];

static int bad(const char *what)
{
	(void)fprintf(stderr, "nodes: %s: %s\n", what, strerror(errno));
	return 1;
}

static const char *path_on(int node, const char *name)
{
	static char room[4][512];
	static int turn;
	char *s = room[turn++ & 3];

	(void)snprintf(s, sizeof(room[0]), "%s/%s", dirs[node], name);
	return s;
}

/* fn in two processes, one per mount, begun together. */
static int both(int (*fn)(int node, int n), int n)
{
	int start[2], status, r = 0;
	char c;

	if (pipe(start) < 0)
		return bad("pipe");
	for (int node = 0; node < 2; node++) {
		if (fork() != 0)
			continue;
		(void)close(start[1]);
		(void)!read(start[0], &c, 1); /* ends when the other end is closed */
		_exit(fn(node, n));
	}
	(void)close(start[0]);
	(void)close(start[1]);
	while (wait(&status) > 0)
		r |= status;
	return r ? 1 : 0;
}

/* ---- new names ----------------------------------------------------------------------------- */

static int create_all(int node, int n)
{
	char name[64];

	for (int i = 0; i < n; i++) {
		int fd;

		(void)snprintf(name, sizeof(name), "new/%d", i);
		fd = open(path_on(node, name), O_RDWR | O_CREAT | O_APPEND, 0644);
		if (fd < 0)
			return bad(name);
		if (write(fd, node ? "b" : "a", 1) != 1)
			return bad("write");
		(void)close(fd);
	}
	return 0;
}

static int create(int n)
{
	char name[64], got[4] = "";

	if (mkdir(path_on(0, "new"), 0755) < 0 || both(create_all, n))
		return bad("create");
	for (int i = 0; i < n; i++) {
		int fd;

		(void)snprintf(name, sizeof(name), "new/%d", i);
		fd = open(path_on(i & 1, name), O_RDONLY);
		if (fd < 0 || read(fd, got, 3) != 2 || got[0] == got[1])
			return bad("not one file with what both wrote");
		(void)close(fd);
	}
	return 0;
}

/* ---- append -------------------------------------------------------------------------------- */

static int append_all(int node, int n)
{
	int fd = open(path_on(node, "appended"), O_WRONLY | O_APPEND | O_CREAT, 0644);
	char text[256];

	if (fd < 0)
		return bad("open");
	for (int i = 0; i < n; i++) {
		int len = snprintf(text, sizeof(text), "%d %d %.*s\n", node, i, i * 7 % 90,
				   "..................................................."
				   "...................................................");

		if (write(fd, text, (size_t)len) != len)
			return bad("append");
	}
	return close(fd) < 0 ? bad("close") : 0;
}

static int append(int n)
{
	int next[2] = { 0, 0 }, node, i, dots;
	char line[256];
	FILE *f;

	if (both(append_all, n))
		return 1;
	f = fopen(path_on(0, "appended"), "r");
	if (!f)
		return bad("open");
	while (fgets(line, sizeof(line), f)) {
		char *tail;

		if (sscanf(line, "%d %d %n", &node, &i, &dots) != 2 || node < 0 || node > 1 ||
		    i != next[node] || !strchr(line, '\n')) {
			(void)fprintf(stderr, "nodes: after %d and %d records: %s", next[0],
				      next[1], line);
			return 1;
		}
		tail = strchr(line, '\n') - i * 7 % 90;
		if (tail < line || strspn(tail, ".") != (size_t)(i * 7 % 90))
			return bad("a record is not whole");
		next[node]++;
	}
	(void)fclose(f);
	if (next[0] == n && next[1] == n)
		return 0;
	(void)fprintf(stderr, "nodes: %d and %d records of %d\n", next[0], next[1], n);
	return 1;
}

/* ---- locks --------------------------------------------------------------------------------- */

static long set(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type, .l_start = start, .l_len = len };

	return fcntl(fd, cmd, &fl);
}

static int held(long r)
{
	return r < 0 && (errno == EAGAIN || errno == EACCES || errno == EWOULDBLOCK);
}

/* b takes what a gives up, and not before. */
static int handed_over(int a, int b, int cmd, int cmd_wait)
{
	int status = 0;
	pid_t pid;

	if (set(a, cmd, F_WRLCK, 0, 10) < 0 || !held(set(b, cmd, F_WRLCK, 5, 10)) ||
	    !held(set(b, cmd, F_RDLCK, 9, 1)) || set(b, cmd, F_WRLCK, 10, 5) < 0)
		return bad("two have one lock");
	pid = fork();
	if (pid == 0) /* a POSIX lock is its process's: through a descriptor of its own */
		_exit(set(open(path_on(1, "locked"), O_RDWR), cmd_wait, F_WRLCK, 0, 10) < 0);
	(void)poll(NULL, 0, 200);
	if (waitpid(pid, &status, WNOHANG) != 0)
		return bad("a wait ended early");
	if (set(a, cmd, F_UNLCK, 0, 10) < 0 || waitpid(pid, &status, 0) != pid || status)
		return bad("a wait did not end well");
	return set(b, cmd, F_UNLCK, 0, 0) < 0 ? bad("unlock") : 0;
}

static int flocks(int a, int b)
{
	if (flock(a, LOCK_EX) < 0 || !held(flock(b, LOCK_SH | LOCK_NB)))
		return bad("flock: two have one lock");
	if (flock(a, LOCK_SH) < 0 || flock(b, LOCK_SH | LOCK_NB) < 0 ||
	    !held(flock(b, LOCK_EX | LOCK_NB)))
		return bad("flock: shared");
	return flock(a, LOCK_UN) < 0 || flock(b, LOCK_EX | LOCK_NB) < 0 || flock(b, LOCK_UN) < 0
		       ? bad("flock: unlock")
		       : 0;
}

/* This process waits for what the other has, which waits for what this one has. */
static int circle(int a)
{
	int ready[2], status;
	char c;
	pid_t pid;
	long r;

	if (pipe(ready) < 0 || set(a, F_SETLK, F_WRLCK, 0, 1) < 0)
		return bad("circle");
	pid = fork();
	if (pid == 0) {
		int fd = open(path_on(1, "locked"), O_RDWR);

		if (set(fd, F_SETLK, F_WRLCK, 1, 1) < 0)
			_exit(1);
		(void)!write(ready[1], "x", 1);
		r = set(fd, F_SETLKW, F_WRLCK, 0, 1);
		_exit(r < 0 && errno != EDEADLK);
	}
	(void)!read(ready[0], &c, 1);
	r = set(a, F_SETLKW, F_WRLCK, 1, 1); /* one of the two is told */
	if (r < 0 && errno != EDEADLK)
		return bad("circle: another error");
	if (set(a, F_SETLK, F_UNLCK, 0, 0) < 0 || waitpid(pid, &status, 0) != pid || status)
		return bad("circle: the other one");
	return 0;
}

static int lock(int n)
{
	int a = open(path_on(0, "locked"), O_RDWR | O_CREAT, 0644), b;
	struct flock fl = { .l_type = F_WRLCK };

	(void)n;
	b = open(path_on(1, "locked"), O_RDWR);
	if (a < 0 || b < 0)
		return bad("locked");
	/* Two mounts, one process: their owners are two all the same. */
	if (handed_over(a, b, F_SETLK, F_SETLKW) || handed_over(a, b, F_OFD_SETLK, F_OFD_SETLKW) ||
	    flocks(a, b) || circle(a))
		return 1;
	if (set(a, F_SETLK, F_WRLCK, 3, 4) < 0 || fcntl(b, F_GETLK, &fl) < 0 ||
	    fl.l_type != F_WRLCK || fl.l_start != 3 || fl.l_len != 4 || fl.l_pid == getpid())
		return bad("asked who has it");
	(void)close(a);
	return set(b, F_SETLK, F_WRLCK, 0, 0) < 0 ? bad("a closed file's lock stays") : 0;
}

/* ---- unlinked ------------------------------------------------------------------------------ */

static int unlinked(int n)
{
	int fd = open(path_on(0, "gone"), O_RDWR | O_CREAT, 0644);
	char got[8] = "", again[64];
	struct stat st;

	(void)n;
	if (fd < 0 || write(fd, "here", 4) != 4 || unlink(path_on(1, "gone")) < 0)
		return bad("unlink");
	if (fstat(fd, &st) < 0 || st.st_nlink != 0 || pread(fd, got, 4, 0) != 4 ||
	    memcmp(got, "here", 4) != 0 || pwrite(fd, "more", 4, 4) != 4 || ftruncate(fd, 6) < 0)
		return bad("an unlinked file lost something");
	(void)snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, again, AT_FDCWD, path_on(0, "again"), AT_SYMLINK_FOLLOW) == 0 ||
	    errno != ENOENT)
		return bad("an unlinked file got a name");
	if (access(path_on(0, "gone"), F_OK) == 0 || close(fd) < 0)
		return bad("the name is still there");
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int n);
	} all[] = { { "create", create },
		    { "append", append },
		    { "lock", lock },
		    { "unlinked", unlinked } };

	for (size_t i = 0; argc >= 4 && i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(argv[1], all[i].name) != 0)
			continue;
		dirs[0] = argv[2];
		dirs[1] = argv[3];
		return all[i].run(argc > 4 ? atoi(argv[4]) : 0);
	}
	(void)fprintf(stderr, "nodes: see the head of nodes.c\n");
	return 2;
}
