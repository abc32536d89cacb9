/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lock table: who forbids whom, cuts, and what goes with a handle, an owner, a session. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "csv/lock.h"

static struct lock lock_of(uint64_t session, uint64_t owner, enum lock_type type, uint64_t start,
			   uint64_t end)
{
	return (struct lock){ .session = session,
			      .fh = owner,
			      .ino = 12,
			      .owner = owner,
			      .type = type,
			      .start = start,
			      .end = end };
}

static int set(struct lock_table *t, uint64_t session, uint64_t owner, enum lock_type type,
	       uint64_t start, uint64_t end)
{
	struct lock l = lock_of(session, owner, type, start, end);

	return lock_set(t, &l);
}

static void exclusive_excludes(void **state)
{
	struct lock_table t = { 0 };
	struct lock want = lock_of(2, 1, LOCK_SHARED, 5, 5);

	(void)state;
	assert_int_equal(set(&t, 1, 1, LOCK_EXCLUSIVE, 0, 9), 0);
	assert_int_equal(set(&t, 2, 1, LOCK_SHARED, 9, 20), -EAGAIN);
	assert_int_equal(set(&t, 2, 1, LOCK_SHARED, 10, 20), 0);
	assert_ptr_equal(lock_conflict(&t, &want), &t.held.v[0]);
	/* The same owner number of another node is somebody else; its own range is not in its way. */
	assert_int_equal(set(&t, 1, 1, LOCK_SHARED, 0, 9), 0);
	assert_null(lock_conflict(&t, &want));
	lock_table_fini(&t);
}

static void shared_do_not(void **state)
{
	struct lock_table t = { 0 };

	(void)state;
	assert_int_equal(set(&t, 1, 1, LOCK_SHARED, 0, 9), 0);
	assert_int_equal(set(&t, 2, 1, LOCK_SHARED, 0, 9), 0);
	assert_int_equal(set(&t, 2, 1, LOCK_EXCLUSIVE, 0, 0), -EAGAIN);
	assert_int_equal(t.held.n, 2);
	lock_table_fini(&t);
}

static void unlock_cuts_in_two(void **state)
{
	struct lock_table t = { 0 };

	(void)state;
	assert_int_equal(set(&t, 1, 1, LOCK_EXCLUSIVE, 0, 99), 0);
	assert_int_equal(set(&t, 1, 1, LOCK_FREE, 40, 49), 0);
	assert_int_equal(t.held.n, 2);
	assert_int_equal(set(&t, 2, 7, LOCK_EXCLUSIVE, 40, 49), 0);
	assert_int_equal(set(&t, 2, 7, LOCK_EXCLUSIVE, 39, 39), -EAGAIN);
	assert_int_equal(set(&t, 2, 7, LOCK_EXCLUSIVE, 50, 50), -EAGAIN);
	/* One range over all replaces what is left of the first. */
	assert_int_equal(set(&t, 2, 7, LOCK_FREE, 0, INT64_MAX), 0);
	assert_int_equal(set(&t, 1, 1, LOCK_SHARED, 0, 99), 0);
	assert_int_equal(t.held.n, 1);
	lock_table_fini(&t);
}

/* An OFD lock ends with its handle, whatever owner the RELEASE carries; a POSIX one with FLUSH. */
static void dropped_by_handle_owner_session(void **state)
{
	struct lock_table t = { 0 };

	(void)state;
	assert_int_equal(set(&t, 1, 1, LOCK_EXCLUSIVE, 0, 9), 0);
	assert_int_equal(set(&t, 1, 2, LOCK_EXCLUSIVE, 10, 19), 0);
	assert_int_equal(set(&t, 2, 3, LOCK_EXCLUSIVE, 20, 29), 0);
	assert_false(lock_drop_handle(&t, 2, 1));
	assert_true(lock_drop_handle(&t, 1, 1));
	assert_false(lock_drop_owner(&t, 1, 99, 2));
	assert_true(lock_drop_owner(&t, 1, 12, 2));
	assert_true(lock_drop_session(&t, 2));
	assert_int_equal(t.held.n, 0);
	lock_table_fini(&t);
}

static void flock_is_apart(void **state)
{
	struct lock_table t = { 0 };
	struct lock l = lock_of(1, 1, LOCK_EXCLUSIVE, 0, INT64_MAX);

	(void)state;
	l.flock = true;
	assert_int_equal(lock_set(&t, &l), 0);
	assert_int_equal(set(&t, 2, 1, LOCK_EXCLUSIVE, 0, INT64_MAX), 0);
	l.session = 2;
	assert_int_equal(lock_set(&t, &l), -EAGAIN);
	assert_false(lock_drop_owner(&t, 1, 12, 1)); /* close(2) of another descriptor */
	lock_table_fini(&t);
}

static void circles(void **state)
{
	struct lock_table t = { 0 };
	struct lock a_for_b = lock_of(1, 1, LOCK_EXCLUSIVE, 1, 1);
	struct lock waiting[2] = { lock_of(2, 1, LOCK_EXCLUSIVE, 2, 2),
				   lock_of(3, 7, LOCK_EXCLUSIVE, 0, 0) };

	(void)state;
	/* Each has the byte of its number; a wants b's, b wants c's, c wants a's, c's on another file. */
	assert_int_equal(set(&t, 1, 1, LOCK_EXCLUSIVE, 0, 0), 0);
	assert_int_equal(set(&t, 2, 1, LOCK_EXCLUSIVE, 1, 1), 0);
	assert_int_equal(set(&t, 3, 7, LOCK_EXCLUSIVE, 2, 2), 0);
	assert_int_equal(lock_circle(&t, &a_for_b, waiting, 2), 1);
	assert_int_equal(lock_circle(&t, &a_for_b, waiting, 1), 0);
	assert_int_equal(lock_circle(&t, &a_for_b, NULL, 0), 0);
	/* c waits for nothing of a's any more */
	waiting[1].start = waiting[1].end = 5;
	assert_int_equal(lock_circle(&t, &a_for_b, waiting, 2), 0);
	/* what is free closes nothing */
	a_for_b.start = a_for_b.end = 9;
	assert_int_equal(lock_circle(&t, &a_for_b, waiting, 2), 0);
	/* flock waits for ever */
	a_for_b.flock = true;
	assert_int_equal(lock_circle(&t, &a_for_b, waiting, 2), 0);
	lock_table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exclusive_excludes),
		cmocka_unit_test(shared_do_not),
		cmocka_unit_test(unlock_cuts_in_two),
		cmocka_unit_test(dropped_by_handle_owner_session),
		cmocka_unit_test(flock_is_apart),
		cmocka_unit_test(circles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
