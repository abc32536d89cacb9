/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether this node's own writes to the database are slow. It is said in beats: everybody shows it, and
 * the manager places nothing new here. Nobody is guilty of it and nothing is stopped: guests do not wait
 * for the database, only changes do.
 *
 * The leader hands its office over by raft's own rule (its append is 2 s old, another's takes < 200 ms).
 */
#include "config.h"

#include "clusterd/core/internal.h"

enum {
	SLOW_MS = 1000,	       /* a write that takes so long is slow */
	SLOW_AFTER_MS = 30000, /* so long without one: well again */
};

static void note(struct node *n, int64_t took_ms)
{
	struct slow *s = &n->slow;

	if (took_ms < SLOW_MS)
		return;
	if (n->now_ms - s->bad_ms >= SLOW_AFTER_MS)
		s->worst_ms = 0;
	s->bad_ms = n->now_ms;
	if (took_ms > s->worst_ms)
		s->worst_ms = took_ms;
}

void slow_begun(struct node *n, uint64_t seq)
{
	struct write_begun w = { .seq = seq, .at_ms = n->now_ms };

	if (write_begun_vec_push(&n->slow.writes, w) < 0)
		n->out->no_memory = true;
}

void slow_persisted(struct node *n, uint64_t seq)
{
	size_t done = 0;

	while (done < n->slow.writes.n && n->slow.writes.v[done].seq <= seq)
		note(n, n->now_ms - n->slow.writes.v[done++].at_ms);
	while (done > 0)
		write_begun_vec_remove(&n->slow.writes, --done);
}

void slow_step(struct node *n)
{
	if (n->slow.writes.n > 0)
		note(n, n->now_ms - n->slow.writes.v[0].at_ms);
}

uint32_t slow_ms(const struct node *n)
{
	if (n->now_ms - n->slow.bad_ms >= SLOW_AFTER_MS)
		return 0;
	return (uint32_t)n->slow.worst_ms;
}
