/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The run lease: when it is extended, when VMs pause, and what bound the others may count on. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "quorum/lease.h"

enum { L = 5200 };

static struct raft_id voter(uint32_t n)
{
	return (struct raft_id){ .node = n, .uuid = { (uint8_t)n } };
}

static struct raft_config voters(uint32_t n)
{
	struct raft_config c = { .n = n };

	for (uint32_t i = 0; i < n; i++)
		c.member[i] = (struct raft_member){ voter(i + 1), RAFT_VOTER };
	return c;
}

static void acked(struct lease *l, uint32_t n, int64_t sent_ms)
{
	struct raft_id v = voter(n);

	lease_acked(l, &v, sent_ms);
}

static void test_majority_extends_from_the_send_time(void **state)
{
	struct raft_config c = voters(3);
	struct lease l;

	(void)state;
	lease_init(&l, L);
	acked(&l, 1, 1000);
	assert_false(lease_renew(&l, &c)); /* one of three */
	acked(&l, 9, 1000);
	assert_false(lease_renew(&l, &c)); /* no voter */
	acked(&l, 2, 900);
	assert_true(lease_renew(&l, &c));
	assert_int_equal(l.until_ms, 900 + L);
	acked(&l, 3, 500);
	assert_false(lease_renew(&l, &c)); /* never back */
	acked(&l, 3, 2000);
	assert_true(lease_renew(&l, &c));
	assert_int_equal(l.until_ms, 1000 + L);
}

static void test_pause_lose_regain(void **state)
{
	struct raft_config c = voters(1);
	struct lease l;

	(void)state;
	lease_init(&l, L);
	assert_false(lease_tick(&l, 0));
	acked(&l, 1, 1000);
	assert_true(lease_renew(&l, &c));
	assert_true(lease_tick(&l, 1001));
	assert_int_equal(lease_state(&l), LEASE_VALID);
	assert_int_equal(lease_deadline(&l), 1000 + L - LEASE_PAUSE_MS);
	assert_false(lease_tick(&l, 1000 + L - LEASE_PAUSE_MS - 1));
	assert_true(lease_tick(&l, 1000 + L - LEASE_PAUSE_MS));
	assert_int_equal(lease_state(&l), LEASE_PAUSED);
	assert_int_equal(lease_deadline(&l), 1000 + L);
	assert_true(lease_tick(&l, 1000 + L));
	assert_int_equal(lease_state(&l), LEASE_LOST);
	acked(&l, 1, 9000);
	assert_true(lease_renew(&l, &c));
	assert_true(lease_tick(&l, 9001));
	assert_int_equal(lease_state(&l), LEASE_VALID);
	/* A freeze: the next look at the clock is far behind the end. */
	assert_true(lease_tick(&l, 99000));
	assert_int_equal(lease_state(&l), LEASE_LOST);
}

static void test_inherited(void **state)
{
	struct raft_config c = voters(1);
	struct lease l;

	(void)state;
	lease_init(&l, L);
	lease_inherit(&l, 10000, &(struct lease_kept){ 0 });
	assert_int_equal(lease_state(&l), LEASE_VALID);
	assert_true(l.inherited);
	assert_true(lease_tick(&l, 10000 + LEASE_INHERIT_MS));
	assert_int_equal(lease_state(&l), LEASE_PAUSED);
	acked(&l, 1, 10900);
	assert_true(lease_renew(&l, &c));
	assert_false(l.inherited);
	lease_reset(&l);
	assert_int_equal(lease_state(&l), LEASE_NONE);
	assert_false(lease_renew(&l, &c));
	/* One whose end is known, and has passed while nobody looked. */
	lease_inherit(&l, 20000, &(struct lease_kept){ .until_ms = 15000 });
	assert_int_equal(lease_state(&l), LEASE_LOST);
}

static void answer(struct lease_bound *b, uint32_t n, uint64_t age_ms, int64_t now_ms)
{
	struct raft_id v = voter(n);

	lease_bound_answer(b, &v, age_ms, now_ms);
}

static void test_bound_is_of_a_majority(void **state)
{
	struct raft_config c = voters(5);
	struct lease_bound b;
	int64_t until;

	(void)state;
	lease_bound_init(&b, 3, 1, 42);
	answer(&b, 1, 400, 10000);
	answer(&b, 2, 100, 10010);
	answer(&b, 3, 0, 10010); /* the node itself: its word about itself counts nothing */
	answer(&b, 9, 0, 10010); /* no voter */
	assert_false(lease_bound_until(&b, &c, 0, L, &until));
	answer(&b, 4, 3000, 10020);
	assert_true(lease_bound_until(&b, &c, 0, L, &until));
	assert_int_equal(until, 9910 + L);
	/* A voter set that is new: who counts by an older one may have got acks until then. */
	assert_true(lease_bound_until(&b, &c, 10005, L, &until));
	assert_int_equal(until, 10005 + L);
}

