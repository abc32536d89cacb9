/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Applications that write in place, for drills of direct I/O. Ends with 0 when nothing went wrong.
 *
 *     direct make FILE BLOCKS                   4-KiB blocks, version 1
 *     direct random FILE BLOCKS SECONDS SEED    writers beside each other, each in its part of the
 *                                               file: write a block anew, or read one and see that
 *                                               it is the last one written: "operations N errors 0"
 *     direct overtake FILE MS                   one block that the target holds back for MS (landing.c),
 *                                               then, when that is acknowledged, another over it; after
 *                                               MS and a second: is it still there? 4 = no
 *     direct stamped FILE BLOCKS NODE           write blocks that landing.c accounts for to NODE, one after
 *                                               another, and read each: until SIGTERM, "operations N slowest MS"
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lun/stamp.h"

#define BLOCK 4096
#define WRITERS 4

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int complain(const char *what, const char *path)
{
	(void)fprintf(stderr, "direct: %s %s: %s\n", what, path, strerror(errno));
	return 1;
}

static void fill(uint64_t *block, uint64_t n, uint64_t version)
{
	for (size_t i = 0; i < BLOCK / 8; i++)
		block[i] = (n * 0x9e3779b97f4a7c15u) ^ (version << 32) ^ i;
}

static int open_direct(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_DIRECT | flags, 0644);

	if (fd < 0)
		exit(complain("open", path));
	return fd;
}

static uint64_t *block_new(void)
{
	uint64_t *b = aligned_alloc(BLOCK, BLOCK);

	if (!b)
		exit(complain("memory for", "a block"));
	memset(b, 0, BLOCK);
	return b;
}

static int do_make(const char *path, uint64_t blocks)
{
	int fd = open_direct(path, O_CREAT | O_TRUNC);
	uint64_t *b = block_new();

	for (uint64_t n = 0; n < blocks; n++) {
		fill(b, n, 1);
		if (pwrite(fd, b, BLOCK, (off_t)(n * BLOCK)) != BLOCK)
			return complain("write", path);
	}
	return fsync(fd) < 0 || close(fd) < 0 ? complain("close", path) : 0;
}

static int check(int fd, const char *path, uint64_t n, uint64_t version, uint64_t *b,
		 uint64_t *want)
{
	if (pread(fd, b, BLOCK, (off_t)(n * BLOCK)) != BLOCK)
		return complain("read", path);
	fill(want, n, version);
	if (!memcmp(b, want, BLOCK))
		return 0;
	(void)fprintf(stderr, "direct: block %llu of %s is not its version %llu\n",
		      (unsigned long long)n, path, (unsigned long long)version);
	return 1;
}

/* Blocks first, first + WRITERS, ... The number of operations goes to the pipe. */
static int writer(const char *path, uint64_t blocks, double seconds, unsigned seed, uint64_t first,
		  int out)
{
	uint32_t *version = calloc(blocks, sizeof(*version));
	uint64_t *b = block_new(), *want = block_new(), done = 0;
	int fd = open_direct(path, 0), errors = 0;
	double end = now() + seconds;

	if (!version)
		return complain("memory for", path);
	for (; now() < end && !errors; done++) {
		uint64_t n = ((uint64_t)rand_r(&seed) % (blocks / WRITERS)) * WRITERS + first;

		if (rand_r(&seed) % 2) {
			fill(b, n, ++version[n] + 1);
			if (pwrite(fd, b, BLOCK, (off_t)(n * BLOCK)) != BLOCK)
				errors += complain("write", path);
		} else {
			errors += check(fd, path, n, version[n] + 1, b, want);
		}
	}
	for (uint64_t n = first; n < blocks && !errors; n += WRITERS)
		errors += check(fd, path, n, version[n] + 1, b, want);
	return errors || write(out, &done, sizeof(done)) != sizeof(done);
}

static int do_random(const char *path, uint64_t blocks, double seconds, unsigned seed)
{
	uint64_t total = 0, one;
	int out[2], errors = 0, status;

	if (pipe(out) < 0 || blocks < WRITERS)
		return complain("pipe for", path);
	for (unsigned i = 0; i < WRITERS; i++)
		if (fork() == 0)
			_exit(writer(path, blocks, seconds, seed * WRITERS + i, i, out[1]));
	for (int i = 0; i < WRITERS; i++)
		errors += wait(&status) < 0 || status != 0;
	(void)close(out[1]);
	while (read(out[0], &one, sizeof(one)) == sizeof(one))
		total += one;
	(void)printf("operations %llu errors %d\n", (unsigned long long)total, errors);
	return errors ? 1 : 0;
}

static int do_overtake(const char *path, unsigned ms)
{
	int fd = open_direct(path, O_CREAT);
	uint64_t *first = block_new(), *second = block_new(), *got = block_new();
	struct stamp stamp = {
		.magic = STAMP_MAGIC, .node = 1, .seq = (uint64_t)getpid(), .delay_ms = ms
	};
	struct timespec rest = { ms / 1000 + 1, 0 };

	memcpy(first, &stamp, sizeof(stamp));
	fill(second, 7, 7);
	if (pwrite(fd, first, BLOCK, 0) != BLOCK)
		return complain("first write", path);
	(void)printf("first\n");
	(void)fflush(stdout);
	if (pwrite(fd, second, BLOCK, 0) != BLOCK)
		return complain("second write", path);
	(void)printf("second\n");
	(void)nanosleep(&rest, NULL); /* as long as an old copy of the first could stay away */
	if (pread(fd, got, BLOCK, 0) != BLOCK)
		return complain("read", path);
	return memcmp(got, second, BLOCK) != 0 ? 4 : 0;
}

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static int do_stamped(const char *path, uint64_t blocks, uint32_t node)
{
	struct sigaction act = { .sa_handler = on_term, .sa_flags = SA_RESTART };
	struct stamp stamp = { .magic = STAMP_MAGIC, .node = node };
	uint64_t *b = block_new(), *got = block_new();
	int fd = open_direct(path, 0);
	double slowest = 0;

	(void)sigaction(SIGTERM, &act, NULL);
	for (; !stop && blocks; stamp.seq++) {
		off_t place = (off_t)(stamp.seq % blocks * BLOCK);
		double began = now(), took;

		fill(b, stamp.seq, node);
		memcpy(b, &stamp, sizeof(stamp));
		if (pwrite(fd, b, BLOCK, place) != BLOCK)
			return complain("write", path);
		if (pread(fd, got, BLOCK, place) != BLOCK)
			return complain("read", path);
		if (memcmp(b, got, BLOCK) != 0)
			return 4;
		took = now() - began;
		slowest = took > slowest ? took : slowest;
	}
	(void)printf("operations %llu slowest %.0f\n", (unsigned long long)stamp.seq,
		     slowest * 1000);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 3 ? argv[1] : "";

	if (!strcmp(what, "make"))
		return do_make(argv[2], strtoull(argv[3], NULL, 10));
	if (!strcmp(what, "random") && argc == 6)
		return do_random(argv[2], strtoull(argv[3], NULL, 10), atof(argv[4]),
				 (unsigned)strtoul(argv[5], NULL, 10));
	if (!strcmp(what, "overtake"))
		return do_overtake(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
	if (!strcmp(what, "stamped") && argc == 5)
		return do_stamped(argv[2], strtoull(argv[3], NULL, 10),
				  (uint32_t)strtoul(argv[4], NULL, 10));
	(void)fprintf(stderr, "direct: see the head of direct.c\n");
	return 2;
}
