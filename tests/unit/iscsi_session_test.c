/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session against servers that are none: nobody listens, silence, garbage, a hang-up. It must end as dead
 * in time, with a reason, and let no data out. What needs a target is in tests/drills/3x.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "iscsi/lun.h"
#include "lib/monotime.h"

static int64_t now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

static int listener(struct lun_url *url)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[80];

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	(void)snprintf(text, sizeof(text), "iscsi://127.0.0.1:%u/iqn.a:b/1", ntohs(a.sin_port));
	assert_int_equal(lun_url_parse(text, url, NULL), 0);
	return fd;
}

struct seen {
	unsigned dead, ready, changed;
	struct cl_error why;
};

static void on_state(void *user, struct lun_session *s, enum lun_session_state state,
		     const struct cl_error *why)
{
	struct seen *seen = user;

	(void)s;
	seen->dead += state == LUN_DEAD;
	seen->ready += state == LUN_READY;
	if (why)
		seen->why = *why;
}

static void on_changed(void *user, struct lun_session *s)
{
	(void)s;
	((struct seen *)user)->changed++;
}

static struct lun_session *session(const struct lun_url *url, struct seen *seen)
{
	const struct lun_session_config c = {
		.url = url,
		.initiator = "iqn.2026-01.org.clusterd:unit",
		.role = LUN_ROLE_DATA,
		.key = 5,
		.connect_ms = 400,
		.hooks = { .user = seen, .changed = on_changed, .state = on_state },
	};
	struct lun_session *s = NULL;

	assert_int_equal(lun_session_new(&c, &s, NULL), 0);
	return s;
}

/* Until dead; fails the test when that takes longer than the session promised. */
static void run_to_death(struct lun_session *s, const struct seen *seen)
{
	int64_t end = now_ms() + 3000;

	while (!seen->dead) {
		struct pollfd p = { .fd = lun_session_fd(s), .events = lun_session_events(s) };
		int64_t ms = lun_session_deadline_ms(s) - now_ms();
		int n = poll(&p, 1, ms < 0 ? 0 : ms > 50 ? 50 : (int)ms);

		assert_true(now_ms() < end);
		lun_session_service(s, n > 0 ? p.revents : 0);
	}
	assert_int_equal(seen->dead, 1);
	assert_int_equal(seen->ready, 0);
	assert_true(seen->why.msg[0]);
	assert_int_equal(lun_session_fd(s), -1);
	assert_true(lun_session_deadline_ms(s) == INT64_MAX);
}

static void no_done(struct lun_io *io, enum lun_result result)
{
	(void)io;
	(void)result;
	fail_msg("done of an I/O that was refused");
}

static enum lun_result try_write(struct lun_session *s)
{
	static uint8_t block[512];
	static const struct iovec iov = { block, sizeof(block) };
	static struct lun_io io;

	io = (struct lun_io){
		.dir = LUN_WRITE, .length = 512, .iov = &iov, .iovcnt = 1, .done = no_done
	};
	return lun_submit(lun_session_data(s), &io);
}

static void test_nobody_listens(void **state)
{
	struct seen seen = { 0 };
	struct lun_url url;
	int fd = listener(&url); /* bound, not listening: refused */
	struct lun_session *s = session(&url, &seen);
	struct cl_error err = CL_ERROR_INIT;

	(void)state;
	assert_int_equal(try_write(s), LUN_REFUSED);
	assert_int_equal(lun_session_go(s, &err), -EPERM);
	run_to_death(s, &seen);
	assert_int_equal(try_write(s), LUN_LOST);
	assert_int_equal(lun_session_go(s, &err), -EPERM);
	lun_session_free(s);
	close(fd);
}

static void test_silence(void **state)
{
	struct seen seen = { 0 };
	struct lun_url url;
	int fd = listener(&url);
	struct lun_session *s;
	int64_t from = now_ms();

	(void)state;
	assert_int_equal(listen(fd, 5), 0);
	s = session(&url, &seen);
	run_to_death(s, &seen);
	assert_true(now_ms() - from >= 390);
	assert_true(seen.changed > 0);
	lun_session_free(s);
	close(fd);
}

static void test_free_at_any_time(void **state)
{
	struct seen seen = { 0 };
	struct lun_url url;
	int fd = listener(&url);

	(void)state;
	assert_int_equal(listen(fd, 5), 0);
	lun_session_free(session(&url, &seen));
	assert_int_equal(seen.dead, 0); /* the hook is not called for one's own free */
	lun_session_free(NULL);
	close(fd);
}

/* Answers each connection with `len` bytes of noise, then hangs up. */
struct noise {
	int fd;
	size_t len;
	bool plausible; /* begins like a login response */
};

static void *make_noise(void *arg)
{
	struct noise *n = arg;
	int c = accept(n->fd, NULL, NULL);
	uint8_t buf[4096], in[512];

	(void)!read(c, in, sizeof(in));
	for (size_t i = 0; i < n->len; i++)
		buf[i] = (uint8_t)rand();
	if (n->plausible) {
		memset(buf, 0, 12);
		buf[0] = 0x23;
		buf[1] = 0x87;
		buf[7] = (uint8_t)rand(); /* data segment length */
		memset(buf + 36, 0, 12);  /* status 0: accepted, with text of noise */
	}
	(void)!send(c, buf, n->len, MSG_NOSIGNAL);
	close(c);
	return NULL;
}

static void noise_round(size_t len, bool plausible)
{
	struct seen seen = { 0 };
	struct lun_url url;
	struct noise n = { .fd = listener(&url), .len = len, .plausible = plausible };
	struct lun_session *s;
	pthread_t t;

	assert_int_equal(listen(n.fd, 5), 0);
	assert_int_equal(pthread_create(&t, NULL, make_noise, &n), 0);
	s = session(&url, &seen);
	run_to_death(s, &seen);
	lun_session_free(s);
	pthread_join(t, NULL);
	close(n.fd);
}

static void test_hangs_up(void **state)
{
	(void)state;
	noise_round(0, false);
}

static void test_garbage(void **state)
{
	(void)state;
	srand(3);
	for (int i = 0; i < 60; i++)
		noise_round((size_t)(48 + rand() % 4000), i & 1);
}

/* libiscsi's writev() to a dead target must not end the process. */
static void test_sigpipe(void **state)
{
	struct seen seen = { 0 };
	struct lun_url url;
	int fd = listener(&url);
	struct sigaction a;

	(void)state;
	assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	lun_session_free(session(&url, &seen));
	assert_int_equal(sigaction(SIGPIPE, NULL, &a), 0);
	assert_true(a.sa_handler == SIG_IGN);
	close(fd);
}

static void test_bad_config(void **state)
{
	struct lun_url url;
	int fd = listener(&url);
	struct lun_session_config c = { .url = &url, .initiator = "" };
	struct lun_session *s;
	char longname[400];
	struct cl_error err = CL_ERROR_INIT;

	(void)state;
	assert_int_equal(lun_session_new(&c, &s, &err), -EINVAL);
	memset(longname, 'a', sizeof(longname) - 1);
	longname[sizeof(longname) - 1] = '\0';
	c.initiator = longname;
	assert_int_equal(lun_session_new(&c, &s, &err), -EINVAL);
	c.initiator = "iqn.a:b";
	c.portal = 1;
	assert_int_equal(lun_session_new(&c, &s, &err), -EINVAL);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_listens),	 cmocka_unit_test(test_silence),
		cmocka_unit_test(test_free_at_any_time), cmocka_unit_test(test_hangs_up),
		cmocka_unit_test(test_sigpipe),		 cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_bad_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
