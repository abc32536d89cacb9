/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "quorum/voters.h"
#include "quorum/witness_disk.h"

#include <string.h>

static const struct voters_one *find(const struct voters_view *v, const struct raft_id *id)
{
	for (size_t i = 0; i < v->n; i++)
		if (raft_id_equal(&v->one[i].id, id))
			return &v->one[i];
	return NULL;
}

/* The one who has taken this member's place: the same node with another database. */
static const struct voters_one *heir_of(const struct voters_view *v, const struct raft_id *old)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->one[i].id.node == old->node)
			return &v->one[i];
	return NULL;
}

static struct voters_change put(const struct raft_id *id, enum raft_member_role role,
				const char *why)
{
	return (struct voters_change){
		.any = true,
		.op = RAFT_CHANGE_PUT,
		.member = { .id = *id, .role = role },
		.why = why,
	};
}

static bool is_away(const struct voters_view *v, const struct voters_one *o)
{
	return o->away_ms >= (v->after_ms ? v->after_ms : VOTERS_AWAY_MS);
}

static bool may_shrink(const struct voters_view *v)
{
	uint32_t least = v->defects & VOTERS_DEFECT_BELOW_THREE ? 1 : VOTERS_LEAST;

	return v->quiet && raft_config_voters(v->config) > least;
}

/* Its heir has what it had; or stays away, as it would itself. */
static bool may_be_replaced(const struct voters_view *v, const struct voters_one *heir)
{
	return heir->caught_up || (is_away(v, heir) && may_shrink(v)) ||
	       (v->defects & VOTERS_DEFECT_OLD_FIRST);
}

/*
 * Who is no node any more goes at once: it answers nobody, and counts against us. But who has an heir
 * waits for it: see the top of voters.h.
 */
static struct voters_change removal(const struct voters_view *v)
{
	for (uint32_t i = 0; i < v->config->n; i++) {
		const struct raft_member *m = &v->config->member[i];
		const struct voters_one *heir = heir_of(v, &m->id);

		if (find(v, &m->id) || m->id.node == WITNESS_NODE)
			continue;
		if (heir && m->role == RAFT_VOTER && !may_be_replaced(v, heir))
			continue;
		return (struct voters_change){
			.any = true,
			.op = RAFT_CHANGE_REMOVE,
			.member = *m,
			.why = heir ? "its database is another one now" : "is no node any more",
		};
	}
	return (struct voters_change){ 0 };
}

static bool old_self_votes(const struct voters_view *v, const struct raft_id *id)
{
	for (uint32_t i = 0; i < v->config->n; i++)
		if (v->config->member[i].id.node == id->node &&
		    v->config->member[i].role == RAFT_VOTER &&
		    !raft_id_equal(&v->config->member[i].id, id))
			return true;
	return false;
}

static bool answers(const struct voters_view *v, const struct raft_id *id)
{
	const struct voters_one *o = find(v, id);

	return id->node == WITNESS_NODE ? v->witness_answers : o && o->caught_up;
}

/* Without that vote, those that answer are a majority of the rest. */
static bool rest_decides(const struct voters_view *v, const struct raft_id *but)
{
	uint32_t rest = 0, here = 0;

	for (uint32_t i = 0; i < v->config->n; i++) {
		const struct raft_member *m = &v->config->member[i];

		if (m->role != RAFT_VOTER || raft_id_equal(&m->id, but))
			continue;
		rest++;
		here += answers(v, &m->id);
	}
	return here > rest / 2 || (rest && (v->defects & VOTERS_DEFECT_LEAVES_ALONE));
}

/* Also its former self, when it is leaving with a new database. The last voter stays: somebody has to. */
static struct voters_change leaving(const struct voters_view *v)
{
	for (uint32_t i = 0; i < v->config->n; i++) {
		const struct raft_member *m = &v->config->member[i];
		const struct voters_one *o = heir_of(v, &m->id);

		if (o && o->leaves && m->role != RAFT_LEARNER &&
		    (m->role != RAFT_VOTER || rest_decides(v, &m->id)))
			return put(&m->id, RAFT_LEARNER, "leaves the cluster");
	}
	return (struct voters_change){ 0 };
}

static struct voters_change addition(const struct voters_view *v)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct voters_one *o = &v->one[i];
		const struct raft_member *m = raft_config_find(v->config, &o->id);
		bool replaces = old_self_votes(v, &o->id);

		if (o->leaves)
			continue;
		if (!m)
			return put(&o->id, replaces ? RAFT_LEARNER : RAFT_JOINING, "has joined");
		if (m->role == RAFT_LEARNER && o->away_ms == 0 && o->caught_up && !replaces)
			return put(&o->id, RAFT_JOINING, "is back and has caught up");
	}
	return (struct voters_change){ 0 };
}

/* The one who is away longest. A member that never came so far as to vote is no matter here. */
static struct voters_change shrinking(const struct voters_view *v)
{
	const struct voters_one *longest = NULL;

	if (!may_shrink(v))
		return (struct voters_change){ 0 };
	for (size_t i = 0; i < v->n; i++) {
		const struct raft_member *m = raft_config_find(v->config, &v->one[i].id);

		if (m && m->role == RAFT_VOTER && is_away(v, &v->one[i]) &&
		    (!longest || v->one[i].away_ms > longest->away_ms))
			longest = &v->one[i];
	}
	return longest ? put(&longest->id, RAFT_LEARNER, "stays away")
		       : (struct voters_change){ 0 };
}

static bool takes_own_vote(const struct voters_view *v, const struct voters_change *c)
{
	const struct raft_member *m = raft_config_find(v->config, &c->member.id);

	return c->any && raft_id_equal(&c->member.id, &v->self) && m && m->role == RAFT_VOTER &&
	       (c->op == RAFT_CHANGE_REMOVE || c->member.role != RAFT_VOTER) &&
	       !(v->defects & VOTERS_DEFECT_OWN_VOTE);
}

/* One change at a time, and the next one only when the last is committed: two at once, and two
 * majorities need not meet. Raft refuses it as well (rule 14). */
struct voters_change voters_next(const struct voters_view *v)
{
	struct voters_change c = { 0 };

	if (!v->settled)
		return c;
	c = removal(v);
	if (!c.any)
		c = leaving(v);
	if (!c.any)
		c = addition(v);
	if (!c.any)
		c = shrinking(v);
	c.hand_over = takes_own_vote(v, &c);
	return c;
}
