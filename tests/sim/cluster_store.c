/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A csvd's volume: the role, the claim, fences. What is decided there is csvd's own: csv/role.c, csv/store_lun.c,
 * csv/nexus.c, iscsi/control*.c, iscsi/pr*.c. Simulated are the hands between them: csv/volume_role.c.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "csv/role.h"
#include "tests/sim/cluster_store.h"

enum {
	LOOK_MS = 250,
	FAILURE_PAUSE_MS = 1000,
	CLAIM_PAUSE_MS = 200,
	GO_AGAIN_MS = 500,
	HAND_OVER_MS = 10000,
};

static void poke(struct svol *v);

static struct task *vol_task(const struct svol *v, int kind, uint64_t delay_ms)
{
	struct task *t = task_new(v->w, kind, v->node, delay_ms);

	t->slot = v->l;
	return t;
}

/* ---- the store's hooks -------------------------------------------------------------------------------------- */

static void pause_for(struct svol *v, int64_t ms)
{
	v->paused_until = sim_now(v->w->s) + ms;
	vol_task(v, T_STORE, (uint64_t)ms)->a = 1;
}

static void on_store_state(void *user, enum store_state state, const char *why)
{
	struct svol *v = user;

	if (state == STORE_UP && *why && v->claiming)
		pause_for(v, CLAIM_PAUSE_MS);
	if (state != STORE_UP || *why)
		v->claiming = false;
	if (state != STORE_HOLDING)
		v->paying = false;
	vol_task(v, T_STORE, 0)->a = 1;
}

/* Not asked by the guard that is left out: what the tables said last is taken for the answer. */
static bool unasked(struct svol *v)
{
	struct task *t;

	if (!(v->w->hb_defects & SIM_DEFECT_CLAIM_UNASKED))
		return false;
	v->asking = true;
	t = vol_task(v, T_STORE_ASK, 0);
	t->a = v->store_epoch;
	t->b = 1;
	return true;
}

/* Without a clusterd nobody is asked: it is, when there is one again. */
static void on_ask_log(void *user)
{
	struct svol *v = user;

	if (unasked(v))
		return;
	v->asking = true;
	vol_task(v, T_STORE_ASK, 0)->a = v->store_epoch;
}

static void on_barrier(void *user, uint64_t n)
{
	(void)user;
	(void)n;
}

void store_ask(struct cworld *w, struct task *t)
{
	struct svol *v = svol_of(w, t->node, t->slot);

	if (!v->asking || v->store_epoch != t->a)
		return;
	v->asked_at = w->log.epoch[t->slot];
	v->asks = true; /* an answer that came before was to an earlier claim's question */
	if (t->b) {
		v->asked_at = 0;
		store_go(w, t->node, t->slot, t->a, true);
		return;
	}
	if (w->node[t->node].core)
		csvd_report(w, t->node,
			    (struct node_csvd_event){ .report = NODE_CSVD_ASK_GO,
						      .volume = cw_volumes[t->slot],
						      .epoch = t->a });
	vol_task(v, T_STORE_ASK, GO_AGAIN_MS)->a = t->a;
}

void store_go(struct cworld *w, unsigned node, unsigned l, uint64_t epoch, bool yes)
{
	struct svol *v = svol_of(w, node, l);
	const struct csv_tables *tab = tables_of(v);
	struct store_node living[CW_NODES];
	struct env_at before;
	size_t n = 0;

	if (!v->asks || v->store_epoch != epoch || !v->store)
		return;
	v->asks = v->asking = false;
	if (yes && w->node[node].core)
		judge_go_answer(w, node, l, epoch, v->asked_at);
	for (unsigned i = 1; i <= w->nodes; i++)
		if (tab->living[i] && i != node)
			living[n++] = (struct store_node){ i, tab->living[i] };
	before = env_enter(w, node);
	store_log_says(v->store, yes, living, n);
	env_leave(before);
	if (!yes) {
		v->spoilt = true;
		pause_for(v, FAILURE_PAUSE_MS);
	}
	poke(v);
}

