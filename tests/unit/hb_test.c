/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The storage heartbeat: what a unit is, until when its writer may run, when its readers call it silent. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "csv/hb.h"

static const uint8_t uuid[16] = { 1, 2, 3 }, other[16] = { 4 };
static const struct hb_unit unit = { 3, 7, 99, 12 };

static void test_a_unit_says_what_it_said(void **state)
{
	uint8_t block[HB_UNIT_SIZE];
	struct hb_unit got;

	(void)state;
	hb_unit_encode(&unit, uuid, block);
	assert_true(hb_unit_decode(block, uuid, 3, &got));
	assert_memory_equal(&got, &unit, sizeof(got));
	assert_false(hb_unit_decode(block, uuid, 4, &got));
	assert_false(hb_unit_decode(block, other, 3, &got));
	for (size_t i = 0; i < HB_UNIT_SIZE; i += 61) {
		block[i] ^= 0x10;
		/* Four bytes behind the crc are nobody's. */
		if (i < 12 || i >= 16)
			assert_false(hb_unit_decode(block, uuid, 3, &got));
		block[i] ^= 0x10;
	}
	memset(block, 0, sizeof(block));
	assert_true(hb_unit_decode(block, uuid, 3, &got));
	assert_int_equal(got.incarnation, 0);
}

/* Begun by one that was confirmed before a beat that was acked; then each before the end of the last. */
static void test_the_chain(void **state)
{
	struct hb_chain c = { 0 };

	(void)state;
	hb_chain_confirmed(&c, 1000, 1010, 0);
	assert_int_equal(c.until_ms, 0); /* nobody has acked a beat since */
	hb_chain_beat(&c, 1005);
	assert_int_equal(c.until_ms, 0);
	hb_chain_beat(&c, 1010);
	assert_int_equal(c.until_ms, 1000 + HEARTBEAT_FRESH_MS); /* from the sending */
	hb_chain_confirmed(&c, 1500, 1999, 0);
	assert_int_equal(c.until_ms, 1500 + HEARTBEAT_FRESH_MS);
}

/* It hung in a buffer while the others found the node silent, and came through before the fence. */
static void test_a_late_one_mends_nothing(void **state)
{
	struct hb_chain c = { 0 }, without;

	(void)state;
	hb_chain_confirmed(&c, 1000, 1010, 0);
	hb_chain_beat(&c, 1100);
	without = c;
	hb_chain_confirmed(&c, 2400, 2410, 0);
	assert_int_equal(c.until_ms, 2000);
	hb_chain_beat(&c, 2300); /* an ack that was long under way: its voter may not have known */
	assert_int_equal(c.until_ms, 2000);
	hb_chain_beat(&c, 2410);
	assert_int_equal(c.until_ms, 3400);
	/* The guard left out: the node goes on by itself. */
	hb_chain_confirmed(&without, 2400, 2410, HB_DEFECT_CHAIN_MENDS);
	assert_int_equal(without.until_ms, 3400);
}

static struct hb_watch watch;

static void reads(int64_t first_ms, int64_t step_ms, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		hb_watch_read(&watch, 3, &unit, first_ms + i * step_ms, first_ms + i * step_ms + 5);
}

static enum heartbeat_seen judge(uint64_t incarnation, int64_t since_ms, unsigned defects)
{
	return hb_watch_judge(&watch, 3, incarnation, since_ms, defects);
}

static void test_silent_takes_time(void **state)
{
	struct hb_unit moved = unit;

	(void)state;
	memset(&watch, 0, sizeof(watch));
	assert_int_equal(judge(7, 0, 0), HEARTBEAT_UNKNOWN);
	reads(1000, 100, 2);
	assert_int_equal(judge(7, 0, HB_DEFECT_TWO_READS), HEARTBEAT_SILENT);
	assert_int_equal(judge(7, 0, 0), HEARTBEAT_UNKNOWN);
	reads(1200, 100, 14); /* the last began at 2500: 1495 ms after the first had ended */
	assert_int_equal(judge(7, 0, 0), HEARTBEAT_UNKNOWN);
	reads(2506, 1, 1);
	assert_int_equal(judge(7, 0, 0), HEARTBEAT_SILENT);
	/* One that began before the failure was known may have missed the last heartbeat. */
	assert_int_equal(judge(7, 2507, 0), HEARTBEAT_UNKNOWN);
	moved.count++;
	hb_watch_read(&watch, 3, &moved, 2600, 2605);
	assert_int_equal(judge(7, 0, 0), HEARTBEAT_UNKNOWN);
	hb_watch_read(&watch, 3, NULL, 5000, 5001); /* torn, by one that writes */
	assert_int_equal(judge(7, 0, 0), HEARTBEAT_UNKNOWN);
}

static void test_whose_it_is(void **state)
{
	(void)state;
	memset(&watch, 0, sizeof(watch));
	reads(1000, 500, 5);
	assert_int_equal(judge(7, 0, 0), HEARTBEAT_SILENT);
	assert_int_equal(judge(8, 0, 0), HEARTBEAT_ABSENT);
	assert_int_equal(judge(6, 0, 0), HEARTBEAT_UNKNOWN); /* admitted since */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_unit_says_what_it_said),
		cmocka_unit_test(test_the_chain),
		cmocka_unit_test(test_a_late_one_mends_nothing),
		cmocka_unit_test(test_silent_takes_time),
		cmocka_unit_test(test_whose_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
