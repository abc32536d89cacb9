/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The leader's side of the log: append, what goes to whom, answers, commit, check-quorum.
 *
 * One append with entries is under way to a follower at a time; it is repeated every heartbeat_ms
 * until answered. The leader's own disk is one voter's like any other: entries leave for the
 * followers while it writes, and it counts itself when its own append is durable. That is safe as
 * an entry vouches for nothing: only answers do, and they wait (raft_hold.c).
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "quorum/raft_state.h"

/* ---- becoming leader --------------------------------------------------------------------- */

static void reset_peers(struct raft *r)
{
	for (uint32_t i = 0; i < r->n_peers; i++) {
		struct raft_peer *p = &r->peers[i];

		*p = (struct raft_peer){
			.id = p->id,
			.incarnation = p->incarnation,
			.next = raft_log_last(&r->log) + 1,
			.sent_seq = r->seq,
			.acked_seq = r->seq,
			.acked_sent_ms = r->now, /* a full election_ms to make contact */
			.sent_ms = INT64_MIN / 2,
			.append_sent_ms = INT64_MIN / 2,
			.install_ms = INT64_MIN / 2,
		};
	}
}

void raft_become_leader(struct raft *r)
{
	sm_move(&r->role, RAFT_LEADER, "elected");
	r->leader = r->p.self;
	r->transfer_to = (struct raft_id){ 0 };
	reset_peers(r);
	/* At once: nothing of older terms commits, no read and no change begins before an entry of
	 * this term is committed (rules 2, 3). */
	r->noop = 0;
	if (!raft_defect(r, 3))
		r->noop = raft_leader_append(r, RAFT_ENTRY_NOOP, NULL, 0);
}

uint64_t raft_leader_append(struct raft *r, enum raft_entry_type type, const void *data,
			    uint32_t len)
{
	struct raft_entry e = { .index = raft_log_last(&r->log) + 1,
				.term = r->term,
				.type = type,
				.len = len,
				.data = data };

	cl_assert(r->role.state == RAFT_LEADER);
	raft_log_append(&r->log, &e);
	raft_member_appended(r, raft_log_at(&r->log, e.index));
	return e.index;
}

void raft_on_propose(struct raft *r, const struct raft_event *ev)
{
	struct raft_pending p = { .id = ev->propose.id, .term = r->term, .what = RAFT_PROPOSE };
	enum raft_reason why = RAFT_REASON_NONE;

	if (r->role.state != RAFT_LEADER)
		why = RAFT_NOT_LEADER;
	else if (r->transfer_to.node)
		why = RAFT_TRANSFERRING;
	else if (r->pending.n >= RAFT_PENDING_MAX)
		why = RAFT_FULL;
	if (why != RAFT_REASON_NONE) {
		raft_result(r, RAFT_PROPOSE, p.id, RAFT_REFUSED, why, 0, 0);
		return;
	}
	p.index = raft_leader_append(r, RAFT_ENTRY_COMMAND, ev->propose.data, ev->propose.len);
	cl_assert(raft_pending_vec_push(&r->pending, p) == 0);
}

/* ---- what goes to whom ------------------------------------------------------------------- */

static void send_request(struct raft *r, struct raft_peer *p, struct raft_message *m)
{
	m->seq = p->sent_seq = ++r->seq;
	m->sent_ms = p->sent_ms = r->now;
	m->commit = r->commit;
	p->poke = false;
	raft_send(r, m); /* the term is durable since the election; entries vouch for nothing */
}

/* A heartbeat from the last point known to be equal: it can only be agreed with. */
static void send_beat(struct raft *r, struct raft_peer *p)
{
	struct raft_message m = raft_message_to(r, RAFT_APPEND, &p->id);
	uint64_t term = 0;

	if (raft_log_term(&r->log, p->match, &term)) {
		m.prev_index = p->match;
		m.prev_term = term;
	}
	if (p->commit_sent < p->match)
		p->commit_sent = p->match < r->commit ? p->match : r->commit;
	send_request(r, p, &m);
}

