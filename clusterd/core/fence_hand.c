/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fence agents, at the node that runs them: the leader itself, or who reaches a controller that the leader does not
 * (fence_agents.c decides).
 *
 *   leader                                     this node
 *     | -- FenceAsk (id), each 300 ms ----------> | begun once for (leader, instance, id)
 *     | <-- FenceAnswer: runs, done ------------- | to each question
 *
 * A leader's ids grow, and one that is below the last one is not heeded (`ask-late`; simulator: off-unowed, seed 5789).
 * An agent that goes on when it is not wanted any more switches off a machine that has been switched on since. So it is
 * killed when the leader asks no more, when another one leads, and when the node is a member again; then nothing
 * waits for its word either, and a later `off` begins anew.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>
#include <string.h>

static void hand_drop(struct node *n, size_t i)
{
	const struct hand *h = &n->hands.v[i];

	if (!h->done)
		core_emit(n, NODE_DO_FENCE_STOP)->fence.id = h->child;
	hand_vec_remove(&n->hands, i);
}

static void hand_tell(struct node *n, const struct hand *h)
{
	MESSAGE(FENCE_ANSWER, FenceAnswer, fence_answer);

	m.id = h->ask_id;
	m.instance = h->instance;
	m.done = h->done;
	m.ok = h->ok;
	m.text = COMMAND_STRING(h->text);
	message_send(n, h->from, &msg);
}

/* By our own copy of the database: the question may have been on its way for long. */
static const struct state_agent *agent_asked(const struct node *n, const Core__FenceAsk *q)
{
	const struct state_node *s = state_node(&n->state, q->node);
	const struct state_agent *agents;
	size_t count = 0;

	if (!s || s->fence_version != q->version || s->id == n->cfg.id)
		return NULL;
	if (!q->on && (s->phase != STATE_NODE_FAILED || s->incarnation != q->incarnation))
		return NULL;
	agents = state_agents(&n->state, s->id, &count);
	return q->agent < count ? &agents[q->agent] : NULL;
}

static void agent_run(struct node *n, const struct hand *h, const struct state_agent *a)
{
	size_t size = strlen(a->options) + 32;
	const char *action = h->on ? "on" : "off";
	char *text = malloc(size);
	struct node_action *out;

	if (!text) {
		n->out->no_memory = true;
		return;
	}
	(void)snprintf(text, size, "%saction=%s\n", a->options, action);
	out = core_emit(n, NODE_DO_FENCE);
	out->fence.id = h->child;
	out->fence.node = h->node;
	CORE_COPY(out->fence.agent, a->name);
	CORE_COPY(out->fence.action, action);
	out->fence.input = text;
	out->fence.timeout_ms = (int64_t)a->timeout_s * 1000;
}

static void hand_begin(struct node *n, const Core__Message *msg)
{
	const Core__FenceAsk *q = msg->fence_ask;
	const struct state_agent *a = agent_asked(n, q);
	struct hand h = {
		.from = msg->from,
		.instance = msg->instance,
		.ask_id = q->id,
		.node = q->node,
		.incarnation = q->incarnation,
		.on = q->on,
		.asked_ms = n->now_ms,
	};

	if (!a)
		return; /* asked again, until we know of it, or it is over */
	h.child = ++n->next_id;
	if (hand_vec_push(&n->hands, h) < 0) {
		n->out->no_memory = true;
		return;
	}
	agent_run(n, &h, a);
}

static struct hand_asked *asked_of(struct node *n, uint32_t node, uint32_t from)
{
	struct hand_asked fresh = { .node = node, .from = from };

	for (size_t i = 0; i < n->hands_asked.n; i++)
		if (n->hands_asked.v[i].node == node && n->hands_asked.v[i].from == from)
			return &n->hands_asked.v[i];
	if (!state_node(&n->state, node) || hand_asked_vec_push(&n->hands_asked, fresh) < 0)
		return NULL;
	return &n->hands_asked.v[n->hands_asked.n - 1];
}

/* The leader has asked something else since: an `off` that comes again behind the `on` would be done last. */
static bool is_late(struct node *n, const Core__Message *msg)
{
	const Core__FenceAsk *q = msg->fence_ask;
	struct hand_asked *asked = asked_of(n, q->node, msg->from);

	if (!asked || n->cfg.defects & NODE_DEFECT_ASK_LATE)
		return false;
	if (asked->instance == msg->instance && q->id < asked->id)
		return true;
	asked->instance = msg->instance;
	asked->id = q->id;
	return false;
}

void fence_hand_on_ask(struct node *n, const Core__Message *msg)
{
	const Core__FenceAsk *q = msg->fence_ask;

	if (msg->from != raft_leader(n->raft).node || is_late(n, msg))
		return;
	for (size_t i = n->hands.n; i-- > 0;) {
		struct hand *h = &n->hands.v[i];

		if (h->node != q->node)
			continue;
		if (h->from == msg->from && h->instance == msg->instance && h->ask_id == q->id &&
		    !q->stop) {
			h->asked_ms = n->now_ms;
			hand_tell(n, h);
			return;
		}
		/* One at a time for a node: what was asked before is over. */
		hand_drop(n, i);
	}
	if (!q->stop)
		hand_begin(n, msg);
}

void fence_hand_on_event(struct node *n, const struct node_fence_event *ev)
{
	for (size_t i = 0; i < n->hands.n; i++) {
		struct hand *h = &n->hands.v[i];

		if (h->child != ev->id || h->done)
			continue;
		h->done = true;
		h->ok = ev->ok;
		CORE_COPY(h->text, ev->text);
		hand_tell(n, h);
		return;
	}
}

static bool is_over(const struct node *n, const struct hand *h)
{
	const struct state_node *s = state_node(&n->state, h->node);

	if (h->from != raft_leader(n->raft).node || n->now_ms - h->asked_ms > FENCE_HAND_MS)
		return true;
	return !h->on && (!s || s->phase != STATE_NODE_FAILED || s->incarnation != h->incarnation);
}

void fence_hand_step(struct node *n)
{
	for (size_t i = n->hands.n; i-- > 0;)
		if (is_over(n, &n->hands.v[i]))
			hand_drop(n, i);
}
