/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event log's lines, in memory and in the store: the newest 2000, each once, whatever their ids. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/events.h"
#include "clusterd/store_db.h"

enum { LINES = 3 * EVENTS_KEPT };

/* As the core numbers them: those of an applied change by its index, this node's own between. */
static uint64_t id_of(unsigned i)
{
	return (uint64_t)(i / 2 + 1) * 256 + (i % 2 ? 128 : 0);
}

static void test_each_once_and_the_newest(void **state)
{
	static struct events events;

	(void)state;
	for (unsigned i = 0; i < LINES; i++)
		assert_int_equal(events_add(&events, id_of(i), strdup("{}")), 1);
	for (unsigned i = LINES - EVENTS_KEPT; i < LINES; i++)
		assert_int_equal(events_add(&events, id_of(i), strdup("{}")), 0);
	assert_int_equal(events.n, EVENTS_KEPT);
	assert_non_null(events_at(&events, EVENTS_KEPT - 1));
	assert_null(events_at(&events, EVENTS_KEPT));
	events_fini(&events);
}

static void put(struct store_db *db, unsigned *i, unsigned n)
{
	char json[] = "{\"event\":\"a line\"}";

	assert_int_equal(store_db_begin(db, NULL), 0);
	for (unsigned end = *i + n; *i < end; (*i)++) {
		struct store_write w = {
			.event_id = id_of(*i),
			.event = { (uint8_t *)json, strlen(json) },
		};

		assert_int_equal(store_db_put(db, &w, NULL), 0);
	}
	assert_int_equal(store_db_commit(db, NULL), 0);
}

/* What a process finds, which then writes some more. */
static size_t life(const char *dir, unsigned *i, unsigned more)
{
	struct store_image img = { 0 };
	struct store_db *db;
	size_t n;

	assert_int_equal(store_db_open(dir, NULL, &db, &img, NULL), 0);
	n = img.events.n;
	for (size_t k = 0; k < n; k++)
		assert_int_equal(img.events.v[k].index, id_of(*i - (unsigned)(n - k)));
	store_image_fini(&img);
	put(db, i, more);
	store_db_close(db);
	return n;
}

/* Also when each process writes a few and ends. */
static void test_old_lines_go(void **state)
{
	unsigned i = 0;
	size_t n;

	assert_int_equal(life(*state, &i, LINES), 0);
	for (int again = 0; again < 100; again++) {
		n = life(*state, &i, 1);
		assert_true(n >= EVENTS_KEPT && n < EVENTS_KEPT + 64);
	}
}

static int make(void **state)
{
	static char dir[] = "/tmp/events_test.XXXXXX";

	*state = mkdtemp(dir);
	return *state ? 0 : -1;
}

static int unmake(void **state)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "rm -r %s", (char *)*state);
	return system(command); /* NOLINT: our own text */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_once_and_the_newest),
		cmocka_unit_test(test_old_lines_go),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
