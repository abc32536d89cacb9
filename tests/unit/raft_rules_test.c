/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One raft object, messages by hand: single rules, each in the smallest history that shows it. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "quorum/raft.h"

struct fix {
	struct raft *r;
	struct raft_actions a;
	int64_t now;
};

static struct raft_id id_of(uint32_t node)
{
	struct raft_id id = { .node = node };

	memset(id.uuid, (int)node, RAFT_UUID_LEN);
	return id;
}

static struct raft_config config_of(uint32_t voters)
{
	struct raft_config c = { 0 };

	for (uint32_t i = 1; i <= voters; i++) {
		struct raft_member m = { .id = id_of(i), .role = RAFT_VOTER };

		assert_true(raft_config_put(&c, &m));
	}
	return c;
}

static void step(struct fix *f, struct raft_event ev)
{
	ev.now_ms = f->now;
	raft_step(f->r, &ev, &f->a);
}

/* Node `self` of `voters`, term 5, snapshot at 1, entries 2..last of term 3. */
static void start(struct fix *f, uint32_t self, uint32_t voters, uint64_t last)
{
	struct raft_params p = { .self = id_of(self), .incarnation = 7, .seed = 1 };
	struct raft_stored st = { .term = 5 };
	struct raft_entry log[32];

	st.snapshot = (struct raft_snapshot){ .index = 1, .term = 1, .config = config_of(voters) };
	for (uint64_t i = 2; i <= last; i++)
		log[i - 2] = (struct raft_entry){ .index = i, .term = 3, .type = RAFT_ENTRY_NOOP };
	st.entries = log;
	st.n_entries = last - 1;
	*f = (struct fix){ .now = 1000 };
	assert_int_equal(raft_new(&p, &st, f->now, &f->r, NULL), 0);
	step(f, (struct raft_event){ .type = RAFT_TICK });
	assert_int_equal(f->a.apply.v[0].type, RAFT_APPLY_RESTORE);
}

static void stop(struct fix *f)
{
	raft_free(f->r);
	raft_actions_fini(&f->a);
}

static void tick(struct fix *f, int64_t ms)
{
	f->now += ms;
	step(f, (struct raft_event){ .type = RAFT_TICK });
}

static void persisted(struct fix *f, uint64_t seq)
{
	step(f, (struct raft_event){ .type = RAFT_PERSISTED, .persisted_seq = seq });
}

static struct raft_message from(uint32_t node, uint32_t to, enum raft_message_type type,
				uint64_t term)
{
	return (struct raft_message){ .type = type,
				      .from = id_of(node),
				      .to = id_of(to),
				      .from_incarnation = 1,
				      .term = term,
				      .seq = 1,
				      .sent_ms = 500 };
}

static void give(struct fix *f, struct raft_message *m)
{
	step(f, (struct raft_event){ .type = RAFT_MESSAGE, .message = m });
}

static const struct raft_message *only_reply(struct fix *f, enum raft_message_type type)
{
	assert_int_equal(f->a.send.n, 1);
	assert_int_equal(f->a.send.v[0].type, type);
	return &f->a.send.v[0];
}

static void vote_request(struct fix *f, uint32_t node, uint64_t term, bool transfer)
{
	struct raft_message m = from(node, 1, RAFT_VOTE, term);

	m.last_index = 100;
	m.last_term = 4;
	m.transfer = transfer;
	give(f, &m);
}

/* Rule 7: the grant leaves when the vote is durable, and not a step before. */
static void test_vote_waits_for_the_disk(void **state)
{
	struct fix f;

	(void)state;
	start(&f, 1, 3, 5);
	vote_request(&f, 2, 6, false);
	assert_true(f.a.has_persist && f.a.persist.has_vote);
	assert_int_equal(f.a.persist.term, 6);
	assert_int_equal(f.a.persist.vote.node, 2);
	assert_int_equal(f.a.send.n, 0);
	tick(&f, 50);
	assert_int_equal(f.a.send.n, 0);
	persisted(&f, 1);
	assert_true(only_reply(&f, RAFT_VOTE_REPLY)->ok);
	stop(&f);
}

