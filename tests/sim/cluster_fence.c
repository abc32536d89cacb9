/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * People in the suite `cluster`: one who has seen that a machine has no power and says so, and one who
 * means another machine than the name that is typed. The first is believed, the second is not.
 */
#include "config.h"

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
