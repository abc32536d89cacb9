/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The LUN and the guests' writes. A guest writes its sequence, one block at a time; a write may hang
 * in a buffer for seconds and then arrive: the LUN takes it exactly if the key of (node, incarnation)
 * is registered.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/cluster_driver.h"

/* csvd issues for the owner that its tables name, under a lease, on its session's key. */
static bool csvd_issues(const struct cworld *w, const struct qemu *q)
{
	const struct cnode *c = &w->node[q->node];

	return c->vol[0].incarnation && c->owner[q->vm].node == q->node &&
	       c->owner[q->vm].generation == q->generation && !c->vol[0].cut &&
	       cw_clock(w, q->node) < c->lease_ms;
}

static void guest_write(struct cworld *w, struct qemu *q)
{
	uint64_t delay = 1 + sim_rand(w->s, 10);
	struct task *t;

	if (!qemu_executes(w, q) || q->writing || q->ready || !csvd_issues(w, q))
		return;
	if (w->faults && sim_chance(w->s, 20000)) /* hangs in a buffer */
		delay += sim_rand(w->s, 9000);
	q->writing = true;
	t = qemu_task(w, T_LAND, q, delay);
	t->a = q->seq + 1;
	t->b = w->node[q->node].vol[0].incarnation;
	t->c = q->generation;
	t->name[0] = (char)('0' + q->vm);
	t->target = w->lun.instance;
}

/* A target that stands still keeps what it was sent, in order. */
bool lun_waits(struct cworld *w, const struct task *t)
{
	struct task *later;

	if (sim_now(w->s) >= w->lun.stalled_until || t->target != w->lun.instance)
		return false;
	later = task_new(w, t->kind, t->node, (uint64_t)(w->lun.stalled_until - sim_now(w->s)));
	later->machine = t->machine;
	later->instance = t->instance;
	later->slot = t->slot;
	later->life = t->life;
	memcpy(later->name, t->name, sizeof(later->name));
	later->a = t->a;
	later->b = t->b;
	later->c = t->c;
	later->target = t->target;
	return true;
}

void lun_land(struct cworld *w, struct task *t)
{
	unsigned vm = (unsigned)(t->name[0] - '0');
	struct qemu *q = &w->qemu[t->slot];
	bool ok = w->lun.key[0][t->node] == t->b && t->target == w->lun.instance;

	if (lun_waits(w, t))
		return;
	if (ok)
		judge_accept(w, vm, t);
	else
		sim_trace(w->s, "n%u vm%u late write of g%" PRIu64 " refused", t->node, vm, t->c);
	if (q->life != t->life || q->state == Q_NONE)
		return;
	q->writing = false;
	if (ok)
		q->seq = t->a;
	if (q->state == Q_DEAD)
		qemu_task(w, T_VM, q, 1)->a = NODE_VM_KILL;
}

void guest_step(struct cworld *w, struct task *t)
{
	(void)t;
	for (unsigned i = 0; i < CW_QEMUS; i++)
		guest_write(w, &w->qemu[i]);
	driver_judge(w);
	task_new(w, T_GUEST, 0, 40);
}