/* ---- doing what role.c says ------------------------------------------------------------------------------------ */

void volume_place(const struct svol *v, char url[64], uint8_t uuid[16])
{
	(void)snprintf(url, 64, "iscsi://10.0.0.9/iqn.2026-11.sim:volumes/%u", v->l + 1);
	uuid[0] = (uint8_t)(v->l + 1);
}

static void make_store(struct svol *v)
{
	char url[64];
	struct store_config cfg = {
		.url = url,
		.node = v->node,
		.incarnation = my_life(v),
		.pr_type = PR_TYPE_EA_REGISTRANTS_ONLY,
		.defects = v->w->store_defects,
		.hooks = { on_store_state, on_ask_log, on_barrier, v },
	};
	struct cl_error err = CL_ERROR_INIT;
	struct env_at before = env_enter(v->w, v->node);

	volume_place(v, url, cfg.volume);
	v->store_epoch = 0;
	v->store_incarnation = cfg.incarnation;
	v->spoilt = v->claiming = v->asking = v->asks = false;
	cl_assert(store_lun_new(NULL, &cfg, &v->store, &err) >= 0);
	env_leave(before);
}

static void drop_store(struct svol *v)
{
	struct env_at before = env_enter(v->w, v->node);

	if (v->store)
		v->store->ops->free(v->store);
	env_leave(before);
	v->store = NULL;
	v->paying = v->claiming = v->asking = v->asks = false;
	memset(v->question, 0, sizeof(v->question));
}

static void claim(struct svol *v)
{
	struct cl_error err = CL_ERROR_INIT;
	struct env_at before = env_enter(v->w, v->node);

	v->claiming = true;
	v->store_epoch = v->epoch;
	if (store_coordinate(v->store, &err) < 0) {
		v->claiming = false;
		pause_for(v, FAILURE_PAUSE_MS);
	}
	env_leave(before);
}

static void stop(struct svol *v)
{
	v->running = false;
	if (!v->closed)
		v->spoilt = true;
	v->closed = false;
	cvol_of(v)->go_epoch = 0;
	sim_trace(v->w->s, "n%u coordinates %s no more", v->node, cw_volumes[v->l]);
}

/* Its epoch goes on the volume before anything is served, and none serves below one that is there. */
static void start(struct svol *v)
{
	struct cworld *w = v->w;

	bool below = v->epoch < w->lun.epoch[v->l] && !(w->hb_defects & SIM_DEFECT_EPOCH_BELOW);

	/* Its thread's GO says so: somebody else has the reservation, and it did not know. */
	if (!target_held_by(w, v->l, v->node)) {
		v->spoilt = true;
		pause_for(v, FAILURE_PAUSE_MS);
		return;
	}
	if (below) {
		v->spoilt = true;
		v->found_epoch = w->lun.epoch[v->l];
		sim_trace(w->s, "n%u refuses %s: epoch %" PRIu64 ", the volume has %" PRIu64,
			  v->node, cw_volumes[v->l], v->epoch, v->found_epoch);
		if (w->hb_defects & SIM_DEFECT_CLAIM_BELOW)
			pause_for(v, FAILURE_PAUSE_MS);
		return;
	}
	judge_opened(w, v->node, v->l);
	w->lun.epoch[v->l] = v->epoch;
	v->running = true;
	v->runs++;
	v->closed = false;
	v->running_epoch = cvol_of(v)->go_epoch = v->epoch;
	sim_trace(w->s, "n%u coordinates %s at epoch %" PRIu64, v->node, cw_volumes[v->l],
		  v->epoch);
}

