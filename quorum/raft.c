/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Start, step, and what every step does at its end. See raft_state.h for which file decides what.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "quorum/raft_state.h"

/* ---- start ------------------------------------------------------------------------------- */

static const struct sm_state role_states[] = {
	[RAFT_FOLLOWER] = { "follower",
			    SM_TO(RAFT_FOLLOWER) | SM_TO(RAFT_PRECANDIDATE) | SM_TO(RAFT_CANDIDATE),
			    SM_INITIAL },
	[RAFT_PRECANDIDATE] = { "pre-candidate", SM_TO(RAFT_FOLLOWER) | SM_TO(RAFT_PRECANDIDATE) |
							 SM_TO(RAFT_CANDIDATE) },
	[RAFT_CANDIDATE] = { "candidate", SM_TO(RAFT_FOLLOWER) | SM_TO(RAFT_PRECANDIDATE) |
						  SM_TO(RAFT_CANDIDATE) | SM_TO(RAFT_LEADER) },
	[RAFT_LEADER] = { "leader", SM_TO(RAFT_FOLLOWER) },
};

static void set_defaults(struct raft_params *p)
{
	uint32_t *field[] = { &p->election_ms, &p->heartbeat_ms,   &p->stagger_ms,
			      &p->install_ms,  &p->slow_own_ms,	   &p->fast_other_ms,
			      &p->batch_bytes, &p->snapshot_every, &p->snapshot_trailing };
	static const uint32_t value[] = { 2000, 100, 50, 1000, 2000, 200, 262144, 1024, 128 };

	for (size_t i = 0; i < sizeof(value) / sizeof(value[0]); i++)
		if (*field[i] == 0)
			*field[i] = value[i];
}

static int check_stored(const struct raft_stored *s, bool ignore_loss, struct cl_error *err)
{
	uint64_t index = s->n_entries ? s->entries[0].index : 0, term = 0;
	struct raft_config c;

	/* A voter that forgot what it voted or acknowledged is somebody else (rule 22). */
	if (s->memory_lost && !ignore_loss)
		return cl_error_set(err, -CL_ECORRUPT,
				    "term, vote or log of this voter were lost: it must come back "
				    "under a new uuid");
	if (s->n_entries && (index == 0 || index > s->snapshot.index + 1))
		return cl_error_set(err, -CL_ECORRUPT, "log has a hole behind its snapshot");
	for (size_t i = 0; i < s->n_entries; i++) {
		const struct raft_entry *e = &s->entries[i];

		if (e->index != index + i || e->term < term || e->term > s->term)
			return cl_error_set(err, -CL_ECORRUPT, "log entry %zu does not follow", i);
		if (e->type == RAFT_ENTRY_CONFIG && raft_config_decode(e->data, e->len, &c) < 0)
			return cl_error_set(err, -CL_ECORRUPT, "log entry %zu: bad configuration",
					    i);
		term = e->term;
	}
	if (s->snapshot.term > s->term)
		return cl_error_set(err, -CL_ECORRUPT, "snapshot of a later term than the stored");
	return 0;
}

static int check_params(const struct raft_params *p, struct cl_error *err)
{
	if (p->self.node == 0)
		return cl_error_set(err, -EINVAL, "raft: own node id is 0");
	if (p->defects && !RAFT_HAVE_DEFECTS)
		return cl_error_set(err, -EINVAL, "raft: not built with --enable-defects");
	return 0;
}

static void load_log(struct raft *r, const struct raft_stored *s)
{
	size_t from = 0;

	/* Entries at or below the snapshot are kept for slow followers, from the second on: the
	 * first one only tells the term before them. */
	raft_log_reset(&r->log, s->snapshot.index, s->snapshot.term);
	if (s->n_entries && s->entries[s->n_entries - 1].index < s->snapshot.index)
		from = s->n_entries;
	else if (s->n_entries && s->entries[0].index <= s->snapshot.index) {
		raft_log_reset(&r->log, s->entries[0].index, s->entries[0].term);
		from = 1;
	}
	for (size_t i = from; i < s->n_entries; i++) {
		raft_log_append(&r->log, &s->entries[i]);
		/* The last configuration in the log is in effect, committed or not (rule 12). */
		if (s->entries[i].index > s->snapshot.index)
			raft_member_appended(r, &s->entries[i]);
	}
	r->log.durable = r->log.given = raft_log_last(&r->log);
}

