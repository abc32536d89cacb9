/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The csvds of the suite `cluster`: sessions, the coordinator's role, fences, storage heartbeats. They are
 * not the daemon's process: they go on when it dies. Heartbeats are decided by csv/hb.c, as in csvd.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/cluster_target.h"

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
	    clock_of(w, node) >= c->lease_ms || !store_path(w, node, l))
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
	t->nexus = target_nexus(store_path(w, node, l));
}

void hb_lands(struct cworld *w, struct task *t)
{
	bool ok = target_takes(w, t->slot, t->nexus, t->target);
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
	back->nexus = t->nexus;
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
	} else {
		target_conflict(w, t->node, t->slot, t->nexus);
		if (w->node[t->node].core)
			csvd_report(w, t->node,
				    (struct node_csvd_event){ .report = NODE_CSVD_CONFLICT });
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

/* Of a look that hangs nobody waits longer. */
bool csvd_looks(struct cworld *w, unsigned node, unsigned l)
{
	for (unsigned i = 1; i <= w->nodes; i++) {
		const struct sim_verdict *x = &w->node[node].vol[l].verdict[i];

		if (x->incarnation && !x->taken && clock_of(w, node) - x->since_ms <= 500)
			return true;
	}
	return false;
}

void csvd_debt_known(struct cworld *w, unsigned node, unsigned l, unsigned of, uint64_t incarnation)
{
	verdict_wanted(w, node, l, of, incarnation);
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

/* What was under way by the nexus before is of no account. The chain is its node's life's, not the nexus's. */
void csvd_session(struct cworld *w, unsigned node, unsigned l, uint64_t incarnation)
{
	struct cvol *v = &w->node[node].vol[l];

	if (v->incarnation == incarnation)
		return;
	if (incarnation && v->chain_of != incarnation) {
		v->chain = (struct hb_chain){ 0 };
		v->chain_of = incarnation;
	}
	v->incarnation = incarnation;
	v->writing = v->reading = false;
	v->lives++;
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

static void volume_tables(struct csv_tables *t, const struct state *s, unsigned l)
{
	const struct state_volume *v = state_volume(s, cw_volumes[l]);

	t->volume[l].exists = v != NULL;
	t->volume[l].coordinator = v ? v->coordinator : 0;
	t->volume[l].epoch = v ? v->epoch : 0;
	t->volume[l].debts = 0;
	for (size_t k = 0; k < s->debts.n; k++)
		t->volume[l].debts += strcmp(s->debts.v[k].volume, cw_volumes[l]) == 0;
}

/* Older ones are ignored: a clusterd that begins anew has applied less than it had. */
void csvd_tables(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];
	const struct state *s = node_state(c->core);
	struct csv_tables *t = &c->tables;
	struct node_self self;

	node_get_self(c->core, &self);
	if (self.line < t->line || (self.line == t->line && s->applied < t->index))
		return;
	t->line = self.line;
	t->index = s->applied;
	for (unsigned i = 0; i < CW_VMS; i++) {
		const struct state_resource *r = state_resource(s, cw_vm_name(i));

		c->owner[i] =
			r ? (struct owner_row){ r->generation, r->owner } : (struct owner_row){ 0 };
	}
	for (unsigned i = 1; i <= w->nodes; i++) {
		const struct state_node *n = state_node(s, i);

		t->living[i] = n && n->phase == STATE_NODE_LIVING ? n->incarnation : 0;
	}
	for (unsigned l = 0; l < CW_VOLS; l++) {
		volume_tables(t, s, l);
		debts_known(w, node, l, s);
	}
	store_tables(w, node);
	scene_owner_moved(w, node);
}

void csvd_step(struct cworld *w, struct task *t)
{
	for (unsigned l = 0; l < CW_VOLS; l++)
		csvd_status(w, t->node, l);
	task_new(w, T_CSVD, t->node, 500)->instance = t->instance;
}

/* ---- heartbeats once more: whether they are heeded ------------------------------------------------------------ */

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
	unsigned l = volume_index(a->csvd.volume);
	struct task *t;

	if (a->type != NODE_DO_CSVD_LEASE && a->type != NODE_DO_CSVD_TABLES)
		sim_trace(w->s, "n%u csvd order %d %s epoch %" PRIu64 " code %d", node, a->type,
			  a->csvd.volume, a->csvd.epoch, a->csvd.code);
	switch (a->type) {
	case NODE_DO_CSVD_GO:
		if (a->csvd.code == 0)
			judge_quorum(w, cw_volumes[l], node);
		store_go(w, node, l, a->csvd.epoch, a->csvd.code == 0);
		break;
	case NODE_DO_CSVD_PAY:
		t = vol_task(w, T_PAY, node, l, 10 + sim_rand(w->s, 200));
		t->a = a->csvd.epoch;
		t->b = a->csvd.node;
		t->c = a->csvd.incarnation;
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

	if (c->beating != c->machine + 1)
		store_power_on(w, node);
	csvd_report(w, node, (struct node_csvd_event){ .report = NODE_CSVD_UP, .instance = 1 });
	csvd_tables(w, node);
	task_new(w, T_CSVD, node, 10)->instance = c->instance;
	if (c->beating == c->machine + 1)
		return;
	c->beating = c->machine + 1; /* one for each power-on */
	task_new(w, T_HB, node, 1 + sim_rand(w->s, HEARTBEAT_MS));
}

void csvd_power_lost(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];

	store_power_lost(w, node);
	for (unsigned l = 0; l < CW_VOLS; l++) {
		struct cvol *v = &c->vol[l];

		v->incarnation = v->chain_of = 0;
		v->chain = (struct hb_chain){ 0 };
		v->writing = v->reading = false;
		v->lives++;
		memset(&v->watch, 0, sizeof(v->watch));
		memset(v->verdict, 0, sizeof(v->verdict));
	}
	c->lease_ms = 0;
	c->heartbeat_ms = 0;
	c->watched = 0;
	memset(c->owner, 0, sizeof(c->owner));
}
