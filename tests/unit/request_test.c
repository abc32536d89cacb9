/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The numbers of requests: what names them is not counted anew with the database. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "clusterd/core/internal.h"

/* Whatever number its first life has: that of its former self may have been the same. */
static void of_a_database_of_its_own(void **state)
{
	uint8_t former[16], now[16];

	(void)state;
	memset(former, 0x11, sizeof(former));
	memcpy(now, former, sizeof(now));
	assert_int_equal(request_first(former), request_first(now));
	now[7] ^= 0x40;
	/* Far from the others: many requests fit between. */
	assert_int_equal(request_first(now) - request_first(former), UINT64_C(1) << 61);
}

/* However many there are, the number never begins again at 0: that is no request's. */
static void never_runs_over(void **state)
{
	uint8_t last[16];

	(void)state;
	memset(last, 0xff, sizeof(last));
	assert_true(request_first(last) < UINT64_MAX / 2 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_database_of_its_own),
		cmocka_unit_test(never_runs_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
