/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watching the witness's LUN: whose it is, who is alive there; and how this node's side stands. */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

enum { SLOTS_AT_ONCE = 64, LOOK_AGAIN_MS = 5000 };

/* ---- watching ------------------------------------------------------------------------------------------------ */

void wit_look(struct node *n)
{
	wit_enter(n, WIT_LOOKING, "reading its superblock");
	wit_order_read(n, WIT_SUPER, 0, 1);
}

void wit_foreign(struct node *n, const char *why)
{
	wit_enter(n, WIT_FOREIGN, why);
	n->wit.poll_ms = n->now_ms + LOOK_AGAIN_MS;
}

void wit_on_super(struct node *n, const uint8_t *data, size_t len)
{
	struct wit *w = &n->wit;
	struct cl_error err = CL_ERROR_INIT;

	if (len != WITNESS_UNIT || witness_super_decode(data, &w->super, &err) < 0)
		wit_foreign(n, err.code ? err.msg : "its superblock cannot be read");
	else if (memcmp(w->super.cluster, n->database, sizeof(n->database)) != 0)
		wit_foreign(n, "it is another cluster's witness");
	else if (memcmp(w->super.voter, w->is.uuid, sizeof(w->is.uuid)) != 0)
		wit_foreign(n, "it was made a witness anew: `set quorum` says which it is");
	else {
		wit_enter(n, WIT_WATCHING, "watching who serves it");
		w->poll_ms = n->now_ms;
	}
}

/* The last record that was durable, by anybody's word. Kept when the path goes: what comes back may be older. */
void wit_note_known(struct node *n, uint64_t generation, uint64_t record)
{
	struct witness_slot *k = &n->wit.known;

	if (generation < k->generation || (generation == k->generation && record <= k->seq))
		return;
	k->generation = generation;
	k->seq = record;
}

/*
 * All may end at once, and an old copy be there when they begin. Not with each record, for it is a sync: of the last ten
 * seconds before a power cut an old copy is not told.
 */
void wit_keep_known(struct node *n, bool at_once)
{
	struct wit *w = &n->wit;
	struct node_witness_known now = { .generation = w->known.generation,
					  .record = w->known.seq };

	memcpy(now.uuid, w->is.uuid, sizeof(now.uuid));
	if (w->phase == WIT_OFF || !now.generation || (!at_once && n->now_ms < w->keep_ms) ||
	    memcmp(&now, &w->kept, sizeof(now)) == 0)
		return;
	w->keep_ms = n->now_ms + WITNESS_KEEP_MS;
	w->kept = now;
	core_emit(n, NODE_DO_WITNESS_KNOWN)->witness_known = now;
}

void wit_note_slots(struct node *n)
{
	const struct witness_watch *w = &n->wit.watch;

	for (uint32_t i = 1; i <= WITNESS_NODES_MAX; i++)
		if (w->seen[i].any)
			wit_note_known(n, w->seen[i].slot.generation, w->seen[i].slot.seq);
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

void wit_read_slots(struct node *n)
{
	uint32_t max = highest_node(n);

	for (uint32_t first = 1; first <= max; first += SLOTS_AT_ONCE) {
		uint32_t count = max - first + 1 < SLOTS_AT_ONCE ? max - first + 1 : SLOTS_AT_ONCE;

		wit_order_read(n, WIT_SLOTS, WITNESS_SLOT_UNIT + first, count);
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
		.generation = w->proven_generation,
		.seq = w->proven_record,
	};
	uint8_t *unit = wit_unit_new(n);

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

void wit_poll_step(struct node *n)
{
	struct wit *w = &n->wit;

	if (n->now_ms < w->poll_ms)
		return;
	w->poll_ms = n->now_ms + WITNESS_POLL_MS;
	if (w->phase == WIT_FOREIGN) {
		wit_look(n);
	} else if (w->phase >= WIT_WATCHING && !polling(w)) {
		write_slot(n);
		wit_read_slots(n);
		(void)wit_order(n, WIT_HOLDER, NODE_WITNESS_CHECK, 0, 0, NULL);
	}
}

/* ---- this node's side ------------------------------------------------------------------------------------------ */

/* A node of this side; whether it reaches the witness as well. */
static void side_add(const struct node *n, struct wit_side *side, uint32_t id)
{
	const struct wit *w = &n->wit;
	const struct peer *p = beats_peer(n, id);

	side->present[side->s.n_present++] = id;
	if (id == n->cfg.id ? w->phase >= WIT_WATCHING && n->now_ms >= w->again_ms
			    : p && beats_heard(n, id) && p->wit_path)
		side->path[side->s.n_path++] = id;
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
		.named_ms = w->named_ms,
		.defects = n->cfg.witness_defects,
	};
	side_add(n, ret, n->cfg.id);
	for (size_t i = 0; i < n->view.n_group; i++) {
		uint32_t id = n->view.group[i];

		if (id != n->cfg.id && id <= WITNESS_NODES_MAX && beats_in_ring(n, id))
			side_add(n, ret, id);
	}
	/* A word of another ring was said to another side. */
	if (n->now_ms - w->word_ms <= WITNESS_FRESH_MS && w->word_ring == n->view.ring)
		ret->s.word = w->word;
	return true;
}
