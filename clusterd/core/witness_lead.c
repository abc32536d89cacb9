/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness as the leader sees it: whether it is a voter, who serves it, whether it answers; what
 * everybody is told of that in the leader's beats; and the vote in votequorum that follows.
 *
 * A cast of 1 says: the leader, in this very ring, has had an answer of the witness to a request
 * that it sent in this ring, in its own term; so the witness follows it and no other one. Or: all
 * nodes that vote are in the ring, so that there is nobody to be taken for the majority besides.
 * corosync's quorum is never enough to start anything: a cast that is too late or too early costs
 * time, nothing else.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

/* ---- voters ---------------------------------------------------------------------------------------------------- */

bool witness_is_member(const struct node *n, const struct raft_id *id)
{
	struct raft_id w = witness_id(&n->state.witness);

	return n->state.witness.url[0] && raft_id_equal(&w, id);
}

static const struct raft_member *other_witness(const struct node *n)
{
	const struct raft_config *c = raft_config(n->raft);

	for (uint32_t i = 0; i < c->n; i++)
		if (c->member[i].id.node == WITNESS_NODE && !witness_is_member(n, &c->member[i].id))
			return &c->member[i];
	return NULL;
}

static void change(struct node *n, enum raft_change op, const struct raft_member *m)
{
	struct raft_event ev = { .type = RAFT_CHANGE };

	ev.change.id = ++n->next_id;
	ev.change.op = op;
	ev.change.member = *m;
	log_feed(n, &ev);
}

/* One change at a time: what was a witness and is none any more goes first. A voter only when it has caught
 * up, which raft sees to. */
void witness_voters_step(struct node *n, bool settled)
{
	const struct raft_config *c = raft_config(n->raft);
	struct raft_member m = { .id = witness_id(&n->state.witness) };
	const struct raft_member *is = raft_config_find(c, &m.id), *old = other_witness(n);

	if (!settled)
		return;
	if (old) {
		change(n, RAFT_CHANGE_REMOVE, old);
		return;
	}
	if (!n->state.witness.url[0])
		return;
	m.role = witness_role(c, &m.id, n->state.nodes.n);
	if (is && (is->role == m.role || (is->role == RAFT_JOINING && m.role == RAFT_VOTER)))
		return;
	if (m.role == RAFT_VOTER)
		m.role = RAFT_JOINING;
	change(n, RAFT_CHANGE_PUT, &m);
}

/* ---- who serves, does it answer --------------------------------------------------------------------------------- */

static uint32_t serving_now(const struct node *n)
{
	if (n->wit.phase == WIT_SERVING || n->wit.phase == WIT_TAKING)
		return n->cfg.id;
	for (size_t i = 0; i < n->peers.n; i++)
		if (n->peers.v[i].wit_serving && beats_heard(n, n->peers.v[i].id))
			return n->peers.v[i].id;
	return 0;
}

static bool answers(const struct node *n, struct raft_peer_view *ret)
{
	struct raft_id id = witness_id(&n->wit.is);

	return n->wit.phase != WIT_OFF && log_is_leader(n) && raft_peer(n->raft, &id, ret);
}

/* An entry of this term is committed, and the witness has it, and has said so in this ring. */
static bool counts(const struct node *n)
{
	struct raft_peer_view v;

	return answers(n, &v) && n->wit.term == raft_term(n->raft) &&
	       (v.answered_ms >= n->wit.ring_ms || (n->cfg.defects & NODE_DEFECT_CAST_OLD_RING)) &&
	       v.match >= n->wit.term_index && raft_peer_answers(&v, n->now_ms, WITNESS_FRESH_MS);
}

static void take_word(struct node *n, uint32_t host, bool counting, bool alive)
{
	struct wit *w = &n->wit;

	w->word = host;
	w->word_ms = n->now_ms;
	w->word_counts = counting;
	w->word_ring = n->view.ring;
	if (host && host != n->cfg.id)
		w->named_ms = n->now_ms;
	if (alive)
		w->alive_ms = n->now_ms;
}

/* Every node hears the leader's word and writes the same line. Without a leader nobody knows; and a new
 * one needs a moment to hear of it, as a new witness does to answer. */
static void alarm_step(struct node *n)
{
	struct wit *w = &n->wit;
	bool alive = n->now_ms - w->alive_ms <= WITNESS_FRESH_MS;
	bool lost = w->phase != WIT_OFF && raft_leader(n->raft).node && n->life == NODE_UP &&
		    n->now_ms - w->led_since_ms > 2 * WITNESS_FRESH_MS &&
		    n->now_ms - w->is_ms > 2 * WITNESS_FRESH_MS &&
		    n->now_ms - w->alive_ms > 2 * WITNESS_FRESH_MS;

	if (lost == w->lost || (!lost && !alive && w->phase != WIT_OFF))
		return;
	w->lost = lost;
	if (w->phase != WIT_OFF)
		core_event_of(n, 0, "witness", lost ? "witness-lost" : "witness-back",
			      lost ? "it does not answer: one failure less can be taken" : "", -1);
}

