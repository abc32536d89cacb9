/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is being made durable, and the messages that wait for it (rule 7).
 *
 * Everything that vouches for term, vote or log goes through raft_send_after() and leaves in the
 * step in which the persist it rests on was reported durable. A voter that answers earlier and then
 * loses power votes twice in a term, or has vouched for an entry that exists nowhere. The held
 * messages of an older term are dropped when the term rises: an acknowledgement released after
 * this node has voted for somebody whose log lacks the entry would let the old leader count it.
 */
#include "config.h"

#include <string.h>

#include "quorum/raft_state.h"

/* The same answer again, waiting for the same persist: one is enough. */
static struct raft_held *same_held(struct raft *r, const struct raft_message *m)
{
	for (size_t i = r->held.n; i > 0; i--) {
		struct raft_held *h = &r->held.v[i - 1];

		if (h->m.type == m->type && h->after == RAFT_AFTER_LOG && h->seq == r->seq_given &&
		    h->numbered && raft_id_equal(&h->m.to, &m->to) && h->m.term == m->term &&
		    h->m.match == m->match)
			return h;
	}
	return NULL;
}

void raft_send(struct raft *r, const struct raft_message *m)
{
	cl_assert(raft_message_vec_push(&r->a->send, *m) == 0);
}

void raft_send_after(struct raft *r, const struct raft_message *m, enum raft_after after)
{
	struct raft_held h = { .after = after, .m = *m };
	struct raft_held *same;

	cl_assert(!m->n_entries && !m->snapshot); /* it outlives what it would point to */
	if (raft_defect(r, 7)) {
		raft_send(r, m);
		return;
	}
	same = m->type == RAFT_APPEND_REPLY && after == RAFT_AFTER_LOG ? same_held(r, m) : NULL;
	if (same)
		same->m = *m;
	else
		cl_assert(raft_held_vec_push(&r->held, h) == 0);
}

void raft_hold_clear(struct raft *r)
{
	raft_held_vec_clear(&r->held);
}

static bool is_dirty(const struct raft *r)
{
	return r->vote_dirty || r->snap_dirty || r->truncate_from ||
	       r->log.given < raft_log_last(&r->log);
}

static void build_persist(struct raft *r)
{
	struct raft_persist *p = &r->a->persist;
	uint64_t last = raft_log_last(&r->log);
	struct raft_op op = { .last = last, .begun_ms = r->now };

	r->a->has_persist = true;
	*p = (struct raft_persist){ .seq = ++r->seq_given, .truncate_from = r->truncate_from };
	if (r->vote_dirty) {
		p->has_vote = true;
		p->term = r->term;
		p->vote = r->vote;
		r->seq_term = p->seq;
	}
	if (r->snap_dirty) {
		p->has_snapshot = op.has_snapshot = true;
		p->reset_log = r->log_reset;
		p->snapshot = &r->snap;
		p->first_index = r->log.base_index + 1;
	}
	if (r->log.given < last) {
		p->entries = raft_log_at(&r->log, r->log.given + 1);
		p->n_entries = (uint32_t)(last - r->log.given);
		op.has_entries = true;
		r->log.given = last;
	}
	op.seq = p->seq;
	if (r->restore && r->snap_dirty && r->log_reset)
		r->restore_seq = p->seq;
	cl_assert(raft_op_vec_push(&r->ops, op) == 0);
	r->vote_dirty = r->snap_dirty = r->log_reset = false;
	r->truncate_from = 0;
}

/* In order of sending: an answer must not overtake an earlier one of its kind. */
static void release(struct raft *r)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->held.n; i++) {
		struct raft_held *h = &r->held.v[i];

		if (!h->numbered) {
			h->numbered = true;
			h->seq = h->after == RAFT_AFTER_TERM ? r->seq_term : r->seq_given;
		}
		if (h->seq <= r->seq_durable)
			raft_send(r, &h->m);
		else
			r->held.v[kept++] = *h;
	}
	r->held.n = kept;
}

void raft_hold_flush(struct raft *r)
{
	if (is_dirty(r))
		build_persist(r);
	release(r);
}

void raft_on_persisted(struct raft *r, uint64_t seq)
{
	size_t done = 0;

	cl_assert(seq <= r->seq_given);
	if (seq <= r->seq_durable)
		return;
	r->seq_durable = seq;
	while (done < r->ops.n && r->ops.v[done].seq <= seq) {
		const struct raft_op *op = &r->ops.v[done++];

		if (op->last > r->log.durable)
			r->log.durable = op->last;
		if (op->has_entries)
			r->append_ms = (uint32_t)(r->now - op->begun_ms);
	}
	if (!done)
		return;
	memmove(r->ops.v, r->ops.v + done, (r->ops.n - done) * sizeof(*r->ops.v));
	r->ops.n -= done;
}

void raft_hold_truncated(struct raft *r, uint64_t index)
{
	for (size_t i = 0; i < r->ops.n; i++)
		if (r->ops.v[i].last >= index)
			r->ops.v[i].last = index - 1;
}

int64_t raft_oldest_append(const struct raft *r)
{
	for (size_t i = 0; i < r->ops.n; i++)
		if (r->ops.v[i].has_entries || r->ops.v[i].has_snapshot)
			return r->ops.v[i].begun_ms;
	return INT64_MAX;
}
