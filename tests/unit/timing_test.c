/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checker of times: a table of configurations with the rule that each breaks; and random ones that it
 * accepts, put through the lease's own code: what docs/timing.md says of them has to come true.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "quorum/lease.h"
#include "quorum/timing.h"

static const struct timing good = {
	.token_ms = 1000,
	.consensus_ms = 1200,
	.nodes = 3,
	.links = 1,
	.lease_ms = 5200,
	.watchdog_ms = 3000,
	.feeder = true,
	.heartbeat_ms = HEARTBEAT_MS,
	.fresh_ms = HEARTBEAT_FRESH_MS,
	.silent_ms = HEARTBEAT_SILENT_MS,
};

/* `change` made to the good one breaks exactly this rule. */
#define BREAKS(wanted, change)                                                                     \
	do {                                                                                       \
		struct timing t = good;                                                            \
		struct timing_fault faults[TIMING_RULES_MAX];                                      \
		size_t n;                                                                          \
		change;                                                                            \
		n = timing_check(&t, faults);                                                      \
		if (wanted[0] == 0) {                                                              \
			assert_int_equal(n, 0);                                                    \
		} else {                                                                           \
			assert_int_equal(n, 1);                                                    \
			assert_string_equal(faults[0].rule, wanted);                               \
			assert_true(faults[0].text[0] && faults[0].fix[0]);                        \
		}                                                                                  \
	} while (0)

static void test_table(void **state)
{
	(void)state;
	BREAKS("", (void)t);
	BREAKS("token", (t.token_ms = 499, t.consensus_ms = 1200));
	BREAKS("", (t.token_ms = 500, t.consensus_ms = 600, t.lease_ms = 4100));
	BREAKS("consensus", t.consensus_ms = 1199);
	BREAKS("consensus", t.consensus_ms = 300);
	BREAKS("lease",
	       (t.token_ms = 1001, t.consensus_ms = 1202)); /* loaded anew, L is of the start */
	BREAKS("", (t.token_ms = 500, t.consensus_ms = 600));
	BREAKS("watchdog", t.watchdog_ms = 4201);
	BREAKS("", t.watchdog_ms = 4200);
	BREAKS("", t.watchdog_ms = 0);
	BREAKS("watchdog",
	       (t.token_ms = 500, t.consensus_ms = 600, t.lease_ms = 4100, t.watchdog_ms = 3101));
	BREAKS("clocks", (t.token_ms = 40000, t.consensus_ms = 60000, t.lease_ms = 103000));
	BREAKS("", (t.token_ms = 40000, t.consensus_ms = 48000, t.lease_ms = 91000));
	BREAKS("sync", t.sync_timeout_ms = 30000); /* corosync's own */
	BREAKS("sync", t.sync_timeout_ms = 3001);
	BREAKS("", t.sync_timeout_ms = 3000);
	BREAKS("coefficient", t.coefficient_ms = 650); /* corosync's own */
	BREAKS("links", (t.links = 2, t.passive = true));
	BREAKS("", t.links = 2);
	BREAKS("", t.passive = true);
	BREAKS("silent", t.silent_ms = 1299);
	BREAKS("heartbeat", t.heartbeat_ms = 501);
	BREAKS("feeder", t.feeder = false);
	BREAKS("", (t.token_ms = UINT32_MAX / 4, (void)(t = good)));
}

static void test_the_gravest_comes_first(void **state)
{
	struct timing t = good;
	struct timing_fault faults[TIMING_RULES_MAX];

	(void)state;
	t = (struct timing){ .token_ms = UINT32_MAX,
			     .coefficient_ms = UINT32_MAX,
			     .nodes = UINT32_MAX,
			     .links = 8,
			     .passive = true,
			     .sync_timeout_ms = UINT32_MAX,
			     .watchdog_ms = UINT32_MAX,
			     .heartbeat_ms = UINT32_MAX,
			     .fresh_ms = UINT32_MAX };
	assert_true(timing_check(&t, faults) >= 8);
	assert_string_equal(faults[0].rule, "watchdog");
}

/* ---- random ones ------------------------------------------------------------------------------------ */

static uint64_t seed = 20261122;

