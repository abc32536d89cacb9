/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must never happen, judged from outside: by what disks hold, what was said to clients and
 * what was applied, not by what a node believes.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/raft_world.h"

static struct committed *committed_at(struct world *w, uint64_t index)
{
	return index && index <= w->committed.n ? &w->committed.v[index - 1] : NULL;
}

uint64_t oracle_commit(const struct world *w)
{
	return w->committed.n;
}

/* ---- elections --------------------------------------------------------------------------- */

/* At most one leader in a term. */
static void check_election_safety(struct world *w, unsigned node)
{
	struct raft *r = w->node[node].raft;
	struct raft_id *of = &w->leader_of[r->term & 0xffff];

	if (of->node && !raft_id_equal(of, &r->p.self))
		sim_fail(w->s, "election-safety", "n%u and n%u both lead term %" PRIu64, node,
			 of->node, r->term);
	*of = r->p.self;
}

/* A new leader has everything that was committed in earlier terms. */
static void check_leader_completeness(struct world *w, unsigned node)
{
	struct raft *r = w->node[node].raft;
	uint64_t index = w->committed.n, term = 0;

	while (index > 1 && committed_at(w, index)->by_term >= r->term)
		index--;
	if (index <= 1 || index <= r->snap.index)
		return;
	if (!raft_log_term(&r->log, index, &term) || term != committed_at(w, index)->term)
		sim_fail(w->s, "leader-completeness",
			 "n%u leads term %" PRIu64 " without entry %" PRIu64 " of term %" PRIu64
			 " (has term %" PRIu64 ", last %" PRIu64 ")",
			 node, r->term, index, committed_at(w, index)->term, term,
			 raft_log_last(&r->log));
}

/* A witness must not keep what it cannot use (judged after the heal, see the nemesis). */

/* ---- commit ------------------------------------------------------------------------------ */

static const struct image *image_of(struct world *w, const struct raft_id *id)
{
	for (unsigned i = 1; i <= sim_nodes(w->s); i++)
		if (raft_id_equal(&w->node[i].id, id))
			return &w->node[i].img;
	for (size_t i = 0; i < w->graves.n; i++)
		if (raft_id_equal(&w->graves.v[i].id, id))
			return &w->graves.v[i].img;
	return NULL;
}

/* What a leader calls committed lies on the disks of a majority of its voters, now. */
static void check_durable_majority(struct world *w, unsigned node, uint64_t index, uint64_t term)
{
	const struct raft_config *c = raft_config(w->node[node].raft);
	uint32_t have = 0, voters = raft_config_voters(c);

	for (uint32_t i = 0; i < c->n; i++) {
		const struct image *img = image_of(w, &c->member[i].id);

		if (c->member[i].role == RAFT_VOTER && img)
			have += image_has(img, index, term);
	}
	if (have <= voters / 2)
		sim_fail(w->s, "commit-not-durable",
			 "n%u committed %" PRIu64 " of term %" PRIu64 ": on %u of %u disks", node,
			 index, term, have, voters);
}

static void note_config(struct world *w, const struct raft_entry *e)
{
	struct raft_config_at at = { .index = e->index };

	if (e->type != RAFT_ENTRY_CONFIG)
		return;
	if (raft_config_decode(e->data, e->len, &at.config) < 0)
		sim_fail(w->s, "config", "bad configuration committed at %" PRIu64, e->index);
	cl_assert(config_at_vec_push(&w->configs, at) == 0);
}

static void note_prop(struct world *w, const struct raft_entry *e)
{
	uint64_t id = data_prop(e);

	if (!id)
		return;
	if (w->props.v[id].status == PROP_REFUSED)
		sim_fail(w->s, "refused-applied",
			 "proposal %" PRIu64 " was refused and is committed at %" PRIu64, id,
			 e->index);
	w->props.v[id].committed = e->index;
}

static void note_committed(struct world *w, const struct raft *r, const struct raft_entry *e)
{
	struct committed *prev = committed_at(w, e->index - 1);
	struct committed c = { .term = e->term,
			       .data = data_hash(e),
			       .prop = data_prop(e),
			       .by_term = r->term,
			       .type = e->type };

	c.chain = chain_next(prev->chain, e->index, e);
	cl_assert(committed_vec_push(&w->committed, c) == 0);
	note_config(w, e);
	note_prop(w, e);
}

