/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes that count with different L (corosync's token or consensus was changed on some, or they were restarted at
 * different times). The bound of N has to be by N's own L, and whoever leads then may never have heard N: so it stands in
 * the database, from N's admission on, and a beat by a longer one is not acked (docs/timing.md, "Different lengths").
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "quorum/state_schema.h"

int64_t length_of(const struct node *n, const struct state_node *s)
{
	int64_t said_ms = n->cfg.defects & NODE_DEFECT_LENGTH_OWN ? 0 : s->lease_ms;

	return said_ms > n->lease.length_ms ? said_ms : n->lease.length_ms;
}

bool length_fits(const struct state *state, const Core__Message *beat, uint64_t defects)
{
	const struct state_node *s = state_node(state, beat->from);

	return (defects & NODE_DEFECT_LENGTH_OWN) || !s || !s->lease_ms ||
	       beat->beat->lease_ms <= s->lease_ms;
}

uint32_t length_said(const struct node *n, const struct peer *p)
{
	return state_schema(&n->state) < SCHEMA_LENGTH || p->lease_ms > STATE_LEASE_MAX_MS
		       ? 0
		       : p->lease_ms;
}

void length_step(struct node *n, const struct state_node *s)
{
	const struct peer *p = beats_peer(n, s->id);
	COMMAND(NODE_LEASE, NodeLease, node_lease);

	if (!p || p->incarnation != s->incarnation || length_said(n, p) <= s->lease_ms ||
	    log_in_flight(n, s->name))
		return;
	m.node = s->id;
	m.incarnation = s->incarnation;
	m.lease_ms = p->lease_ms;
	(void)log_propose(n, s->name, &c);
}

bool length_differs(const struct node *n, const struct peer *p, char *why, size_t size)
{
	if (!p->lease_ms || p->lease_ms == n->lease.length_ms)
		return false;
	(void)snprintf(why, size,
		       "its run lease is %" PRIu32 " ms, %.40s's %" PRId64
		       " ms: another token or consensus; restart it by and by",
		       p->lease_ms, n->cfg.name, n->lease.length_ms);
	return true;
}

/* Each node writes the line, once for each change. */
void length_heard(struct node *n, struct peer *p, uint32_t lease_ms)
{
	const struct state_node *s = state_node(&n->state, p->id);
	char why[STATE_REASON_MAX];
	bool was = p->lease_ms && p->lease_ms != n->lease.length_ms;

	if (p->lease_ms == lease_ms || !s)
		return;
	p->lease_ms = lease_ms;
	if (length_differs(n, p, why, sizeof(why)))
		core_event_of(n, p->id, s->name, "lease-differs", why, -1);
	else if (was)
		core_event_of(n, p->id, s->name, "lease-fits", "", -1);
}
