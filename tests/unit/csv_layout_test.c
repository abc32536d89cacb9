/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The layout table: by hand, and at random against a model that knows each block of each session. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/layout.h"

#define END UINT64_MAX

static struct layout_piece piece(uint64_t session, uint64_t start, uint64_t end, bool write)
{
	return (struct layout_piece){ session, 12, write, start, end };
}

static void grant(struct layout_table *t, uint64_t session, uint64_t start, uint64_t end,
		  bool write)
{
	struct layout_piece p = piece(session, start, end, write);

	assert_int_equal(layout_grant(t, &p), 0);
}

static bool allows(struct layout_table *t, uint64_t session, uint64_t start, uint64_t end,
		   bool write)
{
	struct layout_piece p = piece(session, start, end, write);

	return layout_allows(t, &p);
}

static void grants_join_and_overlap(void **state)
{
	struct layout_table t = { 0 };

	(void)state;
	grant(&t, 1, 0, 10, true);
	grant(&t, 1, 10, 20, true);
	assert_int_equal(t.granted.n, 1);
	grant(&t, 1, 5, 30, false); /* reading does not end writing */
	assert_true(allows(&t, 1, 0, 20, true));
	assert_false(allows(&t, 1, 0, 21, true));
	assert_true(allows(&t, 1, 0, 30, false));
	assert_false(allows(&t, 2, 0, 1, false));
	grant(&t, 1, 15, 30, true);
	assert_true(allows(&t, 1, 0, 30, true));
	assert_int_equal(t.granted.n, 1);
	layout_fini(&t);
}

static void a_right_under_recall_is_in_the_way(void **state)
{
	struct layout_table t = { 0 };
	uint64_t id;

	(void)state;
	grant(&t, 1, 0, 100, true);
	grant(&t, 2, 50, 60, false);
	assert_int_equal(layout_take_back(&t, 12, 40, END, false, 2), 1);
	assert_int_equal(t.recalls.n, 1);
	id = t.recalls.v[0].id;
	assert_true(t.recalls.v[0].piece.start == 40 && t.recalls.v[0].piece.end == 100);
	assert_true(allows(&t, 1, 0, 100, true)); /* may still be under way */
	/* Asked again: no second recall. */
	assert_int_equal(layout_take_back(&t, 12, 40, END, false, 2), 1);
	assert_int_equal(t.recalls.n, 1);
	assert_int_equal(layout_take_back(&t, 13, 0, END, false, 0), 0);
	assert_int_equal(layout_free_up_to(&t, 12, 0, 200), 40);
	assert_false(layout_returned(&t, 2, id)); /* not its recall */
	assert_true(layout_returned(&t, 1, id));
	assert_false(layout_returned(&t, 1, id));
	assert_false(allows(&t, 1, 0, 100, true));
	assert_true(allows(&t, 1, 0, 40, true));
	assert_true(allows(&t, 2, 50, 60, false));
	assert_int_equal(layout_take_back(&t, 12, 40, END, false, 2), 0);
	layout_fini(&t);
}

static void only_the_right_to_write(void **state)
{
	struct layout_table t = { 0 };

	(void)state;
	grant(&t, 1, 0, 100, true);
	grant(&t, 2, 0, 100, false);
	assert_int_equal(layout_take_back(&t, 12, 7, 8, true, 0), 1);
	assert_int_equal(t.recalls.n, 1); /* readers are left alone */
	assert_true(t.recalls.v[0].keep_read);
	assert_true(layout_returned(&t, 1, t.recalls.v[0].id));
	assert_true(allows(&t, 1, 0, 100, false));
	assert_false(allows(&t, 1, 7, 8, true));
	assert_true(allows(&t, 1, 8, 100, true));
	/* A recall of a mere reader is not in the way of somebody who lets readers be. */
	assert_int_equal(layout_take_back(&t, 12, 7, 8, false, 0), 1);
	assert_int_equal(layout_take_back(&t, 12, 7, 8, true, 0), 0);
	layout_fini(&t);
}

static void the_end_of_a_holder(void **state)
{
	struct layout_table t = { 0 };

	(void)state;
	grant(&t, 1, 0, 100, true);
	assert_false(layout_drop(&t, 1, 13));
	assert_int_equal(layout_take_back(&t, 12, 0, 10, false, 0), 1);
	assert_true(layout_drop(&t, 1, 12));
	assert_false(allows(&t, 1, 50, 51, false));
	assert_int_equal(layout_take_back(&t, 12, 0, 10, false, 0), 0);
	layout_fini(&t);
}

/* ---- the model ---- */

#define SESSIONS 3
#define BLOCKS 24

