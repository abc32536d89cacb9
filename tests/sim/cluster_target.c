/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The volumes' target. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "quorum/state_force.h"
#include "tests/sim/cluster_target.h"
#include "tests/sim/lun_env.h"

enum {
	TAKEN_MAX = 2,
	STRAY_MS = 6000, /* a coordinator looks every five seconds */
};

/* ---- registrations ---------------------------------------------------------------------------------------- */

static struct target *target_of(struct cworld *w, unsigned l)
{
	return &w->lun.target[l];
}

static struct reg *reg_by_nexus(struct target *t, uint64_t nexus)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->reg[i].nexus == nexus)
			return &t->reg[i];
	return NULL;
}

static bool key_there(const struct target *t, uint64_t key)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->reg[i].key == key)
			return true;
	return false;
}

static void drop_key(struct target *t, uint64_t key)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < t->n; i++)
		if (t->reg[i].key != key)
			t->reg[kept++] = t->reg[i];
	t->n = kept;
}

bool target_takes(const struct cworld *w, unsigned l, uint64_t nexus, uint64_t instance)
{
	struct target *t = (struct target *)(uintptr_t)&w->lun.target[l];

	return instance == w->lun.instance && (!t->type || reg_by_nexus(t, nexus));
}

bool target_lets(const struct cworld *w, unsigned l, unsigned node, uint64_t incarnation)
{
	const struct target *t = &w->lun.target[l];
	struct pr_key k;

	for (unsigned i = 0; i < t->n; i++)
		if (t->reg[i].go && pr_key_parse(t->reg[i].key, &k) && k.node == node &&
		    k.incarnation == (uint32_t)incarnation)
			return true;
	return false;
}

bool target_held_by(const struct cworld *w, unsigned l, unsigned node)
{
	struct pr_key k;

	return pr_key_parse(w->lun.target[l].holder, &k) && k.node == node;
}

uint64_t target_holds_ms(struct cworld *w, unsigned l)
{
	struct target *t = target_of(w, l);
	int64_t until;

	if (!w->faults || env_rand(w, 1000) >= 4)
		return 0;
	until = sim_now(w->s) + 1 + (int64_t)env_rand(w, 4000);
	if (until > t->drain_ms)
		t->drain_ms = until;
	return (uint64_t)(until - sim_now(w->s));
}

/* ---- commands --------------------------------------------------------------------------------------------- */

static void read_keys(struct target *t, struct pr_answer *a)
{
	a->n_keys = t->n;
	for (unsigned i = 0; i < t->n; i++)
		a->keys[i] = t->reg[i].key;
}

static void do_register(struct cworld *w, struct target *t, uint64_t nexus, const struct pr_op *op,
			struct pr_answer *a)
{
	if (reg_by_nexus(t, nexus)) {
		a->result = LUN_CONFLICT;
		return;
	}
	cl_assert(op->key == 0 && op->arg && t->n < CW_REGS);
	t->reg[t->n++] = (struct reg){ .nexus = nexus, .key = op->arg, .since_ms = sim_now(w->s) };
}

static bool has_right(struct target *t, uint64_t nexus, uint64_t key)
{
	const struct reg *r = reg_by_nexus(t, nexus);

	return r && r->key == key;
}

static void do_reserve(struct target *t, uint64_t nexus, const struct pr_op *op,
		       struct pr_answer *a)
{
	if (!has_right(t, nexus, op->key) || (t->type && t->holder != op->key)) {
		a->result = LUN_CONFLICT;
		return;
	}
	t->type = op->type;
	t->holder = op->key;
}

static void do_preempt(struct target *t, uint64_t nexus, const struct pr_op *op,
		       struct pr_answer *a)
{
	bool holder = t->type && t->holder == op->arg;

	if (!has_right(t, nexus, op->key) || (!key_there(t, op->arg) && !holder)) {
		a->result = LUN_CONFLICT;
		return;
	}
	drop_key(t, op->arg);
	if (holder)
		t->holder = op->key;
}

