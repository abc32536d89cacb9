/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Killing nexuses; see the header for the order and why it is the only one. Pure. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "iscsi/pr_fence.h"
#include "lib/assert.h"

#define F(x) SM_TO(PR_FENCE_##x)

static const struct sm_state fence_states[] = {
	[PR_FENCE_IDLE] = { "idle", F(KEYS), SM_INITIAL },
	[PR_FENCE_KEYS] = { "keys", F(KEYS) | F(PREEMPT) | F(HOLDER) | F(FAILED) },
	[PR_FENCE_PREEMPT] = { "preempt",
			       F(PREEMPT) | F(RENAME) | F(HOLDER) | F(KEYS) | F(FAILED) },
	[PR_FENCE_RENAME] = { "rename", F(HOLDER) | F(FAILED) },
	[PR_FENCE_HOLDER] = { "holder", F(RESERVE) | F(SETTLE) | F(BARRIER) | F(VERIFY_KEYS) |
						F(KEYS) | F(FAILED) },
	[PR_FENCE_RESERVE] = { "reserve",
			       F(SETTLE) | F(BARRIER) | F(VERIFY_KEYS) | F(KEYS) | F(FAILED) },
	[PR_FENCE_SETTLE] = { "settle", F(BARRIER) | F(FAILED) },
	[PR_FENCE_BARRIER] = { "barrier", F(VERIFY_KEYS) | F(FAILED) },
	[PR_FENCE_VERIFY_KEYS] = { "verify-keys", F(VERIFY_HOLDER) | F(KEYS) | F(FAILED) },
	[PR_FENCE_VERIFY_HOLDER] = { "verify-holder", F(PAID) | F(FAILED) },
	[PR_FENCE_PAID] = { "paid", F(KEYS) },
	[PR_FENCE_FAILED] = { "failed", F(KEYS) },
};

static void fail(struct pr_fence *f, const char *what)
{
	(void)cl_error_set(&f->why, -EIO, "fence: %s", what);
	sm_move(&f->sm, PR_FENCE_FAILED, what);
}

static void fail_answer(struct pr_fence *f, const struct pr_op *op, const struct pr_answer *a)
{
	(void)cl_error_set(&f->why, a->result == LUN_CONFLICT ? -EBADE : -EIO,
			   "fence: %s: %s (sense %x/%04x)", pr_op_name(op->kind),
			   lun_result_name(a->result), a->sense.key, a->sense.ascq);
	sm_move(&f->sm, PR_FENCE_FAILED, "bad answer");
}

static void ask(struct pr_fence *f, enum pr_fence_phase phase, enum pr_op_kind kind, uint64_t arg,
		struct pr_step *out)
{
	sm_move(&f->sm, (int)phase, pr_op_name(kind));
	f->want_tag = ++f->tag;
	out->send = true;
	out->op = (struct pr_op){
		.kind = kind,
		.key = f->job.own,
		.arg = arg,
		.type = f->job.type,
		.tag = f->tag,
	};
}

static void next_round(struct pr_fence *f, struct pr_step *out)
{
	if (++f->rounds > PR_FENCE_ROUNDS_MAX)
		fail(f, "a victim's key comes back again and again");
	else
		ask(f, PR_FENCE_KEYS, PR_OP_READ_KEYS, 0, out);
}

static bool is_victim(const struct pr_fence *f, uint64_t key)
{
	if (key == f->job.own)
		return false;
	if (f->old_holder && key == f->old_holder)
		return true;
	return pr_match_key(f->job.match, f->job.n, key) != f->job.all_but;
}

/* ---- (a) take the right ---- */

static enum pr_op_kind preempt_kind(const struct pr_fence *f)
{
	return f->job.quirks.abort >= PR_ABORT_GOOD ? PR_OP_PREEMPT_AND_ABORT : PR_OP_PREEMPT;
}

