/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The csvds of the suite `cluster`: sessions, the coordinator's role, fences, storage heartbeats. They are
 * not the daemon's process: they go on when it dies. Heartbeats are decided by csv/hb.c, as in csvd.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/cluster_driver.h"

const char *const cw_volumes[CW_VOLS] = { "vol1", "vol2" };

void csvd_report(struct cworld *w, unsigned node, struct node_csvd_event e)
{
	struct node_event ev = { .type = NODE_EV_CSVD, .csvd = e };

	if (!e.text)
		ev.csvd.text = "";
	cw_event(w, node, &ev);
}

static unsigned volume_index(const char *name)
{
	unsigned l = 0;

	while (l + 1 < CW_VOLS && strcmp(cw_volumes[l], name) != 0)
		l++;
	return l;
}

static struct task *vol_task(struct cworld *w, int kind, unsigned node, unsigned l, uint64_t delay)
{
	struct task *t = task_new(w, kind, node, delay);

	t->slot = l;
	return t;
}

static int64_t clock_of(const struct cworld *w, unsigned node)
{
	return cw_clock(w, node);
}

/* ---- heartbeats: writing --------------------------------------------------------------------------------------- */

static void note_file(struct cnode *c)
{
	int64_t until_ms = 0;

	for (unsigned l = 0; l < CW_VOLS; l++)
		if (c->vol[l].chain.until_ms > until_ms)
			until_ms = c->vol[l].chain.until_ms;
	c->heartbeat_ms = until_ms;
}

/* Now and then it hangs for long, on its way or the answer on its way back. */
static uint64_t way(struct cworld *w)
{
	uint64_t ms = 1 + sim_rand(w->s, 8);

	return w->faults && sim_chance(w->s, 30000) ? ms + sim_rand(w->s, 3000) : ms;
}

static void write_unit(struct cworld *w, unsigned node, unsigned l)
{
	struct cnode *c = &w->node[node];
	struct cvol *v = &c->vol[l];
	struct task *t;

	if (w->no_heartbeats || !v->incarnation || v->cut || v->writing ||
	    clock_of(w, node) >= c->lease_ms)
		return;
	if (c->watched != v->incarnation) {
		if (c->core)
			csvd_report(w, node,
				    (struct node_csvd_event){ .report = NODE_CSVD_WATCH,
							      .incarnation = v->incarnation });
		return;
	}
	v->writing = true;
	t = vol_task(w, T_HB_LAND, node, l, way(w));
	t->a = v->incarnation;
	t->b = ++v->count;
	t->c = (uint64_t)clock_of(w, node);
	t->life = v->lives;
	t->target = w->lun.instance;
}

void hb_lands(struct cworld *w, struct task *t)
{
	bool ok = w->lun.key[t->slot][t->node] == t->a && t->target == w->lun.instance;
	struct task *back;

	if (lun_waits(w, t))
		return;
	if (ok)
		w->lun.unit[t->slot][t->node] = (struct hb_unit){
			.node = t->node, .incarnation = t->a, .count = t->b, .instance = t->life
		};
	back = vol_task(w, T_HB_WRITTEN, t->node, t->slot, way(w));
	back->machine = t->machine;
	back->a = ok ? t->a : 0;
	back->c = t->c;
	back->life = t->life;
}

void hb_written(struct cworld *w, struct task *t)
{
	struct cvol *v = &w->node[t->node].vol[t->slot];

	if (v->lives != t->life)
		return;
	v->writing = false;
	if (v->cut)
		return; /* its answer comes no more */
	if (t->a == v->incarnation) {
		hb_chain_confirmed(&v->chain, (int64_t)t->c, clock_of(w, t->node), w->hb_defects);
		note_file(&w->node[t->node]);
	} else if (w->node[t->node].core) {
		csvd_report(w, t->node, (struct node_csvd_event){ .report = NODE_CSVD_CONFLICT });
	}
}

/* ---- heartbeats: reading --------------------------------------------------------------------------------------- */

static void read_units(struct cworld *w, unsigned node, unsigned l)
{
	struct cvol *v = &w->node[node].vol[l];
	struct task *t;

	if (!v->incarnation || v->cut || v->reading)
		return;
	v->reading = true;
	v->round++;
	v->begun_ms = clock_of(w, node);
	t = vol_task(w, T_HB_READ, node, l, way(w));
	t->life = v->lives;
	t->target = w->lun.instance;
}

void hb_read(struct cworld *w, struct task *t)
{
	struct task *back;

	if (lun_waits(w, t) || t->target != w->lun.instance)
		return;
	back = vol_task(w, T_HB_SEEN, t->node, t->slot, way(w));
	back->machine = t->machine;
	back->life = t->life;
	back->data = malloc(sizeof(w->lun.unit[t->slot]));
	cl_assert(back->data);
	memcpy(back->data, w->lun.unit[t->slot], sizeof(w->lun.unit[t->slot]));
}