/*
 * An older line's coordinator cannot know before its claim that a newer one serves the volume; then it leaves it alone. A
 * claim that is broken off, by the newer one's own, is made a second time.
 */
static void judge_taken(struct cworld *w, unsigned node, unsigned l)
{
	if (!w->scene.apart || w->log.living[node] || w->lun.epoch[l] < STATE_LINE_JUMP)
		return;
	if (++w->scene.taken[l][node] > TAKEN_MAX)
		sim_fail(w->s, "taken-again", "n%u of an older line takes %s for the %uth time",
			 node, cw_volumes[l], w->scene.taken[l][node]);
}

void target_execute(struct cworld *w, unsigned node, unsigned l, struct sent *m)
{
	struct target *t = target_of(w, l);
	struct pr_answer *a = &m->answer;
	uint64_t holder = t->holder;

	*a = (struct pr_answer){ .tag = m->op.tag };
	switch (m->op.kind) {
	case PR_OP_READ_KEYS:
		read_keys(t, a);
		t->read_ms[node] = sim_now(w->s);
		break;
	case PR_OP_READ_RESERVATION:
		a->type = t->type;
		a->holder = t->type ? t->holder : 0;
		break;
	case PR_OP_REGISTER:
		do_register(w, t, m->nexus, &m->op, a);
		if (m->late)
			sim_trace(w->s, "a REGISTER of n%u arrives late: key %016" PRIx64, node,
				  m->op.arg);
		break;
	case PR_OP_RESERVE:
		do_reserve(t, m->nexus, &m->op, a);
		break;
	case PR_OP_PREEMPT:
		do_preempt(t, m->nexus, &m->op, a);
		sim_trace(w->s, "n%u preempts %016" PRIx64 " on %s: %s", node, m->op.arg,
			  cw_volumes[l], lun_result_name(a->result));
		break;
	case PR_OP_RESET:
		break;
	default:
		cl_assert(!"a command that nobody sends");
	}
	if (t->holder && t->holder != holder)
		judge_taken(w, node, l);
}

/* ---- faults --------------------------------------------------------------------------------------------------- */

/* What it had taken has landed before it is there again (facts of tgt: docs/fencing.md). */
void target_restart(struct cworld *w)
{
	w->lun.instance++;
	w->lun.stalled_until = 0;
	for (unsigned l = 0; l < CW_VOLS; l++) {
		struct target *t = target_of(w, l);

		if (t->drain_ms > w->lun.stalled_until)
			w->lun.stalled_until = t->drain_ms;
		t->n = 0;
		t->type = 0;
		t->holder = 0;
	}
}

static void forget_one(struct cworld *w, struct target *t, unsigned i)
{
	sim_trace(w->s, "the target forgets key %016" PRIx64, t->reg[i].key);
	drop_key(t, t->reg[i].key);
}

/* And whose key it was is about to be cut off, while its next REGISTER lies in a buffer. */
static void forget_and_sever(struct cworld *w, struct target *t)
{
	unsigned i = (unsigned)env_rand(w, t->n);
	struct pr_key k;

	if (pr_key_parse(t->reg[i].key, &k)) {
		w->lun.late_node = k.node;
		task_new(w, T_LUN_FORGETS, 0, 1 + env_rand(w, 2500))->a = k.node;
	}
	forget_one(w, t, i);
}

/* It is cut off; or stands still until after its fence, and not as long as its lease. */
static void lose(struct cworld *w, unsigned node, uint64_t x)
{
	sim_trace(w->s, "n%u is lost, and has asked for a key", node);
	if (x < 30)
		nemesis_isolate(w, node, true, true);
	else if (sim_up(w->s, node) && !sim_frozen(w->s, node)) {
		sim_freeze(w->s, node, true);
		task_new(w, T_THAW, node, 2600 + env_rand(w, 2400));
	}
}