/* Per session and block: 0 none, 1 read, 2 write. */
static uint8_t granted[SESSIONS + 1][BLOCKS];

/* Recalls are checked through the table's own list, block by block, against `given`. */
static uint8_t given_of(const struct layout_table *t, uint64_t session, uint64_t block)
{
	uint8_t best = granted[session][block];

	for (size_t i = 0; i < t->recalls.n; i++) {
		const struct layout_piece *p = &t->recalls.v[i].piece;
		uint8_t had = p->write ? 2 : 1;

		if (p->session == session && p->start <= block && block < p->end && had > best)
			best = had;
	}
	return best;
}

static void compare(const struct layout_table *t)
{
	for (uint64_t s = 1; s <= SESSIONS; s++)
		for (uint64_t b = 0; b < BLOCKS; b++) {
			struct layout_piece r = piece(s, b, b + 1, false),
					    w = piece(s, b, b + 1, true);
			uint8_t have = given_of(t, s, b);

			assert_int_equal(layout_allows(t, &r), have >= 1);
			assert_int_equal(layout_allows(t, &w), have == 2);
		}
}

/* What must be so after a take-back: nobody holds there what was taken. */
static void model_take_back(struct layout_table *t, uint64_t start, uint64_t end, bool keep_read,
			    uint64_t except)
{
	size_t before = t->recalls.n;
	uint8_t had[SESSIONS + 1][BLOCKS];
	int r;

	memcpy(had, granted, sizeof(had));
	r = layout_take_back(t, 12, start, end, keep_read, except);
	assert_true(r == 0 || r == 1);
	for (uint64_t s = 1; s <= SESSIONS; s++)
		for (uint64_t b = start; b < end && b < BLOCKS; b++)
			if (s != except && granted[s][b] > (keep_read ? 1 : 0))
				granted[s][b] = keep_read ? 1 : 0;
	/* Each new recall takes what was held, whole. */
	for (size_t i = before; i < t->recalls.n; i++) {
		const struct layout_recall *x = &t->recalls.v[i];

		assert_true(x->piece.session != except && x->keep_read == keep_read);
		for (uint64_t b = x->piece.start; b < x->piece.end; b++)
			assert_int_equal(had[x->piece.session][b], x->piece.write ? 2 : 1);
	}
	if (r == 0)
		for (uint64_t s = 1; s <= SESSIONS; s++)
			for (uint64_t b = start; b < end && b < BLOCKS; b++)
				if (s != except)
					assert_true(given_of(t, s, b) <= (keep_read ? 1 : 0));
}

static void model_step(struct layout_table *t, unsigned *seed)
{
	uint64_t s = 1 + (uint64_t)rand_r(seed) % SESSIONS;
	uint64_t start = (uint64_t)rand_r(seed) % BLOCKS,
		 end = start + 1 + (uint64_t)rand_r(seed) % 8;
	bool flag = rand_r(seed) & 1;
	size_t i;

	if (end > BLOCKS)
		end = BLOCKS;
	switch (rand_r(seed) % 6) {
	case 0:
	case 1:
		if (layout_recalled(t, 12, start, end))
			end = layout_free_up_to(t, 12, start, end);
		grant(t, s, start, end, flag);
		for (uint64_t b = start; b < end; b++)
			if (granted[s][b] < (flag ? 2 : 1))
				granted[s][b] = flag ? 2 : 1;
		break;
	case 2:
		model_take_back(t, start, rand_r(seed) % 4 ? end : END, flag,
				rand_r(seed) & 1 ? s : 0);
		break;
	case 3:
	case 4:
		if (!t->recalls.n)
			break;
		i = (size_t)rand_r(seed) % t->recalls.n;
		assert_true(layout_returned(t, t->recalls.v[i].piece.session, t->recalls.v[i].id));
		break;
	default:
		if (rand_r(seed) % 8)
			break;
		(void)layout_drop(t, s, flag ? 12 : 0);
		memset(granted[s], 0, sizeof(granted[s]));
		break;
	}
}

static void random_against_model(void **state)
{
	(void)state;
	for (unsigned run = 1; run <= 200; run++) {
		struct layout_table t = { 0 };
		unsigned seed = run;

		memset(granted, 0, sizeof(granted));
		for (int step = 0; step < 200; step++) {
			model_step(&t, &seed);
			compare(&t);
		}
		layout_fini(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_join_and_overlap),
		cmocka_unit_test(a_right_under_recall_is_in_the_way),
		cmocka_unit_test(only_the_right_to_write),
		cmocka_unit_test(the_end_of_a_holder),
		cmocka_unit_test(random_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
