/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP: what a QEMU says, what a hostile one could say, and a client against a scripted one. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "migration/qmp.h"
#include "migration/qmp_stream.h"

/* ---- the stream ----------------------------------------------------------------------------- */

static void put(struct qmp_stream *s, const char *data, size_t n)
{
	char *at;

	assert_int_equal(qmp_stream_reserve(s, n, &at), 0);
	memcpy(at, data, n);
	qmp_stream_commit(s, n);
}

static void test_messages(void **state)
{
	static const char text[] =
		"{\"QMP\": {\"version\": {}}}\r\n"
		"\r\n"
		"{\"return\": {\"status\": \"running\"}, \"id\": 7}\n"
		"{\"id\": 8, \"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n"
		"{\"timestamp\": {\"seconds\": 5, \"microseconds\": 6}, \"event\": \"STOP\"}\n";
	static const enum qmp_msg_kind kinds[] = { QMP_GREETING, QMP_RETURN, QMP_ERROR, QMP_EVENT };

	(void)state;
	/* However the bytes are cut. */
	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		struct qmp_stream s = { 0 };
		size_t seen = 0;

		for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
			size_t n = sizeof(text) - 1 - at < piece ? sizeof(text) - 1 - at : piece;
			struct qmp_msg msg;

			put(&s, text + at, n);
			while (qmp_stream_next(&s, &msg, NULL) == 1) {
				assert_int_equal(msg.kind, kinds[seen]);
				if (seen == 1)
					assert_int_equal(msg.id, 7);
				if (seen == 2)
					assert_string_equal(msg.desc, "no");
				if (seen == 3)
					assert_int_equal(msg.time_us, 5000006);
				qmp_msg_fini(&msg);
				seen++;
			}
		}
		assert_int_equal(seen, 4);
		qmp_stream_fini(&s);
	}
}

static void test_hostile_lines(void **state)
{
	static const char *const lines[] = {
		"[]",
		"1",
		"{}",
		"{",
		"\"x\"",
		"{\"event\": 5}",
		"{\"event\": \"X\", \"data\": []}",
		"{\"error\": 1}",
		"{\"error\": {}}",
		"{\"error\": {\"desc\": 1}}",
		"{\"return\": {}, \"id\": -1}",
		"{\"return\": {}, \"id\": \"1\"}",
		"{\"return\": {}, \"id\": 99999999999999999999}",
		"{\"return\": 1, \"return\": 2}",
		"\xff\xfe",
		"{\"return\": \"\\ud800\"}",
		"{\"return\": 1e999}",
		"nonsense",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct qmp_stream s = { 0 };
		struct cl_error err = CL_ERROR_INIT;
		struct qmp_msg msg;

		put(&s, lines[i], strlen(lines[i]));
		put(&s, "\n", 1);
		assert_true(qmp_stream_next(&s, &msg, &err) < 0);
		assert_true(err.msg[0] != '\0');
		qmp_stream_fini(&s);
	}
}

static void test_hostile_sizes(void **state)
{
	struct qmp_stream s = { 0 };
	struct qmp_msg msg;
	char *big = malloc(1 << 20);

	(void)state;
	/* Nested deeper than any stack. */
	memset(big, '[', 1 << 20);
	put(&s, "{\"return\": ", 11);
	put(&s, big, 1 << 20);
	put(&s, "\n", 1);
	assert_true(qmp_stream_next(&s, &msg, NULL) < 0);
	qmp_stream_fini(&s);
	/* A line without end is cut off, not swallowed for ever. */
	for (int i = 0, r = 0; r == 0; i++) {
		assert_true(i < 6);
		put(&s, big, 1 << 20);
		r = qmp_stream_next(&s, &msg, NULL);
	}
	qmp_stream_fini(&s);
	/* A NUL in the middle. */
	put(&s, "{\"event\": \"A\0B\"}\n", 18);
	assert_true(qmp_stream_next(&s, &msg, NULL) < 0);
	qmp_stream_fini(&s);
	/* A clock that would overflow. */
	put(&s,
	    "{\"event\": \"A\", \"timestamp\": {\"seconds\": 9223372036854775807, "
	    "\"microseconds\": 1}}\n",
	    81);
	assert_int_equal(qmp_stream_next(&s, &msg, NULL), 1);
	assert_int_equal(msg.time_us, 0);
	qmp_msg_fini(&msg);
	qmp_stream_fini(&s);
	free(big);
}

/* Valid lines with bytes changed at random: an answer or an error, never a crash. */
static void test_mutated(void **state)
{
	static const char line[] =
		"{\"timestamp\": {\"seconds\": 5, \"microseconds\": 6}, \"event\": "
		"\"MIGRATION\", \"data\": {\"status\": \"active\"}, \"id\": 3}\n";
	uint32_t x = 1;

	(void)state;
	for (int round = 0; round < 30000; round++) {
		struct qmp_stream s = { 0 };
		struct qmp_msg msg;
		char copy[sizeof(line)];

		memcpy(copy, line, sizeof(line));
		for (int k = 0; k < 3; k++) {
			x = x * 1664525 + 1013904223;
			copy[(x >> 8) % (sizeof(line) - 2)] = (char)(x >> 20);
		}
		put(&s, copy, sizeof(line) - 1);
		while (qmp_stream_next(&s, &msg, NULL) == 1)
			qmp_msg_fini(&msg);
		qmp_stream_fini(&s);
	}
}

/* ---- the client ----------------------------------------------------------------------------- */

struct peer {
	struct cl_loop *loop;
	struct qmp *qmp;
	int listener, fd;
	char path[108];
	int ready, events, closed, replies, errors, code;
	bool free_in_event;
};

