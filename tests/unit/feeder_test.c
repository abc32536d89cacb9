/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The watchdog feeder: when what runs is frozen, and when the machine is given up. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "proto/heartbeat.h"
#include "quorum/feeder.h"
#include "quorum/lease.h"

static struct feeder f;
static struct feeder_view v;

static struct feeder_orders at(int64_t now_ms)
{
	v.now_ms = now_ms;
	return feeder_look(&f, &v);
}

static int setup(void **state)
{
	(void)state;
	f = (struct feeder){ 0 };
	v = (struct feeder_view){ .populated = true, .cpu_usec = 500 };
	return 0;
}

static void test_without_a_lease_it_guards_nothing(void **state)
{
	(void)state;
	assert_true(at(1000000).pet);
	assert_false(f.armed || f.frozen);
}

static void test_the_lease_ends(void **state)
{
	(void)state;
	v.lease_until_ms = 5900 + FEEDER_EARLY_MS;
	v.clusterd_lives = true; /* and hangs */
	assert_false(at(5899).freeze);
	assert_true(f.armed);
	assert_true(at(5900).freeze);
	assert_false(at(5950).freeze);
	v.cpu_usec = 600; /* the freezer takes its time */
	assert_true(at(6199).pet);
	assert_true(at(6200).pet);
	assert_true(at(6400).pet);
	v.cpu_usec = 601;
	assert_false(at(6450).pet);
	v.populated = false;
	assert_true(at(6500).pet);
	v.lease_until_ms = 9000;
	assert_true(at(6550).thaw);
	assert_false(at(6600).thaw);
}

/* It uses some processor time while it dies, and may wait for its storage before it is gone. */
static void test_what_is_killed_while_it_is_frozen(void **state)
{
	(void)state;
	v.lease_until_ms = 5900 + FEEDER_EARLY_MS;
	v.clusterd_lives = true;
	assert_true(at(5900).freeze);
	assert_true(at(9000).pet);
	v.cpu_usec = 700;
	assert_false(at(9050).pet);
	v.cpu_usec = 701;
	assert_false(at(9100).pet);
	assert_false(at(10099).pet);
	assert_true(at(10100).pet);
	for (int64_t ms = 10150; ms < 14000; ms += 50) {
		v.cpu_usec++; /* it executes */
		assert_false(at(ms).pet);
	}
}

static void test_nothing_is_heard_of_us(void **state)
{
	(void)state;
	v.lease_until_ms = 9000;
	v.beat_ms = 4000;
	v.heartbeat_until_ms = 4500;
	assert_int_equal(feeder_expiry_ms(&v), 4000 + HEARTBEAT_FRESH_MS);
	v.heartbeat_until_ms = 5600;
	assert_int_equal(feeder_expiry_ms(&v), 5600);
	v.clusterd_lives = true;
	assert_int_equal(feeder_expiry_ms(&v), 5600 + FEEDER_LIVING_MS);
	v.lease_until_ms = 6000;
	assert_int_equal(feeder_expiry_ms(&v), 6000 - FEEDER_EARLY_MS);
	v.beat_ms = 0; /* not watched */
	v.lease_until_ms = 9000;
	assert_int_equal(feeder_expiry_ms(&v), 9000 - FEEDER_EARLY_MS);
}

/* The longest token that the configuration takes, and one that is too long for the margin. */
static void test_lengths_that_it_can_guard(void **state)
{
	(void)state;
	assert_true(feeder_is_in_time(lease_length_ms(1000, 1200)));
	assert_true(feeder_is_in_time(30000));
	assert_false(feeder_is_in_time(40000));
}

static void test_a_lease_that_was_taken_away(void **state)
{
	(void)state;
	v.lease_until_ms = 1;
	assert_true(at(5000).freeze);
	assert_false(f.armed); /* nothing was ever allowed here: the watchdog is not for this */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_without_a_lease_it_guards_nothing, setup),
		cmocka_unit_test_setup(test_the_lease_ends, setup),
		cmocka_unit_test_setup(test_what_is_killed_while_it_is_frozen, setup),
		cmocka_unit_test_setup(test_nothing_is_heard_of_us, setup),
		cmocka_unit_test_setup(test_lengths_that_it_can_guard, setup),
		cmocka_unit_test_setup(test_a_lease_that_was_taken_away, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
