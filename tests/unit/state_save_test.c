/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A memory that is kept over a stop is given to one start, once; and to none after anything else happened. */
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
#include "quorum/state_force.h"
#include "quorum/state_save.h"
#include "quorum/state_schema.h"
#include "tests/unit/state_rig.h"

static const struct state_resource *web(void)
{
	return state_resource(&s, "web");
}

static void vm_create(bool on_volume)
{
	char *volumes[] = { COMMAND_STRING("vol1") };
	COMMAND(RESOURCE_CREATE, ResourceCreate, resource_create);

	m.name = COMMAND_STRING("web");
	m.type = COMMAND_STRING("vm");
	m.wanted = true;
	m.n_volumes = on_volume;
	m.volumes = volumes;
	assert_int_equal(rig_apply(&c).code, 0);
}

static void stop(bool on, bool save)
{
	COMMAND(CLUSTER_STOP, ClusterStop, cluster_stop);

	m.on = on;
	m.save = save;
	assert_int_equal(schema_of(&c), save ? 3 : 1);
	assert_int_equal(rig_apply(&c).code, 0);
}

static uint64_t place(void)
{
	OK(rig_place("web", 1));
	return web()->generation;
}

static void ended(uint64_t saved, bool badly)
{
	COMMAND(RESOURCE_STOPPED, ResourceStopped, resource_stopped);

	m.name = COMMAND_STRING("web");
	m.generation = web()->generation;
	m.saved = saved;
	m.failed = badly;
	assert_int_equal(schema_of(&c), saved ? 3 : 1);
	assert_int_equal(rig_apply(&c).code, 0);
}

static int begin(void **state)
{
	(void)state;
	s = (struct state){ 0 };
	OK(rig_add(1, "node1"));
	OK(rig_admit(1));
	OK(rig_volume("vol1"));
	return 0;
}

static int end(void **state)
{
	(void)state;
	state_fini(&s);
	return 0;
}

/* Online, saved, and waiting for `start cluster`; the number that the memory is for. */
static uint64_t saved(uint64_t *ret_from)
{
	uint64_t number;

	vm_create(true);
	*ret_from = place();
	OK(rig_started("web"));
	stop(true, true);
	assert_true(state_saves(web()));
	number = web()->saved;
	assert_true(number > *ret_from);
	ended(number, false);
	assert_int_equal(web()->phase, STATE_WAITING);
	stop(false, false);
	return number;
}

static void test_once(void **state)
{
	uint64_t from, number = saved(&from);

	(void)state;
	assert_int_equal(web()->saved_from, from);
	assert_false(state_restores(web()));
	assert_int_equal(place(), number);
	assert_true(state_restores(web()));
	OK(rig_started("web"));
	assert_false(state_restores(web()));
	assert_int_equal(web()->saved, 0);
	stop(true, false);
	ended(0, false);
	stop(false, false);
	assert_true(place() > number);
	assert_false(state_restores(web()));
}

/* The start failed: its guest may have run. */
static void test_not_twice(void **state)
{
	uint64_t from, number = saved(&from);

	(void)state;
	assert_int_equal(place(), number);
	ended(0, true);
	assert_int_equal(web()->phase, STATE_WAITING);
	assert_true(place() > number);
	assert_false(state_restores(web()));
}

static void test_in_a_snapshot(void **state)
{
	uint64_t from, number = saved(&from);
	struct state t;
	uint8_t *data;
	size_t len;

	(void)state;
	assert_int_equal(state_encode(&s, &data, &len), 0);
	assert_int_equal(state_decode(data, len, &t, NULL), 0);
	assert_int_equal(state_resource(&t, "web")->saved, number);
	assert_int_equal(state_resource(&t, "web")->saved_from, from);
	assert_int_equal(state_hash(&s), state_hash(&t));
	state_fini(&t);
	free(data);
}

/* Others may have gone on with a longer log, and given the number. */
static void test_not_in_a_new_line(void **state)
{
	uint64_t from;

	(void)state;
	(void)saved(&from);
	assert_int_equal(state_force(&s, 1, 1 << 20, 0, "forced", 0), 0);
	assert_int_equal(web()->saved, 0);
	assert_int_equal(web()->saved_from, 0);
}

static void test_what_is_not_saved(void **state)
{
	(void)state;
	vm_create(false);
	(void)place();
	OK(rig_started("web"));
	stop(true, true);
	assert_false(state_saves(web())); /* it has no volume */
	ended(99, false);
	assert_int_equal(web()->saved_from, 0);
	stop(false, false);
	(void)place();
	stop(true, true);
	assert_false(state_saves(web())); /* it was only starting */
}

/* A number that nobody reserved; and a stop that did not save after all. */
static void test_a_report_that_does_not_fit(void **state)
{
	uint64_t before;

	(void)state;
	vm_create(true);
	(void)place();
	OK(rig_started("web"));
	stop(true, true);
	before = web()->saved;
	ended(before + 1, false);
	assert_int_equal(web()->saved, 0);
	stop(false, false);
	assert_true(place() > before);
	assert_false(state_restores(web()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_once, begin, end),
		cmocka_unit_test_setup_teardown(test_not_twice, begin, end),
		cmocka_unit_test_setup_teardown(test_in_a_snapshot, begin, end),
		cmocka_unit_test_setup_teardown(test_not_in_a_new_line, begin, end),
		cmocka_unit_test_setup_teardown(test_what_is_not_saved, begin, end),
		cmocka_unit_test_setup_teardown(test_a_report_that_does_not_fit, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
