/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command about the witness. That it becomes a voter, and when, is the manager's and raft's. */
#include "config.h"

#include "quorum/state_apply.h"

#include <string.h>

/*
 * A new uuid every time: a LUN that is made anew has forgotten what the copy on it vouched for, and
 * is another voter. Under its old uuid it could vote twice in a term.
 */
void apply_quorum_set(struct apply *ap, const Log__QuorumSet *c)
{
	struct state_witness w = { .since_ms = ap->time_ms };
	struct state_witness *is = &ap->state->witness;

	if (strlen(c->url) >= sizeof(w.url) || (c->url[0] && c->uuid.len != sizeof(w.uuid))) {
		apply_refuse(ap, -EINVAL, "a witness needs a uuid and an address of its LUN");
		return;
	}
	if (!c->url[0] && !is->url[0]) {
		apply_refuse(ap, -CL_EREFUSED, "there is no witness");
		return;
	}
	STATE_COPY(w.url, c->url);
	if (c->url[0])
		memcpy(w.uuid, c->uuid.data, sizeof(w.uuid));
	*is = w;
	apply_changed(ap, STATE_CHANGED_QUORUM, "witness", 0, 0,
		      c->url[0] ? "witness-set" : "witness-removed", -1, c->url);
}
