/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fence agents in the suite `cluster`: each node has two power supplies. Some fail, some do it and say that
 * they failed, some that are late do it when nobody waits for it any more. In half of the seeds one node alone reaches
 * the controllers. And people: one who has seen that a machine has no power and says so, and one who
 * means another machine than the name that is typed. The first is believed, the second is not. And one who switches on
 * what nobody else will.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/log.pb-c.h"
#include "tests/sim/cluster_driver.h"

static void confirm(struct cworld *w, unsigned at, unsigned node)
{
	struct node_request rq = {
		.client = ++w->client,
		.verb = NODE_FENCE_CONFIRM,
		.object = w->node[node].name,
		.target = "",
		.user = "root",
	};
	struct node_event ev = { .type = NODE_EV_REQUEST, .request = &rq };

	sim_trace(w->s, "n%u is told that n%u is off", at, node);
	cw_event(w, at, &ev);
}

static bool listens(const struct cworld *w, unsigned node)
{
	return w->node[node].core && cw_on(w, node);
}

/* Somebody goes to the machine and looks. */
void person_called(struct cworld *w, unsigned node)
{
	if (sim_chance(w->s, 500000))
		task_new(w, T_PERSON, 0, 500 + sim_rand(w->s, 5000))->a = node;
}

static bool on_ring(const struct cworld *w, unsigned at, unsigned node)
{
	const struct cnode *c = &w->node[at];

	for (uint32_t i = 0; i < c->n_ring; i++)
		if (c->ring[i] == node)
			return true;
	return false;
}

/*
 * It stands there without power, whatever happened to it since the last boot: true. Or (b) it is another
 * machine, which is on the ring, as the node that is asked sees it: a mistake, and to be refused.
 */
void person_looks(struct cworld *w, struct task *t)
{
	unsigned node = (unsigned)t->a, at = cw_random_node(w);

	if (at == node || !listens(w, at))
		return;
	if (t->b ? on_ring(w, at, node) : w->node[node].power_off)
		confirm(w, at, node);
}

/* The wrong name, often of a machine that has just lost its cable. */
void person_slips(struct cworld *w, unsigned node, unsigned m)
{
	struct task *t;

	(void)m;
	if (sim_chance(w->s, 500000))
		nemesis_isolate(w, node, true, true);
	t = task_new(w, T_PERSON, 0, sim_rand(w->s, 2000));
	t->a = node;
	t->b = 1;
}

/* ---- agents --------------------------------------------------------------------------------------------------- */

static void agent_of(Log__FenceAgent *a, uint32_t level, const char *name, uint32_t retries)
{
	log__fence_agent__init(a);
	a->level = level;
	a->agent = (char *)(uintptr_t)name;
	a->timeout_s = 10;
	a->retries = retries;
}

void agents_set(struct cworld *w, unsigned node)
{
	const struct state_node *s = cw_truth(w) ? state_node(cw_truth(w), node) : NULL;
	Log__NodeFenceSet set = LOG__NODE_FENCE_SET__INIT;
	Log__FenceAgent agent[3], *list[3] = { &agent[0], &agent[1], &agent[2] };
	struct node_request rq = { .verb = NODE_SET_FENCE, .target = "" };
	struct node_event ev = { .type = NODE_EV_REQUEST, .request = &rq };
	uint8_t spec[256];
	unsigned at = cw_random_node(w);

	if (!s || !listens(w, at))
		return;
	agent_of(&agent[0], 1, "fence_first", 1);
	agent_of(&agent[1], 1, "fence_second", 0);
	agent_of(&agent[2], 2, "fence_both", 0);
	set.node = node;
	set.version = s->fence_version;
	set.agents = list;
	set.n_agents = sim_chance(w->s, 800000) ? 3 : 0;
	set.keep_off = false;
	cl_assert(log__node_fence_set__get_packed_size(&set) <= sizeof(spec));
	rq.client = ++w->client;
	rq.object = w->node[node].name;
	rq.spec = spec;
	rq.spec_len = log__node_fence_set__pack(&set, spec);
	cw_event(w, at, &ev);
}

static uint8_t supplies_of(const char *agent)
{
	return strcmp(agent, "fence_first") == 0 ? 1 : strcmp(agent, "fence_second") == 0 ? 2 : 3;
}

/*
 * Nobody comes as long as the cluster says that it will do it itself. Not when there is nobody who could: of a
 * cluster that has no majority without this machine.
 */
void person_switches_on(struct cworld *w, struct task *t)
{
	unsigned node = (unsigned)t->a;
	const struct state_node *s = cw_truth(w) ? state_node(cw_truth(w), node) : NULL;

	if (!w->node[node].power_off)
		return;
	if (s && s->off_level && nemesis_leader(w)) {
		task_new(w, T_SWITCH_ON, 0, 2000)->a = node;
	} else {
		judge_owed(w, node);
		task_new(w, T_BOOT, node, 1);
	}
}

