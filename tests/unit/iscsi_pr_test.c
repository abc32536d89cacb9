/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pure parts of iscsi/: keys, addresses, parameter data, and the machines for fence, admission
 * and check, against a small model of a target that can be as nasty as real ones are.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iscsi/pr.h"
#include "iscsi/pr_admit.h"
#include "iscsi/pr_check.h"
#include "iscsi/pr_fence.h"
#include "iscsi/pr_probe.h"
#include "iscsi/url.h"

/* ---- keys ---- */

static void test_key_round_trip(void **state)
{
	struct pr_key k;
	uint64_t key;

	(void)state;
	assert_int_equal(pr_key_make(255, UINT32_MAX, 65535, &key), 0);
	assert_true(pr_key_parse(key, &k));
	assert_int_equal(k.node, 255);
	assert_int_equal(k.instance, 65535);
	assert_int_equal(k.incarnation, UINT32_MAX);
	assert_int_equal(pr_key_make(0, 1, 1, &key), -ERANGE);
	assert_int_equal(pr_key_make(256, 1, 1, &key), -ERANGE);
	assert_int_equal(pr_key_make(1, 1, 0, &key), -ERANGE);
	assert_int_equal(pr_key_make(1, UINT64_C(1) << 32, 1, &key), -ERANGE);
	assert_false(pr_key_parse(0x1234, &k));
	assert_false(pr_key_parse(0, &k));
}

static uint64_t key_of(unsigned node, uint64_t incarnation, unsigned instance)
{
	uint64_t key;

	assert_int_equal(pr_key_make(node, incarnation, instance, &key), 0);
	return key;
}

static void test_free_instance(void **state)
{
	const uint64_t keys[] = { key_of(3, 1, 8), key_of(3, 7, 9), key_of(4, 1, 10) };

	(void)state;
	assert_int_equal(pr_key_free_instance(3, keys, 3, 7, false), 10);
	assert_int_equal(pr_key_free_instance(4, keys, 3, 7, false), 8);
	assert_int_equal(pr_key_free_instance(3, keys, 3, 32766, false), 32767);
	assert_int_equal(pr_key_free_instance(3, keys, 3, 32767, false), 1);
	assert_int_equal(pr_key_free_instance(3, keys, 3, 7, true), PR_INSTANCE_MEMBER | 8);
}

static void test_match(void **state)
{
	const struct pr_match debt = { .kind = PR_MATCH_NODE_UP_TO, .node = 3, .incarnation = 5 };
	const struct pr_match living = { .kind = PR_MATCH_NODE, .node = 3, .incarnation = 5 };
	const struct pr_match member = { .kind = PR_MATCH_MEMBER, .node = 3, .incarnation = 5 };

	(void)state;
	assert_true(pr_match_key(&debt, 1, key_of(3, 5, 1)));
	assert_true(pr_match_key(&debt, 1, key_of(3, 1, 1)));
	assert_false(pr_match_key(&debt, 1, key_of(3, 6, 1)));
	assert_false(pr_match_key(&debt, 1, key_of(2, 5, 1)));
	assert_false(pr_match_key(&debt, 1, 0x33));
	assert_true(pr_match_key(&member, 1, key_of(3, 5, PR_INSTANCE_MEMBER | 9)));
	assert_false(pr_match_key(&member, 1, key_of(3, 5, 9))); /* the coordinator's own */
	assert_false(pr_match_key(&member, 1, key_of(3, 4, PR_INSTANCE_MEMBER | 9)));
	assert_true(pr_match_key(&living, 1, key_of(3, 5, 9)));
	assert_false(pr_match_key(&living, 1, key_of(3, 4, 9)));
	assert_false(pr_match_key(NULL, 0, key_of(3, 4, 9)));
}

/* ---- parameter data ---- */

static void test_parse_keys(void **state)
{
	uint8_t d[24] = { 0, 0, 0, 7, 0, 0, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, [23] = 9 };
	struct pr_answer a = { 0 };

	(void)state;
	assert_int_equal(pr_parse_keys(d, sizeof(d), &a), 0);
	assert_int_equal(a.generation, 7);
	assert_int_equal(a.n_keys, 2);
	assert_true(a.keys[0] == UINT64_C(0x0102030405060708));
	assert_true(a.keys[1] == 9);
	/* A list that was cut off is no list: the victim could be in what is missing. */
	assert_int_equal(pr_parse_keys(d, sizeof(d) - 1, &a), -EBADMSG);
	assert_int_equal(pr_parse_keys(d, 7, &a), -EBADMSG);
	d[7] = 15;
	assert_int_equal(pr_parse_keys(d, sizeof(d), &a), -EBADMSG);
	d[4] = 0xff;
	d[7] = 8;
	assert_int_equal(pr_parse_keys(d, sizeof(d), &a), -E2BIG);
}

static void test_parse_reservation(void **state)
{
	uint8_t d[24] = { [7] = 16, [15] = 5, [21] = 6 };
	struct pr_answer a = { 0 };

	(void)state;
	assert_int_equal(pr_parse_reservation(d, sizeof(d), &a), 0);
	assert_int_equal(a.type, 6);
	assert_true(a.holder == 5);
	assert_int_equal(pr_parse_reservation(d, 23, &a), -EBADMSG);
	d[21] = 0x16;
	assert_int_equal(pr_parse_reservation(d, sizeof(d), &a), -EBADMSG);
	d[7] = 0;
	assert_int_equal(pr_parse_reservation(d, 8, &a), 0);
	assert_int_equal(a.type, 0);
	d[7] = 8;
	assert_int_equal(pr_parse_reservation(d, sizeof(d), &a), -EBADMSG);
}

