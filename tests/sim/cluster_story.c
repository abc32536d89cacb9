/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Histories of several steps, in some seeds (cworld.stories): what single faults put together once in ten thousand
 * seeds. Whom it strikes, when, and what of it happens at all is by lot; meanwhile the nemesis makes nothing else.
 *
 *   forget  the leader does not hear a node that the others hear: their memories differ. Then these are restarted,
 *           and it is cut off: what they acked is known to nobody, but its lease counts on it (voter-forgets)
 *   regrow  two of five stay away, vote no more, come back, and vote again one after the other. The node reads
 *           nothing of that: it counts by the three, and one of them still acks it when both are cut off. Those
 *           that decide about it then have never heard of it (ack-old-voters, bound-fresh-config)
 *   overtake  a node is off the ring, but one voter hears it; many messages are lost, so that this one is asked
 *           about the node before it has the entry by which that failed (bound-unapplied)
 *   mute    the node loses ring and storage, and its clusterd hangs before it pauses anything: the feeder has to
 *           see that nobody has heard of it, though clusterd lives (feeder-trusts)
 *   flap    two nodes lose their power by turns (quarantine-all)
 */
#include "config.h"

#include "tests/sim/cluster_driver.h"

enum { LOOK_MS = 100, AWAY_MOST_MS = 45000, HOLD_MS = 9000 };

static void story_begin(struct cworld *w, uint64_t ms)
{
	w->story_until_ms = sim_now(w->s) + (int64_t)ms;
}

static void between(struct cworld *w, unsigned a, unsigned b, bool cut)
{
	nemesis_cut(w, a, b, cut);
	nemesis_cut(w, b, a, cut);
}

/* ---- forget ------------------------------------------------------------------------------------------ */

void story_forget(struct cworld *w, unsigned n, unsigned m)
{
	unsigned node = nemesis_with_a_guest(w, n), at = nemesis_leader(w);
	uint64_t ms = 1500 + sim_rand(w->s, 5000);

	(void)m;
	if (at == 0 || at == node)
		return;
	nemesis_mend(w);
	between(w, node, at, true);
	story_begin(w, ms + HOLD_MS);
	task_new(w, sim_chance(w->s, 500000) ? T_DEPART : T_SEVER, node, ms);
	for (unsigned i = 1; i <= w->nodes; i++)
		if (i != node && i != at)
			task_new(w, T_CRASH, i, ms + sim_rand(w->s, 2500))->a =
				20 + sim_rand(w->s, 700);
}

void story_severs(struct cworld *w, struct task *t)
{
	if (w->faults)
		nemesis_isolate(w, t->node, true, true);
}

/* ---- overtake ---------------------------------------------------------------------------------------- */

/* From before the ring is formed without it until the others have decided about it. */
void story_overtake(struct cworld *w, unsigned n, unsigned m)
{
	struct sim_config *c = sim_config(w->s);

	if (n == m || nemesis_leader(w) == 0)
		return;
	nemesis_mend(w);
	nemesis_isolate(w, n, true, true);
	nemesis_cut(w, n, m, false);
	w->loss_ppm = c->loss_ppm;
	c->loss_ppm = 150000 + (uint32_t)sim_rand(w->s, 300000);
	task_new(w, T_CABLE, 0, 4000);
	story_begin(w, 5000);
}

void story_cable(struct cworld *w, struct task *t)
{
	(void)t;
	if (w->faults)
		sim_config(w->s)->loss_ppm = w->loss_ppm;
}

/* ---- mute -------------------------------------------------------------------------------------------- */

void story_mute(struct cworld *w, unsigned n, unsigned m)
{
	unsigned node = nemesis_with_a_guest(w, n);

	(void)m;
	nemesis_mend(w);
	for (unsigned i = 1; i <= w->nodes; i++)
		for (unsigned l = 0; l < CW_VOLS; l++)
			w->node[i].vol[l].cut = i == node;
	nemesis_isolate(w, node, true, true);
	task_new(w, T_HANG, node, 1 + sim_rand(w->s, 900))->a = HOLD_MS;
	story_begin(w, HOLD_MS);
}

/* ---- flap -------------------------------------------------------------------------------------------- */

