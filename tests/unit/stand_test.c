/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a VM stands and when it is continued: since, trials that wait longer, and their end. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "clusterd/core/stand.h"

static void a_full_volume(void **state)
{
	struct stand s = { 0 };
	int64_t now = 1000, waited = 0;

	(void)state;
	assert_true(stand_due(&s, now));
	for (int i = 0; i < 8; i++) {
		stand_begin(&s, STAND_NO_SPACE, "full", now, 50000 + now);
		assert_int_equal(s.since_ms, 51000); /* of the first, however often it is tried */
		assert_false(stand_due(&s, now));
		assert_true(s.try_ms - now >= waited);
		waited = s.try_ms - now;
		now = s.try_ms;
		assert_true(stand_due(&s, now));
		stand_runs(&s, now);
		now += STAND_SETTLED_MS - 1;
		stand_tick(&s, now);
		assert_int_equal(s.why, STAND_NO_SPACE); /* it may stand again any moment */
	}
	assert_int_equal(waited, STAND_RETRY_MAX_MS);
	stand_tick(&s, now + 1);
	assert_int_equal(s.why, STAND_NOT);
	assert_string_equal(s.text, "");
}

static void news_shorten_the_wait(void **state)
{
	struct stand s = { 0 };

	(void)state;
	for (int i = 0; i < 6; i++)
		stand_begin(&s, STAND_NO_SPACE, "full", 0, 1);
	assert_false(stand_due(&s, STAND_RETRY_MS));
	stand_news(&s, 10);
	assert_true(stand_due(&s, 10));
	stand_begin(&s, STAND_NO_SPACE, "full", 20, 21);
	assert_int_equal(s.try_ms, 20 + STAND_RETRY_MS);
	assert_int_equal(s.since_ms, 1);
}

static void another_cause_is_another_time(void **state)
{
	struct stand s = { 0 };

	(void)state;
	stand_begin(&s, STAND_NO_SPACE, "full", 0, 1);
	stand_begin(&s, STAND_NO_PATH, "gone", 5, 6);
	assert_int_equal(s.since_ms, 6);
	assert_string_equal(s.text, "gone");
	stand_runs(&s, 7);
	stand_tick(&s, 7); /* the volume is back: nothing is on trial */
	assert_int_equal(s.why, STAND_NOT);
}

static void long_words_are_cut(void **state)
{
	struct stand s = { 0 };
	char text[4 * STATE_REASON_MAX];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	stand_begin(&s, STAND_ERROR, text, 0, 1);
	assert_int_equal(strlen(s.text), STATE_REASON_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_volume),
		cmocka_unit_test(news_shorten_the_wait),
		cmocka_unit_test(another_cause_is_another_time),
		cmocka_unit_test(long_words_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
