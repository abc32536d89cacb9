/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the nodes say to each other, as far as a proof rests on it (docs/timing.md, "The lease ends before the
 * bound", step 3). Judged here:
 *   acks-after-answer  a voter that has answered until when a failed (node, incarnation) may execute acks no beat
 *                      of it any more: its answer bounds all that it ever acked
 * The harm itself, a lease that ends after the bound, needs more beside it than chance puts together: a majority
 * that answered without the voter that acked the same beat, and a beat that overtakes nothing for longer than its
 * ack's way. So the premise is watched, at every answer.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "proto/core.pb-c.h"
#include "tests/sim/cluster_driver.h"

/* What is looked at is short; raft's messages and beats mostly are not. */
enum { SHORT_BYTES = 200 };

static struct bound_asked *asked(struct cworld *w, unsigned asker, uint64_t id)
{
	for (unsigned i = 0; i < CW_ASKED; i++)
		if (w->node[asker].asked[i].id == id)
			return &w->node[asker].asked[i];
	return NULL;
}

/* A restarted asker counts its questions anew: what it asked twice by one number is not looked at. */
static void on_ask(struct cworld *w, unsigned from, const Core__BoundAsk *q)
{
	struct cnode *c = &w->node[from];
	struct bound_asked *a = asked(w, from, q->id);
	struct bound_asked now = { q->id, q->node, q->failed ? q->incarnation : 0 };

	if (a && (a->node != now.node || a->incarnation != now.incarnation))
		a->incarnation = 0;
	if (!a)
		c->asked[c->n_asked++ % CW_ASKED] = now;
}

/* The witness's answers are given by its host, from its own memory. */
static void on_answer(struct cworld *w, unsigned from, unsigned to, const Core__BoundAnswer *m,
		      uint64_t instance)
{
	const struct bound_asked *a = to && to <= w->nodes ? asked(w, to, m->id) : NULL;
	struct bound_answered *b =
		a && a->node <= w->nodes ? &w->node[from].answered[a->node] : NULL;

	if (!b || m->voter_node || !a->incarnation || m->voter.len != sizeof(b->voter))
		return;
	b->incarnation = a->incarnation;
	b->instance = instance;
	memcpy(b->voter, m->voter.data, sizeof(b->voter));
}

/* What a copy of an earlier life says is dropped by who knows the later one (seed 80616 of its time). */
static bool is_old_copy(const struct cworld *w, const struct bound_answered *b, uint64_t instance)
{
	return instance < b->instance && !(w->defects & NODE_DEFECT_OLD_COPY);
}

static void on_ack(struct cworld *w, unsigned from, unsigned to, const Core__BeatAck *m,
		   uint64_t instance)
{
	const struct bound_answered *b = to && to <= w->nodes ? &w->node[from].answered[to] : NULL;

	if (!b || m->voter_node || m->voter.len != sizeof(b->voter) || !b->incarnation ||
	    m->incarnation > b->incarnation || memcmp(b->voter, m->voter.data, m->voter.len) != 0 ||
	    is_old_copy(w, b, instance))
		return;
	sim_fail(w->s, "acks-after-answer",
		 "n%u acks a beat of n%u at %" PRIu64
		 ", after it has answered how long that may execute",
		 from, to, m->incarnation);
}

bool scene_repeats(const struct cworld *w, unsigned from, const struct node_action *a)
{
	Core__Message *m = w->scene.repeats == from
				   ? core__message__unpack(NULL, a->send.len, a->send.data)
				   : NULL;
	bool is = m && m->what_case == CORE__MESSAGE__WHAT_REQUEST;

	if (m)
		core__message__free_unpacked(m, NULL);
	return is;
}

void wire_sent(struct cworld *w, unsigned from, const struct node_action *a)
{
	Core__Message *m;

	if (a->send.len > SHORT_BYTES)
		return;
	m = core__message__unpack(NULL, a->send.len, a->send.data);
	cl_assert(m);
	if (m->what_case == CORE__MESSAGE__WHAT_BOUND_ASK)
		on_ask(w, from, m->bound_ask);
	else if (m->what_case == CORE__MESSAGE__WHAT_BOUND_ANSWER)
		on_answer(w, from, m->to, m->bound_answer, m->instance);
	else if (m->what_case == CORE__MESSAGE__WHAT_BEAT_ACK)
		on_ack(w, from, m->to, m->beat_ack, m->instance);
	core__message__free_unpacked(m, NULL);
}
