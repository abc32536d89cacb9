/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A target whose list lies about everybody behind a key that was removed (iscsi/pr_tail.h): modelled as it was
 * measured. What must come of a fence is judged by who may write, which the machine never sees: it sees the list.
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
#include "iscsi/pr_fence.h"
#include "iscsi/pr_probe.h"
#include "tests/unit/iscsi_keys.h"

/* ---- the target ---- */

struct target {
	size_t n;
	uint64_t keys[32];
	unsigned ports[32]; /* whose key it is: a nexus may write when it is in here */
	uint8_t type;
	unsigned resets;
	/* somebody's REGISTER arrives before the late_at-th command */
	unsigned commands, late_at, late_port;
	uint64_t late_key;
};

static bool may_write(const struct target *t, unsigned port)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->ports[i] == port)
			return true;
	return false;
}

static void add(struct target *t, unsigned port, uint64_t key)
{
	t->ports[t->n] = port;
	t->keys[t->n++] = key;
}

/* Ports move up, keys do not. */
static void remove_at(struct target *t, size_t at)
{
	memmove(&t->ports[at], &t->ports[at + 1], (t->n - at - 1) * sizeof(t->ports[0]));
	t->n--;
}

static size_t place_of(const struct target *t, unsigned port)
{
	size_t i = 0;

	while (i < t->n && t->ports[i] != port)
		i++;
	return i;
}

static void do_register(struct target *t, unsigned port, const struct pr_op *op,
			struct pr_answer *a)
{
	size_t at = place_of(t, port);

	if (at < t->n ? op->key && t->keys[at] != op->key : op->key != 0) {
		a->result = LUN_CONFLICT;
		return;
	}
	if (at < t->n)
		remove_at(t, at);
	if (op->arg)
		add(t, port, op->arg);
}

static void do_preempt(struct target *t, unsigned port, const struct pr_op *op, struct pr_answer *a)
{
	if (!may_write(t, port)) {
		a->result = LUN_CONFLICT;
		return;
	}
	for (size_t i = t->n; i-- > 0;)
		if (t->keys[i] == op->arg)
			remove_at(t, i); /* GOOD also when there was none */
}

static void target_do(struct target *t, unsigned port, const struct pr_op *op, struct pr_answer *a)
{
	memset(a, 0, sizeof(*a));
	a->tag = op->tag;
	if (++t->commands == t->late_at && !may_write(t, t->late_port))
		add(t, t->late_port, t->late_key);
	switch (op->kind) {
	case PR_OP_READ_KEYS:
		a->n_keys = t->n;
		memcpy(a->keys, t->keys, t->n * sizeof(uint64_t));
		break;
	case PR_OP_READ_RESERVATION:
		a->type = t->type;
		a->holder = 0xdead; /* for ever the first one's */
		break;
	case PR_OP_REGISTER:
		do_register(t, port, op, a);
		break;
	case PR_OP_RESERVE:
		t->type = op->type;
		break;
	case PR_OP_PREEMPT:
	case PR_OP_PREEMPT_AND_ABORT:
		do_preempt(t, port, op, a);
		break;
	case PR_OP_CLEAR:
		t->n = 0;
		t->type = 0;
		break;
	case PR_OP_RESET:
		t->resets++;
		break;
	case PR_OP_TOUCH:
		a->result = may_write(t, port) || !t->type ? LUN_OK : LUN_CONFLICT;
		break;
	default:
		a->result = LUN_UNSUPPORTED;
	}
}

/* ---- fences ---- */

#define OWN key_of(1, 1, 1)
#define KEY(node) key_of(node, 1, PR_INSTANCE_MEMBER | 7)

static void run_fence(struct pr_fence *f, const struct pr_fence_job *job, struct target *t)
{
	struct pr_step step, next;
	struct pr_answer a;

	pr_fence_start(f, job, 0, &step);
	for (int i = 0; pr_fence_running(f) && i < 1000; i++) {
		assert_true(step.send);
		target_do(t, 1, &step.op, &a);
		pr_fence_answer(f, &step.op, &a, 0, &next);
		step = next;
	}
}

static struct pr_fence_job fence_of(unsigned node, bool tail)
{
	return (struct pr_fence_job){
		.own = OWN,
		.type = 8,
		.quirks = { .tail = tail },
		.n = 1,
		.match = { { .kind = PR_MATCH_NODE_UP_TO, .node = node, .incarnation = 1 } },
	};
}

/* The issuer at `own`, then members 2, 3, .. around it. */
static struct target with_members(unsigned own, unsigned n)
{
	struct target t = { .type = 8 };

	for (unsigned node = 2; t.n <= n; node++) {
		if (t.n == own)
			add(&t, 1, OWN);
		if (t.n <= n)
			add(&t, node, KEY(node));
	}
	return t;
}

static void test_member(void **state)
{
	struct target t = with_members(0, 4);
	struct pr_fence_job job = fence_of(4, true);
	struct pr_fence f;

	(void)state;
	pr_fence_init(&f);
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_PAID);
	assert_true(may_write(&t, 1) && may_write(&t, 2) && may_write(&t, 3));
	assert_false(may_write(&t, 4));
	assert_false(may_write(&t, 5)); /* innocent, and behind it */
	assert_int_equal(f.n_swept, 2);
	assert_int_equal(t.resets, 1);
	/* Who is left has the key that he believes to have. */
	assert_true(t.keys[place_of(&t, 2)] == KEY(2) && t.keys[place_of(&t, 3)] == KEY(3));
}

