/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A node that is stopped in order: what its state allows, what yields, what its goodbye frees. */
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
#include "quorum/state_schema.h"
#include "tests/unit/state_rig.h"

#define S(s) COMMAND_STRING(s)

static const struct state_node *node1(void)
{
	return state_node(&s, 1);
}

static const struct state_resource *vm(void)
{
	return state_resource(&s, "vm");
}

static int stop(uint64_t incarnation, bool save)
{
	COMMAND(NODE_STOP, NodeStop, node_stop);

	m.node = 1;
	m.incarnation = incarnation;
	m.save = save;
	return rig_apply(&c).code;
}

static int goodbye(uint64_t incarnation)
{
	COMMAND(NODE_GOODBYE, NodeGoodbye, node_goodbye);

	m.node = 1;
	m.incarnation = incarnation;
	m.instance = 77;
	return rig_apply(&c).code;
}

static int resume(void)
{
	COMMAND(NODE_DRAIN, NodeDrain, node_drain);

	m.node = 1;
	return rig_apply(&c).code;
}

static int yield(void)
{
	COMMAND(RESOURCE_YIELD, ResourceYield, resource_yield);

	m.name = S("vm");
	m.generation = vm()->generation;
	m.cause = S("nobody takes it");
	return rig_apply(&c).code;
}

static int stopped(uint64_t saved)
{
	COMMAND(RESOURCE_STOPPED, ResourceStopped, resource_stopped);

	m.name = S("vm");
	m.generation = vm()->generation;
	m.saved = saved;
	m.cause = S("");
	return rig_apply(&c).code;
}

static void online_on_1(void)
{
	char *volumes[] = { S("vol1") };
	COMMAND(RESOURCE_CREATE, ResourceCreate, resource_create);

	m.name = S("vm");
	m.type = S("vm");
	m.n_volumes = 1;
	m.volumes = volumes;
	m.wanted = true;
	OK(rig_apply(&c).code);
	OK(rig_place("vm", 1));
	OK(rig_started("vm"));
}

static int setup(void **state)
{
	(void)state;
	state_init(&s);
	s.schema = STATE_SCHEMA;
	OK(rig_add(1, "node1"));
	OK(rig_add(2, "node2"));
	OK(rig_admit(1));
	OK(rig_admit(2));
	OK(rig_volume("vol1"));
	OK(rig_assign("vol1", 2));
	online_on_1();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	state_fini(&s);
	return 0;
}

static void test_it_gets_nothing_more(void **state)
{
	(void)state;
	OK(stop(1, false));
	assert_true(node1()->stopping && state_gets_nothing(node1()));
	assert_int_equal(vm()->phase, STATE_ONLINE); /* it is moved, as long as somebody takes it */
	OK(resume());
	assert_false(state_gets_nothing(node1()));
}

/* Shut down or saved where it is, wanted as before, and started where there is a place. */
static void test_what_nobody_takes_yields(void **state)
{
	(void)state;
	assert_int_not_equal(yield(), 0); /* its node is not stopped */
	OK(stop(1, false));
	OK(yield());
	assert_int_equal(vm()->phase, STATE_STOPPING);
	assert_true(vm()->wanted);
	OK(stopped(0));
	assert_int_equal(vm()->phase, STATE_WAITING);
	assert_int_not_equal(rig_place("vm", 1), 0);
	OK(rig_place("vm", 2));
	assert_int_equal(vm()->saved_from, 0);
}

static void test_its_memory_is_kept(void **state)
{
	uint64_t kept;

	(void)state;
	OK(stop(1, true));
	OK(yield());
	kept = vm()->saved;
	assert_int_not_equal(kept, 0);
	OK(stopped(kept));
	OK(rig_place("vm", 2));
	assert_int_equal(vm()->generation, kept);
	assert_int_not_equal(vm()->saved_from, 0);
}

/* No lease is waited for: what it ran is free when its fence is paid. Its writes are fenced all the same. */
static void test_its_goodbye_is_a_proof(void **state)
{
	(void)state;
	OK(stop(1, false));
	OK(goodbye(1));
	assert_int_equal(node1()->phase, STATE_NODE_FAILED);
	assert_true(node1()->goodbye && !node1()->stopping);
	assert_int_equal(node1()->silent, 1);
	assert_int_equal(node1()->instance, 77);
	assert_int_equal(vm()->phase, STATE_DISPLACED);
	assert_true(state_has_debt(&s, "vol1"));
	OK(rig_paid("vol1", 1, 1, HEARTBEAT_UNKNOWN));
	assert_int_equal(vm()->phase, STATE_WAITING);
	assert_int_equal(s.fences.n, 0); /* nobody fenced it */
	OK(rig_admit(1));
	assert_false(node1()->goodbye);
	assert_int_equal(node1()->incarnation, 2);
}

static void test_what_is_refused(void **state)
{
	(void)state;
	assert_int_not_equal(goodbye(1), 0); /* nobody asked it to go */
	assert_int_not_equal(stop(2, false), 0);
	OK(stop(1, false));
	OK(resume());
	assert_int_equal(goodbye(1), -CL_EMOVED); /* it is to stay, after all */
	OK(rig_failed(1));
	assert_int_not_equal(stop(1, false), 0);
}

/* It fails before it is ready: as any other. */
static void test_a_failure_in_the_middle(void **state)
{
	(void)state;
	OK(stop(1, true));
	OK(rig_failed(1));
	assert_false(node1()->stopping || node1()->goodbye);
	assert_int_equal(node1()->silent, 0);
	assert_int_equal(goodbye(1), -CL_EMOVED);
}

static void test_a_snapshot_has_it(void **state)
{
	struct state copy = { 0 };
	uint8_t *data = NULL;
	size_t len;

	(void)state;
	OK(stop(1, true));
	OK(state_encode(&s, &data, &len));
	OK(state_decode(data, len, &copy, NULL));
	assert_true(state_node(&copy, 1)->stopping && state_node(&copy, 1)->stop_saves);
	assert_true(state_hash(&copy) == state_hash(&s));
	state_fini(&copy);
	free(data);
	OK(goodbye(1));
	OK(state_encode(&s, &data, &len));
	OK(state_decode(data, len, &copy, NULL));
	assert_true(state_node(&copy, 1)->goodbye);
	state_fini(&copy);
	free(data);
}

static void test_older_programs_do_not_know_it(void **state)
{
	COMMAND(NODE_STOP, NodeStop, node_stop);

	(void)state;
	(void)m;
	assert_int_equal(schema_of(&c), 4);
	s.knows = 3;
	assert_int_equal(stop(1, false), -EINVAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_it_gets_nothing_more), T(test_what_nobody_takes_yields),
		T(test_its_memory_is_kept),   T(test_its_goodbye_is_a_proof),
		T(test_what_is_refused),      T(test_a_failure_in_the_middle),
		T(test_a_snapshot_has_it),    T(test_older_programs_do_not_know_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
