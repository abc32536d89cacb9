/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Applications on a cluster volume, for drills. Each ends with 0 when nothing went wrong, prints one
 * line of figures, and calls any error an error: a failover must not be seen as one.
 *
 *     load write FILE SECONDS [SEED]   4-KiB blocks with O_DIRECT, fsync now and then, read back at
 *                                      random; on SIGTERM or at the end: "acked N errors 0 ..."
 *     load verify FILE N [SEED]        the first N blocks are what `write` had acknowledged
 *     load meta DIR SECONDS TAG        create, write, rename, link, unlink, mkdir, rmdir, append
 *     load same DIR COUNT              opens COUNT names that others make at the same time
 *     load names DIR SECONDS TAG       makes and removes names: "made N"
 *     load tick FILE SECONDS           a block each 10 ms: "ticks N longest_ms N", the longest gap
 *     load lock FILE                   an exclusive lock by OFD: prints "locked", waits for SIGTERM
 *     load trylock FILE                0 = got it, 3 = somebody else has it
 *     load tagwrite FILE NAME GEN      tag, then write one block: 0, or errno as exit status
 *     load private DIR NAME MIB        a private file; prints "written", on SIGTERM names it: 0, or errno
 *     load tagloop FILE NAME GEN       tag, print "tagged", then write until a write fails
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/csv_ioctl.h"

#define BLOCK 4096

static volatile sig_atomic_t stop;

static void on_term(int signo)
{
	(void)signo;
	stop = 1;
}

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void fill(uint64_t *block, uint64_t n, uint64_t seed)
{
	for (size_t i = 0; i < BLOCK / 8; i++)
		block[i] = (n * 0x9e3779b97f4a7c15u) ^ (seed << 32) ^ i;
}

static int complain(const char *what, const char *path)
{
	(void)fprintf(stderr, "load: %s %s: %s\n", what, path, strerror(errno));
	return 1;
}

static int check(int fd, const char *path, uint64_t n, uint64_t seed, uint64_t *buf, uint64_t *want)
{
	ssize_t r = pread(fd, buf, BLOCK, (off_t)(n * BLOCK));

	if (r != BLOCK) {
		if (r >= 0)
			errno = ENODATA;
		return complain("read", path);
	}
	fill(want, n, seed);
	if (!memcmp(buf, want, BLOCK))
		return 0;
	(void)fprintf(stderr, "load: block %llu of %s is not what was written\n",
		      (unsigned long long)n, path);
	return 1;
}

static int do_write(const char *path, double seconds, uint64_t seed)
{
	uint64_t *buf = aligned_alloc(BLOCK, BLOCK), *want = aligned_alloc(BLOCK, BLOCK), n = 0;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0644), errors = 0;
	double end = now() + seconds, slowest = 0;

	if (fd < 0 || !buf || !want)
		return complain("open", path);
	while (!stop && now() < end) {
		double t = now();

		fill(buf, n, seed);
		if (pwrite(fd, buf, BLOCK, (off_t)(n * BLOCK)) != BLOCK)
			errors += complain("write", path);
		else
			n++;
		if (n % 16 == 0 && fsync(fd) < 0)
			errors += complain("fsync", path);
		if (n && n % 8 == 0)
			errors += check(fd, path, (uint64_t)rand() % n, seed, buf, want);
		if (now() - t > slowest)
			slowest = now() - t;
	}
	if (fsync(fd) < 0)
		errors += complain("fsync", path);
	if (close(fd) < 0)
		errors += complain("close", path);
	(void)printf("acked %llu errors %d slowest_ms %.0f\n", (unsigned long long)n, errors,
		     slowest * 1000);
	return errors ? 1 : 0;
}

static int do_verify(const char *path, uint64_t count, uint64_t seed)
{
	uint64_t *buf = aligned_alloc(BLOCK, BLOCK), *want = aligned_alloc(BLOCK, BLOCK);
	int fd = open(path, O_RDONLY), bad = 0;

	if (fd < 0 || !buf || !want)
		return complain("open", path);
	for (uint64_t n = 0; n < count; n++)
		bad += check(fd, path, n, seed, buf, want);
	(void)printf("verified %llu bad %d\n", (unsigned long long)count, bad);
	return bad ? 1 : 0;
}

