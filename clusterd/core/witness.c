/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The witness's LUN as this node sees it: looking at it, watching, taking it over, giving it up. */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>
#include <string.h>

enum { SLOTS_AT_ONCE = 64, LOOK_AGAIN_MS = 5000 };

/* ---- what is configured ------------------------------------------------------------------------------- */

bool witness_configured(const struct node *n, struct state_witness *ret)
{
	const struct wit *w = &n->wit;

	*ret = w->sets.n ? w->sets.v[w->sets.n - 1].w : n->state.witness;
	return ret->url[0] != 0;
}

/* Found in our log, committed or not. To act on one that is cut later is harmless: whoever serves
 * the LUN of a witness that is no voter is counted by nobody. */
void witness_note_set(struct node *n, uint64_t index, const char *url, const uint8_t *uuid,
		      size_t uuid_len)
{
	struct wit_set s = { .index = index };

	if (strlen(url) >= sizeof(s.w.url) || (url[0] && uuid_len != sizeof(s.w.uuid)))
		return;
	CORE_COPY(s.w.url, url);
	if (url[0])
		memcpy(s.w.uuid, uuid, sizeof(s.w.uuid));
	if (wit_set_vec_push(&n->wit.sets, s) < 0)
		n->out->no_memory = true;
}

void witness_note_cut(struct node *n, uint64_t from)
{
	while (n->wit.sets.n && n->wit.sets.v[n->wit.sets.n - 1].index >= from)
		n->wit.sets.n--;
}

void witness_note_applied(struct node *n)
{
	while (n->wit.sets.n && n->wit.sets.v[0].index <= n->state.applied)
		wit_set_vec_remove(&n->wit.sets, 0);
}

struct raft_id witness_id(const struct state_witness *w)
{
	struct raft_id id = { .node = WITNESS_NODE };

	memcpy(id.uuid, w->uuid, sizeof(id.uuid));
	return id;
}

/* ---- orders to witnessd --------------------------------------------------------------------------------- */