/* The last supply takes all with it, whatever the machine is doing. */
static void switch_off(struct cworld *w, unsigned node, uint8_t supplies, const struct task *t)
{
	struct cnode *c = &w->node[node];

	c->supplies |= supplies;
	if (c->supplies != 3 || c->power_off || !sim_up(w->s, node))
		return;
	if (sim_frozen(w->s, node))
		sim_freeze(w->s, node, false);
	nemesis_power_lost(w, node);
	owed_switched_off(w, node, t);
	task_new(w, T_SWITCH_ON, 0, 5000 + sim_rand(w->s, 15000))->a = node;
}

static void switch_on(struct cworld *w, unsigned node, uint8_t supplies)
{
	w->node[node].supplies &= (uint8_t)~supplies;
	if (w->node[node].power_off && !w->node[node].destroyed)
		task_new(w, T_BOOT, node, 500);
}

/* Its end, at a moment when the power can still be there: a process that is just being restarted has it. */
void agent_ends(struct cworld *w, struct task *t)
{
	unsigned node = (unsigned)t->b;
	uint8_t supplies = supplies_of(t->name);
	bool reaches = !w->reaches || w->reaches == t->node;
	bool works = reaches && w->faults && sim_chance(w->s, 700000);
	struct node_event ev = {
		.type = NODE_EV_FENCE,
		.fence = { .id = t->a, .ok = works, .text = "no answer" },
	};

	if (!sim_up(w->s, node) && !w->node[node].power_off) {
		ev.fence.ok =
			false; /* between two lives of its daemon: not to be told apart here */
	} else if (t->c && works) {
		switch_on(w, node, supplies);
	} else if (!t->c && (works || (reaches && sim_chance(w->s, 300000)))) {
		switch_off(w, node, supplies, t);
	}
	sim_trace(w->s, "%s %s of n%u for n%u: %s", t->name, t->c ? "on" : "off", node, t->node,
		  ev.fence.ok ? "done" : "failed");
	if (listens(w, t->node) && t->instance == w->node[t->node].instance)
		cw_event(w, t->node, &ev);
}

/* Who is about to switch a machine on, and has no time left. */
static void leader_dies(struct cworld *w)
{
	unsigned leader = nemesis_leader(w);

	if (leader && !w->no_feeder && sim_chance(w->s, 200000))
		task_new(w, T_CRASH, leader, 1 + sim_rand(w->s, 100));
}

void agent_begins(struct cworld *w, unsigned node, const struct node_action *a)
{
	struct task *t = task_new(w, T_AGENT, node, 100 + sim_rand(w->s, 2500));

	t->instance = w->node[node].instance;
	t->a = a->fence.id;
	t->b = a->fence.node;
	t->c = strcmp(a->fence.action, "on") == 0;
	(void)snprintf(t->name, sizeof(t->name), "%s", a->fence.agent);
	owed_agent_begins(w, t);
	if (t->c)
		leader_dies(w);
}

/* ---- judged --------------------------------------------------------------------------------------------------- */

static bool runs_here(const struct state_resource *r, const struct state_node *n)
{
	return (r->owner == n->id && r->owner_incarnation == n->incarnation) ||
	       (r->target == n->id && r->target_incarnation == n->incarnation);
}

/* Who was called off by an agent or a person has lost its power since that incarnation began: else it is on. */
void judge_off(struct cworld *w, const struct state *s)
{
	for (size_t i = 0; i < s->fences.n; i++) {
		const struct state_fence *f = &s->fences.v[i];
		const struct cnode *c = &w->node[f->node];

		if (f->off && f->by[0] && c->on_since == f->incarnation)
			sim_fail(w->s, "off-but-on",
				 "n%u is on at %" PRIu64 ", off by the word of %s", f->node,
				 f->incarnation, f->by);
	}
}

/* Never more than a quarter, one at least; and nothing belongs to one that is. */
void judge_quarantine(struct cworld *w, const struct state *s)
{
	unsigned quarantined = 0, members = 0;

	for (size_t i = 0; i < s->nodes.n; i++) {
		const struct state_node *n = &s->nodes.v[i];

		members += n->phase != STATE_NODE_KNOWN;
		quarantined += n->quarantined;
		for (size_t k = 0; k < s->resources.n && n->quarantined; k++)
			if (n->phase == STATE_NODE_LIVING && runs_here(&s->resources.v[k], n))
				sim_fail(w->s, "quarantine",
					 "%s is given to n%u, which is quarantined",
					 s->resources.v[k].name, n->id);
	}
	if (quarantined > 1 && quarantined * 4 > members)
		sim_fail(w->s, "quarantine", "%u of %u nodes are quarantined", quarantined,
			 members);
}
