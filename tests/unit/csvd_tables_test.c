/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What csvd is sent: tables that it has not got, and no others. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clusterd/csvd_tables.h"
#include "proto/log.pb-c.h"
#include "quorum/command.h"
#include "quorum/state.h"
#include "tests/unit/state_rig.h"

static struct csvd_told told;

static int setup(void **state)
{
	(void)state;
	memset(&s, 0, sizeof(s));
	state_init(&s);
	memset(&told, 0, sizeof(told));
	OK(rig_add(1, "n1"));
	OK(rig_admit(1));
	OK(rig_volume("v1"));
	return rig_assign("v1", 1);
}

static int teardown(void **state)
{
	(void)state;
	csvd_told_fini(&told);
	state_fini(&s);
	return 0;
}

static bool sent(void)
{
	struct csvd_tables t;
	bool r;

	assert_int_equal(csvd_tables_make(&s, 1, &t), 0);
	r = csvd_told_lacks(&told, &t);
	assert_int_equal(t.tables.index, s.applied);
	csvd_tables_fini(&t);
	return r;
}

static int redirected(bool on)
{
	COMMAND(VOLUME_REDIRECT, VolumeRedirect, volume_redirect);

	m.name = COMMAND_STRING("v1");
	m.on = on;
	return rig_apply(&c).code;
}

static void test_once(void **state)
{
	(void)state;
	csvd_told_hello(&told, 1);
	assert_true(sent());
	assert_false(sent());
	s.applied++; /* a change that is none of csvd's */
	assert_false(sent());
}

static void test_each_change(void **state)
{
	(void)state;
	csvd_told_hello(&told, 1);
	assert_true(sent());
	OK(redirected(true));
	assert_true(sent());
	assert_false(sent());
	OK(rig_add(2, "n2"));
	assert_true(sent());
	OK(redirected(false));
	assert_true(sent());
	assert_false(sent());
}

/* Another csvd, or the same one over a new connection. */
static void test_a_new_hello(void **state)
{
	(void)state;
	csvd_told_hello(&told, 1);
	assert_true(sent());
	csvd_told_hello(&told, s.applied);
	assert_true(sent());
	assert_false(sent());
}

static void test_an_older_csvd_is_sent_all(void **state)
{
	(void)state;
	csvd_told_hello(&told, 0);
	assert_true(sent());
	assert_true(sent());
}

/*
 * A clusterd that was restarted has not applied as far as csvd has seen: csvd has B of index `has`, and ignores this
 * A. The next that it applies is A again.
 */
static void test_what_csvd_ignores_is_not_taken_for_sent(void **state)
{
	uint64_t has = s.applied + 5;

	(void)state;
	csvd_told_hello(&told, has);
	assert_true(sent());
	s.applied = has - 1;
	assert_true(sent());
	s.applied = has + 3;
	assert_true(sent());
	s.applied++;
	assert_false(sent());
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_once),
		TEST(test_each_change),
		TEST(test_a_new_hello),
		TEST(test_an_older_csvd_is_sent_all),
		TEST(test_what_csvd_ignores_is_not_taken_for_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
