/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scenes of the core: requests, quorum, who is away, who is slow. See cluster_scene.c. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "tests/sim/cluster_scene.h"

enum { DONE_MS = 8000, GONE_MS = 60000 };

static bool vm_is(const struct cworld *w, unsigned vm, bool wanted)
{
	const struct state_resource *r = scene_vm(w, vm);

	return r && r->wanted == wanted && r->phase == (wanted ? STATE_ONLINE : STATE_OFFLINE);
}

static bool until_vm(struct cworld *w, unsigned vm, bool wanted)
{
	int64_t end = scene_end(w, DONE_MS);

	while (!vm_is(w, vm, wanted) && scene_waits(w, end))
		continue;
	return vm_is(w, vm, wanted);
}

static void ask_at(struct cworld *w, unsigned node, enum node_verb verb, unsigned vm)
{
	if (w->node[node].core)
		client_ask(w, node,
			   (struct node_request){ .verb = verb,
						  .object = cw_vm_name(vm),
						  .target = "",
						  .force = verb == NODE_STOP });
}

/* ---- requests -------------------------------------------------------------------------------------------------- */

/* By no other message than these; long enough after for the next request to be done. */
void scene_repeated(struct cworld *w)
{
	unsigned n = scene_other(w, nemesis_leader(w), 0);

	w->scene.repeats = n;
	ask_at(w, n, NODE_STOP, 0);
	if (!until_vm(w, 0, false))
		return;
	w->scene.repeats = 0;
	ask_at(w, n, NODE_START, 0);
	if (!until_vm(w, 0, true))
		return;
	scene_run(w, DONE_MS);
	if (!vm_is(w, 0, true))
		sim_fail(w->s, "done-twice", "vm0 was to be stopped, then started; it is stopped");
}

static bool until_member(struct cworld *w, unsigned n, bool member)
{
	int64_t end = scene_end(w, GONE_MS);

	while ((w->log.member[n] != member || (member && !w->log.living[n])) && scene_waits(w, end))
		continue;
	return w->log.member[n] == member;
}

/* A life of its own for what is asked: its numbers begin at the beginning. */
static uint64_t restart(struct cworld *w, unsigned n)
{
	int64_t end = scene_end(w, DONE_MS);

	nemesis_crash(w, n, false, 50);
	while ((!w->node[n].core || w->log.living[n] == 0) && scene_waits(w, end))
		continue;
	scene_run(w, 3000);
	return w->node[n].instance;
}

/* The first ones of the new database, of the life of that number; its JOIN was the very first. */
void scene_anew(struct cworld *w)
{
	unsigned n = scene_other(w, nemesis_leader(w), 0);
	uint64_t life;

	if (w->log.living[n] == 0 || w->no_feeder)
		return;
	life = restart(w, n);
	for (unsigned i = 0; i < 3; i++) {
		ask_at(w, n, NODE_START, 0);
		scene_run(w, 500);
	}
	w->scene.set_back = life - 1;
	w->node[n].going = MEMBER_LEAVES;
	w->node[n].asked_ms = 0;
	if (!until_member(w, n, false) || !until_member(w, n, true) || w->node[n].instance != life)
		return;
	scene_run(w, 3000);
	if (!until_vm(w, 0, true))
		return;
	ask_at(w, n, NODE_STOP, 0);
	if (!until_vm(w, 0, false))
		sim_fail(w->s, "not-done", "vm0 was to be stopped, by n%u's request, and is not",
			 n);
}

/* ---- away ------------------------------------------------------------------------------------------------------ */

/* A switch was rebooted: nobody has failed, whatever the order in which they find each other. */
void scene_switch(struct cworld *w)
{
	unsigned last = scene_other(w, nemesis_leader(w), 0);
	uint64_t life[CW_NODES + 1];

	for (unsigned i = 1; i <= w->nodes; i++) {
		life[i] = w->log.living[i];
		nemesis_isolate(w, i, true, true);
	}
	scene_run(w, 4000);
	for (unsigned a = 1; a <= w->nodes; a++)
		for (unsigned b = 1; b <= w->nodes; b++)
			if (a != b && a != last && b != last)
				nemesis_cut(w, a, b, false);
	scene_run(w, 5000);
	nemesis_mend(w);
	scene_run(w, 8000);
	for (unsigned i = 1; i <= w->nodes; i++)
		if (w->log.living[i] != life[i])
			sim_fail(w->s, "needless-fail",
				 "n%u lived at %" PRIu64
				 ", was away for a moment with all, and has failed",
				 i, life[i]);
}

/* ---- slow ------------------------------------------------------------------------------------------------------ */

void scene_slow(struct cworld *w)
{
	unsigned n = scene_other(w, nemesis_leader(w), 0);

	sim_disk_slow(w->s, n, 3000);
	for (unsigned vm = 0; vm < CW_VMS; vm++)
		ask_at(w, nemesis_leader(w), NODE_STOP, vm);
	for (unsigned vm = 0; vm < CW_VMS; vm++)
		(void)until_vm(w, vm, false);
	scene_run(w, 5000);
	w->scene.slow = n;
	for (unsigned vm = 0; vm < CW_VMS && nemesis_leader(w); vm++)
		ask_at(w, nemesis_leader(w), NODE_START, vm);
	scene_run(w, DONE_MS);
	w->scene.slow = 0;
	sim_disk_slow(w->s, n, 0);
}

