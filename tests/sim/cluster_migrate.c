/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moves between QEMUs: live (copy, pre-switchover, switch) and by a saved state. What may be lost on
 * the way is lost now and then: the connection, the source's last word, the whole state.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/cluster_driver.h"

static struct qemu *peer_of(struct cworld *w, const struct qemu *q)
{
	struct qemu *p = q->peer ? &w->qemu[q->peer - 1] : NULL;

	return p && p->life == q->peer_life && p->state != Q_NONE && p->state != Q_DEAD ? p : NULL;
}

void migrate_failed(struct cworld *w, struct qemu *q, const char *why)
{
	bool was = q->was_running;
	struct node_event ev = { .type = NODE_EV_VM };

	if (q->state == Q_POSTMIGRATE) { /* as QEMU: `cont`, and nothing is said of the move */
		q->copying = q->ready = false;
		q->peer = 0;
		qemu_run(w, q);
		qemu_report(w, q, NODE_VM_CONTINUED, "", false, 0);
		return;
	}
	q->copying = q->ready = false;
	q->peer = 0;
	if (was)
		qemu_run(w, q);
	sim_trace(w->s, "n%u vm%u g%" PRIu64 " migration failed: %s", q->node, q->vm, q->generation,
		  why);
	ev.vm = (struct node_vm_event){
		.report = NODE_VM_MIGRATE_FAILED,
		.name = cw_vm_name(q->vm),
		.generation = q->generation,
		.text = why,
		.failed = true,
		.stands = q->state == Q_PAUSED,
	};
	cw_event(w, q->node, &ev);
}

/* Nothing is stopped before the switch is committed. */
static void start_save(struct cworld *w, struct qemu *q, unsigned long reserved)
{
	q->copying = q->ready = q->quick = q->was_running = true;
	q->quick_for = reserved;
	qemu_report(w, q, NODE_VM_PRE_SWITCHOVER, "", false, 0);
}

/* The guest was stopped by order: whatever fails leaves it standing. */
static void save_step(struct cworld *w, struct qemu *q)
{
	if (!q->copying || (q->state != Q_PAUSED && q->state != Q_RUN))
		return;
	q->state = Q_PAUSED;
	q->was_running = false;
	if (q->writing) {
		qemu_task(w, T_LOAD, q, 5);
	} else if (w->faults && sim_chance(w->s, 100000)) {
		migrate_failed(w, q, "the volume is full");
	} else {
		w->saved[q->vm].reserved = q->quick_for;
		w->saved[q->vm].seq = q->seq;
		q->state = Q_POSTMIGRATE;
		qemu_report(w, q, NODE_VM_SOURCE_DONE, "", false, 100);
	}
}

void migrate_restore(struct cworld *w, struct qemu *p)
{
	if (p->state != Q_LISTEN)
		return;
	if (w->saved[p->vm].reserved != p->generation || (w->faults && sim_chance(w->s, 100000))) {
		qemu_kill(w, p, "the saved state is torn, or void", true);
		return;
	}
	p->seq = w->saved[p->vm].seq;
	p->state = Q_LOADED;
	qemu_report(w, p, NODE_VM_TARGET_DONE, "", false, 100);
}

void migrate_begin(struct cworld *w, struct qemu *q, const char *uri)
{
	unsigned slot = 0;
	unsigned long life = 0;

	q->quick = false;
	if (!q->copying && q->state == Q_RUN && sscanf(uri, "quick:%lu", &life) == 1) {
		start_save(w, q, life);
		return;
	}

	if (q->copying || q->state != Q_RUN || sscanf(uri, "sim:%u:%lu", &slot, &life) != 2) {
		q->was_running = q->state == Q_RUN;
		migrate_failed(w, q, "cannot begin");
		return;
	}
	q->copying = true;
	q->ready = false;
	q->was_running = true;
	q->peer = slot + 1;
	q->peer_life = life;
	qemu_task(w, T_COPY, q, 30)->a = 0;
}

static bool linked(const struct cworld *w, const struct qemu *a, const struct qemu *b)
{
	return a && b && !w->cut[a->node][b->node] && !w->cut[b->node][a->node] &&
	       cw_on(w, a->node) && cw_on(w, b->node);
}

static void migrate_copy(struct cworld *w, struct qemu *q, const struct task *t)
{
	if (!q->copying || q->ready || q->state == Q_DEAD)
		return;
	if (!linked(w, q, peer_of(w, q))) {
		migrate_failed(w, q, "connection lost");
		return;
	}
	if (t->a < 4) {
		qemu_task(w, T_COPY, q, 20 + sim_rand(w->s, 200))->a = t->a + 1;
		qemu_report(w, q, NODE_VM_PROGRESS, "", false, (uint32_t)(t->a * 25));
		return;
	}
	/* Converged: the guest stands as soon as its last write is answered. */
	if (q->writing || (q->state != Q_RUN && q->state != Q_PAUSED)) {
		qemu_task(w, T_COPY, q, 5)->a = t->a;
		return;
	}
	q->was_running = q->state == Q_RUN;
	q->state = Q_PAUSED;
	q->ready = true;
	qemu_report(w, q, NODE_VM_PRE_SWITCHOVER, "", false, 99);
}

/*
 * The end of a migration: the target is complete, and the source says `completed`; or the last message
 * is lost, and the source runs again although the target is complete; or neither.
 */
static void migrate_load(struct cworld *w, struct qemu *q)
{
	struct qemu *p = peer_of(w, q);
	unsigned luck = (unsigned)sim_rand(w->s, 100);

	if (!q->ready || !q->copying || q->state == Q_DEAD)
		return;
	if (q->quick) {
		save_step(w, q);
		return;
	}
	if (!linked(w, q, p) || p->state != Q_LISTEN || (w->faults && luck < 10)) {
		if (luck % 2)
			migrate_failed(w, q, "connection lost in the switch");
		else
			qemu_report(w, q, NODE_VM_MIGRATE_STUCK, "connection lost in `device`",
				    true, 0);
		return;
	}
	p->seq = q->seq;
	p->state = Q_LOADED;
	if (w->faults && luck < 20) {
		q->state = Q_POSTMIGRATE; /* its last word is lost; it stands */
		qemu_report(w, q, NODE_VM_MIGRATE_STUCK, "the return path was lost", true, 0);
	} else if (w->faults && luck < 30) {
		migrate_failed(w, q, "the return path was lost");
	} else {
		q->state = Q_POSTMIGRATE;
		qemu_report(w, q, NODE_VM_SOURCE_DONE, "", false, 100);
	}
	qemu_report(w, p, NODE_VM_TARGET_DONE, "", false, 100);
}

void copy_step(struct cworld *w, struct task *t)
{
	struct qemu *q = task_qemu(w, t);

	if (q)
		migrate_copy(w, q, t);
}

void load_step(struct cworld *w, struct task *t)
{
	struct qemu *q = task_qemu(w, t);

	if (q)
		migrate_load(w, q);
}
