/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A leader that was left and does not know it: the others have a new ring at once and a leader of their own, and
 * its own view of the ring comes late. Until raft's check-quorum deposes it, it answers what it is asked; and
 * the csvd beside it asks, because the target was restarted meanwhile. Only a read-index round tells it that
 * what it says has moved. By the random stream of the target (lun_env.h).
 */
#include "config.h"

#include "tests/sim/cluster_driver.h"
#include "tests/sim/lun_env.h"

enum { EVERY_MS = 40000, LATE_MIN_MS = 600, LATE_MS = 900, RESTART_MS = 300 };

static bool coordinates(const struct cworld *w, unsigned node)
{
	for (unsigned l = 0; l < CW_VOLS; l++)
		if (w->node[node].vol[l].go_epoch)
			return true;
	return false;
}

static bool all_run(const struct cworld *w)
{
	for (unsigned i = 1; i <= w->nodes; i++)
		if (!w->node[i].core || w->node[i].hung || sim_frozen(w->s, i))
			return false;
	return fault_all_vote(w);
}

static void leave_it(struct cworld *w, unsigned leader)
{
	struct task left = { .node = leader };

	sim_trace(w->s, "n%u leads, is left, and does not hear of it", leader);
	nemesis_mend(w);
	for (unsigned l = 0; l < CW_VOLS; l++)
		w->node[leader].vol[l].cut = false;
	w->node[leader].view_late_ms = sim_now(w->s) + LATE_MIN_MS + (int64_t)env_rand(w, LATE_MS);
	nemesis_departs(w, &left);
	task_new(w, T_STALE, 0, env_rand(w, RESTART_MS))->a = 1;
}

void stale_step(struct cworld *w, struct task *t)
{
	unsigned leader;

	if (!w->faults)
		return;
	if (t->a) {
		fault_target_restarts(w, 0, 0);
		return;
	}
	leader = nemesis_leader(w);
	if (leader && all_run(w) && coordinates(w, leader))
		leave_it(w, leader);
	task_new(w, T_STALE, 0, 5000 + env_rand(w, EVERY_MS));
}
