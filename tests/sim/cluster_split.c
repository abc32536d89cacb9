/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All is well, and the nodes are cut into two halves of one size: exactly one goes on. Both reach the witness; or,
 * at the same moment, one loses its path to it, by lot the one that serves it: the old manager beside a host that
 * does not know yet that it lost the witness. Judged besides what is judged always:
 *   split  within half a minute every node of one half has quorum and no node of the other one, it stays so,
 *          and the guests write
 */
#include "config.h"

#include "tests/sim/cluster_driver.h"

enum { RING_MS = 6000, DECIDED_MS = 30000, STAYS_MS = 15000, WRITES_MIN = 20 };

static void choose(struct cworld *w, bool *half)
{
	for (unsigned chosen = 0; chosen < w->nodes / 2;) {
		unsigned node = 1 + (unsigned)sim_rand(w->s, w->nodes);

		chosen += !half[node];
		half[node] = true;
	}
}

static void cut_apart(struct cworld *w, const bool *half)
{
	for (unsigned a = 1; a <= w->nodes; a++)
		for (unsigned b = 1; b <= w->nodes; b++)
			if (half[a] != half[b])
				nemesis_cut(w, a, b, true);
}

static void cut_witness(struct cworld *w, const bool *half, bool cut)
{
	for (unsigned i = 1; i <= w->nodes; i++)
		if (half[i])
			w->node[i].wit_cut = cut;
}

static unsigned quorate_in(const struct cworld *w, const bool *half, bool which)
{
	unsigned n = 0;

	for (unsigned i = 1; i <= w->nodes; i++) {
		struct node_self self;

		if (half[i] != which || !w->node[i].core)
			continue;
		node_get_self(w->node[i].core, &self);
		n += self.quorate;
	}
	return n;
}

/* blind: the chosen half cannot be the one. */
static bool decided(const struct cworld *w, const bool *half, bool blind)
{
	unsigned one = quorate_in(w, half, true), two = quorate_in(w, half, false);

	return (one == w->nodes / 2 && two == 0 && !blind) || (two == w->nodes / 2 && one == 0);
}

static void must_be_decided(const struct cworld *w, const bool *half, bool blind, const char *when)
{
	if (!decided(w, half, blind))
		sim_fail(w->s, "split", "%s: %u of the chosen half and %u of the other have quorum",
			 when, quorate_in(w, half, true), quorate_in(w, half, false));
}

static void run_until_decided(struct cworld *w, const bool *half, bool blind)
{
	int64_t end = sim_now(w->s) + DECIDED_MS;

	sim_run(w->s, sim_now(w->s) + RING_MS, UINT64_MAX);
	while (!decided(w, half, blind) && sim_now(w->s) < end)
		sim_run(w->s, sim_now(w->s) + 500, UINT64_MAX);
	must_be_decided(w, half, blind, "at last");
}

void split_scenario(struct cworld *w)
{
	bool half[CW_NODES + 1] = { false }, blind = sim_chance(w->s, 500000);
	uint64_t before;

	choose(w, half);
	sim_trace(w->s, "cut into two halves, n1's %s", half[1] ? "was chosen" : "is the other");
	cut_apart(w, half);
	cut_witness(w, half, blind);
	run_until_decided(w, half, blind);
	before = w->lun.accepted;
	sim_run(w->s, sim_now(w->s) + STAYS_MS, UINT64_MAX);
	must_be_decided(w, half, blind, "a while later");
	/* With a long lease a voter may be taken for one that stays away before that is over, and it counts anew. */
	if (w->lun.accepted < before + WRITES_MIN)
		sim_run(w->s, sim_now(w->s) + STAYS_MS, UINT64_MAX);
	if (w->lun.accepted < before + WRITES_MIN)
		sim_fail(w->s, "split", "the guests do not write");
	cut_witness(w, half, false);
	nemesis_mend(w);
}
