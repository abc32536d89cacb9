/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/le.h"
#include "proto/conn.h"
#include "proto/frame.h"

#define HELLO_SIZE (FRAME_HEADER_SIZE + FRAME_HELLO_BODY)

static const struct frame_hello hello_a = { FRAME_PROTOCOL('T', 'E', 'S', 'T'), 1, 3 };
static const struct frame_hello hello_b = { FRAME_PROTOCOL('T', 'E', 'S', 'T'), 2, 5 };

/* ---- reader --------------------------------------------------------------------------------- */

static void test_bytes_one_by_one(void **state)
{
	uint8_t raw[FRAME_HEADER_SIZE + 5];
	struct frame_reader rd = { 0 };
	struct frame f;

	(void)state;
	frame_put_header(raw, 2, 77, 5);
	memcpy(raw + FRAME_HEADER_SIZE, "hello", 5);
	for (size_t i = 0; i < sizeof(raw); i++) {
		assert_int_equal(frame_reader_next(&rd, &f, NULL), 0);
		assert_int_equal(frame_reader_feed(&rd, raw + i, 1), 0);
	}
	assert_int_equal(frame_reader_next(&rd, &f, NULL), 1);
	assert_int_equal(f.version, 2);
	assert_int_equal(f.type, 77);
	assert_int_equal(f.len, 5);
	assert_memory_equal(f.body, "hello", 5);
	assert_int_equal(frame_reader_next(&rd, &f, NULL), 0);
	frame_reader_fini(&rd);
}

static void test_golden_header(void **state)
{
	static const uint8_t want[FRAME_HEADER_SIZE] = { 'C', 'L', 'F', '1', 2,	   1,
							 4,   3,   8,	7,   0x06, 0 };
	uint8_t raw[FRAME_HEADER_SIZE];

	(void)state;
	frame_put_header(raw, 0x0102, 0x0304, 0x60708);
	assert_memory_equal(raw, want, sizeof(raw));
}

static void test_too_long_is_refused_and_stays_so(void **state)
{
	uint8_t raw[FRAME_HEADER_SIZE];
	struct frame_reader rd = { 0 };
	struct cl_error err = CL_ERROR_INIT;
	struct frame f;

	(void)state;
	frame_put_header(raw, 1, 16, 0);
	cl_put_le32(raw + 8, FRAME_BODY_MAX + 1);
	assert_int_equal(frame_reader_feed(&rd, raw, sizeof(raw)), 0);
	assert_int_equal(frame_reader_next(&rd, &f, &err), -CL_ECORRUPT);
	assert_non_null(strstr(err.msg, "1114113"));
	frame_put_header(raw, 1, 16, 0);
	assert_int_equal(frame_reader_feed(&rd, raw, sizeof(raw)), 0);
	assert_int_equal(frame_reader_next(&rd, &f, &err), -CL_ECORRUPT);
	frame_reader_fini(&rd);
}

static uint64_t rng = 0x9e3779b97f4a7c15;

static uint32_t random32(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16);
}

/* A stream of good frames with, sometimes, one flipped byte: the reader gives only frames that were
 * sent, in order, until the damage; it never reads outside (run under sanitizers) and never grows.
 */
static void random_stream(void)
{
	struct frame_reader rd = { 0 };
	static uint8_t raw[32 * 1024];
	size_t end = 0, pos = 0;
	unsigned seen = 0, sent = 0;
	bool damage = random32() % 2;
	struct frame f;
	int r = 0;

	while (end < sizeof(raw) - 3000) {
		uint32_t len = random32() % 2000;

		frame_put_header(raw + end, 1, (uint16_t)(16 + sent++), len);
		memset(raw + end + FRAME_HEADER_SIZE, (int)sent, len);
		end += FRAME_HEADER_SIZE + len;
	}
	if (damage)
		raw[random32() % end] ^= (uint8_t)(1 + random32() % 255);
	while (pos < end && r >= 0) {
		size_t n = 1 + random32() % 700;

		n = n > end - pos ? end - pos : n;
		assert_int_equal(frame_reader_feed(&rd, raw + pos, n), 0);
		pos += n;
		while ((r = frame_reader_next(&rd, &f, NULL)) > 0)
			seen++;
	}
	if (!damage)
		assert_int_equal(seen, sent);
	assert_true(rd.cap <= 2 * (FRAME_BODY_MAX + FRAME_HEADER_SIZE));
	frame_reader_fini(&rd);
}

