/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness's copy of the log, on the node that serves it: a raft server with its own state,
 * failures and acks, whose disk is the LUN. What it says waits for a CHECK (clusterd/core/witness.h).
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

#include "lib/cleanup.h"
#include "proto/witness.h"

/* ---- what it says, until it may leave ---------------------------------------------------------------------- */

static void out_clear(struct wit *w)
{
	for (size_t i = 0; i < w->outbox.n; i++)
		free(w->outbox.v[i].packed);
	wit_out_vec_clear(&w->outbox);
}

static void say(struct node *n, uint32_t to, Core__Message *msg)
{
	struct wit_out o = { .to = to };

	msg->seq = 0; /* the envelope is written when it leaves */
	o.len = core__message__get_packed_size(msg);
	o.packed = malloc(o.len + 1);
	if (!o.packed || wit_out_vec_push(&n->wit.outbox, o) < 0) {
		free(o.packed);
		n->out->no_memory = true;
		return;
	}
	(void)core__message__pack(msg, o.packed);
}

static void leave(struct node *n, struct wit_out *o)
{
	Core__Message *msg = core__message__unpack(NULL, o->len, o->packed), sent;

	free(o->packed);
	if (!msg) {
		n->out->no_memory = true;
		return;
	}
	/* What message_send() fills in is borrowed: the free is of what was unpacked. */
	sent = *msg;
	message_send(n, o->to, &sent);
	core__message__free_unpacked(msg, NULL);
}

/* A CHECK that was begun after it was said named us: it goes. Taken out first: what it leads to may
 * say more. */
void wit_checked(struct node *n, uint64_t check)
{
	struct wit *w = &n->wit;

	while (w->phase == WIT_SERVING && w->outbox.n && w->outbox.v[0].check &&
	       w->outbox.v[0].check <= check) {
		struct wit_out o = w->outbox.v[0];

		wit_out_vec_remove(&w->outbox, 0);
		leave(n, &o);
	}
}

void wit_check(struct node *n)
{
	struct wit *w = &n->wit;
	uint64_t id = 0;

	if (w->phase != WIT_SERVING)
		return;
	if (n->cfg.defects & NODE_DEFECT_WITNESS_NO_CHECK) {
		for (size_t i = 0; i < w->outbox.n; i++)
			w->outbox.v[i].check = 1;
		wit_checked(n, 1);
		return;
	}
	for (size_t i = 0; i < w->outbox.n; i++) {
		if (w->outbox.v[i].check)
			continue;
		if (!id)
			id = wit_order(n, WIT_CHECK, NODE_WITNESS_CHECK, 0, 0, NULL);
		w->outbox.v[i].check = id;
	}
}

static void say_raft(struct node *n, const struct raft_message *m)
{
	Core__Message msg = CORE__MESSAGE__INIT;
	size_t len = raft_message_size(m);
	_cleanup_free_ uint8_t *data = malloc(len + 1);

	if (!data) {
		n->out->no_memory = true;
		return;
	}
	raft_message_encode(m, data);
	msg.what_case = CORE__MESSAGE__WHAT_RAFT;
	msg.raft = (ProtobufCBinaryData){ len, data };
	say(n, m->to.node, &msg);
}

/* ---- persisting ------------------------------------------------------------------------------------------------ */

static void write_pieces(struct node *n, const struct witness_write *wr, uint64_t seq)
{
	for (size_t at = 0; at < wr->len; at += WITNESS_IO_MAX) {
		size_t len = wr->len - at < WITNESS_IO_MAX ? wr->len - at : WITNESS_IO_MAX;
		uint8_t *piece = malloc(len);

		if (!piece) {
			n->out->no_memory = true;
			return;
		}
		memcpy(piece, wr->data + at, len);
		(void)wit_order(n, WIT_PERSIST, NODE_WITNESS_OWNER_WRITE, wr->offset + at,
				(uint32_t)len, piece);
		if (at + len < wr->len || !wit_last_op(n))
			continue;
		wit_last_op(n)->seq = seq;
		wit_last_op(n)->generation = wr->generation;
		wit_last_op(n)->record = wr->seq;
	}
}