/* Rules 8, 9: one vote in a term, also for one whom the leader sends. */
static void test_one_vote_in_a_term(void **state)
{
	struct fix f;

	(void)state;
	start(&f, 1, 3, 5);
	vote_request(&f, 2, 6, false);
	persisted(&f, 1);
	vote_request(&f, 3, 6, true);
	assert_false(only_reply(&f, RAFT_VOTE_REPLY)->ok);
	vote_request(&f, 2, 6, false); /* asked again: the same answer */
	assert_true(only_reply(&f, RAFT_VOTE_REPLY)->ok);
	stop(&f);
}

static struct raft_message append_of(uint64_t term, uint64_t prev, uint64_t prev_term,
				     uint64_t commit)
{
	struct raft_message m = from(2, 1, RAFT_APPEND, term);

	m.prev_index = prev;
	m.prev_term = prev_term;
	m.commit = commit;
	return m;
}

/* Rules 1, 4, 5: an empty append vouches for nothing behind its prev, commits nothing behind it
 * and cuts nothing. */
static void test_empty_append_says_nothing_of_the_tail(void **state)
{
	struct raft_message m = append_of(5, 4, 3, 9);
	const struct raft_message *reply;
	struct fix f;

	(void)state;
	start(&f, 1, 3, 9);
	give(&f, &m);
	reply = only_reply(&f, RAFT_APPEND_REPLY);
	assert_true(reply->ok);
	assert_int_equal(reply->match, 4);
	assert_int_equal(reply->received, 4);
	assert_int_equal(raft_commit_index(f.r), 4);
	assert_int_equal(raft_last_index(f.r), 9);
	stop(&f);
}

/* Log matching: a wrong run of terms is skipped at once, a real conflict is cut, and the cut is in
 * the same transaction as what replaces it. */
static void test_conflict_is_cut_and_replaced(void **state)
{
	struct raft_entry e = { .index = 5, .term = 5, .type = RAFT_ENTRY_NOOP };
	struct raft_message m = append_of(5, 9, 5, 0);
	struct fix f;

	(void)state;
	start(&f, 1, 3, 9);
	give(&f, &m);
	assert_false(only_reply(&f, RAFT_APPEND_REPLY)->ok);
	assert_int_equal(f.a.send.v[0].received, 1);
	m = append_of(5, 4, 3, 0);
	m.seq = 2;
	m.entries = &e;
	m.n_entries = 1;
	give(&f, &m);
	assert_int_equal(f.a.persist.truncate_from, 5);
	assert_int_equal(f.a.persist.n_entries, 1);
	assert_int_equal(f.a.send.n, 0);
	persisted(&f, f.a.persist.seq);
	assert_int_equal(only_reply(&f, RAFT_APPEND_REPLY)->match, 5);
	assert_int_equal(raft_last_index(f.r), 5);
	stop(&f);
}

/* Rule 6: a message that contradicts what is committed comes from no leader. */
static void test_committed_is_never_cut(void **state)
{
	struct raft_entry e = { .index = 4, .term = 5, .type = RAFT_ENTRY_NOOP };
	struct raft_message m = append_of(5, 6, 3, 6);
	struct fix f;

	(void)state;
	start(&f, 1, 3, 9);
	give(&f, &m);
	assert_int_equal(raft_commit_index(f.r), 6);
	m = append_of(5, 3, 3, 6);
	m.entries = &e;
	m.n_entries = 1;
	give(&f, &m);
	assert_int_equal(f.a.send.n, 0);
	assert_int_equal(raft_last_index(f.r), 9);
	stop(&f);
}

