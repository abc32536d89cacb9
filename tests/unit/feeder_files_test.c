/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The watchdog feeder's hands: the files that it is told by, the cgroup, the watchdog. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusterd/feeder_files.h"
#include "clusterd/feeder_slice.h"
#include "clusterd/feeder_watchdog.h"
#include "proto/heartbeat.h"

#define NOW 100000

static char dir[64];

static const char *in(const char *name)
{
	static char path[8][128];
	static unsigned n;
	char *p = path[n++ % 8];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void put(const char *name, const char *text)
{
	int fd = open(in(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/feeder-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* What a process of its own sees: locks are a process's. */
static int in_child(int (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

/* ---- files ------------------------------------------------------------------------------------ */

static int clusterd_seen(void)
{
	struct feeder_files f;
	struct feeder_view view = { 0 };

	feeder_files_init(&f, dir);
	feeder_files_look(&f, NOW, &view);
	return view.clusterd_lives;
}

static void test_clusterd_lives_while_it_holds_its_lease(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct lease_file kept;
	int fd = lease_file_open(dir, NOW, &kept, &err);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(in_child(clusterd_seen), 1);
	(void)close(fd);
	assert_int_equal(in_child(clusterd_seen), 0);
}

static void test_what_cannot_be_read_says_nothing_new(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct lease_file kept = { .until_ms = NOW + 4000, .beat_ms = NOW - 200 };
	struct feeder_view view = { 0 };
	struct feeder_files f;
	int fd = lease_file_open(dir, NOW, &(struct lease_file){ 0 }, &err);

	(void)state;
	assert_int_equal(lease_file_write(fd, &kept, &err), 0);
	feeder_files_init(&f, dir);
	feeder_files_look(&f, NOW, &view);
	assert_int_equal(view.lease_until_ms, NOW + 4000);
	assert_int_equal(view.beat_ms, NOW - 200);
	put(LEASE_FILE, "rubbish");
	feeder_files_look(&f, NOW + 50, &view);
	assert_int_equal(view.lease_until_ms, NOW + 4000);
	/* Another file of that name is another clusterd's word. */
	assert_int_equal(unlink(in(LEASE_FILE)), 0);
	(void)close(fd);
	fd = lease_file_open(dir, NOW, &(struct lease_file){ 0 }, &err);
	kept.until_ms = NOW + 7000;
	assert_int_equal(lease_file_write(fd, &kept, &err), 0);
	feeder_files_look(&f, NOW + 100, &view);
	assert_int_equal(view.lease_until_ms, NOW + 7000);
	feeder_files_fini(&f);
	(void)close(fd);
}

static int second_feeder(void)
{
	struct cl_error err = CL_ERROR_INIT;
	struct feeder_files f;
	bool armed;

	feeder_files_init(&f, dir);
	return -feeder_files_own(&f, &armed, &err);
}
static int feeder_seen(void)
{
	struct feeder_said said = feeder_files_said(dir);

	return said.lives * 100 + said.armed * 10 + said.timeout_ms / 1000;
}

static void test_a_watchdog_that_runs_outlives_its_feeder(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct feeder_files f;
	bool armed = true;

	(void)state;
	assert_int_equal(in_child(feeder_seen), 0);
	feeder_files_init(&f, dir);
	assert_int_equal(feeder_files_own(&f, &armed, &err), 0);
	assert_false(armed);
	assert_int_equal(in_child(second_feeder), EBUSY);
	assert_int_equal(in_child(feeder_seen), 100);
	assert_int_equal(feeder_files_say(&f, 3000, "/dev/watchdog"), 0);
	assert_int_equal(in_child(feeder_seen), 113);
	feeder_files_fini(&f); /* killed */
	assert_int_equal(in_child(feeder_seen), 13);
	assert_int_equal(feeder_files_own(&f, &armed, &err), 0);
	assert_true(armed);
	assert_int_equal(feeder_files_say(&f, -1, ""), 0); /* in order */
	feeder_files_fini(&f);
	assert_int_equal(feeder_files_own(&f, &armed, &err), 0);
	assert_false(armed);
	feeder_files_fini(&f);
}

/* ---- the cgroup ------------------------------------------------------------------------------- */

static void make_slice(const char *name, const char *populated, const char *cpu)
{
	char file[128];

	(void)mkdir(in(name), 0700);
	(void)snprintf(file, sizeof(file), "%s/cgroup.freeze", name);
	put(file, "0\n");
	(void)snprintf(file, sizeof(file), "%s/cgroup.events", name);
	put(file, populated);
	(void)snprintf(file, sizeof(file), "%s/cpu.stat", name);
	put(file, cpu);
	(void)snprintf(file, sizeof(file), "%s\n", in(name));
	put(FEEDER_SLICE_FILE, file);
}

static void test_the_slice_is_seen_and_frozen(void **state)
{
	struct feeder_slice s;
	struct feeder_slice_use use;

	(void)state;
	feeder_slice_init(&s);
	assert_false(feeder_slice_find(&s, dir)); /* nobody has said which */
	use = feeder_slice_look(&s);
	assert_false(use.populated);
	assert_int_equal(feeder_slice_freeze(&s, true), 0);
	make_slice("vm", "populated 1\nfrozen 0\n", "usage_usec 4711\nuser_usec 1\n");
	assert_true(feeder_slice_find(&s, dir));
	assert_false(feeder_slice_find(&s, dir));
	use = feeder_slice_look(&s);
	assert_true(use.populated);
	assert_int_equal(use.cpu_usec, 4711);
	assert_false(feeder_slice_frozen(&s));
	assert_int_equal(feeder_slice_freeze(&s, true), 0);
	assert_true(feeder_slice_frozen(&s));
	assert_int_equal(feeder_slice_freeze(&s, false), 0);
	assert_false(feeder_slice_frozen(&s));
	feeder_slice_fini(&s);
}

static void test_a_slice_that_goes_and_comes(void **state)
{
	struct feeder_slice s;

	(void)state;
	feeder_slice_init(&s);
	make_slice("vm", "populated 1\nfrozen 0\n", "usage_usec 1\n");
	assert_true(feeder_slice_find(&s, dir));
	make_slice("other", "frozen 0\npopulated 0\n", "usage_usec 2\n");
	assert_true(feeder_slice_find(&s, dir));
	assert_int_equal(feeder_slice_look(&s).cpu_usec, 2);
	put("other/cgroup.events", ""); /* as if it were removed: it cannot be read */
	assert_false(feeder_slice_look(&s).populated);
	assert_string_equal(s.path, "");
	make_slice("other", "populated 1\n", "usage_usec 3\n");
	assert_true(feeder_slice_find(&s, dir));
	assert_true(feeder_slice_look(&s).populated);
	feeder_slice_fini(&s);
}

/* ---- the watchdog ------------------------------------------------------------------------------- */

static void expect_read(int fd, const char *text)
{
	char buf[64] = "";
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	assert_int_equal(n, strlen(text));
	assert_string_equal(buf, text);
}

static void test_a_fifo_is_a_watchdog(void **state)
{
	struct feeder_watchdog w;
	int reader;

	(void)state;
	assert_int_equal(mkfifo(in("watchdog"), 0600), 0);
	feeder_watchdog_init(&w, in("watchdog"), 3);
	assert_false(feeder_watchdog_arm(&w, NOW)); /* nobody reads */
	reader = open(in("watchdog"), O_RDWR | O_NONBLOCK);
	assert_false(feeder_watchdog_arm(&w, NOW + 100)); /* not at every turn */
	assert_true(feeder_watchdog_arm(&w, NOW + 5000));
	assert_int_equal(w.timeout_ms, 3000);
	expect_read(reader, "T3000\n");
	feeder_watchdog_pet(&w);
	expect_read(reader, "p");
	feeder_watchdog_end(&w);
	expect_read(reader, "V");
	feeder_watchdog_pet(&w);
	feeder_watchdog_end(&w);
	assert_int_equal(read(reader, &(char){ 0 }, 1), -1);
	(void)close(reader);
}

static void test_no_watchdog(void **state)
{
	struct feeder_watchdog w;

	(void)state;
	feeder_watchdog_init(&w, "", 3);
	assert_false(feeder_watchdog_arm(&w, NOW));
	feeder_watchdog_pet(&w);
	feeder_watchdog_end(&w);
	assert_int_equal(w.timeout_ms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_clusterd_lives_while_it_holds_its_lease, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_read_says_nothing_new, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_watchdog_that_runs_outlives_its_feeder,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_slice_is_seen_and_frozen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_slice_that_goes_and_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_fifo_is_a_watchdog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_watchdog, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
