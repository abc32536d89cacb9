/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is a member. A configuration takes effect when it is appended and is rolled back when its
 * entry is cut (rule 12); all configurations behind the snapshot's are kept in memory, so rolling
 * back never looks for an entry that was compacted. One change at a time (rule 14).
 */
#include "config.h"

#include <string.h>

#include "quorum/raft_state.h"

const struct raft_config_at *raft_config_latest(const struct raft *r)
{
	return &r->configs.v[r->configs.n - 1];
}

const struct raft_config *raft_config_as_of(const struct raft *r, uint64_t index)
{
	size_t i = r->configs.n - 1;

	while (i > 0 && r->configs.v[i].index > index)
		i--;
	return &r->configs.v[i].config;
}

bool raft_is_voter(const struct raft *r, const struct raft_id *id)
{
	const struct raft_member *m = raft_config_find(&raft_config_latest(r)->config, id);

	return m && m->role == RAFT_VOTER;
}

bool raft_majority(const struct raft *r, uint32_t count)
{
	return count > raft_config_voters(&raft_config_latest(r)->config) / 2;
}

struct raft_peer *raft_peer_find(struct raft *r, const struct raft_id *id)
{
	for (uint32_t i = 0; i < r->n_peers; i++)
		if (raft_id_equal(&r->peers[i].id, id))
			return &r->peers[i];
	return NULL;
}

static struct raft_peer new_peer(const struct raft *r, const struct raft_id *id)
{
	return (struct raft_peer){
		.id = *id,
		/* The entry that brings it in is the first it is sent: it shows what it lacks. From
		 * behind the end only heartbeats would leave, until something else is proposed. */
		.next = raft_log_last(&r->log),
		.sent_ms = INT64_MIN / 2,
		.append_sent_ms = INT64_MIN / 2,
		.install_ms = INT64_MIN / 2,
		.acked_sent_ms = r->now,
		.sent_seq = r->seq,
		.acked_seq = r->seq,
	};
}

/* The peers follow the latest configuration; who stays keeps what is known of it. */
static void refresh_peers(struct raft *r)
{
	const struct raft_config *c = &raft_config_latest(r)->config;
	struct raft_peer fresh[RAFT_MEMBERS_MAX];

	for (uint32_t i = 0; i < c->n; i++) {
		const struct raft_peer *old = raft_peer_find(r, &c->member[i].id);

		fresh[i] = old ? *old : new_peer(r, &c->member[i].id);
	}
	memcpy(r->peers, fresh, c->n * sizeof(fresh[0]));
	r->n_peers = c->n;
}

void raft_member_appended(struct raft *r, const struct raft_entry *e)
{
	struct raft_config_at at = { .index = e->index };

	if (e->type != RAFT_ENTRY_CONFIG)
		return;
	/* Ours, or checked by the decoder or at start. */
	cl_assert(raft_config_decode(e->data, e->len, &at.config) == 0);
	cl_assert(e->index > raft_config_latest(r)->index || raft_defect(r, 12));
	cl_assert(raft_config_vec_push(&r->configs, at) == 0);
	refresh_peers(r);
}

void raft_member_truncated(struct raft *r, uint64_t index)
{
	size_t before = r->configs.n;

	if (raft_defect(r, 12))
		return;
	while (r->configs.n > 1 && raft_config_latest(r)->index >= index)
		r->configs.n--;
	/* The snapshot's own is committed: it can never be the one that is cut (rule 12). */
	cl_assert(raft_config_latest(r)->index < index);
	if (r->configs.n != before)
		refresh_peers(r);
}

void raft_member_reset(struct raft *r, uint64_t index, const struct raft_config *c, bool keep)
{
	struct raft_config_at base = { .index = index, .config = *c };
	size_t kept = 1;

	/* Whatever is at or below the snapshot's index is superseded by it (rule 13). */
	for (size_t i = 1; keep && i < r->configs.n; i++)
		if (r->configs.v[i].index > index)
			r->configs.v[kept++] = r->configs.v[i];
	if (r->configs.n == 0)
		cl_assert(raft_config_vec_push(&r->configs, base) == 0);
	r->configs.v[0] = base;
	r->configs.n = kept;
	refresh_peers(r);
}