static void ring_of(struct fix *f, const uint32_t *nodes, uint32_t n)
{
	struct raft_event ev = { .type = RAFT_RING };

	ev.ring.ring = ev.ring.group = nodes;
	ev.ring.n_ring = ev.ring.n_group = n;
	step(f, ev);
}

/* A ring without the leader: expiry by rank, and no more loyalty; with it: the timer restarts. */
static void test_ring_change_and_the_timer(void **state)
{
	static const uint32_t without[] = { 1, 3 }, with[] = { 1, 2 };
	struct raft_message beat = append_of(5, 5, 3, 5), ask = from(3, 1, RAFT_PREVOTE, 5);
	struct fix f;

	(void)state;
	ask.last_index = 50;
	ask.last_term = 5;
	start(&f, 1, 3, 5);
	give(&f, &beat);
	give(&f, &ask);
	assert_false(only_reply(&f, RAFT_PREVOTE_REPLY)->ok);
	f.now += 1900;
	ring_of(&f, with, 2);
	assert_in_range(raft_deadline(f.r), f.now + 2000, f.now + 3000);
	ring_of(&f, without, 2);
	assert_int_equal(raft_deadline(f.r), f.now);
	give(&f, &ask);
	assert_true(only_reply(&f, RAFT_PREVOTE_REPLY)->ok);
	assert_int_equal(raft_deadline(f.r), f.now); /* rule 16: asking moves no timer */
	stop(&f);
	start(&f, 3, 3, 5);
	ring_of(&f, without, 2);
	assert_int_equal(raft_deadline(f.r), f.now + 50);
	stop(&f);
}

static uint64_t last_seq_to(struct fix *f, uint32_t node, enum raft_message_type type)
{
	for (size_t i = f->a.send.n; i > 0; i--)
		if (f->a.send.v[i - 1].type == type && f->a.send.v[i - 1].to.node == node)
			return f->a.send.v[i - 1].seq;
	return 0;
}

static void answer(struct fix *f, uint32_t node, enum raft_message_type type, uint64_t seq,
		   uint64_t match)
{
	struct raft_message m = from(node, 1, type, raft_term(f->r));

	m.to_incarnation = 7;
	m.seq = seq;
	m.sent_ms = f->now;
	m.ok = true;
	m.match = m.received = match;
	give(f, &m);
}

/* Node 1 of 3 leads term 6, its no-op at 6 is committed. */
static void lead(struct fix *f)
{
	uint64_t seq;

	start(f, 1, 3, 5);
	tick(f, 3100);
	assert_int_equal(raft_role(f->r), RAFT_PRECANDIDATE);
	answer(f, 2, RAFT_PREVOTE_REPLY, last_seq_to(f, 2, RAFT_PREVOTE), 0);
	assert_int_equal(raft_role(f->r), RAFT_CANDIDATE);
	assert_int_equal(last_seq_to(f, 2, RAFT_VOTE), 0); /* not before its own vote is durable */
	persisted(f, f->a.persist.seq);
	seq = last_seq_to(f, 2, RAFT_VOTE);
	assert_int_not_equal(seq, 0);
	answer(f, 2, RAFT_VOTE_REPLY, seq, 0);
	assert_int_equal(raft_role(f->r), RAFT_LEADER);
	seq = last_seq_to(f, 2, RAFT_APPEND);
	persisted(f, f->a.persist.seq);
	assert_false(raft_leader_ready(f->r));
	answer(f, 2, RAFT_APPEND_REPLY, seq, 6);
	assert_true(raft_leader_ready(f->r));
}

static void propose(struct fix *f, uint64_t id)
{
	struct raft_event ev = { .type = RAFT_PROPOSE };

	ev.propose.id = id;
	ev.propose.data = (const uint8_t *)"x";
	ev.propose.len = 1;
	step(f, ev);
}

