/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lib/: errors, vectors, state machines, the loop. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/assert.h"
#include "lib/error.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/sm.h"
#include "lib/vec.h"

CL_DEFINE_VEC(int_vec, int);

static void test_error_wraps_and_maps(void **state)
{
	struct cl_error err = CL_ERROR_INIT;

	(void)state;
	assert_int_equal(cl_error_set(&err, -ENOENT, "no disk '%s'", "a.img"), -ENOENT);
	assert_int_equal(cl_error_wrap(&err, -ENOENT, "vm '%s'", "web"), -ENOENT);
	assert_string_equal(err.msg, "vm 'web': no disk 'a.img'");
	assert_int_equal(cl_error_exit_code(err.code), 3);
	assert_string_equal(cl_error_word(err.code), "not-found");
	assert_int_equal(cl_error_exit_code(-EIO), 1);
	assert_int_equal(cl_error_exit_code(-CL_EREFUSED), 4);
	assert_int_equal(cl_error_errno(&err, -EACCES, "open"), -EACCES);
	assert_string_equal(err.msg, "open: Permission denied");
	/* No error object wanted: the code still comes back. */
	assert_int_equal(cl_error_set(NULL, -EIO, "x"), -EIO);
}

static void test_error_never_overflows(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	char big[2000];

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	cl_error_set(&err, -EIO, "%s", big);
	cl_error_wrap(&err, -EIO, "%s", big);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

static void test_vec_grows_and_removes(void **state)
{
	struct int_vec v = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(int_vec_push(&v, i), 0);
	int_vec_remove(&v, 0);
	int_vec_remove(&v, v.n - 1);
	assert_int_equal(v.n, 998);
	for (int i = 0; i < 998; i++)
		assert_int_equal(v.v[i], i + 1);
	int_vec_fini(&v);
}

enum { ST_A, ST_B, ST_C };
static const struct sm_state st_states[] = {
	[ST_A] = { "a", SM_TO(ST_B), SM_INITIAL },
	[ST_B] = { "b", SM_TO(ST_A) | SM_TO(ST_C), 0 },
	[ST_C] = { "c", 0, SM_FINAL },
};

static void test_sm_knows_its_edges(void **state)
{
	struct sm sm;

	(void)state;
	sm_init(&sm, "test", "1", st_states, 3, ST_A, NULL);
	assert_true(sm_may(&sm, ST_B));
	assert_false(sm_may(&sm, ST_C));
	sm_move(&sm, ST_B, "go");
	sm_move(&sm, ST_C, "end");
	assert_string_equal(sm_name(&sm), "c");
	assert_false(sm_may(&sm, ST_A));
}

/* An edge that is not in the table stops the process, in every build. */
static void test_sm_illegal_edge_aborts(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		struct sm sm;

		(void)close(STDERR_FILENO);
		(void)signal(SIGABRT, SIG_DFL);
		sm_init(&sm, "test", "1", st_states, 3, ST_A, NULL);
		sm_move(&sm, ST_C, "jump");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

struct loop_seen {
	struct cl_loop *loop;
	struct cl_source *fd, *timer, *child;
	int bytes, fired, status;
};

static void loop_done(struct loop_seen *s)
{
	if (s->bytes && s->fired >= 2 && s->status >= 0)
		cl_loop_stop(s->loop);
}

static void on_readable(void *user, int fd, uint32_t revents)
{
	struct loop_seen *s = user;
	char c;

	assert_true(revents & POLLIN);
	s->bytes += (int)read(fd, &c, 1);
	cl_source_free(s->fd); /* from within its own callback */
	s->fd = NULL;
	loop_done(s);
}

static void on_time(void *user)
{
	struct loop_seen *s = user;

	if (s->fired++ == 0)
		assert_int_equal(cl_timer_set_in(s->timer, 1), 0);
	else
		loop_done(s);
}

static void on_child_end(void *user, int status)
{
	struct loop_seen *s = user;

	s->status = status;
	loop_done(s);
}

static void test_loop_fd_timer_child(void **state)
{
	struct loop_seen s = { .status = -1 };
	int p[2];
	pid_t pid;

	(void)state;
	assert_int_equal(cl_loop_new(&s.loop), 0);
	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		_exit(write(p[1], "x", 1) == 1 ? 7 : 1);
	}
	assert_int_equal(cl_fd_new(s.loop, p[0], POLLIN, on_readable, &s, &s.fd), 0);
	assert_int_equal(cl_timer_new(s.loop, on_time, &s, &s.timer), 0);
	assert_int_equal(cl_timer_set_in(s.timer, 1), 0);
	assert_int_equal(cl_child_new(s.loop, (int)syscall(SYS_pidfd_open, pid, 0), on_child_end,
				      &s, &s.child),
			 0);
	cl_loop_run(s.loop);
	assert_int_equal(s.bytes, 1);
	assert_true(s.fired >= 2);
	assert_int_equal(WEXITSTATUS(s.status), 7);
	cl_source_free(s.timer);
	cl_source_free(s.child);
	cl_loop_free(s.loop);
	(void)close(p[0]);
	(void)close(p[1]);
}

/* ---- log ---------------------------------------------------------------------------------- */

/* All that the journal has not read yet; the last line begins at *ret_last. */
static size_t journal_read(int fd, char *buf, size_t size, const char **ret_last)
{
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, buf + len, size - 1 - len, MSG_DONTWAIT)) > 0)
		len += (size_t)n;
	assert_true(len > 0);
	buf[len - 1] = '\0'; /* the last line's end */
	*ret_last = strrchr(buf, '\n');
	*ret_last = *ret_last ? *ret_last + 1 : buf;
	return len;
}

/* The journal reads nothing: the daemon goes on, and says later what is lost. Killed by the alarm if it waits. */
static void test_log_waits_for_no_journal(void **state)
{
	static char buf[4 * 1024 * 1024];
	int s[2], was = dup(STDERR_FILENO);
	const char *last;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	(void)alarm(60);
	(void)setenv("JOURNAL_STREAM", "1:1", 1);
	cl_log_init("test", CL_LOG_INFO);
	assert_true(dup2(s[0], STDERR_FILENO) >= 0);
	for (int i = 0; i < 20000; i++)
		log_info("line %d", i);
	(void)journal_read(s[1], buf, sizeof(buf), &last);
	assert_int_equal(strncmp(buf, "<6>line 0\n", 10), 0);
	assert_string_not_equal(last, "<6>line 19999");
	log_info("after it");
	(void)journal_read(s[1], buf, sizeof(buf), &last);
	(void)dup2(was, STDERR_FILENO);
	assert_int_equal(strncmp(buf, "<4>", 3), 0);
	assert_true(atoi(buf + 3) > 0);
	assert_non_null(strstr(buf, " lines of this log are lost: "));
	assert_string_equal(last, "<6>after it");
	(void)unsetenv("JOURNAL_STREAM");
	cl_log_init("test", CL_LOG_INFO);
	(void)alarm(0);
	(void)close(s[0]);
	(void)close(s[1]);
	(void)close(was);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_wraps_and_maps),
		cmocka_unit_test(test_error_never_overflows),
		cmocka_unit_test(test_vec_grows_and_removes),
		cmocka_unit_test(test_sm_knows_its_edges),
		cmocka_unit_test(test_sm_illegal_edge_aborts),
		cmocka_unit_test(test_loop_fd_timer_child),
		cmocka_unit_test(test_log_waits_for_no_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