static uint32_t between(uint32_t low, uint32_t high)
{
	seed = seed * 6364136223846793005 + 1442695040888963407;
	return low + (uint32_t)((seed >> 33) % (high - low + 1));
}

/* Near the edges of the rules, on both sides. */
static struct timing anything(void)
{
	struct timing t = good;

	t.token_ms = between(1, 10) == 1 ? between(100, 60000) : between(400, 3000);
	t.consensus_ms = between(t.token_ms, t.token_ms * 2);
	t.lease_ms = (uint32_t)lease_length_ms(t.token_ms, t.consensus_ms);
	if (between(0, 3) == 0)
		t.lease_ms = t.lease_ms - 500 + between(0, 1000);
	t.sync_timeout_ms = between(0, 1) ? between(1000, 4000) : 0;
	t.watchdog_ms = between(0, 4) ? between(1, 10) * 1000 : 0;
	return t;
}

struct run {
	struct lease lease;
	struct raft_config config;
	int64_t now_ms, next_beat_ms;
	uint32_t way_ms; /* of a beat and its ack together */
	enum lease_state worst;
};

/* A healthy cluster for so long; without acks: the ring changes. */
static void go_on(struct run *r, int64_t ms, bool acks)
{
	for (int64_t end_ms = r->now_ms + ms; r->now_ms < end_ms; r->now_ms++) {
		int64_t sent_ms = r->now_ms - r->way_ms;

		for (uint32_t v = 0;
		     acks && sent_ms > 0 && sent_ms % LEASE_BEAT_MS == 0 && v < r->config.n; v++)
			lease_acked(&r->lease, &r->config.member[v].id, sent_ms);
		(void)lease_renew(&r->lease, &r->config);
		(void)lease_tick(&r->lease, r->now_ms);
		if (r->now_ms > 1000 && lease_state(&r->lease) > r->worst)
			r->worst = lease_state(&r->lease);
	}
}

static struct run begin(const struct timing *t)
{
	struct run r = {
		.config = { .n = 3 }, .now_ms = 1, .way_ms = between(1, 250), .worst = LEASE_VALID
	};

	for (uint32_t v = 0; v < r.config.n; v++)
		r.config.member[v] =
			(struct raft_member){ { .node = v + 1, .uuid = { (uint8_t)(v + 1) } },
					      RAFT_VOTER };
	lease_init(&r.lease, t->lease_ms);
	go_on(&r, 2000 + between(0, 500), true);
	return r;
}

/* No VM pauses for a ring change, and none is killed for one that waits for its quorum device. */
static void ring_changes(const struct timing *t)
{
	struct run r = begin(t);

	go_on(&r, t->token_ms + t->consensus_ms, false);
	assert_int_equal(r.worst, LEASE_VALID);
	go_on(&r, t->sync_timeout_ms ? (int64_t)t->sync_timeout_ms - LEASE_BEAT_MS - r.way_ms : 0,
	      false);
	assert_true(r.worst <= LEASE_PAUSED);
}

/* Feeder and clusterd end at one moment: the machine is reset before the lease ends. */
static void both_end(const struct timing *t)
{
	struct run r = begin(t);

	assert_true(r.now_ms + t->watchdog_ms <= r.lease.until_ms);
}

/* The pause, by a clock that is slow by as much as is allowed, comes before the others' bound. */
static void clocks_differ(const struct timing *t)
{
	int64_t pause_ms = (int64_t)t->lease_ms - LEASE_PAUSE_MS;

	assert_true(pause_ms + pause_ms / TIMING_CLOCKS <= t->lease_ms);
}

static void test_what_is_accepted_holds(void **state)
{
	struct timing_fault faults[TIMING_RULES_MAX];
	unsigned accepted = 0, refused = 0;

	(void)state;
	for (unsigned i = 0; i < 1500; i++) {
		struct timing t = anything();

		if (timing_check(&t, faults) > 0) {
			refused++;
			continue;
		}
		accepted++;
		ring_changes(&t);
		both_end(&t);
		clocks_differ(&t);
	}
	/* Both happen often, or nothing was shown. */
	assert_true(accepted > 100 && refused > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_the_gravest_comes_first),
		cmocka_unit_test(test_what_is_accepted_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
