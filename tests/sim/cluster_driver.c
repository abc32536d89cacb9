/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine as a whole: what a boot finds, what a power cut takes, what a cleanup ends. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/cluster_driver.h"

void driver_cleanup(struct cworld *w, unsigned node, uint64_t incarnation)
{
	struct task *t = task_new(w, T_CLEANED, node, 20 + sim_rand(w->s, 150));

	t->instance = w->node[node].instance;
	t->a = incarnation;
}

/* All QEMUs killed, their requests ended, csvd's sessions closed. */
void driver_cleaned(struct cworld *w, struct task *t)
{
	struct node_event ev = { .type = NODE_EV_CLEANED, .incarnation = t->a };
	bool busy = false;

	for (unsigned i = 0; i < CW_QEMUS; i++) {
		struct qemu *q = &w->qemu[i];

		if (q->state == Q_NONE || q->node != t->node)
			continue;
		guest_forget(q);
		if (q->writing)
			q->state = Q_DEAD;
		else
			q->state = Q_NONE;
		busy = busy || q->writing;
	}
	if (busy) {
		struct task *again = task_new(w, T_CLEANED, t->node, 100);

		again->instance = t->instance;
		again->a = t->a;
		return;
	}
	store_close(w, t->node, t->a);
	cw_event(w, t->node, &ev);
}

void driver_boot(struct cworld *w, unsigned node)
{
	struct node_event ev = { .type = NODE_EV_STARTED };

	for (unsigned i = 0; i < CW_QEMUS; i++) {
		struct qemu *q = &w->qemu[i];

		if (q->state != Q_NONE && q->state != Q_DEAD && q->node == node)
			qemu_report(w, q, NODE_VM_FOUND, q->state == Q_RUN ? "" : "paused", false,
				    0);
		else if (q->state == Q_DEAD && q->node == node && !q->writing)
			q->state = Q_NONE;
	}
	cw_event(w, node, &ev);
	csvd_meets(w, node);
	feeder_power_on(w, node);
}

void driver_power_lost(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];

	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (w->qemu[i].node == node && w->qemu[i].state != Q_NONE) {
			if (qemu_has_run(&w->qemu[i]))
				c->unclean[w->qemu[i].vm] = c->vol[0].incarnation;
			w->qemu[i].state = Q_NONE;
		}
	csvd_power_lost(w, node);
}
