/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults of disks and of the target; clocks that run apart. */
#include "config.h"

#include <string.h>

#include "tests/sim/cluster_target.h"

/* ---- clocks: a rate of its own for each, within 1 % of each other (docs/timing.md) -------------------- */

int64_t cw_clock(const struct cworld *w, unsigned node)
{
	const struct cnode *c = &w->node[node];
	int64_t t = sim_now(w->s);

	return t + c->clock_off + t * c->clock_ppm / 1000000;
}

int64_t cw_when(const struct cworld *w, unsigned node, int64_t at)
{
	const struct cnode *c = &w->node[node];
	int64_t t = at - c->clock_off;

	if (at == INT64_MAX || t < 0)
		return at;
	return t * 1000000 / (1000000 + c->clock_ppm) + (c->clock_ppm ? 1 : 0);
}

void fault_wall_clock(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	w->node[n].wall_off = (int64_t)sim_rand(w->s, 2000000000) - 1000000000;
}

/* ---- the database's disk --------------------------------------------------------------------------------- */

void fault_disk_slow(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	sim_disk_slow(w->s, n, sim_chance(w->s, 300000) ? 0 : (uint32_t)sim_rand(w->s, 5000));
}

/* What is being written is not; the process ends itself, and starts when there is space again. */
void fault_disk_full(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	nemesis_crash(w, n, false, 100 + sim_rand(w->s, 9000));
}

/*
 * Every node votes, with the database that it has now. Two that lose their memory at once can take with
 * them what only they had: against that there is no guard but a third copy.
 */
bool fault_all_vote(const struct cworld *w)
{
	unsigned at = nemesis_leader(w), n = 0;
	const struct raft_config *c = at ? node_voters(w->node[at].core) : NULL;

	if (members_out(w) > 0)
		return false;
	for (unsigned i = 1; c && i <= w->nodes; i++) {
		struct raft_id id = { .node = i };
		const struct raft_member *m;

		memcpy(id.uuid, w->node[i].uuid, sizeof(id.uuid));
		m = raft_config_find(c, &id);
		n += m && m->role == RAFT_VOTER;
	}
	return n == w->nodes && (!w->witness || raft_config_voters(c) > n);
}

/* Flipped bits, a torn tail, a lying disk: the store notices it when it is opened, and it is set aside. */
void fault_memory_lost(struct cworld *w, unsigned n, unsigned m)
{
	bool power = sim_chance(w->s, 500000);

	(void)m;
	if (!sim_up(w->s, n) || sim_frozen(w->s, n) || !fault_all_vote(w))
		return;
	nemesis_crash(w, n, power, power ? 2000 + sim_rand(w->s, 5000) : sim_rand(w->s, 700));
	disk_set_aside(w, n, "it was damaged");
}

/* Its clusterd is replaced by the present version. */
void fault_upgrade(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	w->node[n].schema = 0; /* at the next start at the latest */
	if (!sim_up(w->s, n) || sim_frozen(w->s, n))
		return;
	nemesis_crash(w, n, false, 20 + sim_rand(w->s, 700));
}

/* ---- the target --------------------------------------------------------------------------------------------- */

/* Answers nobody for a while; what was sent waits in it. */
void fault_target_stalls(struct cworld *w, unsigned n, unsigned m)
{
	(void)n;
	(void)m;
	w->lun.stalled_until = sim_now(w->s) + (int64_t)(500 + sim_rand(w->s, 8000));
}

/* It has forgotten its keys. What was under way is gone with its connections; every session begins anew. */
void fault_target_restarts(struct cworld *w, unsigned n, unsigned m)
{
	(void)n;
	(void)m;
	target_restart(w);
	for (unsigned i = 1; i <= w->nodes; i++)
		memset(w->node[i].unclean, 0, sizeof(w->node[i].unclean));
}