/* False: it cannot be kept, so that the witness must not go on. */
static bool persist(struct node *n, const struct raft_persist *p)
{
	const struct raft_line line = raft_line(n->wit.raft);
	struct witness_write wr;
	int r = witness_log_put(&n->wit.log, p, &line, &wr);

	if (r == -ENOMEM)
		n->out->no_memory = true;
	if (r < 0)
		return false;
	write_pieces(n, &wr, p->seq);
	free(wr.data);
	return true;
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

static bool restore(struct node *n, const struct raft_snapshot *s)
{
	struct state fresh;

	if (state_decode(s->blob, s->len, &fresh, NULL) < 0)
		return false;
	state_fini(&n->wit.state);
	n->wit.state = fresh;
	n->wit.state.applied = s->index;
	return true;
}

static void apply(struct node *n, const struct raft_entry *e)
{
	struct state_result res;

	if (e->type != RAFT_ENTRY_COMMAND)
		n->wit.state.applied = e->index;
	else if (state_apply(&n->wit.state, e->index, e->data, e->len, log_state_defects(n), &res,
			     NULL) < 0)
		n->out->no_memory = true;
}

static void feed(struct node *n, struct raft_event *ev);

static void snapshot(struct node *n)
{
	struct raft_event ev = { .type = RAFT_SNAPSHOT_TAKEN };
	_cleanup_free_ uint8_t *blob = NULL;

	if (state_encode(&n->wit.state, &blob, &ev.snapshot.len) < 0) {
		n->out->no_memory = true;
		return;
	}
	ev.snapshot.index = n->wit.state.applied;
	ev.snapshot.blob = blob;
	feed(n, &ev);
}

static void feed(struct node *n, struct raft_event *ev)
{
	struct wit *w = &n->wit;
	struct raft_actions *a = &w->out;
	bool whole = true;

	ev->now_ms = n->now_ms;
	raft_step(w->raft, ev, a);
	if (a->has_persist) {
		log_failures_follow(n, &w->failures, &a->persist);
		whole = persist(n, &a->persist);
	}
	for (size_t i = 0; whole && i < a->apply.n; i++) {
		if (a->apply.v[i].type == RAFT_APPLY_RESTORE)
			whole = restore(n, a->apply.v[i].snapshot);
		else
			apply(n, a->apply.v[i].entry);
	}
	log_failures_forget(&w->failures, w->state.applied);
	for (size_t i = 0; i < a->send.n; i++)
		say_raft(n, &a->send.v[i]);
	if (!whole)
		witness_give_up(n, "the database does not fit there, or is damaged");
	else if (a->newer_line)
		witness_give_up(n, "the cluster was started anew with --force without it");
	else if (a->want_snapshot)
		snapshot(n);
}

void wit_persisted(struct node *n, uint64_t seq)
{
	struct raft_event ev = { .type = RAFT_PERSISTED, .persisted_seq = seq };

	if (n->wit.raft)
		feed(n, &ev);
}

void wit_tick(struct node *n)
{
	struct raft_event ev = { .type = RAFT_TICK };
	struct wit *w = &n->wit;

	if (!w->raft || (w->ticked && n->now_ms < raft_deadline(w->raft)))
		return;
	w->ticked = true;
	feed(n, &ev);
}

void witness_ring(struct node *n)
{
	struct raft_event ev = { .type = RAFT_RING };

	ev.ring.ring = n->view.members;
	ev.ring.n_ring = (uint32_t)n->view.n_members;
	ev.ring.group = n->view.group;
	ev.ring.n_group = (uint32_t)n->view.n_group;
	if (n->wit.raft && n->wit.ticked)
		feed(n, &ev);
}

/* ---- beginning and end --------------------------------------------------------------------------------------------- */

static int raft_begin(struct node *n, const struct raft_stored *stored, struct cl_error *err)
{
	struct wit *w = &n->wit;
	struct raft_params p = {
		.self = witness_id(&w->is),
		.incarnation =
			w->owner.claim, /* given once: messages of an earlier life are told */
		.seed = n->cfg.seed * 1000003 + w->owner.claim,
		.witness = true,
		.defects = n->cfg.raft_defects,
	};

	memcpy(p.database, n->database, sizeof(p.database));
	w->ticked = false;
	return raft_new(&p, stored, n->now_ms, &w->raft, err);
}

/* The log was read, and nobody else can write it. */
bool wit_serve(struct node *n, struct cl_error *err)
{
	struct wit *w = &n->wit;
	struct raft_stored stored = witness_log_stored(&w->log);

	/* What an earlier host acked is not known here; it was before our CLAIM, so before now. */
	lease_voter_init(&w->voter, n->now_ms);
	w->durable_generation = w->proven_generation = w->log.generation;
	w->durable_record = w->proven_record = w->log.seq;
	if (!w->log.any)
		return true;
	if (raft_begin(n, &stored, err) < 0)
		return false;
	for (size_t i = 0; i < stored.n_entries; i++)
		log_failures_look(n, &w->failures, &stored.entries[i]);
	wit_tick(n);
	return w->raft != NULL;
}

void wit_stop(struct node *n)
{
	struct wit *w = &n->wit;

	out_clear(w);
	if (w->raft)
		raft_free(cl_steal(w->raft));
	state_fini(&w->state);
	failure_vec_clear(&w->failures);
	witness_log_fini(&w->log);
	w->durable_generation = w->durable_record = 0;
	w->proven_generation = w->proven_record = 0;
}

/* ---- messages to it --------------------------------------------------------------------------------------------------- */

/* Who sends to (its id, its uuid) has it as a member: an empty copy becomes that one's learner. */
static void join(struct node *n, const struct raft_message *m)
{
	const struct raft_stored empty = { .line = m->line };
	struct raft_id self = witness_id(&n->wit.is);

	if (!raft_id_equal(&self, &m->to) ||
	    memcmp(m->database, n->database, sizeof(n->database)) != 0)
		return;
	if (raft_begin(n, &empty, NULL) < 0)
		n->out->no_memory = true;
	wit_tick(n);
}

void witness_receive(struct node *n, const struct raft_message *m)
{
	struct raft_event ev = { .type = RAFT_MESSAGE, .message = m };
	struct wit *w = &n->wit;

	if (w->phase != WIT_SERVING)
		return;
	if (!w->raft)
		join(n, m);
	if (w->raft && w->phase == WIT_SERVING)
		feed(n, &ev);
}

static bool may_ack(const struct node *n, const Core__Message *msg)
{
	const struct wit *w = &n->wit;

	if (!msg->beat->asks_acks || msg->incarnation == 0 ||
	    !length_fits(&w->state, msg, n->cfg.defects))
		return false;
	if (n->cfg.defects & NODE_DEFECT_ACK_FAILED)
		return true;
	return !log_failed_in(&w->state, &w->failures, msg->from, msg->incarnation) &&
	       msg->beat->config_version >= raft_config(w->raft)->version;
}

/* As any voter (beats.c), by its own log. */
void witness_on_beat(struct node *n, const Core__Message *in)
{
	struct wit *w = &n->wit;
	MESSAGE(BEAT_ACK, BeatAck, beat_ack);

	if (w->phase != WIT_SERVING || !w->raft || !may_ack(n, in) ||
	    !lease_voter_ack(&w->voter, in->from, in->incarnation, n->now_ms))
		return;
	m.instance = in->instance;
	m.incarnation = in->incarnation;
	m.sent_ms = in->beat->sent_ms;
	m.voter = (ProtobufCBinaryData){ sizeof(w->is.uuid), w->is.uuid };
	m.voter_node = WITNESS_NODE;
	say(n, in->from, &msg);
}

void witness_on_bound_ask(struct node *n, const Core__Message *in)
{
	const Core__BoundAsk *q = in->bound_ask;
	struct wit *w = &n->wit;
	MESSAGE(BOUND_ANSWER, BoundAnswer, bound_answer);

	if (w->phase != WIT_SERVING || !w->raft ||
	    (q->failed && !state_failed(&w->state, q->node, q->incarnation)))
		return;
	m.id = q->id;
	m.age_ms = (uint64_t)lease_voter_age(&w->voter, q->node, n->now_ms);
	m.voter = (ProtobufCBinaryData){ sizeof(w->is.uuid), w->is.uuid };
	m.voter_node = WITNESS_NODE;
	say(n, in->from, &msg);
}
