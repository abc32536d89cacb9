/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two versions in one cluster: what all know, and raising it (quorum/state_schema.h). */
#include "config.h"

#include "clusterd/core/internal.h"

#include "quorum/state_schema.h"

uint32_t schema_known(const struct node *n)
{
	return n->cfg.schema ? n->cfg.schema : STATE_SCHEMA;
}

static bool applies(const struct node *n, const struct state_node *s, bool *ret_votes)
{
	struct raft_id id = { .node = s->id };
	const struct raft_member *m;

	memcpy(id.uuid, s->uuid, sizeof(id.uuid));
	m = raft_config_find(raft_config(n->raft), &id);
	*ret_votes = m && m->role == RAFT_VOTER;
	return m != NULL;
}

/* Of all who apply the log. A voter that is not heard holds it up, until it votes no more; a learner that is
 * away finds out by itself when it is back, and does not run. */
static uint32_t known_to_all(const struct node *n)
{
	uint32_t least = schema_known(n);

	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];
		const struct peer *p = beats_peer(n, s->id);
		bool votes;

		if (s->id == n->cfg.id || !applies(n, s, &votes))
			continue;
		if (!p || !beats_heard(n, s->id)) {
			if (votes || s->phase == STATE_NODE_LIVING)
				return 1;
		} else if (p->schema < least) {
			least = p->schema;
		}
	}
	return least;
}

void manager_schema_step(struct node *n)
{
	uint32_t to = n->cfg.defects & NODE_DEFECT_SCHEMA_EARLY ? schema_known(n) : known_to_all(n);
	COMMAND(SCHEMA_RAISE, SchemaRaise, schema_raise);

	if (to <= state_schema(&n->state))
		return;
	m.schema = to;
	(void)log_propose(n, "schema", &c);
}
