/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters of a volume: buckets at their edges, and a message that says what was counted. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "csv/counters.h"

static void test_buckets(void **state)
{
	(void)state;
	assert_int_equal(counters_bucket(0), 0);
	assert_int_equal(counters_bucket(1), 1);
	assert_int_equal(counters_bucket(2), 2);
	assert_int_equal(counters_bucket(3), 2);
	assert_int_equal(counters_bucket(4), 3);
	assert_int_equal(counters_bucket(1023), 10);
	assert_int_equal(counters_bucket(1024), 11);
	assert_int_equal(counters_bucket((1u << 23) - 1), 23);
	assert_int_equal(counters_bucket(1u << 24), COUNTERS_BUCKETS - 1);
	assert_int_equal(counters_bucket(UINT64_MAX), COUNTERS_BUCKETS - 1);
}

static void test_empty_message(void **state)
{
	struct csv_counters c = { 0 };
	Vol__Counters m;

	(void)state;
	assert_int_equal(counters_message(&c, &m), 0);
	assert_int_equal(m.n_io, 0);
	assert_int_equal(vol__counters__get_packed_size(&m), 0);
	counters_message_free(&m);
}

static void test_message(void **state)
{
	struct csv_counters c = { 0 };
	Vol__Counters m;

	(void)state;
	counters_add_io(&c, COUNTERS_DIRECT, false, 4096, 100);
	counters_add_io(&c, COUNTERS_DIRECT, false, 8192, 3);
	counters_add_io(&c, COUNTERS_FILE_REDIRECTED, true, 17, 0);
	counters_add(&c, COUNTERS_FENCES);
	counters_add(&c, COUNTERS_RESENDS);
	counters_add(&c, COUNTERS_RESENDS);
	counters_add(NULL, COUNTERS_RESENDS);
	counters_add_io(NULL, COUNTERS_DIRECT, true, 1, 1);
	assert_int_equal(counters_message(&c, &m), 0);
	assert_int_equal(m.n_io, 2);
	assert_int_equal(m.io[0]->path, VOL__PATH__PATH_DIRECT);
	assert_false(m.io[0]->writes);
	assert_int_equal(m.io[0]->operations, 2);
	assert_int_equal(m.io[0]->bytes, 12288);
	assert_int_equal(m.io[0]->microseconds, 103);
	assert_int_equal(m.io[0]->n_bucket, 8);
	assert_int_equal(m.io[0]->bucket[7], 1);
	assert_int_equal(m.io[0]->bucket[2], 1);
	assert_int_equal(m.io[1]->path, VOL__PATH__PATH_FILE_REDIRECTED);
	assert_true(m.io[1]->writes);
	assert_int_equal(m.io[1]->n_bucket, 1);
	assert_int_equal(m.fences, 1);
	assert_int_equal(m.resends, 2);
	assert_int_equal(m.commits, 0);
	counters_message_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_empty_message),
		cmocka_unit_test(test_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
