/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scenes with a witness: see cluster_scene.c. Judged here:
 *   witness-robbed  who has just been named, and took it, loses it to who named it
 */
#include "config.h"

#include "tests/sim/cluster_scene.h"

enum { SERVES_MS = 10000, DIES_MS = 1000, SAID_MS = 600, SLEEPS_MS = 10000, ROBS_MS = 4000 };

static unsigned host_of(const struct cworld *w)
{
	return (unsigned)(w->wit.holder >> 32);
}

/* Another one serves it when its host has no path for a moment. */
static bool host_leads(struct cworld *w)
{
	int64_t end = scene_end(w, SERVES_MS);
	unsigned host = host_of(w);

	if (host && nemesis_leader(w) != host) {
		w->node[host].wit_cut = true;
		while (host_of(w) == host && scene_waits(w, end))
			continue;
		w->node[host].wit_cut = false;
		scene_run(w, 2000);
	}
	return host_of(w) && host_of(w) == nemesis_leader(w);
}

/* Its host, which leads, has no path to it, and is about to name the other node, which hangs for so long. */
static void host_loses_it(struct cworld *w, unsigned host, uint64_t hangs_ms)
{
	int64_t end = scene_end(w, SERVES_MS);

	w->node[host].wit_cut = true;
	while (!w->node[host].wit_dying && scene_waits(w, end))
		continue;
	scene_run(w, DIES_MS - 30); /* named is who is heard */
	hang_begin(w, scene_other(w, host, 0), hangs_ms);
}

/*
 * Its host, which leads, has no path to it for a moment, and names the other node; that one hangs, and then the network
 * between them is gone. The host serves it again, by a majority with it. The other one wakes, and hears the word.
 */
void scene_word(struct cworld *w)
{
	unsigned host, other;

	if (w->nodes != 2 || w->no_feeder || !host_leads(w))
		return;
	host = host_of(w);
	other = scene_other(w, host, 0);
	host_loses_it(w, host, SLEEPS_MS);
	scene_run(w, SAID_MS);
	w->node[host].wit_cut = false;
	nemesis_cut(w, host, other, true);
	nemesis_cut(w, other, host, true);
	scene_run(w, SLEEPS_MS + 2000);
	nemesis_mend(w);
}

/*
 * The same, and the host has its path again soon; it goes on naming the other one, whose id is lower. That one wakes, and
 * takes it, and in that moment they are apart: what the host has read of it is from before.
 */
void scene_named(struct cworld *w)
{
	unsigned host, other;
	int64_t end;

	if (w->nodes != 2 || w->no_feeder || !host_leads(w))
		return;
	host = host_of(w);
	other = scene_other(w, host, 0);
	if (host < other)
		return;
	host_loses_it(w, host, SAID_MS);
	w->node[host].wit_cut = false;
	end = scene_end(w, SERVES_MS);
	while (host_of(w) != other && scene_waits(w, end))
		continue;
	if (host_of(w) != other)
		return;
	nemesis_depart(w, host);
	end = scene_end(w, ROBS_MS);
	while (host_of(w) == other && scene_waits(w, end))
		continue;
	if (host_of(w) != other)
		sim_fail(w->s, "witness-robbed", "n%u, which named n%u, takes the witness from it",
			 host, other);
	nemesis_mend(w);
}

static bool has_said_goodbye(const struct cworld *w, unsigned node)
{
	const struct state_node *s = cw_truth(w) ? state_node(cw_truth(w), node) : NULL;

	return s && s->goodbye;
}

/* Both machines are about to be switched off, and are not: who leads has nobody to hand the lead to. */
void scene_both_stop(struct cworld *w)
{
	unsigned leads = nemesis_leader(w), goes[2] = { scene_other(w, leads, 0), leads };

	if (w->nodes != 2 || !leads)
		return;
	for (unsigned i = 0; i < 2; i++) {
		int64_t end = scene_end(w, SERVES_MS);

		scene_ask(w, NODE_STOP_NODE, w->node[goes[i]].name, "");
		while (!has_said_goodbye(w, goes[i]) && scene_waits(w, end))
			continue;
	}
	scene_run(w, 3000);
}