static void take_verdicts(struct cworld *w, unsigned node, unsigned l)
{
	struct cvol *v = &w->node[node].vol[l];

	for (unsigned i = 1; i <= w->nodes; i++) {
		struct sim_verdict *x = &v->verdict[i];

		if (!x->incarnation || x->taken || x->round > v->round)
			continue;
		x->seen = hb_watch_judge(&v->watch, i, x->incarnation, v->begun_ms, w->hb_defects);
		x->taken = true;
		sim_trace(w->s, "n%u %s: the heartbeat of n%u at %" PRIu64 " is %d", node,
			  cw_volumes[l], i, x->incarnation, x->seen);
	}
}

void hb_seen(struct cworld *w, struct task *t)
{
	struct cvol *v = &w->node[t->node].vol[t->slot];
	const struct hb_unit *units = (const void *)t->data;

	if (v->lives != t->life)
		return;
	v->reading = false;
	if (v->cut)
		return;
	for (unsigned i = 1; i <= w->nodes; i++)
		hb_watch_read(&v->watch, i, &units[i], v->begun_ms, clock_of(w, t->node));
	take_verdicts(w, t->node, t->slot);
}

void hb_due(struct cworld *w, struct task *t)
{
	unsigned node = t->node;

	for (unsigned l = 0; l < CW_VOLS; l++) {
		write_unit(w, node, l);
		read_units(w, node, l);
	}
	task_new(w, T_HB, node, HEARTBEAT_MS);
}

/* A debt is known: by the tables, or by the order to pay it. */
static void verdict_wanted(struct cworld *w, unsigned node, unsigned l, unsigned of,
			   uint64_t incarnation)
{
	struct cvol *v = &w->node[node].vol[l];
	struct sim_verdict *x = &v->verdict[of];

	if (x->incarnation >= incarnation || of == node)
		return;
	*x = (struct sim_verdict){
		.incarnation = incarnation,
		.round = v->round + 1,
		.since_ms = clock_of(w, node),
	};
	if (w->hb_defects & SIM_DEFECT_EARLY_READ) {
		x->taken = true;
		x->seen = hb_watch_judge(&v->watch, of, incarnation, INT64_MIN, w->hb_defects);
	} else if (!v->reading) {
		read_units(w, node, l);
	}
}

static void debts_known(struct cworld *w, unsigned node, unsigned l, const struct state *s)
{
	for (unsigned i = 1; i <= w->nodes; i++) {
		bool owed = false;

		for (size_t k = 0; k < s->debts.n; k++) {
			const struct state_debt *d = &s->debts.v[k];

			if (d->node != i || strcmp(d->volume, cw_volumes[l]) != 0)
				continue;
			owed = true;
			verdict_wanted(w, node, l, i, d->incarnation);
		}
		if (!owed)
			w->node[node].vol[l].verdict[i].incarnation = 0;
	}
}

/* ---- sessions -------------------------------------------------------------------------------------------------- */

static void new_session(struct cvol *v, uint64_t incarnation)
{
	v->incarnation = incarnation;
	v->chain = (struct hb_chain){ 0 };
	v->writing = v->reading = false;
	v->lives++;
}

/* The session is opened under a new key when the tables say that this node lives at its incarnation and
 * the volume owes no fence. Admission asks the log (go, after a read-index round), which a node that is
 * cut off cannot: so we look at all that was ever committed, not at what those who are up remember. */
static void csvd_session(struct cworld *w, unsigned node, unsigned l)
{
	struct cnode *c = &w->node[node];
	struct cvol *v = &c->vol[l];

	if (v->incarnation == c->file_incarnation || c->file_incarnation == 0 || v->cut ||
	    sim_now(w->s) < w->lun.stalled_until || !w->log.clear[l] ||
	    w->log.living[node] != c->file_incarnation)
		return;
	new_session(v, c->file_incarnation);
	w->lun.key[l][node] = v->incarnation;
	sim_trace(w->s, "n%u registers key %" PRIu64 " on %s", node, v->incarnation, cw_volumes[l]);
}

static void csvd_status(struct cworld *w, unsigned node, unsigned l)
{
	bool path = !w->node[node].vol[l].cut;

	csvd_report(w, node,
		    (struct node_csvd_event){
			    .report = NODE_CSVD_STATUS,
			    .volume = cw_volumes[l],
			    .has_path = path,
			    .mode = path ? STATE_MODE_DIRECT : STATE_MODE_PAUSED,
			    .text = path ? "" : "no path to the LUN",
		    });
}

static void ask_soon(struct cworld *w, unsigned node, unsigned l, uint64_t delay)
{
	struct cvol *v = &w->node[node].vol[l];

	if (!v->coordinates || v->go_epoch == v->coordinates || v->asked)
		return;
	v->asked = true;
	vol_task(w, T_CSVD, node, l, delay)->a = v->coordinates;
}

