/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The follower's side of the log: log matching, what is cut and what is never cut, the answer. */
#include "config.h"

#include <string.h>

#include "quorum/raft_state.h"

bool raft_hear_leader(struct raft *r, const struct raft_message *m)
{
	struct raft_message reply;

	if (m->term < r->term) {
		reply = raft_reply_to(r, RAFT_APPEND_REPLY, m);
		raft_send_after(r, &reply, RAFT_AFTER_TERM);
		return false;
	}
	if (m->term > r->term)
		raft_set_term(r, m->term);
	/* Two leaders in a term do not exist: whoever says so is not one. */
	if (r->role.state == RAFT_LEADER ||
	    (r->leader.node && !raft_id_equal(&r->leader, &m->from)))
		return false;
	raft_become_follower(r, &m->from, "heard the leader");
	if (raft_is_gone(r, &m->from))
		return true;
	r->heard_ms = r->now;
	raft_timer_restart(r);
	return true;
}

void raft_ack(struct raft *r, const struct raft_message *m, uint64_t upto, bool fresh)
{
	struct raft_message reply = raft_reply_to(r, RAFT_APPEND_REPLY, m);

	/* Of THIS request and no further: what stands behind it in our log was not compared with
	 * the leader's, and may be another leader's (rule 1). */
	reply.ok = true;
	reply.received = reply.match = upto;
	reply.append_ms = r->append_ms;
	if (raft_defect(r, 1))
		reply.received = reply.match = raft_log_last(&r->log);
	if (!fresh && reply.match > r->log.durable)
		reply.match = r->log.durable;
	raft_send_after(r, &reply, fresh ? RAFT_AFTER_LOG : RAFT_AFTER_TERM);
}

static void reject(struct raft *r, const struct raft_message *m, uint64_t hint)
{
	struct raft_message reply = raft_reply_to(r, RAFT_APPEND_REPLY, m);

	reply.received = hint;
	reply.append_ms = r->append_ms;
	raft_send_after(r, &reply, RAFT_AFTER_TERM);
}

static void truncate_log(struct raft *r, uint64_t index)
{
	/* Committed means for ever. Whoever gets here would lose it: stop instead (rule 6). */
	cl_assert(index > r->commit || raft_defect(r, 6));
	if (index <= r->log.given && (!r->truncate_from || index < r->truncate_from))
		r->truncate_from = index;
	raft_log_truncate(&r->log, index);
	raft_hold_truncated(r, index);
	raft_member_truncated(r, index);
}

/* Whether our log holds (prev_index, prev_term). If not, ret_hint is where to try next: whole runs
 * of a wrong term are skipped at once. What is committed here is equal everywhere. */
static bool prev_matches(struct raft *r, const struct raft_message *m, uint64_t *ret_hint)
{
	uint64_t term = 0;

	if (m->prev_index <= r->commit)
		return true;
	if (!raft_log_term(&r->log, m->prev_index, &term)) {
		*ret_hint = raft_log_last(&r->log);
		return false;
	}
	if (term == m->prev_term)
		return true;
	*ret_hint = raft_log_run_start(&r->log, m->prev_index) - 1;
	if (*ret_hint < r->commit)
		*ret_hint = r->commit;
	return false;
}

/* An old message that reaches below our commit index is cut to what is new in it. False when it
 * contradicts what is committed here: then it is no leader's. */
static bool agrees_with_committed(const struct raft *r, const struct raft_message *m)
{
	uint64_t term;

	if (m->prev_index <= r->commit && raft_log_term(&r->log, m->prev_index, &term) &&
	    term != m->prev_term)
		return false;
	for (uint32_t i = 0; i < m->n_entries && m->entries[i].index <= r->commit; i++)
		if (raft_log_term(&r->log, m->entries[i].index, &term) &&
		    term != m->entries[i].term)
			return false;
	return true;
}

/* Returns whether anything was appended. */
static bool take_entries(struct raft *r, const struct raft_message *m)
{
	bool fresh = false;

	if (raft_defect(r, 6) && m->n_entries && m->prev_index < r->commit &&
	    m->prev_index >= r->log.base_index)
		truncate_log(r, m->prev_index + 1);
	for (uint32_t i = 0; i < m->n_entries; i++) {
		const struct raft_entry *e = &m->entries[i];
		uint64_t term = 0;

		if (e->index <= r->log.base_index)
			continue;
		if (raft_log_term(&r->log, e->index, &term)) {
			if (term == e->term)
				continue;
			truncate_log(r, e->index); /* a real conflict, nothing less (rule 5) */
		}
		raft_log_append(&r->log, e);
		raft_member_appended(r, e);
		fresh = true;
	}
	return fresh;
}

static void follow_commit(struct raft *r, const struct raft_message *m, uint64_t upto)
{
	/* Only what this request has compared (rule 4): beyond it may be another leader's tail. */
	uint64_t cap = raft_defect(r, 4) ? raft_log_last(&r->log) : upto;
	uint64_t commit = m->commit < cap ? m->commit : cap;

	if (commit > r->commit)
		r->commit = commit;
}

void raft_on_append(struct raft *r, const struct raft_message *m)
{
	uint64_t hint = 0, upto = m->prev_index + m->n_entries;
	bool fresh;

	if (!raft_hear_leader(r, m))
		return;
	if (!prev_matches(r, m, &hint)) {
		reject(r, m, hint);
		return;
	}
	if (!agrees_with_committed(r, m))
		return;
	fresh = take_entries(r, m);
	if (raft_defect(r, 5) && upto < raft_log_last(&r->log) && upto >= r->log.base_index)
		truncate_log(r, upto + 1);
	follow_commit(r, m, upto);
	raft_ack(r, m, upto, fresh);
}