/*
 * A change that takes somebody's vote reaches him when it is committed. Otherwise: of two voters one is demoted; the change
 * reaches it, and the leader loses it before it is durable there. By the leader's log that one's vote is needed, and
 * it refuses, having the longer log; by its own it is no voter, and does not campaign (rule 15): nobody is ever
 * elected (simulator: witness, seed 221; Ongaro's dissertation, figure 4.6, lets it campaign instead).
 */
static uint64_t sendable(const struct raft *r, const struct raft_peer *p)
{
	const struct raft_config_at *c = raft_config_latest(r);
	const struct raft_member *m = raft_config_find(&c->config, &p->id);

	if (c->index > r->commit && m && m->role == RAFT_LEARNER && !raft_defect(r, 30))
		return c->index - 1;
	return raft_log_last(&r->log);
}

static void send_append(struct raft *r, struct raft_peer *p)
{
	struct raft_message m = raft_message_to(r, RAFT_APPEND, &p->id);
	uint64_t last = sendable(r, p), bytes = 0;

	m.prev_index = p->next - 1;
	cl_assert(raft_log_term(&r->log, m.prev_index, &m.prev_term));
	for (uint64_t i = p->next; i <= last; i++) {
		bytes += raft_log_at(&r->log, i)->len + 32;
		if (m.n_entries && bytes > r->p.batch_bytes)
			break;
		m.n_entries++;
	}
	p->inflight = m.prev_index + m.n_entries;
	p->append_sent_ms = r->now;
	send_request(r, p, &m);
}

static void send_install(struct raft *r, struct raft_peer *p)
{
	struct raft_message m = raft_message_to(r, RAFT_INSTALL, &p->id);

	p->installing = true;
	p->inflight = 0;
	p->install_ms = r->now;
	m.snapshot = &r->snap;
	send_request(r, p, &m);
}

static void peer_work(struct raft *r, struct raft_peer *p)
{
	bool due = r->now - p->sent_ms >= r->p.heartbeat_ms;
	/* By its own clock: a beat for each read, ten a second, must not put off the repetition of an
	 * append that was lost, or nothing is committed as long as somebody reads. */
	bool again =
		r->now - (raft_defect(r, 28) ? p->sent_ms : p->append_sent_ms) >= r->p.heartbeat_ms;
	uint64_t known = p->match < r->commit ? p->match : r->commit;

	if (p->next <= r->log.base_index || p->installing) {
		if (!p->installing || r->now - p->install_ms >= r->p.install_ms)
			send_install(r, p);
		else if (due || p->poke)
			send_beat(r, p);
		return;
	}
	if (p->next <= sendable(r, p) && (!p->inflight || again))
		send_append(r, p);
	else if (p->next > p->match + 1 && again)
		/* It has said that it got them, and its word that they are durable may have been lost:
		 * asked about the last one, without entries. A beat from `match` would be agreed with
		 * for ever, and nothing be committed until something else is proposed. */
		send_append(r, p);
	else if (due || p->poke || p->commit_sent < known)
		send_beat(r, p);
}

/* ---- commit ------------------------------------------------------------------------------ */

static int descending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* The greatest value that a majority of the voters has reached. mine counts only for a voter
 * (rule 15). */
static uint64_t majority_of(const struct raft *r, uint64_t mine,
			    uint64_t (*of)(const struct raft_peer *))
{
	const struct raft_config *c = &raft_config_latest(r)->config;
	uint32_t voters = raft_config_voters(c), n = 0;
	uint64_t v[RAFT_MEMBERS_MAX + 1];

	for (uint32_t i = 0; i < c->n; i++) {
		if (raft_is_self(r, &c->member[i].id)) {
			if (c->member[i].role == RAFT_VOTER || raft_defect(r, 15))
				v[n++] = mine;
		} else if (c->member[i].role == RAFT_VOTER) {
			v[n++] = of(&r->peers[i]);
		}
	}
	if (raft_defect(r, 15) && !raft_config_find(c, &r->p.self))
		v[n++] = mine;
	qsort(v, n, sizeof(v[0]), descending);
	return v[voters / 2];
}

static uint64_t match_of(const struct raft_peer *p)
{
	return p->match;
}

