/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fence agents: the order in which they are tried, what may be given to them, and running one. */
#include "config.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clusterd/core/fence_run.h"
#include "clusterd/fence.h"

/* ---- levels --------------------------------------------------------------------------------------- */

/* Two supplies at level 1, the first tried twice; one switch at level 3. */
static const struct state_agent agents[] = {
	{ .level = 1, .name = "fence_a", .retries = 1 },
	{ .level = 1, .name = "fence_b" },
	{ .level = 3, .name = "fence_c" },
};

static struct fence_run run;
static struct fence_rules rules;

static enum fence_verdict ended(bool ok)
{
	return fence_run_ended(&run, agents, 3, ok, &rules, 1000);
}

static int begin(void **state)
{
	(void)state;
	run = (struct fence_run){ 0 };
	rules = (struct fence_rules){ .hands = 1 };
	fence_run_begin(&run, 500);
	return 0;
}

static void all_of_a_level(void **state)
{
	(void)state;
	assert_int_equal(run.at, 0);
	assert_int_equal(ended(true), FENCE_GO_ON);
	assert_int_equal(run.at, 1);
	assert_int_equal(ended(true), FENCE_PROVEN);
	assert_int_equal(run.phase, FENCE_ON);
	assert_int_equal(run.at, 0);
	assert_int_equal(ended(true), FENCE_GO_ON);
	assert_int_equal(ended(true), FENCE_OVER);
	assert_int_equal(run.phase, FENCE_DONE);
}

static void one_is_not_enough(void **state)
{
	(void)state;
	assert_int_equal(ended(true), FENCE_GO_ON);
	assert_int_equal(ended(false), FENCE_LEVEL_FAILED);
	assert_int_equal(run.at, 2);
	assert_int_equal(run.phase, FENCE_OFF);
	assert_int_equal(ended(true), FENCE_PROVEN);
	assert_int_equal(run.at, 2); /* on: by the level that switched it off, not by the first */
}

static void tries(void **state)
{
	(void)state;
	assert_int_equal(ended(false), FENCE_GO_ON);
	assert_int_equal(run.at, 0);
	assert_int_equal(ended(false), FENCE_LEVEL_FAILED);
	assert_int_equal(run.at, 2);
	assert_int_equal(ended(false), FENCE_LEVEL_FAILED);
	assert_int_equal(run.phase, FENCE_REST);
	assert_int_equal(run.rest_until_ms, 1000 + FENCE_REST_MS);
	/* The next rounds come later and later. */
	for (int i = 0; i < 10; i++) {
		fence_run_begin(&run, 0);
		assert_int_equal(run.at, 0);
		(void)ended(false);
		(void)ended(false);
		(void)ended(false);
	}
	assert_int_equal(run.rest_until_ms, 1000 + FENCE_REST_MAX_MS);
}

static void kept_off(void **state)
{
	(void)state;
	rules.keep_off = true;
	(void)ended(true);
	assert_int_equal(ended(true), FENCE_PROVEN);
	assert_int_equal(run.phase, FENCE_DONE);
}

/* The defect: the control of one_is_not_enough. */
static void one_is_enough(void **state)
{
	(void)state;
	rules.one = true;
	assert_int_equal(ended(true), FENCE_PROVEN);
}

/* All levels by one node, then all by the next one; after the last one a rest, and the leader begins anew. */
static void from_node_to_node(void **state)
{
	(void)state;
	rules.hands = 2;
	(void)ended(false);
	assert_int_equal(ended(false), FENCE_LEVEL_FAILED);
	assert_int_equal(run.turn, 0);
	assert_int_equal(ended(false), FENCE_LEVEL_FAILED);
	assert_int_equal(run.phase, FENCE_OFF);
	assert_int_equal(run.turn, 1);
	assert_int_equal(run.at, 0);
	(void)ended(false);
	assert_int_equal(ended(false), FENCE_LEVEL_FAILED);
	assert_int_equal(ended(false), FENCE_LEVEL_FAILED);
	assert_int_equal(run.phase, FENCE_REST);
	fence_run_begin(&run, 0);
	assert_int_equal(run.turn, 0);
}

