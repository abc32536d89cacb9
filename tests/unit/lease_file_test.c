/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of the lease across a restart, and what else may stand in its file. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/lease_file.h"

#define LATEST 10000

static char dir[64], path[80];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/lease-file-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/lease", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(dir);
}

/* As a process that begins, writes (unless write_ms is -1), and is killed: what it found. */
static int64_t life(int64_t write_ms)
{
	struct lease_file found = { -1, -1 }, kept = { write_ms, write_ms / 2 };
	struct cl_error err = CL_ERROR_INIT;
	int fd = lease_file_open(dir, LATEST, &found, &err);

	assert_true(fd >= 0);
	if (write_ms >= 0)
		assert_int_equal(lease_file_write(fd, &kept, &err), 0);
	(void)close(fd);
	assert_int_equal(found.beat_ms, found.until_ms / 2);
	return found.until_ms;
}

static void test_the_last_word_is_found(void **state)
{
	(void)state;
	(void)unlink(path);
	assert_int_equal(life(-1), 0);
	assert_int_equal(life(7000), 0);
	assert_int_equal(life(-1), 7000);
	assert_int_equal(life(8000), 7000);
	assert_int_equal(life(-1), 8000);
}

/* "Not known" would give the VMs of a node that was told to stand still another second. */
static void test_a_lease_taken_away_has_ended(void **state)
{
	(void)state;
	(void)life(7000);
	(void)life(0);
	assert_int_equal(life(-1), 1);
}

static void test_what_is_no_lease_is_not_known(void **state)
{
	static const char *const bad[] = { "abc", "far too long",
					   "\xff\xff\xff\xff\xff\xff\xff\xff",
					   "\xff\xff\xff\xff\xff\xff\xff\x7f" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, bad[i], strlen(bad[i])), strlen(bad[i]));
		(void)close(fd);
		assert_int_equal(life(5000), 0);
		assert_int_equal(life(-1), 5000);
	}
	(void)life(LATEST + 1); /* no clock of this boot got there */
	assert_int_equal(life(-1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_last_word_is_found),
		cmocka_unit_test(test_a_lease_taken_away_has_ended),
		cmocka_unit_test(test_what_is_no_lease_is_not_known),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
