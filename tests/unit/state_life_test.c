/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The database's guards for nodes that go for good, the setup, and a stopped cluster. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/log.pb-c.h"
#include "quorum/command.h"
#include "quorum/state.h"
#include "tests/unit/state_rig.h"

static uint64_t admit(uint32_t id)
{
	OK(rig_admit(id));
	return state_node(&s, id)->incarnation;
}

static void silent(uint32_t id)
{
	COMMAND(NODE_SILENT, NodeSilent, node_silent);

	m.node = id;
	m.incarnation = state_node(&s, id)->incarnation;
	m.cause = COMMAND_STRING("test");
	assert_int_equal(rig_apply(&c).code, 0);
}

static int removed(uint32_t id)
{
	const struct state_node *n = state_node(&s, id);
	COMMAND(NODE_REMOVE, NodeRemove, node_remove);

	m.node = id;
	m.incarnation = n ? n->incarnation : 0;
	return rig_apply(&c).code;
}

static int set(uint64_t version, enum state_part kind, const char *text)
{
	Log__SetupPart p = LOG__SETUP_PART__INIT, *list[] = { &p };
	COMMAND(SETUP_SET, SetupSet, setup_set);

	p.kind = kind;
	p.data = (ProtobufCBinaryData){ strlen(text), (uint8_t *)(uintptr_t)text };
	m.version = version;
	m.parts = list;
	m.n_parts = 1;
	return rig_apply(&c).code;
}

static int begin(void **state)
{
	(void)state;
	state_init(&s);
	assert_int_equal(rig_add(1, "n1"), 0);
	assert_int_equal(rig_add(2, "n2"), 0);
	(void)admit(1);
	(void)admit(2);
	OK(rig_volume("vol1"));
	OK(rig_assign("vol1", 1));
	return 0;
}

static int end(void **state)
{
	(void)state;
	state_fini(&s);
	return 0;
}

/* Each of the guards alone stands in the way; a removed one's number is not begun anew. */
static void test_remove(void **state)
{
	uint64_t incarnation = state_node(&s, 2)->incarnation;

	(void)state;
	assert_int_equal(removed(2), -CL_EREFUSED); /* lives */
	OK(rig_failed(2));
	OK(rig_paid("vol1", 2, state_node(&s, 2)->incarnation, HEARTBEAT_UNKNOWN));
	assert_int_equal(removed(2), -CL_EREFUSED); /* may run on */
	silent(2);
	assert_int_equal(removed(2), 0);
	assert_null(state_node(&s, 2));
	assert_int_equal(removed(2), -ENOENT);
	/* What is left of it is acked by nobody, also when another node has its number. */
	assert_true(state_failed(&s, 2, incarnation));
	assert_false(state_failed(&s, 2, incarnation + 1));
	assert_int_equal(rig_add(2, "n2"), 0);
	assert_true(state_failed(&s, 2, incarnation));
	assert_true(admit(2) > incarnation);
	assert_false(state_failed(&s, 2, incarnation + 1));
}

static void test_remove_waits_for_the_fence(void **state)
{
	(void)state;
	OK(rig_failed(2));
	silent(2);
	assert_int_equal(removed(2), -CL_EREFUSED);
	OK(rig_paid("vol1", 2, state_node(&s, 2)->incarnation, HEARTBEAT_UNKNOWN));
	assert_int_equal(removed(2), 0);
}

static void test_remove_waits_for_the_volume(void **state)
{
	(void)state;
	OK(rig_failed(1));
	silent(1);
	assert_int_equal(removed(1), -CL_EREFUSED);
	OK(rig_assign("vol1", 2));
	OK(rig_paid("vol1", 1, state_node(&s, 1)->incarnation, HEARTBEAT_UNKNOWN));
	assert_int_equal(removed(1), 0);
}

