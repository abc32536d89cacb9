/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Most nodes are destroyed, one that is left begins a new line by `init --force`, and later the others
 * come back with their old databases. Judged as everything else: no guest runs twice, no write of an old
 * owner is taken, and at the end all is well, in one line.
 */
#include "config.h"

#include "tests/sim/cluster_driver.h"

enum {
	SILENT_MS = 13000, /* longer than the core takes a node for heard */
	ALONE_MS = 40000,
	TRIES = 90,
};

static void destroy(struct cworld *w, unsigned node)
{
	if (sim_frozen(w->s, node))
		sim_freeze(w->s, node, false);
	if (!sim_up(w->s, node)) /* the machine is on, without our process */
		sim_boot(w->s, node);
	nemesis_crash(w, node, true, 1);
	w->node[node].destroyed = true;
}

static bool leads_alone(const struct cworld *w, unsigned node)
{
	struct node_self self;

	if (!w->node[node].core)
		return false;
	node_get_self(w->node[node].core, &self);
	return w->forced && self.life == NODE_UP;
}

static void ask_force(struct cworld *w, unsigned node)
{
	struct node_request rq = {
		.verb = NODE_INIT, .object = "sim", .target = "", .force = true
	};
	struct node_event ev = { .type = NODE_EV_REQUEST, .request = &rq };
	uint8_t random[16];

	for (unsigned i = 0; i < sizeof(random); i++)
		random[i] = (uint8_t)sim_rand(w->s, 256);
	rq.uuid = random;
	rq.client = ++w->client;
	sim_trace(w->s, "n%u is told to go on alone", node);
	cw_event(w, node, &ev);
}

/* The others had left before they were destroyed. It may have said goodbye (seed 101717 of its time). */
static bool is_majority(const struct cworld *w, unsigned node)
{
	struct node_self self = { 0 };

	if (w->node[node].core)
		node_get_self(w->node[node].core, &self);
	return self.life == NODE_UP || self.leader == node;
}

static bool whole_copy(const struct cworld *w, unsigned node)
{
	struct state known;
	bool whole;

	if (!w->node[node].core)
		return w->node[node].disk.snapshot.index > 1;
	if (node_known(w->node[node].core, &known) < 0)
		return false;
	/* Its removal may be the last that it has read. */
	whole = state_node(&known, node) || state_node(node_state(w->node[node].core), node);
	state_fini(&known);
	return whole;
}

bool force_alone(struct cworld *w, unsigned node)
{
	for (unsigned i = 0; i < TRIES && !leads_alone(w, node); i++) {
		if (w->node[node].core && !w->forced)
			ask_force(w, node);
		sim_run(w->s, sim_now(w->s) + 1000, UINT64_MAX);
	}
	return leads_alone(w, node);
}

/* A majority that is there after all refuses it: then there is nothing to be forced. */
static void force(struct cworld *w, unsigned node)
{
	(void)force_alone(w, node);
	/* A member that is new may have the history only up to its own admission: refused, with words. */
	if (!w->forced && whole_copy(w, node) && !is_majority(w, node))
		sim_fail(w->s, "force", "n%u does not go on alone", node);
}

/* The survivor misses what the others do meanwhile: they start elsewhere what it had. */
static void left_out(struct cworld *w, unsigned survivor)
{
	sim_trace(w->s, "n%u is left out", survivor);
	nemesis_isolate(w, survivor, true, true);
	w->faults = true;
	task_new(w, T_CLIENT, 0, 500);
	sim_run(w->s, sim_now(w->s) + 15000 + (int64_t)sim_rand(w->s, 15000), UINT64_MAX);
	w->faults = false;
}

static void come_back(struct cworld *w, unsigned survivor)
{
	sim_trace(w->s, "the others are back, with their old databases");
	for (unsigned i = 1; i <= w->nodes; i++) {
		w->node[i].destroyed = false;
		w->node[i].schema = 0; /* an older program is not taken in any more */
		if (i != survivor)
			task_new(w, T_BOOT, i, 1 + sim_rand(w->s, 5000));
	}
}

void force_scenario(struct cworld *w)
{
	unsigned survivor = cw_random_node(w);

	if (sim_chance(w->s, 700000))
		left_out(w, survivor);
	sim_trace(w->s, "all but n%u are destroyed", survivor);
	for (unsigned i = 1; i <= w->nodes; i++)
		if (i != survivor)
			destroy(w, i);
	cw_heal(w);
	sim_run(w->s, sim_now(w->s) + SILENT_MS, UINT64_MAX);
	/* Of one that was about to get its first copy nothing can be made. */
	if (whole_copy(w, survivor)) {
		force(w, survivor);
		sim_run(w->s, sim_now(w->s) + (int64_t)sim_rand(w->s, ALONE_MS), UINT64_MAX);
	}
	come_back(w, survivor);
}
