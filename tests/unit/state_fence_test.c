/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The database's guards for fences by a person's word or an agent, and their history. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/log.pb-c.h"
#include "quorum/command.h"
#include "quorum/quarantine.h"
#include "quorum/state.h"
#include "tests/unit/state_rig.h"

static void schema(uint32_t to)
{
	COMMAND(SCHEMA_RAISE, SchemaRaise, schema_raise);

	m.schema = to;
	assert_int_equal(rig_apply(&c).code, 0);
}

static int fenced(uint32_t id, uint64_t incarnation, bool off, const char *method)
{
	COMMAND(NODE_FENCED, NodeFenced, node_fenced);

	m.node = id;
	m.incarnation = incarnation;
	m.off = off;
	m.method = COMMAND_STRING(method);
	m.by = COMMAND_STRING("root");
	m.text = COMMAND_STRING(off ? "" : "no answer");
	m.took_ms = 700;
	return rig_apply(&c).code;
}

static void vm(const char *name, bool disk)
{
	char *volumes[] = { COMMAND_STRING("vol1") };
	COMMAND(RESOURCE_CREATE, ResourceCreate, resource_create);

	m.name = COMMAND_STRING(name);
	m.type = COMMAND_STRING("vm");
	m.wanted = true;
	m.start_after = STATE_AFTER_LEASE;
	m.volumes = volumes;
	m.n_volumes = disk;
	assert_int_equal(rig_apply(&c).code, 0);
	OK(rig_place(name, 1));
}

static enum state_phase phase(const char *name)
{
	return state_resource(&s, name)->phase;
}