static void test_parse_garbage(void **state)
{
	uint8_t d[64];
	struct pr_answer a = { 0 };

	(void)state;
	srand(1);
	for (int i = 0; i < 200000; i++) {
		size_t len = (size_t)rand() % sizeof(d);
		uint8_t *exact = malloc(len ? len : 1);

		for (size_t j = 0; j < len; j++)
			exact[j] = (uint8_t)(rand() % 4 ? 0 : rand());
		(void)pr_parse_keys(exact, len, &a);
		assert_true(a.n_keys <= PR_KEYS_MAX);
		(void)pr_parse_reservation(exact, len, &a);
		free(exact);
	}
}

/* ---- addresses ---- */

static void test_url_good(void **state)
{
	struct lun_url u;
	struct cl_error err = CL_ERROR_INIT;

	(void)state;
	assert_int_equal(lun_url_parse("iscsi://10.0.0.9/iqn.2026-01.org:d/1", &u, &err), 0);
	assert_string_equal(u.portals[0], "10.0.0.9:3260");
	assert_string_equal(u.target, "iqn.2026-01.org:d");
	assert_int_equal(u.lun, 1);
	assert_string_equal(u.user, "");
	assert_int_equal(
		lun_url_parse("iscsi://bob%s3@cret@[fe80::1]:99,b-2.x/iqn.a%3Ab/0", &u, &err), 0);
	assert_string_equal(u.user, "bob");
	assert_string_equal(u.password, "s3@cret");
	assert_int_equal(u.n_portals, 2);
	assert_string_equal(u.portals[0], "[fe80::1]:99");
	assert_string_equal(u.portals[1], "b-2.x:3260");
	assert_string_equal(u.target, "iqn.a:b");
}

static void test_url_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"iscsi:/",
		"iscsi://",
		"iscsi:///iqn.a/1",
		"http://a/iqn.a/1",
		"iscsi://h/iqn.a",
		"iscsi://h/iqn.a/",
		"iscsi://h/iqn.a/256",
		"iscsi://h/iqn.a/-1",
		"iscsi://h/iqn.a/1x",
		"iscsi://h/foo/1",
		"iscsi://h//1",
		"iscsi://h:0/iqn.a/1",
		"iscsi://h:65536/iqn.a/1",
		"iscsi://h:/iqn.a/1",
		"iscsi://h:1:2/iqn.a/1",
		"iscsi://h,/iqn.a/1",
		"iscsi://[::1/iqn.a/1",
		"iscsi://@h/iqn.a/1",
		"iscsi://a b@h/iqn.a/1",
		"iscsi://h/iqn.a%00b/1",
		"iscsi://h/iqn.%0a/1",
		"iscsi://h/iqn.a%2fb/1",
		"iscsi://1,2,3,4,5,6,7,8,9/iqn.a/1",
		"iscsi://h;rm/iqn.a/1",
		"iscsi://h/iqn.a/99999999999",
	};
	struct lun_url u = { .lun = 77 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct cl_error err = CL_ERROR_INIT;

		if (lun_url_parse(bad[i], &u, &err) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_true(err.msg[0] && err.hint[0]);
		assert_int_equal(u.lun, 77); /* untouched */
	}
}

static void test_url_secret(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct lun_url u;

	(void)state;
	assert_int_equal(lun_url_parse("iscsi://bob%secret@h:x/iqn.a/1", &u, &err), -EINVAL);
	assert_null(strstr(err.msg, "secret"));
	assert_null(strstr(err.hint, "secret"));
}

static void test_url_garbage(void **state)
{
	static const char alphabet[] = "iscsi://h,:@%[]0aZ./\x7f\x80 -";
	struct lun_url u;

	(void)state;
	srand(2);
	for (int i = 0; i < 100000; i++) {
		size_t len = (size_t)rand() % 300;
		char *s = malloc(len + 20);

		strcpy(s, rand() % 4 ? "iscsi://" : "");
		for (size_t j = strlen(s); len; len--)
			s[j++] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)], s[j] = '\0';
		(void)lun_url_parse(s, &u, NULL);
		free(s);
	}
}

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
	bool no_pr, no_reset;
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
	case PR_OP_PREEMPT:
		scratch_preempt(s, op);
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
	assert_int_equal(scratch_keys(&s, keys), 0);
	assert_int_equal(s.type, 0);
}

static void test_probe_like_tgt(void **state)
{
	struct scratch s = { .dangling8 = true };
	struct pr_probe p = run_probe(&s);

	(void)state;
	assert_int_equal(p.state, PR_PROBE_DONE);
	assert_int_equal(p.pr_type, 6);
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
		cmocka_unit_test(test_key_round_trip),
		cmocka_unit_test(test_free_instance),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_parse_keys),
		cmocka_unit_test(test_parse_reservation),
		cmocka_unit_test(test_parse_garbage),
		cmocka_unit_test(test_url_good),
		cmocka_unit_test(test_url_bad),
		cmocka_unit_test(test_url_secret),
		cmocka_unit_test(test_url_garbage),
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
		cmocka_unit_test(test_probe_good),
		cmocka_unit_test(test_probe_like_tgt),
		cmocka_unit_test(test_probe_unfenceable),
		cmocka_unit_test(test_probe_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