/* Applied and told once committed and durable here (rules 20, 21); unknown when the lead is lost. */
static void test_results_of_proposals(void **state)
{
	struct raft_message m = from(3, 1, RAFT_APPEND_REPLY, 9);
	uint64_t seq, persist;
	struct fix f;

	(void)state;
	lead(&f);
	propose(&f, 41);
	seq = last_seq_to(&f, 2, RAFT_APPEND);
	persist = f.a.persist.seq;
	answer(&f, 2, RAFT_APPEND_REPLY, seq, 7);
	assert_int_equal(raft_commit_index(f.r), 6); /* our own disk is the second voter */
	persisted(&f, persist);
	assert_int_equal(f.a.results.n, 1);
	assert_int_equal(f.a.results.v[0].id, 41);
	assert_int_equal(f.a.results.v[0].status, RAFT_DONE);
	assert_int_equal(f.a.results.v[0].index, 7);
	assert_int_equal(f.a.apply.v[0].entry->index, 7);
	propose(&f, 42);
	give(&f, &m);
	assert_int_equal(raft_role(f.r), RAFT_FOLLOWER);
	assert_int_equal(f.a.results.v[0].id, 42);
	assert_int_equal(f.a.results.v[0].status, RAFT_UNKNOWN);
	propose(&f, 43);
	assert_int_equal(f.a.results.v[0].status, RAFT_REFUSED);
	stop(&f);
}

/* A read counts answers to requests sent after it came, and no others (rule 19). */
static void test_read_needs_a_new_round(void **state)
{
	struct raft_event ev = { .type = RAFT_READ };
	uint64_t old;
	struct fix f;

	(void)state;
	lead(&f);
	tick(&f, 100);
	old = last_seq_to(&f, 2, RAFT_APPEND);
	ev.read.id = 9;
	step(&f, ev);
	assert_int_equal(f.a.results.n, 0);
	ev.read.id = last_seq_to(&f, 2, RAFT_APPEND);
	answer(&f, 2, RAFT_APPEND_REPLY, old, 6);
	assert_int_equal(f.a.results.n, 0);
	answer(&f, 2, RAFT_APPEND_REPLY, ev.read.id, 6);
	assert_int_equal(f.a.results.n, 1);
	assert_int_equal(f.a.results.v[0].status, RAFT_DONE);
	assert_int_equal(f.a.results.v[0].index, 6);
	stop(&f);
}

/* A read every 10 ms, each with a beat: the append that was lost is repeated all the same (rule 28). */
static void test_reads_do_not_starve_appends(void **state)
{
	struct fix f;
	bool repeated = false;

	(void)state;
	lead(&f);
	propose(&f, 1);
	for (int i = 0; i < 15; i++) {
		struct raft_event ev = { .type = RAFT_READ, .read.id = 100 + (uint64_t)i };

		f.now += 10;
		step(&f, ev);
		for (size_t k = 0; k < f.a.send.n; k++)
			repeated = repeated ||
				   (f.a.send.v[k].type == RAFT_APPEND && f.a.send.v[k].n_entries);
	}
	assert_true(repeated);
	stop(&f);
}

/* Our append hangs for 2 s while a follower answers: the lead goes there. */
static void test_slow_disk_hands_over(void **state)
{
	struct fix f;
	bool offered = false;

	(void)state;
	lead(&f);
	propose(&f, 1);
	for (int i = 0; i < 30 && !offered; i++) {
		answer(&f, 2, RAFT_APPEND_REPLY, last_seq_to(&f, 2, RAFT_APPEND), 7);
		tick(&f, 100);
		offered = last_seq_to(&f, 2, RAFT_TIMEOUT_NOW) != 0;
		assert_true(!offered || i >= 19);
	}
	assert_true(offered);
	stop(&f);
}

/* Rule 17: silence of the majority ends the lead, measured from what was answered. */
static void test_check_quorum(void **state)
{
	struct fix f;

	(void)state;
	lead(&f);
	tick(&f, 1990);
	assert_int_equal(raft_role(f.r), RAFT_LEADER);
	tick(&f, 20);
	assert_int_equal(raft_role(f.r), RAFT_FOLLOWER);
	stop(&f);
}