static void load(struct raft *r, const struct raft_stored *s)
{
	r->line = s->line;
	r->term = s->term;
	r->vote = s->vote;
	raft_snapshot_set(r, &s->snapshot);
	raft_member_reset(r, s->snapshot.index, &s->snapshot.config, false);
	load_log(r, s);
	r->commit = r->applied = s->snapshot.index;
	r->restore = s->snapshot.index > 0;
}

int raft_new(const struct raft_params *params, const struct raft_stored *stored, int64_t now_ms,
	     struct raft **ret, struct cl_error *err)
{
	struct raft *r;
	int rc = check_params(params, err);

	if (rc < 0)
		return rc;
	rc = check_stored(stored, RAFT_HAVE_DEFECTS && (params->defects & RAFT_DEFECT(22)), err);
	if (rc < 0)
		return rc;
	r = calloc(1, sizeof(*r));
	if (!r)
		return cl_error_errno(err, -ENOMEM, "raft");
	r->p = *params;
	set_defaults(&r->p);
	r->now = now_ms;
	r->rng = params->seed * UINT64_C(0x9e3779b97f4a7c15) + params->self.node + 1;
	sm_init(&r->role, "raft", "", role_states, 4, RAFT_FOLLOWER, NULL);
	load(r, stored);
	raft_election_init(r);
	*ret = r;
	return 0;
}

void raft_free(struct raft *r)
{
	if (!r)
		return;
	raft_log_fini(&r->log);
	raft_config_vec_fini(&r->configs);
	raft_op_vec_fini(&r->ops);
	raft_held_vec_fini(&r->held);
	raft_pending_vec_fini(&r->pending);
	raft_read_vec_fini(&r->reads);
	free(r->snap_blob);
	free(r->present);
	free(r);
}

/* ---- helpers for all files --------------------------------------------------------------- */

bool raft_is_self(const struct raft *r, const struct raft_id *id)
{
	return raft_id_equal(id, &r->p.self);
}

