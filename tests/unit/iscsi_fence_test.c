/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machines for fence, admission and check, against a small model of a target that can be as nasty as real
 * ones are.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iscsi/pr_admit.h"
#include "iscsi/pr_check.h"
#include "iscsi/pr_fence.h"
#include "tests/unit/iscsi_keys.h"

/* ---- a model of a target: keys, holder, and what it does wrong on request ---- */

struct target {
	uint64_t keys[32];
	size_t n;
	uint64_t holder;
	uint8_t type;
	bool mute;		/* answers no reset */
	uint64_t late_register; /* appears with the next reset */
	unsigned late_times;
	bool forget; /* loses everything with the next reset */
	unsigned resets, preempts;
	bool preempt_after_reset; /* a PREEMPT behind the reset that was answered */
	bool reset_since_preempt;
};

static void target_drop(struct target *t, uint64_t key)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++)
		if (t->keys[i] != key)
			t->keys[kept++] = t->keys[i];
	t->n = kept;
}

static void target_preempt(struct target *t, const struct pr_op *op, struct pr_answer *a)
{
	t->preempts++;
	t->reset_since_preempt = false;
	if (!pr_keys_contain(t->keys, t->n, op->key) ||
	    (!pr_keys_contain(t->keys, t->n, op->arg) && op->arg != t->holder)) {
		a->result = LUN_CONFLICT;
		return;
	}
	target_drop(t, op->arg);
	if (t->type && t->holder == op->arg)
		t->holder = op->key;
}

static void target_reset(struct target *t)
{
	t->resets++;
	t->reset_since_preempt = true;
	if (t->late_times) {
		t->late_times--;
		t->keys[t->n++] = t->late_register;
	}
	if (t->forget) {
		t->n = 0;
		t->type = 0;
		t->holder = 0;
	}
}

static void target_do(struct target *t, const struct pr_op *op, struct pr_answer *a)
{
	memset(a, 0, sizeof(*a));
	a->tag = op->tag;
	switch (op->kind) {
	case PR_OP_READ_KEYS:
		a->n_keys = t->n;
		memcpy(a->keys, t->keys, t->n * sizeof(uint64_t));
		break;
	case PR_OP_READ_RESERVATION:
		a->type = t->type;
		a->holder = t->holder;
		break;
	case PR_OP_REGISTER:
		t->keys[t->n++] = op->arg;
		break;
	case PR_OP_RESERVE:
		t->type = op->type;
		t->holder = op->key;
		break;
	case PR_OP_PREEMPT:
		target_preempt(t, op, a);
		break;
	case PR_OP_RESET:
		target_reset(t);
		break;
	default:
		fail_msg("unexpected %s", pr_op_name(op->kind));
	}
}

/* Runs a fence to its end against the model, firing timers when nothing else moves. */
static void run_fence(struct pr_fence *f, const struct pr_fence_job *job, struct target *t)
{
	struct pr_step step, next;
	int64_t now = 1000;
	struct pr_answer a;

	pr_fence_start(f, job, now, &step);
	for (int i = 0; pr_fence_running(f) && i < 1000; i++) {
		bool send = step.send && !(t->mute && step.op.kind == PR_OP_RESET);

		if (send) {
			target_do(t, &step.op, &a);
			pr_fence_answer(f, &step.op, &a, now, &next);
		} else {
			assert_true(step.timer_ms != PR_NEVER);
			now = step.timer_ms;
			pr_fence_timer(f, now, &next);
		}
		step = next;
	}
}

#define OWN key_of(1, 1, 1)
#define VICTIM key_of(2, 4, 1)
#define OTHER key_of(3, 1, 1)

static struct target held_target(void)
{
	return (struct target){
		.keys = { OWN, VICTIM, OTHER, key_of(2, 3, 9) }, .n = 4, .holder = OWN, .type = 6
	};
}

static struct pr_fence_job victim_job(void)
{
	return (struct pr_fence_job){
		.own = OWN,
		.type = 6,
		.n = 1,
		.match = { { .kind = PR_MATCH_NODE_UP_TO, .node = 2, .incarnation = 4 } },
	};
}

static void test_fence_pays(void **state)
{
	struct target t = held_target();
	struct pr_fence_job job = victim_job();
	struct pr_fence f;

	(void)state;
	pr_fence_init(&f);
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_PAID);
	assert_int_equal(t.n, 2);
	assert_int_equal(t.preempts, 2);
	assert_true(t.reset_since_preempt); /* the order is the point */
	assert_int_equal(f.barriers, 1);
	/* And without any key there: a barrier all the same. */
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_PAID);
	assert_int_equal(t.resets, 2);
}

static void test_fence_late_register(void **state)
{
	struct target t = held_target();
	struct pr_fence_job job = victim_job();
	struct pr_fence f;

	(void)state;
	t.late_register = key_of(2, 4, 77);
	t.late_times = 3;
	pr_fence_init(&f);
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_PAID);
	assert_int_equal(t.resets, 4); /* each time from the beginning, barrier included */
	assert_true(t.reset_since_preempt);
	t.late_times = 1000;
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_FAILED);
}