static void peer_say(struct peer *p, const char *text)
{
	assert_int_equal(write(p->fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void on_ready(void *user)
{
	struct peer *p = user;

	p->ready++;
	cl_loop_stop(p->loop);
}

static void on_event(void *user, const char *name, const json_t *data, int64_t time_us)
{
	struct peer *p = user;

	(void)name;
	(void)data;
	(void)time_us;
	p->events++;
	if (p->free_in_event) {
		qmp_free(p->qmp);
		p->qmp = NULL;
	}
	cl_loop_stop(p->loop);
}

static void on_closed(void *user, const struct cl_error *why)
{
	struct peer *p = user;

	assert_true(why->code < 0);
	p->closed++;
	cl_loop_stop(p->loop);
}

static void on_reply(void *user, const json_t *result, const struct cl_error *err)
{
	struct peer *p = user;

	assert_true(!result != !err);
	p->replies++;
	p->errors += err != NULL;
	p->code = err ? err->code : 0;
	cl_loop_stop(p->loop);
}

static const struct qmp_ops ops = { on_ready, on_event, on_closed };

/* Connected and ready; id 1 was the handshake's. */
static void begin(struct peer *p)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct cl_error err = CL_ERROR_INIT;

	*p = (struct peer){ .fd = -1 };
	snprintf(p->path, sizeof(p->path), "qmp_test.%d.sock", (int)getpid());
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", p->path);
	(void)unlink(p->path);
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(p->listener, 1), 0);
	assert_int_equal(cl_loop_new(&p->loop), 0);
	assert_int_equal(qmp_open(p->loop, p->path, &ops, p, &p->qmp, &err), 0);
	p->fd = accept(p->listener, NULL, NULL);
	assert_int_equal(qmp_exec(p->qmp, "stop", NULL, 1000, on_reply, p), -ENOTCONN);
	peer_say(p, "{\"QMP\": {}}\n{\"return\": {}, \"id\": 1}\n");
	cl_loop_run(p->loop);
	assert_int_equal(p->ready, 1);
}

static void end(struct peer *p)
{
	qmp_free(p->qmp);
	cl_loop_free(p->loop);
	close(p->fd);
	close(p->listener);
	(void)unlink(p->path);
}

static void test_client_answers_and_events(void **state)
{
	struct peer p;

	(void)state;
	begin(&p);
	assert_int_equal(qmp_exec(p.qmp, "a", json_pack("{s:i}", "x", 1), 5000, on_reply, &p), 0);
	assert_int_equal(qmp_exec(p.qmp, "b", NULL, 5000, on_reply, &p), 0);
	peer_say(&p, "{\"id\": 3, \"error\": {\"class\": \"x\", \"desc\": \"no\"}}\n{\"event\": "
		     "\"STOP\"}\n{\"return\": {}, \"id\": 2}\n");
	while (p.replies < 2 || p.events < 1)
		cl_loop_run(p.loop);
	assert_int_equal(p.errors, 1);
	end(&p);
}

static void test_client_deadline_and_late_answer(void **state)
{
	struct peer p;

	(void)state;
	begin(&p);
	assert_int_equal(qmp_exec(p.qmp, "a", NULL, 20, on_reply, &p), 0);
	cl_loop_run(p.loop);
	assert_int_equal(p.code, -ETIMEDOUT);
	peer_say(&p, "{\"return\": {}, \"id\": 2}\n{\"event\": \"STOP\"}\n");
	cl_loop_run(p.loop);
	assert_int_equal(p.replies, 1); /* too late: nobody is called twice */
	assert_int_equal(p.events, 1);
	end(&p);
}

static void test_client_end_answers_everybody(void **state)
{
	struct peer p;

	(void)state;
	begin(&p);
	for (int i = 0; i < 3; i++)
		assert_int_equal(qmp_exec(p.qmp, "a", NULL, 5000, on_reply, &p), 0);
	close(p.fd);
	p.fd = -1;
	while (!p.closed)
		cl_loop_run(p.loop);
	assert_int_equal(p.replies, 3);
	assert_int_equal(p.code, -ECONNRESET);
	assert_int_equal(qmp_exec(p.qmp, "a", NULL, 5000, on_reply, &p), -ENOTCONN);
	end(&p);
}

static void test_client_hangs_up_on_nonsense(void **state)
{
	static const char *const says[] = { "{\"QMP\": {}}\n", "{\"return\": {}, \"id\": 99}\n",
					    "hello\n", "{\"return\": {}}\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(says) / sizeof(*says); i++) {
		struct peer p;

		begin(&p);
		peer_say(&p, says[i]);
		cl_loop_run(p.loop);
		assert_int_equal(p.closed, 1);
		end(&p);
	}
}

static void test_client_freed_from_within(void **state)
{
	struct peer p;

	(void)state;
	begin(&p);
	p.free_in_event = true;
	peer_say(&p, "{\"event\": \"A\"}\n{\"event\": \"B\"}\n{\"event\": \"C\"}\n");
	cl_loop_run(p.loop);
	assert_int_equal(p.events, 1);
	end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_hostile_lines),
		cmocka_unit_test(test_hostile_sizes),
		cmocka_unit_test(test_mutated),
		cmocka_unit_test(test_client_answers_and_events),
		cmocka_unit_test(test_client_deadline_and_late_answer),
		cmocka_unit_test(test_client_end_answers_everybody),
		cmocka_unit_test(test_client_hangs_up_on_nonsense),
		cmocka_unit_test(test_client_freed_from_within),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
