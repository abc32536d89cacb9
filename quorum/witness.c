/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "quorum/witness.h"

#include <string.h>

void witness_watch_reset(struct witness_watch *w, int64_t now_ms)
{
	*w = (struct witness_watch){ .since_ms = now_ms, .read_ms = now_ms };
}

static void since(int64_t *at, bool is, int64_t now_ms)
{
	if (!is)
		*at = INT64_MAX;
	else if (*at > now_ms)
		*at = now_ms;
}

static void see(struct witness_seen *s, const struct witness_slot *slot, int64_t now_ms)
{
	if (!s->any)
		*s = (struct witness_seen){ .any = true,
					    .moved_ms = now_ms,
					    .useless_ms = INT64_MAX,
					    .idle_ms = INT64_MAX };
	else if (s->slot.beat != slot->beat || s->slot.instance != slot->instance)
		s->moved_ms = now_ms;
	s->slot = *slot;
	since(&s->useless_ms, !slot->completes, now_ms);
	since(&s->idle_ms, !slot->serving, now_ms);
}

void witness_watch_slots(struct witness_watch *w, uint32_t first, const uint8_t *data, size_t len,
			 int64_t begun_ms, int64_t now_ms)
{
	struct witness_slot slot;

	for (size_t i = 0; (i + 1) * WITNESS_UNIT <= len && first + i <= WITNESS_NODES_MAX; i++)
		if (witness_slot_decode(data + i * WITNESS_UNIT, first + (uint32_t)i, &slot))
			see(&w->seen[first + i], &slot, now_ms);
	w->slots_known = true;
	w->read_ms = begun_ms;
}

void witness_watch_holder(struct witness_watch *w, uint32_t holder, int64_t begun_ms)
{
	w->holder = holder <= WITNESS_NODES_MAX ? holder : 0;
	w->holder_known = true;
	w->holder_ms = begun_ms;
}

/* ---- the side ---------------------------------------------------------------------------------------- */

static bool listed(const uint32_t *v, size_t n, uint32_t node)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == node)
			return true;
	return false;
}

static bool is_voter(const struct witness_side *side, uint32_t node)
{
	for (uint32_t i = 0; i < side->config->n; i++)
		if (side->config->member[i].id.node == node &&
		    side->config->member[i].role == RAFT_VOTER)
			return true;
	return false;
}

bool witness_completes(const struct witness_side *side, bool with_witness)
{
	const struct raft_member *m = raft_config_find(side->config, &side->witness);
	uint32_t votes = with_witness && m && m->role == RAFT_VOTER;

	for (size_t i = 0; i < side->n_present; i++)
		votes += is_voter(side, side->present[i]);
	return votes > raft_config_voters(side->config) / 2;
}

static uint32_t lowest(const struct witness_side *side)
{
	uint32_t best = 0;

	for (size_t i = 0; i < side->n_path; i++)
		if (listed(side->present, side->n_present, side->path[i]) &&
		    (!best || side->path[i] < best))
			best = side->path[i];
	return best;
}

/* ---- taking over without a word ------------------------------------------------------------------------ */

static bool silent(const struct witness_watch *w, uint32_t node, int64_t dead_ms)
{
	return w->read_ms - w->seen[node].moved_ms >= dead_ms;
}

static bool holder_gives_way(const struct witness_watch *w, const struct witness_side *side)
{
	const struct witness_seen *s = &w->seen[w->holder];
	bool with_us = listed(side->present, side->n_present, w->holder);

	if (!s->any) /* it never wrote: nobody of ours, or long ago */
		return w->read_ms - w->since_ms >= side->dead_ms;
	if (silent(w, w->holder, side->dead_ms))
		return true;
	if (with_us)
		return s->idle_ms <= w->read_ms - side->dead_ms;
	return s->useless_ms <= w->read_ms - side->dead_ms;
}

static bool others_come_first(const struct witness_watch *w, const struct witness_side *side)
{
	for (uint32_t i = 1; i < side->self; i++)
		if (w->seen[i].any && !listed(side->present, side->n_present, i) &&
		    !silent(w, i, side->dead_ms) && w->seen[i].slot.completes)
			return true;
	return false;
}

/* What was read of it says something of now. */
static bool looked(const struct witness_watch *w, int64_t now_ms)
{
	return w->slots_known && w->holder_known && now_ms - w->read_ms <= WITNESS_READ_MS &&
	       now_ms - w->holder_ms <= WITNESS_READ_MS;
}

static enum witness_advice alone(const struct witness_watch *w, const struct witness_side *side,
				 int64_t now_ms, const char **ret_why)
{
	*ret_why = "this side has no majority even with the witness";
	if (!witness_completes(side, true))
		return WITNESS_STAY;
	*ret_why = "a majority stands without the witness: its manager decides";
	if (witness_completes(side, false) && !side->leaderless)
		return WITNESS_STAY;
	*ret_why = "a node with a lower id takes it";
	if (lowest(side) != side->self)
		return WITNESS_STAY;
	*ret_why = "looking who holds it";
	/* Who was named has until then to obey, and would be robbed of what it has just taken over. */
	if (!looked(w, now_ms) || (w->holder_ms - side->named_ms <= WITNESS_NAMED_MS &&
				   !(side->defects & WITNESS_DEFECT_NAMED_UNREAD)))
		return WITNESS_STAY;
	*ret_why = "it was served here before";
	if (w->holder == side->self || (side->defects & WITNESS_DEFECT_NO_WAIT))
		return WITNESS_CLAIM;
	*ret_why = w->holder ? "its holder is silent, or of no use" : "nobody holds it";
	if (w->holder ? holder_gives_way(w, side) : !others_come_first(w, side))
		return WITNESS_CLAIM;
	*ret_why = "its holder lives";
	return WITNESS_STAY;
}

enum witness_advice witness_advise(const struct witness_watch *w, const struct witness_side *side,
				   bool serving, int64_t now_ms, const char **ret_why)
{
	if (side->word) {
		bool me = side->word == side->self;

		*ret_why = me ? "the manager says so" : "another node serves it";
		if (me == serving)
			return WITNESS_STAY;
		/* A process that slept hears words of a ring that has long gone, in that ring, and would take the witness from
		 * the side that has it now. Its own reading is as old as its sleep, and a new one ends behind those words. */
		if (me && !looked(w, now_ms) && !(side->defects & WITNESS_DEFECT_WORD_BLIND))
			return WITNESS_STAY;
		return me ? WITNESS_CLAIM : WITNESS_YIELD;
	}
	*ret_why = "";
	return serving ? WITNESS_STAY : alone(w, side, now_ms, ret_why);
}

/* ---- the leader's side --------------------------------------------------------------------------------- */

uint32_t witness_host(const struct witness_side *side, uint32_t serving)
{
	if (serving && listed(side->present, side->n_present, serving) &&
	    listed(side->path, side->n_path, serving))
		return serving;
	return lowest(side);
}

enum raft_member_role witness_role(const struct raft_config *config, const struct raft_id *witness,
				   size_t nodes)
{
	const struct raft_member *m = raft_config_find(config, witness);
	bool votes = m && m->role == RAFT_VOTER;
	uint32_t others = raft_config_voters(config) - votes;

	return others % 2 == 0 || (votes && others < 3 && nodes > 1) ? RAFT_VOTER : RAFT_LEARNER;
}
