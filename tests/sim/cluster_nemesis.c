/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults of the suite `cluster`, by the seed. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/cluster_driver.h"

unsigned cw_random_node(struct cworld *w)
{
	return 1 + (unsigned)sim_rand(w->s, w->nodes);
}

void nemesis_cut(struct cworld *w, unsigned a, unsigned b, bool cut)
{
	w->cut[a][b] = cut;
	sim_cut(w->s, a, b, cut);
}

static void crash(struct cworld *w, unsigned node, bool power)
{
	w->node[node].power_lost = power;
	sim_crash(w->s, node, power);
	w->node[node].power_lost = false;
	if (power)
		person_called(w, node);
}

void nemesis_crash(struct cworld *w, unsigned node, bool power, uint64_t off_ms)
{
	if (!sim_up(w->s, node) || sim_frozen(w->s, node))
		return;
	crash(w, node, power);
	task_new(w, T_BOOT, node, off_ms);
}

void nemesis_power_lost(struct cworld *w, unsigned node)
{
	if (sim_up(w->s, node) && !sim_frozen(w->s, node))
		crash(w, node, true);
}

void nemesis_isolate(struct cworld *w, unsigned node, bool in, bool out)
{
	for (unsigned i = 1; i <= w->nodes; i++) {
		if (i == node)
			continue;
		if (out)
			nemesis_cut(w, node, i, true);
		if (in)
			nemesis_cut(w, i, node, true);
	}
}

static void freeze(struct cworld *w, unsigned node)
{
	if (sim_frozen(w->s, node) || !sim_up(w->s, node))
		return;
	/* Cut off as well, it has to find out by itself when it thaws. */
	if (sim_chance(w->s, 500000))
		nemesis_isolate(w, node, true, true);
	sim_freeze(w->s, node, true);
	task_new(w, T_THAW, node, 100 + sim_rand(w->s, 15000));
}

void nemesis_mend(struct cworld *w)
{
	for (unsigned a = 1; a <= w->nodes; a++)
		for (unsigned b = 1; b <= w->nodes; b++)
			if (a != b)
				nemesis_cut(w, a, b, false);
}

unsigned nemesis_leader(const struct cworld *w)
{
	uint64_t term = 0;
	unsigned best = 0;

	for (unsigned i = 1; i <= w->nodes; i++) {
		struct node_self self;

		if (!w->node[i].core || !cw_on(w, i))
			continue;
		node_get_self(w->node[i].core, &self);
		if (self.leader == i && self.term >= term) {
			best = i;
			term = self.term;
		}
	}
	return best;
}

static void cut_all_storage(struct cworld *w, unsigned node)
{
	for (unsigned l = 0; l < CW_VOLS; l++)
		w->node[node].vol[l].cut = true;
}

/* Off the cluster's network, and perhaps off its storage; its daemon may die or hang soon. */
static void sever(struct cworld *w, unsigned node, unsigned m)
{
	(void)m;
	nemesis_isolate(w, node, true, true);
	if (sim_chance(w->s, 600000))
		cut_all_storage(w, node);
	else if (sim_chance(w->s, 500000))
		w->node[node].vol[sim_rand(w->s, CW_VOLS)].cut = true;
	if (!w->no_feeder && sim_chance(w->s, 700000))
		task_new(w, sim_chance(w->s, 500000) ? T_CRASH : T_HANG, node,
			 sim_rand(w->s, 4000));
}

unsigned nemesis_with_a_guest(const struct cworld *w, unsigned else_node)
{
	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (w->qemu[i].state == Q_RUN)
			return w->qemu[i].node;
	return else_node;
}

/*
 * The same to a node on which a guest executes, with the others well and left alone: its daemon is gone or
 * hangs when it would have to pause it, until long after the others have started it. Only the feeder is left.
 */
static void outlive(struct cworld *w, unsigned n, unsigned m)
{
	unsigned node = nemesis_with_a_guest(w, n);
	bool storage = sim_chance(w->s, 600000);
	uint64_t at = sim_rand(w->s, storage ? 1000 : 4000), ms = 6000 + sim_rand(w->s, 10000);

	(void)m;
	nemesis_mend(w);
	nemesis_isolate(w, node, true, true);
	if (storage)
		cut_all_storage(w, node);
	task_new(w, sim_chance(w->s, 500000) ? T_CRASH : T_HANG, node, at)->a = ms;
}