/* On by the node that could switch it off; then by each other one; then it is given up, and said. */
static void on_from_node_to_node(void **state)
{
	(void)state;
	rules.hands = 3;
	(void)ended(false);
	(void)ended(false);
	(void)ended(false); /* the leader reaches nothing */
	(void)ended(false);
	(void)ended(false);
	assert_int_equal(ended(true), FENCE_PROVEN);
	assert_int_equal(run.turn, 1);
	assert_int_equal(ended(false), FENCE_GO_ON);
	assert_int_equal(run.turn, 2);
	assert_int_equal(ended(true), FENCE_OVER);
	assert_false(run.on_failed);

	fence_run_begin_on(&run, 2, 0); /* of an earlier leader */
	assert_int_equal(run.phase, FENCE_ON);
	assert_int_equal(ended(false), FENCE_GO_ON);
	assert_int_equal(ended(false), FENCE_GO_ON);
	assert_int_equal(ended(false), FENCE_OVER);
	assert_true(run.on_failed);
}

/* ---- what may be given to one ----------------------------------------------------------------------- */

static const char *refused(const char *name, const char *option)
{
	char *options[] = { (char *)(uintptr_t)option };

	return state_agent_refused(name, options, 1);
}

static void refusals(void **state)
{
	(void)state;
	assert_null(refused("fence_ipmilan", "ip=10.0.0.1"));
	assert_null(refused("fence_ipmilan", "password=a=b c"));
	assert_null(refused("fence_ipmilan", "lanplus="));
	assert_non_null(refused("fence_../../bin/sh", "ip=1"));
	assert_non_null(refused("/bin/sh", "ip=1"));
	assert_non_null(refused("reboot", "ip=1"));
	assert_non_null(refused("fence_a", "ip"));
	assert_non_null(refused("fence_a", "=1"));
	assert_non_null(refused("fence_a", "action=off"));
	assert_non_null(refused("fence_a", "ip=1\naction=off"));
	assert_true(state_agent_may_show("ip", 2));
	assert_false(state_agent_may_show("password", 8));
	assert_false(state_agent_may_show("snmp_priv_passwd", 16));
}

/* ---- running one -------------------------------------------------------------------------------------- */

static const char guard[] = "./clusterd-fence-guard";
static char directory[64];
static struct cl_loop *loop;
static struct fence_end got;

static int make(void **state)
{
	(void)state;
	(void)strcpy(directory, "/tmp/fence_test.XXXXXX");
	assert_non_null(mkdtemp(directory));
	return cl_loop_new(&loop);
}

static int unmake(void **state)
{
	char path[100];

	(void)state;
	cl_loop_free(loop);
	(void)snprintf(path, sizeof(path), "%s/fence_x", directory);
	(void)unlink(path);
	return rmdir(directory);
}

static void on_end(void *user, const struct fence_end *end)
{
	(void)user;
	got = *end;
	cl_loop_stop(loop);
}

static void write_agent(const char *script)
{
	char path[100];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/fence_x", directory);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fprintf(f, "#!/bin/sh\n%s\n", script);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0700), 0);
}

/* What a program of these lines comes to. */
static void agent(const char *script, const char *input, int64_t timeout_ms)
{
	struct cl_error err = CL_ERROR_INIT;
	struct fence_child *child;

	write_agent(script);
	if (fence_child_new(loop, guard, directory, "fence_x", input, timeout_ms, on_end, NULL,
			    &child, &err) < 0)
		fail_msg("%s", err.msg);
	cl_loop_run(loop);
}

static void it_reads_its_input(void **state)
{
	(void)state;
	agent("grep -qx action=off && exit 0; exit 1", "ip=1\naction=off\n", 10000);
	assert_int_equal(got.code, 0);
	agent("exit 2", "action=status\n", 10000);
	assert_int_equal(got.code, 2);
}

