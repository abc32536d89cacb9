/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMUs: orders to them, their reports. Each order takes its time. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/cluster_driver.h"

const char *cw_vm_name(unsigned vm)
{
	static const char *const names[CW_VMS] = { "vm0", "vm1", "vm2" };

	return names[vm];
}

void qemu_report(struct cworld *w, const struct qemu *q, enum node_vm_report what, const char *text,
		 bool failed, uint32_t percent)
{
	struct node_event ev = { .type = NODE_EV_VM };

	ev.vm = (struct node_vm_event){
		.report = what,
		.name = cw_vm_name(q->vm),
		.generation = q->generation,
		.text = text,
		.failed = failed,
		.percent = percent,
	};
	sim_trace(w->s, "n%u vm%u g%" PRIu64 " report %d %s", q->node, q->vm, q->generation, what,
		  text);
	cw_event(w, q->node, &ev);
}

struct task *qemu_task(struct cworld *w, int kind, struct qemu *q, uint64_t delay_ms)
{
	struct task *t = task_new(w, kind, q->node, delay_ms);

	t->slot = (unsigned)(q - w->qemu);
	t->life = q->life;
	return t;
}

struct qemu *task_qemu(struct cworld *w, const struct task *t)
{
	struct qemu *q = &w->qemu[t->slot];

	return q->state != Q_NONE && q->life == t->life ? q : NULL;
}

static struct qemu *qemu_find(struct cworld *w, unsigned node, const char *name,
			      uint64_t generation)
{
	for (unsigned i = 0; i < CW_QEMUS; i++) {
		struct qemu *q = &w->qemu[i];

		if (q->state != Q_NONE && q->node == node && q->generation == generation &&
		    strcmp(cw_vm_name(q->vm), name) == 0)
			return q;
	}
	return NULL;
}

static struct qemu *qemu_new(struct cworld *w, unsigned node, const char *name, uint64_t generation)
{
	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (w->qemu[i].state == Q_NONE) {
			w->qemu[i] = (struct qemu){
				.state = Q_STARTING,
				.vm = (unsigned)(name[2] - '0'),
				.node = node,
				.generation = generation,
				.life = ++w->lives,
			};
			return &w->qemu[i];
		}
	cl_assert(!"too many QEMUs");
	return NULL;
}

bool qemu_executes(const struct cworld *w, const struct qemu *q)
{
	return q->state == Q_RUN && cw_on(w, q->node) && !w->node[q->node].slice_frozen;
}

/* What may have a write on its way. A target that was never continued has not, and a source that is
 * ready to switch has none left. */
bool qemu_has_run(const struct qemu *q)
{
	return ((q->state == Q_RUN || q->state == Q_PAUSED) && (!q->ready || q->quick)) ||
	       (q->state == Q_DEAD && q->writing);
}

void qemu_run(struct cworld *w, struct qemu *q)
{
	q->state = Q_RUN;
	sim_trace(w->s, "n%u vm%u g%" PRIu64 " executes, seq %" PRIu64, q->node, q->vm,
		  q->generation, q->seq);
	judge_running(w, q->vm);
}

void driver_order(struct cworld *w, unsigned node, const struct node_action *a)
{
	struct qemu *q = qemu_find(w, node, a->vm.name, a->vm.generation);
	uint64_t delay = 1 + sim_rand(w->s, 20);
	struct task *t;

	sim_trace(w->s, "n%u order %d %s g%" PRIu64 " %s", node, a->vm.what, a->vm.name,
		  a->vm.generation, a->vm.text);
	if (a->vm.what == NODE_VM_START || a->vm.what == NODE_VM_START_INCOMING) {
		if (a->vm.what == NODE_VM_START)
			judge_start(w, a->vm.name, node);
		judge_quorum(w, a->vm.name, node);
		if (q)
			sim_fail(w->s, "started-twice", "%s g%" PRIu64 " on n%u", a->vm.name,
				 a->vm.generation, node);
		q = qemu_new(w, node, a->vm.name, a->vm.generation);
		delay = 20 + sim_rand(w->s, 300);
		w->starts++;
	} else if (a->vm.what == NODE_VM_PAUSE) {
		judge_away(w, node, "pause");
	} else if (a->vm.what == NODE_VM_KILL) {
		judge_kill(w, a, node);
	} else if (a->vm.what == NODE_VM_SHUTDOWN) {
		delay = 100 + sim_rand(w->s, 1500);
	}
	if (!q && a->vm.what == NODE_VM_KILL) {
		q = qemu_new(w, node, a->vm.name, a->vm.generation);
		q->state = Q_DEAD;
	}
	if (!q)
		return;
	/* One that does not answer is stopped by a signal (migration/vm_pause.c, GENTLE_MS). */
	if (a->vm.what == NODE_VM_PAUSE && w->faults && sim_chance(w->s, 20000))
		delay += sim_rand(w->s, 150);
	q->stops += a->vm.what == NODE_VM_PAUSE || a->vm.what == NODE_VM_STAND;
	t = qemu_task(w, T_VM, q, delay);
	t->a = a->vm.what;
	t->b = q->stops;
	memcpy(t->name, a->vm.text, sizeof(t->name) - 1);
}

