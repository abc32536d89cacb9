/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A planned stop of clusterd (an upgrade, `systemctl restart`): VMs run on and nobody is disturbed, for
 * DETACH_MS at most.
 *
 *   N: told to end ---- `N detached for D` ----> the log
 *      at a            lease := a + D - margin,      each node, when it applies it (at b >= a): N is not failed
 *                      written for csvd, feeder      for silence, and its bound is not before b + D
 *                      and the next clusterd; ends
 *      new process: inherits that lease; first acks: lease := its beats'; `N is back` ----> the log
 *
 * N counts from before it asked, the others from when they applied it: whoever leads later has applied it,
 * too, or begun after it, so none of them counts from an earlier moment. The margin is for clocks that run at
 * different rates. `N is back` is said only once N itself lives by the shorter lease.
 *
 * A machine that dies meanwhile leaves the ring, and has failed at once; what is on volumes starts when it is
 * silent there (docs/timing.md), the rest when D is over.
 */
#include "config.h"

#include "clusterd/core/internal.h"

enum {
	DETACH_MS = 120000,
	DETACH_MARGIN_MS = DETACH_MS / 50, /* clocks, a hundredth each */
	DETACH_ASK_MS = 3000,		   /* nobody notes it: then it ends without */
};

static void propose(struct node *n, const struct state_node *s, uint32_t for_ms)
{
	COMMAND(NODE_DETACH, NodeDetach, node_detach);

	m.node = s->id;
	m.incarnation = s->incarnation;
	m.number = for_ms ? n->detach.number : s->detaches;
	m.for_ms = for_ms;
	agent_propose(n, s->name, &c);
}

static void end(struct node *n, const char *how)
{
	n->detach.ended = true;
	CORE_COPY(core_emit(n, NODE_DO_END)->reply.text, how);
}

/* Beats go on until the process has ended; what they bring is shorter. */
static void noted(struct node *n)
{
	lease_detach(&n->lease, n->detach.asked_ms + DETACH_MS - DETACH_MARGIN_MS);
	beats_tell_lease(n);
	end(n, "the others know; its VMs run on without it for two minutes");
}

void detach_ask(struct node *n)
{
	const struct state_node *s = n->raft ? state_node(&n->state, n->cfg.id) : NULL;

	if (n->detach.asked_ms)
		return;
	n->detach.asked_ms = n->now_ms;
	n->detach.number = s ? s->detaches : 0;
	if (!s || n->life != NODE_UP || !n->incarnation || s->incarnation != n->incarnation)
		end(n, "it has nothing to say to the others");
}

static void ending_step(struct node *n, const struct state_node *s)
{
	if (n->detach.ended)
		return;
	if (!s || n->life != NODE_UP || s->incarnation != n->incarnation)
		end(n, "the others could not be told");
	else if (s->detaches == n->detach.number + 1 && s->detached_ms)
		noted(n);
	else if (n->now_ms - n->detach.asked_ms >= DETACH_ASK_MS)
		end(n, "nobody took note of it");
	else if (agent_due(n, &n->detach.told_ms))
		propose(n, s, DETACH_MS);
}

/* Only under a lease that this very process got: see above. */
static void back_step(struct node *n, const struct state_node *s)
{
	bool lives = n->life == NODE_UP && !n->lease.inherited && s->incarnation == n->incarnation;

	if (lives && agent_due(n, &n->detach.told_ms))
		propose(n, s, 0);
}

/* ---- the others --------------------------------------------------------------------------------------- */

static struct detach_seen *seen_find(const struct node *n, const struct state_node *s)
{
	for (size_t i = 0; i < n->detach.seen.n; i++)
		if (n->detach.seen.v[i].node == s->id && n->detach.seen.v[i].number == s->detaches)
			return &n->detach.seen.v[i];
	return NULL;
}

static void seen_step(struct node *n, const struct state_node *s)
{
	struct detach_seen seen = { .node = s->id, .number = s->detaches, .at_ms = n->now_ms };

	if (!s->detached_ms || seen_find(n, s))
		return;
	for (size_t i = n->detach.seen.n; i-- > 0;)
		if (n->detach.seen.v[i].node == s->id)
			detach_seen_vec_remove(&n->detach.seen, i);
	if (detach_seen_vec_push(&n->detach.seen, seen) < 0)
		n->out->no_memory = true;
}

bool detach_holds(const struct node *n, const struct state_node *s)
{
	const struct detach_seen *seen = seen_find(n, s);

	if (!s->detached_ms || (n->cfg.defects & NODE_DEFECT_DETACH_FORGOTTEN))
		return false;
	return !seen || n->now_ms - seen->at_ms < s->detached_ms;
}

void detach_step(struct node *n)
{
	const struct state_node *own = state_node(&n->state, n->cfg.id);

	for (size_t i = 0; i < n->state.nodes.n; i++)
		seen_step(n, &n->state.nodes.v[i]);
	if (n->detach.asked_ms)
		ending_step(n, own);
	else if (own && own->detached_ms)
		back_step(n, own);
}

int64_t detach_deadline(const struct node *n)
{
	return n->detach.asked_ms && !n->detach.ended ? n->now_ms + CORE_REPEAT_MS : INT64_MAX;
}