void target_forgets(struct cworld *w, struct task *task)
{
	struct target *t = target_of(w, (unsigned)env_rand(w, CW_VOLS));
	uint64_t x = env_rand(w, 100);

	if (!w->faults)
		return;
	if (task->a) {
		lose(w, (unsigned)task->a, x);
		return;
	}
	w->lun.late_node = 0;
	if (t->n && x < 15)
		forget_and_sever(w, t);
	else if (t->n && x < 50)
		forget_one(w, t, (unsigned)env_rand(w, t->n));
	task_new(w, T_LUN_FORGETS, 0, 2000 + env_rand(w, 40000));
}

void target_forget_of(struct cworld *w, unsigned l, unsigned node)
{
	struct target *t = target_of(w, l);
	struct pr_key k;

	for (unsigned i = t->n; i-- > 0;)
		if (t->reg[i].go && pr_key_parse(t->reg[i].key, &k) && k.node == node)
			forget_one(w, t, i);
}

/* ---- judged ----------------------------------------------------------------------------------------------------- */

/* By what was there when it looked last: one that came later is the next check's. */
void judge_paid(struct cworld *w, unsigned payer, unsigned l, unsigned node, uint64_t incarnation)
{
	struct target *t = &w->lun.target[l];
	struct pr_key k;

	if (t->paid[node] < incarnation)
		t->paid[node] = incarnation;
	for (unsigned i = 0; i < t->n; i++)
		if (pr_key_parse(t->reg[i].key, &k) && k.node == node &&
		    k.incarnation <= incarnation && t->reg[i].since_ms < t->read_ms[payer])
			sim_fail(w->s, "fence-unverified",
				 "n%u has fenced n%u up to %" PRIu64
				 " on %s, and its key %016" PRIx64 " is there",
				 payer, node, incarnation, cw_volumes[l], t->reg[i].key);
}

static void judge_stray(struct cworld *w, unsigned l, unsigned coordinator)
{
	const struct target *t = &w->lun.target[l];
	struct pr_key k;

	for (unsigned i = 0; i < t->n; i++)
		if (sim_now(w->s) - t->reg[i].since_ms > STRAY_MS &&
		    pr_key_parse(t->reg[i].key, &k) && k.node != coordinator &&
		    !store_allows(w, coordinator, l, k.node, k.incarnation, t->reg[i].key))
			sim_fail(w->s, "stray-stays",
				 "key %016" PRIx64
				 " of n%u is registered on %s, and n%u allows it not",
				 t->reg[i].key, k.node, cw_volumes[l], coordinator);
}

/*
 * Of two lines that live beside each other one serves the volume as long as the other's epoch does not stand on it: what
 * was fenced by a new line counts from then on.
 */
uint64_t target_fenced(const struct cworld *w, unsigned l, unsigned node)
{
	return w->scene.apart && w->lun.epoch[l] < STATE_LINE_JUMP ? 0
								   : w->lun.target[l].paid[node];
}

/* Its fence was paid: nothing of that life writes any more, whatever it asks for. */
static void judge_go(struct cworld *w, unsigned l, uint64_t key)
{
	struct pr_key k;

	if (pr_key_parse(key, &k) && k.incarnation <= target_fenced(w, l, k.node))
		sim_fail(w->s, "go-fenced", "n%u gets a GO on %s at %u, which is fenced", k.node,
			 cw_volumes[l], k.incarnation);
}

void target_go(struct cworld *w, unsigned l, uint64_t nexus, uint64_t key)
{
	struct reg *r = reg_by_nexus(target_of(w, l), nexus);

	if (r)
		r->go = true;
	judge_go(w, l, key);
}

/* At the end. One that is asked for just then is none yet (seed 21634 of its time). */
void judge_strays(struct cworld *w)
{
	for (unsigned l = 0; l < CW_VOLS; l++)
		for (unsigned i = 1; i <= w->nodes; i++)
			if (w->node[i].vol[l].go_epoch)
				judge_stray(w, l, i);
}