/* Three nodes, vol1 coordinated by node2; on node1 a VM with a disk there and one without a disk. */
static int setup(void **state)
{
	(void)state;
	state_init(&s);
	rig_defects = 0;
	rig_wall_ms = 10000;
	schema(3);
	OK(rig_add(1, "node1"));
	OK(rig_add(2, "node2"));
	OK(rig_add(3, "node3"));
	for (uint32_t i = 1; i <= 3; i++)
		OK(rig_admit(i));
	OK(rig_volume("vol1"));
	OK(rig_assign("vol1", 2));
	vm("disk", true);
	vm("bare", false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	state_fini(&s);
	return 0;
}

/* What has no debt starts; what has one waits for the barrier, whoever says that the node is off. */
static void off_is_no_barrier(void **state)
{
	(void)state;
	OK(rig_failed(1));
	assert_int_equal(phase("bare"), STATE_DISPLACED);
	assert_int_equal(fenced(1, 1, true, "confirmed"), 0);
	assert_int_equal(phase("bare"), STATE_WAITING);
	assert_int_equal(phase("disk"), STATE_DISPLACED);
	assert_true(state_has_debt(&s, "vol1"));
	assert_int_equal(rig_paid("vol1", 1, state_node(&s, 1)->incarnation, HEARTBEAT_UNKNOWN), 0);
	assert_int_equal(phase("disk"), STATE_WAITING);
}

static void off_that_pays(void **state)
{
	(void)state;
	rig_defects = STATE_DEFECT_OFF_PAYS;
	OK(rig_failed(1));
	assert_int_equal(fenced(1, 1, true, "confirmed"), 0);
	assert_int_equal(phase("disk"), STATE_WAITING); /* by a debt that nobody paid */
}

static void only_the_failed(void **state)
{
	(void)state;
	assert_int_equal(fenced(1, 1, true, "confirmed"), -CL_EREFUSED);
	assert_int_equal(phase("bare"), STATE_STARTING);
	OK(rig_failed(1));
	assert_int_equal(fenced(9, 1, true, "confirmed"), -ENOENT);
	assert_int_equal(fenced(1, 0, true, "confirmed"), -CL_EMOVED);
	/* Switched on again, and failed again: somebody looked before. */
	OK(rig_admit(1));
	OK(rig_failed(1));
	assert_int_equal(fenced(1, 1, true, "confirmed"), -CL_EMOVED);
	assert_int_equal(state_node(&s, 1)->silent, 1);
}

static void tried_is_not_off(void **state)
{
	char why[STATE_REASON_MAX];

	(void)state;
	OK(rig_failed(1));
	assert_null(state_fence_failed(&s, state_node(&s, 1)));
	assert_int_equal(fenced(1, 1, false, "fence_ipmilan"), 0);
	assert_int_equal(phase("bare"), STATE_DISPLACED);
	assert_string_equal(state_fence_failed(&s, state_node(&s, 1))->text, "no answer");
	assert_false(state_may_place(&s, state_resource(&s, "bare"), why));
	assert_non_null(strstr(why, "clusterctl fence confirm node1"));
	assert_non_null(strstr(why, "fence agents failed"));
	assert_int_equal(fenced(1, 1, true, "fence_pdu"), 0);
	assert_null(state_fence_failed(&s, state_node(&s, 1)));
	assert_int_equal(phase("bare"), STATE_WAITING);
}

static void history(void **state)
{
	struct state copy;
	uint8_t *data;
	size_t len;

	(void)state;
	OK(rig_failed(1));
	rig_wall_ms += 2500;
	assert_int_equal(fenced(1, 1, false, "fence_ipmilan"), 0);
	{
		COMMAND(NODE_SILENT, NodeSilent, node_silent);

		m.node = 1;
		m.incarnation = 1;
		m.cause = COMMAND_STRING("its lease has ended");
		assert_int_equal(rig_apply(&c).code, 0);
	}
	assert_int_equal(s.fences.n, 2);
	assert_string_equal(s.fences.v[0].why, "left the ring");
	assert_int_equal(s.fences.v[0].took_ms, 700);
	assert_string_equal(s.fences.v[1].method, "lease");
	assert_int_equal(s.fences.v[1].took_ms, 2500);
	assert_true(s.fences.v[1].off);
	for (int i = 0; i < 3 * STATE_FENCES_PER_NODE; i++)
		assert_int_equal(fenced(1, 1, false, i % 2 ? "a" : "b"), 0);
	assert_int_equal(s.fences.n, STATE_FENCES_PER_NODE);
	OK(rig_failed(3));
	assert_int_equal(fenced(3, 1, true, "confirmed"), 0);
	assert_int_equal(s.fences.n, STATE_FENCES_PER_NODE + 1);
	assert_int_equal(state_encode(&s, &data, &len), 0);
	assert_int_equal(state_decode(data, len, &copy, NULL), 0);
	assert_int_equal(state_hash(&copy), state_hash(&s));
	assert_int_equal(copy.fences.n, s.fences.n);
	state_fini(&copy);
	free(data);
}

static void forgotten_with_the_node(void **state)
{
	(void)state;
	OK(rig_failed(3));
	assert_int_equal(rig_paid("vol1", 3, state_node(&s, 3)->incarnation, HEARTBEAT_UNKNOWN), 0);
	assert_int_equal(fenced(3, 1, true, "confirmed"), 0);
	{
		COMMAND(NODE_REMOVE, NodeRemove, node_remove);

		m.node = 3;
		m.incarnation = 1;
		assert_int_equal(rig_apply(&c).code, 0);
	}
	assert_int_equal(s.fences.n, 0);
}

static int agents_set(uint64_t version, uint32_t level, const char *name, const char *option)
{
	char *options[] = { COMMAND_STRING(option) };
	Log__FenceAgent a = LOG__FENCE_AGENT__INIT, b = LOG__FENCE_AGENT__INIT;
	Log__FenceAgent *list[] = { &a, &b };
	COMMAND(NODE_FENCE_SET, NodeFenceSet, node_fence_set);

	a.level = level;
	b.level = 1;
	a.agent = b.agent = COMMAND_STRING(name);
	a.timeout_s = b.timeout_s = 60;
	a.options = b.options = options;
	a.n_options = b.n_options = 1;
	m.node = 2;
	m.version = version;
	m.agents = list;
	m.n_agents = 2;
	return rig_apply(&c).code;
}

static void agents(void **state)
{
	const struct state_agent *a;
	struct state copy;
	uint8_t *data;
	size_t len, n;

	(void)state;
	assert_int_equal(agents_set(0, 3, "fence_x", "ip=1"), 0);
	assert_int_equal(agents_set(0, 3, "fence_x", "ip=2"), -CL_EMOVED);
	assert_int_equal(agents_set(1, 3, "/bin/sh", "ip=1"), -EINVAL);
	assert_int_equal(agents_set(1, 3, "fence_x", "action=on"), -EINVAL);
	assert_int_equal(agents_set(1, 0, "fence_x", "ip=1"), -EINVAL);
	a = state_agents(&s, 2, &n);
	assert_int_equal(n, 2);
	assert_int_equal(a[0].level, 1); /* as they are tried */
	assert_int_equal(a[1].level, 3);
	assert_string_equal(a[1].options, "ip=1\n");
	assert_null(state_agents(&s, 1, &n));
	assert_int_equal(state_encode(&s, &data, &len), 0);
	assert_int_equal(state_decode(data, len, &copy, NULL), 0);
	assert_int_equal(state_hash(&copy), state_hash(&s));
	a = state_agents(&copy, 2, &n);
	assert_int_equal(n, 2);
	assert_string_equal(a[1].options, "ip=1\n");
	state_fini(&copy);
	free(data);
}

/* ---- on again --------------------------------------------------------------------------------------- */

static int off_by(uint32_t level)
{
	COMMAND(NODE_FENCED, NodeFenced, node_fenced);

	m.node = 2;
	m.incarnation = 1;
	m.off = true;
	m.level = level;
	m.method = COMMAND_STRING("fence_x (level 3)");
	m.by = COMMAND_STRING("node1");
	m.text = COMMAND_STRING("");
	return rig_apply(&c).code;
}

static int on_told(uint64_t incarnation, uint32_t level, const char *text)
{
	COMMAND(NODE_FENCED, NodeFenced, node_fenced);

	m.node = 2;
	m.incarnation = incarnation;
	m.level = level;
	m.on = true;
	m.method = COMMAND_STRING("fence_x (level 3)");
	m.by = COMMAND_STRING("node1");
	m.text = COMMAND_STRING(text);
	return rig_apply(&c).code;
}

/* Until it is told: also over its next admission, for it may have come back by one of two supplies. */
static void on_is_owed(void **state)
{
	struct state copy;
	uint8_t *data;
	size_t len;

	(void)state;
	schema(4);
	assert_int_equal(agents_set(0, 3, "fence_x", "ip=1"), 0);
	OK(rig_failed(2));
	assert_int_equal(off_by(3), 0);
	assert_int_equal(state_node(&s, 2)->silent, 1);
	assert_int_equal(state_node(&s, 2)->off_level, 3);
	assert_int_equal(state_encode(&s, &data, &len), 0);
	assert_int_equal(state_decode(data, len, &copy, NULL), 0);
	assert_int_equal(state_hash(&copy), state_hash(&s));
	assert_int_equal(state_node(&copy, 2)->off_level, 3);
	state_fini(&copy);
	free(data);
	OK(rig_admit(2));
	assert_int_equal(state_node(&s, 2)->off_level, 3);
	assert_int_equal(on_told(2, 3, ""), -CL_EMOVED);
	assert_int_equal(on_told(1, 1, ""), -CL_EMOVED);
	assert_int_equal(on_told(1, 3, "no answer"), 0);
	assert_int_equal(state_node(&s, 2)->off_level, 0);
	assert_int_equal(on_told(1, 3, ""), -CL_EMOVED);
}

static void on_is_owed_by_who_is_there(void **state)
{
	(void)state;
	schema(4);
	assert_int_equal(agents_set(0, 3, "fence_x", "ip=1"), 0);
	OK(rig_failed(2));
	assert_int_equal(off_by(2), 0); /* it has none of that level any more */
	assert_int_equal(state_node(&s, 2)->off_level, 0);
	assert_int_equal(off_by(0), 0); /* is to stay off */
	assert_int_equal(state_node(&s, 2)->off_level, 0);
	/* Though it is known to be silent already: it was switched off all the same. */
	assert_int_equal(off_by(3), 0);
	assert_int_equal(state_node(&s, 2)->off_level, 3);
	assert_int_equal(agents_set(1, 3, "fence_y", "ip=1"), 0);
	assert_int_equal(state_node(&s, 2)->off_level, 0);
}

static int begun(uint32_t level)
{
	COMMAND(NODE_FENCED, NodeFenced, node_fenced);

	m.node = 2;
	m.incarnation = 1;
	m.level = level;
	m.begun = true;
	m.method = m.by = m.text = COMMAND_STRING("");
	return rig_apply(&c).code;
}

static void silent(void)
{
	COMMAND(NODE_SILENT, NodeSilent, node_silent);

	m.node = 2;
	m.incarnation = 1;
	assert_int_equal(rig_apply(&c).code, 0);
	assert_int_equal(state_node(&s, 2)->silent, 1);
}

static void owes(uint32_t level, bool begun)
{
	assert_int_equal(state_node(&s, 2)->off_level, level);
	assert_int_equal(state_node(&s, 2)->off_begun, begun);
}

/* From before its agents are asked: nothing is proven by that, and the lease's end takes nothing of it back. */
static void on_is_owed_from_the_beginning(void **state)
{
	struct state copy;
	uint8_t *data;
	size_t len;

	(void)state;
	schema(5);
	assert_int_equal(agents_set(0, 3, "fence_x", "ip=1"), 0);
	assert_int_equal(begun(3), -CL_EREFUSED); /* of one that lives */
	OK(rig_failed(2));
	assert_int_equal(begun(2), 0); /* it has none of that level */
	owes(0, false);
	assert_int_equal(begun(3), 0);
	owes(3, true);
	assert_int_equal(state_node(&s, 2)->silent, 0);
	assert_int_equal(s.fences.n, 0);
	assert_int_equal(state_encode(&s, &data, &len), 0);
	assert_int_equal(state_decode(data, len, &copy, NULL), 0);
	assert_int_equal(state_hash(&copy), state_hash(&s));
	assert_true(state_node(&copy, 2)->off_begun);
	state_fini(&copy);
	free(data);
	assert_int_equal(fenced(2, 1, false, "fence_x"), 0); /* it may have done it all the same */
	owes(3, true);
	silent();
	owes(3, true);
	OK(rig_admit(2));
	owes(3, true);
	assert_int_equal(on_told(1, 3, ""), 0);
	owes(0, false);
}

static void on_is_owed_by_those_who_did_it(void **state)
{
	(void)state;
	schema(5);
	assert_int_equal(agents_set(0, 3, "fence_x", "ip=1"), 0);
	OK(rig_failed(2));
	assert_int_equal(begun(1), 0);
	assert_int_equal(begun(3), 0);
	assert_int_equal(off_by(3), 0);
	owes(3, false);
	assert_int_equal(
		off_by(0),
		0); /* what is known to be off is owed its `on`, whoever says so after that */
	owes(3, false);
}

/* Somebody stands there: he has it in his hand. Or it is to stay off. */
static void on_is_not_owed_to_a_person(void **state)
{
	(void)state;
	schema(5);
	assert_int_equal(agents_set(0, 3, "fence_x", "ip=1"), 0);
	OK(rig_failed(2));
	assert_int_equal(begun(3), 0);
	assert_int_equal(fenced(2, 1, true, "confirmed"), 0);
	owes(0, false);
}

/* ---- quarantine ------------------------------------------------------------------------------------- */

static void fails(uint32_t id)
{
	COMMAND(NODE_FAILED, NodeFailed, node_failed);

	m.node = id;
	m.incarnation = state_node(&s, id)->incarnation;
	m.cause = COMMAND_STRING("left the ring");
	m.fence = true;
	assert_int_equal(rig_apply(&c).code, 0);
}

static void fails_often(uint32_t id)
{
	for (int i = 0; i < QUARANTINE_FENCES; i++) {
		fails(id);
		OK(rig_admit(id));
	}
}

static void resume(uint32_t id)
{
	COMMAND(NODE_DRAIN, NodeDrain, node_drain);

	m.node = id;
	assert_int_equal(rig_apply(&c).code, 0);
}

static int forget(uint32_t id, uint32_t expected)
{
	COMMAND(NODE_FENCE_FORGET, NodeFenceForget, node_fence_forget);

	m.node = id;
	m.fenced = expected;
	return rig_apply(&c).code;
}

static int place_on(uint32_t id)
{
	COMMAND(RESOURCE_PLACE, ResourcePlace, resource_place);

	m.name = COMMAND_STRING("bare");
	m.generation = state_resource(&s, "bare")->generation;
	m.node = id;
	m.incarnation = state_node(&s, id)->incarnation;
	return rig_apply(&c).code;
}

static void quarantine(void **state)
{
	(void)state;
	fails(1);
	OK(rig_admit(1));
	OK(rig_failed(1)); /* by no fault of its own: is not counted */
	OK(rig_admit(1));
	fails(1);
	OK(rig_admit(1));
	assert_false(state_node(&s, 1)->quarantined);
	fails(1);
	OK(rig_admit(1));
	assert_true(state_node(&s, 1)->quarantined);
	assert_int_equal(state_node(&s, 1)->phase, STATE_NODE_LIVING); /* admitted, and votes */
	assert_int_equal(phase("bare"), STATE_WAITING);
	assert_int_equal(place_on(1), -CL_EREFUSED);
	assert_int_equal(place_on(2), 0);
	resume(1);
	assert_false(state_node(&s, 1)->quarantined);
	assert_int_equal(state_node(&s, 1)->fenced, 0);
}

static void an_hour_ago(void **state)
{
	(void)state;
	fails(3);
	OK(rig_admit(3));
	fails(3);
	OK(rig_admit(3));
	assert_int_equal(forget(3, 1), -CL_EMOVED); /* another one came in between */
	assert_int_equal(forget(3, 2), 0);
	fails(3);
	OK(rig_admit(3));
	assert_false(state_node(&s, 3)->quarantined);
	/* Whatever the clocks of the proposers said. */
	rig_wall_ms -= 7200000;
	fails(3);
	assert_true(state_node(&s, 3)->quarantined);
}

static void a_quarter_at_most(void **state)
{
	(void)state;
	assert_int_equal(quarantine_most(&s), 1);
	fails_often(3);
	fails_often(1);
	assert_true(state_node(&s, 3)->quarantined);
	assert_false(state_node(&s, 1)->quarantined);
	for (uint32_t i = 4; i <= 8; i++) {
		char name[8] = { 'n', 'o', 'd', 'e', (char)('0' + i) };

		OK(rig_add(i, name));
		OK(rig_admit(i));
	}
	assert_int_equal(quarantine_most(&s), 2);
	fails_often(1);
	assert_true(state_node(&s, 1)->quarantined);
	/* One that goes for good takes the quarter with it. */
	fails(8);
	assert_int_equal(rig_paid("vol1", 8, state_node(&s, 8)->incarnation, HEARTBEAT_UNKNOWN), 0);
	assert_int_equal(fenced(8, 1, true, "confirmed"), 0);
	{
		COMMAND(NODE_REMOVE, NodeRemove, node_remove);

		m.node = 8;
		m.incarnation = 1;
		assert_int_equal(rig_apply(&c).code, 0);
	}
	assert_int_equal(state_node(&s, 1)->quarantined + state_node(&s, 3)->quarantined, 1);
}

static void quarantine_without_a_limit(void **state)
{
	(void)state;
	rig_defects = STATE_DEFECT_QUARANTINE_ALL;
	fails_often(3);
	fails_often(1);
	assert_true(state_node(&s, 3)->quarantined && state_node(&s, 1)->quarantined);
}

/* An older program in the cluster knows of no history: all have the same state. */
static void not_before_its_schema(void **state)
{
	(void)state;
	s.schema = 2;
	OK(rig_failed(1));
	OK(rig_admit(1));
	assert_int_equal(s.fences.n, 0);
}

/* One that was joining while the others agreed on it must not go on. */
static void raised_beyond_this_program(void **state)
{
	struct state_result res;
	COMMAND(SCHEMA_RAISE, SchemaRaise, schema_raise);

	(void)state;
	m.schema = 4;
	s.knows = 3;
	res = rig_apply(&c);
	assert_true(res.unknown);
	assert_int_equal(s.schema, 3);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(off_is_no_barrier),
		TEST(off_that_pays),
		TEST(only_the_failed),
		TEST(tried_is_not_off),
		TEST(history),
		TEST(forgotten_with_the_node),
		TEST(not_before_its_schema),
		TEST(agents),
		TEST(on_is_owed),
		TEST(on_is_owed_by_who_is_there),
		TEST(on_is_owed_from_the_beginning),
		TEST(on_is_owed_by_those_who_did_it),
		TEST(on_is_not_owed_to_a_person),
		TEST(raised_beyond_this_program),
		TEST(quarantine),
		TEST(an_hour_ago),
		TEST(a_quarter_at_most),
		TEST(quarantine_without_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
