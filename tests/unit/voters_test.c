/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who should vote: one change at a time, and never too few. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "quorum/voters.h"

static struct raft_id id(uint32_t node, uint8_t database)
{
	return (struct raft_id){ .node = node, .uuid = { (uint8_t)node, database } };
}

struct rig {
	struct raft_config config;
	struct voters_one one[8];
	struct voters_view view;
};

/* n nodes that vote, answer and have all. */
static void rig_init(struct rig *r, uint32_t n)
{
	*r = (struct rig){ 0 };
	for (uint32_t i = 0; i < n; i++) {
		r->one[i] = (struct voters_one){ .id = id(i + 1, 1), .caught_up = true };
		assert_true(
			raft_config_put(&r->config, &(struct raft_member){ .id = id(i + 1, 1),
									   .role = RAFT_VOTER }));
	}
	r->view = (struct voters_view){
		.config = &r->config,
		.settled = true,
		.quiet = true,
		.one = r->one,
		.n = n,
	};
}

/* Do it, as raft would. */
static struct voters_change go(struct rig *r)
{
	struct voters_change c = voters_next(&r->view);

	if (c.any && c.op == RAFT_CHANGE_REMOVE)
		raft_config_remove(&r->config, &c.member.id);
	else if (c.any)
		assert_true(raft_config_put(&r->config, &c.member));
	return c;
}

static void away(struct rig *r, uint32_t node, int64_t ms)
{
	r->one[node - 1].away_ms = ms;
	r->one[node - 1].caught_up = false;
}

static void test_all_well_nothing_changes(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	assert_false(go(&r).any);
}

static void test_shrinks_one_at_a_time_to_three(void **state)
{
	struct voters_change c;
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	away(&r, 2, VOTERS_AWAY_MS - 1);
	assert_false(go(&r).any);
	away(&r, 2, VOTERS_AWAY_MS);
	away(&r, 4, VOTERS_AWAY_MS + 10); /* the one who is away longer goes first */
	c = go(&r);
	assert_true(c.any && c.op == RAFT_CHANGE_PUT && c.member.role == RAFT_LEARNER);
	assert_int_equal(c.member.id.node, 4);
	r.view.settled = false; /* not before that is committed */
	assert_false(go(&r).any);
	r.view.settled = true;
	assert_int_equal(go(&r).member.id.node, 2);
	assert_int_equal(raft_config_voters(&r.config), 3);
	away(&r, 1, VOTERS_AWAY_MS * 2);
	assert_false(go(&r).any); /* never below three */
}

static void test_not_while_something_happens(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 4);
	away(&r, 2, VOTERS_AWAY_MS * 2);
	r.view.quiet = false;
	assert_false(go(&r).any);
	r.view.quiet = true;
	assert_true(go(&r).any);
}

static void test_who_is_back_votes_again(void **state)
{
	struct voters_change c;
	struct rig r;

	(void)state;
	rig_init(&r, 4);
	away(&r, 2, VOTERS_AWAY_MS);
	assert_true(go(&r).any);
	r.one[1].away_ms = 0;
	assert_false(go(&r).any); /* it has not caught up */
	r.one[1].caught_up = true;
	r.view.quiet = false; /* growing waits for nothing */
	c = go(&r);
	assert_true(c.any && c.member.role == RAFT_JOINING);
	assert_int_equal(c.member.id.node, 2);
}

static void test_the_new_database_catches_up_first(void **state)
{
	struct voters_change c;
	struct rig r;

	(void)state;
	rig_init(&r, 3);
	r.one[2] = (struct voters_one){ .id = id(3, 2) };
	c = go(&r);
	assert_true(c.any && c.op == RAFT_CHANGE_PUT && c.member.role == RAFT_LEARNER);
	assert_true(raft_id_equal(&c.member.id, &r.one[2].id));
	assert_false(go(&r).any);
	assert_int_equal(raft_config_voters(&r.config), 3);
	r.one[2].caught_up = true;
	c = go(&r);
	assert_true(c.any && c.op == RAFT_CHANGE_REMOVE && c.member.id.uuid[1] == 1);
	c = go(&r);
	assert_true(c.any && c.member.role == RAFT_JOINING && c.member.id.uuid[1] == 2);
}

