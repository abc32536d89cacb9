/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hour of a quarantine, measured. Every node notes by its own clock (CLOCK_BOOTTIME) when it saw each fence
 * come into the database; the manager takes out what it saw an hour ago. No two clocks are compared and no
 * wall clock is read, so a jump of one changes nothing. A restarted process has seen all that it finds at
 * its start: a fence counts for an hour at least, and longer only while managers keep being restarted.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include "quorum/quarantine.h"

static struct fence_note *note_of(struct node *n, uint32_t node)
{
	struct fence_note fresh = { .node = node };

	for (size_t i = 0; i < n->fence_notes.n; i++)
		if (n->fence_notes.v[i].node == node)
			return &n->fence_notes.v[i];
	if (fence_note_vec_push(&n->fence_notes, fresh) == 0)
		return &n->fence_notes.v[n->fence_notes.n - 1];
	n->out->no_memory = true;
	return NULL;
}

static void follow(struct fence_note *note, uint32_t fenced, int64_t now_ms)
{
	if (fenced > QUARANTINE_COUNT_MAX)
		fenced = QUARANTINE_COUNT_MAX;
	while (note->n > fenced) { /* the oldest was taken out */
		note->n--;
		for (uint32_t i = 0; i < note->n; i++)
			note->seen_ms[i] = note->seen_ms[i + 1];
	}
	while (note->n < fenced)
		note->seen_ms[note->n++] = now_ms;
}

static void forget_oldest(struct node *n, const struct state_node *s)
{
	COMMAND(NODE_FENCE_FORGET, NodeFenceForget, node_fence_forget);

	m.node = s->id;
	m.fenced = s->fenced;
	(void)log_propose(n, s->name, &c);
}

void quarantine_step(struct node *n)
{
	int64_t hour_ms = n->cfg.quarantine_ms ? n->cfg.quarantine_ms : QUARANTINE_MS;

	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];
		struct fence_note *note = s->fenced ? note_of(n, s->id) : NULL;

		if (!note)
			continue;
		follow(note, s->fenced, n->now_ms);
		if (log_is_leader(n) && note->n > 0 && n->now_ms - note->seen_ms[0] >= hour_ms)
			forget_oldest(n, s);
	}
}
