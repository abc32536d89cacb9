/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The run lease and its bound. Nothing here sends: the node does. */
#include "config.h"

#include "quorum/lease.h"

#include <string.h>

#include "lib/assert.h"

#define ANY (SM_TO(LEASE_NONE) | SM_TO(LEASE_VALID))

static const struct sm_state lease_states[] = {
	[LEASE_NONE] = { "none", ANY, SM_INITIAL },
	[LEASE_VALID] = { "valid", SM_TO(LEASE_NONE) | SM_TO(LEASE_PAUSED), 0 },
	[LEASE_PAUSED] = { "paused", ANY | SM_TO(LEASE_LOST), 0 },
	[LEASE_LOST] = { "lost", ANY, 0 },
};

void lease_init(struct lease *lease, int64_t length_ms)
{
	*lease = (struct lease){ .length_ms = length_ms };
	sm_init(&lease->sm, "lease", "own", lease_states,
		sizeof(lease_states) / sizeof(*lease_states), LEASE_NONE, NULL);
}

void lease_reset(struct lease *lease)
{
	lease->n_acks = 0;
	lease->until_ms = 0;
	lease->inherited = lease->watched = false;
	lease->beat_ms = lease->heartbeat_until_ms = lease->conflict_ms = 0;
	if (lease_state(lease) != LEASE_NONE)
		sm_move(&lease->sm, LEASE_NONE, "not admitted");
}

void lease_inherit(struct lease *lease, int64_t now_ms, const struct lease_kept *kept)
{
	cl_assert(lease_state(lease) == LEASE_NONE);
	lease->until_ms =
		kept->until_ms > 0 ? kept->until_ms : now_ms + LEASE_INHERIT_MS + LEASE_PAUSE_MS;
	lease->inherited = true;
	/* Others count from when the earlier process was last heard, not from our beginning. */
	if (kept->beat_ms > 0) {
		lease->watched = true;
		lease->beat_ms = kept->beat_ms;
		lease_heartbeat(lease, kept->heartbeat_until_ms);
	}
	/* It may have ended while nobody looked. */
	sm_move(&lease->sm, LEASE_VALID, "inherited");
	(void)lease_tick(lease, now_ms);
}

void lease_watch(struct lease *lease)
{
	lease->watched = true;
}

void lease_unwatch(struct lease *lease)
{
	lease->watched = false;
}

void lease_heartbeat(struct lease *lease, int64_t until_ms)
{
	if (until_ms > lease->heartbeat_until_ms)
		lease->heartbeat_until_ms = until_ms;
}

void lease_detach(struct lease *lease, int64_t until_ms)
{
	if (lease->until_ms && until_ms > lease->until_ms)
		lease->until_ms = until_ms;
}

void lease_conflict(struct lease *lease, int64_t now_ms)
{
	if (lease->beat_ms && now_ms - lease->beat_ms < HEARTBEAT_FRESH_MS)
		return;
	lease->conflict_ms = now_ms;
}

void lease_acked(struct lease *lease, const struct raft_id *voter, int64_t sent_ms)
{
	struct lease_ack *a = NULL;

	for (uint32_t i = 0; i < lease->n_acks && !a; i++)
		if (raft_id_equal(&lease->acks[i].voter, voter))
			a = &lease->acks[i];
	if (!a) {
		if (lease->n_acks == RAFT_MEMBERS_MAX)
			return;
		a = &lease->acks[lease->n_acks++];
		*a = (struct lease_ack){ .voter = *voter, .sent_ms = sent_ms };
	}
	if (sent_ms > a->sent_ms)
		a->sent_ms = sent_ms;
}

static int64_t acked_by(const struct lease *lease, const struct raft_id *voter)
{
	for (uint32_t i = 0; i < lease->n_acks; i++)
		if (raft_id_equal(&lease->acks[i].voter, voter))
			return lease->acks[i].sent_ms;
	return 0;
}

/*
 * The time that a majority has acked: the highest t such that more than half of the voters acked a
 * beat sent at t or later. From the SEND time, not from the ack's arrival: a voter that acked and
 * then learned of our failure counts L from its ack, which is not before our sending.
 */
bool lease_renew(struct lease *lease, const struct raft_config *config)
{
	uint32_t voters = raft_config_voters(config);
	int64_t best = 0;

	for (uint32_t i = 0; i < config->n; i++) {
		int64_t t = config->member[i].role == RAFT_VOTER
				    ? acked_by(lease, &config->member[i].id)
				    : 0;
		uint32_t n = 0;

		for (uint32_t k = 0; k < config->n && t > best; k++)
			if (config->member[k].role == RAFT_VOTER &&
			    acked_by(lease, &config->member[k].id) >= t)
				n++;
		if (n > voters / 2)
			best = t;
	}
	if (best > lease->beat_ms)
		lease->beat_ms = best;
	if (lease->beat_ms >= lease->conflict_ms)
		lease->conflict_ms = 0;
	/* What was inherited may be the longer lease of a planned stop. From the first ack on this life lives by
	 * its beats; before it says that it is back, or the others would count on that too early. */
	if (best == 0 || (best + lease->length_ms <= lease->until_ms && !lease->inherited))
		return false;
	lease->until_ms = best + lease->length_ms;
	lease->inherited = false;
	return true;
}

