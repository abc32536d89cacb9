/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The values of raft: messages as bytes (also hostile ones), configurations, the log in memory. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "quorum/raft.h"
#include "quorum/raft_log.h"

static uint64_t rng = 88172645463325252u;

static uint64_t dice(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % n;
}

static struct raft_id id_of(uint32_t node)
{
	struct raft_id id = { .node = node };

	memset(id.uuid, (int)node, RAFT_UUID_LEN);
	return id;
}

static struct raft_config three(void)
{
	struct raft_config c = { 0 };

	for (uint32_t i = 3; i >= 1; i--) {
		struct raft_member m = { .id = id_of(i), .role = RAFT_VOTER };

		assert_true(raft_config_put(&c, &m));
	}
	return c;
}

static struct raft_entry entries[3] = {
	{ .index = 8, .term = 4, .type = RAFT_ENTRY_NOOP },
	{ .index = 9, .term = 4, .type = RAFT_ENTRY_COMMAND, .len = 5, .data = (uint8_t *)"hello" },
	{ .index = 10, .term = 5, .type = RAFT_ENTRY_CONFIG },
};
static uint8_t config_bytes[RAFT_CONFIG_BYTES_MAX];
static struct raft_snapshot snapshot;

static struct raft_message message_of(enum raft_message_type type)
{
	struct raft_message m = {
		.type = type,
		.line = { 3, 77 },
		.from = id_of(2),
		.to = id_of(1),
		.from_incarnation = 9,
		.to_incarnation = 1,
		.term = 5,
		.seq = 1000,
		.sent_ms = 123456789,
	};
	struct raft_config c = three();

	memcpy(m.database, "0123456789abcdef", RAFT_UUID_LEN);
	if (type == RAFT_PREVOTE || type == RAFT_VOTE) {
		m.last_index = 10;
		m.last_term = 5;
		m.transfer = type == RAFT_VOTE;
	} else if (type == RAFT_APPEND) {
		m.prev_index = 7;
		m.prev_term = 4;
		m.commit = 8;
		entries[2].data = config_bytes;
		entries[2].len = (uint32_t)raft_config_encode(&c, config_bytes);
		m.entries = entries;
		m.n_entries = 3;
	} else if (type == RAFT_APPEND_REPLY) {
		m.ok = true;
		m.match = 8;
		m.received = 9;
		m.append_ms = 12;
	} else if (type == RAFT_INSTALL) {
		snapshot = (struct raft_snapshot){
			.index = 40, .term = 5, .config = c, .blob = (uint8_t *)"state", .len = 5
		};
		m.snapshot = &snapshot;
	}
	return m;
}

static uint8_t *encode(const struct raft_message *m, size_t *ret_len)
{
	uint8_t *buf;

	*ret_len = raft_message_size(m);
	buf = malloc(*ret_len);
	assert_non_null(buf);
	raft_message_encode(m, buf);
	return buf;
}

static void test_every_type_comes_back(void **state)
{
	(void)state;
	for (int t = RAFT_PREVOTE; t <= RAFT_TIMEOUT_NOW; t++) {
		struct raft_message in = message_of((enum raft_message_type)t), *out = NULL;
		size_t len, len2;
		uint8_t *buf = encode(&in, &len), *buf2;

		assert_int_equal(raft_message_decode(buf, len, &out, NULL), 0);
		assert_int_equal(out->type, t);
		assert_int_equal(out->seq, 1000);
		assert_true(raft_id_equal(&out->from, &in.from));
		buf2 = encode(out, &len2);
		assert_int_equal(len, len2);
		assert_memory_equal(buf, buf2, len);
		free(out);
		free(buf);
		free(buf2);
	}
}

static void test_every_cut_is_refused(void **state)
{
	(void)state;
	for (int t = RAFT_PREVOTE; t <= RAFT_TIMEOUT_NOW; t++) {
		struct raft_message in = message_of((enum raft_message_type)t), *out = NULL;
		size_t len;
		uint8_t *buf = encode(&in, &len);

		for (size_t cut = 0; cut < len; cut++) {
			/* A copy of exactly that size, so that a read beyond it is seen. */
			uint8_t *part = malloc(cut ? cut : 1);

			memcpy(part, buf, cut);
			assert_int_equal(raft_message_decode(part, cut, &out, NULL), -CL_ECORRUPT);
			free(part);
		}
		free(buf);
	}
}

