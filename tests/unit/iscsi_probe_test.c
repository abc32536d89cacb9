/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the probe makes of targets with this or that fault. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iscsi/pr_probe.h"

/* ---- probe ---- */

/* A target with sessions: which key each of them has, and what it does wrong. */
struct scratch {
	uint64_t own[PR_PROBE_SESSIONS];
	uint64_t foreign; /* somebody else's key */
	uint64_t holder;
	uint8_t type;
	bool dangling8; /* as tgt: type 8's holder is freed, the next REGISTER becomes it, type 0 */
	bool wrong_keys; /* as istgt: PREEMPT drops the wrong key from the list */
	bool blind;	 /* checks no reservation at all */
	bool no_pr, no_reset, no_abort, no_unmap, unmap_checked;
	bool dead_holder;
	unsigned changes;
};

static size_t scratch_keys(const struct scratch *s, uint64_t *keys)
{
	size_t n = 0;

	for (int i = 0; i < PR_PROBE_SESSIONS; i++)
		if (s->own[i])
			keys[n++] = s->own[i];
	if (s->foreign)
		keys[n++] = s->foreign;
	return n;
}

static void scratch_register(struct scratch *s, const struct pr_op *op)
{
	s->own[op->who] = op->arg;
	if (op->arg && s->dead_holder) {
		s->holder = op->arg;
		s->type = 0;
		s->dead_holder = false;
	}
	if (!op->arg && op->key == s->holder)
		s->holder = s->type = 0;
}

static void scratch_preempt(struct scratch *s, const struct pr_op *op)
{
	for (int i = 0; i < PR_PROBE_SESSIONS; i++)
		if (s->own[i] == op->arg)
			s->own[s->wrong_keys ? (i + 2) % PR_PROBE_SESSIONS : i] = 0;
	if (op->type == 8 && s->dangling8)
		s->dead_holder = true;
	else
		s->holder = op->key;
}

static void scratch_do(struct scratch *s, const struct pr_op *op, struct pr_answer *a)
{
	memset(a, 0, sizeof(*a));
	if (s->no_pr && op->kind != PR_OP_TOUCH) {
		a->result = LUN_UNSUPPORTED;
		return;
	}
	if (op->kind != PR_OP_READ_KEYS && op->kind != PR_OP_READ_RESERVATION &&
	    op->kind != PR_OP_TOUCH)
		s->changes++;
	switch (op->kind) {
	case PR_OP_READ_KEYS:
		a->n_keys = scratch_keys(s, a->keys);
		break;
	case PR_OP_READ_RESERVATION:
		a->type = s->type;
		a->holder = s->type == 8 ? 0 : s->holder;
		break;
	case PR_OP_REGISTER:
		if (s->own[op->who] != op->key)
			a->result = LUN_CONFLICT;
		else
			scratch_register(s, op);
		break;
	case PR_OP_RESERVE:
		s->type = op->type;
		s->holder = op->key;
		break;
	case PR_OP_PREEMPT_AND_ABORT:
		if (s->no_abort) {
			a->result = LUN_UNSUPPORTED;
			break;
		}
		/* fallthrough */
	case PR_OP_PREEMPT:
		scratch_preempt(s, op);
		break;
	case PR_OP_UNMAP_NOTHING:
		a->result = s->no_unmap			  ? LUN_UNSUPPORTED
			    : s->unmap_checked && s->type ? LUN_CONFLICT
							  : LUN_OK;
		break;
	case PR_OP_REGISTER_APTPL:
		a->result = LUN_UNSUPPORTED;
		break;
	case PR_OP_TOUCH:
		a->result = s->own[op->who] || !s->type || s->blind ? LUN_OK : LUN_CONFLICT;
		break;
	case PR_OP_RESET:
		a->result = s->no_reset ? LUN_UNSUPPORTED : LUN_OK;
		break;
	case PR_OP_CLEAR:
		memset(s->own, 0, sizeof(s->own));
		s->foreign = s->holder = s->type = 0;
		break;
	default:
		fail_msg("unexpected %s", pr_op_name(op->kind));
	}
}

static struct pr_probe run_probe(struct scratch *s)
{
	struct pr_probe p;
	struct pr_op op, next;
	struct pr_answer a;

	pr_probe_start(&p, 0x12345678, &next);
	for (int i = 0; i < 200; i++) {
		op = next;
		scratch_do(s, &op, &a);
		if (!pr_probe_answer(&p, &op, &a, &next))
			return p;
	}
	fail_msg("the probe does not end");
	return p;
}

static void test_probe_good(void **state)
{
	struct scratch s = { 0 };
	struct pr_probe p = run_probe(&s);
	uint64_t keys[8];

	(void)state;
	assert_int_equal(p.state, PR_PROBE_DONE);
	assert_int_equal(p.pr_type, 8);
	assert_string_equal(p.text[1], "");
	assert_int_equal(p.quirks.abort, PR_ABORT_GOOD);
	assert_int_equal(p.unmap, PR_UNMAP_UNCHECKED);
	assert_int_equal(p.aptpl, PR_APTPL_NONE);
	assert_false(p.quirks.tail);
	assert_int_equal(scratch_keys(&s, keys), 0);
	assert_int_equal(s.type, 0);
}

static void test_probe_like_tgt(void **state)
{
	struct scratch s = { .dangling8 = true, .no_abort = true, .no_unmap = true };
	struct pr_probe p = run_probe(&s);

	(void)state;
	assert_int_equal(p.state, PR_PROBE_DONE);
	assert_int_equal(p.pr_type, 6);
	assert_int_equal(p.quirks.abort, PR_ABORT_NONE);
	assert_int_equal(p.unmap, PR_UNMAP_NONE);
	assert_non_null(strstr(p.text[0], "type"));
}

static void test_probe_unfenceable(void **state)
{
	struct scratch bad[] = {
		{ .wrong_keys = true },
		{ .blind = true },
		{ .no_reset = true },
		{ .no_pr = true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct pr_probe p = run_probe(&bad[i]);

		assert_int_equal(p.state, PR_PROBE_DONE);
		assert_int_equal(p.pr_type, 0);
		assert_false(p.quirks.tail);
		assert_true(p.text[0][0] && p.text[1][0]);
	}
}

static void test_probe_busy(void **state)
{
	struct scratch used = { .foreign = 0x55 };
	struct scratch reserved = { .holder = 0x55, .type = 5 };
	struct scratch leftover = { .foreign = UINT64_C(0xc4) << 56 | 77 };

	(void)state;
	assert_int_equal(run_probe(&used).state, PR_PROBE_BUSY);
	assert_int_equal(used.changes, 0); /* nothing was touched */
	assert_int_equal(run_probe(&reserved).state, PR_PROBE_BUSY);
	assert_int_equal(reserved.changes, 0);
	assert_int_equal(run_probe(&leftover).state, PR_PROBE_DONE); /* a dead probe's key */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe_good),
		cmocka_unit_test(test_probe_like_tgt),
		cmocka_unit_test(test_probe_unfenceable),
		cmocka_unit_test(test_probe_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