static void preempt_next(struct pr_fence *f, struct pr_step *out)
{
	if (f->next < f->n_victims) {
		ask(f, PR_FENCE_PREEMPT, preempt_kind(f), f->victims[f->next], out);
	} else if (f->job.quirks.tail && f->tail.rename) {
		ask(f, PR_FENCE_RENAME, PR_OP_REGISTER, f->job.own, out);
		out->op.key = f->tail.rename;
	} else {
		ask(f, PR_FENCE_HOLDER, PR_OP_READ_RESERVATION, 0, out);
	}
}

/* A claim spares nobody: which of the keys there are true is not known from before. */
static size_t first_victim(const struct pr_fence *f, const struct pr_answer *a)
{
	size_t i = 0;

	while (!f->job.take && i < a->n_keys && !is_victim(f, a->keys[i]))
		i++;
	return i;
}

static void choose_tail(struct pr_fence *f, const struct pr_answer *a)
{
	struct pr_tail *t = &f->tail;

	pr_tail_plan(a->keys, a->n_keys, first_victim(f, a), f->job.own, t);
	f->n_victims = t->n_victims;
	memcpy(f->victims, t->victims, t->n_victims * sizeof(*t->victims));
	for (size_t i = 0; i < t->n_victims && f->n_swept < PR_KEYS_MAX; i++)
		f->swept[f->n_swept++] = t->victims[i];
}

static void choose(struct pr_fence *f, const struct pr_answer *a)
{
	for (size_t i = 0; i < a->n_keys; i++)
		if (is_victim(f, a->keys[i]) &&
		    !pr_keys_contain(f->victims, f->n_victims, a->keys[i]))
			f->victims[f->n_victims++] = a->keys[i];
}

/* In the first round: later ones only find what has registered since. */
static bool all_known_there(const struct pr_fence *f)
{
	for (size_t i = 0; i < f->job.n_known; i++)
		if (!pr_keys_contain(f->victims, f->n_victims, f->job.known[i]))
			return false;
	return f->job.n_known > 0;
}

static void on_keys(struct pr_fence *f, const struct pr_answer *a, struct pr_step *out)
{
	f->n_victims = f->next = 0;
	if (!pr_keys_contain(a->keys, a->n_keys, f->job.own)) {
		fail(f, "own key is not registered (fenced, or the target has forgotten)");
		return;
	}
	if (f->job.quirks.tail)
		choose_tail(f, a);
	else
		choose(f, a);
	if (f->rounds == 0)
		f->aborted = all_known_there(f);
	preempt_next(f, out);
}

static void on_preempt(struct pr_fence *f, const struct pr_op *op, const struct pr_answer *a,
		       struct pr_step *out)
{
	/* Conflict: the victim's key is gone by itself, or ours is. READ KEYS knows which, where it can
	 * be believed. */
	if (a->result == LUN_CONFLICT && !f->job.quirks.tail) {
		f->aborted = false;
		next_round(f, out);
		return;
	}
	/* It did, when it was tried; another controller answers now. */
	if (a->result == LUN_UNSUPPORTED && op->kind == PR_OP_PREEMPT_AND_ABORT) {
		f->job.quirks.abort = PR_ABORT_NONE;
		f->aborted = false;
		preempt_next(f, out);
		return;
	}
	if (a->result != LUN_OK) {
		fail_answer(f, op, a);
		return;
	}
	f->killed_any = true;
	f->next++;
	preempt_next(f, out);
}

/* ---- (b) barrier ---- */

static void send_reset(struct pr_fence *f, int64_t now, struct pr_step *out)
{
	f->resets_out++;
	out->send = true;
	out->op = (struct pr_op){ .kind = PR_OP_RESET, .key = f->job.own, .tag = ++f->tag };
	out->timer_ms = f->job.no_repeat ? PR_NEVER : now + f->reset_wait_ms;
	f->reset_wait_ms = f->reset_wait_ms < 64000 ? f->reset_wait_ms * 2 : 64000;
}

static bool is_drained(const struct pr_fence *f)
{
	return f->job.quirks.abort == PR_ABORT_DRAINS && f->aborted && !f->job.take;
}

