/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines that are switched off in order: somebody stops the node, waits for its goodbye, or not for so long, and
 * tells clusterd to end; then the power goes. Or it is called off at the last moment: clusterd is started anew, while what
 * ran has ended or is about to. In every eighth seed, in which it happens again and again.
 *
 *   goodbye   a node that has said it executes nothing, has no write under way, and is not waited for
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "tests/sim/cluster_driver.h"

enum what { BEGIN, WAIT, POWER_OFF, CALLED_OFF };

bool goodbye_seed(const struct cworld *w)
{
	return w->seed % 8 == 5;
}

static void later(struct cworld *w, unsigned node, enum what what, uint64_t left_ms,
		  uint64_t delay_ms)
{
	struct task *t = task_new(w, T_GOODBYE, node, delay_ms);

	t->a = what;
	t->b = left_ms;
}

void goodbye_begin(struct cworld *w)
{
	if (goodbye_seed(w))
		later(w, 0, BEGIN, 0, 1000);
}

static bool has_said(const struct cworld *w, unsigned node)
{
	const struct state_node *s =
		w->node[node].core ? state_node(node_state(w->node[node].core), node) : NULL;

	return s && s->goodbye;
}

static void stop_somebody(struct cworld *w)
{
	unsigned n = nemesis_with_a_guest(w, cw_random_node(w));
	struct node_request rq = { .verb = NODE_STOP_NODE,
				   .object = w->node[n].name,
				   .target = "" };

	later(w, 0, BEGIN, 0, 15000 + sim_rand(w->s, 20000));
	if (!w->node[n].core || sim_frozen(w->s, n) || w->node[n].going_down)
		return;
	nemesis_mend(w);
	rq.quick = sim_chance(w->s, 300000);
	rq.force = sim_chance(w->s, 200000);
	w->node[n].going_down = true;
	client_ask(w, n, rq);
	later(w, n, WAIT, sim_chance(w->s, 700000) ? 20000 : sim_rand(w->s, 4000), 100);
}

/* Until it has said so, or for as long as whoever switches it off has patience. */
static void wait(struct cworld *w, const struct task *t)
{
	struct node_event end = { .type = NODE_EV_END };

	if (!sim_up(w->s, t->node) || sim_frozen(w->s, t->node)) {
		w->node[t->node].going_down = false; /* something else happened to it */
		return;
	}
	if (!has_said(w, t->node) && t->b > 100) {
		later(w, t->node, WAIT, t->b - 100, 100);
		return;
	}
	sim_trace(w->s, "n%u goes down, %s", t->node,
		  has_said(w, t->node) ? "with a goodbye" : "come what may");
	if (!has_said(w, t->node) && sim_chance(w->s, 400000))
		later(w, t->node, CALLED_OFF, 0, sim_rand(w->s, 1500));
	later(w, t->node, POWER_OFF, 0, 12000);
	cw_event(w, t->node, &end);
}

static void power_off(struct cworld *w, unsigned node)
{
	if (!w->node[node].going_down)
		return;
	w->node[node].going_down = false;
	nemesis_crash(w, node, true, 2000 + sim_rand(w->s, 10000));
}

static void call_off(struct cworld *w, unsigned node)
{
	struct node_request rq = { .verb = NODE_RESUME,
				   .object = w->node[node].name,
				   .target = "" };

	if (!w->node[node].going_down || !sim_up(w->s, node))
		return;
	sim_trace(w->s, "n%u stays, after all", node);
	w->node[node].going_down = false;
	nemesis_crash(w, node, false, 20 + sim_rand(w->s, 500));
	for (unsigned i = 1; i <= w->nodes; i++)
		if (i != node && w->node[i].core && !sim_frozen(w->s, i)) {
			client_ask(w, i, rq);
			return;
		}
}

bool goodbye_ends(struct cworld *w, unsigned node)
{
	if (!w->node[node].going_down)
		return false;
	power_off(w, node);
	return true;
}

void goodbye_task(struct cworld *w, struct task *t)
{
	if (t->a == POWER_OFF)
		power_off(w, t->node);
	else if (t->a == CALLED_OFF)
		call_off(w, t->node);
	else if (!w->faults)
		w->node[t->node].going_down = false;
	else if (t->a == BEGIN)
		stop_somebody(w);
	else
		wait(w, t);
}

/* ---- judged ------------------------------------------------------------------------------------- */

static void judge_one(struct cworld *w, const struct state_node *n)
{
	for (unsigned i = 0; i < CW_QEMUS; i++) {
		const struct qemu *q = &w->qemu[i];

		if (q->node == n->id && (q->state == Q_DEAD ? q->writing : q->state != Q_NONE))
			sim_fail(w->s, "goodbye",
				 "n%u has said goodbye, and %s g%" PRIu64 " is there", n->id,
				 cw_vm_name(q->vm), q->generation);
	}
	if (n->silent < n->incarnation)
		sim_fail(w->s, "goodbye", "n%u has said goodbye, and is waited for", n->id);
}

void judge_goodbye(struct cworld *w, const struct state *s)
{
	if (s->applied < w->log.applied)
		return; /* history */
	for (size_t i = 0; i < s->nodes.n; i++)
		if (s->nodes.v[i].goodbye && s->nodes.v[i].phase == STATE_NODE_FAILED &&
		    w->node[s->nodes.v[i].id].life.incarnation <= s->nodes.v[i].incarnation)
			judge_one(w, &s->nodes.v[i]);
}