static void all_slow(struct cworld *w, uint32_t ms)
{
	for (unsigned i = 1; i <= w->nodes; i++)
		sim_disk_slow(w->s, i, ms);
}

/* One that is just being started, not on `but`; NULL: there is none. */
static const struct qemu *starts(const struct cworld *w, unsigned but)
{
	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (w->qemu[i].state == Q_STARTING && w->qemu[i].node != but)
			return &w->qemu[i];
	return NULL;
}

/* The start ends where it began, the logs take two seconds for the word of it; the next clusterd knows nothing of it. */
void scene_reported(struct cworld *w)
{
	int64_t end = scene_end(w, DONE_MS);
	const struct qemu *q = NULL;

	if (w->no_feeder)
		return;
	for (unsigned vm = 0; vm < CW_VMS; vm++)
		ask_at(w, nemesis_leader(w), NODE_STOP, vm);
	for (unsigned vm = 0; vm < CW_VMS; vm++)
		(void)until_vm(w, vm, false);
	for (unsigned vm = 0; vm < CW_VMS && nemesis_leader(w); vm++)
		ask_at(w, nemesis_leader(w), NODE_START, vm);
	while (!(q = starts(w, nemesis_leader(w))) && scene_waits(w, end))
		continue;
	if (!q)
		return;
	all_slow(w, 2000);
	driver_crash_qemu(w, (unsigned)(q - w->qemu));
	scene_run(w, 50);
	nemesis_crash(w, q->node, false, 20);
	scene_run(w, 5000);
	all_slow(w, 0);
}

/* Its csvd sends what it has taken, seconds after the process has gone. */
void scene_gone(struct cworld *w)
{
	unsigned n = w->no_feeder ? 0 : scene_guest_but(w, nemesis_leader(w));
	int64_t end = scene_end(w, 1000);
	struct qemu *q = w->qemu;

	while (n && !(q->state == Q_RUN && q->node == n))
		q++;
	if (!n)
		return;
	w->scene.in_csvd = q;
	while (!(q->writing && q->buffered) && scene_waits(w, end))
		continue;
	w->scene.in_csvd = NULL;
	if (!q->buffered)
		return;
	nemesis_crash(w, n, false, 300);
	driver_crash_qemu(w, (unsigned)(q - w->qemu));
	scene_run(w, DONE_MS);
}

/* ---- quorum ---------------------------------------------------------------------------------------------------- */

static void expect(struct cworld *w, uint32_t votes)
{
	for (unsigned i = 1; i <= w->nodes; i++) {
		w->node[i].expected_votes = votes;
		task_new(w, T_VIEW, i, 1);
	}
}

/* Somebody has told corosync to expect many more. Everything else is there: the log commits, leases are renewed. */
void scene_no_quorum(struct cworld *w)
{
	expect(w, 3 * w->nodes);
	scene_run(w, 500);
	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (w->qemu[i].state == Q_RUN && w->qemu[i].vm == 0)
			driver_crash_qemu(w, i);
	scene_ask(w, NODE_MOVE, cw_volumes[0], "");
	scene_run(w, DONE_MS);
	expect(w, w->nodes);
	scene_run(w, 1000);
}

/* ---- an old copy ----------------------------------------------------------------------------------------------- */

static bool is_up(const struct cworld *w, unsigned node)
{
	struct node_self self = { 0 };

	if (w->node[node].core)
		node_get_self(w->node[node].core, &self);
	return self.life == NODE_UP;
}

/* `with` commits by the node's word, and `away` hears nothing of it. */
static void vouch(struct cworld *w, unsigned with, unsigned away)
{
	nemesis_isolate(w, away, true, true);
	scene_run(w, 4000);
	for (unsigned i = 0; i < 4 && w->node[with].core; i++) {
		ask_at(w, with, NODE_START, i % CW_VMS);
		scene_run(w, 300);
	}
}

/*
 * Two lives later, as the others know. The one who has the rest is off when it comes back, and the third one knows
 * nothing: by the old copy's vote these two would go on without what was committed.
 */
void scene_old_copy(struct cworld *w)
{
	unsigned with = nemesis_leader(w), n = scene_other(w, with, 0),
		 away = scene_other(w, with, n);
	struct cnode *c = &w->node[n];
	uint8_t uuid[sizeof(c->uuid)];
	struct image old;
	uint64_t life;

	if (w->nodes != 3 || w->no_feeder)
		return;
	memcpy(uuid, c->uuid, sizeof(uuid));
	cw_image_copy(&c->disk, &old);
	life = c->instance;
	for (unsigned i = 0; i < 2; i++)
		(void)restart(w, n);
	if (nemesis_leader(w) == with && is_up(w, n))
		vouch(w, with, away);
	nemesis_crash(w, with, true, 15000);
	nemesis_crash(w, n, true, 3000);
	if (!sim_up(w->s, n) && memcmp(uuid, c->uuid, sizeof(uuid)) == 0) {
		cw_image_fini(&c->disk);
		c->disk = old;
		c->instance = life;
	} else {
		cw_image_fini(&old);
	}
	nemesis_mend(w);
	scene_run(w, 25000);
}
