/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "clusterd/ring_gate.h"

/* What came out, as text: "V7:q members/group" per view, "M2:text" per message. */
static char out[2000];

static void say_list(const uint32_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)sprintf(out + strlen(out), "%u", list[i]);
}

static void on_view(void *user, const struct ring_view *view)
{
	(void)user;
	(void)sprintf(out + strlen(out), "V%llu%c", (unsigned long long)(view->id >> 8),
		      view->quorate ? '+' : '-');
	say_list(view->members, view->n_members);
	(void)strcat(out, "/");
	say_list(view->group, view->n_group);
	(void)strcat(out, " ");
}

static void on_message(void *user, uint32_t from, const uint8_t *data, size_t len)
{
	(void)user;
	(void)sprintf(out + strlen(out), "M%u:%.*s ", from, (int)len, (const char *)data);
}

static const struct ring_ops ops = { NULL, on_view, on_message };
static const uint32_t all[] = { 1, 2, 3 };
static const struct ring_id r4 = { 1, 4 }, r8 = { 1, 8 }, other8 = { 2, 8 };

static int setup(void **state)
{
	static struct ring_gate gate;

	ring_gate_init(&gate, 1, 99, &ops, NULL);
	out[0] = '\0';
	*state = &gate;
	return 0;
}

static int teardown(void **state)
{
	ring_gate_fini(*state);
	return 0;
}

/* A message of node `from`, sent while its ring was `ring`. */
static void deliver(struct ring_gate *gate, uint32_t from, struct ring_id ring, uint32_t to,
		    const char *text)
{
	struct ring_gate sender;
	uint8_t raw[RING_ENVELOPE_SIZE + 50];

	ring_gate_init(&sender, from, from * 10, &ops, NULL);
	sender.totem = ring;
	ring_gate_envelope(&sender, to, raw);
	memcpy(raw + RING_ENVELOPE_SIZE, text, strlen(text));
	ring_gate_deliver(gate, from, raw, RING_ENVELOPE_SIZE + strlen(text));
}

static void open_ring(struct ring_gate *gate)
{
	ring_gate_totem(gate, r4, all, 3);
	ring_gate_group(gate, all, 3, NULL, 0);
	ring_gate_quorum(gate, r4, true);
}

static void assert_out(const char *want)
{
	assert_string_equal(out, want);
	out[0] = '\0';
}

static void test_messages_wait_for_the_verdict(void **state)
{
	struct ring_gate *gate = *state;

	open_ring(gate);
	assert_out("V4+123/123 ");
	deliver(gate, 2, r4, 0, "a");
	assert_out("M2:a ");
	ring_gate_group(gate, all, 2, all + 2, 1); /* node 3 is gone: not a lost process */
	assert_out("");
	ring_gate_totem(gate, r8, all, 2);
	deliver(gate, 2, r8, 0, "b");
	deliver(gate, 2, r8, 1, "c");
	assert_out("");
	ring_gate_quorum(gate, r8, false);
	assert_out("V8-12/12 M2:b M2:c ");
}

static void test_verdict_may_come_first(void **state)
{
	struct ring_gate *gate = *state;

	open_ring(gate);
	out[0] = '\0';
	ring_gate_quorum(gate, r8, false);
	deliver(gate, 2, r4, 0, "a"); /* recovered message of the old ring */
	assert_out("");
	ring_gate_group(gate, all, 2, all + 2, 1);
	ring_gate_totem(gate, r8, all, 2);
	assert_out("V8-12/12 "); /* "a" was of a view that is over */
}

static void test_stale_and_foreign_messages_are_dropped(void **state)
{
	struct ring_gate *gate = *state;

	open_ring(gate);
	out[0] = '\0';
	deliver(gate, 2, r8, 0, "future");
	deliver(gate, 2, other8, 0, "other side");
	deliver(gate, 2, r4, 3, "for node 3");
	ring_gate_deliver(gate, 2, (const uint8_t *)"garbage", 7);
	ring_gate_deliver(gate, 2, (const uint8_t *)"0123456789012345678901234567890123456789x",
			  41);
	assert_out("");
	assert_int_equal(gate->count.stale, 2);
	assert_int_equal(gate->count.bad, 2);
}

static void test_process_death_is_shown_at_once(void **state)
{
	struct ring_gate *gate = *state;

	open_ring(gate);
	out[0] = '\0';
	ring_gate_group(gate, all, 2, NULL, 0);
	assert_out("V4+123/12 ");
}

static void test_quorum_may_change_without_a_ring(void **state)
{
	struct ring_gate *gate = *state;

	open_ring(gate);
	out[0] = '\0';
	ring_gate_quorum(gate, r4, true);
	assert_out("");
	ring_gate_quorum(gate, r4, false);
	assert_out("V4-123/123 ");
}

static void test_closed_until_we_are_in_the_group(void **state)
{
	struct ring_gate *gate = *state;

	ring_gate_totem(gate, r4, all, 3);
	ring_gate_quorum(gate, r4, true);
	ring_gate_group(gate, all + 1, 2, NULL, 0);
	assert_out("");
	ring_gate_group(gate, all, 3, NULL, 0);
	assert_out("V4+123/123 ");
}

static void test_a_joined_node_may_come_in_either_order(void **state)
{
	struct ring_gate *gate = *state;

	ring_gate_totem(gate, r4, all, 2);
	ring_gate_group(gate, all, 2, NULL, 0);
	ring_gate_quorum(gate, r4, true);
	out[0] = '\0';
	ring_gate_group(gate, all, 3, all + 2, 1);
	assert_out("");
	ring_gate_totem(gate, r8, all, 3);
	ring_gate_quorum(gate, r8, true);
	assert_out("V8+123/123 ");
	ring_gate_group(gate, all, 2, NULL, 0);
	ring_gate_group(gate, all, 3, all + 2, 1); /* named late: it is a member already */
	assert_out("V8+123/12 V8+123/123 ");
}

