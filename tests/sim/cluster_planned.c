/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A planned stop of clusterd: it is told to end, tells the others, and comes back later.
 *
 * What is looked for happens within moments of it, so it is made to: the storage stalls while clusterd is away; the
 * node is cut off from all then, or in the moment in which it says that it is back, or when the first of the others
 * reads so.
 *
 *   planned-frozen  nothing freezes or pauses a node's guests while its clusterd is away and the others know it
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "quorum/lease.h"
#include "quorum/state_schema.h"
#include "tests/sim/cluster_driver.h"

enum what { STORAGE_CUT, STORAGE_BACK, SEVERED, DEAF, LEFT_BUT_FOR_STORAGE };

bool planned_seed(const struct cworld *w)
{
	return w->seed % 8 == 6 && !w->no_feeder;
}

void fault_planned(struct cworld *w, unsigned n, unsigned m)
{
	struct node_event ev = { .type = NODE_EV_END };

	(void)m;
	if (sim_chance(w->s, 700000)) {
		n = nemesis_with_a_guest(w, n);
		nemesis_mend(w);
	}
	if (!sim_up(w->s, n) || sim_frozen(w->s, n) || !w->node[n].core)
		return;
	cw_event(w, n, &ev);
}

static void later(struct cworld *w, unsigned node, enum what what, uint64_t delay_ms)
{
	task_new(w, T_PLANNED, node, delay_ms)->a = what;
}

/* Its lease is that of the stop: the others have noted it. */
static bool is_noted(const struct cworld *w, unsigned node)
{
	const struct cnode *c = &w->node[node];

	return c->file_lease_ms - cw_clock(w, node) > 4 * lease_length_ms(1000, 1200);
}

/* For an upgrade: away for up to twenty seconds, four leases. */
void planned_end(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];
	bool noted = is_noted(w, node);

	if (goodbye_ends(w, node))
		return;
	c->away = noted && state_schema(node_state(c->core)) >= SCHEMA_UNWATCHED;
	c->comes_back = noted;
	sim_trace(w->s, "n%u ends as planned%s", node, noted ? "" : ", and nobody knows");
	sim_crash(w->s, node, false);
	task_new(w, T_BOOT, node, 20 + sim_rand(w->s, sim_chance(w->s, 500000) ? 20000 : 2000));
	if (!noted || !w->faults || !planned_seed(w))
		return;
	if (sim_chance(w->s, 300000))
		later(w, node, STORAGE_CUT, sim_rand(w->s, 2000));
	else if (sim_chance(w->s, 300000))
		later(w, node, SEVERED, sim_rand(w->s, 500));
}

/* It lives by its beats again, and is about to say that it is back: it will not hear what becomes of that. */
void planned_back(struct cworld *w, unsigned node)
{
	if (!w->node[node].comes_back || !w->faults || !planned_seed(w) ||
	    !sim_chance(w->s, 250000))
		return;
	w->node[node].comes_back = false;
	later(w, node, DEAF, 0);
}

/* Somebody else has read that it is back: before it has itself. */
void planned_attached(struct cworld *w, unsigned node)
{
	if (!w->node[node].comes_back)
		return;
	w->node[node].comes_back = false;
	if (!w->faults || !planned_seed(w))
		return;
	if (sim_chance(w->s, 400000))
		later(w, node, SEVERED, 0);
	else if (sim_chance(w->s, 500000))
		later(w, node, LEFT_BUT_FOR_STORAGE, 0);
}

/*
 * In every eighth seed one node was not told of a shorter token: its run lease is longer than the others'. Not with
 * older programs, which know nothing of it.
 */
unsigned planned_long_node(const struct cworld *w)
{
	return w->seed % 8 == 3 && !w->old ? 1 + (unsigned)(w->seed / 8 % w->nodes) : 0;
}

/* It is cut off, and goes on by a volume that nobody can fence: then it executes until its lease ends. */
void planned_long_lease(struct cworld *w)
{
	for (unsigned i = 0; i < 4 && planned_long_node(w); i++)
		later(w, planned_long_node(w), LEFT_BUT_FOR_STORAGE,
		      i * 30000 + 2000 + sim_rand(w->s, 20000));
}

static void storage(struct cworld *w, unsigned node, bool cut)
{
	for (unsigned l = 0; l < CW_VOLS; l++)
		w->node[node].vol[l].cut = cut;
}

/* The others fence it from the first volume at once, and from the second, where it goes on, only later. */
static void left_but_for_storage(struct cworld *w, unsigned node)
{
	nemesis_isolate(w, node, true, true);
	for (unsigned i = 1; i <= w->nodes; i++) {
		if (i == node)
			continue;
		w->node[i].vol[1].cut = true;
		later(w, i, STORAGE_BACK, 9000);
	}
}

void planned_task(struct cworld *w, struct task *t)
{
	if (!w->faults)
		return;
	sim_trace(w->s, "n%u planned stop: %" PRIu64, t->node, t->a);
	switch ((enum what)t->a) {
	case STORAGE_CUT:
		storage(w, t->node, true);
		later(w, t->node, STORAGE_BACK, 1000 + sim_rand(w->s, 4000));
		break;
	case STORAGE_BACK:
		storage(w, t->node, false);
		break;
	case SEVERED:
		nemesis_mend(w);
		nemesis_isolate(w, t->node, true, true);
		storage(w, t->node, true);
		later(w, t->node, STORAGE_BACK, 9000);
		break;
	case DEAF:
		nemesis_mend(w);
		nemesis_isolate(w, t->node, true, false);
		storage(w, t->node, true);
		later(w, t->node, STORAGE_BACK, 9000);
		break;
	case LEFT_BUT_FOR_STORAGE:
		nemesis_mend(w);
		left_but_for_storage(w, t->node);
		break;
	}
}

void judge_away(struct cworld *w, unsigned node, const char *what)
{
	const struct cnode *c = &w->node[node];
	int64_t left_ms = c->file_lease_ms - cw_clock(w, node);

	if (c->away && left_ms > LEASE_PAUSE_MS)
		sim_fail(w->s, "planned-frozen",
			 "n%u's guests %s while its clusterd is away as planned, for %" PRId64
			 " ms more",
			 node, what, left_ms);
}