void csvd_tables(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];
	const struct state *s = node_state(c->core);

	for (unsigned i = 0; i < CW_VMS; i++) {
		const struct state_resource *r = state_resource(s, cw_vm_name(i));

		c->owner[i] =
			r ? (struct owner_row){ r->generation, r->owner } : (struct owner_row){ 0 };
	}
	for (unsigned l = 0; l < CW_VOLS; l++) {
		const struct state_volume *v = state_volume(s, cw_volumes[l]);

		debts_known(w, node, l, s);
		c->vol[l].coordinates = v && v->coordinator == node && v->epoch ? v->epoch : 0;
		ask_soon(w, node, l, 1 + sim_rand(w->s, 20));
	}
}

static void asked_task(struct cworld *w, const struct task *t)
{
	struct cvol *v = &w->node[t->node].vol[t->slot];

	v->asked = false;
	if (v->coordinates == t->a && v->go_epoch != t->a)
		csvd_report(w, t->node,
			    (struct node_csvd_event){ .report = NODE_CSVD_ASK_GO,
						      .volume = cw_volumes[t->slot],
						      .epoch = t->a });
}

void csvd_step(struct cworld *w, struct task *t)
{
	if (t->a) {
		asked_task(w, t);
		return;
	}
	for (unsigned l = 0; l < CW_VOLS; l++) {
		csvd_session(w, t->node, l);
		csvd_status(w, t->node, l);
		ask_soon(w, t->node, l, 1);
	}
	task_new(w, T_CSVD, t->node, 500)->instance = t->instance;
}

/* ---- fences ---------------------------------------------------------------------------------------------------- */

static void pay_failed(struct cworld *w, const struct task *t)
{
	csvd_report(w, t->node,
		    (struct node_csvd_event){ .report = NODE_CSVD_PAY_FAILED,
					      .volume = cw_volumes[t->slot],
					      .epoch = t->a,
					      .text = "no path to the LUN" });
}

static void preempt(struct cworld *w, const struct task *t)
{
	if (w->lun.key[t->slot][t->b] <= t->c)
		w->lun.key[t->slot][t->b] = 0;
	sim_trace(w->s, "n%u preempts keys of n%" PRIu64 " <= %" PRIu64 " on %s", t->node, t->b,
		  t->c, cw_volumes[t->slot]);
}

static void pay_later(struct cworld *w, const struct task *t)
{
	struct task *again = vol_task(w, T_PAY, t->node, t->slot, 20);

	again->a = t->a;
	again->b = t->b;
	again->c = t->c;
	again->target = t->target;
}

/* What the heartbeat did is known before the key is taken, or it is known for no good reason. */
static bool looks(struct cworld *w, const struct task *t)
{
	struct cvol *v = &w->node[t->node].vol[t->slot];
	struct sim_verdict *x = &v->verdict[t->b];

	verdict_wanted(w, t->node, t->slot, (unsigned)t->b, t->c);
	if (x->incarnation != t->c)
		return false;
	if (x->taken || clock_of(w, t->node) - x->since_ms > 500)
		return false;
	pay_later(w, t);
	return true;
}

/* Preempt, barrier, verify: what had not arrived before does not arrive any more. */
void csvd_pay(struct cworld *w, struct task *t)
{
	struct cvol *v = &w->node[t->node].vol[t->slot];
	const struct sim_verdict *x = &v->verdict[t->b];

	if (lun_waits(w, t))
		return;
	if (v->cut || v->go_epoch != t->a || t->target != w->lun.instance) {
		pay_failed(w, t);
		return;
	}
	if (looks(w, t))
		return;
	preempt(w, t);
	csvd_report(w, t->node,
		    (struct node_csvd_event){ .report = NODE_CSVD_PAID,
					      .volume = cw_volumes[t->slot],
					      .epoch = t->a,
					      .node = (uint32_t)t->b,
					      .incarnation = t->c,
					      .seen = x->taken && x->incarnation == t->c
							      ? x->seen
							      : HEARTBEAT_UNKNOWN });
}

void csvd_release(struct cworld *w, struct task *t)
{
	struct cvol *v = &w->node[t->node].vol[t->slot];

	if (v->coordinates != t->a)
		return;
	v->go_epoch = 0;
	csvd_report(w, t->node,
		    (struct node_csvd_event){ .report = NODE_CSVD_RELEASED,
					      .volume = cw_volumes[t->slot],
					      .epoch = t->a });
}

/* The new clusterd may not know that it is to heed them. Not from here: this is an action of its core. */
static void csvd_asks_again(struct cworld *w, unsigned node)
{
	struct task *t = task_new(w, T_HB_ASK, node, 1);

	t->instance = w->node[node].instance;
	t->a = w->node[node].watched;
}