static void test_lost_own_message_is_counted(void **state)
{
	struct ring_gate *gate = *state;
	uint8_t raw[3][RING_ENVELOPE_SIZE];

	open_ring(gate);
	for (int i = 0; i < 3; i++)
		ring_gate_envelope(gate, 0, raw[i]);
	ring_gate_deliver(gate, 1, raw[0], sizeof(raw[0]));
	ring_gate_deliver(gate, 1, raw[2], sizeof(raw[2]));
	assert_int_equal(gate->count.lost_own, 1);
}

/* Bytes of a bundle from node 2 in ring 4; `cut` of them are missing at its end. */
static void deliver_bundle(struct ring_gate *gate, size_t cut)
{
	static const struct {
		uint32_t to;
		const char *text;
	} part[] = { { 1, "one" }, { 3, "three" }, { 0, "" }, { 0, "all" } };
	uint8_t raw[RING_ENVELOPE_SIZE + 100];
	struct ring_gate sender;
	size_t len = RING_ENVELOPE_SIZE;

	ring_gate_init(&sender, 2, 20, &ops, NULL);
	sender.totem = r4;
	ring_gate_bundle(&sender, raw);
	for (size_t i = 0; i < sizeof(part) / sizeof(*part); i++) {
		ring_gate_part(part[i].to, strlen(part[i].text), raw + len);
		memcpy(raw + len + RING_PART_SIZE, part[i].text, strlen(part[i].text));
		len += RING_PART_SIZE + strlen(part[i].text);
	}
	ring_gate_deliver(gate, 2, raw, len - cut);
}

static void test_bundle_is_taken_apart(void **state)
{
	struct ring_gate *gate = *state;

	open_ring(gate);
	out[0] = '\0';
	deliver_bundle(gate, 0);
	assert_out("M2:one M2: M2:all ");
	assert_int_equal(gate->count.received, 3);
	assert_int_equal(gate->count.bad, 0);
	ring_gate_totem(gate, r8, all, 3);
	deliver_bundle(gate, 0);
	assert_out("");
	assert_int_equal(gate->count.stale, 1);
}

static void test_bundle_waits_for_the_verdict(void **state)
{
	struct ring_gate *gate = *state;

	ring_gate_totem(gate, r4, all, 3);
	ring_gate_group(gate, all, 3, NULL, 0);
	deliver_bundle(gate, 0);
	assert_out("");
	ring_gate_quorum(gate, r4, true);
	assert_out("V4+123/123 M2:one M2: M2:all ");
}

static void test_damaged_bundle_is_taken_as_far_as_it_goes(void **state)
{
	struct ring_gate *gate = *state;

	open_ring(gate);
	out[0] = '\0';
	deliver_bundle(gate, 1);
	assert_out("M2:one M2: ");
	deliver_bundle(gate, 8);
	assert_out("M2:one M2: ");
	assert_int_equal(gate->count.bad, 2);
}

/* Bundles go only to those that have said that they take them, since they came. */
static void test_bundles_are_for_those_that_take_them(void **state)
{
	struct ring_gate *gate = *state;
	uint8_t old[RING_ENVELOPE_SIZE];
	struct ring_gate sender;

	open_ring(gate);
	assert_false(ring_gate_may_bundle(gate));
	deliver(gate, 2, r4, 0, "a");
	assert_false(ring_gate_may_bundle(gate));
	deliver(gate, 3, r4, 2, "b"); /* for somebody else: that is heard, too */
	assert_true(ring_gate_may_bundle(gate));
	ring_gate_group(gate, all, 2, NULL, 0);
	assert_true(ring_gate_may_bundle(gate));
	ring_gate_group(gate, all, 3, NULL, 0);
	assert_false(ring_gate_may_bundle(gate));
	ring_gate_init(&sender, 3, 31, &ops, NULL);
	sender.totem = r4;
	ring_gate_envelope(&sender, 0, old);
	memset(old + 20, 0, 4); /* as older programs write it */
	ring_gate_deliver(gate, 3, old, sizeof(old));
	assert_false(ring_gate_may_bundle(gate));
	ring_gate_down(gate);
	assert_true(ring_gate_may_bundle(gate)); /* there is nobody */
	open_ring(gate);
	assert_false(ring_gate_may_bundle(gate));
}

static void test_down_shows_nobody(void **state)
{
	struct ring_gate *gate = *state;

	open_ring(gate);
	out[0] = '\0';
	ring_gate_down(gate);
	assert_out("V0-/ ");
	deliver(gate, 2, r4, 0, "late");
	ring_gate_quorum(gate, r4, true);
	assert_out("");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_messages_wait_for_the_verdict),
		TEST(test_verdict_may_come_first),
		TEST(test_stale_and_foreign_messages_are_dropped),
		TEST(test_process_death_is_shown_at_once),
		TEST(test_quorum_may_change_without_a_ring),
		TEST(test_closed_until_we_are_in_the_group),
		TEST(test_a_joined_node_may_come_in_either_order),
		TEST(test_lost_own_message_is_counted),
		TEST(test_bundle_is_taken_apart),
		TEST(test_bundle_waits_for_the_verdict),
		TEST(test_damaged_bundle_is_taken_as_far_as_it_goes),
		TEST(test_bundles_are_for_those_that_take_them),
		TEST(test_down_shows_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
