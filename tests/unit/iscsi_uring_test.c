/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file in place of a LUN: what is read is what was written, with any buffers, at any depth, direct and
 * buffered; short transfers, a full file system, a file that is too small or shrinks, the lock that
 * outlives its process only as long as its I/O. Runs in the directory it is started in.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "iscsi/lun_uring.h"

#define BYTES (1u << 20)
#define IOVS 7
#define DEPTH 32

static char path[512], url[600];
static uint64_t seed;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % n;
}

struct op {
	struct lun_io io;
	struct iovec iov[IOVS];
	uint8_t *buf;
	bool out;
	enum lun_result result;
};

struct rig {
	struct cl_loop *loop;
	struct lun_uring *u;
	struct lun_data *d;
	struct op ops[LUN_IO_DEPTH_MAX + 1];
	unsigned out;
	uint8_t *model;
};

static struct rig rig;

static void make_file(off_t bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	char dir[400];

	memset(&rig, 0, sizeof(rig));
	seed = 88172645463325252u;
	if (!getcwd(dir, sizeof(dir)))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/uring-test.%d", dir, (int)getpid());
	(void)snprintf(url, sizeof(url), "file://%s", path);
	make_file(BYTES);
	return cl_loop_new(&rig.loop);
}

static int teardown(void **state)
{
	(void)state;
	lun_uring_free(rig.u);
	cl_loop_free(rig.loop);
	free(rig.model);
	for (size_t i = 0; i < sizeof(rig.ops) / sizeof(*rig.ops); i++)
		free(rig.ops[i].buf);
	(void)unlink(path);
	return 0;
}

static void open_lun(bool buffered)
{
	const struct lun_uring_config c = { .url = url, .node = 1, .buffered = buffered };
	struct cl_error err = CL_ERROR_INIT;
	int r = lun_uring_open(rig.loop, &c, &rig.u, &err);

	if (r == -ENOSYS || r == -EPERM)
		skip(); /* a machine where io_uring is switched off */
	if (r < 0)
		fail_msg("%s", err.msg);
	rig.d = lun_uring_data(rig.u);
}

static void on_done(struct lun_io *io, enum lun_result result)
{
	struct op *op = io->user;

	assert_true(op->out);
	op->out = false;
	op->result = result;
	rig.out--;
	cl_loop_stop(rig.loop);
}

static void prepare(struct op *op, enum lun_dir dir, uint64_t offset, uint32_t length, void *buf)
{
	op->iov[0] = (struct iovec){ buf, length };
	op->io = (struct lun_io){ .dir = dir,
				  .offset = offset,
				  .length = length,
				  .iov = op->iov,
				  .iovcnt = 1,
				  .done = on_done,
				  .user = op };
}

static enum lun_result start(struct op *op)
{
	enum lun_result r;

	op->out = true;
	rig.out++;
	r = lun_submit(rig.d, &op->io);
	if (r != LUN_OK) {
		op->out = false;
		rig.out--;
	}
	return r;
}

static void wait_for(const struct op *op)
{
	while (op->out)
		cl_loop_run(rig.loop);
}

static enum lun_result run(enum lun_dir dir, uint64_t offset, uint32_t length, void *buf)
{
	struct op *op = &rig.ops[0];
	enum lun_result r;

	prepare(op, dir, offset, length, buf);
	r = start(op);
	if (r != LUN_OK)
		return r;
	wait_for(op);
	return op->result;
}

/* ---- what is read is what was written ---- */

/* The area of slot i, so that what runs at once does not overlap. */
static uint32_t area(unsigned i)
{
	return i * (BYTES / DEPTH);
}

/* Iovecs of odd sizes at odd addresses, which direct I/O cannot take, or of good ones. */
static void split(struct op *op, uint8_t *p, uint32_t length, bool odd)
{
	int n = 0;

	while (length && n < IOVS - 1) {
		uint32_t part = odd ? 1 + rnd(length) : rig.d->block_size * (1 + rnd(4));

		if (part > length)
			part = length;
		op->iov[n++] = (struct iovec){ p, part };
		p += part;
		length -= part;
	}
	if (length)
		op->iov[n++] = (struct iovec){ p, length };
	op->io.iovcnt = n;
}