static void test_voter_remembers(void **state)
{
	struct lease_voter v;

	(void)state;
	lease_voter_init(&v, 1000);
	assert_int_equal(lease_voter_age(&v, 3, 5000), 4000); /* the process's own age */
	assert_true(lease_voter_ack(&v, 3, 2, 4000));
	assert_int_equal(lease_voter_age(&v, 3, 5000), 1000);
	assert_false(lease_voter_ack(&v, 3, 1, 4500)); /* of an earlier incarnation */
	assert_int_equal(lease_voter_age(&v, 3, 5000), 1000);
}

/*
 * Whatever acks arrive: once a majority has answered, the lease of the node that they acked ends at
 * or before the bound. All subsets of 5 voters for the acks and for the answers.
 */
static void test_lease_never_outlives_the_bound(void **state)
{
	struct raft_config c = voters(5);

	(void)state;
	for (unsigned acks = 0; acks < 32; acks++)
		for (unsigned asked = 0; asked < 32; asked++) {
			struct lease_bound b;
			struct lease l;
			int64_t until;

			lease_init(&l, L);
			lease_bound_init(&b, 5, 1, 1);
			for (uint32_t v = 0; v < 5; v++) {
				/* beat sent at 1000, acked on arrival at 1000 + 10 v */
				if (acks & (1u << v))
					acked(&l, v + 1, 1000);
				if (asked & (1u << v))
					answer(&b, v + 1,
					       acks & (1u << v) ? 3000 - (1000 + 10 * v) : 2999,
					       3000);
			}
			(void)lease_renew(&l, &c);
			if (lease_bound_until(&b, &c, 0, L, &until))
				assert_true(l.until_ms <= until);
		}
}

/* Heartbeats are written: then others may start our VMs when nothing is heard of us for a second. */
static void test_watched(void **state)
{
	struct raft_config c = voters(1);
	struct lease l;

	(void)state;
	lease_init(&l, L);
	acked(&l, 1, 1000);
	(void)lease_renew(&l, &c);
	(void)lease_tick(&l, 1001);
	lease_watch(&l);
	assert_int_equal(lease_deadline(&l), 1000 + HEARTBEAT_FRESH_MS);
	assert_false(lease_tick(&l, 1999));
	lease_heartbeat(&l, 2400);
	assert_false(lease_tick(&l, 2399));
	assert_true(lease_tick(&l, 2400));
	assert_int_equal(lease_state(&l), LEASE_PAUSED);
	/* csvd mends a broken chain only with a beat that was acked: its word is enough here. */
	lease_heartbeat(&l, 3000);
	assert_true(lease_tick(&l, 2500));
	assert_int_equal(lease_state(&l), LEASE_VALID);
	assert_true(lease_tick(&l, 3000));
	acked(&l, 1, 3100);
	assert_true(lease_renew(&l, &c));
	assert_true(lease_tick(&l, 3101));
	assert_int_equal(lease_state(&l), LEASE_VALID);
	lease_reset(&l);
	assert_false(l.watched);
}

/* While beats are acked it is an old nexus's; else all stands until a later beat is, whatever heartbeats say. */
static void test_a_key_that_was_taken(void **state)
{
	struct raft_config c = voters(1);
	struct lease l;

	(void)state;
	lease_init(&l, L);
	acked(&l, 1, 1000);
	(void)lease_renew(&l, &c);
	(void)lease_tick(&l, 1001);
	lease_watch(&l);
	lease_heartbeat(&l, 4000);
	lease_conflict(&l, 1900);
	assert_false(lease_tick(&l, 1900));
	lease_conflict(&l, 2100);
	assert_true(lease_tick(&l, 2100));
	assert_int_equal(lease_state(&l), LEASE_PAUSED);
	assert_false(lease_tick(&l, 2200));
	acked(&l, 1, 2050); /* sent before: the voter may have learned of our failure since */
	(void)lease_renew(&l, &c);
	assert_false(lease_tick(&l, 2300));
	acked(&l, 1, 2150);
	(void)lease_renew(&l, &c);
	assert_true(lease_tick(&l, 2300));
	assert_int_equal(lease_state(&l), LEASE_VALID);
}

/* A restarted daemon counts from when its predecessor was heard: others do. */
static void test_watched_across_a_restart(void **state)
{
	struct lease l;

	(void)state;
	lease_init(&l, L);
	lease_inherit(&l, 10000, &(struct lease_kept){ 14000, 8900, 9500 });
	assert_int_equal(lease_state(&l), LEASE_PAUSED);
	lease_init(&l, L);
	lease_inherit(&l, 10000, &(struct lease_kept){ 14000, 8900, 10400 });
	assert_int_equal(lease_state(&l), LEASE_VALID);
	assert_int_equal(lease_deadline(&l), 10400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watched),
		cmocka_unit_test(test_a_key_that_was_taken),
		cmocka_unit_test(test_watched_across_a_restart),
		cmocka_unit_test(test_majority_extends_from_the_send_time),
		cmocka_unit_test(test_pause_lose_regain),
		cmocka_unit_test(test_inherited),
		cmocka_unit_test(test_bound_is_of_a_majority),
		cmocka_unit_test(test_voter_remembers),
		cmocka_unit_test(test_lease_never_outlives_the_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
