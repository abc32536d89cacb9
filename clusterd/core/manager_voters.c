/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manager's hand on the voter set (the policy is quorum/voters.h), and what is said of it. */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>
#include <string.h>

#include "quorum/voters.h"

static struct raft_id raft_id_of(const struct state_node *s)
{
	struct raft_id id = { .node = s->id };

	memcpy(id.uuid, s->uuid, sizeof(id.uuid));
	return id;
}

/* ---- the leader's memory ------------------------------------------------------------------------------ */

static struct away *away_get(struct node *n, uint32_t id)
{
	struct away a = { .node = id, .since_ms = INT64_MAX };

	for (size_t i = 0; i < n->mgr.away.n; i++)
		if (n->mgr.away.v[i].node == id)
			return &n->mgr.away.v[i];
	if (away_vec_push(&n->mgr.away, a) < 0) {
		n->out->no_memory = true;
		return NULL;
	}
	return &n->mgr.away.v[n->mgr.away.n - 1];
}

/* Coming and going is noted here, and stirs. A clock of the leader's own: a new one counts anew. */
static int64_t away_ms(struct node *n, const struct state_node *s)
{
	bool here = s->id == n->cfg.id || beats_heard(n, s->id) || s->phase != STATE_NODE_FAILED;
	struct away *a = away_get(n, s->id);

	if (!a)
		return 0;
	if (here != (a->since_ms == INT64_MAX)) {
		a->since_ms = here ? INT64_MAX : n->now_ms;
		n->mgr.stirred_ms = n->now_ms;
	}
	return here ? 0 : n->now_ms - a->since_ms + 1;
}

static bool caught_up(const struct node *n, const struct raft_id *id)
{
	struct raft_id self = raft_self(n->raft);
	struct raft_peer_view p;

	if (raft_id_equal(id, &self))
		return true;
	return raft_peer(n->raft, id, &p) && !p.installing && p.match > 0 &&
	       p.match >= raft_commit_index(n->raft) &&
	       raft_peer_answers(&p, n->now_ms, CORE_HEARD_MS);
}

/* Nothing moved of late, and whoever is not long away answers. */
static bool quiet(struct node *n, const struct voters_one *one, size_t count)
{
	if (raft_config(n->raft)->version != n->mgr.voters_version) {
		n->mgr.voters_version = raft_config(n->raft)->version;
		n->mgr.stirred_ms = n->now_ms;
	}
	for (size_t i = 0; i < count; i++)
		if (one[i].away_ms == 0 && !one[i].caught_up)
			n->mgr.stirred_ms = n->now_ms;
	if (slow_ms(n) > 0 || !n->view.quorate)
		n->mgr.stirred_ms = n->now_ms;
	return n->now_ms - n->mgr.stirred_ms >= VOTERS_QUIET_MS;
}

/* ---- removed nodes ------------------------------------------------------------------------------------ */

bool manager_knows_voter(const struct node *n, uint32_t id)
{
	const struct raft_config *config = raft_config(n->raft);

	for (uint32_t i = 0; i < config->n; i++)
		if (config->member[i].id.node == id)
			return true;
	return false;
}

/* By what is committed. */
bool manager_is_voter(const struct node *n, uint32_t id)
{
	const struct raft_config *config = raft_config(n->raft);

	if (raft_config_index(n->raft) > raft_commit_index(n->raft))
		return true;
	for (uint32_t i = 0; i < config->n; i++)
		if (config->member[i].id.node == id && config->member[i].role != RAFT_LEARNER)
			return true;
	return false;
}

/*
 * A removed node hears nothing any more once it is no member of the log: it shall have applied its own
 * removal first, to be able to answer whoever asked for it there. A moment only: it may be gone.
 */
static bool still_reads(struct node *n, uint32_t id)
{
	const struct peer *p = beats_peer(n, id);

	if (n->mgr.leaver != id) {
		n->mgr.leaver = id;
		n->mgr.leaver_index = n->state.applied;
		n->mgr.leaver_since_ms = n->now_ms;
	}
	return id != n->cfg.id && !state_node(&n->state, id) && beats_heard(n, id) &&
	       p->applied < n->mgr.leaver_index &&
	       n->now_ms - n->mgr.leaver_since_ms < CORE_LEAVER_MS;
}