static void refuse(struct raft_message *m)
{
	struct raft_message *out = NULL;
	struct cl_error err = CL_ERROR_INIT;
	size_t len;
	uint8_t *buf = encode(m, &len);

	assert_int_equal(raft_message_decode(buf, len, &out, &err), -CL_ECORRUPT);
	assert_int_equal(err.code, -CL_ECORRUPT);
	free(buf);
}

static void test_what_a_step_would_trip_over_is_refused(void **state)
{
	struct raft_message m = message_of(RAFT_APPEND);

	(void)state;
	m.prev_term = 5; /* terms fall */
	refuse(&m);
	m = message_of(RAFT_APPEND);
	m.term = 4; /* an entry of a later term than the leader's */
	refuse(&m);
	m = message_of(RAFT_APPEND);
	config_bytes[4 + 20] = 9; /* role of the first member */
	refuse(&m);
	m = message_of(RAFT_APPEND);
	m.prev_index = 0; /* with a term */
	refuse(&m);
	m = message_of(RAFT_INSTALL);
	snapshot.config.n = 0;
	refuse(&m);
	m = message_of(RAFT_VOTE);
	m.term = UINT64_MAX;
	refuse(&m);
	m = message_of(RAFT_VOTE);
	m.from.node = 0;
	refuse(&m);
}

/* ---- mutated messages, straight into a step ------------------------------------------------- */

static struct raft *victim(int kind)
{
	struct raft_params p = { .self = id_of(1), .incarnation = 1, .seed = 5 };
	struct raft_entry log[12];
	struct raft_stored st = { .line = { 3, 77 }, .term = 5 };
	struct raft *r = NULL;

	memcpy(p.database, "0123456789abcdef", RAFT_UUID_LEN);
	st.snapshot = (struct raft_snapshot){ .index = 1, .term = 1, .config = three() };
	if (kind == 1)
		st.snapshot.config.n = 1; /* alone: it will lead */
	for (uint64_t i = 0; i < 12; i++)
		log[i] = (struct raft_entry){ .index = i + 2,
					      .term = 1 + i / 3,
					      .type = RAFT_ENTRY_NOOP };
	st.entries = log;
	st.n_entries = 12;
	assert_int_equal(raft_new(&p, &st, 1000, &r, NULL), 0);
	return r;
}

static void step(struct raft *r, struct raft_event *ev, struct raft_actions *a)
{
	raft_step(r, ev, a);
	for (size_t i = 0; i < a->send.n; i++) {
		size_t len;

		free(encode(&a->send.v[i], &len));
	}
	if (a->has_persist && dice(2)) {
		struct raft_event done = { .type = RAFT_PERSISTED,
					   .now_ms = ev->now_ms,
					   .persisted_seq = a->persist.seq };

		step(r, &done, a);
	}
}

static void mutate(uint8_t *buf, size_t len, size_t from)
{
	for (uint64_t n = dice(4); n > 0; n--) {
		size_t at = from + dice(len - from);

		buf[at] = dice(2) ? (uint8_t)dice(256) : (uint8_t)(buf[at] + dice(3) - 1);
	}
}

enum { HEAD_BYTES = 4 + 16 + 16 + 20 + 20 + 16 };

static void test_mutated_messages_never_trip_a_step(void **state)
{
	struct raft_actions a = { 0 };
	unsigned accepted = 0;

	(void)state;
	for (int round = 0; round < 400; round++) {
		struct raft *r = victim(round % 2);
		int64_t now = 1000;

		for (int i = 0; i < 200; i++) {
			struct raft_message in =
				message_of((enum raft_message_type)(RAFT_PREVOTE + dice(8)));
			struct raft_message *out = NULL;
			struct raft_event ev = { .type = RAFT_TICK };
			size_t len;
			uint8_t *buf;

			in.term = dice(12);
			in.prev_index = dice(16);
			in.seq = dice(20);
			buf = encode(&in, &len);
			mutate(buf, len, dice(10) ? HEAD_BYTES : 0);
			now += (int64_t)dice(300);
			ev.now_ms = now;
			if (raft_message_decode(buf, len, &out, NULL) == 0) {
				accepted++;
				ev.type = RAFT_MESSAGE;
				ev.message = out;
			}
			step(r, &ev, &a);
			free(out);
			free(buf);
		}
		raft_free(r);
	}
	raft_actions_fini(&a);
	assert_true(accepted > 10000); /* else the test would say nothing */
}