static void test_fence_forgetful_target(void **state)
{
	struct target t = held_target();
	struct pr_fence_job job = victim_job();
	struct pr_fence f;

	(void)state;
	t.forget = true;
	pr_fence_init(&f);
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_FAILED);
}

static void test_fence_not_the_holder(void **state)
{
	struct target t = held_target();
	struct pr_fence_job job = victim_job();
	struct pr_fence f;

	(void)state;
	t.holder = OTHER;
	pr_fence_init(&f);
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_FAILED);
	t.holder = OWN;
	t.type = 5;
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_FAILED);
	/* Own key not there: fenced ourselves. Nothing may be preempted. */
	t = held_target();
	target_drop(&t, OWN);
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_FAILED);
	assert_int_equal(t.preempts, 0);
}

/* Resets repeat after 2, 4, 8 .. 64 s, never with a fixed period; the end is an error, not for ever. */
static void test_fence_reset_backoff(void **state)
{
	static const int64_t want[] = { 2, 6, 14, 30, 62, 126, 190 };
	struct target t = held_target();
	struct pr_fence_job job = victim_job();
	struct pr_fence f;
	struct pr_step step, next;
	struct pr_answer a;

	(void)state;
	pr_fence_init(&f);
	pr_fence_start(&f, &job, 0, &step);
	while (!(step.send && step.op.kind == PR_OP_RESET)) {
		target_do(&t, &step.op, &a);
		pr_fence_answer(&f, &step.op, &a, 0, &next);
		step = next;
	}
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		assert_int_equal(step.timer_ms, want[i] * 1000);
		pr_fence_timer(&f, want[i] * 1000, &step);
		assert_true(step.send && step.op.kind == PR_OP_RESET);
	}
}

static void test_fence_mute_target(void **state)
{
	struct target t = held_target();
	struct pr_fence_job job = victim_job();
	struct pr_fence f;

	(void)state;
	t.mute = true;
	pr_fence_init(&f);
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_FAILED);
}

/* The answer to any reset of this round counts; to one of an earlier round never. */
static void test_fence_old_reset_answer(void **state)
{
	struct target t = held_target();
	struct pr_fence_job job = victim_job();
	struct pr_fence f;
	struct pr_step step, next;
	struct pr_answer a, good = { .result = LUN_OK };
	struct pr_op first = { 0 };

	(void)state;
	t.late_register = key_of(2, 4, 77);
	t.late_times = 1;
	pr_fence_init(&f);
	pr_fence_start(&f, &job, 0, &step);
	/* First round: the first reset stays open, the second is answered; a victim comes back. */
	for (int resets = 0; resets < 2 || step.op.kind != PR_OP_RESET;) {
		if (step.send && step.op.kind == PR_OP_RESET && resets == 0) {
			first = step.op;
			resets = 1;
			pr_fence_timer(&f, step.timer_ms, &next);
		} else {
			if (step.op.kind == PR_OP_RESET)
				resets = 2;
			target_do(&t, &step.op, &a);
			pr_fence_answer(&f, &step.op, &a, 0, &next);
		}
		step = next;
	}
	/* Second round's reset is out. The first round's answer must neither count nor stop the timer. */
	pr_fence_answer(&f, &first, &good, 0, &next);
	assert_true(next.ignored);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_BARRIER);
	pr_fence_answer(&f, &step.op, &good, 0, &next);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_VERIFY_KEYS);
}

static void test_fence_session_lost(void **state)
{
	struct pr_fence_job job = victim_job();
	struct pr_fence f;
	struct pr_step step;
	struct pr_answer good = { .result = LUN_OK };

	(void)state;
	pr_fence_init(&f);
	pr_fence_start(&f, &job, 0, &step);
	pr_fence_lost(&f, "gone");
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_FAILED);
	/* What the old session still answers is nobody's. */
	pr_fence_answer(&f, &step.op, &good, 0, &step);
	assert_true(step.ignored);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_FAILED);
}

static void test_fence_settles_first(void **state)
{
	struct target t = held_target();
	struct pr_fence_job job = victim_job();
	struct pr_fence f;

	(void)state;
	job.settle_until_ms = 60000;
	pr_fence_init(&f);
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_PAID);
}

/* ---- admission ---- */

static void run_admit(struct pr_admit *a, struct target *t, bool still,
		      const struct pr_match *living, size_t n)
{
	const struct pr_admit_config config = { .node = 1, .incarnation = 2, .random = 40 };
	struct pr_step step, next;
	struct pr_answer ans;
	int64_t now = 0;

	pr_admit_start(a, &config, &step);
	for (int i = 0; pr_admit_running(a) && i < 1000; i++) {
		if (pr_admit_phase(a) == PR_ADMIT_ASK) {
			assert_int_equal(t->preempts,
					 0); /* nobody is harmed before the log was asked */
			pr_admit_log_says(a, still, living, n, now, &next);
		} else if (step.send) {
			target_do(t, &step.op, &ans);
			pr_admit_answer(a, &step.op, &ans, now, &next);
		} else {
			now = step.timer_ms;
			pr_admit_timer(a, now, &next);
		}
		step = next;
	}
}

