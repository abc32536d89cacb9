/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cluster's CA, TLS between two frame connections on one loop, tokens. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "clusterd/certs_watch.h"
#include "clusterd/token.h"
#include "lib/loop.h"
#include "lib/pki.h"
#include "lib/tls.h"
#include "proto/conn.h"

#define BIG 300000

struct ca {
	char *cert, *key;
};

struct end {
	struct cl_loop *loop;
	struct cl_tls *tls;
	struct frame_conn *conn;
	unsigned ready, frames;
	size_t got;
	char why[200];
	bool talks;
};

static int64_t today(void)
{
	return (int64_t)time(NULL);
}

static struct ca ca_new(int64_t now_s, unsigned days)
{
	struct ca ca;

	assert_int_equal(cl_pki_ca_new("lab", now_s, days, &ca.cert, &ca.key, NULL), 0);
	return ca;
}

static struct cl_tls_creds *creds(const struct ca *ca, const char *trust, const char *name,
				  const char *unit)
{
	struct cl_tls_creds *c;
	char *chain, *key;

	assert_int_equal(
		cl_pki_issue(ca->cert, ca->key, name, unit, today(), 30, &chain, &key, NULL), 0);
	assert_int_equal(cl_tls_creds_new(trust, chain, key, &c, NULL), 0);
	free(chain);
	free(key);
	return c;
}

static void ca_free(struct ca *ca)
{
	free(ca->cert);
	free(ca->key);
}

/* ---- two ends ------------------------------------------------------------------------------------ */

static void on_ready(void *user, uint16_t version)
{
	static uint8_t big[BIG];
	struct end *e = user;

	(void)version;
	e->ready++;
	memset(big, 7, sizeof(big));
	if (e->talks)
		assert_int_equal(frame_conn_send(e->conn, FRAME_TYPE_FIRST, big, sizeof(big)), 0);
}

static void on_frame(void *user, const struct frame *frame)
{
	struct end *e = user;

	e->frames++;
	e->got += frame->len;
	for (size_t i = 0; i < frame->len; i++)
		assert_int_equal(frame->body[i], 7);
	if (e->frames == 20)
		cl_loop_stop(e->loop);
	else
		assert_int_equal(
			frame_conn_send(e->conn, FRAME_TYPE_FIRST, frame->body, frame->len), 0);
}

static void on_closed(void *user, const struct cl_error *why)
{
	struct end *e = user;

	(void)snprintf(e->why, sizeof(e->why), "%.190s", why->msg);
	cl_loop_stop(e->loop);
}

static void on_late(void *user)
{
	cl_loop_stop(user);
}

static const struct frame_conn_ops ops = { on_ready, on_frame, on_closed };
static const struct frame_hello hello = { FRAME_PROTOCOL('T', 'E', 'S', 'T'), 1, 1 };

/* Until they have said enough, or one has given up. */
static void meet(struct cl_tls_config *client, struct cl_tls_config *server, struct end e[2])
{
	struct cl_tls_config *config[2] = { client, server };
	struct cl_source *timer;
	struct cl_loop *loop;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(cl_loop_new(&loop), 0);
	assert_int_equal(cl_timer_new(loop, on_late, loop, &timer), 0);
	(void)cl_timer_set_in(timer, 20000);
	for (int i = 0; i < 2; i++) {
		e[i] = (struct end){ .loop = loop, .talks = i == 0 };
		assert_int_equal(cl_tls_new(config[i], fd[i], &e[i].tls, NULL), 0);
		assert_int_equal(frame_conn_new_on(loop, fd[i], cl_tls_stream(e[i].tls), &hello, 0,
						   &ops, &e[i], &e[i].conn),
				 0);
	}
	cl_loop_run(loop);
	for (int i = 0; i < 2; i++)
		if (!e[i].why[0])
			e[i].tls = NULL; /* gone with the connection */
	for (int i = 0; i < 2; i++)
		frame_conn_free(e[i].conn);
	cl_source_free(timer);
	cl_loop_free(loop);
}

static void test_both_know(void **state)
{
	struct ca ca = ca_new(today(), 100);
	struct cl_tls_creds *a = creds(&ca, ca.cert, "node1", "node"),
			    *b = creds(&ca, ca.cert, "node2", "node");
	struct cl_tls_config client = { .creds = a, .unit = "node", .peer = "node2" },
			     server = { .creds = b, .server = true, .unit = "node" };
	struct end e[2];

	(void)state;
	meet(&client, &server, e);
	assert_string_equal(e[0].why, "");
	assert_string_equal(e[1].why, "");
	assert_int_equal(e[0].frames + e[1].frames, 39);
	assert_int_equal(e[0].got, e[0].frames * (size_t)BIG);
	cl_tls_creds_unref(a);
	cl_tls_creds_unref(b);
	ca_free(&ca);
}