/*
 * Its corosync is stopped in order: the others have a new ring at once, not after a token's time. Its storage
 * was lost before, so that its guests executed by beats alone, which were acked until a moment ago.
 */
static void depart(struct cworld *w, unsigned n, unsigned m)
{
	unsigned node = nemesis_with_a_guest(w, n);

	(void)m;
	nemesis_mend(w);
	cut_all_storage(w, node);
	task_new(w, T_DEPART, node, HEARTBEAT_SILENT_MS + sim_rand(w->s, 2000));
}

void nemesis_depart(struct cworld *w, unsigned node)
{
	struct sim_config *c = sim_config(w->s);
	uint32_t lost_ms = c->ring_lost_ms;

	sim_trace(w->s, "n%u leaves the ring in order", node);
	c->ring_lost_ms = 20;
	nemesis_isolate(w, node, true, true);
	c->ring_lost_ms = lost_ms;
}

void nemesis_departs(struct cworld *w, struct task *t)
{
	if (w->faults)
		nemesis_depart(w, t->node);
}

/*
 * The leader does not hear a node that the other voters hear and ack, for longer than a lease, and
 * nothing else happens meanwhile: their acks are young, the leader's is old.
 */
static void estrange(struct cworld *w, unsigned node, unsigned m)
{
	unsigned at = nemesis_leader(w);

	(void)m;
	nemesis_mend(w);
	if (at == 0 || at == node)
		return;
	nemesis_cut(w, node, at, true);
	if (sim_chance(w->s, 300000))
		cut_all_storage(w, node);
	if (sim_chance(w->s, 500000))
		nemesis_cut(w, at, node, true);
}

/* ---- the table ---------------------------------------------------------------------------------- */

static void lose_power(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	nemesis_crash(w, n, true, 2000 + sim_rand(w->s, 15000));
}

/* So long that the others go on without its vote. */
static void stay_away(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	nemesis_crash(w, n, true, 20000 + sim_rand(w->s, 40000));
}

/* init restarts it at once; now and then it takes long to come up. */
static uint64_t restart_ms(struct cworld *w)
{
	return 20 + sim_rand(w->s, sim_chance(w->s, 200000) ? 10000 : 700);
}

static void end_process(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	nemesis_crash(w, n, false, restart_ms(w));
}

static void cut_off(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	nemesis_isolate(w, n, true, true);
}

static void cut_in(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	nemesis_isolate(w, n, sim_chance(w->s, 500000), false);
}

static void cut_out(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	nemesis_isolate(w, n, false, true);
}

static void freeze_one(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	freeze(w, n);
}

static void cut_between(struct cworld *w, unsigned n, unsigned m)
{
	if (n != m)
		nemesis_cut(w, n, m, true);
	else
		freeze(w, n);
}

/* One LUN, or both: they are one target mostly. */
static void cut_storage(struct cworld *w, unsigned n, unsigned m)
{
	unsigned which = (unsigned)sim_rand(w->s, 4);
	bool cut = !w->node[n].vol[which % CW_VOLS].cut;

	(void)m;
	for (unsigned l = 0; l < CW_VOLS; l++)
		if (which >= CW_VOLS || which == l)
			w->node[n].vol[l].cut = cut;
}

static void kill_guest(struct cworld *w, unsigned n, unsigned m)
{
	(void)n;
	(void)m;
	driver_crash_qemu(w, (unsigned)sim_rand(w->s, CW_QEMUS));
}

static void mend_all(struct cworld *w, unsigned n, unsigned m)
{
	(void)n;
	(void)m;
	nemesis_mend(w);
	for (unsigned i = 1; i <= w->nodes; i++)
		sim_disk_slow(w->s, i, 0);
}

static void cut_witness(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	w->node[n].wit_cut = !w->node[n].wit_cut;
}

static void lose_witness(struct cworld *w, unsigned n, unsigned m)
{
	(void)n;
	(void)m;
	w->wit.lost = !w->wit.lost;
}

static void restart_witness(struct cworld *w, unsigned n, unsigned m)
{
	(void)n;
	(void)m;
	witness_target_restart(w);
}

/* Not a fault: its agents are set up, or taken away. */
static void fault_agents(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	agents_set(w, n);
}

