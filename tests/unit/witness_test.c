/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The witness: its LUN as bytes (torn writes, lost records, hostile bytes), and who serves it. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quorum/witness.h"
#include "quorum/witness_log.h"

enum { HALF = 64 * 1024, LUN = WITNESS_LOG_UNIT * WITNESS_UNIT + 2 * HALF };

static uint8_t lun[LUN];
static const struct witness_super super = { .voter = { 1, 2, 3 }, .half_bytes = HALF };

/* ---- helpers ------------------------------------------------------------------------------------ */

static void load(struct witness_log *log, uint64_t claim)
{
	const struct witness_owner owner = { .claim = claim, .node = 1 };
	uint64_t offset;
	uint32_t len;

	witness_log_init(log, &super, &owner);
	while (witness_log_wants(log, &offset, &len)) {
		assert_true(offset + len <= LUN);
		assert_int_equal(witness_log_give(log, lun + offset, len), 0);
	}
}

static struct witness_write put(struct witness_log *log, uint64_t index, const char *text)
{
	const struct raft_entry e = { .index = index,
				      .term = 3,
				      .type = RAFT_ENTRY_COMMAND,
				      .len = (uint32_t)strlen(text),
				      .data = (const uint8_t *)text };
	const struct raft_persist p = { .entries = &e,
					.n_entries = 1,
					.has_vote = true,
					.term = 3,
					.vote = { .node = 2, .uuid = { 9 } } };
	const struct raft_line line = { 1, 77 };
	struct witness_write w = { 0 };

	assert_int_equal(witness_log_put(log, &p, &line, &w), 0);
	assert_int_equal(w.len % WITNESS_UNIT, 0);
	assert_true(w.offset + w.len <= LUN);
	return w;
}

static void land(struct witness_write *w, size_t bytes)
{
	memcpy(lun + w->offset, w->data, bytes);
	free(w->data);
	w->data = NULL;
}

static void write_entry(struct witness_log *log, uint64_t index, const char *text)
{
	struct witness_write w = put(log, index, text);

	land(&w, w.len);
}

static size_t entries(const struct witness_log *log)
{
	return witness_log_stored(log).n_entries;
}

static int fresh(void **state)
{
	(void)state;
	memset(lun, 0, sizeof(lun));
	return 0;
}

/* ---- the log --------------------------------------------------------------------------------------- */

static void test_round_trip(void **state)
{
	struct witness_log log;
	struct raft_stored s;

	(void)state;
	load(&log, 1);
	assert_false(log.any);
	for (uint64_t i = 1; i <= 200; i++) /* more than a half holds */
		write_entry(&log, i, "a change of the cluster");
	witness_log_fini(&log);
	load(&log, 2);
	s = witness_log_stored(&log);
	assert_int_equal(s.n_entries, 200);
	assert_int_equal(s.entries[199].index, 200);
	assert_memory_equal(s.entries[199].data, "a change of the cluster", 23);
	assert_int_equal(s.term, 3);
	assert_int_equal(s.vote.node, 2);
	assert_int_equal(s.line.random_id, 77);
	witness_log_fini(&log);
}

static void test_torn_record_is_left_out(void **state)
{
	struct witness_log log;
	struct witness_write w;

	(void)state;
	load(&log, 1);
	write_entry(&log, 1, "one");
	write_entry(&log, 2, "two");
	w = put(&log, 3, "three");
	land(&w, 512 / 8); /* its header, no more */
	witness_log_fini(&log);
	load(&log, 2);
	assert_int_equal(entries(&log), 2);
	witness_log_fini(&log);
}

static void test_torn_checkpoint_leaves_the_other_half(void **state)
{
	struct witness_log log;
	struct witness_write w;

	(void)state;
	load(&log, 1);
	write_entry(&log, 1, "one");
	write_entry(&log, 2, "two");
	witness_log_fini(&log);
	load(&log, 2); /* begins with a checkpoint in the other half */
	w = put(&log, 3, "three");
	land(&w, WITNESS_RECORD_HEADER);
	witness_log_fini(&log);
	load(&log, 3);
	assert_int_equal(entries(&log), 2);
	witness_log_fini(&log);
}