/* Nothing is said to who is refused, and both end. */
static void refused(struct cl_tls_config *client, struct cl_tls_config *server, const char *word)
{
	struct end e[2];

	meet(client, server, e);
	assert_int_equal(e[0].frames + e[1].frames, 0);
	assert_int_equal(e[1].ready, 0);
	if (!strstr(e[0].why, word) && !strstr(e[1].why, word))
		fail_msg("'%s' and '%s' without '%s'", e[0].why, e[1].why, word);
}

static void test_refused(void **state)
{
	struct ca ca = ca_new(today(), 100), other = ca_new(today(), 100),
		  old = ca_new(today() - 400 * 86400, 100);
	struct cl_tls_creds *a = creds(&ca, ca.cert, "node1", "node"),
			    *b = creds(&ca, ca.cert, "node2", "node"),
			    *vm = creds(&ca, ca.cert, "node1", "vm"),
			    *stranger = creds(&other, ca.cert, "node1", "node"),
			    *late = creds(&old, old.cert, "node1", "node"), *none;
	struct cl_tls_config client = { .creds = a, .unit = "node", .peer = "node2" },
			     server = { .creds = b, .server = true, .unit = "node" };

	(void)state;
	assert_int_equal(cl_tls_creds_new(ca.cert, NULL, NULL, &none, NULL), 0);
	client.peer = "node3";
	refused(&client, &server, "'node2' that answers");
	client.peer = "node2";
	client.creds = vm;
	refused(&client, &server, "for 'vm'");
	client.creds = stranger;
	refused(&client, &server, "NOT trusted");
	client.creds = none;
	refused(&client, &server, "Certificate is required");
	client.creds = server.creds = late;
	client.peer = NULL;
	refused(&client, &server, "expired");
	cl_tls_creds_unref(a);
	cl_tls_creds_unref(b);
	cl_tls_creds_unref(vm);
	cl_tls_creds_unref(stranger);
	cl_tls_creds_unref(late);
	cl_tls_creds_unref(none);
	ca_free(&ca);
	ca_free(&other);
	ca_free(&old);
}

/* A joiner: nothing but the CA's fingerprint. And while a CA is replaced, each knows both. */
static void test_pinned_and_rotated(void **state)
{
	struct ca ca = ca_new(today(), 100), next = ca_new(today(), 100);
	struct cl_tls_creds *b = creds(&ca, ca.cert, "node2", "node"), *none, *old, *new;
	uint8_t fp[32], wrong[32] = { 1 };
	struct cl_tls_config client = { .unit = "node", .fingerprint = fp }, server = {
		.creds = b, .server = true, .anonymous = true, .unit = "node"
	};
	struct end e[2];
	char both[2 * CL_PKI_MAX];

	(void)state;
	assert_int_equal(cl_pki_fingerprint(ca.cert, fp, NULL), 0);
	assert_int_equal(cl_tls_creds_new(NULL, NULL, NULL, &none, NULL), 0);
	client.creds = none;
	meet(&client, &server, e);
	assert_string_equal(e[0].why, "");
	assert_int_equal(e[0].frames + e[1].frames, 39);
	client.fingerprint = wrong;
	refused(&client, &server, "another cluster");
	(void)snprintf(both, sizeof(both), "%s%s", next.cert, ca.cert);
	old = creds(&ca, both, "node1", "node");
	new = creds(&next, both, "node2", "node");
	client = (struct cl_tls_config){ .creds = old, .unit = "node", .peer = "node2" };
	server = (struct cl_tls_config){ .creds = new, .server = true, .unit = "node" };
	meet(&client, &server, e);
	assert_string_equal(e[0].why, "");
	assert_int_equal(e[0].frames + e[1].frames, 39);
	cl_tls_creds_unref(b);
	cl_tls_creds_unref(none);
	cl_tls_creds_unref(old);
	cl_tls_creds_unref(new);
	ca_free(&ca);
	ca_free(&next);
}

/* ---- tokens ---------------------------------------------------------------------------------------- */

