/* SPDX-License-Identifier: GPL-2.0-or-later */
/* start-after, and what the storage heartbeats of a failed node free; two versions in one cluster. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/heartbeat.h"
#include "proto/log.pb-c.h"
#include "quorum/command.h"
#include "quorum/state.h"
#include "quorum/state_force.h"
#include "quorum/state_schema.h"
#include "tests/unit/state_rig.h"

#define S(s) COMMAND_STRING(s)

static void create(const char *name, const char *on, enum state_start_after when)
{
	char *volumes[] = { S(on) };
	COMMAND(RESOURCE_CREATE, ResourceCreate, resource_create);

	m.name = S(name);
	m.type = S("vm");
	m.n_volumes = on != NULL;
	m.volumes = volumes;
	m.wanted = true;
	m.start_after = when;
	assert_int_equal(rig_apply(&c).code, 0);
}

/* Online on node 1. on: its volume, or NULL for a local disk. */
static void vm(const char *name, const char *on, enum state_start_after when)
{
	create(name, on, when);
	OK(rig_place(name, 1));
	OK(rig_started(name));
}

static void node_fails(void)
{
	COMMAND(NODE_FAILED, NodeFailed, node_failed);

	m.node = 1;
	m.incarnation = 1;
	m.cause = S("left the ring");
	assert_int_equal(rig_apply(&c).code, 0);
}

static int silent(bool storage)
{
	COMMAND(NODE_SILENT, NodeSilent, node_silent);

	m.node = 1;
	m.incarnation = 1;
	m.storage = storage;
	m.cause = S("");
	return rig_apply(&c).code;
}

static int raise_schema(uint32_t to)
{
	COMMAND(SCHEMA_RAISE, SchemaRaise, schema_raise);

	m.schema = to;
	return rig_apply(&c).code;
}

static bool displaced(const char *name)
{
	return state_resource(&s, name)->phase == STATE_DISPLACED;
}