/* xorshift64*: seeded by the caller, part of the state (rule 26). */
uint64_t raft_random(struct raft *r)
{
	r->rng ^= r->rng >> 12;
	r->rng ^= r->rng << 25;
	r->rng ^= r->rng >> 27;
	return r->rng * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

void raft_result(struct raft *r, enum raft_event_type what, uint64_t id,
		 enum raft_result_status status, enum raft_reason reason, uint64_t index,
		 uint64_t term)
{
	struct raft_result res = { .id = id,
				   .what = what,
				   .status = status,
				   .reason = reason,
				   .index = index,
				   .term = term };

	cl_assert(raft_result_vec_push(&r->a->results, res) == 0);
}

struct raft_message raft_message_to(const struct raft *r, enum raft_message_type type,
				    const struct raft_id *to)
{
	struct raft_message m = {
		.type = type,
		.line = r->line,
		.from = r->p.self,
		.to = *to,
		.from_incarnation = r->p.incarnation,
		.term = r->term,
	};

	memcpy(m.database, r->p.database, RAFT_UUID_LEN);
	return m;
}

struct raft_message raft_reply_to(const struct raft *r, enum raft_message_type type,
				  const struct raft_message *req)
{
	struct raft_message m = raft_message_to(r, type, &req->from);

	if (raft_defect(r, 25))
		m.from = req->to; /* whoever has the node id is taken for who was asked */
	m.to_incarnation = req->from_incarnation;
	m.seq = req->seq;
	m.sent_ms = req->sent_ms;
	return m;
}

/* ---- messages ---------------------------------------------------------------------------- */

/*
 * Strangers (rule 25): another database, a voter that has our node id no more or not yet, an answer
 * to an earlier life of ours, a message of an earlier life of theirs that was still under way.
 */
static bool is_stranger(struct raft *r, const struct raft_message *m)
{
	struct raft_peer *peer = raft_peer_find(r, &m->from);

	if (raft_defect(r, 25))
		return m->to.node != r->p.self.node;
	if (memcmp(m->database, r->p.database, RAFT_UUID_LEN) != 0 || !raft_is_self(r, &m->to) ||
	    raft_is_self(r, &m->from))
		return true;
	if (m->to_incarnation && m->to_incarnation != r->p.incarnation)
		return true;
	if (!peer)
		return false;
	if (m->from_incarnation < peer->incarnation)
		return true;
	peer->incarnation = m->from_incarnation;
	return false;
}

static bool other_line(struct raft *r, const struct raft_message *m)
{
	int order = raft_line_compare(&m->line, &r->line);

	if (order > 0) {
		r->a->newer_line = true;
		r->a->line = m->line;
	}
	return order != 0;
}

static void on_message(struct raft *r, const struct raft_message *m)
{
	static void (*const handler[])(struct raft *, const struct raft_message *) = {
		[RAFT_PREVOTE] = raft_on_prevote, [RAFT_PREVOTE_REPLY] = raft_on_prevote_reply,
		[RAFT_VOTE] = raft_on_vote,	  [RAFT_VOTE_REPLY] = raft_on_vote_reply,
		[RAFT_APPEND] = raft_on_append,	  [RAFT_APPEND_REPLY] = raft_on_append_reply,
		[RAFT_INSTALL] = raft_on_install, [RAFT_TIMEOUT_NOW] = raft_on_timeout_now,
	};

	if (memcmp(m->database, r->p.database, RAFT_UUID_LEN) != 0 || other_line(r, m) ||
	    is_stranger(r, m))
		return;
	if (m->type >= RAFT_PREVOTE && m->type <= RAFT_TIMEOUT_NOW)
		handler[m->type](r, m);
}

/* ---- end of a step ----------------------------------------------------------------------- */

/* Entry pointers are filled in when nothing is appended any more. */
static void resolve_entries(struct raft *r)
{
	for (size_t i = 0; i < r->a->send.n; i++) {
		struct raft_message *m = &r->a->send.v[i];

		if (m->type == RAFT_APPEND && m->n_entries) {
			m->entries = raft_log_at(&r->log, m->prev_index + 1);
			cl_assert(m->entries &&
				  m->prev_index + m->n_entries <= raft_log_last(&r->log));
		}
	}
}

static void finish_pending(struct raft *r, const struct raft_entry *e)
{
	size_t done = 0;

	while (done < r->pending.n && r->pending.v[done].index <= e->index) {
		const struct raft_pending *p = &r->pending.v[done++];

		/* Reported for the same (index, term) only (rule 20). */
		cl_assert(p->index == e->index && p->term == e->term);
		raft_result(r, p->what, p->id, RAFT_DONE, RAFT_REASON_NONE, e->index, e->term);
	}
	if (!done)
		return;
	memmove(r->pending.v, r->pending.v + done, (r->pending.n - done) * sizeof(*r->pending.v));
	r->pending.n -= done;
}

static void apply_restore(struct raft *r)
{
	struct raft_apply ap = { .type = RAFT_APPLY_RESTORE, .snapshot = &r->snap };

	if (!r->restore || r->restore_seq > r->seq_durable)
		return;
	r->restore = false;
	r->applied = r->snap.index;
	cl_assert(raft_apply_vec_push(&r->a->apply, ap) == 0);
}

/* Committed AND durable here (rule 21): a state ahead of its own log would, after a crash, have
 * applied what this voter does not remember to have acknowledged. */
static void apply(struct raft *r)
{
	uint64_t to = r->commit;

	apply_restore(r);
	if (to > r->log.durable && !raft_defect(r, 21))
		to = r->log.durable;
	while (!r->restore && r->applied < to) {
		const struct raft_entry *e = raft_log_at(&r->log, r->applied + 1);
		struct raft_apply ap = { .type = RAFT_APPLY_ENTRY, .entry = e };

		cl_assert(e);
		r->applied++;
		cl_assert(raft_apply_vec_push(&r->a->apply, ap) == 0);
		if (r->role.state == RAFT_LEADER)
			finish_pending(r, e);
	}
	if (r->applied >= r->snap.index + r->p.snapshot_every)
		r->a->want_snapshot = true;
}

/* What must hold after every step, in every build. */
static void check(const struct raft *r, uint64_t commit_before)
{
	uint64_t last = raft_log_last(&r->log);

	cl_assert(r->commit >= commit_before); /* rule 4 */
	cl_assert(r->commit <= last);
	cl_assert(r->applied <= r->commit);
	cl_assert(r->restore || r->applied <= r->log.durable || raft_defect(r, 21)); /* rule 21 */
	cl_assert(r->log.base_index <= r->snap.index || r->snap.index == 0);
	cl_assert(raft_log_last_term(&r->log) <= r->term);
	cl_assert(r->configs.v[0].index == r->snap.index); /* rule 13 */
	if (r->role.state == RAFT_LEADER) {
		cl_assert(raft_is_self(r, &r->leader));
		cl_assert(raft_id_equal(&r->vote, &r->p.self) || raft_defect(r, 8) ||
			  raft_defect(r, 16));
	} else {
		cl_assert(r->pending.n == 0 && r->reads.n == 0); /* rule 20 */
	}
}

static void finish(struct raft *r)
{
	if (r->role.state == RAFT_LEADER)
		raft_leader_work(r);
	raft_hold_flush(r);
	resolve_entries(r);
	apply(r);
	if (r->role.state == RAFT_LEADER) {
		raft_reads_finish(r);
		raft_member_leave(r);
	}
}

static void actions_clear(struct raft_actions *a)
{
	a->has_persist = a->want_snapshot = a->role_changed = a->newer_line = false;
	raft_apply_vec_clear(&a->apply);
	raft_result_vec_clear(&a->results);
	raft_message_vec_clear(&a->send);
}

void raft_actions_fini(struct raft_actions *a)
{
	raft_apply_vec_fini(&a->apply);
	raft_result_vec_fini(&a->results);
	raft_message_vec_fini(&a->send);
}

static void tick(struct raft *r)
{
	if (r->role.state == RAFT_LEADER)
		raft_leader_tick(r);
	else
		raft_election_tick(r);
}

static void dispatch(struct raft *r, const struct raft_event *ev)
{
	switch (ev->type) {
	case RAFT_TICK:
		tick(r);
		break;
	case RAFT_MESSAGE:
		on_message(r, ev->message);
		break;
	case RAFT_PERSISTED:
		raft_on_persisted(r, ev->persisted_seq);
		raft_election_durable(r);
		break;
	case RAFT_RING:
		raft_on_ring(r, ev);
		break;
	case RAFT_PROPOSE:
		raft_on_propose(r, ev);
		break;
	case RAFT_CHANGE:
		raft_on_change(r, ev);
		break;
	case RAFT_TRANSFER:
		raft_on_transfer(r, ev);
		break;
	case RAFT_READ:
		raft_on_read(r, ev);
		break;
	case RAFT_SNAPSHOT_TAKEN:
		raft_on_snapshot_taken(r, ev);
		break;
	}
}

void raft_step(struct raft *r, const struct raft_event *ev, struct raft_actions *a)
{
	uint64_t commit_before = r->commit, term_before = r->term;
	struct raft_id leader_before = r->leader;
	int role_before = r->role.state;

	actions_clear(a);
	r->a = a;
	if (ev->now_ms > r->now)
		r->now = ev->now_ms;
	dispatch(r, ev);
	finish(r);
	check(r, commit_before);
	a->role_changed = r->role.state != role_before || r->term != term_before ||
			  !raft_id_equal(&r->leader, &leader_before);
	r->a = NULL;
}