static void qemu_gone(struct cworld *w, struct qemu *q, const char *why, bool failed)
{
	struct qemu old = *q;

	q->state = Q_NONE;
	qemu_report(w, &old, NODE_VM_STOPPED, why, failed, 0);
}

/* The stop order: killed, then its requests ended, only then it counts as stopped. */
void qemu_kill(struct cworld *w, struct qemu *q, const char *why, bool failed)
{
	guest_forget(q);
	if (q->writing) {
		q->state = Q_DEAD;
		q->report_dead = failed;
		return;
	}
	qemu_gone(w, q, why, failed || q->report_dead);
}

/* Its disks are opened before it executes: of two lines only one is served. */
static bool waits_for_disk(struct cworld *w, const struct qemu *q, const struct task *t)
{
	if (!w->scene.apart || store_path(w, q->node, 0))
		return false;
	(void)task_again(w, t, 100);
	return true;
}

static void order_takes_effect(struct cworld *w, struct qemu *q, const struct task *t)
{
	char uri[64];

	switch ((enum node_vm_do)t->a) {
	case NODE_VM_START:
		if (q->state != Q_STARTING || waits_for_disk(w, q, t))
			break;
		if (w->faults && sim_chance(w->s, 30000)) {
			qemu_kill(w, q, "could not start", true);
			break;
		}
		judge_number(w, q);
		q->seq = w->lun.seq[q->vm];
		qemu_run(w, q);
		qemu_report(w, q, NODE_VM_STARTED, "", false, 0);
		break;
	case NODE_VM_START_INCOMING:
		if (q->state != Q_STARTING)
			break;
		judge_number(w, q);
		q->state = Q_LISTEN;
		if (strcmp(t->name, "quick") == 0)
			(void)snprintf(uri, sizeof(uri), "quick:%lu", (unsigned long)q->generation);
		else
			(void)snprintf(uri, sizeof(uri), "sim:%u:%lu", t->slot,
				       (unsigned long)q->life);
		qemu_report(w, q, NODE_VM_INCOMING, uri, false, 0);
		break;
	case NODE_VM_SHUTDOWN:
	case NODE_VM_KILL:
		qemu_kill(w, q, "killed", false);
		break;
	case NODE_VM_PAUSE:
	case NODE_VM_STAND:
		if (q->state == Q_RUN)
			q->state = Q_PAUSED;
		q->was_running = false;
		qemu_report(w, q, NODE_VM_PAUSED, "", false, 0);
		break;
	case NODE_VM_CONT:
		if (q->state == Q_DEAD || q->state == Q_LISTEN || q->state == Q_STARTING ||
		    t->b != q->stops)
			break;
		q->copying = q->ready = false;
		qemu_run(w, q);
		qemu_report(w, q, NODE_VM_CONTINUED, "", false, 0);
		break;
	case NODE_VM_MIGRATE:
		migrate_begin(w, q, t->name);
		break;
	case NODE_VM_LOAD:
		migrate_restore(w, q);
		break;
	case NODE_VM_SWITCH:
		if (q->ready)
			qemu_task(w, T_LOAD, q, 5 + sim_rand(w->s, 60));
		break;
	case NODE_VM_MIGRATE_CANCEL:
		if (q->state != Q_DEAD)
			migrate_failed(w, q, "cancelled");
		break;
	}
}

void driver_crash_qemu(struct cworld *w, unsigned slot)
{
	if (w->qemu[slot].state != Q_NONE && w->qemu[slot].state != Q_DEAD)
		qemu_kill(w, &w->qemu[slot], "QEMU died", true);
}

void vm_step(struct cworld *w, struct task *t)
{
	struct qemu *q = task_qemu(w, t);

	if (q)
		order_takes_effect(w, q, t);
}
