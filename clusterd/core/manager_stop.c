/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manager's part in a node that is stopped in order (quorum/state_goodbye.c). It is emptied as a drained one is
 * (manager_place.c). What nobody takes, or could not be moved live, yields: its memory is kept, or it is shut down,
 * and it starts again where there is a place. Whoever stops a machine has set a time for it.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

#include "quorum/state_schema.h"

enum {
	NO_PLACE_MS = 3000,	/* a node that is not heard this moment may take it yet */
	HEIR_ANSWERS_MS = 1000, /* ten of raft's beats */
};

void manager_stop_node(struct node *n, struct asked *q)
{
	const struct state_node *s = state_node_by_name(&n->state, q->rq->object);
	COMMAND(NODE_STOP, NodeStop, node_stop);

	if (!s || s->phase != STATE_NODE_LIVING) {
		manager_answer(n, q, s ? -CL_EREFUSED : -ENOENT,
			       "clusterctl status shows the nodes",
			       s ? "node '%.63s' is not up" : "no node '%.63s'", q->rq->object);
		return;
	}
	m.node = s->id;
	m.incarnation = s->incarnation;
	m.save = q->rq->quick;
	m.now = q->rq->force;
	c.request = &q->id;
	if (schema_of(&c) > state_schema(&n->state))
		manager_answer(n, q, -CL_EREFUSED, "upgrade clusterd on all nodes first",
			       "nodes of an older version do not know how a node is stopped");
	else
		(void)log_propose(n, s->name, &c);
}

static void yield(struct node *n, const struct state_resource *r, const char *cause)
{
	COMMAND(RESOURCE_YIELD, ResourceYield, resource_yield);

	m.name = COMMAND_STRING(r->name);
	m.generation = r->generation;
	m.cause = COMMAND_STRING(cause);
	(void)log_propose(n, r->name, &c);
}

/* Returns whether nobody takes it. */
static bool stays(struct node *n, const struct state_node *s, const struct state_resource *r)
{
	char why[STATE_REASON_MAX];

	if (r->owner != s->id || r->phase != STATE_ONLINE || log_in_flight(n, r->name))
		return false;
	if (manager_backs_off(n, r->name)) {
		yield(n, r, "its node is stopped, and it could not be moved");
		return false;
	}
	if (manager_choose(n, r, 0, s->id, why))
		return false;
	if (n->now_ms - n->mgr.no_place_ms >= NO_PLACE_MS)
		yield(n, r, "its node is stopped, and no other takes it");
	return true;
}

/*
 * A voter that answers and stays. The witness would hand leadership back at once, and so would one that has said
 * goodbye, too: for ever (simulator: witness, seed 10069 of its time).
 */
static const struct raft_member *heir(const struct node *n)
{
	const struct raft_config *c = raft_config(n->raft);

	for (uint32_t i = 0; i < c->n; i++) {
		const struct raft_member *m = &c->member[i];
		const struct state_node *s = state_node(&n->state, m->id.node);
		struct raft_peer_view v;

		if (m->role == RAFT_VOTER && m->id.node != n->cfg.id && s && !s->goodbye &&
		    !s->leaving && beats_in_ring(n, s->id) && raft_peer(n->raft, &m->id, &v) &&
		    n->now_ms - v.answered_ms <= HEIR_ANSWERS_MS)
			return m;
	}
	return NULL;
}

void manager_hand_over(struct node *n)
{
	struct raft_event ev = { .type = RAFT_TRANSFER };
	const struct raft_member *to = heir(n);
	bool any = n->cfg.defects & NODE_DEFECT_GOODBYE_TO_WITNESS;

	if ((!to && !any) || !agent_due(n, &n->mgr.handed_ms))
		return;
	ev.transfer.id = ++n->next_id;
	if (!any)
		ev.transfer.to = to->id;
	log_feed(n, &ev);
}

/* It goes: the next leader is chosen while this one still answers. */
static bool has_gone(const struct node *n)
{
	const struct state_node *own = state_node(&n->state, n->cfg.id);

	return own && own->goodbye && own->instance == n->cfg.instance;
}

void manager_stop_step(struct node *n)
{
	bool any = false;

	if (has_gone(n))
		manager_hand_over(n);
	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];

		if (!s->stopping || s->stop_now || s->phase != STATE_NODE_LIVING)
			continue;
		for (size_t k = 0; k < n->state.resources.n; k++)
			any = stays(n, s, &n->state.resources.v[k]) || any;
	}
	if (!any)
		n->mgr.no_place_ms = INT64_MAX;
	else if (n->mgr.no_place_ms == INT64_MAX)
		n->mgr.no_place_ms = n->now_ms;
}

static void propose_goodbye(struct node *n, const struct state_node *s, uint64_t instance)
{
	COMMAND(NODE_GOODBYE, NodeGoodbye, node_goodbye);

	m.node = s->id;
	m.incarnation = s->incarnation;
	m.instance = instance;
	(void)log_propose(n, s->name, &c);
}

void manager_ended(struct node *n, const struct state_node *s)
{
	const struct peer *p = beats_peer(n, s->id);

	if (s->stopping && s->id == n->cfg.id && n->goodbye)
		propose_goodbye(n, s, n->cfg.instance);
	else if (s->stopping && s->id != n->cfg.id && p->goodbye && p->ended == s->incarnation)
		propose_goodbye(n, s, p->instance);
	else
		manager_propose_failed(n, s, s->leaving ? "has left" : "was restarted");
}