/* Alone: elected, committed and applied by its own disk only. */
static void test_single_voter(void **state)
{
	struct fix f;

	(void)state;
	start(&f, 1, 1, 1);
	tick(&f, 3100);
	assert_int_equal(raft_role(f.r), RAFT_CANDIDATE);
	persisted(&f, f.a.persist.seq);
	assert_int_equal(raft_role(f.r), RAFT_LEADER);
	persisted(&f, f.a.persist.seq);
	assert_true(raft_leader_ready(f.r));
	propose(&f, 5);
	persisted(&f, f.a.persist.seq);
	assert_int_equal(f.a.results.v[0].status, RAFT_DONE);
	stop(&f);
}

/* A higher line is reported and not followed; another voter's message is not ours (rule 25). */
static void test_strangers(void **state)
{
	struct raft_message m = append_of(6, 5, 3, 5);
	struct fix f;

	(void)state;
	start(&f, 1, 3, 5);
	m.line.number = 1;
	give(&f, &m);
	assert_true(f.a.newer_line);
	assert_int_equal(f.a.line.number, 1);
	assert_int_equal(raft_term(f.r), 5);
	m = append_of(6, 5, 3, 5);
	m.to.uuid[3] ^= 1;
	give(&f, &m);
	assert_int_equal(raft_term(f.r), 5);
	m = append_of(6, 5, 3, 5);
	m.to_incarnation = 6; /* an answer to an earlier life */
	give(&f, &m);
	assert_int_equal(raft_term(f.r), 5);
	stop(&f);
}

/* Rule 22, and an empty database votes for nobody. */
static void test_lost_memory_and_empty_database(void **state)
{
	struct raft_params p = { .self = id_of(1), .incarnation = 1 };
	struct raft_stored st = { .memory_lost = true };
	struct cl_error err = CL_ERROR_INIT;
	struct fix f = { .now = 1000 };

	(void)state;
	assert_int_equal(raft_new(&p, &st, 0, &f.r, &err), -CL_ECORRUPT);
	st.memory_lost = false;
	assert_int_equal(raft_new(&p, &st, 0, &f.r, NULL), 0);
	vote_request(&f, 2, 6, false);
	persisted(&f, f.a.persist.seq);
	assert_false(only_reply(&f, RAFT_VOTE_REPLY)->ok);
	tick(&f, 10000);
	assert_int_equal(raft_role(f.r), RAFT_FOLLOWER);
	stop(&f);
}

#ifndef CL_DEFECTS
static void test_defects_are_refused_in_daemons(void **state)
{
	struct raft_params p = { .self = id_of(1), .defects = RAFT_DEFECT(7) };
	struct raft_stored st = { 0 };
	struct raft *r = NULL;

	(void)state;
	assert_int_equal(raft_new(&p, &st, 0, &r, NULL), -EINVAL);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vote_waits_for_the_disk),
		cmocka_unit_test(test_one_vote_in_a_term),
		cmocka_unit_test(test_empty_append_says_nothing_of_the_tail),
		cmocka_unit_test(test_conflict_is_cut_and_replaced),
		cmocka_unit_test(test_committed_is_never_cut),
		cmocka_unit_test(test_ring_change_and_the_timer),
		cmocka_unit_test(test_results_of_proposals),
		cmocka_unit_test(test_read_needs_a_new_round),
		cmocka_unit_test(test_reads_do_not_starve_appends),
		cmocka_unit_test(test_slow_disk_hands_over),
		cmocka_unit_test(test_check_quorum),
		cmocka_unit_test(test_single_voter),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_lost_memory_and_empty_database),
#ifndef CL_DEFECTS
		cmocka_unit_test(test_defects_are_refused_in_daemons),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
