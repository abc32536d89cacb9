/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The witness's LUN on this node: orders to witnessd, their answers, and what follows. */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>
#include <string.h>

/* ---- orders to witnessd --------------------------------------------------------------------------------- */

/* data: malloced, given away. Returns the operation's id. */
uint64_t wit_order(struct node *n, enum wit_what what, int order, uint64_t offset, uint32_t len,
		   uint8_t *data)
{
	struct wit_op op = {
		.id = ++n->next_id,
		.attempt = n->wit.attempt,
		.what = what,
		.begun_ms = n->now_ms,
		.generation = n->wit.durable_generation,
		.record = n->wit.durable_record,
	};
	struct node_action *a = core_emit(n, NODE_DO_WITNESS);

	a->witness.what = (enum node_witness_do)order;
	a->witness.id = op.id;
	a->witness.offset = offset;
	a->witness.len = len;
	a->witness.data = data;
	if (wit_op_vec_push(&n->wit.ops, op) < 0)
		n->out->no_memory = true;
	return op.id;
}

struct wit_op *wit_last_op(struct node *n)
{
	return n->wit.ops.n ? &n->wit.ops.v[n->wit.ops.n - 1] : NULL;
}

void wit_order_read(struct node *n, enum wit_what what, uint64_t unit, uint32_t units)
{
	(void)wit_order(n, what, NODE_WITNESS_READ, unit * WITNESS_UNIT, units * WITNESS_UNIT,
			NULL);
}

uint8_t *wit_unit_new(struct node *n)
{
	uint8_t *unit = calloc(1, WITNESS_UNIT);

	if (!unit)
		n->out->no_memory = true;
	return unit;
}

/* ---- phases ------------------------------------------------------------------------------------------------ */

void wit_enter(struct node *n, enum wit_phase phase, const char *why)
{
	struct wit *w = &n->wit;

	if (w->phase == WIT_SERVING && phase != WIT_SERVING)
		core_event(n, "witness", "witness-given-up", why);
	if (w->phase != WIT_SERVING && phase == WIT_SERVING)
		core_event(n, "witness", "witness-served", w->claim_why);
	w->phase = phase;
	CORE_COPY(w->why, why);
}

void witness_give_up(struct node *n, const char *why)
{
	struct wit *w = &n->wit;

	wit_stop(n);
	w->attempt++; /* answers to what was ordered for it mean nothing any more */
	w->again_ms = n->now_ms + WITNESS_AGAIN_MS;
	wit_enter(n, WIT_WATCHING, why);
}

static void down(struct node *n, const char *why)
{
	struct wit *w = &n->wit;

	wit_stop(n);
	w->attempt++;
	wit_op_vec_clear(&w->ops);
	wit_enter(n, WIT_DOWN, why);
}

/* Of this very witness an earlier process of this node has kept what it knew. */
static void begin_known(struct node *n)
{
	const struct node_witness_known *kept = &n->cfg.witness_known;

	n->wit.known = (struct witness_slot){ 0 };
	n->wit.kept = (struct node_witness_known){ 0 };
	if (memcmp(kept->uuid, n->wit.is.uuid, sizeof(kept->uuid)) != 0)
		return;
	n->wit.kept = *kept;
	wit_note_known(n, kept->generation, kept->record);
}

/* Another witness, or none: the session is for one. */
static void follow_config(struct node *n)
{
	struct wit *w = &n->wit;
	struct state_witness is;
	struct node_action *a;
	bool any = witness_configured(n, &is);

	if (any == (w->phase != WIT_OFF) && strcmp(is.url, w->is.url) == 0 &&
	    memcmp(is.uuid, w->is.uuid, sizeof(is.uuid)) == 0)
		return;
	down(n, "");
	a = core_emit(n, NODE_DO_WITNESS);
	a->witness.what = NODE_WITNESS_OPEN;
	CORE_COPY(a->witness.url, is.url);
	w->is = is;
	w->is_ms = n->now_ms;
	begin_known(n);
	wit_enter(n, any ? WIT_DOWN : WIT_OFF, any ? "connecting to it" : "");
}

static void on_path(struct node *n, const struct node_witness_event *ev)
{
	if (n->wit.phase == WIT_OFF)
		return;
	down(n, ev->up ? "" : ev->text);
	if (!ev->up)
		return;
	witness_watch_reset(&n->wit.watch, n->now_ms);
	wit_look(n);
}

/* ---- answers ------------------------------------------------------------------------------------------------------- */