/* The leader's own word, which it gives itself as well. */
void witness_lead_step(struct node *n)
{
	struct wit *w = &n->wit;
	struct raft_peer_view v;
	struct wit_side side;
	bool alive, counting;

	if (!log_is_leader(n) || !wit_side(n, &side))
		return;
	if (w->term != raft_term(n->raft)) {
		w->term = raft_term(n->raft);
		w->term_index = raft_commit_index(n->raft);
		w->alive_ms = n->now_ms;
	}
	alive = answers(n, &v) && raft_peer_answers(&v, n->now_ms, WITNESS_FRESH_MS);
	counting = counts(n);
	if (counting && !w->word_counts)
		n->beat_ms = n->now_ms; /* who waits for quorum shall not wait for a beat */
	take_word(n, witness_completes(&side.s, false) ? witness_host(&side.s, serving_now(n)) : 0,
		  counting, alive);
}

/* ---- beats --------------------------------------------------------------------------------------------------------- */

void witness_fill_beat(struct node *n, Core__WitnessBeat *b)
{
	const struct wit *w = &n->wit;
	struct wit_side side;

	core__witness_beat__init(b);
	if (!wit_side(n, &side))
		return;
	for (size_t i = 0; i < side.s.n_path; i++)
		b->path = b->path || side.path[i] == n->cfg.id;
	b->serving = w->phase == WIT_SERVING || w->phase == WIT_TAKING;
	b->uuid = (ProtobufCBinaryData){ sizeof(w->is.uuid), (uint8_t *)(uintptr_t)w->is.uuid };
	b->generation = w->known.generation;
	b->record = w->known.seq;
	if (!log_is_leader(n))
		return;
	b->host = w->word;
	b->counts = w->word_counts;
	b->alive = n->now_ms - w->alive_ms <= WITNESS_FRESH_MS;
}

/* Only of who leads by our own log's word: a leader of before, or one that we do not follow, does not
 * tell us whom to take the witness from; nor one that is in another ring. */
void witness_hear(struct node *n, const Core__Message *msg)
{
	const Core__WitnessBeat *b = msg->beat->witness;
	struct peer *p = message_peer(n, msg->from);

	if (!p)
		return;
	/* Who knew less, and would serve an old copy, hears of it before it has waited for the former host. */
	if (b && n->wit.phase != WIT_OFF && b->uuid.len == sizeof(n->wit.is.uuid) &&
	    memcmp(b->uuid.data, n->wit.is.uuid, b->uuid.len) == 0)
		wit_note_known(n, b->generation, b->record);
	p->wit_path = b && b->path;
	p->wit_serving = b && b->serving;
	if (b && msg->from != n->cfg.id && msg->term == raft_term(n->raft) &&
	    raft_leader(n->raft).node == msg->from && beats_in_ring(n, msg->from))
		take_word(n, b->host, b->counts, b->alive);
}

/* ---- the vote in votequorum ------------------------------------------------------------------------------------------ */

static bool witness_votes(const struct node *n)
{
	struct raft_id id = witness_id(&n->wit.is);
	const struct raft_member *m = raft_config_find(raft_config(n->raft), &id);

	return n->wit.phase != WIT_OFF && m && m->role == RAFT_VOTER;
}

/*
 * Not for a learner: votequorum counts a device that is configured among the votes it expects, whether it casts
 * or not, and a ring of three that loses a node would be without quorum until it is told otherwise.
 * By the role that it is to have, so that another LUN in its place changes nothing.
 */
bool node_wants_device(const struct node *n)
{
	struct raft_id id = witness_id(&n->state.witness);

	return n->raft && n->state.witness.url[0] &&
	       witness_role(raft_config(n->raft), &id, n->state.nodes.n) == RAFT_VOTER;
}

static bool full_ring(const struct node *n)
{
	const struct raft_config *c = raft_config(n->raft);

	for (uint32_t i = 0; i < c->n; i++)
		if (c->member[i].role == RAFT_VOTER && c->member[i].id.node != WITNESS_NODE &&
		    !beats_in_ring(n, c->member[i].id.node))
			return false;
	return true;
}

void witness_cast_step(struct node *n)
{
	struct wit *w = &n->wit;
	struct node_action *a;
	bool cast = witness_votes(n) &&
		    (full_ring(n) || (w->word_counts && w->word_ring == n->view.ring &&
				      n->now_ms - w->word_ms <= WITNESS_FRESH_MS));

	alarm_step(n);
	if (cast == w->cast && w->cast_ring == n->view.ring)
		return;
	w->cast = cast;
	w->cast_ring = n->view.ring;
	/* votequorum refuses a number below the votes that are there, so it may have refused ours. */
	n->expected_votes = 0;
	a = core_emit(n, NODE_DO_CAST);
	a->cast.yes = cast;
	a->cast.ring = n->view.ring;
}

uint32_t witness_votes_present(const struct node *n)
{
	return witness_votes(n) && n->now_ms - n->wit.alive_ms <= WITNESS_FRESH_MS;
}
