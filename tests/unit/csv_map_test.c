/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The layout map of a mount: ranges, recalls, bounds; at random against a model of one cell per block. */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "csv/map.h"

#define KB 1024u
#define BASE (1u << 30) /* of addresses */

static struct map_extent data(uint64_t start, uint64_t end, uint64_t address, bool write)
{
	return (struct map_extent){ start, end, address, write };
}

static struct map_extent hole(uint64_t start, uint64_t end)
{
	return (struct map_extent){ start, end, 0, false };
}

static void grants_are_found(void **state)
{
	struct map m = { 0 };
	struct map_extent p[4], in[] = { data(0, 8 * KB, BASE, false), hole(8 * KB, 16 * KB),
					 data(16 * KB, 18 * KB, BASE + 64 * KB, false) };

	(void)state;
	assert_int_equal(map_insert(&m, 12, in, 3), 0);
	assert_int_equal(map_lookup(&m, 12, 4 * KB, 17 * KB, false, p, 4), 3);
	assert_int_equal(p[0].start, 4 * KB);
	assert_int_equal(p[0].address, BASE + 4 * KB);
	assert_int_equal(p[1].address, 0);
	assert_int_equal(p[2].end, 17 * KB);
	assert_int_equal(map_lookup(&m, 12, 4 * KB, 17 * KB, false, p, 2), -E2BIG);
	assert_int_equal(map_lookup(&m, 12, 16 * KB, 19 * KB, false, p, 4), 0); /* past the end */
	assert_int_equal(map_lookup(&m, 13, 0, 4 * KB, false, p, 4), 0);
	assert_int_equal(map_lookup(&m, 12, 0, 4 * KB, true, p, 4), 0); /* may not be written */
	map_fini(&m);
}

static void recall_cuts(void **state)
{
	struct map m = { 0 };
	struct map_extent p[4], in = data(0, 64 * KB, BASE, true);

	(void)state;
	assert_int_equal(map_insert(&m, 12, &in, 1), 0);
	map_take(&m, 12, 16 * KB, 32 * KB, false);
	assert_int_equal(map_lookup(&m, 12, 0, 16 * KB, true, p, 4), 1);
	assert_int_equal(map_lookup(&m, 12, 0, 17 * KB, false, p, 4), 0);
	assert_int_equal(map_lookup(&m, 12, 32 * KB, 64 * KB, true, p, 4), 1);
	assert_int_equal(p[0].address, BASE + 32 * KB);
	map_take(&m, 12, 40 * KB, 44 * KB, true);
	assert_int_equal(map_lookup(&m, 12, 40 * KB, 44 * KB, true, p, 4), 0);
	assert_int_equal(map_lookup(&m, 12, 32 * KB, 64 * KB, false, p, 4), 1);
	map_take(&m, 12, 0, UINT64_MAX, false);
	assert_int_equal(map_lookup(&m, 12, 0, 4 * KB, false, p, 4), 0);
	map_fini(&m);
}

static void neighbours_join(void **state)
{
	struct map m = { 0 };
	struct map_extent p[2], a = data(0, 8 * KB, BASE, true),
				b = data(8 * KB, 16 * KB, BASE + 8 * KB, true);

	(void)state;
	assert_int_equal(map_insert(&m, 12, &b, 1), 0);
	assert_int_equal(map_insert(&m, 12, &a, 1), 0);
	assert_int_equal(map_lookup(&m, 12, 4 * KB, 12 * KB, true, p, 1), 1);
	assert_int_equal(m.n_extents, 1);
	map_fini(&m);
}

static void nonsense_is_refused(void **state)
{
	struct map m = { 0 };
	struct map_extent p[2], gap[] = { hole(0, 4 * KB), hole(8 * KB, 12 * KB) },
				empty = hole(4 * KB, 4 * KB),
				wraps = data(0, 1 << 20, UINT64_MAX - 5, true);

	(void)state;
	assert_int_equal(map_insert(&m, 12, gap, 2), -EINVAL);
	assert_int_equal(map_insert(&m, 12, &empty, 1), -EINVAL);
	assert_int_equal(map_insert(&m, 12, &wraps, 1), -EINVAL);
	assert_int_equal(map_lookup(&m, 12, 0, 4 * KB, false, p, 2), 0);
	map_fini(&m);
}

static void oldest_are_forgotten(void **state)
{
	struct map m = { .max_extents = 100 };
	struct map_extent p[1];

	(void)state;
	for (uint64_t ino = 1; ino <= 300; ino++) {
		struct map_extent e = data(0, 4 * KB, BASE + ino * 8 * KB, true);

		assert_int_equal(map_insert(&m, ino, &e, 1), 0);
		assert_int_equal(map_lookup(&m, 1, 0, 4 * KB, true, p, 1), 1); /* in use: stays */
	}
	assert_true(m.n_extents <= 100);
	assert_int_equal(map_lookup(&m, 300, 0, 4 * KB, true, p, 1), 1);
	assert_int_equal(map_lookup(&m, 150, 0, 4 * KB, true, p, 1), 0);
	map_fini(&m);
}