static void begin_barrier(struct pr_fence *f, int64_t now, struct pr_step *out)
{
	if (f->job.no_barrier || is_drained(f)) {
		ask(f, PR_FENCE_VERIFY_KEYS, PR_OP_READ_KEYS, 0, out);
		return;
	}
	if (f->sm.state != PR_FENCE_SETTLE && now < f->job.settle_until_ms) {
		sm_move(&f->sm, PR_FENCE_SETTLE,
			"writes of an earlier target instance may still land");
		out->timer_ms = f->job.settle_until_ms;
		return;
	}
	sm_move(&f->sm, PR_FENCE_BARRIER, "every right is taken");
	f->first_reset_tag = f->tag + 1; /* answers to earlier resets do not count */
	f->reset_wait_ms = 2000;
	send_reset(f, now, out);
}

static void on_reset(struct pr_fence *f, const struct pr_op *op, const struct pr_answer *a,
		     struct pr_step *out)
{
	if (f->resets_out)
		f->resets_out--;
	/* Of an earlier round: it may have been sent before the last PREEMPT was answered. */
	if (f->sm.state != PR_FENCE_BARRIER || op->tag < f->first_reset_tag) {
		out->ignored = true;
		return;
	}
	out->timer_ms = PR_NEVER;
	if (a->result != LUN_OK) {
		fail_answer(f, op, a);
		return;
	}
	f->barriers++;
	ask(f, PR_FENCE_VERIFY_KEYS, PR_OP_READ_KEYS, 0, out);
}

/* ---- the reservation ---- */

static bool holder_ok(const struct pr_fence *f, const struct pr_answer *a)
{
	/* Type 8: every registrant holds it. */
	return f->job.type == PR_TYPE_EA_ALL_REGISTRANTS || a->holder == f->job.own;
}

static void on_holder(struct pr_fence *f, const struct pr_answer *a, int64_t now,
		      struct pr_step *out)
{
	if (a->type == PR_TYPE_NONE && f->job.take)
		/*
		 * Before the barrier, not after it: a write of a nexus that never registered passes
		 * until this moment, and only a reset sent after it drains it.
		 */
		ask(f, PR_FENCE_RESERVE, PR_OP_RESERVE, 0, out);
	else if (a->type == PR_TYPE_NONE)
		fail(f, "no reservation stands (the target has forgotten)");
	else if (a->type != f->job.type)
		fail(f, "a reservation of another type stands");
	else if (holder_ok(f, a))
		begin_barrier(f, now, out);
	else if (f->job.take && f->old_holder != a->holder) {
		f->old_holder = a->holder;
		f->victims[0] = a->holder;
		f->n_victims = 1;
		f->next = 0;
		sm_move(&f->sm, PR_FENCE_KEYS, "the old holder");
		preempt_next(f, out);
	} else
		fail(f, "the reservation is held by somebody else");
}

static void on_reserve(struct pr_fence *f, const struct pr_op *op, const struct pr_answer *a,
		       int64_t now, struct pr_step *out)
{
	if (a->result == LUN_OK)
		begin_barrier(f, now, out);
	else if (a->result == LUN_CONFLICT)
		next_round(f, out);
	else
		fail_answer(f, op, a);
}

/* ---- (c) verify ---- */

static void on_verify_keys(struct pr_fence *f, const struct pr_answer *a, struct pr_step *out)
{
	if (!pr_keys_contain(a->keys, a->n_keys, f->job.own)) {
		fail(f, "own key is gone (fenced, or the target has forgotten)");
		return;
	}
	if (f->job.quirks.tail && !pr_tail_done(&f->tail, a->keys, a->n_keys)) {
		next_round(f, out);
		return;
	}
	f->n_left = 0;
	for (size_t i = 0; i < a->n_keys; i++) {
		if (is_victim(f, a->keys[i]) && !f->job.no_verify) {
			next_round(f, out); /* a late REGISTER: from (a) again, barrier included */
			return;
		}
		if (a->keys[i] != f->job.own)
			f->left[f->n_left++] = a->keys[i];
	}
	ask(f, PR_FENCE_VERIFY_HOLDER, PR_OP_READ_RESERVATION, 0, out);
}