static void random_garbage(void)
{
	struct frame_reader rd = { 0 };
	uint8_t raw[200];
	struct frame f;

	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)random32();
	if (random32() % 2)
		cl_put_le32(raw, FRAME_MAGIC);
	assert_int_equal(frame_reader_feed(&rd, raw, random32() % sizeof(raw)), 0);
	while (frame_reader_next(&rd, &f, NULL) > 0)
		assert_true(f.len <= sizeof(raw));
	frame_reader_fini(&rd);
}

static void test_random_input(void **state)
{
	(void)state;
	for (int i = 0; i < 2000; i++)
		random_stream();
	for (int i = 0; i < 20000; i++)
		random_garbage();
}

/* ---- hello ---------------------------------------------------------------------------------- */

static void test_negotiation(void **state)
{
	const struct frame_hello newer = { hello_a.protocol, 4, 9 };
	const struct frame_hello other = { FRAME_PROTOCOL('X', 'X', 'X', 'X'), 1, 3 };
	const struct frame_hello zero = { hello_a.protocol, 0, 0 };
	struct cl_error err = CL_ERROR_INIT;

	(void)state;
	assert_int_equal(frame_negotiate(&hello_a, &hello_b, &err), 3);
	assert_int_equal(frame_negotiate(&hello_b, &hello_a, &err), 3);
	assert_int_equal(frame_negotiate(&hello_a, &newer, &err), -EPROTONOSUPPORT);
	assert_int_equal(frame_negotiate(&newer, &hello_a, &err), -EPROTONOSUPPORT);
	assert_int_equal(frame_negotiate(&hello_a, &other, &err), -EPROTONOSUPPORT);
	assert_int_equal(frame_negotiate(&hello_a, &zero, &err), -EPROTONOSUPPORT);
}

/* ---- connection ------------------------------------------------------------------------------ */

struct peer {
	struct cl_loop *loop;
	struct frame_conn *conn;
	unsigned frames, version;
	size_t bytes;
	int closed; /* code */
	bool free_on_frame, stop_on_close;
};

static void on_ready(void *user, uint16_t version)
{
	struct peer *p = user;

	p->version = version;
}

static void on_frame(void *user, const struct frame *f)
{
	struct peer *p = user;

	p->frames++;
	p->bytes += f->len;
	if (p->free_on_frame) {
		frame_conn_free(p->conn);
		p->conn = NULL;
	}
}

static void on_closed(void *user, const struct cl_error *why)
{
	struct peer *p = user;

	p->closed = why->code;
	frame_conn_free(p->conn);
	p->conn = NULL;
	if (p->stop_on_close)
		cl_loop_stop(p->loop);
}

static const struct frame_conn_ops ops = { on_ready, on_frame, on_closed };

static void on_tick(void *user)
{
	cl_loop_stop(user);
}

static void run_for(struct cl_loop *loop, int ms)
{
	struct cl_source *timer;

	assert_int_equal(cl_timer_new(loop, on_tick, loop, &timer), 0);
	assert_int_equal(cl_timer_set_in(timer, ms), 0);
	cl_loop_run(loop);
	cl_source_free(timer);
}

struct pair {
	struct cl_loop *loop;
	struct peer a, b;
};

static void pair_open(struct pair *p, const struct frame_hello *hb)
{
	int fds[2];

	*p = (struct pair){ 0 };
	assert_int_equal(cl_loop_new(&p->loop), 0);
	p->a.loop = p->b.loop = p->loop;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(frame_conn_new(p->loop, fds[0], &hello_a, 0, &ops, &p->a, &p->a.conn), 0);
	assert_int_equal(frame_conn_new(p->loop, fds[1], hb, 0, &ops, &p->b, &p->b.conn), 0);
}

static void pair_close(struct pair *p)
{
	frame_conn_free(p->a.conn);
	frame_conn_free(p->b.conn);
	cl_loop_free(p->loop);
}

