/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LD_PRELOAD shim for the lab's iSCSI target: slow and full backing stores.
 *
 * Wraps what tgtd's "rdwr" backing store calls on its worker threads. The file named by
 * $LAB_TARGET_CONTROL (mapped, changed in place by `lab/lab target delay|fill`) holds two decimal
 * numbers: milliseconds by which every read, write and sync is held up BEFORE it is done, and 1 when
 * the store is full. A held request looks at the number all the time, so that `delay 0` lets all of
 * them go. Full means what it means on a thin LUN: blocks that have storage can be overwritten,
 * a write into a hole fails with ENOSPC.
 */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { CONTROL_BYTES = 32, SLICE_MS = 5 };

static const volatile char *control;

__attribute__((constructor)) static void map_control(void)
{
	const char *path = getenv("LAB_TARGET_CONTROL");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, CONTROL_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED) {
		perror("lab: map of the target's control file");
		_exit(1);
	}
	control = map;
}

static void control_read(long *ret_delay_ms, long *ret_full)
{
	char text[CONTROL_BYTES + 1], *end;

	*ret_delay_ms = *ret_full = 0;
	if (!control)
		return;
	for (int i = 0; i < CONTROL_BYTES; i++)
		text[i] = control[i];
	text[CONTROL_BYTES] = '\0';
	*ret_delay_ms = strtol(text, &end, 10);
	*ret_full = strtol(end, NULL, 10);
}

static long elapsed_ms(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
}

static void hold(void)
{
	static const struct timespec slice = { 0, SLICE_MS * 1000000L };
	struct timespec start;
	long delay_ms, full;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		control_read(&delay_ms, &full);
		if (elapsed_ms(&start) >= delay_ms)
			return;
		nanosleep(&slice, NULL);
	}
}

/* lseek() moves the descriptor's offset, which nobody uses: all I/O here is positional. */
static int refuse_when_full(int fd, size_t count, off_t offset)
{
	long delay_ms, full;
	off_t hole;

	control_read(&delay_ms, &full);
	if (!full)
		return 0;
	hole = lseek(fd, offset, SEEK_HOLE);
	if (hole >= 0 && hole >= offset + (off_t)count)
		return 0;
	errno = ENOSPC;
	return -1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pread64(int fd, void *buf, size_t count, off64_t offset)
{
	hold();
	return REAL(pread64)(fd, buf, count, offset);
}

ssize_t pwrite64(int fd, const void *buf, size_t count, off64_t offset)
{
	hold();
	if (refuse_when_full(fd, count, offset) < 0)
		return -1;
	return REAL(pwrite64)(fd, buf, count, offset);
}

int fdatasync(int fd)
{
	hold();
	return REAL(fdatasync)(fd);
}
