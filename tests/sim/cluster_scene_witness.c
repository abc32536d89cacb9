/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A scene with a witness: see cluster_scene.c. */
#include "config.h"

#include "tests/sim/cluster_scene.h"

enum { SERVES_MS = 10000, DIES_MS = 1000, SAID_MS = 600, SLEEPS_MS = 10000 };

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

/*
 * Its host, which leads, has no path to it for a moment, and names the other node; that one hangs, and then the network
 * between them is gone. The host serves it again, by a majority with it. The other one wakes, and hears the word.
 */
void scene_word(struct cworld *w)
{
	unsigned host, other;
	int64_t end;

	if (w->nodes != 2 || w->no_feeder || !host_leads(w))
		return;
	host = host_of(w);
	other = scene_other(w, host, 0);
	end = scene_end(w, SERVES_MS);
	w->node[host].wit_cut = true;
	while (!w->node[host].wit_dying && scene_waits(w, end))
		continue;
	scene_run(w, DIES_MS - 30); /* named is who is heard */
	hang_begin(w, other, SLEEPS_MS);
	scene_run(w, SAID_MS);
	w->node[host].wit_cut = false;
	nemesis_cut(w, host, other, true);
	nemesis_cut(w, other, host, true);
	scene_run(w, SLEEPS_MS + 2000);
	nemesis_mend(w);
}
