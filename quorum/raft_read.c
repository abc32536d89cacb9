/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Read-index rounds, handing leadership over, and what those who wait hear when it is lost.
 *
 * A read is answered after a majority of the voters answered a request that was SENT after the
 * read came: none of them had voted for a newer leader then. There is no lease in here; an election
 * forced by a ring change would break it (rule 19).
 */
#include "config.h"

#include <string.h>

#include "quorum/raft_state.h"

void raft_on_read(struct raft *r, const struct raft_event *ev)
{
	struct raft_read rd = { .id = ev->read.id, .index = r->commit, .floor = r->seq };
	enum raft_reason why = RAFT_REASON_NONE;

	if (r->role.state != RAFT_LEADER)
		why = RAFT_NOT_LEADER;
	else if (r->commit < r->noop)
		why = RAFT_NOT_READY; /* our commit index may lag behind our predecessor's (rule 3)
				       */
	if (why != RAFT_REASON_NONE) {
		raft_result(r, RAFT_READ, rd.id, RAFT_REFUSED, why, 0, 0);
		return;
	}
	for (uint32_t i = 0; i < r->n_peers; i++)
		r->peers[i].poke = true;
	cl_assert(raft_read_vec_push(&r->reads, rd) == 0);
}

static bool round_done(const struct raft *r, const struct raft_read *rd)
{
	uint32_t votes = 0;

	for (uint32_t i = 0; i < r->n_peers; i++) {
		const struct raft_peer *p = &r->peers[i];

		if (raft_is_voter(r, &p->id))
			votes += raft_is_self(r, &p->id) || p->acked_seq > rd->floor;
	}
	return raft_majority(r, votes) || raft_defect(r, 19);
}

void raft_reads_finish(struct raft *r)
{
	size_t done = 0;

	/* Floors and indexes only grow: in order. */
	while (done < r->reads.n && r->applied >= r->reads.v[done].index &&
	       round_done(r, &r->reads.v[done])) {
		raft_result(r, RAFT_READ, r->reads.v[done].id, RAFT_DONE, RAFT_REASON_NONE,
			    r->reads.v[done].index, r->term);
		done++;
	}
	if (!done)
		return;
	memmove(r->reads.v, r->reads.v + done, (r->reads.n - done) * sizeof(*r->reads.v));
	r->reads.n -= done;
}

void raft_fail_waiting(struct raft *r)
{
	/* The entries are in the log and may be with the next leader: nobody knows (rule 20). */
	enum raft_result_status status = raft_defect(r, 20) ? RAFT_REFUSED : RAFT_UNKNOWN;

	for (size_t i = 0; i < r->pending.n; i++)
		raft_result(r, r->pending.v[i].what, r->pending.v[i].id, status, RAFT_NOT_LEADER,
			    r->pending.v[i].index, r->pending.v[i].term);
	for (size_t i = 0; i < r->reads.n; i++)
		raft_result(r, RAFT_READ, r->reads.v[i].id, RAFT_REFUSED, RAFT_NOT_LEADER, 0, 0);
	raft_pending_vec_clear(&r->pending);
	raft_read_vec_clear(&r->reads);
	r->transfer_to = (struct raft_id){ 0 };
}

/* ---- hand-over --------------------------------------------------------------------------- */

/* The voter that is furthest, answers, and whose disk is not slower than max_append_ms. */
static const struct raft_peer *best_heir(const struct raft *r, uint32_t max_append_ms)
{
	const struct raft_peer *best = NULL;

	for (uint32_t i = 0; i < r->n_peers; i++) {
		const struct raft_peer *p = &r->peers[i];

		if (raft_is_self(r, &p->id) || !raft_is_voter(r, &p->id) || !p->answered)
			continue;
		if (r->now - p->acked_sent_ms > r->p.election_ms / 4 ||
		    p->append_ms >= max_append_ms)
			continue;
		if (!best || p->match > best->match)
			best = p;
	}
	return best;
}

static void begin(struct raft *r, const struct raft_id *to)
{
	r->transfer_to = *to;
	r->transfer_until = r->now + r->p.election_ms;
	r->transfer_sent = INT64_MIN / 2;
}

void raft_on_transfer(struct raft *r, const struct raft_event *ev)
{
	const struct raft_peer *heir = NULL;
	enum raft_reason why = RAFT_NOT_CAUGHT_UP;

	if (r->role.state != RAFT_LEADER) {
		why = RAFT_NOT_LEADER;
	} else if (r->transfer_to.node) {
		why = RAFT_TRANSFERRING;
	} else if (!ev->transfer.to.node) {
		heir = best_heir(r, UINT32_MAX);
	} else {
		heir = raft_peer_find(r, &ev->transfer.to);
		if (!heir || !raft_is_voter(r, &heir->id) || raft_is_self(r, &heir->id)) {
			heir = NULL;
			why = RAFT_NO_MEMBER;
		}
	}
	if (heir)
		begin(r, &heir->id);
	raft_result(r, RAFT_TRANSFER, ev->transfer.id, heir ? RAFT_ACCEPTED : RAFT_REFUSED,
		    heir ? RAFT_REASON_NONE : why, 0, 0);
}

static void send_timeout_now(struct raft *r, const struct raft_id *to)
{
	struct raft_message m = raft_message_to(r, RAFT_TIMEOUT_NOW, to);

	m.seq = ++r->seq;
	m.sent_ms = r->now;
	raft_send(r, &m);
}

void raft_offer(struct raft *r)
{
	const struct raft_peer *heir = best_heir(r, UINT32_MAX);

	if (heir)
		send_timeout_now(r, &heir->id);
}

/* The heir has everything: tell it to campaign, again until a higher term shows or time is up. */
void raft_transfer_work(struct raft *r)
{
	struct raft_peer *p = raft_peer_find(r, &r->transfer_to);

	if (!r->transfer_to.node)
		return;
	if (!p || !raft_is_voter(r, &p->id) || r->now >= r->transfer_until) {
		r->transfer_to = (struct raft_id){ 0 };
		return;
	}
	if (p->match < raft_log_last(&r->log) || r->now - r->transfer_sent < r->p.heartbeat_ms)
		return;
	r->transfer_sent = r->now;
	send_timeout_now(r, &p->id);
}

void raft_resign_tick(struct raft *r)
{
	int64_t oldest = raft_oldest_append(r);
	bool slow = oldest != INT64_MAX && r->now - oldest >= r->p.slow_own_ms;
	bool foreign = r->p.witness && raft_leader_ready(r) && !raft_defect(r, 24);
	const struct raft_peer *heir;

	if ((!slow && !foreign) || r->transfer_to.node)
		return;
	/* A disk that hangs holds up all that is applied here; a witness has no state to act on
	 * (rule 24). */
	heir = best_heir(r, slow ? r->p.fast_other_ms : UINT32_MAX);
	if (heir)
		begin(r, &heir->id);
}

/* ---- when the next tick is due ----------------------------------------------------------- */

static int64_t leader_deadline(const struct raft *r)
{
	int64_t at = r->now + r->p.heartbeat_ms;

	for (uint32_t i = 0; i < r->n_peers; i++)
		if (!raft_is_self(r, &r->peers[i].id) &&
		    r->peers[i].sent_ms + r->p.heartbeat_ms < at)
			at = r->peers[i].sent_ms + r->p.heartbeat_ms;
	return at;
}

int64_t raft_deadline(const struct raft *r)
{
	if (r->role.state == RAFT_LEADER)
		return leader_deadline(r);
	if (r->role.state != RAFT_FOLLOWER && r->repeat_at < r->election_at)
		return r->repeat_at;
	return r->election_at;
}
