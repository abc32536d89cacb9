/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Terms, votes and timers. A node that hears nothing asks first whether it would be elected
 * (pre-vote, which binds nobody), and only then raises the term. A change of the ring without the
 * leader makes the timer expire at once, staggered by node id, and ends the loyalty of the others.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "quorum/raft_state.h"

static const struct raft_id nobody;

/* ---- timers ------------------------------------------------------------------------------ */

void raft_timer_restart(struct raft *r)
{
	uint64_t jitter = raft_random(r);

#if RAFT_HAVE_DEFECTS
	static uint64_t hidden; /* rule 26 left out: state outside of the object */

	if (raft_defect(r, 26))
		jitter += ++hidden * 7;
#endif
	r->election_at = r->now + r->p.election_ms + (int64_t)(jitter % (r->p.election_ms / 2 + 1));
}

void raft_election_init(struct raft *r)
{
	r->heard_ms = INT64_MIN / 2;
	raft_timer_restart(r);
}

/* ---- becoming ---------------------------------------------------------------------------- */

void raft_become_follower(struct raft *r, const struct raft_id *leader, const char *why)
{
	int before = r->role.state;

	if (before == RAFT_LEADER)
		raft_fail_waiting(r);
	if (before != RAFT_FOLLOWER)
		sm_move(&r->role, RAFT_FOLLOWER, why);
	r->leader = leader ? *leader : nobody;
	if (before == RAFT_LEADER)
		raft_timer_restart(r);
	/* The vote stays: it was given in this term, and the term is the same (rule 8). */
	if (r->vote.node && raft_defect(r, 8)) {
		r->vote = nobody;
		r->vote_dirty = true;
	}
}

void raft_set_term(struct raft *r, uint64_t term)
{
	cl_assert(term > r->term);
	raft_become_follower(r, NULL, "a higher term");
	r->term = term;
	r->vote = nobody; /* the only place but the campaign: the term has risen (rule 8) */
	r->vote_dirty = true;
	raft_hold_clear(r);
}

/* A snapshot being installed leaves nothing to compare with, an empty database knows nobody. */
static bool may_campaign(const struct raft *r)
{
	if (r->restore || raft_log_last(&r->log) == 0)
		return false;
	return raft_is_voter(r, &r->p.self) || raft_defect(r, 15); /* rule 15 */
}

/* ---- asking ------------------------------------------------------------------------------ */

static void own_last(const struct raft *r, uint64_t *ret_index, uint64_t *ret_term)
{
	*ret_index = raft_log_last(&r->log);
	*ret_term = raft_log_last_term(&r->log);
	/* An empty log behind a snapshot ends where the snapshot does (rule 10). */
	if (r->log.n == 0 && raft_defect(r, 10))
		*ret_index = *ret_term = 0;
}

static bool has_granted(const struct raft *r, const struct raft_id *id)
{
	for (uint32_t i = 0; i < r->n_granted; i++)
		if (raft_id_equal(&r->granted[i], id))
			return true;
	return false;
}

/* Requests to all voters that have not granted yet. What they say of our log is durable when they
 * leave: votes wait for all that was handed out before (rule 10). Pre-votes bind nobody. */
static void ask(struct raft *r)
{
	const struct raft_config *c = &raft_config_latest(r)->config;
	bool real = r->role.state == RAFT_CANDIDATE;

	r->repeat_at = r->now + r->p.heartbeat_ms;
	for (uint32_t i = 0; i < c->n; i++) {
		struct raft_message m;

		if (c->member[i].role != RAFT_VOTER || has_granted(r, &c->member[i].id) ||
		    raft_is_self(r, &c->member[i].id))
			continue;
		m = raft_message_to(r, real ? RAFT_VOTE : RAFT_PREVOTE, &c->member[i].id);
		m.seq = ++r->seq;
		m.sent_ms = r->now;
		m.transfer = r->campaign_transfer;
		own_last(r, &m.last_index, &m.last_term);
		if (real)
			raft_send_after(r, &m, RAFT_AFTER_LOG);
		else
			raft_send(r, &m);
	}
}

static bool elected(const struct raft *r)
{
	uint32_t votes = 0;

	/* Counted by our latest configuration, appended or committed (rule 12). */
	for (uint32_t i = 0; i < r->n_granted; i++)
		votes += raft_is_voter(r, &r->granted[i]);
	return raft_majority(r, votes);
}