/* n and m are random nodes, perhaps the same. */
static const struct {
	const char *name;
	unsigned weight;
	uint64_t alone_ms; /* left alone for so much longer than others */
	void (*make)(struct cworld *w, unsigned n, unsigned m);
	bool witness;	/* only where there is one */
	bool process;	/* clusterd alone: what runs needs the feeder */
	bool planned;	/* only with seeds that stop clusterd as planned */
	bool story;	/* only with seeds that have histories of several steps */
	unsigned nodes; /* only with so many; 0 = always */
} faults[] = {
	{ "power", 15, 0, lose_power },
	{ "process", 20, 0, end_process, .process = true },
	{ "cut", 15, 0, cut_off },
	{ "cut-in", 7, 0, cut_in },
	{ "cut-out", 5, 0, cut_out },
	{ "cut-between", 8, 0, cut_between },
	{ "freeze", 8, 0, freeze_one },
	{ "storage", 5, 0, cut_storage },
	{ "guest", 5, 0, kill_guest },
	{ "estrange", 4, 6000, estrange },
	{ "mend", 8, 0, mend_all },
	{ "sever", 6, 2000, sever },
	{ "depart", 2, 6000, depart },
	{ "outlive", 3, 6000, outlive, .process = true },
	{ "hang", 5, 0, fault_hang, .process = true },
	{ "away", 2, 0, stay_away },
	{ "disk-slow", 3, 0, fault_disk_slow },
	{ "disk-full", 2, 0, fault_disk_full, .process = true },
	{ "memory-lost", 3, 0, fault_memory_lost, .process = true },
	{ "target-stalls", 2, 0, fault_target_stalls },
	{ "target-restarts", 2, 0, fault_target_restarts },
	{ "wall-clock", 1, 0, fault_wall_clock },
	{ "upgrade", 5, 0, fault_upgrade, .process = true },
	{ "agents", 1, 0, fault_agents },
	{ "slip", 3, 0, person_slips },
	{ "planned", 25, 6000, fault_planned, .planned = true },
	{ "forget", 25, 0, story_forget, .process = true, .story = true },
	{ "regrow", 60, 0, story_regrow, .story = true, .nodes = 5 },
	{ "overtake", 40, 0, story_overtake, .story = true, .nodes = 5 },
	{ "flap", 20, 0, story_flap, .story = true },
	{ "mute", 20, 0, story_mute, .process = true, .story = true },
	{ "witness-cut", 15, 0, cut_witness, true },
	{ "witness-lost", 6, 0, lose_witness, true },
	{ "witness-target", 4, 0, restart_witness, true },
};

enum { FAULTS = sizeof(faults) / sizeof(*faults) };

static unsigned weight(const struct cworld *w, unsigned i)
{
	if ((faults[i].witness && !w->witness) || (faults[i].process && w->no_feeder) ||
	    (faults[i].planned && !planned_seed(w)) || (faults[i].story && !w->stories) ||
	    (faults[i].nodes && faults[i].nodes != w->nodes))
		return 0;
	return faults[i].weight;
}

static unsigned choose(struct cworld *w)
{
	unsigned sum = 0, x, i = 0;

	for (unsigned k = 0; k < FAULTS; k++)
		sum += weight(w, k);
	for (x = (unsigned)sim_rand(w->s, sum); x >= weight(w, i); i++)
		x -= weight(w, i);
	return i;
}

static void make_one(struct cworld *w)
{
	unsigned n = cw_random_node(w), m = cw_random_node(w), i;
	uint64_t pause_ms;

	i = choose(w);
	pause_ms = 200 + sim_rand(w->s, 4000) + faults[i].alone_ms;
	sim_trace(w->s, "fault %s n%u n%u", faults[i].name, n, m);
	faults[i].make(w, n, m);
	task_new(w, T_NEMESIS, 0, pause_ms);
}

void nemesis_step(struct cworld *w, struct task *t)
{
	(void)t;
	if (!w->faults)
		return;
	if (sim_now(w->s) < w->story_until_ms)
		task_new(w, T_NEMESIS, 0, 500);
	else
		make_one(w);
}

void nemesis_boot(struct cworld *w, struct task *t)
{
	if (!sim_up(w->s, t->node) && !w->node[t->node].destroyed &&
	    w->node[t->node].going != MEMBER_EVICTED)
		sim_boot(w->s, t->node);
}

void nemesis_end_process(struct cworld *w, struct task *t)
{
	if (w->faults)
		nemesis_crash(w, t->node, false, t->a ? t->a : restart_ms(w));
}

void nemesis_thaw(struct cworld *w, struct task *t)
{
	w->node[t->node].thawed_ms = sim_now(w->s);
	sim_freeze(w->s, t->node, false);
}
