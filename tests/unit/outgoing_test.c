/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection that a migration's source is given: refused, made, taken back from blocking, cut. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "migration/outgoing.h"

struct heard {
	struct cl_loop *loop;
	int times, fd, code;
};

static void on_end(void *user, int fd, const struct cl_error *err)
{
	struct heard *h = user;

	h->times++;
	h->fd = fd;
	h->code = err ? err->code : 0;
	cl_loop_stop(h->loop);
}

/* A port of 127.0.0.1: somebody listens there, or (backlog < 0) nobody. */
static int port_of(int backlog, uint16_t *ret)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (void *)&at, len), 0);
	assert_int_equal(getsockname(fd, (void *)&at, &len), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	*ret = ntohs(at.sin_port);
	return fd;
}

static struct outgoing *begin(struct heard *h, uint16_t port)
{
	struct cl_error err = CL_ERROR_INIT;
	struct outgoing *out = NULL;

	assert_int_equal(cl_loop_new(&h->loop), 0);
	assert_int_equal(outgoing_open(h->loop, "127.0.0.1", port, 5000, on_end, h, &out, &err), 0);
	return out;
}

static void refused(void **state)
{
	struct heard h = { 0 };
	uint16_t port;
	int fd = port_of(-1, &port);
	struct outgoing *out = begin(&h, port);

	(void)state;
	cl_loop_run(h.loop);
	assert_int_equal(h.times, 1);
	assert_int_equal(h.fd, -1);
	assert_int_equal(h.code, -ECONNREFUSED);
	outgoing_free(out);
	cl_loop_free(h.loop);
	close(fd);
}

static void given_and_cut(void **state)
{
	struct heard h = { 0 };
	uint16_t port;
	int fd = port_of(1, &port), peer;
	struct outgoing *out = begin(&h, port);
	char byte;

	(void)state;
	cl_loop_run(h.loop);
	assert_int_equal(h.times, 1);
	assert_true(h.fd >= 0);
	peer = accept(fd, NULL, NULL);
	assert_true(peer >= 0);

	/* As QEMU does to what it is given. */
	assert_int_equal(fcntl(h.fd, F_SETFL, fcntl(h.fd, F_GETFL) & ~O_NONBLOCK), 0);
	outgoing_given(out);
	assert_true(fcntl(h.fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(recv(h.fd, &byte, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);

	outgoing_cut(out);
	assert_int_equal(recv(h.fd, &byte, 1, 0), 0);
	assert_int_equal(recv(peer, &byte, 1, 0), 0);
	assert_int_equal(send(h.fd, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(h.times, 1);
	outgoing_free(out);
	cl_loop_free(h.loop);
	close(peer);
	close(fd);
}

static void cut_before_it_stands(void **state)
{
	struct heard h = { 0 };
	uint16_t port;
	int fd = port_of(0, &port);
	struct outgoing *one = begin(&h, port), *out;
	struct heard h2 = { 0 };

	(void)state;
	/* A queue of one, which is full: the next connection gets no answer. */
	cl_loop_run(h.loop);
	out = begin(&h2, port);
	outgoing_cut(out);
	cl_loop_run(h2.loop);
	assert_int_equal(h2.times, 1);
	assert_int_equal(h2.fd, -1);
	assert_int_equal(h2.code, -ECANCELED);
	outgoing_free(out);
	outgoing_free(one);
	cl_loop_free(h.loop);
	cl_loop_free(h2.loop);
	close(fd);
}

static void no_address(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct outgoing *out = NULL;
	struct heard h = { 0 };

	(void)state;
	assert_int_equal(cl_loop_new(&h.loop), 0);
	assert_int_equal(outgoing_open(h.loop, "node2", 7420, 5000, on_end, &h, &out, &err),
			 -EINVAL);
	assert_null(out);
	cl_loop_free(h.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(given_and_cut),
		cmocka_unit_test(cut_before_it_stands),
		cmocka_unit_test(no_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