/* Committed is what a majority of the voters has durable (rule 27): the leader's own word is one. */
static void advance_commit(struct raft *r)
{
	uint64_t n = raft_defect(r, 27) ? r->log.durable : majority_of(r, r->log.durable, match_of);
	uint64_t term = 0;

	if (n <= r->commit)
		return;
	cl_assert(raft_log_term(&r->log, n, &term));
	/* An entry of an older term on a majority can still be replaced (Raft, figure 8): it is
	 * committed with the first one of this term (rule 2). */
	if (term != r->term && !raft_defect(r, 2))
		return;
	r->commit = n;
}

void raft_leader_work(struct raft *r)
{
	advance_commit(r);
	raft_member_promote(r);
	raft_transfer_work(r);
	for (uint32_t i = 0; i < r->n_peers; i++)
		if (!raft_is_self(r, &r->peers[i].id))
			peer_work(r, &r->peers[i]);
}

/* ---- check-quorum ------------------------------------------------------------------------ */

/* Order-preserving, so that majority_of() serves for times too. */
static uint64_t time_key(int64_t t)
{
	return (uint64_t)t ^ UINT64_C(0x8000000000000000);
}

static uint64_t acked_sent_of(const struct raft_peer *p)
{
	return time_key(p->acked_sent_ms);
}

/*
 * Measured from when the answered request was SENT: an answer proves nothing about later. Without
 * the step-down, a leader that can send but not receive keeps its followers loyal and commits
 * nothing for ever (rule 17).
 */
void raft_leader_tick(struct raft *r)
{
	uint64_t contact = majority_of(r, time_key(r->now), acked_sent_of);

	if (contact < time_key(r->now - r->p.election_ms) && !raft_defect(r, 17)) {
		raft_become_follower(r, NULL, "no answer from a majority");
		return;
	}
	raft_resign_tick(r);
}

/* ---- answers ----------------------------------------------------------------------------- */

static void take_ok(struct raft *r, struct raft_peer *p, const struct raft_message *m)
{
	if (m->match > p->match)
		p->match = m->match;
	if (m->received >= p->next)
		p->next = m->received + 1;
	if (p->next <= p->match)
		p->next = p->match + 1;
	if (m->received >= p->inflight)
		p->inflight = 0;
	if (p->installing && p->match >= r->log.base_index) {
		p->installing = false;
		p->next = p->match + 1;
	}
}

static void take_reject(struct raft *r, struct raft_peer *p, const struct raft_message *m)
{
	uint64_t next = m->received + 1 < p->next ? m->received + 1 : p->next;

	/* What is known to be equal stays so (rule 18). */
	if (next <= p->match && !raft_defect(r, 18))
		next = p->match + 1;
	p->next = next;
	p->inflight = 0;
	cl_assert(p->next > p->match);
}

/*
 * An answer belongs to a request of this term (rule 18). A late ok may still raise match: what is
 * equal and durable in this term stays so in this term. A late reject, and any answer of another
 * term, means nothing.
 */
void raft_on_append_reply(struct raft *r, const struct raft_message *m)
{
	struct raft_peer *p = raft_peer_find(r, &m->from);
	uint64_t last = raft_log_last(&r->log);
	bool newer;

	if (m->term > r->term) {
		raft_set_term(r, m->term);
		return;
	}
	if (r->role.state != RAFT_LEADER || !p || (m->term != r->term && !raft_defect(r, 18)))
		return;
	if (m->seq > p->sent_seq || m->sent_ms > r->now || m->match > last || m->received > last ||
	    (m->seq < r->campaign_seq && !raft_defect(r, 18)))
		return;
	newer = m->seq > p->acked_seq;
	if (newer) {
		p->acked_seq = m->seq;
		if (m->sent_ms > p->acked_sent_ms)
			p->acked_sent_ms = m->sent_ms;
	}
	p->answered = true;
	p->append_ms = m->append_ms;
	if (m->ok)
		take_ok(r, p, m);
	else if ((newer || raft_defect(r, 18)) && !p->installing)
		take_reject(r, p, m);
}