/* Three nodes, two volumes; on node 1 a VM of each kind. */
static int setup(void **state)
{
	(void)state;
	state_init(&s);
	s.schema = STATE_SCHEMA;
	OK(rig_add(1, "node1"));
	OK(rig_add(2, "node2"));
	OK(rig_add(3, "node3"));
	OK(rig_admit(1));
	OK(rig_admit(2));
	OK(rig_admit(3));
	OK(rig_volume("vol1"));
	OK(rig_assign("vol1", 2));
	OK(rig_volume("vol2"));
	OK(rig_assign("vol2", 2));
	vm("auto", "vol1", STATE_AFTER_AUTO);
	vm("fence", "vol1", STATE_AFTER_FENCE);
	vm("lease", "vol1", STATE_AFTER_LEASE);
	vm("local", NULL, STATE_AFTER_AUTO);
	vm("hasty", NULL, STATE_AFTER_FENCE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	state_fini(&s);
	return 0;
}

static void test_each_waits_for_its_own(void **state)
{
	(void)state;
	node_fails();
	assert_true(displaced("auto") && displaced("fence") && displaced("lease"));
	assert_int_equal(rig_paid("vol1", 1, 1, HEARTBEAT_SILENT), 0);
	assert_false(displaced("fence")); /* its own volume is fenced */
	assert_int_equal(silent(true), -CL_EMOVED);
	assert_int_equal(rig_paid("vol2", 1, 1, HEARTBEAT_SILENT), 0);
	assert_true(displaced("auto")); /* whether a majority acked its beats is for the manager */
	assert_int_equal(silent(true), 0);
	assert_false(displaced("auto"));
	assert_true(displaced("lease"));
	/* No fence and no heartbeat stands for what has no shared disk. */
	assert_true(displaced("local") && displaced("hasty"));
	assert_int_equal(silent(false), 0);
	assert_false(displaced("lease") || displaced("local") || displaced("hasty"));
}

static void test_silent_on_all_or_not_at_all(void **state)
{
	(void)state;
	node_fails();
	assert_int_equal(rig_paid("vol1", 1, 1, HEARTBEAT_SILENT), 0);
	assert_int_equal(rig_paid("vol2", 1, 1, HEARTBEAT_UNKNOWN), 0);
	assert_int_equal(silent(true), -CL_EMOVED);
}

static void test_a_volume_that_it_never_wrote_on(void **state)
{
	(void)state;
	node_fails();
	assert_int_equal(rig_paid("vol1", 1, 1, HEARTBEAT_ABSENT), 0);
	assert_int_equal(rig_paid("vol2", 1, 1, HEARTBEAT_SILENT), 0);
	assert_int_equal(silent(true), 0);
}

static void test_absence_alone_proves_nothing(void **state)
{
	(void)state;
	node_fails();
	assert_int_equal(rig_paid("vol1", 1, 1, HEARTBEAT_ABSENT), 0);
	assert_int_equal(rig_paid("vol2", 1, 1, HEARTBEAT_ABSENT), 0);
	assert_int_equal(silent(true), -CL_EMOVED);
}

/* Somebody's word about another incarnation. */
static void test_another_life(void **state)
{
	(void)state;
	node_fails();
	assert_int_equal(rig_paid("vol1", 1, 2, HEARTBEAT_SILENT), 0);
	assert_int_equal(rig_paid("vol2", 1, 1, HEARTBEAT_SILENT), 0);
	assert_int_equal(silent(true), -CL_EMOVED);
}

static void test_a_new_failure_is_judged_anew(void **state)
{
	(void)state;
	node_fails();
	assert_int_equal(rig_paid("vol1", 1, 1, HEARTBEAT_SILENT), 0);
	assert_int_equal(rig_paid("vol2", 1, 1, HEARTBEAT_SILENT), 0);
	assert_int_equal(silent(true), 0);
	assert_int_equal(silent(true), -CL_EMOVED);
	OK(rig_admit(1));
	assert_int_equal(state_node(&s, 1)->quiet, 1); /* says nothing of incarnation 2 */
	{
		COMMAND(NODE_FAILED, NodeFailed, node_failed);
		m.node = 1;
		m.incarnation = 2;
		m.cause = S("");
		assert_int_equal(rig_apply(&c).code, 0);
	}
	assert_int_equal(state_node(&s, 1)->heard_silent, 0);
}

/* While somebody does not know the words, they change nothing; and later they do not speak for all debts. */
static void test_an_older_schema(void **state)
{
	(void)state;
	s.schema = 2;
	node_fails();
	assert_int_equal(rig_paid("vol1", 1, 1, HEARTBEAT_UNKNOWN), 0);
	assert_false(state_node(&s, 1)->heard_moving);
	assert_int_equal(raise_schema(3), 0);
	assert_int_equal(rig_paid("vol2", 1, 1, HEARTBEAT_SILENT), 0);
	assert_int_equal(silent(true), -CL_EMOVED);
	assert_int_equal(silent(false), 0);
}

static void test_a_new_field_is_a_new_command(void **state)
{
	COMMAND(NODE_SILENT, NodeSilent, node_silent);

	(void)state;
	assert_int_equal(schema_of(&c), 1);
	m.storage = true;
	assert_int_equal(schema_of(&c), SCHEMA_HEARTBEAT);
	s.knows = 2;
	node_fails();
	assert_int_equal(silent(true), -EINVAL);
}

/* Nobody can ask those outside of the new line whose beats they ack. */
static void test_a_new_line(void **state)
{
	uint64_t i;

	(void)state;
	node_fails();
	assert_int_equal(rig_paid("vol1", 1, 1, HEARTBEAT_SILENT), 0);
	assert_int_equal(rig_paid("vol2", 1, 1, HEARTBEAT_SILENT), 0);
	assert_int_equal(state_force(&s, 2, 1 << 20, 0, "left behind", 0), 0);
	OK(rig_admit(2));
	OK(rig_assign("vol1", 2));
	OK(rig_assign("vol2", 2));
	i = state_node(&s, 1)->incarnation;
	assert_int_equal(rig_paid("vol1", 1, i, HEARTBEAT_ABSENT), 0);
	assert_int_equal(rig_paid("vol2", 1, i, HEARTBEAT_ABSENT), 0);
	assert_false(state_storage_silent(&s, state_node(&s, 1), 0));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void set(const char *name, uint32_t when, int code)
{
	COMMAND(RESOURCE_SET, ResourceSet, resource_set);

	m.name = S(name);
	m.start_after = when;
	assert_int_equal(rig_apply(&c).code, code);
}

/* It counts at once: what waited for the lease is free by the debts that are paid. */
static void test_changed_while_it_waits(void **state)
{
	(void)state;
	vm("web", "vol1", STATE_AFTER_LEASE);
	node_fails();
	assert_int_equal(rig_paid("vol1", 1, 1, HEARTBEAT_UNKNOWN), 0);
	(void)rig_paid("vol2", 1, 1, HEARTBEAT_UNKNOWN);
	assert_int_equal(state_resource(&s, "web")->phase, STATE_DISPLACED);
	set("web", STATE_AFTER_LEASE + 1, -EINVAL);
	set("nobody", STATE_AFTER_FENCE, -ENOENT);
	set("web", STATE_AFTER_FENCE, 0);
	assert_int_equal(state_resource(&s, "web")->phase, STATE_WAITING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_each_waits_for_its_own),
		T(test_silent_on_all_or_not_at_all),
		T(test_a_volume_that_it_never_wrote_on),
		T(test_absence_alone_proves_nothing),
		T(test_another_life),
		T(test_a_new_failure_is_judged_anew),
		T(test_an_older_schema),
		T(test_a_new_field_is_a_new_command),
		T(test_a_new_line),
		T(test_changed_while_it_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