static void end_order(struct svol *v, bool paid)
{
	struct order o = v->order[0];
	const struct sim_verdict *x = &cvol_of(v)->verdict[o.node];

	v->paying = false;
	memmove(&v->order[0], &v->order[1], --v->n_orders * sizeof(o));
	if (paid)
		judge_paid(v->w, v->node, v->l, o.node, o.incarnation);
	if (!v->w->node[v->node].core)
		return; /* it is told anew, and ordered anew */
	csvd_report(v->w, v->node,
		    (struct node_csvd_event){
			    .report = paid ? NODE_CSVD_PAID : NODE_CSVD_PAY_FAILED,
			    .volume = cw_volumes[v->l],
			    .epoch = o.epoch,
			    .node = o.node,
			    .incarnation = o.incarnation,
			    .text = paid ? "" : "no path to the LUN",
			    .seen = paid && x->taken && x->incarnation == o.incarnation
					    ? x->seen
					    : HEARTBEAT_UNKNOWN,
		    });
}

static void on_fenced(void *user, bool paid, const char *why)
{
	struct svol *v = user;

	(void)why;
	if (!v->paying || !v->n_orders)
		return;
	if (paid)
		store_session_over(v->w, v->order[0].node, v->l, v->order[0].incarnation);
	v->fenced = paid ? 1 : -1;
	vol_task(v, T_STORE, 0)->a = 1;
}

static void pay(struct svol *v)
{
	Vol__Debt debt = VOL__DEBT__INIT;
	const Vol__Debt *debts[] = { &debt };
	struct cl_error err = CL_ERROR_INIT;
	struct env_at before = env_enter(v->w, v->node);
	int r;

	debt.node = v->order[0].node;
	debt.incarnation = v->order[0].incarnation;
	v->paying = true;
	v->fenced = 0;
	r = store_fence(v->store, debts, 1, on_fenced, v, &err);
	env_leave(before);
	if (r < 0)
		end_order(v, false);
}

/* Orders of another epoch than this node's are not met here. */
static void return_orders(struct svol *v)
{
	while (v->n_orders && (v->order[0].epoch < v->epoch || !v->wanted))
		end_order(v, false);
}

/* The log has gone on: as csvd's volume.c, when tables come. */
static void hand_over_ends(struct svol *v)
{
	if (!v->handed_epoch || tables_of(v)->volume[v->l].epoch == v->handed_epoch)
		return;
	v->handed_epoch = 0;
	v->paused_until = 0;
}

static struct role_view view_of(struct svol *v)
{
	struct csv_tables *t = tables_of(v);
	uint64_t life = my_life(v);
	struct role_view view = {
		.present = life != 0,
		.wanted = life && t->volume[v->l].coordinator == v->node,
		.epoch = t->volume[v->l].epoch,
		.debts = t->volume[v->l].debts,
		.order_to_pay = v->n_orders > 0,
		.paying = v->paying,
		.looking = csvd_looks(v->w, v->node, v->l),
		.store = v->store ? (enum role_store)(ROLE_STORE_IDLE + (int)v->store->state)
				  : ROLE_STORE_NONE,
		.store_epoch = v->store_epoch,
		.claiming = v->claiming,
		.store_spoilt = v->spoilt || (v->store && v->store_incarnation != life),
		.running = v->running,
		.running_epoch = v->running_epoch,
		.ended = v->closed,
		.outdated = role_outdated(t->volume[v->l].epoch, v->found_epoch) &&
			    !(v->w->hb_defects & SIM_DEFECT_CLAIM_BELOW),
		.waiting = sim_now(v->w->s) < v->paused_until,
	};

	v->epoch = view.epoch;
	v->wanted = view.wanted;
	return view;
}

static bool act(struct svol *v)
{
	struct role_view view = view_of(v);
	bool skip = v->w->hb_defects & SIM_DEFECT_DEBT_OPEN;

	return_orders(v);
	view.order_to_pay = v->n_orders && v->order[0].epoch == v->epoch; /* or tables follow */
	switch (role_next(&view, skip)) {
	case ROLE_MAKE_STORE:
		make_store(v);
		return true;
	case ROLE_COORDINATE:
		claim(v);
		return true;
	case ROLE_PAY:
		pay(v);
		return true;
	case ROLE_START:
		start(v);
		return v->running || view_of(v).outdated;
	case ROLE_STOP:
		stop(v);
		return true;
	case ROLE_DROP_STORE:
		drop_store(v);
		return true;
	default:
		return false;
	}
}