static void on_verify_holder(struct pr_fence *f, const struct pr_answer *a)
{
	if (a->type == f->job.type && holder_ok(f, a))
		sm_move(&f->sm, PR_FENCE_PAID, "verified");
	else
		fail(f, "after the barrier the reservation does not stand as it should");
}

/* ---- seam ---- */

static void out_init(struct pr_step *out)
{
	memset(out, 0, sizeof(*out));
	out->timer_ms = PR_NEVER;
}

void pr_fence_init(struct pr_fence *f)
{
	memset(f, 0, sizeof(*f));
	sm_init(&f->sm, "fence", "", fence_states, sizeof(fence_states) / sizeof(*fence_states),
		PR_FENCE_IDLE, NULL);
}

bool pr_fence_running(const struct pr_fence *f)
{
	return f->sm.state != PR_FENCE_IDLE && f->sm.state != PR_FENCE_PAID &&
	       f->sm.state != PR_FENCE_FAILED;
}

enum pr_fence_phase pr_fence_phase(const struct pr_fence *f)
{
	return (enum pr_fence_phase)f->sm.state;
}

void pr_fence_start(struct pr_fence *f, const struct pr_fence_job *job, int64_t now_ms,
		    struct pr_step *out)
{
	(void)now_ms;
	cl_assert(!pr_fence_running(f) && job->n <= PR_MATCHES_MAX && job->own);
	out_init(out);
	f->job = *job;
	f->why = (struct cl_error)CL_ERROR_INIT;
	f->old_holder = 0;
	f->rounds = 0;
	f->n_swept = 0;
	f->killed_any = f->aborted = false;
	ask(f, PR_FENCE_KEYS, PR_OP_READ_KEYS, 0, out);
}

static void on_sequential(struct pr_fence *f, const struct pr_op *op, const struct pr_answer *a,
			  int64_t now, struct pr_step *out)
{
	switch (f->sm.state) {
	case PR_FENCE_PREEMPT:
		on_preempt(f, op, a, out);
		return;
	case PR_FENCE_RESERVE:
		on_reserve(f, op, a, now, out);
		return;
	default:
		break;
	}
	if (a->result != LUN_OK) {
		fail_answer(f, op, a);
		return;
	}
	if (f->sm.state == PR_FENCE_KEYS)
		on_keys(f, a, out);
	else if (f->sm.state == PR_FENCE_RENAME)
		ask(f, PR_FENCE_HOLDER, PR_OP_READ_RESERVATION, 0, out);
	else if (f->sm.state == PR_FENCE_HOLDER)
		on_holder(f, a, now, out);
	else if (f->sm.state == PR_FENCE_VERIFY_KEYS)
		on_verify_keys(f, a, out);
	else if (f->sm.state == PR_FENCE_VERIFY_HOLDER)
		on_verify_holder(f, a);
}

void pr_fence_answer(struct pr_fence *f, const struct pr_op *op, const struct pr_answer *a,
		     int64_t now_ms, struct pr_step *out)
{
	out_init(out);
	if (op->kind == PR_OP_RESET) {
		on_reset(f, op, a, out);
		return;
	}
	if (!pr_fence_running(f) || op->tag != f->want_tag) {
		out->ignored = true;
		return;
	}
	if (a->result == LUN_LOST)
		fail(f, "the control session was lost");
	else
		on_sequential(f, op, a, now_ms, out);
}

void pr_fence_timer(struct pr_fence *f, int64_t now_ms, struct pr_step *out)
{
	out_init(out);
	if (f->sm.state == PR_FENCE_SETTLE)
		begin_barrier(f, now_ms, out);
	else if (f->sm.state == PR_FENCE_BARRIER && f->resets_out >= PR_FENCE_RESETS_MAX)
		fail(f, "the target answers no LOGICAL UNIT RESET");
	else if (f->sm.state == PR_FENCE_BARRIER)
		send_reset(f, now_ms, out);
}

void pr_fence_lost(struct pr_fence *f, const char *why)
{
	f->resets_out = 0;
	if (pr_fence_running(f))
		fail(f, why);
}
