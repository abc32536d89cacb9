/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking the witness over, step by step, until its log was read (docs/witness.md). */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdlib.h>

static void claim(struct node *n, const char *why)
{
	struct wit *w = &n->wit;

	w->attempt++;
	w->claim_why = why;
	wit_enter(n, WIT_TAKING, why);
	(void)wit_order(n, WIT_CLAIM, NODE_WITNESS_CLAIM, 0, 0, NULL);
}

void wit_on_owners(struct node *n, const uint8_t *data, size_t len)
{
	struct wit *w = &n->wit;
	uint8_t *unit = wit_unit_new(n);

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

void wit_on_proven(struct node *n, bool mine)
{
	struct wit *w = &n->wit;

	if (!mine) {
		witness_give_up(n, "another node took it over");
		return;
	}
	witness_log_fini(&w->log);
	witness_log_init(&w->log, &w->super, &w->owner);
	wit_read_slots(n); /* once more: what the former host said at last of what was durable */
	load_more(n);
}

void wit_on_loaded(struct node *n, const uint8_t *data, size_t len)
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
	/* This copy has forgotten what it vouched for (rule 22): less than a slot says, or said. */
	if (witness_log_lost(&w->log, &w->known)) {
		wit_stop(n);
		wit_foreign(n, "it has lost records that it vouched for: make it anew with "
			       "`set quorum witness`");
		return;
	}
	if (!wit_serve(n, &err)) {
		wit_stop(n);
		wit_foreign(n, err.msg);
		return;
	}
	wit_enter(n, WIT_SERVING, "");
	witness_ring(n);
}

void wit_advise_step(struct node *n)
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
