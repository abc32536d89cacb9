/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The csvds: their tables, sessions with the LUN, coordinators, payments. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/cluster_driver.h"

void csvd_report(struct cworld *w, unsigned node, struct node_csvd_event e)
{
	struct node_event ev = { .type = NODE_EV_CSVD, .csvd = e };

	if (!e.text)
		ev.csvd.text = "";
	cw_event(w, node, &ev);
}

static void csvd_status(struct cworld *w, unsigned node)
{
	bool path = !w->node[node].storage_cut;

	csvd_report(w, node,
		    (struct node_csvd_event){
			    .report = NODE_CSVD_STATUS,
			    .volume = "vol1",
			    .has_path = path,
			    .mode = path ? STATE_MODE_DIRECT : STATE_MODE_PAUSED,
			    .text = path ? "" : "no path to the LUN",
		    });
}

/* The session is opened under a new key when the tables say that this node lives at its incarnation and
 * the volume owes no fence. Admission asks the log (go, after a read-index round), which a node that is
 * cut off cannot: so we look at all that was ever committed, not at what those who are up remember. */
static void csvd_session(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];

	if (c->csvd_incarnation == c->file_incarnation || c->file_incarnation == 0 ||
	    c->storage_cut || sim_now(w->s) < w->lun.stalled_until || !w->log.clear ||
	    w->log.living[node] != c->file_incarnation)
		return;
	c->csvd_incarnation = c->file_incarnation;
	w->lun.key[node] = c->csvd_incarnation;
	sim_trace(w->s, "n%u registers key %" PRIu64, node, c->csvd_incarnation);
}

void csvd_tables(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];
	const struct state *s = node_state(c->core);
	const struct state_volume *v = state_volume(s, "vol1");

	for (unsigned i = 0; i < CW_VMS; i++) {
		const struct state_resource *r = state_resource(s, cw_vm_name(i));

		c->owner[i] =
			r ? (struct owner_row){ r->generation, r->owner } : (struct owner_row){ 0 };
	}
	c->coordinates = v && v->coordinator == node && v->epoch ? v->epoch : 0;
	if (c->coordinates && c->go_epoch != c->coordinates && !c->asked) {
		c->asked = true;
		task_new(w, T_CSVD, node, 1 + sim_rand(w->s, 20))->a = c->coordinates;
	}
}

void csvd_step(struct cworld *w, struct task *t)
{
	struct cnode *c = &w->node[t->node];

	if (t->a == 0) { /* its own timer */
		csvd_session(w, t->node);
		csvd_status(w, t->node);
		task_new(w, T_CSVD, t->node, 500)->instance = t->instance;
		if (c->coordinates && c->go_epoch != c->coordinates && !c->asked) {
			c->asked = true;
			task_new(w, T_CSVD, t->node, 1)->a = c->coordinates;
		}
		return;
	}
	c->asked = false;
	if (c->coordinates == t->a && c->go_epoch != t->a)
		csvd_report(w, t->node,
			    (struct node_csvd_event){
				    .report = NODE_CSVD_ASK_GO, .volume = "vol1", .epoch = t->a });
}

/* Preempt, barrier, verify: what had not arrived before does not arrive any more. */
void csvd_pay(struct cworld *w, struct task *t)
{
	struct cnode *c = &w->node[t->node];

	if (lun_waits(w, t))
		return;
	if (c->storage_cut || c->go_epoch != t->a || t->target != w->lun.instance) {
		csvd_report(w, t->node,
			    (struct node_csvd_event){ .report = NODE_CSVD_PAY_FAILED,
						      .volume = "vol1",
						      .epoch = t->a,
						      .text = "no path to the LUN" });
		return;
	}
	if (w->lun.key[t->b] <= t->c)
		w->lun.key[t->b] = 0;
	sim_trace(w->s, "n%u preempts keys of n%" PRIu64 " <= %" PRIu64, t->node, t->b, t->c);
	csvd_report(w, t->node,
		    (struct node_csvd_event){ .report = NODE_CSVD_PAID,
					      .volume = "vol1",
					      .epoch = t->a,
					      .node = (uint32_t)t->b,
					      .incarnation = t->c });
}

void driver_csvd(struct cworld *w, unsigned node, const struct node_action *a)
{
	struct cnode *c = &w->node[node];
	struct task *t;

	if (a->type != NODE_DO_CSVD_LEASE && a->type != NODE_DO_CSVD_TABLES)
		sim_trace(w->s, "n%u csvd order %d epoch %" PRIu64 " code %d", node, a->type,
			  a->csvd.epoch, a->csvd.code);
	switch (a->type) {
	case NODE_DO_CSVD_GO:
		if (a->csvd.code == 0 && a->csvd.epoch >= w->lun.epoch)
			c->go_epoch = w->lun.epoch = a->csvd.epoch;
		else
			task_new(w, T_CSVD, node, 200)->a = a->csvd.epoch;
		break;
	case NODE_DO_CSVD_PAY:
		t = task_new(w, T_PAY, node, 10 + sim_rand(w->s, 200));
		t->a = a->csvd.epoch;
		t->b = a->csvd.node;
		t->c = a->csvd.incarnation;
		t->target = w->lun.instance;
		break;
	case NODE_DO_CSVD_JOB:
	case NODE_DO_JOB_ANSWER:
		break; /* nothing is decided upon them */
	case NODE_DO_CSVD_RELEASE:
		task_new(w, T_RELEASE, node, 20 + sim_rand(w->s, 100))->a = a->csvd.epoch;
		break;
	case NODE_DO_CSVD_TABLES:
		csvd_tables(w, node);
		break;
	case NODE_DO_CSVD_LEASE:
		c->lease_ms = a->lease.until_ms;
		c->file_lease_ms = a->lease.until_ms;
		break;
	default:
		cl_assert(!"an action that nobody carries out");
	}
}

void csvd_release(struct cworld *w, struct task *t)
{
	struct cnode *c = &w->node[t->node];

	if (c->coordinates != t->a)
		return;
	c->go_epoch = 0;
	csvd_report(w, t->node,
		    (struct node_csvd_event){
			    .report = NODE_CSVD_RELEASED, .volume = "vol1", .epoch = t->a });
}