/* ---- changes by the leader --------------------------------------------------------------- */

static bool caught_up(struct raft *r, const struct raft_id *id)
{
	const struct raft_peer *p = raft_peer_find(r, id);

	return p && p->answered && p->match >= r->commit &&
	       r->now - p->acked_sent_ms <= r->p.election_ms;
}

static enum raft_reason change_apply(struct raft *r, const struct raft_event *ev,
				     struct raft_config *c)
{
	const struct raft_member *m = &ev->change.member;
	const struct raft_member *old = raft_config_find(c, &m->id);

	if (ev->change.op == RAFT_CHANGE_REMOVE) {
		if (!old)
			return RAFT_NO_MEMBER;
		raft_config_remove(c, &m->id);
	} else {
		/* A silent voter that has nothing is a phantom: it only raises the majority. */
		if (m->role == RAFT_VOTER && (!old || old->role != RAFT_VOTER) &&
		    !caught_up(r, &m->id) && !raft_defect(r, 14))
			return RAFT_NOT_CAUGHT_UP;
		if (!raft_config_put(c, m))
			return RAFT_FULL;
	}
	return raft_config_voters(c) ? RAFT_REASON_NONE : RAFT_LAST_VOTER;
}

static enum raft_reason change_allowed(struct raft *r)
{
	if (r->role.state != RAFT_LEADER)
		return RAFT_NOT_LEADER;
	if (r->transfer_to.node)
		return RAFT_TRANSFERRING;
	/* Two leaders, each with an uncommitted change of its own, may have majorities that do not
	 * meet; the committed no-op proves that the other's change is gone or in our log (rule 3).
	 */
	if (!raft_leader_ready(r) && !raft_defect(r, 3))
		return RAFT_NOT_READY;
	if (raft_config_latest(r)->index > r->commit && !raft_defect(r, 14))
		return RAFT_CHANGE_PENDING;
	return RAFT_REASON_NONE;
}

static uint64_t append_config(struct raft *r, struct raft_config *c)
{
	uint8_t buf[RAFT_CONFIG_BYTES_MAX];
	size_t len;

	c->version = raft_config_latest(r)->config.version + 1;
	len = raft_config_encode(c, buf);
	return raft_leader_append(r, RAFT_ENTRY_CONFIG, buf, (uint32_t)len);
}

void raft_on_change(struct raft *r, const struct raft_event *ev)
{
	struct raft_config c = raft_config_latest(r)->config;
	enum raft_reason why = change_allowed(r);
	struct raft_pending pend = { .id = ev->change.id, .term = r->term, .what = RAFT_CHANGE };

	if (why == RAFT_REASON_NONE)
		why = change_apply(r, ev, &c);
	if (why != RAFT_REASON_NONE) {
		raft_result(r, RAFT_CHANGE, ev->change.id, RAFT_REFUSED, why, 0, 0);
		return;
	}
	pend.index = append_config(r, &c);
	cl_assert(raft_pending_vec_push(&r->pending, pend) == 0);
}

void raft_member_promote(struct raft *r)
{
	struct raft_config c;

	if (change_allowed(r) != RAFT_REASON_NONE || raft_config_latest(r)->index > r->commit)
		return;
	c = raft_config_latest(r)->config;
	for (uint32_t i = 0; i < c.n; i++)
		if (c.member[i].role == RAFT_JOINING && caught_up(r, &c.member[i].id)) {
			c.member[i].role = RAFT_VOTER;
			append_config(r, &c);
			return;
		}
}

void raft_member_leave(struct raft *r)
{
	if (raft_is_voter(r, &r->p.self) || raft_config_latest(r)->index > r->commit ||
	    raft_defect(r, 15))
		return;
	raft_offer(r);
	raft_become_follower(r, NULL, "not a voter any more");
}