/* data: malloced, given away. Returns the operation's id. */
uint64_t wit_order(struct node *n, enum wit_what what, int order, uint64_t offset, uint32_t len,
		   uint8_t *data)
{
	struct wit_op op = {
		.id = ++n->next_id, .attempt = n->wit.attempt, .what = what, .begun_ms = n->now_ms
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

static void order_read(struct node *n, enum wit_what what, uint64_t unit, uint32_t units)
{
	(void)wit_order(n, what, NODE_WITNESS_READ, unit * WITNESS_UNIT, units * WITNESS_UNIT,
			NULL);
}

static uint8_t *unit_new(struct node *n)
{
	uint8_t *unit = calloc(1, WITNESS_UNIT);

	if (!unit)
		n->out->no_memory = true;
	return unit;
}

/* ---- phases ------------------------------------------------------------------------------------------------ */

static void enter(struct node *n, enum wit_phase phase, const char *why)
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
	enter(n, WIT_WATCHING, why);
}

static void down(struct node *n, const char *why)
{
	struct wit *w = &n->wit;

	wit_stop(n);
	w->attempt++;
	wit_op_vec_clear(&w->ops);
	enter(n, WIT_DOWN, why);
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
	enter(n, any ? WIT_DOWN : WIT_OFF, any ? "connecting to its LUN" : "");
}

static void look(struct node *n)
{
	enter(n, WIT_LOOKING, "reading its superblock");
	order_read(n, WIT_SUPER, 0, 1);
}

static void on_path(struct node *n, const struct node_witness_event *ev)
{
	if (n->wit.phase == WIT_OFF)
		return;
	down(n, ev->up ? "" : ev->text);
	if (!ev->up)
		return;
	witness_watch_reset(&n->wit.watch, n->now_ms);
	look(n);
}

/* ---- watching ------------------------------------------------------------------------------------------------ */

static void foreign(struct node *n, const char *why)
{
	enter(n, WIT_FOREIGN, why);
	n->wit.poll_ms = n->now_ms + LOOK_AGAIN_MS;
}

static void on_super(struct node *n, const uint8_t *data, size_t len)
{
	struct wit *w = &n->wit;
	struct cl_error err = CL_ERROR_INIT;

	if (len != WITNESS_UNIT || witness_super_decode(data, &w->super, &err) < 0)
		foreign(n, err.code ? err.msg : "its superblock cannot be read");
	else if (memcmp(w->super.cluster, n->database, sizeof(n->database)) != 0)
		foreign(n, "the LUN is another cluster's witness");
	else if (memcmp(w->super.voter, w->is.uuid, sizeof(w->is.uuid)) != 0)
		foreign(n, "the LUN was made a witness anew: `set quorum` says which it is");
	else {
		enter(n, WIT_WATCHING, "watching who serves it");
		w->poll_ms = n->now_ms;
	}
}

static uint32_t highest_node(const struct node *n)
{
	uint32_t max = n->cfg.id;

	for (size_t i = 0; i < n->state.nodes.n; i++)
		if (n->state.nodes.v[i].id > max && n->state.nodes.v[i].id <= WITNESS_NODES_MAX)
			max = n->state.nodes.v[i].id;
	for (uint32_t i = 0; i < raft_config(n->raft)->n; i++)
		if (raft_config(n->raft)->member[i].id.node > max &&
		    raft_config(n->raft)->member[i].id.node <= WITNESS_NODES_MAX)
			max = raft_config(n->raft)->member[i].id.node;
	return max;
}

static void read_slots(struct node *n)
{
	uint32_t max = highest_node(n);

	for (uint32_t first = 1; first <= max; first += SLOTS_AT_ONCE) {
		uint32_t count = max - first + 1 < SLOTS_AT_ONCE ? max - first + 1 : SLOTS_AT_ONCE;

		order_read(n, WIT_SLOTS, WITNESS_SLOT_UNIT + first, count);
		wit_last_op(n)->first = first;
	}
}

static void write_slot(struct node *n)
{
	struct wit *w = &n->wit;
	struct wit_side side;
	struct witness_slot slot = {
		.node = n->cfg.id,
		.instance = n->cfg.instance,
		.beat = ++w->beat,
		.serving = w->phase == WIT_SERVING,
		.completes = wit_side(n, &side) && witness_completes(&side.s, true),
		.generation = w->durable_generation,
		.seq = w->durable_record,
	};
	uint8_t *unit = unit_new(n);

	if (!unit)
		return;
	witness_slot_encode(&slot, unit);
	(void)wit_order(n, WIT_SLOT, NODE_WITNESS_WRITE,
			(uint64_t)(WITNESS_SLOT_UNIT + n->cfg.id) * WITNESS_UNIT, WITNESS_UNIT,
			unit);
}

static bool polling(const struct wit *w)
{
	for (size_t i = 0; i < w->ops.n; i++)
		if (w->ops.v[i].what == WIT_SLOT || w->ops.v[i].what == WIT_SLOTS ||
		    w->ops.v[i].what == WIT_HOLDER)
			return true;
	return false;
}

static void poll_step(struct node *n)
{
	struct wit *w = &n->wit;

	if (n->now_ms < w->poll_ms)
		return;
	w->poll_ms = n->now_ms + WITNESS_POLL_MS;
	if (w->phase == WIT_FOREIGN) {
		look(n);
	} else if (w->phase >= WIT_WATCHING && !polling(w)) {
		write_slot(n);
		read_slots(n);
		(void)wit_order(n, WIT_HOLDER, NODE_WITNESS_CHECK, 0, 0, NULL);
	}
}

/* ---- this node's side ------------------------------------------------------------------------------------------ */

static bool present(const struct node *n, uint32_t id)
{
	if (id == n->cfg.id)
		return true;
	for (size_t i = 0; i < n->view.n_group; i++)
		if (n->view.group[i] == id)
			return beats_in_ring(n, id);
	return false;
}

bool wit_side(const struct node *n, struct wit_side *ret)
{
	const struct wit *w = &n->wit;

	memset(ret, 0, sizeof(*ret));
	if (!n->raft || w->phase == WIT_OFF)
		return false;
	ret->s = (struct witness_side){
		.self = n->cfg.id,
		.witness = witness_id(&w->is),
		.config = raft_config(n->raft),
		.present = ret->present,
		.path = ret->path,
		.leaderless = n->now_ms - w->led_ms >= WITNESS_LEADERLESS_MS,
		.dead_ms = (int64_t)n->cfg.token_ms + n->cfg.consensus_ms,
		.defects =
			n->cfg.defects & NODE_DEFECT_WITNESS_NO_WAIT ? WITNESS_DEFECT_NO_WAIT : 0,
	};
	for (uint32_t id = 1; id <= WITNESS_NODES_MAX; id++) {
		const struct peer *p = beats_peer(n, id);

		if (!present(n, id))
			continue;
		ret->present[ret->s.n_present++] = id;
		if (id == n->cfg.id ? w->phase >= WIT_WATCHING && n->now_ms >= w->again_ms
				    : p && beats_heard(n, id) && p->wit_path)
			ret->path[ret->s.n_path++] = id;
	}
	/* A word of another ring was said to another side. */
	if (n->now_ms - w->word_ms <= WITNESS_FRESH_MS && w->word_ring == n->view.ring)
		ret->s.word = w->word;
	return true;
}

/* ---- taking it over ---------------------------------------------------------------------------------------------- */

static void claim(struct node *n, const char *why)
{
	struct wit *w = &n->wit;

	w->attempt++;
	w->claim_why = why;
	enter(n, WIT_TAKING, why);
	(void)wit_order(n, WIT_CLAIM, NODE_WITNESS_CLAIM, 0, 0, NULL);
}

static void on_owners(struct node *n, const uint8_t *data, size_t len)
{
	struct wit *w = &n->wit;
	uint8_t *unit = unit_new(n);

	if (!unit || len != 2 * WITNESS_UNIT) {
		free(unit);
		witness_give_up(n, "its owner's record cannot be read");
		return;
	}
	w->owner = witness_owner_decode(data);
	w->owner.claim++;
	w->owner.node = n->cfg.id;
	witness_owner_encode(&w->owner, unit);
	(void)wit_order(n, WIT_STAMP, NODE_WITNESS_OWNER_WRITE,
			(WITNESS_OWNER_UNIT + w->owner.claim % 2) * WITNESS_UNIT, WITNESS_UNIT,
			unit);
	(void)wit_order(n, WIT_PROVE, NODE_WITNESS_CHECK, 0, 0, NULL);
}

static void load_more(struct node *n)
{
	uint64_t offset;
	uint32_t len;

	if (witness_log_wants(&n->wit.log, &offset, &len))
		(void)wit_order(n, WIT_LOAD, NODE_WITNESS_READ, offset, len, NULL);
}

static void on_proven(struct node *n, bool mine)
{
	struct wit *w = &n->wit;

	if (!mine) {
		witness_give_up(n, "another node took it over");
		return;
	}
	witness_log_fini(&w->log);
	witness_log_init(&w->log, &w->super, &w->owner);
	read_slots(n); /* once more: what the former host said at last of what was durable */
	load_more(n);
}

/* A slot tells of more than is here: this copy has forgotten what it vouched for (rule 22). */
static bool forgot(const struct wit *w)
{
	for (uint32_t i = 1; i <= WITNESS_NODES_MAX; i++)
		if (w->watch.seen[i].any && witness_log_lost(&w->log, &w->watch.seen[i].slot))
			return true;
	return false;
}

static void on_loaded(struct node *n, const uint8_t *data, size_t len)
{
	struct wit *w = &n->wit;
	struct cl_error err = CL_ERROR_INIT;
	uint64_t offset;
	uint32_t want;

	if (witness_log_give(&w->log, data, len) < 0) {
		witness_give_up(n, "its log cannot be read");
		return;
	}
	if (witness_log_wants(&w->log, &offset, &want)) {
		load_more(n);
		return;
	}
	if (forgot(w)) {
		wit_stop(n);
		foreign(n, "the LUN has lost records that the witness vouched for: make it anew "
			   "with `set quorum witness`");
		return;
	}
	if (!wit_serve(n, &err)) {
		wit_stop(n);
		foreign(n, err.msg);
		return;
	}
	enter(n, WIT_SERVING, "");
	witness_ring(n);
}

static void advise_step(struct node *n)
{
	struct wit *w = &n->wit;
	struct wit_side side;
	const char *why;
	bool serving = w->phase == WIT_SERVING || w->phase == WIT_TAKING;

	if (w->phase < WIT_WATCHING || !n->started || !wit_side(n, &side))
		return;
	switch (witness_advise(&w->watch, &side.s, serving, n->now_ms, &why)) {
	case WITNESS_STAY:
		break;
	case WITNESS_CLAIM:
		if (n->now_ms >= w->again_ms)
			claim(n, why);
		break;
	case WITNESS_YIELD:
		witness_give_up(n, why);
		break;
	}
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
	if (!ev->mine)
		witness_give_up(n, "another node has taken it over");
	else
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
		on_super(n, ev->data, ev->len);
		break;
	case WIT_SLOT:
		break;
	case WIT_SLOTS:
		witness_watch_slots(&n->wit.watch, op->first, ev->data, ev->len, op->begun_ms,
				    n->now_ms);
		break;
	case WIT_HOLDER:
	case WIT_CHECK:
		on_holder(n, op, ev);
		break;
	case WIT_CLAIM:
		order_read(n, WIT_OWNERS, WITNESS_OWNER_UNIT, 2);
		break;
	case WIT_OWNERS:
		on_owners(n, ev->data, ev->len);
		break;
	case WIT_STAMP:
		break;
	case WIT_PROVE:
		on_proven(n, ev->mine);
		break;
	case WIT_LOAD:
		on_loaded(n, ev->data, ev->len);
		break;
	case WIT_PERSIST:
		on_persisted(n, op);
		break;
	}
}

static void on_failed(struct node *n, const struct wit_op *op, const char *text)
{
	if (op->what == WIT_SUPER)
		foreign(n, text);
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
	poll_step(n);
	advise_step(n);
	wit_check(n);
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