/* ---- with each step ------------------------------------------------------------------------------------- */

static bool witness_answers(const struct node *n)
{
	const struct raft_config *config = raft_config(n->raft);

	for (uint32_t i = 0; i < config->n; i++)
		if (config->member[i].id.node == WITNESS_NODE)
			return caught_up(n, &config->member[i].id);
	return false;
}

static size_t look(struct node *n, struct voters_one *one)
{
	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];

		one[i] = (struct voters_one){ .id = raft_id_of(s), .away_ms = away_ms(n, s) };
		one[i].caught_up = caught_up(n, &one[i].id);
		one[i].leaves = s->leaving && setup_may_remove(n, s) &&
				!(n->cfg.defects & NODE_DEFECT_REMOVED_VOTES);
	}
	return n->state.nodes.n;
}

void manager_voters_step(struct node *n)
{
	struct voters_one one[STATE_NODES_MAX];
	size_t count = look(n, one);
	struct voters_view v = {
		.config = raft_config(n->raft),
		.settled = raft_config_index(n->raft) <= raft_commit_index(n->raft),
		.witness_answers = witness_answers(n),
		.quiet = quiet(n, one, count),
		.after_ms = n->cfg.voters_away_ms,
		.self = raft_self(n->raft),
		.defects = n->cfg.voters_defects,
		.one = one,
		.n = count,
	};
	struct raft_event ev = { .type = RAFT_CHANGE };
	struct voters_change c;

	c = voters_next(&v);
	if (!c.any) {
		witness_voters_step(n, v.settled);
		return;
	}
	if (c.hand_over) {
		manager_hand_over(n);
		return;
	}
	if (c.op == RAFT_CHANGE_REMOVE && still_reads(n, c.member.id.node))
		return;
	ev.change.id = ++n->next_id;
	ev.change.op = c.op;
	ev.change.member = c.member;
	log_feed(n, &ev);
}

/* ---- what is said of it: by every node the same, when the change is applied ------------------------ */

static void say(struct node *n, const struct raft_config *c, const struct raft_id *id, size_t nth,
		const char *event)
{
	const struct state_node *s = state_node(&n->state, id->node);
	uint32_t voters = raft_config_voters(c);
	struct state_change line = {
		.what = STATE_CHANGED_NODE,
		.node = id->node,
		.number = c->n,
		.time_ms = n->wall_ms,
		.duration_ms = -1,
	};

	(void)snprintf(line.object, sizeof(line.object), "%s",
		       s			  ? s->name
		       : id->node == WITNESS_NODE ? "witness"
						  : "");
	(void)snprintf(line.event, sizeof(line.event), "%s", event);
	(void)snprintf(line.cause, sizeof(line.cause), "%u voters, %u have to agree%s", voters,
		       voters / 2 + 1,
		       voters % 2 == 0 ? "; with an even number one of them adds nothing" : "");
	core_event_changed(n, &line, nth);
}

static bool votes(const struct raft_config *c, const struct raft_id *id)
{
	const struct raft_member *m = raft_config_find(c, id);

	return m && m->role == RAFT_VOTER;
}

/* `to` is in effect and committed as of this entry; .voters is what was before. */
void manager_voters_applied(struct node *n, const struct raft_config *to)
{
	size_t nth = 0;

	for (uint32_t i = 0; i < to->n; i++)
		if (to->member[i].role == RAFT_VOTER && !votes(&n->voters, &to->member[i].id))
			say(n, to, &to->member[i].id, nth++, "voter-added");
	for (uint32_t i = 0; i < n->voters.n; i++)
		if (n->voters.member[i].role == RAFT_VOTER && !votes(to, &n->voters.member[i].id))
			say(n, to, &n->voters.member[i].id, nth++, "voter-removed");
	n->voters = *to;
}