/* Until when somebody who could speak for us has heard of us; INT64_MAX = it is not asked for. */
static int64_t fresh_until(const struct lease *lease)
{
	int64_t beat_ms = lease->beat_ms ? lease->beat_ms + HEARTBEAT_FRESH_MS : 0;

	if (!lease->watched)
		return INT64_MAX;
	if (lease->conflict_ms)
		return 0;
	return beat_ms > lease->heartbeat_until_ms ? beat_ms : lease->heartbeat_until_ms;
}

static enum lease_state lease_due(const struct lease *lease, int64_t now_ms)
{
	if (lease->until_ms == 0)
		return LEASE_NONE;
	if (now_ms >= lease->until_ms)
		return LEASE_LOST;
	return now_ms >= lease->until_ms - LEASE_PAUSE_MS || now_ms >= fresh_until(lease)
		       ? LEASE_PAUSED
		       : LEASE_VALID;
}

bool lease_tick(struct lease *lease, int64_t now_ms)
{
	enum lease_state is = lease_state(lease), due = lease_due(lease, now_ms);

	if (due == is || (is == LEASE_NONE && due != LEASE_VALID))
		return false;
	/* After a freeze both steps are due at once. */
	if (is == LEASE_VALID && due == LEASE_LOST)
		sm_move(&lease->sm, LEASE_PAUSED, "no majority answers");
	if (is == LEASE_LOST && due == LEASE_PAUSED)
		return false;
	sm_move(&lease->sm, (int)due, due == LEASE_VALID ? "renewed" : "no majority answers");
	return true;
}

int64_t lease_deadline(const struct lease *lease)
{
	int64_t pause_ms = lease->until_ms - LEASE_PAUSE_MS, fresh_ms = fresh_until(lease);

	switch (lease_state(lease)) {
	case LEASE_VALID:
		return fresh_ms < pause_ms ? fresh_ms : pause_ms;
	case LEASE_PAUSED:
		return lease->until_ms;
	default:
		return INT64_MAX;
	}
}

/* ---- a voter's side --------------------------------------------------------------------------- */

void lease_voter_init(struct lease_voter *voter, int64_t now_ms)
{
	*voter = (struct lease_voter){ .began_ms = now_ms };
}

bool lease_voter_ack(struct lease_voter *voter, uint32_t node, uint64_t incarnation, int64_t now_ms)
{
	uint32_t i;

	for (i = 0; i < voter->n; i++)
		if (voter->last[i].node == node)
			break;
	if (i == RAFT_MEMBERS_MAX)
		return false;
	if (i == voter->n)
		voter->n++;
	else if (voter->last[i].incarnation > incarnation)
		return false; /* a message of an earlier life */
	voter->last[i].node = node;
	voter->last[i].incarnation = incarnation;
	voter->last[i].acked_ms = now_ms;
	return true;
}

/*
 * Without the process's age a restarted voter would say "never", while its earlier life acked a moment ago.
 */
int64_t lease_voter_age(const struct lease_voter *voter, uint32_t node, int64_t now_ms)
{
	int64_t latest = voter->began_ms;

	for (uint32_t i = 0; i < voter->n; i++)
		if (voter->last[i].node == node && voter->last[i].acked_ms > latest)
			latest = voter->last[i].acked_ms;
	return now_ms - latest;
}

/* ---- the manager's side ------------------------------------------------------------------------ */

void lease_bound_init(struct lease_bound *bound, uint32_t node, uint64_t incarnation, uint64_t id)
{
	*bound = (struct lease_bound){ .node = node, .incarnation = incarnation, .id = id };
}

/*
 * The ack left `age` before the answer left, and the answer left before it arrived: so the ack was
 * given at now - age at the latest, whatever the voter's clock shows.
 */
void lease_bound_answer(struct lease_bound *bound, const struct raft_id *voter, uint64_t age_ms,
			int64_t now_ms)
{
	int64_t acked_ms = age_ms > (uint64_t)now_ms ? 0 : now_ms - (int64_t)age_ms;

	for (uint32_t i = 0; i < bound->n; i++)
		if (raft_id_equal(&bound->answers[i].voter, voter)) {
			/* A repeated answer: the entry was in its log at the first, the earlier
			 * arrival is the sharper one. */
			if (acked_ms < bound->answers[i].acked_ms)
				bound->answers[i].acked_ms = acked_ms;
			return;
		}
	if (bound->n == RAFT_MEMBERS_MAX)
		return;
	bound->answers[bound->n].voter = *voter;
	bound->answers[bound->n].acked_ms = acked_ms;
	bound->n++;
}

bool lease_bound_until(const struct lease_bound *bound, const struct raft_config *config,
		       int64_t config_seen_ms, int64_t length_ms, int64_t *ret_until_ms)
{
	int64_t latest = config_seen_ms;
	uint32_t n = 0;

	for (uint32_t i = 0; i < bound->n; i++) {
		const struct raft_member *m = raft_config_find(config, &bound->answers[i].voter);

		if (!m || m->role != RAFT_VOTER || m->id.node == bound->node)
			continue;
		n++;
		if (bound->answers[i].acked_ms > latest)
			latest = bound->answers[i].acked_ms;
	}
	if (n <= raft_config_voters(config) / 2)
		return false;
	*ret_until_ms = latest + length_ms;
	return true;
}
