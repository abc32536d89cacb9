/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scenes of the volumes: what csvd and the target are to refuse. See cluster_scene.c. */
#include "config.h"

#include "tests/sim/cluster_scene.h"

enum { HELD_MS = 8000, AFTER_MS = 8000, MOVED_MS = 8000, TRIES = 3 };

/* A node with a guest that does not serve the first volume; 0 = it cannot be made so. */
static unsigned guest_elsewhere(struct cworld *w)
{
	unsigned serves = scene_serves(w, 0), n = scene_guest_but(w, serves);

	if (!serves || n)
		return serves ? n : 0;
	return scene_volume_to(w, 0, scene_other(w, serves, 0)) ? scene_guest_but(w, 0) : 0;
}

static bool until_held(struct cworld *w)
{
	int64_t end = scene_end(w, HELD_MS);

	while (!w->scene.held && scene_waits(w, end))
		continue;
	return w->scene.held > 0;
}

/*
 * Its tables say that it coordinates, and its lease holds: unasked it takes the reservation, opens the volume and gives
 * itself a nexus, by which what its guests have asked for is written behind their fence.
 */
void scene_unasked(struct cworld *w)
{
	unsigned n = guest_elsewhere(w);
	uint64_t life = w->log.living[n];

	if (!n)
		return;
	scene_hold(w, n, LUN_ROLE_CONTROL);
	scene_ask(w, NODE_MOVE, cw_volumes[0], w->node[n].name);
	if (!until_held(w))
		return;
	nemesis_depart(w, n);
	(void)scene_until_fenced(w, n, life);
	scene_let_go(w);
	scene_run(w, AFTER_MS);
	nemesis_mend(w);
}

static void thaw(struct cworld *w, unsigned node)
{
	struct task t = { .node = node };

	nemesis_thaw(w, &t);
}

void scene_late_key(struct cworld *w)
{
	unsigned n = guest_elsewhere(w);
	uint64_t life = w->log.living[n];

	if (!n)
		return;
	scene_hold(w, n, LUN_ROLE_DATA);
	target_forget_of(w, 0, n);
	if (!until_held(w))
		return;
	scene_run(w, 100); /* a guest asks csvd for its next write */
	sim_freeze(w->s, n, true);
	(void)scene_until_fenced(w, n, life);
	scene_let_go(w);
	scene_run(w, 15);
	thaw(w, n);
	scene_run(w, AFTER_MS);
}

void scene_thawed(struct cworld *w)
{
	unsigned n = guest_elsewhere(w);
	uint64_t life = w->log.living[n];

	if (!n)
		return;
	sim_freeze(w->s, n, true);
	(void)scene_until_fenced(w, n, life);
	thaw(w, n);
	scene_run(w, AFTER_MS);
}

/* See driver: scene_owner_moved(). */
void scene_rogue(struct cworld *w)
{
	for (unsigned i = 0; i < TRIES; i++) {
		const struct state_resource *r = scene_vm(w, i % CW_VMS);
		uint64_t was = r ? r->generation : 0;
		int64_t end = scene_end(w, MOVED_MS);
		unsigned to = r ? scene_other(w, r->owner, 0) : 0;

		if (!to)
			return;
		w->scene.rogue = i % CW_VMS + 1;
		scene_ask(w, NODE_MOVE, cw_vm_name(i % CW_VMS), w->node[to].name);
		while (scene_waits(w, end) &&
		       (!scene_vm(w, i % CW_VMS) || scene_vm(w, i % CW_VMS)->generation == was))
			continue;
		scene_run(w, 1000);
	}
	w->scene.rogue = 0;
}

/* csvd was told of another owner: the source goes on now, before its agent has ended it. */
void scene_owner_moved(struct cworld *w, unsigned node)
{
	for (unsigned i = 0; i < CW_QEMUS && w->scene.rogue; i++) {
		struct qemu *q = &w->qemu[i];

		if (q->state != Q_POSTMIGRATE || q->node != node || q->vm + 1 != w->scene.rogue ||
		    w->node[node].owner[q->vm].generation == q->generation || q->writing)
			continue;
		sim_trace(w->s, "n%u vm%u g%lu goes on behind its move", node, q->vm,
			  (unsigned long)q->generation);
		q->writing = q->queued = true;
		guests_issue(w, node);
	}
}
