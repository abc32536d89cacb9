/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scenes: faults have ended and all is well; then one directed history, for one guard each, that faults put together
 * once in ten thousand seeds, or never. Whom it strikes is by the course until then. In every 64th seed each; seeds
 * without one take the course that they always took. What follows is judged as everything else.
 *
 *   unasked    who was told to coordinate a volume is left, its claim's REGISTER in a buffer; it arrives when the next
 *              one has fenced it (csvd-claim-unasked)
 *   late-key   the same with the REGISTER of a data nexus, and a guest's write that waits for it (csvd-no-go)
 *   thawed     a node thaws behind its fence, and asks for a key (csvd-fenced-let-in)
 *   rogue      the source of a move goes on after the move: somebody has typed `cont` (csvd-any-owner)
 *   two-lines  `--force` on one that was cut off, beside a majority that lives and writes (force-no-debts, epoch-below,
 *              claim-below)
 *   anew       a node is removed and comes anew, its clock set back: requests have names that were there before
 *              (requests-anew)
 *   repeated   a request arrives once more when its opposite has been done (request-twice)
 *   switch     all are cut from each other, and one finds the others some seconds after these have a majority
 *              (away-at-once)
 *   slow       one node's database is slow when VMs are placed (slow-gets)
 *   no-quorum  corosync says that there is no quorum, and everybody is there (quorum-ignored)
 *   reported   a start has failed, its report is in slow logs, and clusterd is started anew (go-in-flight)
 *   gone       a guest dies with a write in csvd, while no clusterd looks (gone-at-once)
 *   word       (suite witness) who is named hangs, and hears of it when another one has the witness (witness-word-blind)
 *   named      (suite witness) who is named takes it, and who named it has read who holds it a moment before
 *              (witness-named-unread)
 *   both-stop  (suite witness) both nodes say goodbye, and are not switched off (goodbye-to-witness)
 *   old-copy   a node's database is put back from a copy, and what it vouched for since is nowhere else but on one that
 *              is off (old-copy)
 */
#include "config.h"

#include <string.h>

#include "tests/sim/cluster_scene.h"

enum { SCENES = 16, SERVES_MS = 8000, FENCED_MS = 9000 };

/* By the seed; an empty place is for the next one. */
static const struct scene {
	const char *name;
	void (*play)(struct cworld *w);
} scenes[SCENES] = {
	{ "unasked", scene_unasked },	  { "late-key", scene_late_key },
	{ "thawed", scene_thawed },	  { "rogue", scene_rogue },
	{ "two-lines", scene_two_lines }, { "anew", scene_anew },
	{ "repeated", scene_repeated },	  { "switch", scene_switch },
	{ "slow", scene_slow },		  { "no-quorum", scene_no_quorum },
	{ "old-copy", scene_old_copy },	  { "reported", scene_reported },
	{ "gone", scene_gone },
};

/* With a witness: of eight seeds. */
static const struct scene witness_scenes[8] = {
	[1] = { "named", scene_named },
	[2] = { "both-stop", scene_both_stop },
	[5] = { "word", scene_word },
};

/* Not with agents, planned stops, different lengths and the like; nor where most nodes are destroyed. */
static const struct scene *scene_of(const struct cworld *w)
{
	if (w->witness)
		return &witness_scenes[w->seed % 8];
	return w->seed % 4 == 0 && w->seed % 5 != 2 && !w->old ? &scenes[w->seed / 4 % SCENES]
							       : &scenes[SCENES - 1];
}

bool scene_any(const struct cworld *w)
{
	return scene_of(w)->play;
}

void scene_play(struct cworld *w)
{
	const struct scene *it = scene_of(w);

	sim_trace(w->s, "scene %s", it->name);
	w->scene.playing = true;
	it->play(w);
	w->scene.playing = false;
	scene_let_go(w);
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

void scene_run(struct cworld *w, int64_t ms)
{
	sim_run(w->s, sim_now(w->s) + ms, UINT64_MAX);
}

int64_t scene_end(const struct cworld *w, int64_t ms)
{
	return sim_now(w->s) + ms;
}

bool scene_waits(struct cworld *w, int64_t end)
{
	scene_run(w, 1);
	return sim_now(w->s) < end;
}

/* ---- who ---------------------------------------------------------------------------------------------------------- */

unsigned scene_guest_but(const struct cworld *w, unsigned but)
{
	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (w->qemu[i].state == Q_RUN && w->qemu[i].node != but)
			return w->qemu[i].node;
	return 0;
}

unsigned scene_other(const struct cworld *w, unsigned a, unsigned b)
{
	unsigned node = 1;

	while (node == a || node == b)
		node++;
	return node <= w->nodes ? node : 0;
}

unsigned scene_serves(const struct cworld *w, unsigned l)
{
	for (unsigned i = 1; i <= w->nodes; i++)
		if (w->node[i].vol[l].go_epoch && w->node[i].vol[l].go_epoch == w->log.epoch[l])
			return i;
	return 0;
}

const struct state_resource *scene_vm(const struct cworld *w, unsigned vm)
{
	return cw_truth(w) ? state_resource(cw_truth(w), cw_vm_name(vm)) : NULL;
}

/* ---- what happens --------------------------------------------------------------------------------------------------- */

void scene_ask(struct cworld *w, enum node_verb verb, const char *object, const char *target)
{
	unsigned at = nemesis_leader(w);

	if (at)
		client_ask(
			w, at,
			(struct node_request){ .verb = verb, .object = object, .target = target });
}

bool scene_volume_to(struct cworld *w, unsigned l, unsigned node)
{
	int64_t end = scene_end(w, SERVES_MS);

	if (node && scene_serves(w, l) != node)
		scene_ask(w, NODE_MOVE, cw_volumes[l], w->node[node].name);
	while (node && scene_serves(w, l) != node && scene_waits(w, end))
		continue;
	return node && scene_serves(w, l) == node;
}

bool scene_until_fenced(struct cworld *w, unsigned node, uint64_t life)
{
	int64_t end = scene_end(w, FENCED_MS);

	while (w->lun.target[0].paid[node] < life && scene_waits(w, end))
		continue;
	return w->lun.target[0].paid[node] >= life;
}

void scene_hold(struct cworld *w, unsigned node, enum lun_role role)
{
	w->scene.holds = node;
	w->scene.holds_role = role;
	w->scene.held = 0;
}

void scene_let_go(struct cworld *w)
{
	w->scene.holds = 0;
}