static void poke(struct svol *v)
{
	hand_over_ends(v);
	if (v->paying && v->fenced && v->n_orders)
		end_order(v, v->fenced > 0);
	while (act(v))
		continue;
}

void store_pay(struct cworld *w, struct task *t)
{
	struct svol *v = svol_of(w, t->node, t->slot);

	for (unsigned i = 0; i < v->n_orders; i++)
		if (v->order[i].node == t->b && v->order[i].incarnation == t->c &&
		    v->order[i].epoch == t->a)
			return;
	if (v->n_orders == CW_ORDERS)
		return; /* it comes again */
	v->order[v->n_orders++] =
		(struct order){ .epoch = t->a, .node = (unsigned)t->b, .incarnation = t->c };
	csvd_debt_known(w, t->node, t->slot, (unsigned)t->b, t->c);
	poke(v);
}

void store_release(struct cworld *w, struct task *t)
{
	struct svol *v = svol_of(w, t->node, t->slot);

	if (v->running && v->running_epoch == t->a) {
		v->closed = true;
		poke(v);
		pause_for(v, HAND_OVER_MS);
		v->handed_epoch = t->a;
	}
	if (tables_of(v)->volume[t->slot].epoch == t->a)
		csvd_report(w, t->node,
			    (struct node_csvd_event){ .report = NODE_CSVD_RELEASED,
						      .volume = cw_volumes[t->slot],
						      .epoch = t->a });
}

bool store_allows(struct cworld *w, unsigned node, unsigned l, unsigned who, uint64_t incarnation,
		  uint64_t key)
{
	struct svol *v = svol_of(w, node, l);

	return !v->store || !v->running ||
	       store_knows(v->store, (struct store_node){ who, incarnation }, key);
}

/* ---- its life ----------------------------------------------------------------------------------------------------- */

static void look(struct svol *v)
{
	poke(v);
	nexus_look(v);
}

void store_look(struct cworld *w, struct task *t)
{
	if (t->b) {
		store_session_over(w, t->node, t->slot, t->b);
		return;
	}
	if (t->a) {
		look(svol_of(w, t->node, t->slot));
		return;
	}
	target_look(w, t->node);
	for (unsigned l = 0; l < CW_VOLS; l++)
		look(svol_of(w, t->node, l));
	task_new(w, T_STORE, t->node, LOOK_MS);
}

void store_tables(struct cworld *w, unsigned node)
{
	for (unsigned l = 0; l < CW_VOLS; l++)
		if (svol_of(w, node, l)->w)
			look(svol_of(w, node, l));
}

void store_power_on(struct cworld *w, unsigned node)
{
	for (unsigned l = 0; l < CW_VOLS; l++) {
		svol_of(w, node, l)->w = w;
		svol_of(w, node, l)->node = node;
		svol_of(w, node, l)->l = l;
	}
	task_new(w, T_STORE, node, 1 + node);
}

void store_close(struct cworld *w, unsigned node, uint64_t incarnation)
{
	if (incarnation > w->node[node].closed_up_to)
		w->node[node].closed_up_to = incarnation;
	for (unsigned l = 0; l < CW_VOLS; l++)
		if (svol_of(w, node, l)->w)
			look(svol_of(w, node, l));
}

void store_power_lost(struct cworld *w, unsigned node)
{
	for (unsigned l = 0; l < CW_VOLS; l++) {
		struct svol *v = svol_of(w, node, l);

		if (!v->w)
			continue;
		nexus_drop(v);
		drop_store(v);
		*v = (struct svol){ .w = w, .node = node, .l = l, .session = v->session };
		w->node[node].vol[l].go_epoch = 0;
	}
	w->node[node].closed_up_to = 0;
	memset(&w->node[node].tables, 0, sizeof(w->node[node].tables));
}
