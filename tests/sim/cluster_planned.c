/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A planned stop of clusterd: it is told to end, tells the others, and comes back later. */
#include "config.h"

#include "tests/sim/cluster_driver.h"

void fault_planned(struct cworld *w, unsigned n, unsigned m)
{
	struct node_event ev = { .type = NODE_EV_END };

	(void)m;
	if (!sim_up(w->s, n) || sim_frozen(w->s, n) || !w->node[n].core)
		return;
	cw_event(w, n, &ev);
}

/* For an upgrade: away for up to twenty seconds, four leases. */
void planned_end(struct cworld *w, unsigned node)
{
	sim_trace(w->s, "n%u ends as planned", node);
	sim_crash(w->s, node, false);
	task_new(w, T_BOOT, node, 20 + sim_rand(w->s, 20000));
}