/* Two records were under way, the second landed: it must not come to life behind the next owner's. */
static void test_unacked_record_stays_dead(void **state)
{
	struct witness_log log;
	struct witness_write lost, landed;

	(void)state;
	load(&log, 1);
	write_entry(&log, 1, "one");
	lost = put(&log, 2, "two");
	landed = put(&log, 3, "three");
	free(lost.data);
	land(&landed, landed.len);
	witness_log_fini(&log);
	load(&log, 2);
	assert_int_equal(entries(&log), 1);
	write_entry(&log, 2, "TWO"); /* as long as the one that was lost */
	witness_log_fini(&log);
	load(&log, 3);
	assert_int_equal(entries(&log), 2);
	assert_memory_equal(witness_log_stored(&log).entries[1].data, "TWO", 3);
	witness_log_fini(&log);
}

static void test_lost_records_are_noticed(void **state)
{
	struct witness_slot slot = { .node = 1 };
	struct witness_log log;
	struct witness_write w;

	(void)state;
	load(&log, 1);
	write_entry(&log, 1, "one");
	w = put(&log, 2, "two");
	slot.generation = w.generation;
	slot.seq = w.seq; /* it was durable, its host said */
	free(w.data);
	witness_log_fini(&log);
	load(&log, 2);
	assert_true(witness_log_lost(&log, &slot));
	slot.seq--;
	assert_false(witness_log_lost(&log, &slot));
	witness_log_fini(&log);
}

static void test_another_voters_records_do_not_count(void **state)
{
	const struct witness_owner owner = { .claim = 9, .node = 1 };
	struct witness_super other = super;
	struct witness_log log;
	uint64_t offset;
	uint32_t len;

	(void)state;
	load(&log, 1);
	write_entry(&log, 1, "one");
	witness_log_fini(&log);
	other.voter[0]++;
	witness_log_init(&log, &other, &owner);
	while (witness_log_wants(&log, &offset, &len))
		assert_int_equal(witness_log_give(&log, lun + offset, len), 0);
	assert_false(log.any);
	witness_log_fini(&log);
}

static void test_does_not_fit(void **state)
{
	const struct raft_line line = { 1, 1 };
	struct raft_snapshot s = { .index = 5, .term = 1, .len = HALF };
	struct raft_persist p = { .has_snapshot = true, .snapshot = &s, .first_index = 6 };
	struct witness_write w;
	struct witness_log log;

	(void)state;
	s.blob = calloc(1, HALF);
	load(&log, 1);
	assert_int_equal(witness_log_put(&log, &p, &line, &w), -ENOSPC);
	witness_log_fini(&log);
	free((void *)(uintptr_t)s.blob);
}

/* Any bytes: no crash, and nothing but what was written. */
static void test_hostile_bytes(void **state)
{
	struct witness_log log;
	unsigned x = 1;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		memset(lun, 0, sizeof(lun));
		load(&log, 1);
		for (uint64_t i = 1; i <= 5; i++)
			write_entry(&log, i, "something");
		witness_log_fini(&log);
		for (unsigned k = 0; k < 1 + round % 7; k++) {
			x = x * 1103515245 + 12345;
			lun[WITNESS_LOG_UNIT * WITNESS_UNIT + x % (2 * HALF)] ^=
				(uint8_t)(x >> 24 | 1);
		}
		load(&log, 2);
		assert_true(entries(&log) <= 5);
		witness_log_fini(&log);
	}
}

/* ---- small units ------------------------------------------------------------------------------------ */

static void test_owner_survives_a_torn_write(void **state)
{
	uint8_t units[2 * WITNESS_UNIT] = { 0 };
	struct witness_owner o = { .claim = 4, .node = 2 };

	(void)state;
	assert_int_equal(witness_owner_decode(units).claim, 0);
	witness_owner_encode(&o, units + (o.claim % 2) * WITNESS_UNIT);
	o.claim++;
	witness_owner_encode(&o, units + (o.claim % 2) * WITNESS_UNIT);
	assert_int_equal(witness_owner_decode(units).claim, 5);
	units[(o.claim % 2) * WITNESS_UNIT + 9] ^= 1;
	assert_int_equal(witness_owner_decode(units).claim, 4);
}