static void test_setup(void **state)
{
	struct state t;
	uint8_t *data;
	size_t len;

	(void)state;
	assert_int_equal(set(0, STATE_PART_COROSYNC, "one"), 0);
	assert_int_equal(set(0, STATE_PART_COROSYNC, "late"), -CL_EMOVED);
	assert_int_equal(set(1, STATE_PART_KEY, "key"), 0);
	assert_string_equal(state_setup_text(&s.setup, STATE_PART_COROSYNC), "one");
	assert_int_equal(s.setup.version, 2);
	assert_int_equal(s.setup.part[STATE_PART_COROSYNC].version, 1);
	/* Who goes is to be taken out of it, until a text is set. */
	OK(rig_failed(2));
	silent(2);
	OK(rig_paid("vol1", 2, state_node(&s, 2)->incarnation, HEARTBEAT_UNKNOWN));
	assert_int_equal(removed(2), 0);
	assert_true(state_setup_gone(&s.setup, 2));
	assert_int_equal(state_encode(&s, &data, &len), 0);
	assert_int_equal(state_decode(data, len, &t, NULL), 0);
	assert_int_equal(state_hash(&s), state_hash(&t));
	assert_true(state_setup_gone(&t.setup, 2));
	assert_int_equal(t.retired, s.retired);
	state_fini(&t);
	free(data);
	assert_int_equal(set(2, STATE_PART_COROSYNC, "two"), 0);
	assert_false(state_setup_has_gone(&s.setup));
}

static int stop(bool on)
{
	COMMAND(CLUSTER_STOP, ClusterStop, cluster_stop);

	m.on = on;
	return rig_apply(&c).code;
}

static void ended(void)
{
	COMMAND(RESOURCE_STOPPED, ResourceStopped, resource_stopped);

	m.name = COMMAND_STRING("web");
	m.generation = state_resource(&s, "web")->generation;
	assert_int_equal(rig_apply(&c).code, 0);
}

static void test_stop(void **state)
{
	char why[STATE_REASON_MAX];

	(void)state;
	{
		COMMAND(RESOURCE_CREATE, ResourceCreate, resource_create);
		m.name = COMMAND_STRING("web");
		m.type = COMMAND_STRING("vm");
		m.wanted = true;
		assert_int_equal(rig_apply(&c).code, 0);
	}
	assert_int_equal(rig_place("web", 1), 0);
	assert_int_equal(stop(true), 0);
	assert_int_equal(state_resource(&s, "web")->phase, STATE_STOPPING);
	ended();
	assert_true(state_resource(&s, "web")->wanted);
	assert_int_equal(rig_place("web", 1), -CL_EREFUSED);
	assert_false(state_may_place(&s, state_resource(&s, "web"), why));
	assert_non_null(strstr(why, "start cluster"));
	assert_int_equal(stop(false), 0);
	assert_int_equal(rig_place("web", 1), 0);
}

static int readdress(uint32_t node, const char *from, const char *to)
{
	COMMAND(NODE_ADDRESS, NodeAddress, node_address);

	m.node = node;
	m.from = COMMAND_STRING(from);
	m.to = COMMAND_STRING(to);
	return rig_apply(&c).code;
}

/* Each of its addresses that was the old one; nothing twice, nothing of another node. */
static void test_other_address(void **state)
{
	struct state_node *n = state_node(&s, 1), *other = state_node(&s, 2);

	(void)state;
	(void)strcpy(n->storage_address, "10.0.0.1");
	(void)strcpy(n->migration_address, "10.0.0.1");
	(void)strcpy(other->storage_address, "10.0.0.2");
	(void)strcpy(other->migration_address, "10.1.0.2");
	OK(readdress(1, "10.0.0.1", "10.0.0.9"));
	assert_string_equal(n->storage_address, "10.0.0.9");
	assert_string_equal(n->migration_address, "10.0.0.9");
	assert_int_equal(readdress(1, "10.0.0.1", "10.0.0.9"), -CL_EREFUSED);
	OK(readdress(2, "10.1.0.2", "10.1.0.9"));
	assert_string_equal(other->storage_address, "10.0.0.2");
	assert_string_equal(other->migration_address, "10.1.0.9");
	assert_int_equal(readdress(1, "10.0.0.9", "10.0.0.2"), -EEXIST);
	assert_int_equal(readdress(1, "10.0.0.9", ""), -EINVAL);
	assert_int_equal(readdress(1, "", "10.0.0.8"), -EINVAL);
	assert_true(readdress(7, "10.0.0.9", "10.0.0.8") < 0);
	assert_string_equal(n->storage_address, "10.0.0.9");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_remove, begin, end),
		cmocka_unit_test_setup_teardown(test_remove_waits_for_the_fence, begin, end),
		cmocka_unit_test_setup_teardown(test_remove_waits_for_the_volume, begin, end),
		cmocka_unit_test_setup_teardown(test_setup, begin, end),
		cmocka_unit_test_setup_teardown(test_other_address, begin, end),
		cmocka_unit_test_setup_teardown(test_stop, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
