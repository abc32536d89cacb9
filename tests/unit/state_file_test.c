/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saved states: what was written comes back; torn, foreign and used ones are refused with the reason. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migration/state_file.h"

#define LEN (STATE_CHUNK * 2 + 12345)

static const struct state_id id = { .name = "vm",
				    .uuid = "8d3b2a6e-0000-4000-8000-00000000abcd",
				    .machine = "pc-i440fx-7.2",
				    .cpus = 2,
				    .ram_bytes = 16785408,
				    .generation = 7,
				    .reserved = 8 };
static uint8_t bytes[LEN];

static int saved(size_t len)
{
	struct state_writer w;
	int fd = memfd_create("state", MFD_CLOEXEC);

	assert_true(fd >= 0);
	for (size_t i = 0; i < LEN; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	assert_int_equal(state_writer_init(&w, fd, &id, NULL), 0);
	for (size_t at = 0; at < len;) {
		size_t n = len - at < 70001 ? len - at : 70001;

		assert_int_equal(state_writer_put(&w, bytes + at, n, NULL), 0);
		at += n;
	}
	assert_int_equal(state_writer_end(&w, NULL), 0);
	state_writer_fini(&w);
	return fd;
}

/* Read to the end; *ret_len: how many bytes were given out, all of them the right ones. */
static int whole(int fd, const struct state_id *want, size_t *ret_len, struct cl_error *err)
{
	struct state_reader r;
	const void *data;
	size_t n;
	int e = state_reader_init(&r, fd, want, err);

	*ret_len = 0;
	if (e == 0)
		while ((e = state_reader_next(&r, &data, &n, err)) == 1) {
			assert_true(*ret_len + n <= LEN);
			assert_memory_equal(data, bytes + *ret_len, n);
			*ret_len += n;
		}
	state_reader_fini(&r);
	return e;
}

static void test_round_trip(void **state)
{
	static const size_t sizes[] = { 0, 1, STATE_CHUNK - 1, STATE_CHUNK, STATE_CHUNK + 1, LEN };
	size_t got;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		int fd = saved(sizes[i]);
		struct stat st;

		assert_int_equal(whole(fd, &id, &got, NULL), 0);
		assert_int_equal(got, sizes[i]);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size % STATE_BLOCK, 0);
		(void)close(fd);
	}
}

static void refused(const struct state_id *want, const char *words)
{
	struct cl_error err = CL_ERROR_INIT;
	int fd = saved(1000);
	size_t got;

	assert_int_equal(whole(fd, want, &got, &err), -CL_EREFUSED);
	assert_int_equal(got, 0);
	assert_non_null(strstr(err.msg, words));
	(void)close(fd);
}

static void test_foreign_or_used(void **state)
{
	struct state_id want = id;

	(void)state;
	(void)strcpy(want.name, "other");
	refused(&want, "is of VM 'vm'");
	want = id;
	want.uuid[0] = '9';
	refused(&want, "is of VM 'vm'");
	want = id;
	want.generation = 8; /* it was taken up: the owner's number is the next one */
	want.reserved = 9;
	refused(&want, "void");
	want = id;
	want.reserved = 9; /* its handover was given up, this is the next */
	refused(&want, "void");
	want = id;
	want.ram_bytes += 8192;
	refused(&want, "another machine");
}

static void test_cut_anywhere(void **state)
{
	struct stat st;
	int fd = saved(LEN);
	size_t got;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t size = st.st_size - 1; size >= 0; size -= size > 8192 ? 40961 : 509) {
		struct cl_error err = CL_ERROR_INIT;

		assert_int_equal(ftruncate(fd, size), 0);
		assert_int_equal(whole(fd, &id, &got, &err), -CL_EREFUSED);
		assert_true(err.msg[0]);
	}
	(void)close(fd);
}

/* No byte of it may be wrong, but for what fills the last block up. */
static void test_one_bit(void **state)
{
	int fd = saved(LEN);
	struct stat st;
	uint8_t *p;
	size_t got;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	for (off_t at = 0; at < st.st_size; at += 12289) {
		size_t tail = STATE_BLOCK * 4 + 2u * STATE_CHUNK + 12345;

		if ((size_t)at >= tail && at < st.st_size - (off_t)STATE_BLOCK)
			continue;
		p[at] ^= 16;
		assert_int_equal(whole(fd, &id, &got, NULL), -CL_EREFUSED);
		p[at] ^= 16;
	}
	assert_int_equal(whole(fd, &id, &got, NULL), 0);
	(void)munmap(p, (size_t)st.st_size);
	(void)close(fd);
}

static void test_sweep(void **state)
{
	static const char *const names[] = { ".vm.7.state",  ".vm.12.state", ".vmx.7.state",
					     ".vm.7x.state", "vm.raw",	     ".vm..state" };
	static const bool stays[] = { false, false, true, true, true, true };
	char dir[] = "/tmp/state-file-test-XXXXXX", disk[64], path[128];
	struct vm_config c = { .name = (char *)"vm", .n_disks = 1 };

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(disk, sizeof(disk), "%s/vm.raw", dir);
	c.disks[0].path = disk;
	for (size_t i = 0; i < 6; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		assert_true(close(open(path, O_CREAT | O_WRONLY, 0600)) == 0);
	}
	state_sweep(&c);
	for (size_t i = 0; i < 6; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		assert_int_equal(access(path, F_OK) == 0, stays[i]);
		(void)unlink(path);
	}
	assert_int_equal(state_path(&c, 12, path, sizeof(path)), 0);
	assert_string_equal(strrchr(path, '/'), "/.vm.12.state");
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_foreign_or_used),
		cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_one_bit),
		cmocka_unit_test(test_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