static void check_same(struct world *w, unsigned node, const struct raft_entry *e)
{
	const struct committed *c = committed_at(w, e->index);

	if (c->term != e->term || c->data != data_hash(e))
		sim_fail(w->s, "committed-changed",
			 "n%u has %" PRIu64 " of term %" PRIu64 ", committed was term %" PRIu64,
			 node, e->index, e->term, c->term);
}

static void check_commit(struct world *w, unsigned node)
{
	struct rnode *n = &w->node[node];
	struct raft *r = n->raft;
	/* One that is removed steps down in the step in which that is committed. */
	bool leads = r->role.state == RAFT_LEADER || n->led_term == r->term;
	uint64_t from = n->seen_commit;

	if (r->commit <= from)
		return;
	if (leads && from)
		check_durable_majority(w, node, r->commit, raft_log_at(&r->log, r->commit)->term);
	for (uint64_t i = from + 1; i <= r->commit; i++) {
		const struct raft_entry *e = raft_log_at(&r->log, i);

		if (!e)
			continue; /* behind a snapshot */
		if (i <= w->committed.n)
			check_same(w, node, e);
		else if (leads)
			note_committed(w, r, e);
		else
			sim_fail(w->s, "commit-ahead",
				 "n%u takes %" PRIu64 " for committed, no leader has", node, i);
	}
	n->seen_commit = r->commit;
}

/* ---- configurations ---------------------------------------------------------------------- */

/* In effect is what the log (or else the snapshot) says last: nothing remembered beside it. */
static void check_config(struct world *w, unsigned node)
{
	struct raft *r = w->node[node].raft;
	struct raft_config c = r->snap.config;
	uint64_t index = r->snap.index, uncommitted = 0;

	for (uint64_t i = raft_log_last(&r->log); i > r->snap.index; i--) {
		const struct raft_entry *e = raft_log_at(&r->log, i);

		if (e->type != RAFT_ENTRY_CONFIG)
			continue;
		uncommitted += i > w->committed.n;
		if (index == r->snap.index) {
			index = i;
			(void)raft_config_decode(e->data, e->len, &c);
		}
	}
	if (index != raft_config_index(r) || !raft_config_equal(&c, raft_config(r)))
		sim_fail(w->s, "config-in-effect",
			 "n%u uses the configuration of %" PRIu64 ", its log says %" PRIu64, node,
			 raft_config_index(r), index);
	if (r->role.state == RAFT_LEADER && uncommitted > 1)
		sim_fail(w->s, "one-change", "n%u leads with %" PRIu64 " changes in flight", node,
			 uncommitted);
}

static const struct raft_config *committed_config(const struct world *w, uint64_t index)
{
	size_t i = w->configs.n - 1;

	while (i > 0 && w->configs.v[i].index > index)
		i--;
	return &w->configs.v[i].config;
}

void oracle_persist(struct world *w, unsigned node, const struct raft_persist *p)
{
	if (!p->has_snapshot)
		return;
	if (p->snapshot->index > w->committed.n)
		sim_fail(w->s, "snapshot-ahead", "n%u: snapshot at %" PRIu64 ", not committed",
			 node, p->snapshot->index);
	if (!raft_config_equal(&p->snapshot->config, committed_config(w, p->snapshot->index)))
		sim_fail(w->s, "snapshot-config",
			 "n%u: snapshot at %" PRIu64 " with another configuration", node,
			 p->snapshot->index);
}

/* ---- logs -------------------------------------------------------------------------------- */

/* Two logs with the same (index, term) are the same up to there. */
static void check_log_matching(struct world *w, unsigned a, unsigned b)
{
	const struct raft_log *x = &w->node[a].raft->log, *y = &w->node[b].raft->log;
	uint64_t low = x->base_index > y->base_index ? x->base_index : y->base_index;
	uint64_t high = raft_log_last(x) < raft_log_last(y) ? raft_log_last(x) : raft_log_last(y);
	bool same = false;

	for (uint64_t i = high; i > low; i--) {
		const struct raft_entry *p = raft_log_at(x, i), *q = raft_log_at(y, i);

		if (same && (p->term != q->term || data_hash(p) != data_hash(q)))
			sim_fail(w->s, "log-matching", "n%u and n%u differ at %" PRIu64, a, b, i);
		same = same || p->term == q->term;
	}
}

