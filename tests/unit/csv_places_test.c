/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A directory is another node at another place, unless the kernel moved it itself. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "csv/places.h"

static void a_place_has_its_tag(void **state)
{
	struct places *p = places_new(), *q = places_new();
	uint32_t tag = places_tag(p, 2, "a");

	(void)state;
	assert_int_not_equal(tag, 0);
	assert_int_equal(places_tag(p, 2, "a"), tag);
	assert_int_equal(places_tag(q, 2, "a"), tag); /* after a restart */
	assert_int_not_equal(places_tag(p, 2, "b"), tag);
	assert_int_not_equal(places_tag(p, 3, "a"), tag);
	places_free(p);
	places_free(q);
}

static void the_kernels_own_keep_theirs(void **state)
{
	struct places *p = places_new();
	uint32_t tag = places_tag(p, 2, "a"), old = places_tag(p, 9, "b");

	(void)state;
	places_moved(p, 2, "a", 9, "b", false);
	assert_int_equal(places_tag(p, 9, "b"), tag);
	places_moved(p, 9, "b", 9, "c", false);
	assert_int_equal(places_tag(p, 9, "c"), tag);
	assert_int_equal(places_tag(p, 9, "b"), old);
	/* Another mount moves it back to where it began: the kernel has that tag elsewhere. */
	assert_int_not_equal(places_tag(p, 2, "a"), tag);
	places_drop(p, 9, "c");
	assert_int_not_equal(places_tag(p, 9, "c"), tag);
	assert_int_equal(places_tag(p, 2, "a"), tag);
	places_free(p);
}

static void exchanged(void **state)
{
	struct places *p = places_new();
	uint32_t a = places_tag(p, 2, "a"), b = places_tag(p, 3, "b");

	(void)state;
	places_moved(p, 2, "a", 3, "b", true);
	assert_int_equal(places_tag(p, 2, "a"), b);
	assert_int_equal(places_tag(p, 3, "b"), a);
	places_moved(p, 3, "b", 2, "a", true);
	assert_int_equal(places_tag(p, 2, "a"), a);
	assert_int_equal(places_tag(p, 3, "b"), b);
	places_moved(p, 2, "a", 2, "a", false);
	assert_int_equal(places_tag(p, 2, "a"), a);
	places_free(p);
}

static void too_many(void **state)
{
	struct places *p = places_new();
	char name[16];

	(void)state;
	for (uint32_t i = 1; i < 40000; i++) {
		uint32_t tag;

		(void)snprintf(name, sizeof(name), "%u", i);
		tag = places_tag(p, 2, name);
		places_moved(p, 2, name, 3, name, false);
		assert_int_equal(places_tag(p, 3, name), tag);
	}
	places_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_place_has_its_tag),
		cmocka_unit_test(the_kernels_own_keep_theirs),
		cmocka_unit_test(exchanged),
		cmocka_unit_test(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
