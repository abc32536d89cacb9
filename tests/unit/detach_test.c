/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A planned stop of clusterd: the state's guards, and the lease across it. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/heartbeat.h"
#include "proto/log.pb-c.h"
#include "quorum/command.h"
#include "quorum/lease.h"
#include "quorum/state.h"
#include "quorum/state_schema.h"
#include "tests/unit/state_rig.h"

enum { L = 5200 };

static int detach(uint64_t incarnation, uint64_t number, uint32_t for_ms)
{
	COMMAND(NODE_DETACH, NodeDetach, node_detach);

	m.node = 1;
	m.incarnation = incarnation;
	m.number = number;
	m.for_ms = for_ms;
	return rig_apply(&c).code;
}

static uint32_t detached(void)
{
	return state_node(&s, 1)->detached_ms;
}

static int setup(void **state)
{
	(void)state;
	memset(&s, 0, sizeof(s));
	state_init(&s);
	OK(rig_add(1, "n1"));
	return rig_admit(1);
}

static int teardown(void **state)
{
	(void)state;
	state_fini(&s);
	return 0;
}

static void test_goes_and_comes(void **state)
{
	(void)state;
	assert_int_equal(detach(1, 0, 120000), 0);
	assert_int_equal(detached(), 120000);
	assert_int_equal(state_node(&s, 1)->phase, STATE_NODE_LIVING);
	assert_int_equal(detach(1, 1, 0), 0);
	assert_int_equal(detached(), 0);
}

/* `is back` of the first stop, applied during the second: the others would wait too short. */
static void test_a_late_word_is_none_of_the_next_stop(void **state)
{
	(void)state;
	assert_int_equal(detach(1, 0, 120000), 0);
	assert_int_equal(detach(1, 1, 0), 0);
	assert_int_equal(detach(1, 2, 120000), 0);
	assert_int_not_equal(detach(1, 1, 0), 0);
	assert_int_equal(detached(), 120000);
}

static void test_what_is_refused(void **state)
{
	(void)state;
	assert_int_not_equal(detach(1, 0, STATE_DETACH_MAX_MS + 1), 0);
	assert_int_not_equal(detach(2, 0, 1000), 0); /* another incarnation */
	assert_int_not_equal(detach(1, 1, 1000), 0);
	assert_int_equal(rig_failed(1), 0);
	assert_int_not_equal(detach(1, 0, 1000), 0); /* it may not get time any more */
	assert_int_equal(detached(), 0);
}

/* A machine that dies meanwhile: its bound is the longer one, until it is admitted anew. */
static void test_a_failure_forgets_nothing(void **state)
{
	struct state copy = { 0 };
	uint8_t *data = NULL;
	size_t len;

	(void)state;
	assert_int_equal(detach(1, 0, 120000), 0);
	assert_int_equal(rig_failed(1), 0);
	assert_int_equal(detached(), 120000);
	assert_int_equal(state_encode(&s, &data, &len), 0);
	state_init(&copy);
	assert_int_equal(state_decode(data, len, &copy, NULL), 0);
	assert_int_equal(state_node(&copy, 1)->detached_ms, 120000);
	assert_int_equal(state_node(&copy, 1)->detaches, 1);
	state_fini(&copy);
	free(data);
	assert_int_equal(rig_admit(1), 0);
	assert_int_equal(detached(), 0);
}

/* ---- what its heartbeats stand for ------------------------------------------------------------------ */

static int quiet(void)
{
	COMMAND(NODE_SILENT, NodeSilent, node_silent);

	m.node = 1;
	m.incarnation = 1;
	m.storage = true;
	m.cause = COMMAND_STRING("");
	return rig_apply(&c).code;
}

static void fails_and_is_fenced(void)
{
	OK(rig_failed(1));
	OK(rig_paid("vol1", 1, 1, HEARTBEAT_SILENT));
}

static void with_a_volume(uint32_t schema)
{
	s.schema = schema;
	OK(rig_add(2, "n2"));
	OK(rig_admit(2));
	OK(rig_volume("vol1"));
	OK(rig_assign("vol1", 2));
}

/* It does not heed them while its clusterd is away: that they stand says nothing about its VMs. */
static void test_nobody_is_quiet_while_away(void **state)
{
	(void)state;
	with_a_volume(SCHEMA_UNWATCHED);
	OK(detach(1, 0, 120000));
	fails_and_is_fenced();
	assert_false(state_storage_silent(&s, state_node(&s, 1), 0));
	assert_true(state_storage_silent(&s, state_node(&s, 1), STATE_DEFECT_DETACH_QUIET));
	assert_int_equal(quiet(), -CL_EMOVED);
}

static void test_quiet_when_it_was_back(void **state)
{
	(void)state;
	with_a_volume(SCHEMA_UNWATCHED);
	OK(detach(1, 0, 120000));
	OK(detach(1, 1, 0));
	fails_and_is_fenced();
	assert_int_equal(quiet(), 0);
}

