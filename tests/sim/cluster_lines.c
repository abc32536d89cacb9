/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A scene (cluster_scene.c): one node is cut off, somebody takes the others for dead and has it go on alone, by
 * `--force`; and they live, are a majority of the old line, run everything, and reach the volumes. Nothing but the
 * volumes tells the two lines apart: the fences that the new one owes at once, and the epoch that it writes there.
 */
#include "config.h"

#include "tests/sim/cluster_scene.h"

enum {
	SILENT_MS = 13000, /* longer than the core takes a node for heard */
	NO_PATH_MS = 9000, /* longer than any lease */
	BESIDE_MS = 20000,
};

static void storage(struct cworld *w, unsigned node, bool cut)
{
	for (unsigned l = 0; l < CW_VOLS; l++)
		w->node[node].vol[l].cut = cut;
}

/* Without a path it cannot fence: until it has one, nothing is started there. */
void scene_two_lines(struct cworld *w)
{
	unsigned self = scene_other(w, scene_guest_but(w, 0), 0);

	storage(w, self, true);
	nemesis_isolate(w, self, true, true);
	scene_run(w, SILENT_MS);
	w->scene.apart = true; /* and stays: what was begun in the old line is told by it */
	if (!force_alone(w, self))
		sim_fail(w->s, "force", "n%u does not go on alone", self);
	scene_run(w, NO_PATH_MS);
	storage(w, self, false);
	scene_run(w, BESIDE_MS);
	nemesis_mend(w);
}