static void start_random(unsigned i)
{
	struct op *op = &rig.ops[i];
	uint32_t block = rig.d->block_size, blocks = BYTES / DEPTH / block;
	uint32_t from = rnd(blocks), n = 1 + rnd(blocks - from), odd = rnd(2);
	enum lun_dir dir = rnd(8) ? (enum lun_dir)rnd(2) : LUN_FLUSH;
	uint8_t *p = op->buf + (odd ? 1 + rnd(300) : 0);

	prepare(op, dir, dir == LUN_FLUSH ? 0 : area(i) + from * block,
		dir == LUN_FLUSH ? 0 : n * block, p);
	op->io.fua = dir == LUN_WRITE && !rnd(4);
	if (dir != LUN_FLUSH)
		split(op, p, n * block, odd);
	if (dir == LUN_WRITE)
		for (uint32_t k = 0; k < n * block; k++)
			rig.model[op->io.offset + k] = p[k] = (uint8_t)rnd(256);
	else if (dir == LUN_READ)
		memset(p, 0xee, n * block);
	assert_int_equal(start(op), LUN_OK);
}

static void check_random(unsigned i)
{
	struct op *op = &rig.ops[i];
	uint64_t at = op->io.offset;

	assert_int_equal(op->result, LUN_OK);
	for (int k = 0; op->io.dir == LUN_READ && k < op->io.iovcnt; k++) {
		assert_memory_equal(op->iov[k].iov_base, rig.model + at, op->iov[k].iov_len);
		at += op->iov[k].iov_len;
	}
}

static void against_model(bool buffered)
{
	int fd;
	uint8_t *all;

	open_lun(buffered);
	rig.model = calloc(1, BYTES);
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(
			posix_memalign((void **)&rig.ops[i].buf, 4096, BYTES / DEPTH + 512), 0);
	for (int round = 0; round < 60; round++) {
		if (round % 2)
			lun_plug(rig.d);
		for (unsigned i = 0; i < DEPTH; i++)
			start_random(i);
		if (round % 2)
			lun_unplug(rig.d);
		while (rig.out)
			cl_loop_run(rig.loop);
		for (unsigned i = 0; i < DEPTH; i++)
			check_random(i);
	}
	/* And from outside. */
	all = malloc(BYTES);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, all, BYTES, 0), BYTES);
	assert_memory_equal(all, rig.model, BYTES);
	close(fd);
	free(all);
}

static void test_direct(void **state)
{
	(void)state;
	against_model(false);
}

static void test_buffered(void **state)
{
	(void)state;
	against_model(true);
}

/* ---- what is refused ---- */

static void test_shape(void **state)
{
	static uint8_t block[8192] __attribute__((aligned(4096)));

	(void)state;
	open_lun(false);
	assert_int_equal(run(LUN_READ, 1, 512, block), LUN_INVALID);
	assert_int_equal(run(LUN_READ, 0, 513, block), LUN_INVALID);
	assert_int_equal(run(LUN_READ, BYTES, 4096, block), LUN_INVALID);
	assert_int_equal(run(LUN_READ, BYTES - 4096, 8192, block), LUN_INVALID);
	assert_int_equal(run(LUN_READ, 0, 0, block), LUN_INVALID);
	assert_int_equal(run(LUN_READ, BYTES - 4096, 4096, block), LUN_OK);
}

static void test_depth(void **state)
{
	static uint8_t block[4096] __attribute__((aligned(4096)));

	(void)state;
	open_lun(false);
	lun_plug(rig.d);
	for (unsigned i = 0; i <= LUN_IO_DEPTH_MAX; i++) {
		prepare(&rig.ops[i], LUN_READ, 0, 4096, block);
		assert_int_equal(start(&rig.ops[i]), i < LUN_IO_DEPTH_MAX ? LUN_OK : LUN_BUSY);
	}
	lun_unplug(rig.d);
	/* Freed with all of them under way: each has its end. */
	lun_uring_free(cl_steal(rig.u));
	assert_int_equal(rig.out, 0);
}

static void refused(const char *what, uint64_t min_bytes, int code, const char *says)
{
	const struct lun_uring_config c = { .url = what, .min_bytes = min_bytes };
	struct cl_error err = CL_ERROR_INIT;
	struct lun_uring *u = NULL;

	assert_int_equal(lun_uring_open(rig.loop, &c, &u, &err), code);
	if (!strstr(err.msg, says))
		fail_msg("'%s' does not say '%s'", err.msg, says);
}