/* Among older programs it heeds them, and all apply the same. */
static void test_quiet_under_an_older_schema(void **state)
{
	(void)state;
	with_a_volume(SCHEMA_UNWATCHED - 1);
	OK(detach(1, 0, 120000));
	fails_and_is_fenced();
	assert_int_equal(quiet(), 0);
}

/* ---- how long its lease is -------------------------------------------------------------------------- */

static int length(uint64_t incarnation, uint32_t lease_ms)
{
	COMMAND(NODE_LEASE, NodeLease, node_lease);

	m.node = 1;
	m.incarnation = incarnation;
	m.lease_ms = lease_ms;
	return rig_apply(&c).code;
}

/* What was acked by the longer one still runs; only another life may count by a shorter one. */
static void test_a_lease_grows_only(void **state)
{
	struct state copy = { 0 };
	uint8_t *data = NULL;
	size_t len;

	(void)state;
	OK(length(1, 8200));
	OK(length(1, 5200));
	assert_int_equal(state_node(&s, 1)->lease_ms, 8200);
	assert_int_not_equal(length(1, STATE_LEASE_MAX_MS + 1), 0);
	assert_int_not_equal(length(2, 9000), 0);
	OK(state_encode(&s, &data, &len));
	OK(state_decode(data, len, &copy, NULL));
	assert_int_equal(state_node(&copy, 1)->lease_ms, 8200);
	state_fini(&copy);
	free(data);
	OK(rig_failed(1));
	assert_int_not_equal(length(1, 9000), 0); /* the others are counting its bound */
	assert_int_equal(state_node(&s, 1)->lease_ms, 8200);
	OK(rig_admit(1));
	assert_int_equal(state_node(&s, 1)->lease_ms, 0);
}

/* ---- the lease --------------------------------------------------------------------------------- */

static struct raft_config one_voter(void)
{
	return (struct raft_config){ .n = 1, .member = { { { .node = 1 }, RAFT_VOTER } } };
}

static void acked(struct lease *l, const struct raft_config *c, int64_t sent_ms)
{
	lease_acked(l, &c->member[0].id, sent_ms);
	(void)lease_renew(l, c);
}

static void test_the_lease_across_it(void **state)
{
	const struct raft_config c = one_voter();
	struct lease l;

	(void)state;
	lease_init(&l, L);
	acked(&l, &c, 1000);
	lease_detach(&l, 100000);
	assert_int_equal(l.until_ms, 100000);
	acked(&l, &c, 1250); /* beats that still come are no reason to shorten it */
	assert_int_equal(l.until_ms, 100000);

	/* The next process: VMs run on, nothing begins; then it lives by its beats. */
	lease_init(&l, L);
	lease_inherit(&l, 20000, &(struct lease_kept){ .until_ms = 100000 });
	(void)lease_tick(&l, 20000);
	assert_int_equal(lease_state(&l), LEASE_VALID);
	assert_true(l.inherited);
	acked(&l, &c, 20500);
	assert_false(l.inherited);
	assert_int_equal(l.until_ms, 20500 + L);
}

/* Unwatched, neither beats nor heartbeats are missed until the end of the lease. */
static void test_a_storage_that_stalls_meanwhile(void **state)
{
	const struct raft_config c = one_voter();
	struct lease l;

	(void)state;
	lease_init(&l, L);
	lease_watch(&l);
	acked(&l, &c, 1000);
	(void)lease_tick(&l, 1000);
	lease_detach(&l, 100000);
	lease_unwatch(&l);
	(void)lease_tick(&l, 60000);
	assert_int_equal(lease_state(&l), LEASE_VALID);
	assert_int_equal(lease_deadline(&l), 100000 - LEASE_PAUSE_MS);
	lease_watch(&l); /* it heeds them again: by a beat that was acked */
	acked(&l, &c, 59900);
	(void)lease_tick(&l, 60000);
	assert_int_equal(lease_state(&l), LEASE_VALID);
	(void)lease_tick(&l, 61000);
	assert_int_equal(lease_state(&l), LEASE_PAUSED);
}

static void test_without_a_lease_there_is_no_longer_one(void **state)
{
	struct lease l;

	(void)state;
	lease_init(&l, L);
	lease_detach(&l, 100000);
	assert_int_equal(l.until_ms, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_goes_and_comes),
		TEST(test_a_late_word_is_none_of_the_next_stop),
		TEST(test_what_is_refused),
		TEST(test_a_failure_forgets_nothing),
		TEST(test_nobody_is_quiet_while_away),
		TEST(test_quiet_when_it_was_back),
		TEST(test_quiet_under_an_older_schema),
		TEST(test_a_lease_grows_only),
		cmocka_unit_test(test_the_lease_across_it),
		cmocka_unit_test(test_a_storage_that_stalls_meanwhile),
		cmocka_unit_test(test_without_a_lease_there_is_no_longer_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