static void its_last_words(void **state)
{
	(void)state;
	agent("echo first; cat; echo 'login as s3cret on 10.0.0.1 failed' >&2; echo; exit 1",
	      "ip=10.0.0.1\npassword=s3cret\naction=off\n", 10000);
	assert_int_equal(got.code, 1);
	assert_string_equal(got.said, "login as *** on 10.0.0.1 failed");
	agent("exit 1", "action=off\n", 10000);
	assert_string_equal(got.said, "ended with status 1");
	agent("kill -KILL $$", "action=off\n", 10000);
	assert_int_equal(got.code, -1);
	agent("echo '2026-11-22 10:52:14,570 ERROR: Failed: 10 tries'; exit 1", "action=off\n", 10000);
	assert_string_equal(got.said, "ERROR: Failed: 10 tries");
	agent("echo '2026-11-22 10'; exit 1", "action=off\n", 10000);
	assert_string_equal(got.said, "2026-11-22 10");
}

static void much_is_said(void **state)
{
	(void)state;
	agent("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i + 1)); done; echo last; exit 1",
	      "action=off\n", 30000);
	assert_string_equal(got.said, "last");
}

static void it_hangs(void **state)
{
	(void)state;
	agent("sleep 60", "action=off\n", 1000);
	assert_int_equal(got.code, -1);
	assert_string_equal(got.said, "not finished after 1 s");
	assert_true(got.took_ms < 30000);
	agent("trap '' TERM; while :; do sleep 1; done", "action=off\n", 1000);
	assert_int_equal(got.code, -1);
}

static void it_is_not_there(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct fence_child *child;

	(void)state;
	assert_int_equal(fence_child_new(loop, guard, directory, "fence_none", "", 1000, on_end,
					 NULL, &child, &err),
			 -ENOENT);
	assert_non_null(strstr(err.msg, "fence_none"));
}

/*
 * A clusterd that runs an agent of two processes, in a process of its own. The two hold the writing end of what *ret_held
 * reads: at its end of file they are gone.
 */
static pid_t clusterd_begins(int *ret_held)
{
	char path[100], script[200], c;
	struct pollfd p = { .events = POLLIN };
	pid_t pid;

	(void)snprintf(path, sizeof(path), "%s/held", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	p.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(p.fd >= 0);
	(void)snprintf(script, sizeof(script), "exec >%s; sleep 100 & echo; wait", path);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		agent(script, "action=on\n", 60000);
		_exit(0);
	}
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(read(p.fd, &c, 1), 1);
	(void)unlink(path);
	*ret_held = p.fd;
	return pid;
}

static bool ends_within(int held, int ms)
{
	struct pollfd p = { .fd = held, .events = POLLIN };
	char c;

	return poll(&p, 1, ms) == 1 && read(held, &c, 1) == 0;
}

static void clusterd_is_gone(int signo)
{
	int held, status;
	pid_t pid = clusterd_begins(&held);

	/* As long as clusterd lives it may run. */
	assert_false(ends_within(held, FENCE_SILENCE_MS + 1000));
	assert_int_equal(kill(pid, signo), 0);
	assert_true(ends_within(held, FENCE_SILENCE_MS + 5000));
	(void)close(held);
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void clusterd_dies(void **state)
{
	(void)state;
	clusterd_is_gone(SIGKILL);
}

static void clusterd_stands_still(void **state)
{
	(void)state;
	clusterd_is_gone(SIGSTOP);
}

static void by_hand(void **state)
{
	(void)state;
	assert_int_equal(WEXITSTATUS(system("./clusterd-fence-guard /bin/true 3<&- 2>/dev/null")),
			 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(all_of_a_level, begin),
		cmocka_unit_test_setup(one_is_not_enough, begin),
		cmocka_unit_test_setup(one_is_enough, begin),
		cmocka_unit_test_setup(tries, begin),
		cmocka_unit_test_setup(kept_off, begin),
		cmocka_unit_test_setup(from_node_to_node, begin),
		cmocka_unit_test_setup(on_from_node_to_node, begin),
		cmocka_unit_test(refusals),
		cmocka_unit_test_setup_teardown(it_reads_its_input, make, unmake),
		cmocka_unit_test_setup_teardown(its_last_words, make, unmake),
		cmocka_unit_test_setup_teardown(much_is_said, make, unmake),
		cmocka_unit_test_setup_teardown(it_hangs, make, unmake),
		cmocka_unit_test_setup_teardown(it_is_not_there, make, unmake),
		cmocka_unit_test_setup_teardown(clusterd_dies, make, unmake),
		cmocka_unit_test_setup_teardown(clusterd_stands_still, make, unmake),
		cmocka_unit_test(by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