static void test_token_text(void **state)
{
	struct token t = { .address = "10.0.0.1", .port = 7412 }, got;
	char text[TOKEN_TEXT_MAX];

	(void)state;
	memset(t.secret, 0xa5, sizeof(t.secret));
	memset(t.fingerprint, 0x3c, sizeof(t.fingerprint));
	assert_int_equal(token_print(&t, text), 0);
	assert_int_equal(token_parse(text, &got, NULL), 0);
	assert_memory_equal(&t, &got, sizeof(t));
	for (size_t i = 0; text[i]; i++) { /* a letter lost, a letter wrong */
		char broken[TOKEN_TEXT_MAX];

		(void)snprintf(broken, sizeof(broken), "%.*s%s", (int)i, text, text + i + 1);
		assert_int_equal(token_parse(broken, &got, NULL), -EINVAL);
		(void)strcpy(broken, text);
		broken[i] = broken[i] == 'A' ? 'B' : 'A';
		assert_int_equal(token_parse(broken, &got, NULL), -EINVAL);
	}
	assert_int_equal(token_parse("", &got, NULL), -EINVAL);
}

static void test_token_once(void **state)
{
	char dir[] = "/tmp/tls_test.XXXXXX", path[64];
	uint8_t a[TOKEN_SECRET] = { 1 }, b[TOKEN_SECRET] = { 2 };

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(tokens_use(dir, a, sizeof(a), 100, NULL), -CL_EREFUSED);
	assert_int_equal(tokens_add(dir, a, 100, 200, NULL), 0);
	assert_int_equal(tokens_add(dir, b, 100, 150, NULL), 0);
	assert_int_equal(tokens_count(dir, 100), 2);
	assert_int_equal(tokens_use(dir, a, 5, 120, NULL), -CL_EREFUSED);
	assert_int_equal(tokens_use(dir, b, sizeof(b), 150, NULL), -CL_EREFUSED); /* too late */
	assert_int_equal(tokens_use(dir, a, sizeof(a), 150, NULL), 0);
	assert_int_equal(tokens_use(dir, a, sizeof(a), 150, NULL), -CL_EREFUSED); /* again */
	(void)snprintf(path, sizeof(path), "%s/tokens", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* ---- the watch over their ends ---------------------------------------------------------------- */

static const char *watch(const struct certs_ends *ends, int64_t now_s)
{
	static char text[160];

	certs_watch(ends, now_s, text, sizeof(text));
	return text;
}

/* By a CA that is really made, at a clock of ours, a second before and after each bound. */
static void test_watch_of_the_ca(void **state)
{
	const int64_t now_s = 1900000000, day = 86400;
	_cleanup_free_ char *ca = NULL, *key = NULL;
	struct certs_ends ends = { 0 };
	int64_t end_s;

	(void)state;
	assert_non_null(strstr(watch(&ends, now_s), "not encrypted"));
	assert_int_equal(cl_pki_ca_new("a", now_s, 3650, &ca, &key, NULL), 0);
	assert_int_equal(cl_pki_expires(ca, &end_s, NULL), 0);
	assert_int_equal(end_s, now_s + 3650 * day);
	ends = (struct certs_ends){ true, end_s, end_s + 365 * day };
	assert_string_equal(watch(&ends, now_s), "");
	assert_string_equal(watch(&ends, end_s - 90 * day), "");
	assert_string_equal(watch(&ends, end_s - 90 * day + 1),
			    "the cluster's CA expires in 89 days: clusterctl rotate certificates");
	assert_non_null(strstr(watch(&ends, end_s - 1), "expires in 0 days"));
	assert_string_equal(watch(&ends, end_s),
			    "the cluster's CA has expired: clusterctl rotate certificates");
	assert_non_null(strstr(watch(&ends, end_s + 1000 * day), "has expired"));
}

static void test_watch_of_the_node(void **state)
{
	const int64_t now_s = 1900000000, day = 86400;
	struct certs_ends ends = { true, now_s + 3000 * day, now_s + 365 * day };
	const struct certs_ends none = { 0 };

	(void)state;
	assert_true(certs_due(&none, now_s));
	assert_false(certs_due(&ends, now_s));
	assert_false(certs_due(&ends, ends.node_s - 120 * day - 1));
	assert_true(certs_due(&ends, ends.node_s - 120 * day));
	/* Renewed a month before anybody is told: who is told has to look why it was not. */
	assert_string_equal(watch(&ends, ends.node_s - 90 * day), "");
	assert_non_null(strstr(watch(&ends, ends.node_s - 90 * day + 1),
			       "expires in 89 days and was not renewed"));
	assert_non_null(strstr(watch(&ends, ends.node_s), "this node's certificate has expired"));
	/* Both: one rotation helps against both. */
	ends.ca_s = ends.node_s;
	assert_non_null(strstr(watch(&ends, ends.node_s - day), "CA expires in 1 days"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_know),	   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_pinned_and_rotated), cmocka_unit_test(test_token_text),
		cmocka_unit_test(test_token_once),	   cmocka_unit_test(test_watch_of_the_ca),
		cmocka_unit_test(test_watch_of_the_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