static void test_conn_carries_frames_both_ways(void **state)
{
	static const uint8_t big[FRAME_BODY_MAX];
	struct pair p;

	(void)state;
	pair_open(&p, &hello_b);
	assert_int_equal(frame_conn_send(p.a.conn, 16, "x", 1), -ENOTCONN);
	run_for(p.loop, 20);
	assert_int_equal(p.a.version, 3);
	assert_int_equal(p.b.version, 3);
	assert_int_equal(frame_conn_send(p.a.conn, 16, big, sizeof(big)), 0);
	assert_int_equal(frame_conn_send(p.a.conn, 17, NULL, 0), 0);
	assert_int_equal(frame_conn_send(p.b.conn, 18, "yz", 2), 0);
	run_for(p.loop, 300);
	assert_int_equal(p.b.frames, 2);
	assert_int_equal(p.b.bytes, sizeof(big));
	assert_int_equal(p.a.bytes, 2);
	pair_close(&p);
}

static void test_conn_may_be_freed_in_its_callback(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, &hello_b);
	p.b.free_on_frame = true;
	run_for(p.loop, 20);
	assert_int_equal(frame_conn_send(p.a.conn, 16, "1", 1), 0);
	assert_int_equal(frame_conn_send(p.a.conn, 16, "2", 1), 0);
	run_for(p.loop, 20);
	assert_int_equal(p.b.frames, 1);
	assert_int_equal(p.a.closed, -ECONNRESET);
	pair_close(&p);
}

static void test_conn_without_common_version_ends(void **state)
{
	const struct frame_hello future = { hello_a.protocol, 8, 9 };
	struct pair p;

	(void)state;
	pair_open(&p, &future);
	run_for(p.loop, 20);
	assert_true(p.a.closed == -EPROTONOSUPPORT || p.a.closed == -ECONNRESET);
	assert_true(p.b.closed == -EPROTONOSUPPORT || p.b.closed == -ECONNRESET);
	assert_int_equal(p.a.version, 0);
	pair_close(&p);
}

static void test_conn_queue_is_bounded(void **state)
{
	static const uint8_t big[FRAME_BODY_MAX];
	uint8_t raw[HELLO_SIZE];
	struct peer a = { .stop_on_close = true };
	struct cl_loop *loop;
	int fds[2], r = 0, n;

	(void)state;
	assert_int_equal(cl_loop_new(&loop), 0);
	a.loop = loop;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(frame_conn_new(loop, fds[0], &hello_a, 4 << 20, &ops, &a, &a.conn), 0);
	frame_put_hello(raw, &hello_b);
	assert_int_equal(write(fds[1], raw, sizeof(raw)), sizeof(raw));
	run_for(loop, 20);
	for (n = 0; n < 100 && r == 0; n++)
		r = frame_conn_send(a.conn, 16, big, sizeof(big));
	assert_int_equal(r, -ENOBUFS);
	assert_true(n < 8);
	assert_int_equal(a.closed, 0); /* not from within the call */
	cl_loop_run(loop);
	assert_int_equal(a.closed, -ENOBUFS);
	cl_loop_free(loop);
	(void)close(fds[1]);
}

static void test_conn_survives_garbage(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++) {
		struct peer a = { .stop_on_close = true };
		struct cl_loop *loop;
		uint8_t raw[HELLO_SIZE + 64];
		int fds[2];

		assert_int_equal(cl_loop_new(&loop), 0);
		a.loop = loop;
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		assert_int_equal(frame_conn_new(loop, fds[0], &hello_a, 0, &ops, &a, &a.conn), 0);
		for (size_t k = 0; k < sizeof(raw); k++)
			raw[k] = (uint8_t)random32();
		if (i % 2)
			frame_put_hello(raw, &hello_b);
		assert_int_equal(write(fds[1], raw, sizeof(raw)), sizeof(raw));
		(void)close(fds[1]);
		cl_loop_run(loop);
		assert_true(a.closed < 0);
		cl_loop_free(loop);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_one_by_one),
		cmocka_unit_test(test_golden_header),
		cmocka_unit_test(test_too_long_is_refused_and_stays_so),
		cmocka_unit_test(test_random_input),
		cmocka_unit_test(test_negotiation),
		cmocka_unit_test(test_conn_carries_frames_both_ways),
		cmocka_unit_test(test_conn_may_be_freed_in_its_callback),
		cmocka_unit_test(test_conn_without_common_version_ends),
		cmocka_unit_test(test_conn_queue_is_bounded),
		cmocka_unit_test(test_conn_survives_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