/* The issuer registered last, as who takes over has. By the rules for a sound list it loses its own key. */
static void test_issuer_behind(void **state)
{
	struct pr_fence_job job = fence_of(2, true), naive = fence_of(2, false);
	struct target t = with_members(4, 4);
	struct pr_fence f;

	(void)state;
	pr_fence_init(&f);
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_PAID);
	assert_int_equal(t.resets, 1);
	assert_true(t.n == 1 && t.ports[0] == 1 && t.keys[0] == OWN);
	t = with_members(4, 4);
	run_fence(&f, &naive, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_FAILED);
	assert_true(may_write(&t, 3) && t.keys[place_of(&t, 3)] != KEY(3));
}

static void test_claim(void **state)
{
	const struct pr_admit_config config = {
		.node = 1, .incarnation = 2, .random = 40, .type = 8, .quirks = { .tail = true }
	};
	const struct pr_match living = { .kind = PR_MATCH_NODE, .node = 3, .incarnation = 1 };
	struct target t = with_members(0, 5);
	struct pr_step step, next;
	struct pr_answer ans;
	struct pr_admit a;
	struct pr_fence f;

	(void)state;
	t.ports[0] = 99; /* an earlier coordinator's nexus */
	pr_fence_init(&f);
	pr_admit_init(&a, &f);
	pr_admit_start(&a, &config, &step);
	for (int i = 0; pr_admit_running(&a) && i < 1000; i++) {
		if (pr_admit_phase(&a) == PR_ADMIT_ASK) {
			pr_admit_log_says(&a, true, &living, 1, 0, &next);
		} else {
			target_do(&t, 1, &step.op, &ans);
			pr_admit_answer(&a, &step.op, &ans, 0, &next);
		}
		step = next;
	}
	assert_int_equal(pr_admit_phase(&a), PR_ADMIT_DONE);
	assert_int_equal(t.n, 1);
	assert_true(t.ports[0] == 1 && t.keys[0] == a.key);
	assert_int_equal(f.n_left, 0); /* also who lives asks anew */
}

/* Any list, any victim, any late REGISTER: a fence that is paid has the victim out and the issuer in. */
static void test_any(void **state)
{
	unsigned paid = 0;

	(void)state;
	srand(7);
	for (int i = 0; i < 40000; i++) {
		unsigned n = 1 + (unsigned)rand() % 7, victim = 2 + (unsigned)rand() % n;
		struct target t = with_members((unsigned)rand() % (n + 1), n);
		struct pr_fence_job job = fence_of(victim, true);
		struct pr_fence f;

		t.late_at = i % 4 ? (unsigned)rand() % 24 : 0;
		t.late_port = rand() % 2 ? victim : 50;
		t.late_key = t.late_port == 50 ? KEY(50) : key_of(victim, 1, 3);
		pr_fence_init(&f);
		run_fence(&f, &job, &t);
		if (!t.late_at)
			assert_true(pr_fence_phase(&f) == PR_FENCE_PAID && t.resets == 1);
		/* One that registers behind the last look is the next check's. */
		if (pr_fence_phase(&f) != PR_FENCE_PAID || t.late_at == t.commands)
			continue;
		paid++;
		assert_false(may_write(&t, victim));
		assert_true(may_write(&t, 1) && t.keys[place_of(&t, 1)] == OWN);
	}
	assert_true(paid > 30000);
}

/* ---- PREEMPT AND ABORT on a sound list ---- */

static void test_drained(void **state)
{
	struct pr_fence_job job = fence_of(3, false);
	struct target t = with_members(0, 3);
	struct pr_fence f;

	(void)state;
	job.quirks.abort = PR_ABORT_DRAINS;
	pr_fence_init(&f);
	/* Nothing is known of what the victim was allowed: a nexus of it may have lost its key before. */
	t = with_members(0, 2);
	run_fence(&f, &job, &t);
	assert_int_equal(t.resets, 1);
	/* All of it is there, last in the list. */
	t = with_members(0, 2);
	job.n_known = 1;
	job.known[0] = KEY(3);
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_PAID);
	assert_false(may_write(&t, 3));
	assert_int_equal(t.resets, 0);
	/* One key of it is there, another one is not. */
	t = with_members(0, 2);
	job.n_known = 2;
	job.known[1] = key_of(3, 1, 9);
	run_fence(&f, &job, &t);
	assert_int_equal(t.resets, 1);
	/* It works, but was not seen to drain. */
	t = with_members(0, 2);
	job.n_known = 1;
	job.quirks.abort = PR_ABORT_GOOD;
	run_fence(&f, &job, &t);
	assert_int_equal(t.resets, 1);
	/* A claim takes the right of those who never had a key, too. */
	t = with_members(0, 2);
	job.quirks.abort = PR_ABORT_DRAINS;
	job.take = true;
	run_fence(&f, &job, &t);
	assert_int_equal(pr_fence_phase(&f), PR_FENCE_PAID);
	assert_int_equal(t.resets, 1);
}

/* ---- the probe ---- */

static void test_probe(void **state)
{
	struct target t = { 0 };
	struct pr_op op, next;
	struct pr_answer a;
	struct pr_probe p;

	(void)state;
	pr_probe_start(&p, 1, &next);
	do {
		op = next;
		target_do(&t, op.who, &op, &a);
	} while (pr_probe_answer(&p, &op, &a, &next));
	assert_int_equal(p.state, PR_PROBE_DONE);
	assert_int_equal(p.pr_type, 0);
	assert_string_equal(p.text[2], "passed");
	assert_true(p.quirks.tail);
	assert_int_equal(p.quirks.abort, PR_ABORT_GOOD);
	assert_int_equal(t.n, 0);
	assert_int_equal(t.type, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_member),	cmocka_unit_test(test_issuer_behind),
		cmocka_unit_test(test_claim),	cmocka_unit_test(test_any),
		cmocka_unit_test(test_drained), cmocka_unit_test(test_probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