static void test_open(void **state)
{
	char block[600];

	(void)state;
	refused(url, BYTES + 1, -EFBIG, "has to have");
	refused("file://relative", 0, -EINVAL, "is not of the form");
	refused("block://dev/x", 0, -EINVAL, "is not of the form");
	refused("file:///nowhere/at/all", 0, -ENOENT, "No such file");
	(void)snprintf(block, sizeof(block), "block://%s", path);
	refused(block, 0, -ENOTBLK, "is no block device");
	refused("file:///dev/null", 0, -ENOTBLK, "is no regular file");
	make_file(100);
	refused(url, 0, -EFBIG, "has to have");
}

/* ---- ends that are none ---- */

static void test_shrunk(void **state)
{
	static uint8_t block[65536] __attribute__((aligned(4096)));

	(void)state;
	open_lun(false);
	assert_int_equal(truncate(path, BYTES / 2 + 4096), 0);
	/* Some of it, then nothing: an error, not a success with whatever was in the buffer. */
	assert_int_equal(run(LUN_READ, BYTES / 2, sizeof(block), block), LUN_ERROR);
	assert_int_equal(lun_io_errno(&rig.ops[0].io, rig.ops[0].result), -EIO);
	assert_int_equal(run(LUN_READ, BYTES / 2, 4096, block), LUN_OK);
}

static bool small_file_system(void)
{
	if (geteuid() != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		return false;
	if (geteuid() == 0 && unshare(CLONE_NEWNS) != 0)
		return false;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return false;
	return mount("none", "/tmp", "tmpfs", 0, "size=256k") == 0;
}

static void test_full(void **state)
{
	static uint8_t block[65536] __attribute__((aligned(4096)));
	enum lun_result r = LUN_OK;
	uint32_t at = 0;

	(void)state;
	(void)unlink(path); /* before /tmp is another one: the build may be in there */
	if (!small_file_system())
		skip();
	(void)snprintf(path, sizeof(path), "/tmp/full");
	(void)snprintf(url, sizeof(url), "file:///tmp/full");
	make_file(BYTES);
	open_lun(false);
	for (; at < BYTES && r == LUN_OK; at += sizeof(block))
		r = run(LUN_WRITE, at, sizeof(block), block);
	assert_int_equal(r, LUN_ERROR);
	assert_int_equal(lun_io_errno(&rig.ops[0].io, r), -ENOSPC);
	/* What has room goes on. */
	assert_int_equal(run(LUN_WRITE, 0, 4096, block), LUN_OK);
	assert_int_equal(run(LUN_READ, BYTES - 4096, 4096, block), LUN_OK);
}

/* ---- the lock ---- */

static void test_lock(void **state)
{
	const struct lun_uring_config again = { .url = url, .node = 1 },
				      other = { .url = url, .node = 2 };
	struct cl_error err = CL_ERROR_INIT;
	struct lun_uring *u = NULL;

	(void)state;
	assert_int_equal(lun_local_held(url, 1, &err), 0);
	open_lun(false);
	assert_int_equal(lun_local_held(url, 1, &err), 1);
	assert_int_equal(lun_local_held(url, 2, &err), 0);
	assert_int_equal(lun_uring_open(rig.loop, &again, &u, &err), -EBUSY);
	assert_int_equal(lun_uring_open(rig.loop, &other, &u, &err), 0);
	lun_uring_free(u);
	lun_uring_free(cl_steal(rig.u));
	assert_int_equal(lun_local_held(url, 1, &err), 0);
}

static void child(int ready)
{
	struct cl_loop *loop;

	if (cl_loop_new(&loop) < 0)
		_exit(1);
	rig.loop = loop;
	open_lun(false);
	(void)!write(ready, "r", 1);
	for (;;)
		pause();
}

static void test_killed(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	int p[2], status;
	char c;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(p), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(p[1]);
	close(p[1]);
	if (read(p[0], &c, 1) != 1)
		skip();
	assert_int_equal(lun_local_held(url, 1, &err), 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* The ring's end is a work of the kernel's: soon, not at once. */
	for (int i = 0; i < 2000 && lun_local_held(url, 1, &err) == 1; i++)
		usleep(1000);
	assert_int_equal(lun_local_held(url, 1, &err), 0);
	close(p[0]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_direct), T(test_buffered), T(test_shape),  T(test_depth), T(test_open),
		T(test_shrunk), T(test_lock),	  T(test_killed), T(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