/* One round of names; every call must succeed, and what is read must be what was written. */
static int meta_round(const char *dir, const char *tag, int i)
{
	char a[512], b[512], c[512], d[512], text[64], got[128] = "";
	struct stat st;
	int fd, n;

	(void)snprintf(a, sizeof(a), "%s/%s.%d.a", dir, tag, i);
	(void)snprintf(b, sizeof(b), "%s/%s.%d.b", dir, tag, i);
	(void)snprintf(c, sizeof(c), "%s/%s.%d.c", dir, tag, i);
	(void)snprintf(d, sizeof(d), "%s/%s.%d.d", dir, tag, i);
	n = snprintf(text, sizeof(text), "%s %d", tag, i);
	fd = open(a, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0644);
	if (fd < 0)
		return complain("create", a);
	if (write(fd, text, (size_t)n) != n || write(fd, text, (size_t)n) != n)
		return complain("append", a);
	if (close(fd) < 0)
		return complain("close", a);
	if (rename(a, b) < 0)
		return complain("rename", a);
	if (link(b, c) < 0)
		return complain("link", c);
	if (mkdir(d, 0755) < 0)
		return complain("mkdir", d);
	if (stat(c, &st) < 0 || st.st_nlink != 2 || st.st_size != 2 * n)
		return complain("stat", c);
	fd = open(c, O_RDONLY);
	if (fd < 0 || read(fd, got, sizeof(got)) != 2 * n || memcmp(got, text, (size_t)n) ||
	    memcmp(got + n, text, (size_t)n))
		return complain("read", c);
	(void)close(fd);
	if (unlink(b) < 0)
		return complain("unlink", b);
	if (unlink(c) < 0)
		return complain("unlink", c);
	if (rmdir(d) < 0)
		return complain("rmdir", d);
	return 0;
}

static int do_meta(const char *dir, double seconds, const char *tag)
{
	double end = now() + seconds;
	int errors = 0, i;

	for (i = 0; !stop && now() < end; i++)
		errors += meta_round(dir, tag, i);
	(void)printf("rounds %d errors %d\n", i, errors);
	return errors ? 1 : 0;
}

/* Whoever comes first makes it, all others open it: without O_EXCL nobody may see EEXIST. */
static int do_same(const char *dir, int count)
{
	char path[512];
	int errors = 0;

	for (int i = 0; i < count; i++) {
		int fd;

		(void)snprintf(path, sizeof(path), "%s/same.%d", dir, i);
		fd = open(path, O_RDWR | O_CREAT, 0644);
		if (fd < 0)
			errors += complain("open", path);
		else if (close(fd) < 0)
			errors += complain("close", path);
	}
	(void)printf("opened %d errors %d\n", count, errors);
	return errors ? 1 : 0;
}

static int do_names(const char *dir, double seconds, const char *tag)
{
	double end = now() + seconds;
	char path[512];
	int n = 0, fd;

	for (; now() < end; n++) {
		(void)snprintf(path, sizeof(path), "%s/%s.%d", dir, tag, n);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (fd < 0 || close(fd) < 0)
			return complain("create", path);
	}
	(void)printf("made %d in %.3f\n", n, now() - end + seconds);
	for (int i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s.%d", dir, tag, i);
		if (unlink(path) < 0)
			return complain("unlink", path);
	}
	return 0;
}

static int do_tick(const char *path, double seconds)
{
	uint64_t *buf = aligned_alloc(BLOCK, BLOCK);
	double end = now() + seconds, last = now(), longest = 0;
	int fd = open(path, O_RDWR | O_CREAT | O_DIRECT, 0644), n;

	if (fd < 0 || !buf)
		return complain("open", path);
	for (n = 0; now() < end; n++) {
		fill(buf, (uint64_t)n, 1);
		if (pwrite(fd, buf, BLOCK, 0) != BLOCK)
			return complain("write", path);
		if (now() - last > longest)
			longest = now() - last;
		last = now();
		(void)usleep(10000);
	}
	(void)printf("ticks %d longest_ms %.0f\n", n, longest * 1000);
	return 0;
}

static int do_lock(const char *path, int try)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDWR | O_CREAT, 0644);

	if (fd < 0)
		return complain("open", path);
	if (fcntl(fd, try ? F_OFD_SETLK : F_OFD_SETLKW, &fl) < 0)
		return errno == EAGAIN || errno == EACCES ? 3 : complain("lock", path);
	if (try)
		return 0;
	(void)printf("locked\n");
	(void)fflush(stdout);
	while (!stop)
		(void)pause();
	return 0;
}