/* An heir that stays away does not hold its old self's vote for ever. */
static void test_an_heir_that_stays_away(void **state)
{
	struct voters_change c;
	struct rig r;

	(void)state;
	rig_init(&r, 5);
	r.one[4] = (struct voters_one){ .id = id(5, 2) };
	assert_true(go(&r).any);
	r.one[4].away_ms = VOTERS_AWAY_MS;
	c = go(&r);
	assert_true(c.any && c.op == RAFT_CHANGE_REMOVE && c.member.id.uuid[1] == 1);
	assert_int_equal(raft_config_voters(&r.config), 4);
}

static void test_who_is_no_node_goes_at_once(void **state)
{
	struct voters_change c;
	struct rig r;

	(void)state;
	rig_init(&r, 3);
	r.view.n = 2;
	r.view.quiet = false;
	c = go(&r);
	assert_true(c.any && c.op == RAFT_CHANGE_REMOVE);
	assert_int_equal(c.member.id.node, 3);
}

/* Its vote goes before it does, also of two; the last one's never. */
static void test_who_leaves_votes_no_more(void **state)
{
	struct voters_change c;
	struct rig r;

	(void)state;
	rig_init(&r, 2);
	r.view.quiet = false;
	r.one[1].leaves = true;
	r.one[0].caught_up = false; /* alone it could decide nothing */
	assert_false(go(&r).any);
	r.one[0].caught_up = true;
	c = go(&r);
	assert_true(c.any);
	assert_int_equal(c.op, RAFT_CHANGE_PUT);
	assert_int_equal(c.member.id.node, 2);
	assert_int_equal(c.member.role, RAFT_LEARNER);
	assert_false(go(&r).any); /* nor is it made a voter again */
	r.one[0].leaves = true;
	assert_false(go(&r).any);
	r.one[1].leaves = false; /* it stays after all */
	c = go(&r);
	assert_int_equal(c.member.id.node, 2);
	assert_int_equal(c.member.role, RAFT_JOINING);
	assert_false(go(&r).any);
	c.member.role = RAFT_VOTER; /* raft: it has caught up */
	assert_true(raft_config_put(&r.config, &c.member));
	c = go(&r);
	assert_int_equal(c.member.id.node, 1);
	assert_int_equal(c.member.role, RAFT_LEARNER);
}

/* A leader would have the change in its log alone: another one makes it. */
static void test_nobody_takes_its_own_vote(void **state)
{
	struct voters_change c;
	struct rig r;

	(void)state;
	rig_init(&r, 3);
	r.view.self = id(2, 1);
	r.one[1].leaves = true;
	c = voters_next(&r.view);
	assert_true(c.any && c.hand_over);
	r.view.defects = VOTERS_DEFECT_OWN_VOTE;
	assert_false(voters_next(&r.view).hand_over);
	r.view.defects = 0;
	r.view.self = id(1, 1);
	c = go(&r);
	assert_true(c.any && !c.hand_over);
	assert_int_equal(c.member.id.node, 2);
	assert_int_equal(c.member.role, RAFT_LEARNER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_well_nothing_changes),
		cmocka_unit_test(test_shrinks_one_at_a_time_to_three),
		cmocka_unit_test(test_not_while_something_happens),
		cmocka_unit_test(test_who_is_back_votes_again),
		cmocka_unit_test(test_the_new_database_catches_up_first),
		cmocka_unit_test(test_an_heir_that_stays_away),
		cmocka_unit_test(test_who_is_no_node_goes_at_once),
		cmocka_unit_test(test_who_leaves_votes_no_more),
		cmocka_unit_test(test_nobody_takes_its_own_vote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