static void refusals_end(void **state)
{
	struct map m = { 0 };

	(void)state;
	assert_int_equal(map_refuse(&m, 12, 64 * KB, 100), 0);
	assert_false(map_refused(&m, 12, 64 * KB, 50));
	assert_true(map_refused(&m, 12, 65 * KB, 50));
	assert_false(map_refused(&m, 12, 65 * KB, 100));
	assert_false(map_refused(&m, 13, 65 * KB, 50));
	map_fini(&m);
}

static void widens_over_data_only(void **state)
{
	struct map m = { 0 };
	struct map_extent in[] = { hole(0, 8 * KB), data(8 * KB, 16 * KB, BASE, false),
				   data(16 * KB, 64 * KB, BASE + (1 << 20), false),
				   hole(64 * KB, 80 * KB) };
	uint64_t start = 20 * KB, end = 24 * KB;

	(void)state;
	assert_int_equal(map_insert(&m, 12, in, 4), 0);
	map_widen(&m, 12, &start, &end, 0, 1 << 20);
	assert_int_equal(start, 8 * KB);
	assert_int_equal(end, 64 * KB);
	start = 20 * KB;
	end = 24 * KB;
	map_widen(&m, 12, &start, &end, 16 * KB, 32 * KB);
	assert_int_equal(start, 16 * KB);
	assert_int_equal(end, 32 * KB);
	map_fini(&m);
}

/* ---- a model ------------------------------------------------------------------------------- */

#define CELLS 64
struct cell {
	bool known, write;
	uint64_t address;
};
static struct cell model[CELLS];
static uint64_t seed = 1;

static unsigned rnd(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

static void random_grant(struct map *m)
{
	struct map_extent e[8];
	unsigned at = rnd(CELLS), n = 0;

	do {
		unsigned len = 1 + rnd(8), end = at + len < CELLS ? at + len : CELLS;
		bool is_data = rnd(3), write = is_data && rnd(2);
		uint64_t address = is_data ? BASE + rnd(1000) * 4 * KB : 0;

		e[n++] = (struct map_extent){ at * 4 * KB, end * 4 * KB, address, write };
		for (unsigned i = at; i < end; i++)
			model[i] = (struct cell){ true, write,
						  address ? address + (i - at) * 4 * KB : 0 };
		at = end;
	} while (at < CELLS && n < 8 && rnd(3));
	assert_int_equal(map_insert(m, 12, e, n), 0);
}

static void random_take(struct map *m)
{
	unsigned at = rnd(CELLS), end = at + rnd(CELLS - at) + 1;
	bool keep_read = rnd(2);

	map_take(m, 12, at * 4 * KB, end * 4 * KB, keep_read);
	for (unsigned i = at; i < end && i < CELLS; i++) {
		model[i].write = false;
		if (!keep_read)
			model[i].known = false;
	}
}

/* What is found is granted, and reading loses nothing that is granted. */
static void compare(struct map *m)
{
	unsigned at = rnd(CELLS), end = at + 1 + rnd(CELLS - at), cell = at;
	struct map_extent p[CELLS];
	bool write = rnd(2), all = true;
	int n = map_lookup(m, 12, at * 4 * KB, end * 4 * KB, write, p, CELLS);

	for (unsigned i = at; i < end; i++)
		all &= model[i].known;
	if (!write)
		assert_int_equal(n > 0, all);
	for (int k = 0; k < n; k++) {
		assert_int_equal(p[k].start, cell * 4 * KB);
		for (; cell * 4 * KB < p[k].end; cell++) {
			uint64_t offset = cell * 4 * KB - p[k].start;

			assert_true(model[cell].known);
			assert_true(!write || (model[cell].write && model[cell].address));
			assert_int_equal(p[k].address ? p[k].address + offset : 0,
					 model[cell].address);
		}
	}
	if (n > 0)
		assert_int_equal(cell, end);
}

static void agrees_with_the_model(void **state)
{
	struct map m = { 0 };

	(void)state;
	for (int i = 0; i < 200000; i++) {
		unsigned what = rnd(10);

		if (what < 3)
			random_grant(&m);
		else if (what < 5)
			random_take(&m);
		else
			compare(&m);
	}
	map_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_are_found),	 cmocka_unit_test(recall_cuts),
		cmocka_unit_test(neighbours_join),	 cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(oldest_are_forgotten),	 cmocka_unit_test(refusals_end),
		cmocka_unit_test(widens_over_data_only), cmocka_unit_test(agrees_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
