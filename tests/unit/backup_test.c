/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The database at the beginning of a new line, and backups of it. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/backup.h"
#include "lib/crc32c.h"
#include "quorum/state_force.h"

static void node_add(struct state *s, uint32_t id, uint64_t incarnation)
{
	struct state_node n = {
		.id = id,
		.incarnation = incarnation,
		.phase = incarnation ? STATE_NODE_LIVING : STATE_NODE_KNOWN,
	};

	(void)snprintf(n.name, sizeof(n.name), "node%u", id);
	assert_int_equal(state_node_vec_push(&s->nodes, n), 0);
}

/* node1 runs vm1; vm2 is free; vol1 is coordinated by node2. */
static void make(struct state *s)
{
	struct state_volume v = { .name = "vol1", .epoch = 7, .coordinator = 2 };
	struct state_resource r = {
		.name = "vm1", .phase = STATE_ONLINE, .owner = 1, .generation = 4, .top = 5
	};

	state_init(s);
	node_add(s, 1, 3);
	node_add(s, 2, 2);
	node_add(s, 3, 0);
	assert_int_equal(state_volume_vec_push(&s->volumes, v), 0);
	assert_int_equal(state_resource_vec_push(&s->resources, r), 0);
	r = (struct state_resource){ .name = "vm2", .phase = STATE_WAITING, .wanted = true };
	assert_int_equal(state_resource_vec_push(&s->resources, r), 0);
}

static void test_a_new_line_believes_nothing(void **state)
{
	const struct state_resource *r;
	struct state s;

	(void)state;
	make(&s);
	assert_int_equal(state_force(&s, 1, STATE_LINE_JUMP, 99, "forced", 0), 0);
	for (size_t i = 0; i < s.nodes.n; i++)
		assert_int_equal(s.nodes.v[i].phase, STATE_NODE_FAILED);
	assert_int_equal(state_node(&s, 1)->incarnation, 3 + STATE_LINE_JUMP);
	assert_int_equal(state_node(&s, 3)->incarnation, STATE_LINE_JUMP);
	assert_int_equal(s.debts.n, 3); /* of each node, also of the one that never was admitted */
	assert_int_equal(s.debts.v[2].incarnation, STATE_LINE_JUMP);
	assert_int_equal(s.volumes.v[0].epoch, 7 + STATE_LINE_JUMP);
	assert_int_equal(s.volumes.v[0].coordinator, 0);
	r = state_resource(&s, "vm1");
	assert_int_equal(r->generation, 5 + STATE_LINE_JUMP);
	assert_int_equal(r->phase, STATE_DISPLACED);
	assert_int_not_equal(r->owner, 1); /* a lost node may have it: its silence is waited for */
	assert_int_equal(state_resource(&s, "vm2")->phase, STATE_DISPLACED);
	state_fini(&s);
}

/* Its copy ends before the log's word of the database that it has now: it is taken for that node. */
static void test_forced_while_coming_back(void **state)
{
	static const uint8_t old[16] = "old", now[16] = "now";
	const struct state_dedup d[] = { { .node = 1, .seq = 5 }, { .node = 2, .seq = 6 } };
	struct state s;

	(void)state;
	make(&s);
	memcpy(state_node(&s, 1)->uuid, old, sizeof(old));
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(state_dedup_vec_push(&s.dedup, d[i]), 0);
	state_force_self(&s, 1, old);
	assert_int_equal(s.dedup.n, 2); /* the same database: nothing is asked a second time */
	state_force_self(&s, 1, now);
	assert_memory_equal(state_node(&s, 1)->uuid, now, sizeof(now));
	assert_int_equal(s.dedup.n, 1);
	assert_int_equal(s.dedup.v[0].node, 2);
	state_force_self(&s, 9, now); /* nobody */
	state_fini(&s);
}

/* Nobody is left whom it could leave; another one's leave goes on, drained it stays. */
static void test_forced_while_leaving(void **state)
{
	struct state_node *n;
	struct state s;

	(void)state;
	make(&s);
	for (uint32_t id = 1; id <= 2; id++) {
		n = state_node(&s, id);
		n->leaving = n->draining = true;
	}
	n = state_node(&s, 1);
	state_force_self(&s, 1, n->uuid);
	assert_false(n->leaving || n->draining);
	assert_true(state_node(&s, 2)->leaving);
	n->draining = true;
	state_force_self(&s, 1, n->uuid);
	assert_true(n->draining);
	state_fini(&s);
}

static unsigned dropped;

static void each(void *user, const char *object, const char *text)
{
	assert_string_equal(object, user);
	assert_true(text[0]);
	dropped++;
}

static void test_what_was_dropped(void **state)
{
	struct state old, now;

	(void)state;
	make(&old);
	make(&now);
	state_dropped(&old, &now, each, NULL);
	assert_int_equal(dropped, 0);
	state_resource_vec_remove(&now.resources, 1);
	state_dropped(&old, &now, each, (void *)(uintptr_t) "vm2");
	assert_int_equal(dropped, 1);
	state_fini(&old);
	state_fini(&now);
}

/* ---- files ----------------------------------------------------------------------------------- */

static char path[64];

static int read_text(const char *text, struct backup *b, struct cl_error *err)
{
	FILE *f;

	(void)snprintf(path, sizeof(path), "/tmp/backup-test-%d", (int)getpid());
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	return backup_read(path, b, err);
}

static int teardown(void **state)
{
	(void)state;
	return path[0] ? unlink(path) : 0;
}

static void assert_refused(const char *text, int code, const char *words)
{
	struct cl_error err = CL_ERROR_INIT;
	struct backup b;

	assert_int_equal(read_text(text, &b, &err), code);
	if (!strstr(err.msg, words) || strchr(err.msg, '\n'))
		fail_msg("%s", err.msg);
}

static void test_backup_is_checked(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	const uint8_t bytes[] = { 0x0a, 0xff };
	struct backup b;
	char text[200];

	(void)state;
	(void)snprintf(text, sizeof(text),
		       "{\"backup\":{\"format\":1,\"line\":3,\"crc32c\":%u,\"state\":\"0aff\"}}",
		       cl_crc32c(0, bytes, sizeof(bytes)));
	assert_int_equal(read_text(text, &b, &err), 0);
	assert_int_equal(b.len, 2);
	assert_memory_equal(b.state, bytes, 2);
	assert_int_equal(b.line, 3);
	backup_fini(&b);
	*strstr(text, "0aff") = '1';
	assert_refused(text, -CL_ECORRUPT, "checksum");
	*strstr(text, "1aff") = 'g';
	assert_refused(text, -CL_ECORRUPT, "state");
	*strstr(text, "\"format\":1") = '\'';
	assert_refused(text, -CL_ECORRUPT, ":1:");
	assert_refused("{}", -CL_ECORRUPT, "no backup");
	assert_refused("", -CL_ECORRUPT, ":1:");
	assert_refused("[1]", -CL_ECORRUPT, "no backup");
	assert_refused("{\"backup\":{\"format\":2}}", -EPROTONOSUPPORT, "format 2");
	assert_refused("{\"backup\":{\"format\":1,\"line\":-1,\"state\":\"\"}}", -CL_ECORRUPT,
		       "state");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forced_while_coming_back),
		cmocka_unit_test(test_forced_while_leaving),
		cmocka_unit_test(test_a_new_line_believes_nothing),
		cmocka_unit_test(test_what_was_dropped),
		cmocka_unit_test(test_backup_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