static void check_some_pair(struct world *w)
{
	unsigned n = sim_nodes(w->s), a, b;

	if (sim_steps(w->s) % 61)
		return;
	a = 1 + (unsigned)(sim_steps(w->s) / 61 % n);
	b = 1 + (unsigned)(sim_steps(w->s) / 61 / n % n);
	if (a != b && w->node[a].raft && w->node[b].raft)
		check_log_matching(w, a, b);
}

/* ---- what comes out ---------------------------------------------------------------------- */

void oracle_apply(struct world *w, unsigned node, const struct raft_apply *ap)
{
	struct rnode *n = &w->node[node];
	const struct committed *c = committed_at(w, n->fsm.index);

	check_commit(w, node); /* a leader commits and applies in one step */
	c = committed_at(w, n->fsm.index);
	if (!c)
		sim_fail(w->s, "apply-uncommitted", "n%u applied %" PRIu64, node, n->fsm.index);
	if (c->chain != n->fsm.hash)
		sim_fail(w->s, "apply-hash", "n%u applied something else at %" PRIu64, node,
			 n->fsm.index);
	if (ap->type == RAFT_APPLY_ENTRY && !image_has(&n->img, n->fsm.index, ap->entry->term))
		sim_fail(w->s, "apply-ahead", "n%u applied %" PRIu64 ", its disk does not have it",
			 node, n->fsm.index);
}

static void check_done(struct world *w, unsigned node, const struct raft_result *res)
{
	const struct committed *c = committed_at(w, res->index);

	if (!c || c->term != res->term || (res->what == RAFT_PROPOSE && c->prop != res->id))
		sim_fail(w->s, "wrong-result",
			 "n%u: proposal %" PRIu64 " said to be done at %" PRIu64, node, res->id,
			 res->index);
}

void oracle_result(struct world *w, unsigned node, const struct raft_result *res)
{
	struct prop *p = &w->props.v[res->id];

	sim_trace(w->s, "n%u result %d of %" PRIu64 ": %d %s index %" PRIu64, node, (int)res->what,
		  res->id, (int)res->status, raft_reason_text(res->reason), res->index);
	if (p->status != PROP_WAITING)
		sim_fail(w->s, "two-results", "request %" PRIu64 " was answered twice", res->id);
	p->status = res->status == RAFT_UNKNOWN	  ? PROP_UNKNOWN
		    : res->status == RAFT_REFUSED ? PROP_REFUSED
						  : PROP_DONE;
	if (res->status == RAFT_REFUSED && p->committed)
		sim_fail(w->s, "refused-applied",
			 "n%u refused %" PRIu64 ", which is committed at %" PRIu64, node, res->id,
			 p->committed);
	if (res->status != RAFT_DONE)
		return;
	if (res->what == RAFT_READ && res->index < p->floor)
		sim_fail(w->s, "stale-read",
			 "n%u answered with index %" PRIu64 ", %" PRIu64
			 " was committed when it was asked",
			 node, res->index, p->floor);
	if (res->what == RAFT_PROPOSE || res->what == RAFT_CHANGE)
		check_done(w, node, res);
}

/* ---- around a step ----------------------------------------------------------------------- */

void oracle_before(struct world *w, unsigned node, const struct raft_event *ev, struct before *b)
{
	struct raft *r = w->node[node].raft;

	b->prevote = ev->type == RAFT_MESSAGE && ev->message->type == RAFT_PREVOTE;
	b->term = r->term;
	b->vote = r->vote;
	b->election_at = r->election_at;
}

static void check_prevote(struct world *w, unsigned node, const struct before *b)
{
	struct raft *r = w->node[node].raft;

	if (b->prevote && (r->term != b->term || !raft_id_equal(&r->vote, &b->vote) ||
			   r->election_at != b->election_at))
		sim_fail(w->s, "prevote-binds", "n%u: a pre-vote changed term, vote or timer",
			 node);
}

void oracle_after(struct world *w, unsigned node, const struct before *b)
{
	struct rnode *n = &w->node[node];
	struct raft *r = n->raft;

	sim_hash(w->s, r->term ^ r->commit << 16 ^ raft_log_last(&r->log) << 32 ^
			       (uint64_t)r->role.state << 60 ^ (uint64_t)r->election_at << 8);
	check_prevote(w, node, b);
	if (r->role.state == RAFT_LEADER && n->led_term != r->term) {
		n->led_term = r->term;
		check_election_safety(w, node);
		check_leader_completeness(w, node);
	}
	check_commit(w, node);
	if (n->a.has_persist)
		check_config(w, node);
	check_some_pair(w);
}
