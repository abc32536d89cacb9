/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator's role, decided from every view that there can be: what each action presupposes. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "csv/role.h"

enum { BITS = 15, EPOCH = 7 };

/* Every combination of what the view consists of: its number's bits. */
static struct role_view view_of(unsigned n)
{
	static const uint64_t epochs[] = { 0, EPOCH - 1, EPOCH, EPOCH + 1 };
	struct role_view v = { .epoch = EPOCH };
	bool *const bits[BITS] = { &v.present,	&v.wanted,	 &v.order_to_pay, &v.paying,
				   &v.claiming, &v.store_spoilt, &v.running,	  &v.running_job,
				   &v.closing,	&v.closed,	 &v.job,	  &v.ended,
				   &v.waiting,	&v.claim_due,	 &v.outdated };

	for (unsigned i = 0; i < BITS; i++)
		*bits[i] = n >> i & 1;
	n >>= BITS;
	v.debts = n & 1;
	v.store = (enum role_store)(n >> 1 & 3);
	v.store_epoch = epochs[n >> 3 & 3];
	v.running_epoch = epochs[n >> 5 & 3];
	return v;
}
#define VIEWS (1u << (BITS + 7))

static bool begins(enum role_action a)
{
	return a == ROLE_START || a == ROLE_START_JOB;
}

/* By the right of this epoch's claim, of a store that has not failed, after all debts. */
static bool may_begin(const struct role_view *v)
{
	return v->present && v->wanted && !v->running && !v->waiting && !v->store_spoilt &&
	       v->store == ROLE_STORE_HOLDING && (!v->store_epoch || v->store_epoch == v->epoch) &&
	       !v->debts;
}

static unsigned wrong_beginnings(bool skip_debts)
{
	unsigned wrong = 0, begun = 0;

	for (unsigned n = 0; n < VIEWS; n++) {
		struct role_view v = view_of(n);

		if (!begins(role_next(&v, skip_debts)))
			continue;
		begun++;
		wrong += !may_begin(&v);
	}
	assert_true(begun > 0);
	return wrong;
}

static void nothing_is_opened_before_its_time(void **state)
{
	(void)state;
	assert_int_equal(wrong_beginnings(false), 0);
}

/* The dead node's writes may still be on their way. */
static void without_waiting_for_the_fence_is_noticed(void **state)
{
	(void)state;
	assert_true(wrong_beginnings(true) > 0);
}

static void who_may_not_go_on_stops(void **state)
{
	(void)state;
	for (unsigned n = 0; n < VIEWS; n++) {
		struct role_view v = view_of(n);
		bool may = v.wanted && !v.ended && !v.claim_due && v.running_epoch == v.epoch &&
			   v.store == ROLE_STORE_HOLDING && (!v.outdated || v.running_job);

		if (!v.running)
			continue;
		if (may)
			assert_int_not_equal(role_next(&v, false), ROLE_STOP);
		else
			assert_int_equal(role_next(&v, false), ROLE_STOP);
	}
}

/* Under a thread that runs, nothing is taken away and nothing is begun. */
static void the_store_outlives_the_thread(void **state)
{
	(void)state;
	for (unsigned n = 0; n < VIEWS; n++) {
		struct role_view v = view_of(n);
		enum role_action a = role_next(&v, false);

		if (v.running)
			assert_true(a == ROLE_STOP || a == ROLE_PAY || a == ROLE_CLOSE ||
				    a == ROLE_NOTHING);
		if (v.running && v.running_job)
			assert_int_not_equal(a, ROLE_CLOSE);
	}
}

/* The failed write may still land: only a new claim ends that. */
static void what_has_failed_is_claimed_anew(void **state)
{
	(void)state;
	for (unsigned n = 0; n < VIEWS; n++) {
		struct role_view v = view_of(n);

		if (!v.running && v.store != ROLE_STORE_NONE && v.store_spoilt)
			assert_int_equal(role_next(&v, false), ROLE_DROP_STORE);
	}
}

/* One may be a race; from then on the LUN is left alone, but not for ever. */
static void a_target_that_refuses_is_left_alone(void **state)
{
	(void)state;
	assert_int_equal(role_claim_pause_ms(0), 0);
	assert_int_equal(role_claim_pause_ms(1), 0);
	assert_int_equal(role_claim_pause_ms(ROLE_CLAIMS_AT_ONCE - 1), 0);
	for (unsigned n = ROLE_CLAIMS_AT_ONCE; n < 100; n++)
		assert_int_equal(role_claim_pause_ms(n), ROLE_CLAIM_PAUSE_MS);
}

/* A coordinator that refuses what lies there goes on looking by the claim that it has; then all is claimed anew. */
static void what_is_refused_is_not_claimed_again(void **state)
{
	struct role_view v = { .present = true,
			       .wanted = true,
			       .epoch = EPOCH,
			       .running_epoch = EPOCH,
			       .store_epoch = EPOCH,
			       .store = ROLE_STORE_HOLDING,
			       .running = true };

	(void)state;
	assert_int_equal(role_next(&v, false), ROLE_NOTHING);
	v.order_to_pay = true; /* fences are paid meanwhile */
	assert_int_equal(role_next(&v, false), ROLE_PAY);
	v.order_to_pay = false;
	v.claim_due = true;
	assert_int_equal(role_next(&v, false), ROLE_STOP);
	v.running = false;
	v.store_spoilt = true;
	assert_int_equal(role_next(&v, false), ROLE_DROP_STORE);
	v.store = ROLE_STORE_NONE;
	assert_int_equal(role_next(&v, false), ROLE_MAKE_STORE);
}

/* Whatever else is so: nothing is claimed, and what was claimed is given up; but a job is let end. */
static void an_outdated_epoch_claims_nothing(void **state)
{
	(void)state;
	for (unsigned n = 0; n < VIEWS; n++) {
		struct role_view v = view_of(n);
		enum role_action a = role_next(&v, false);

		if (!v.outdated)
			continue;
		assert_int_not_equal(a, ROLE_COORDINATE);
		if (v.running && !v.running_job)
			assert_int_equal(a, ROLE_STOP);
		if (!v.running && v.store != ROLE_STORE_NONE && v.store_epoch)
			assert_int_equal(a, ROLE_DROP_STORE);
	}
}

/* The same one is its own, found while the tables lagged. */
static void no_epoch_below_the_one_found_claims(void **state)
{
	(void)state;
	assert_false(role_outdated(EPOCH, 0));
	assert_true(role_outdated(EPOCH, EPOCH + 1));
	assert_false(role_outdated(EPOCH + 1, EPOCH + 1));
	assert_false(role_outdated(EPOCH + 2, EPOCH + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_opened_before_its_time),
		cmocka_unit_test(without_waiting_for_the_fence_is_noticed),
		cmocka_unit_test(who_may_not_go_on_stops),
		cmocka_unit_test(the_store_outlives_the_thread),
		cmocka_unit_test(what_has_failed_is_claimed_anew),
		cmocka_unit_test(a_target_that_refuses_is_left_alone),
		cmocka_unit_test(what_is_refused_is_not_claimed_again),
		cmocka_unit_test(an_outdated_epoch_claims_nothing),
		cmocka_unit_test(no_epoch_below_the_one_found_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