static void test_admit_fresh(void **state)
{
	struct target t = { .n = 0 };
	struct pr_fence f;
	struct pr_admit a;

	(void)state;
	pr_fence_init(&f);
	pr_admit_init(&a, &f);
	run_admit(&a, &t, true, NULL, 0);
	assert_int_equal(pr_admit_phase(&a), PR_ADMIT_DONE);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.type, 6);
	assert_true(t.holder == a.key);
	assert_true(t.resets == 1); /* an unregistered writer passed until RESERVE: drain it */
}

static void test_admit_takes_over(void **state)
{
	struct target t = held_target();
	const struct pr_match living = { .kind = PR_MATCH_NODE, .node = 3, .incarnation = 1 };
	struct pr_fence f;
	struct pr_admit a;

	(void)state;
	pr_fence_init(&f);
	pr_admit_init(&a, &f);
	t.holder = OTHER; /* living, but the old holder goes always */
	run_admit(&a, &t, true, &living, 1);
	assert_int_equal(pr_admit_phase(&a), PR_ADMIT_DONE);
	assert_int_equal(t.n, 1);
	assert_true(t.holder == a.key);
	assert_true(t.reset_since_preempt);
	t = held_target();
	pr_admit_init(&a, &f);
	run_admit(&a, &t, true, &living, 1);
	assert_int_equal(t.n, 2);
	assert_true(pr_keys_contain(t.keys, t.n, OTHER));
	assert_int_equal(f.n_left, 1);
	assert_true(f.left[0] == OTHER);
}

static void test_admit_replaced_meanwhile(void **state)
{
	struct target t = held_target();
	struct pr_fence f;
	struct pr_admit a;

	(void)state;
	pr_fence_init(&f);
	pr_admit_init(&a, &f);
	run_admit(&a, &t, false, NULL, 0);
	assert_int_equal(pr_admit_phase(&a), PR_ADMIT_FAILED);
	assert_int_equal(t.preempts, 0);
	assert_int_equal(t.resets, 0);
	assert_true(t.holder == OWN);
}

static void test_admit_foreign_type(void **state)
{
	struct target t = held_target();
	struct pr_fence f;
	struct pr_admit a;

	(void)state;
	t.type = 3;
	pr_fence_init(&f);
	pr_admit_init(&a, &f);
	run_admit(&a, &t, true, NULL, 0);
	assert_int_equal(pr_admit_phase(&a), PR_ADMIT_FAILED);
	assert_int_equal(t.n, 4); /* not even registered */
}

/* ---- check ---- */

static void test_check(void **state)
{
	struct pr_table table = { .own = OWN, .type = 6 };
	struct pr_answer keys = { .n_keys = 3, .keys = { OWN, OTHER, VICTIM } };
	struct pr_answer res = { .type = 6, .holder = OWN };
	uint64_t strays[PR_KEYS_MAX];
	size_t n;

	(void)state;
	assert_int_equal(pr_table_add(&table, OTHER), 0);
	assert_int_equal(pr_table_add(&table, OTHER), -EEXIST);
	assert_int_equal(pr_check(&table, &keys, &res, strays, &n), PR_CHECK_STRAYS);
	assert_int_equal(n, 1);
	assert_true(strays[0] == VICTIM);
	assert_int_equal(pr_table_add(&table, VICTIM), 0);
	assert_int_equal(pr_check(&table, &keys, &res, strays, &n), PR_CHECK_OK);
	res.holder = OTHER;
	assert_int_equal(pr_check(&table, &keys, &res, strays, &n), PR_CHECK_WRONG_HOLDER);
	res.type = 5;
	assert_int_equal(pr_check(&table, &keys, &res, strays, &n), PR_CHECK_WRONG_TYPE);
	res.type = 0;
	assert_int_equal(pr_check(&table, &keys, &res, strays, &n), PR_CHECK_NO_RESERVATION);
	keys.keys[0] = 5;
	assert_int_equal(pr_check(&table, &keys, &res, strays, &n), PR_CHECK_OWN_GONE);
	pr_table_remove(&table, VICTIM);
	assert_int_equal(table.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fence_pays),
		cmocka_unit_test(test_fence_late_register),
		cmocka_unit_test(test_fence_forgetful_target),
		cmocka_unit_test(test_fence_not_the_holder),
		cmocka_unit_test(test_fence_reset_backoff),
		cmocka_unit_test(test_fence_mute_target),
		cmocka_unit_test(test_fence_old_reset_answer),
		cmocka_unit_test(test_fence_session_lost),
		cmocka_unit_test(test_fence_settles_first),
		cmocka_unit_test(test_admit_fresh),
		cmocka_unit_test(test_admit_takes_over),
		cmocka_unit_test(test_admit_replaced_meanwhile),
		cmocka_unit_test(test_admit_foreign_type),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