void story_flap(struct cworld *w, unsigned n, unsigned m)
{
	uint64_t ms = 5500 + sim_rand(w->s, 3000);

	if (n == m)
		return;
	nemesis_mend(w);
	for (unsigned i = 0; i < 6; i++) {
		struct task *t = task_new(w, T_POWER, 0, 100 + i * ms);

		t->a = 2300 + sim_rand(w->s, 1000);
		t->b = i % 2 ? n : m;
	}
	story_begin(w, 6 * ms);
}

void story_power(struct cworld *w, struct task *t)
{
	if (w->faults)
		nemesis_crash(w, (unsigned)t->b, true, t->a);
}

/* ---- regrow ------------------------------------------------------------------------------------------ */

enum { R_AWAY = 1, R_BACK, R_CUT };

static bool votes(const struct cworld *w, unsigned at, unsigned node)
{
	const struct raft_config *c = w->node[at].core ? node_voters(w->node[at].core) : NULL;

	for (uint32_t i = 0; c && i < c->n; i++)
		if (c->member[i].id.node == node && c->member[i].role == RAFT_VOTER)
			return true;
	return false;
}

static bool comes_back(const struct cworld *w, unsigned node)
{
	return w->regrow.away[0] == node || w->regrow.away[1] == node;
}

static void go_on_with(struct cworld *w, unsigned step, uint64_t ms)
{
	w->regrow.step = step;
	task_new(w, T_REGROW, 0, ms);
}

void story_regrow(struct cworld *w, unsigned n, unsigned m)
{
	unsigned at = nemesis_leader(w);

	if (!w->voters_away_ms || n == m || at == 0 || n == at || m == at || !fault_all_vote(w))
		return;
	nemesis_mend(w);
	w->regrow.away[0] = n;
	w->regrow.away[1] = m;
	for (unsigned i = 1; i <= w->nodes; i++)
		for (unsigned k = 0; k < 2 && !comes_back(w, i); k++)
			between(w, i, w->regrow.away[k], true);
	story_begin(w, AWAY_MOST_MS);
	go_on_with(w, R_AWAY, 10000);
}

/* They come back to all but one, which is heard only by another of those that stayed. */
static void back(struct cworld *w, unsigned at)
{
	unsigned node = 0, guest = nemesis_with_a_guest(w, 0);

	for (unsigned i = 1; i <= w->nodes; i++)
		if (i != at && !comes_back(w, i) && (!node || i == guest))
			node = i;
	w->regrow.node = node;
	between(w, node, at, true);
	for (unsigned i = 1; i <= w->nodes; i++)
		for (unsigned k = 0; k < 2 && i != node && !comes_back(w, i); k++)
			between(w, i, w->regrow.away[k], false);
	story_begin(w, AWAY_MOST_MS);
	go_on_with(w, R_BACK, LOOK_MS);
}

/* Both of them off: the two that came back and the leader are the majority now. */
static void cut(struct cworld *w, unsigned at)
{
	for (unsigned i = 1; i <= w->nodes; i++)
		if (i != at && i != w->regrow.node && !comes_back(w, i)) {
			between(w, i, at, true);
			between(w, i, w->regrow.away[0], true);
			between(w, i, w->regrow.away[1], true);
		}
	story_begin(w, HOLD_MS);
}

void story_regrows(struct cworld *w, struct task *t)
{
	unsigned at = nemesis_leader(w), n = 0;

	(void)t;
	if (!w->faults || sim_now(w->s) >= w->story_until_ms)
		return;
	for (unsigned k = 0; k < 2 && at; k++)
		n += votes(w, at, w->regrow.away[k]);
	if (at == 0 || comes_back(w, at) || at == w->regrow.node)
		go_on_with(w, w->regrow.step, LOOK_MS);
	else if (w->regrow.step == R_CUT)
		cut(w, at);
	else if (w->regrow.step == R_AWAY && n == 0)
		back(w, at);
	else if (w->regrow.step == R_BACK && n > 0)
		go_on_with(w, R_CUT, 1 + sim_rand(w->s, 1500));
	else
		go_on_with(w, w->regrow.step, LOOK_MS);
}