static int open_tagged(const char *path, const char *name, uint64_t generation)
{
	struct csv_tag tag = { .generation = generation };
	int fd = open(path, O_RDWR | O_CREAT, 0644);

	if (fd < 0)
		return -complain("open", path);
	(void)strncpy(tag.resource, name, sizeof(tag.resource) - 1);
	if (ioctl(fd, CSV_IOC_TAG, &tag) < 0) {
		int e = errno;

		(void)complain("tag", path);
		return -e;
	}
	return fd;
}

static int name_it(int fd, const char *dir, const char *name)
{
	struct csv_name n = { 0 };
	struct stat st;

	(void)strncpy(n.name, name, sizeof(n.name) - 1);
	if (stat(dir, &st) < 0)
		return errno;
	n.directory = st.st_ino;
	return ioctl(fd, CSV_IOC_NAME, &n) < 0 ? errno : 0;
}

static int do_private(const char *dir, const char *name, uint64_t mib)
{
	char path[4096];
	uint64_t *buf = aligned_alloc(BLOCK, BLOCK);
	int fd;

	(void)snprintf(path, sizeof(path), "%s/" CSV_PRIVATE_PREFIX "%d", dir, (int)getpid());
	fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0644);
	if (fd < 0 || !buf)
		return complain("open", path);
	for (uint64_t i = 0; i < mib * 256; i++) {
		fill(buf, i, 1);
		if (pwrite(fd, buf, BLOCK, (off_t)(i * BLOCK)) != BLOCK)
			return complain("write", path);
	}
	(void)printf("written\n");
	(void)fflush(stdout);
	while (!stop)
		(void)usleep(20000);
	return name_it(fd, dir, name);
}

static int do_tagloop(const char *path, const char *name, uint64_t generation)
{
	uint64_t *buf = aligned_alloc(BLOCK, BLOCK);
	int fd = buf ? open_tagged(path, name, generation) : -ENOMEM;

	if (fd < 0)
		return -fd;
	fill(buf, generation, 7);
	(void)printf("tagged\n");
	(void)fflush(stdout);
	while (pwrite(fd, buf, BLOCK, 0) == BLOCK)
		;
	return complain("write", path);
}

static int do_tagwrite(const char *path, const char *name, uint64_t generation)
{
	uint64_t *buf = aligned_alloc(BLOCK, BLOCK);
	int fd = buf ? open_tagged(path, name, generation) : -ENOMEM;

	if (fd < 0)
		return -fd;
	fill(buf, generation, 7);
	if (pwrite(fd, buf, BLOCK, 0) != BLOCK) {
		int e = errno;

		(void)complain("write", path);
		return e;
	}
	return close(fd) < 0 ? errno : 0;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };
	const char *what = argc > 2 ? argv[1] : "";

	(void)sigaction(SIGTERM, &sa, NULL);
	if (!strcmp(what, "write") && argc >= 4)
		return do_write(argv[2], atof(argv[3]), argc > 4 ? strtoull(argv[4], NULL, 10) : 1);
	if (!strcmp(what, "verify") && argc >= 4)
		return do_verify(argv[2], strtoull(argv[3], NULL, 10),
				 argc > 4 ? strtoull(argv[4], NULL, 10) : 1);
	if (!strcmp(what, "meta") && argc == 5)
		return do_meta(argv[2], atof(argv[3]), argv[4]);
	if (!strcmp(what, "same") && argc == 4)
		return do_same(argv[2], atoi(argv[3]));
	if (!strcmp(what, "names") && argc == 5)
		return do_names(argv[2], atof(argv[3]), argv[4]);
	if (!strcmp(what, "tick") && argc == 4)
		return do_tick(argv[2], atof(argv[3]));
	if (!strcmp(what, "lock"))
		return do_lock(argv[2], 0);
	if (!strcmp(what, "trylock"))
		return do_lock(argv[2], 1);
	if (!strcmp(what, "tagwrite") && argc == 5)
		return do_tagwrite(argv[2], argv[3], strtoull(argv[4], NULL, 10));
	if (!strcmp(what, "private") && argc == 5)
		return do_private(argv[2], argv[3], strtoull(argv[4], NULL, 10));
	if (!strcmp(what, "tagloop") && argc == 5)
		return do_tagloop(argv[2], argv[3], strtoull(argv[4], NULL, 10));
	(void)fprintf(stderr, "load: see the head of load.c\n");
	return 2;
}