static bool op_take(struct node *n, uint64_t id, struct wit_op *ret)
{
	for (size_t i = 0; i < n->wit.ops.n; i++)
		if (n->wit.ops.v[i].id == id) {
			*ret = n->wit.ops.v[i];
			wit_op_vec_remove(&n->wit.ops, i);
			return true;
		}
	return false;
}

static void on_persisted(struct node *n, const struct wit_op *op)
{
	if (op->seq == 0)
		return;
	n->wit.durable_generation = op->generation;
	n->wit.durable_record = op->record;
	wit_persisted(n, op->seq);
}

/* READ RESERVATION, asked for whichever reason. */
static void on_holder(struct node *n, const struct wit_op *op, const struct node_witness_event *ev)
{
	witness_watch_holder(&n->wit.watch, ev->holder, op->begun_ms);
	if (n->wit.phase != WIT_SERVING || op->attempt != n->wit.attempt)
		return;
	if (!ev->mine) {
		witness_give_up(n, "another node has taken it over");
		return;
	}
	n->wit.proven_generation = op->generation;
	n->wit.proven_record = op->record;
	wit_note_known(n, op->generation, op->record);
	wit_checked(n, op->id);
}

/* Of an attempt that was given up: it means nothing any more. */
static bool of_this_attempt(const struct node *n, const struct wit_op *op)
{
	return op->attempt == n->wit.attempt &&
	       (n->wit.phase == WIT_TAKING || n->wit.phase == WIT_SERVING);
}

static void on_ok(struct node *n, const struct wit_op *op, const struct node_witness_event *ev)
{
	if (op->what >= WIT_CLAIM && op->what <= WIT_PERSIST && !of_this_attempt(n, op))
		return;
	switch (op->what) {
	case WIT_SUPER:
		wit_on_super(n, ev->data, ev->len);
		break;
	case WIT_SLOT:
		break;
	case WIT_SLOTS:
		witness_watch_slots(&n->wit.watch, op->first, ev->data, ev->len, op->begun_ms,
				    n->now_ms);
		wit_note_slots(n);
		break;
	case WIT_HOLDER:
	case WIT_CHECK:
		on_holder(n, op, ev);
		break;
	case WIT_CLAIM:
		wit_order_read(n, WIT_OWNERS, WITNESS_OWNER_UNIT, 2);
		break;
	case WIT_OWNERS:
		wit_on_owners(n, ev->data, ev->len);
		break;
	case WIT_STAMP:
		break;
	case WIT_PROVE:
		wit_on_proven(n, ev->mine);
		break;
	case WIT_LOAD:
		wit_on_loaded(n, ev->data, ev->len);
		break;
	case WIT_PERSIST:
		on_persisted(n, op);
		break;
	}
}

static void on_failed(struct node *n, const struct wit_op *op, const char *text)
{
	if (op->what == WIT_SUPER)
		wit_foreign(n, text);
	else if ((op->what >= WIT_CLAIM || op->what == WIT_HOLDER) && of_this_attempt(n, op))
		witness_give_up(n, text);
}

void witness_on_event(struct node *n, const struct node_witness_event *ev)
{
	struct wit_op op;

	if (!n->raft)
		return;
	if (ev->report == NODE_WITNESS_PATH)
		on_path(n, ev);
	else if (!op_take(n, ev->id, &op))
		return; /* of a session that is gone */
	else if (ev->ok)
		on_ok(n, &op, ev);
	else
		on_failed(n, &op, ev->text);
}

/* ---- with each step --------------------------------------------------------------------------------------------------- */

void witness_step(struct node *n)
{
	follow_config(n);
	if (n->wit.phase == WIT_OFF)
		return;
	if (raft_leader(n->raft).node || n->wit.led_ms == 0)
		n->wit.led_ms = n->now_ms;
	if (!raft_leader(n->raft).node)
		n->wit.led_since_ms = n->now_ms;
	wit_tick(n);
	wit_poll_step(n);
	wit_advise_step(n);
	wit_check(n);
	wit_keep_known(n, false);
}

int64_t witness_deadline(const struct node *n)
{
	int64_t at = n->wit.phase >= WIT_FOREIGN ? n->wit.poll_ms : INT64_MAX;

	if (n->wit.raft && raft_deadline(n->wit.raft) < at)
		at = raft_deadline(n->wit.raft);
	return at;
}

void witness_free(struct node *n)
{
	wit_stop(n);
	wit_op_vec_fini(&n->wit.ops);
	wit_set_vec_fini(&n->wit.sets);
	wit_out_vec_fini(&n->wit.outbox);
	failure_vec_fini(&n->wit.failures);
	raft_actions_fini(&n->wit.out);
}
