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

#include "tests/sim/cluster_target.h"

/* csvd issues for the owner that its tables name, under a lease, by a nexus that has its GO. */
static bool csvd_issues(const struct cworld *w, const struct qemu *q)
{
	const struct cnode *c = &w->node[q->node];
	bool ours = c->owner[q->vm].node == q->node && c->owner[q->vm].generation == q->generation;

	return (ours || (w->hb_defects & SIM_DEFECT_ANY_OWNER)) && !c->vol[0].cut &&
	       cw_clock(w, q->node) < c->lease_ms && cw_on(w, q->node);
}

static void issue(struct cworld *w, struct qemu *q)
{
	const struct lun_data *path = store_path(w, q->node, 0);
	uint64_t delay = 1 + sim_rand(w->s, 10);
	struct task *t;

	if (!path || !csvd_issues(w, q))
		return;
	if (w->faults && sim_chance(w->s, 20000)) /* hangs in a buffer */
		delay += sim_rand(w->s, 9000);
	q->buffered = q == w->scene.in_csvd;
	if (q->buffered)
		delay += 5000;
	q->queued = false;
	t = qemu_task(w, T_LAND, q, delay);
	t->a = q->seq + 1;
	t->b = w->node[q->node].vol[0].store.data_incarnation;
	t->c = q->generation;
	t->name[0] = (char)('0' + q->vm);
	t->target = target_instance(path);
	t->nexus = target_nexus(path);
}

/* The request is made by a guest that executes; it goes on when csvd can send it, whatever the guest does then. */
static void guest_write(struct cworld *w, struct qemu *q)
{
	if (qemu_executes(w, q) && !q->writing && !q->ready)
		q->writing = q->queued = true;
	if (q->writing && q->queued && q->state != Q_NONE)
		issue(w, q);
}

/* What waits for a way is sent. */
void guests_issue(struct cworld *w, unsigned node)
{
	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (w->qemu[i].state != Q_NONE && w->qemu[i].node == node && w->qemu[i].queued)
			issue(w, &w->qemu[i]);
}

void guest_forget(struct qemu *q)
{
	q->writing = q->writing && !q->queued;
	q->queued = false;
}

/* A target that stands still keeps what it was sent, in order. */
bool lun_waits(struct cworld *w, const struct task *t)
{

	if (sim_now(w->s) >= w->lun.stalled_until || t->target != w->lun.instance)
		return false;
	(void)task_again(w, t, (uint64_t)(w->lun.stalled_until - sim_now(w->s)));
	return true;
}

static void answered(struct cworld *w, const struct task *t, bool ok)
{
	struct qemu *q = &w->qemu[t->slot];

	if (!ok)
		target_conflict(w, t->node, 0, t->nexus);
	if (q->life != t->life || q->state == Q_NONE)
		return;
	q->writing = false;
	if (ok)
		q->seq = t->a;
	if (q->state == Q_DEAD)
		qemu_task(w, T_VM, q, 1)->a = NODE_VM_KILL;
}

/* The right is asked for when it arrives. What was taken lands, whatever becomes of the right. */
void lun_land(struct cworld *w, struct task *t)
{
	unsigned vm = (unsigned)(t->name[0] - '0');
	bool ok = t->taken || target_takes(w, 0, t->nexus, t->target);
	uint64_t lies;

	if (!t->taken && lun_waits(w, t))
		return;
	lies = ok && !t->taken ? target_holds_ms(w, 0) : 0;
	if (lies) {
		task_again(w, t, lies)->taken = true;
		return;
	}
	if (ok)
		judge_accept(w, vm, t);
	else
		sim_trace(w->s, "n%u vm%u late write of g%" PRIu64 " refused", t->node, vm, t->c);
	answered(w, t, ok);
}

void guest_step(struct cworld *w, struct task *t)
{
	(void)t;
	for (unsigned i = 0; i < CW_QEMUS; i++)
		guest_write(w, &w->qemu[i]);
	driver_judge(w);
	task_new(w, T_GUEST, 0, 40);
}
