/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A node's other address: the leader takes the next step only when all links stand between all nodes. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clusterd/core/internal.h"

static struct node *n; /* node 1 of 3, the leader; the setup is of version 5 */
static struct node_actions out;

static int begin(void **state)
{
	static const char *const names[] = { "a", "b", "c" };

	(void)state;
	n = calloc(1, sizeof(*n));
	n->out = &out;
	n->cfg.id = 1;
	n->now_ms = 1000000;
	n->state.setup.version = 5;
	n->view.n_members = 3;
	for (uint32_t id = 1; id <= 3; id++) {
		struct state_node s = { .id = id, .phase = STATE_NODE_LIVING };
		struct peer p = { .id = id, .heard_ms = n->now_ms, .links = { 5, 5, 0, 0 } };

		CORE_COPY(s.name, names[id - 1]);
		n->view.members[id - 1] = id;
		assert_int_equal(state_node_vec_push(&n->state.nodes, s), 0);
		assert_int_equal(peer_vec_push(&n->peers, p), 0);
	}
	n->links = (struct node_links){ 5, 5, 0, 0 };
	return 0;
}

static int end(void **state)
{
	(void)state;
	state_node_vec_fini(&n->state.nodes);
	peer_vec_fini(&n->peers);
	free(n);
	node_actions_fini(&out);
	return 0;
}

/* NULL: nothing is done; "": the next step; else why it is taken back. */
static const char *done_after(int64_t ms)
{
	static char said[STATE_REASON_MAX];

	n->now_ms += ms;
	for (size_t i = 0; i < n->peers.n; i++)
		n->peers.v[i].heard_ms += n->peers.v[i].heard_ms ? ms : 0;
	node_actions_clear(&out);
	setup_links_step(n);
	if (!out.v.n)
		return NULL;
	assert_int_equal(out.v.n, 1);
	assert_int_equal(out.v.v[0].type, NODE_DO_SETUP_MOVE);
	CORE_COPY(said, out.v.v[0].reply.text);
	return said;
}

static void all_stand(void **state)
{
	(void)state;
	assert_string_equal(done_after(0), "");
	assert_null(done_after(10)); /* not with each step anew */
	assert_string_equal(done_after(1000), "");
	n->links.moving = 4; /* our own daemon has not seen this one yet */
	assert_null(done_after(1000));
	n->links.moving = 0;
	assert_null(done_after(1000));
}

static void one_pair_does_not(void **state)
{
	(void)state;
	n->peers.v[1].links = (struct node_links){ 5, 0, 3, 1 };
	assert_null(done_after(0));
	assert_null(done_after(CORE_LINK_MS - 1));
	assert_string_equal(done_after(1), "'b' and 'c' do not connect on link 1");
	/* The next one has its time anew. */
	n->state.setup.version = 6;
	n->links = (struct node_links){ 6, 6, 0, 0 };
	assert_null(done_after(1000));
	n->peers.v[1].links.stand = n->peers.v[2].links.stand = 6;
	assert_string_equal(done_after(1000), "");
}

static void our_own_does_not(void **state)
{
	(void)state;
	n->links = (struct node_links){ 5, 0, 2, 0 };
	assert_null(done_after(0));
	assert_string_equal(done_after(CORE_LINK_MS), "'a' and 'b' do not connect on link 0");
}

static void by_the_setup_of_before(void **state)
{
	(void)state;
	n->peers.v[2].links = (struct node_links){ 4, 4, 0, 0 };
	assert_null(done_after(0));
	assert_string_equal(done_after(CORE_LINK_MS), "'c' has not loaded it");
}

static void somebody_is_away(void **state)
{
	(void)state;
	n->state.nodes.v[2].phase = STATE_NODE_FAILED;
	n->links = (struct node_links){ 5, 0, 3, 0 }; /* we miss it: that is not the reason */
	assert_null(done_after(0));
	assert_string_equal(done_after(CORE_LINK_MS), "'c' is not up");
	n->state.nodes.v[2].phase = STATE_NODE_LIVING;
	n->peers.v[2].heard_ms = 0;
	assert_string_equal(done_after(1000), "'c' is not up");
}

/* It knows that itself: nobody waits for it. */
static void no_such_address(void **state)
{
	(void)state;
	n->peers.v[1].links = (struct node_links){ 5, 0, 2, 0 };
	assert_string_equal(done_after(0), "no interface of 'b' has it");
}

static void defect_link_early(void **state)
{
	(void)state;
	n->cfg.defects = NODE_DEFECT_LINK_EARLY;
	n->peers.v[1].links = (struct node_links){ 5, 0, 3, 1 };
	assert_string_equal(done_after(0),
			    ""); /* without the guard b and c would be left without a link */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_stand, begin, end),
		cmocka_unit_test_setup_teardown(one_pair_does_not, begin, end),
		cmocka_unit_test_setup_teardown(our_own_does_not, begin, end),
		cmocka_unit_test_setup_teardown(by_the_setup_of_before, begin, end),
		cmocka_unit_test_setup_teardown(somebody_is_away, begin, end),
		cmocka_unit_test_setup_teardown(no_such_address, begin, end),
		cmocka_unit_test_setup_teardown(defect_link_early, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
