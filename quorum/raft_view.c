/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking into a raft object, and the names of things. */
#include "config.h"

#include <string.h>

#include "quorum/raft_state.h"

enum raft_role raft_role(const struct raft *r)
{
	return (enum raft_role)r->role.state;
}

const char *raft_role_name(enum raft_role role)
{
	static const char *const name[] = { "follower", "pre-candidate", "candidate", "leader" };

	return name[role];
}

bool raft_leader_ready(const struct raft *r)
{
	return r->role.state == RAFT_LEADER && r->commit >= r->noop && r->applied >= r->noop;
}

uint64_t raft_term(const struct raft *r)
{
	return r->term;
}

struct raft_line raft_line(const struct raft *r)
{
	return r->line;
}

struct raft_id raft_leader(const struct raft *r)
{
	return r->leader;
}

struct raft_id raft_self(const struct raft *r)
{
	return r->p.self;
}

uint64_t raft_commit_index(const struct raft *r)
{
	return r->commit;
}

uint64_t raft_applied_index(const struct raft *r)
{
	return r->applied;
}

uint64_t raft_last_index(const struct raft *r)
{
	return raft_log_last(&r->log);
}

const struct raft_entry *raft_entry(const struct raft *r, uint64_t index)
{
	return raft_log_at(&r->log, index);
}

const struct raft_config *raft_config(const struct raft *r)
{
	return &raft_config_latest(r)->config;
}

uint64_t raft_config_index(const struct raft *r)
{
	return raft_config_latest(r)->index;
}

const struct raft_config *raft_config_committed(const struct raft *r)
{
	return raft_config_as_of(r, r->commit);
}

bool raft_peer(const struct raft *r, const struct raft_id *id, struct raft_peer_view *ret)
{
	for (uint32_t i = 0; r->role.state == RAFT_LEADER && i < r->n_peers; i++) {
		const struct raft_peer *p = &r->peers[i];

		if (!raft_id_equal(&p->id, id))
			continue;
		*ret = (struct raft_peer_view){
			.match = p->match,
			.answered_ms = p->answered ? p->acked_sent_ms : INT64_MIN,
			.append_ms = p->append_ms,
			.installing = p->installing,
		};
		return true;
	}
	return false;
}

const char *raft_reason_text(enum raft_reason reason)
{
	static const char *const text[] = {
		[RAFT_REASON_NONE] = "",
		[RAFT_NOT_LEADER] = "this node is not the manager",
		[RAFT_NOT_READY] = "the new manager has not committed anything yet",
		[RAFT_TRANSFERRING] = "the manager's role is being handed over",
		[RAFT_CHANGE_PENDING] = "the previous change of voters is not committed yet",
		[RAFT_NOT_CAUGHT_UP] = "the node has not caught up with the database yet",
		[RAFT_NO_MEMBER] = "no such member of the database",
		[RAFT_LAST_VOTER] = "it is the last voter",
		[RAFT_FULL] = "no room for another member",
	};

	return text[reason];
}

static const char *const defect_name[RAFT_RULES + 1] = {
	[1] = "raft-ack-own-last",
	[2] = "raft-commit-old-term",
	[3] = "raft-no-noop",
	[4] = "raft-commit-past-request",
	[5] = "raft-truncate-on-short",
	[6] = "raft-rewrite-committed",
	[7] = "raft-send-before-durable",
	[8] = "raft-forget-vote",
	[9] = "raft-transfer-second-vote",
	[10] = "raft-empty-log-term-0",
	[11] = "raft-vote-only-if-voter",
	[12] = "raft-config-no-rollback",
	[13] = "raft-snapshot-late-config",
	[14] = "raft-two-changes",
	[15] = "raft-removed-counts-itself",
	[16] = "raft-prevote-binds",
	[17] = "raft-no-check-quorum",
	[18] = "raft-stale-replies",
	[19] = "raft-read-by-lease",
	[20] = "raft-unknown-is-lost",
	[21] = "raft-apply-ahead",
	[22] = "raft-lost-memory-votes",
	[23] = "raft-install-old-snapshot",
	[24] = "raft-witness-leads",
	[25] = "raft-admit-strangers",
	[26] = "raft-hidden-state",
	[27] = "raft-commit-before-majority",
	[28] = "raft-reads-starve",
	[29] = "raft-late-word",
	[30] = "raft-demoted-first",
};

const char *raft_defect_name(int rule)
{
	return rule >= 1 && rule <= RAFT_RULES ? defect_name[rule] : NULL;
}

int raft_defect_find(const char *name)
{
	for (int i = 1; i <= RAFT_RULES; i++)
		if (strcmp(defect_name[i], name) == 0)
			return i;
	return 0;
}