static void campaign(struct raft *r, bool transfer)
{
	sm_move(&r->role, RAFT_CANDIDATE, transfer ? "leadership offered" : "pre-vote won");
	raft_hold_clear(r);
	r->leader = nobody;
	r->term++;
	r->vote = r->p.self;
	r->vote_dirty = true;
	r->campaign_seq = r->seq + 1;
	r->campaign_transfer = transfer;
	r->n_granted = 0; /* our own vote counts when it is durable (rule 7) */
	raft_timer_restart(r);
	ask(r);
	if (raft_defect(r, 7))
		raft_election_durable(r);
}

static void prevote(struct raft *r)
{
	sm_move(&r->role, RAFT_PRECANDIDATE, "leader silent");
	r->leader = nobody;
	r->campaign_seq = r->seq + 1;
	r->campaign_transfer = false;
	r->granted[0] = r->p.self;
	r->n_granted = 1;
	raft_timer_restart(r);
	if (elected(r))
		campaign(r, false);
	else
		ask(r);
}

void raft_election_durable(struct raft *r)
{
	bool durable = !r->vote_dirty && r->seq_term <= r->seq_durable;

	if (r->role.state != RAFT_CANDIDATE || has_granted(r, &r->p.self) ||
	    (!durable && !raft_defect(r, 7)))
		return;
	r->granted[r->n_granted++] = r->p.self;
	if (elected(r))
		raft_become_leader(r);
}

void raft_election_tick(struct raft *r)
{
	bool asking = r->role.state != RAFT_FOLLOWER;

	if (r->now >= r->election_at && r->role.state == RAFT_CANDIDATE &&
	    r->seq_term > r->seq_durable) {
		/* Our own vote is being written, on a disk that takes longer than that. With a new
		 * term before it is durable a node that is the only voter would never lead. */
		raft_timer_restart(r);
	} else if (r->now >= r->election_at) {
		if (may_campaign(r)) {
			prevote(r);
			return;
		}
		raft_become_follower(r, NULL, "may not campaign");
		raft_timer_restart(r);
	} else if (asking && r->now >= r->repeat_at) {
		ask(r);
	}
}

/* ---- ring -------------------------------------------------------------------------------- */

static bool listed(const uint32_t *v, uint32_t n, uint32_t node)
{
	for (uint32_t i = 0; i < n; i++)
		if (v[i] == node)
			return true;
	return false;
}

static void keep_present(struct raft *r, const struct raft_event *ev)
{
	r->present = reallocarray(r->present, ev->ring.n_ring + 1, sizeof(*r->present));
	cl_assert(r->present);
	r->n_present = 0;
	for (uint32_t i = 0; i < ev->ring.n_ring; i++)
		if (listed(ev->ring.group, ev->ring.n_group, ev->ring.ring[i]))
			r->present[r->n_present++] = ev->ring.ring[i];
}

/* How many present voters have a smaller node id. */
static uint32_t rank(const struct raft *r)
{
	const struct raft_config *c = &raft_config_latest(r)->config;
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n; i++)
		n += c->member[i].role == RAFT_VOTER && c->member[i].id.node < r->p.self.node &&
		     listed(r->present, r->n_present, c->member[i].id.node);
	return n;
}

void raft_on_ring(struct raft *r, const struct raft_event *ev)
{
	bool was_there = listed(r->present, r->n_present, r->leader.node);

	keep_present(r, ev);
	if (listed(r->present, r->n_present, r->gone))
		r->gone = 0;
	if (r->role.state == RAFT_LEADER)
		return;
	if (r->leader.node && listed(r->present, r->n_present, r->leader.node)) {
		raft_timer_restart(r);
		return;
	}
	/* The leader is gone, or none was known: no loyalty, and no waiting for the timer. */
	if (was_there)
		r->gone = r->leader.node;
	raft_become_follower(r, NULL, "leader left the ring");
	r->election_at = r->now + (int64_t)r->p.stagger_ms * rank(r);
}

/*
 * Its last words may arrive after the word that it has left: they come another way. They are taken, but are no sign
 * of life, or the survivors stay loyal to it for a whole election timeout (rule 29).
 */
bool raft_is_gone(const struct raft *r, const struct raft_id *id)
{
	return r->gone && id->node == r->gone && !raft_defect(r, 29);
}

/* ---- answering --------------------------------------------------------------------------- */