void hb_ask(struct cworld *w, struct task *t)
{
	csvd_report(w, t->node,
		    (struct node_csvd_event){ .report = NODE_CSVD_WATCH, .incarnation = t->a });
}

/* ---- orders ---------------------------------------------------------------------------------------------------- */

static void on_lease(struct cworld *w, unsigned node, const struct node_action *a)
{
	struct cnode *c = &w->node[node];

	if (a->lease.until_ms && a->lease.until_ms < c->file_lease_ms)
		planned_back(w, node);
	if (a->lease.watched || a->lease.until_ms < c->file_lease_ms)
		c->away = false; /* it lives by its beats again */
	c->lease_ms = a->lease.until_ms;
	c->file_lease_ms = a->lease.until_ms ? a->lease.until_ms : 1; /* lease_file.c: ended */
	c->file_beat_ms = a->lease.watched ? a->lease.beat_ms : 0;
	if (a->lease.watched)
		c->watched = a->lease.watched;
	else if (planned_seed(w) && c->watched && c->watched == c->file_incarnation)
		csvd_asks_again(w, node);
	for (unsigned l = 0; l < CW_VOLS; l++)
		hb_chain_beat(&c->vol[l].chain, a->lease.beat_ms);
	note_file(c);
}

void driver_csvd(struct cworld *w, unsigned node, const struct node_action *a)
{
	struct cnode *c = &w->node[node];
	unsigned l = volume_index(a->csvd.volume);
	struct task *t;

	if (a->type != NODE_DO_CSVD_LEASE && a->type != NODE_DO_CSVD_TABLES)
		sim_trace(w->s, "n%u csvd order %d %s epoch %" PRIu64 " code %d", node, a->type,
			  a->csvd.volume, a->csvd.epoch, a->csvd.code);
	switch (a->type) {
	case NODE_DO_CSVD_GO:
		if (a->csvd.code == 0 && a->csvd.epoch >= w->lun.epoch[l])
			c->vol[l].go_epoch = w->lun.epoch[l] = a->csvd.epoch;
		else
			vol_task(w, T_CSVD, node, l, 200)->a = a->csvd.epoch;
		break;
	case NODE_DO_CSVD_PAY:
		t = vol_task(w, T_PAY, node, l, 10 + sim_rand(w->s, 200));
		t->a = a->csvd.epoch;
		t->b = a->csvd.node;
		t->c = a->csvd.incarnation;
		t->target = w->lun.instance;
		break;
	case NODE_DO_CSVD_JOB:
	case NODE_DO_JOB_ANSWER:
		break; /* nothing is decided upon them */
	case NODE_DO_CSVD_RELEASE:
		vol_task(w, T_RELEASE, node, l, 20 + sim_rand(w->s, 100))->a = a->csvd.epoch;
		break;
	case NODE_DO_CSVD_TABLES:
		csvd_tables(w, node);
		break;
	case NODE_DO_CSVD_LEASE:
		on_lease(w, node, a);
		break;
	default:
		cl_assert(!"an action that nobody carries out");
	}
}

/* ---- its life -------------------------------------------------------------------------------------------------- */

void csvd_meets(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];

	csvd_report(w, node, (struct node_csvd_event){ .report = NODE_CSVD_UP, .instance = 1 });
	for (unsigned l = 0; l < CW_VOLS; l++) {
		c->vol[l].asked = false;
		c->vol[l].go_epoch = 0;
	}
	csvd_tables(w, node);
	task_new(w, T_CSVD, node, 10)->instance = c->instance;
	if (c->beating == c->machine + 1)
		return;
	c->beating = c->machine + 1; /* one for each power-on */
	task_new(w, T_HB, node, 1 + sim_rand(w->s, HEARTBEAT_MS));
}

void csvd_logged_out(struct cworld *w, unsigned node)
{
	for (unsigned l = 0; l < CW_VOLS; l++)
		new_session(&w->node[node].vol[l], 0);
}

void csvd_sessions_closed(struct cworld *w, unsigned node)
{
	for (unsigned l = 0; l < CW_VOLS; l++) {
		new_session(&w->node[node].vol[l], 0);
		w->node[node].vol[l].go_epoch = 0;
	}
}

void csvd_power_lost(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];

	for (unsigned l = 0; l < CW_VOLS; l++) {
		struct cvol *v = &c->vol[l];

		new_session(v, 0);
		v->go_epoch = v->coordinates = 0;
		memset(&v->watch, 0, sizeof(v->watch));
		memset(v->verdict, 0, sizeof(v->verdict));
	}
	c->lease_ms = 0;
	c->heartbeat_ms = 0;
	c->watched = 0;
	memset(c->owner, 0, sizeof(c->owner));
}
