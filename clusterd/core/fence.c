/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `set node NODE fence`: which agents it has (fence_agents.c runs them). `fence confirm`: a person says that a node is off. What that stands for is written at
 * apply_node_fenced() (quorum/state_fence.c): nothing executes there any more; it pays no debt.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>

/*
 * Who takes part in the ring runs. Without this a slip of the finger (the wrong name, typed twice) starts
 * a second copy of every VM of a node that is well.
 */
const char *fence_cannot_confirm(const struct node *n, const struct state_node *s)
{
	if (s->phase == STATE_NODE_KNOWN)
		return "it was never a member";
	if (n->cfg.defects & NODE_DEFECT_CONFIRM_IN_RING)
		return NULL;
	if (s->id == n->cfg.id || beats_in_ring(n, s->id))
		return "it is on the ring: it is not off";
	return NULL;
}

/*
 * The incarnation is the one that was known where it was said. One that was admitted since is another life:
 * the request may have waited for a manager while the node was switched on again.
 */
void fence_confirm(struct node *n, struct asked *q)
{
	const struct state_node *s = state_node_by_name(&n->state, q->rq->object);
	const char *why = s ? fence_cannot_confirm(n, s) : "there is no such node";
	char cause[STATE_REASON_MAX];
	COMMAND(NODE_FENCED, NodeFenced, node_fenced);

	if (why) {
		manager_answer(n, q, s ? -CL_EREFUSED : -ENOENT,
			       "clusterctl status shows the nodes", "'%.63s': %s", q->rq->object,
			       why);
		return;
	}
	if (s->incarnation != q->rq->incarnation) {
		manager_answer(n, q, -CL_EREFUSED, "look again",
			       "node '%s' has been a member anew since then", s->name);
		return;
	}
	if (s->phase == STATE_NODE_LIVING) {
		/* Off the ring, and not given up yet. The request comes again. */
		(void)snprintf(cause, sizeof(cause), "is off, says %.60s", q->rq->user);
		manager_propose_failed(n, s, cause);
		return;
	}
	m.node = s->id;
	m.incarnation = s->incarnation;
	m.off = true;
	m.method = COMMAND_STRING("confirmed");
	m.by = q->rq->user;
	m.text = COMMAND_STRING("");
	m.took_ms = n->wall_ms > s->since_ms ? n->wall_ms - s->since_ms : 0;
	c.request = &q->id;
	(void)log_propose(n, s->name, &c);
}

void fence_set(struct node *n, struct asked *q)
{
	Log__NodeFenceSet *set =
		log__node_fence_set__unpack(NULL, q->rq->spec.len, q->rq->spec.data);
	Log__Command c = LOG__COMMAND__INIT;

	if (!set) {
		manager_answer(n, q, -EINVAL, "", "the fence agents cannot be read");
		return;
	}
	c.what_case = LOG__COMMAND__WHAT_NODE_FENCE_SET;
	c.node_fence_set = set;
	c.request = &q->id;
	(void)log_propose(n, q->rq->object, &c);
	log__node_fence_set__free_unpacked(set, NULL);
}