static void test_superblock(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	uint8_t unit[WITNESS_UNIT];
	struct witness_super s;

	(void)state;
	memset(unit, 0, sizeof(unit));
	assert_int_equal(witness_super_decode(unit, &s, &err), -ENODATA);
	witness_super_encode(&super, unit);
	assert_int_equal(witness_super_decode(unit, &s, &err), 0);
	assert_int_equal(s.half_bytes, HALF);
	unit[20] ^= 1;
	assert_int_equal(witness_super_decode(unit, &s, &err), -CL_ECORRUPT);
	assert_int_equal(witness_half_bytes(4 << 20), 0);
	assert_true(witness_half_bytes(64 << 20) > 30 << 20);
}

/* ---- who serves ---------------------------------------------------------------------------------------- */

struct scene {
	uint32_t holder; /* as each look shows it; 0: nobody looked */
	struct raft_config config;
	struct witness_watch watch;
	struct witness_side side;
	uint32_t present[4], path[4];
	int64_t now;
	uint8_t slots[4 * WITNESS_UNIT];
	uint64_t beat;
};

static void scene(struct scene *s, uint32_t nodes, uint32_t self)
{
	memset(s, 0, sizeof(*s));
	for (uint32_t i = 1; i <= nodes; i++)
		(void)raft_config_put(&s->config,
				      &(struct raft_member){ { .node = i }, RAFT_VOTER });
	(void)raft_config_put(&s->config,
			      &(struct raft_member){ { .node = WITNESS_NODE }, RAFT_VOTER });
	s->now = 1000000;
	witness_watch_reset(&s->watch, s->now);
	s->present[0] = s->path[0] = self;
	s->side = (struct witness_side){ .self = self,
					 .witness = { .node = WITNESS_NODE },
					 .config = &s->config,
					 .present = s->present,
					 .n_present = 1,
					 .path = s->path,
					 .n_path = 1,
					 .dead_ms = 2200 };
}

/* So long, with node `alive` writing its slot (0: nobody). */
static void pass(struct scene *s, int64_t ms, uint32_t alive, bool completes)
{
	for (int64_t end = s->now + ms; s->now < end; s->now += 250) {
		struct witness_slot slot = {
			.node = alive, .serving = true, .completes = completes, .beat = ++s->beat
		};

		if (alive)
			witness_slot_encode(&slot, s->slots + (alive - 1) * WITNESS_UNIT);
		witness_watch_slots(&s->watch, 1, s->slots, sizeof(s->slots), s->now, s->now);
		if (s->holder)
			witness_watch_holder(&s->watch, s->holder, s->now);
	}
}

static enum witness_advice advise(struct scene *s, bool serving)
{
	const char *why;

	return witness_advise(&s->watch, &s->side, serving, s->now, &why);
}

static void test_a_living_holder_is_left_alone(void **state)
{
	struct scene s;

	(void)state;
	scene(&s, 2, 2);
	s.holder = 1;
	pass(&s, 10000, 1, true);
	assert_int_equal(advise(&s, false), WITNESS_STAY);
	pass(&s, 2000, 0, true);
	assert_int_equal(advise(&s, false), WITNESS_STAY);
	pass(&s, 1000, 0, true);
	assert_int_equal(advise(&s, false), WITNESS_CLAIM);
	s.now += 5000; /* nobody looked since */
	assert_int_equal(advise(&s, false), WITNESS_STAY);
}

/* We were frozen, and the answer to a read of before comes now: what did not move in it moved since. */
static void test_an_old_answer_says_nothing(void **state)
{
	struct scene s;

	(void)state;
	scene(&s, 2, 2);
	s.holder = 1;
	pass(&s, 10000, 1, true);
	s.now += 7000;
	witness_watch_slots(&s.watch, 1, s.slots, sizeof(s.slots), s.now - 7000, s.now);
	assert_int_equal(advise(&s, false), WITNESS_STAY);
	pass(&s, 250, 1, true);
	assert_int_equal(advise(&s, false), WITNESS_STAY);
}

static void test_a_holder_that_helps_nobody_gives_way(void **state)
{
	struct scene s;

	(void)state;
	scene(&s, 4, 2);
	s.present[1] = 3;
	s.side.n_present = 2;
	s.holder = 1;
	pass(&s, 5000, 1, false); /* alone with the witness it is two of five */
	assert_int_equal(advise(&s, false), WITNESS_CLAIM);
	s.side.n_present = 1; /* and so are we */
	assert_int_equal(advise(&s, false), WITNESS_STAY);
}