static void test_noise_is_refused(void **state)
{
	struct raft_message *out = NULL;

	(void)state;
	for (int i = 0; i < 50000; i++) {
		size_t len = dice(400);
		uint8_t *buf = malloc(len + 1);

		for (size_t k = 0; k < len; k++)
			buf[k] = (uint8_t)dice(256);
		if (len > 4) {
			buf[0] = 1;
			buf[1] = (uint8_t)dice(10);
			buf[2] = buf[3] = 0;
		}
		if (raft_message_decode(buf, len, &out, NULL) == 0)
			free(out);
		free(buf);
	}
}

/* ---- configurations ---------------------------------------------------------------------- */

static void test_config_is_sorted_and_without_doubles(void **state)
{
	struct raft_config c = three(), out;
	uint8_t buf[RAFT_CONFIG_BYTES_MAX];
	size_t len = raft_config_encode(&c, buf);

	(void)state;
	assert_int_equal(c.member[0].id.node, 1);
	assert_int_equal(c.member[2].id.node, 3);
	assert_int_equal(raft_config_decode(buf, len, &out), 0);
	assert_true(raft_config_equal(&c, &out));
	c.member[1] = c.member[0]; /* one vote would count twice */
	len = raft_config_encode(&c, buf);
	assert_int_equal(raft_config_decode(buf, len, &out), -CL_ECORRUPT);
	assert_int_equal(raft_config_decode(buf, len - 1, &out), -CL_ECORRUPT);
}

static void test_config_is_bounded(void **state)
{
	struct raft_config c = { 0 };
	struct raft_member m = { .role = RAFT_LEARNER };

	(void)state;
	for (uint32_t i = 1; i <= RAFT_MEMBERS_MAX; i++) {
		m.id = id_of(i);
		assert_true(raft_config_put(&c, &m));
	}
	m.id = id_of(RAFT_MEMBERS_MAX + 1);
	assert_false(raft_config_put(&c, &m));
	raft_config_remove(&c, &c.member[0].id);
	assert_true(raft_config_put(&c, &m));
	assert_int_equal(raft_config_voters(&c), 0);
}

/* ---- log --------------------------------------------------------------------------------- */

static void fill(struct raft_log *log, uint64_t from, uint64_t to, uint64_t term)
{
	for (uint64_t i = from; i <= to; i++) {
		struct raft_entry e = { .index = i,
					.term = term,
					.type = RAFT_ENTRY_COMMAND,
					.len = 3,
					.data = (const uint8_t *)"abc" };

		raft_log_append(log, &e);
	}
}

static void test_log_cuts_at_both_ends(void **state)
{
	struct raft_log log = { 0 };
	uint64_t term = 99;

	(void)state;
	assert_true(raft_log_term(&log, 0, &term));
	assert_int_equal(term, 0);
	fill(&log, 1, 100, 1);
	fill(&log, 101, 200, 3);
	log.durable = log.given = 200;
	assert_int_equal(raft_log_last_term(&log), 3);
	assert_int_equal(raft_log_run_start(&log, 150), 101);
	assert_int_equal(raft_log_run_start(&log, 100), 1);
	raft_log_truncate(&log, 151);
	assert_int_equal(raft_log_last(&log), 150);
	assert_int_equal(log.durable, 150);
	raft_log_compact(&log, 120);
	assert_null(raft_log_at(&log, 120));
	assert_true(raft_log_term(&log, 120, &term));
	assert_int_equal(term, 3);
	assert_false(raft_log_term(&log, 119, &term));
	assert_int_equal(raft_log_at(&log, 121)->index, 121);
	assert_int_equal(raft_log_run_start(&log, 150), 121);
	raft_log_compact(&log, 150);
	assert_int_equal(raft_log_last_term(&log), 3);
	fill(&log, 151, 152, 7);
	raft_log_reset(&log, 500, 9);
	assert_int_equal(raft_log_last(&log), 500);
	assert_int_equal(log.durable, 0);
	raft_log_fini(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_type_comes_back),
		cmocka_unit_test(test_every_cut_is_refused),
		cmocka_unit_test(test_what_a_step_would_trip_over_is_refused),
		cmocka_unit_test(test_mutated_messages_never_trip_a_step),
		cmocka_unit_test(test_noise_is_refused),
		cmocka_unit_test(test_config_is_sorted_and_without_doubles),
		cmocka_unit_test(test_config_is_bounded),
		cmocka_unit_test(test_log_cuts_at_both_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
