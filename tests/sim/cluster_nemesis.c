/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults and clients of the suite `cluster`, by the seed. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/cluster_world.h"

static unsigned random_node(struct cworld *w)
{
	return 1 + (unsigned)sim_rand(w->s, w->nodes);
}

static void set_cut(struct cworld *w, unsigned a, unsigned b, bool cut)
{
	w->cut[a][b] = cut;
	sim_cut(w->s, a, b, cut);
}

static void crash(struct cworld *w, unsigned node, bool power)
{
	if (!sim_up(w->s, node) && !power)
		return;
	if (sim_frozen(w->s, node))
		return;
	w->node[node].power_lost = power;
	if (sim_up(w->s, node))
		sim_crash(w->s, node, power);
	else
		return;
	/* A process comes back at once, as init restarts it: a guest runs on without it, and nobody
	 * would pause it. A machine takes its time. */
	task_new(w, T_BOOT, node, power ? 2000 + sim_rand(w->s, 15000) : 20 + sim_rand(w->s, 700));
}

static void isolate(struct cworld *w, unsigned node, bool in, bool out)
{
	for (unsigned i = 1; i <= w->nodes; i++) {
		if (i == node)
			continue;
		if (out)
			set_cut(w, node, i, true);
		if (in)
			set_cut(w, i, node, true);
	}
}

static void freeze(struct cworld *w, unsigned node)
{
	if (sim_frozen(w->s, node) || !sim_up(w->s, node))
		return;
	/* Cut off as well, it has to find out by itself when it thaws. */
	if (sim_chance(w->s, 500000))
		isolate(w, node, true, true);
	sim_freeze(w->s, node, true);
	task_new(w, T_THAW, node, 100 + sim_rand(w->s, 15000));
}

static void mend(struct cworld *w)
{
	for (unsigned a = 1; a <= w->nodes; a++)
		for (unsigned b = 1; b <= w->nodes; b++)
			if (a != b)
				set_cut(w, a, b, false);
}

/* Who believes to lead, 0 = nobody. */
static unsigned leader(const struct cworld *w)
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

/*
 * The leader does not hear a node that the other voters hear and ack, for longer than a lease, and
 * nothing else happens meanwhile: their acks are young, the leader's is old.
 */
static void estrange(struct cworld *w, unsigned node)
{
	unsigned at = leader(w);

	mend(w);
	if (at == 0 || at == node)
		return;
	set_cut(w, node, at, true);
	if (sim_chance(w->s, 500000))
		set_cut(w, at, node, true);
}

/* Returns how long it is left alone, in ms. */
static uint64_t fault(struct cworld *w)
{
	unsigned n = random_node(w), m = random_node(w), x = (unsigned)sim_rand(w->s, 100);
	uint64_t pause_ms = 200 + sim_rand(w->s, 4000);

	sim_trace(w->s, "fault %u n%u n%u", x, n, m);
	if (x < 15)
		crash(w, n, true);
	else if (x < 35)
		crash(w, n, false);
	else if (x < 50)
		isolate(w, n, true, true);
	else if (x < 57)
		isolate(w, n, sim_chance(w->s, 500000), false);
	else if (x < 62)
		isolate(w, n, false, true);
	else if (x < 70 && n != m)
		set_cut(w, n, m, true);
	else if (x < 78)
		freeze(w, n);
	else if (x < 83)
		w->node[n].storage_cut = !w->node[n].storage_cut;
	else if (x < 88)
		driver_crash_qemu(w, (unsigned)sim_rand(w->s, CW_QEMUS));
	else if (x < 92) {
		estrange(w, n);
		pause_ms += 6000;
	} else {
		mend(w);
	}
	return pause_ms;
}

/* ---- clients ------------------------------------------------------------------------------------------------ */

static void ask(struct cworld *w, unsigned node, struct node_request rq)
{
	struct node_event ev = { .type = NODE_EV_REQUEST, .request = &rq };

	rq.client = ++w->client;
	sim_trace(w->s, "n%u asks %d %s %s", node, rq.verb, rq.object, rq.target);
	cw_event(w, node, &ev);
}

static const char *const vm_names[CW_VMS] = { "vm0", "vm1", "vm2" };

void client_task(struct cworld *w)
{
	unsigned at = random_node(w), x = (unsigned)sim_rand(w->s, 100);
	const char *vm = vm_names[sim_rand(w->s, CW_VMS)];
	const char *to = sim_chance(w->s, 300000) ? "" : w->node[random_node(w)].name;
	struct node_request rq = { .object = vm, .target = "" };

	if (!w->node[at].core || sim_frozen(w->s, at))
		return;
	if (x < 45) {
		rq.verb = NODE_MOVE;
		rq.quick = sim_chance(w->s, 300000);
		rq.target = to;
	} else if (x < 60) {
		rq.verb = NODE_STOP;
		rq.force = sim_chance(w->s, 500000);
	} else if (x < 85) {
		rq.verb = NODE_START;
	} else if (x < 90) {
		rq.verb = NODE_DRAIN;
		rq.object = w->node[random_node(w)].name;
	} else if (x < 97) {
		rq.verb = NODE_RESUME;
		rq.object = w->node[random_node(w)].name;
	} else {
		rq.verb = NODE_MOVE;
		rq.object = "vol1";
	}
	ask(w, at, rq);
}

/* ---- the cluster comes to be ----------------------------------------------------------------------------------- */

static void join_step(struct cworld *w)
{
	static const uint8_t uuid[16] = { 'v' };
	const struct state *s = cw_truth(w);
	struct node_request rq = { .object = "", .target = "" };

	if (!w->node[1].core)
		return;
	if (w->joined == 0) {
		rq.verb = NODE_INIT;
		rq.object = "sim";
		ask(w, 1, rq);
	} else if (w->joined < w->nodes) {
		rq.verb = NODE_JOIN;
		ask(w, (unsigned)w->joined + 1, rq);
	} else if (w->joined == w->nodes) {
		rq.verb = NODE_CREATE_VOLUME;
		rq.object = "vol1";
		rq.url = "iscsi://sim/iqn/1";
		rq.uuid = uuid;
		ask(w, 1, rq);
	} else if (w->joined <= w->nodes + CW_VMS) {
		static const char *const volumes[] = { "vol1" };

		rq.verb = NODE_CREATE_VM;
		rq.object = vm_names[w->joined - w->nodes - 1];
		rq.volumes = volumes;
		rq.n_volumes = 1;
		rq.memory_bytes = UINT64_C(1) << 30;
		rq.start = true;
		ask(w, 1, rq);
	}
	w->joined++;
	(void)s;
}

void nemesis_task(struct cworld *w, struct task *t)
{
	switch (t->kind) {
	case T_BOOT:
		if (!sim_up(w->s, t->node))
			sim_boot(w->s, t->node);
		break;
	case T_THAW:
		w->node[t->node].thawed_ms = sim_now(w->s);
		sim_freeze(w->s, t->node, false);
		break;
	case T_NEMESIS:
		if (!w->faults)
			break;
		task_new(w, T_NEMESIS, 0, fault(w));
		break;
	case T_CLIENT:
		if (!w->faults)
			break;
		client_task(w);
		task_new(w, T_CLIENT, 0, 100 + sim_rand(w->s, 1500));
		break;
	case T_JOIN:
		if (w->joined <= w->nodes + CW_VMS) {
			join_step(w);
			task_new(w, T_JOIN, 0, 1500);
		}
		break;
	default:
		cl_assert(!"unknown task");
	}
}