static void test_the_leaders_word(void **state)
{
	struct scene s;

	(void)state;
	scene(&s, 2, 2);
	s.holder = 1;
	pass(&s, 1000, 1, true);
	s.side.word = 2;
	assert_int_equal(advise(&s, false), WITNESS_CLAIM);
	assert_int_equal(advise(&s, true), WITNESS_STAY);
	s.now += 5000; /* it slept, and hears what was said meanwhile */
	assert_int_equal(advise(&s, false), WITNESS_STAY);
	assert_int_equal(advise(&s, true), WITNESS_STAY);
	pass(&s, 250, 1, true);
	assert_int_equal(advise(&s, false), WITNESS_CLAIM);
	s.side.word = 1;
	assert_int_equal(advise(&s, true), WITNESS_YIELD);
	assert_int_equal(advise(&s, false), WITNESS_STAY);
}

/* The manager named another node, and was cut off: that one may be taking it over this moment. */
static void test_who_was_named_comes_first(void **state)
{
	struct scene s;

	(void)state;
	scene(&s, 2, 2);
	s.holder = 2;
	pass(&s, 1000, 1, true);
	assert_int_equal(advise(&s, false), WITNESS_CLAIM);
	s.side.named_ms = s.now;
	pass(&s, 1000, 1, true);
	assert_int_equal(advise(&s, false), WITNESS_STAY);
	s.side.defects = WITNESS_DEFECT_NAMED_UNREAD;
	assert_int_equal(advise(&s, false), WITNESS_CLAIM);
	s.side.defects = 0;
	pass(&s, 1500, 1, true); /* it did not */
	assert_int_equal(advise(&s, false), WITNESS_CLAIM);
}

static void test_a_majority_waits_for_its_manager(void **state)
{
	struct scene s;

	(void)state;
	scene(&s, 2, 1);
	s.present[1] = 2;
	s.side.n_present = 2;
	s.holder = 1;
	pass(&s, 5000, 0, false);
	assert_int_equal(advise(&s, false), WITNESS_STAY);
	s.side.leaderless = true; /* the other one has lost its database */
	assert_int_equal(advise(&s, false), WITNESS_CLAIM);
}

static void test_role_by_number(void **state)
{
	struct scene s;
	const struct raft_id w = { .node = WITNESS_NODE };

	(void)state;
	scene(&s, 2, 1);
	assert_int_equal(witness_role(&s.config, &w, 2), RAFT_VOTER);
	scene(&s, 3, 1);
	assert_int_equal(witness_role(&s.config, &w, 3), RAFT_LEARNER);
	scene(&s, 1, 1); /* the other one is being replaced */
	assert_int_equal(witness_role(&s.config, &w, 2), RAFT_VOTER);
	assert_int_equal(witness_role(&s.config, &w, 1), RAFT_LEARNER); /* or it left */
	scene(&s, 4, 1);
	assert_int_equal(witness_role(&s.config, &w, 4), RAFT_VOTER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_round_trip, fresh),
		cmocka_unit_test_setup(test_torn_record_is_left_out, fresh),
		cmocka_unit_test_setup(test_torn_checkpoint_leaves_the_other_half, fresh),
		cmocka_unit_test_setup(test_unacked_record_stays_dead, fresh),
		cmocka_unit_test_setup(test_lost_records_are_noticed, fresh),
		cmocka_unit_test_setup(test_another_voters_records_do_not_count, fresh),
		cmocka_unit_test_setup(test_does_not_fit, fresh),
		cmocka_unit_test_setup(test_hostile_bytes, fresh),
		cmocka_unit_test(test_owner_survives_a_torn_write),
		cmocka_unit_test(test_superblock),
		cmocka_unit_test(test_a_living_holder_is_left_alone),
		cmocka_unit_test(test_an_old_answer_says_nothing),
		cmocka_unit_test(test_a_holder_that_helps_nobody_gives_way),
		cmocka_unit_test(test_the_leaders_word),
		cmocka_unit_test(test_who_was_named_comes_first),
		cmocka_unit_test(test_a_majority_waits_for_its_manager),
		cmocka_unit_test(test_role_by_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