static bool log_up_to_date(const struct raft *r, const struct raft_message *m)
{
	uint64_t index, term;

	own_last(r, &index, &term);
	return m->last_term != term ? m->last_term > term : m->last_index >= index;
}

/* A leader that we heard within the shortest timeout, or are, is alive: whoever asks has lost it
 * alone. A leader may say so because it steps down without a majority (rule 17). */
static bool leader_alive(const struct raft *r, const struct raft_id *asking)
{
	if (r->role.state == RAFT_LEADER)
		return true;
	return r->leader.node && !raft_id_equal(&r->leader, asking) && !raft_is_gone(r, &r->leader) &&
	       r->now - r->heard_ms < r->p.election_ms;
}

/* A node that is no voter by its own log may be one by the candidate's: it answers, and the
 * candidate counts (rule 11). An empty database vouches for nothing: it was never caught up. */
static bool may_vote(const struct raft *r)
{
	if (raft_log_last(&r->log) == 0 || r->restore)
		return raft_defect(r, 22) || raft_defect(r, 25);
	return !raft_defect(r, 11) || raft_is_voter(r, &r->p.self);
}

void raft_on_prevote(struct raft *r, const struct raft_message *m)
{
	struct raft_message reply;

	if (raft_defect(r, 16)) { /* taken for a real request */
		if (m->term + 1 > r->term)
			raft_set_term(r, m->term + 1);
		if (!r->vote.node)
			r->vote = m->from;
	}
	/* Nothing of ours changes: no term, no vote, no timer (rule 16). The answer carries our
	 * term, so that one who lags behind learns of it (rule 17). */
	reply = raft_reply_to(r, RAFT_PREVOTE_REPLY, m);
	reply.ok = m->term >= r->term && may_vote(r) && !leader_alive(r, &m->from) &&
		   log_up_to_date(r, m);
	raft_send_after(r, &reply, RAFT_AFTER_TERM);
}

static void grant(struct raft *r, const struct raft_id *to)
{
	if (r->role.state == RAFT_PRECANDIDATE)
		raft_become_follower(r, NULL, "voted for another");
	if (!raft_id_equal(&r->vote, to)) {
		r->vote = *to;
		r->vote_dirty = true;
	}
	raft_timer_restart(r);
}

void raft_on_vote(struct raft *r, const struct raft_message *m)
{
	struct raft_message reply;
	bool free_vote;

	if (m->term > r->term)
		raft_set_term(r, m->term);
	/* One vote in a term, for whatever reason it is asked (rule 9). */
	free_vote = !r->vote.node || raft_id_equal(&r->vote, &m->from) ||
		    (m->transfer && raft_defect(r, 9));
	reply = raft_reply_to(r, RAFT_VOTE_REPLY, m);
	reply.ok = m->term == r->term && free_vote && may_vote(r) && log_up_to_date(r, m);
	if (reply.ok)
		grant(r, &m->from);
	raft_send_after(r, &reply, RAFT_AFTER_LOG);
}

/* An answer to a request of this campaign (rule 18), counted once. */
static bool count_grant(struct raft *r, const struct raft_message *m, int role)
{
	if (m->term > r->term) {
		raft_set_term(r, m->term);
		return false;
	}
	if (r->role.state != role || !m->ok || m->seq < r->campaign_seq || m->seq > r->seq)
		return false;
	if (role == RAFT_CANDIDATE && m->term != r->term)
		return false;
	if (has_granted(r, &m->from) || !raft_is_voter(r, &m->from))
		return false;
	cl_assert(r->n_granted < RAFT_MEMBERS_MAX); /* members, each once */
	r->granted[r->n_granted++] = m->from;
	return elected(r);
}

void raft_on_prevote_reply(struct raft *r, const struct raft_message *m)
{
	if (count_grant(r, m, RAFT_PRECANDIDATE))
		campaign(r, false);
}

void raft_on_vote_reply(struct raft *r, const struct raft_message *m)
{
	if (count_grant(r, m, RAFT_CANDIDATE))
		raft_become_leader(r);
}

void raft_on_timeout_now(struct raft *r, const struct raft_message *m)
{
	if (m->term != r->term || !raft_id_equal(&m->from, &r->leader) ||
	    r->role.state == RAFT_LEADER || !may_campaign(r))
		return;
	/* It replaces the pre-vote and the others' loyalty, nothing else (rule 9). */
	campaign(r, true);
}
