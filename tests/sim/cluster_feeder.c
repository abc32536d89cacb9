/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The watchdog feeders of the suite `cluster`: a process of its own on every machine, which outlives
 * clusterd and stands still with the machine alone. It decides by quorum/feeder.c, looks at what clusterd and
 * csvd left in /run, and freezes what runs. Its looks are late by some of FEEDER_FREEZE_MS, and the freezer
 * takes the rest.
 */
#include "config.h"

#include "quorum/feeder.h"
#include "tests/sim/cluster_driver.h"

enum {
	FREEZER_MS = FEEDER_FREEZE_MS / 2,
	LATE_MS = FEEDER_FREEZE_MS - FREEZER_MS,
	STARVED_MS = FEEDER_QUIET_MS + 4 * FEEDER_LOOK_MS, /* the watchdog's own time is 3 s */
};

static void take_a_look_later(struct cworld *w, unsigned node)
{
	uint64_t late = sim_chance(w->s, 100000) ? sim_rand(w->s, LATE_MS) : sim_rand(w->s, 3);

	task_new(w, T_FEED, node, FEEDER_LOOK_MS + late);
}

void feeder_power_on(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];

	if (w->no_feeder || c->feeding == c->machine + 1)
		return;
	c->feeding = c->machine + 1;
	c->feeder = (struct feeder){ 0 };
	c->starved_ms = 0;
	c->slice_frozen = false;
	task_new(w, T_FEED, node, 1 + sim_rand(w->s, FEEDER_LOOK_MS));
}

static bool populated(const struct cworld *w, unsigned node, bool *ret_executes)
{
	bool any = false;

	*ret_executes = false;
	for (unsigned i = 0; i < CW_QEMUS; i++) {
		const struct qemu *q = &w->qemu[i];

		if (q->node != node || q->state == Q_NONE || q->state == Q_DEAD)
			continue;
		any = true;
		*ret_executes = *ret_executes || qemu_executes(w, q);
	}
	return any;
}

static void leave_out(const struct cworld *w, struct feeder_view *v)
{
	if ((w->hb_defects & SIM_DEFECT_FEEDER_LEASE) ||
	    ((w->hb_defects & SIM_DEFECT_FEEDER_TRUSTS) && v->clusterd_lives))
		v->beat_ms = 0;
	if ((w->hb_defects & SIM_DEFECT_FEEDER_END) && v->lease_until_ms)
		v->lease_until_ms += FEEDER_EARLY_MS;
}

/*
 * A machine that stands still between the order and the freezer's end goes on with what shall be frozen for a
 * moment: seen, and over before the watchdog's time (witness, seed 21071 of its time).
 */
static void judge_petted(struct cworld *w, unsigned node, bool petted)
{
	int64_t now_ms = cw_clock(w, node), *since_ms = &w->node[node].starved_ms;

	if (petted)
		*since_ms = 0;
	else if (!*since_ms)
		*since_ms = now_ms;
	else if (now_ms - *since_ms > STARVED_MS)
		sim_fail(w->s, "watchdog", "n%u is given up, and what runs there stands", node);
}

void feeder_due(struct cworld *w, struct task *t)
{
	struct cnode *c = &w->node[t->node];
	struct feeder_view v = {
		.now_ms = cw_clock(w, t->node),
		.lease_until_ms = c->file_lease_ms,
		.beat_ms = c->file_beat_ms,
		.heartbeat_until_ms = c->heartbeat_ms,
		.clusterd_lives = c->core != NULL, /* it may hang */
	};
	struct feeder_orders o;
	bool executes;

	v.populated = populated(w, t->node, &executes);
	c->cpu_usec += executes;
	v.cpu_usec = c->cpu_usec;
	leave_out(w, &v);
	o = feeder_look(&c->feeder, &v);
	if (o.freeze)
		judge_away(w, t->node, "freeze");
	if (o.freeze)
		task_new(w, T_FROZEN, t->node, 1 + sim_rand(w->s, FREEZER_MS));
	if (o.thaw && c->slice_frozen) {
		sim_trace(w->s, "n%u feeder thaws", t->node);
		c->slice_frozen = false;
		driver_judge(w);
	}
	judge_petted(w, t->node, o.pet);
	take_a_look_later(w, t->node);
}

void feeder_froze(struct cworld *w, struct task *t)
{
	struct cnode *c = &w->node[t->node];

	if (!c->feeder.frozen) /* thawed since */
		return;
	sim_trace(w->s, "n%u feeder freezes", t->node);
	c->slice_frozen = true;
}
