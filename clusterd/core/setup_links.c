/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node's other address (clusterd/corosync_move.h): when the next step may be taken, or it is to be taken back.
 *
 * Every node says in its beats whether all links of the present setup stand, from its side to all others. Only
 * when all say so is a link deleted: with one pair that missed it, the two would have no link in common, and the
 * ring would part. All means every member: one that is away would come back by a corosync.conf of before, and look
 * for the others where they are no longer.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>

static const char *name_of(const struct node *n, uint32_t id)
{
	const struct state_node *s = state_node(&n->state, id);

	return s ? s->name : "a node that has not come yet";
}

static const struct node_links *links_of(const struct node *n, uint32_t id)
{
	const struct peer *p = beats_peer(n, id);

	return id == n->cfg.id ? &n->links : p ? &p->links : NULL;
}

/* It has no such address, and knows it: it will not be otherwise in a moment. */
static const struct state_node *without_address(const struct node *n)
{
	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];
		const struct node_links *l = links_of(n, s->id);

		if (l && l->moving == n->state.setup.version && l->node == s->id)
			return s;
	}
	return NULL;
}

/* What s says; false: all is well. */
static bool say_why(const struct node *n, const struct state_node *s, char ret[STATE_REASON_MAX])
{
	const struct node_links *l = links_of(n, s->id);

	if (l && l->stand >= n->state.setup.version)
		return false;
	if (l && l->moving == n->state.setup.version && l->node)
		(void)snprintf(ret, STATE_REASON_MAX,
			       "'%.60s' and '%.60s' do not connect on link %u", s->name,
			       name_of(n, l->node), l->link);
	else
		(void)snprintf(ret, STATE_REASON_MAX, "'%s' has not loaded it", s->name);
	return true;
}

static bool is_up(const struct node *n, const struct state_node *s)
{
	return s->phase == STATE_NODE_LIVING && (s->id == n->cfg.id || beats_heard(n, s->id));
}

/* All is well: true. *ret_waits: it may yet be. Who is away is named, not those who miss him. */
static bool all_stand(const struct node *n, char ret_why[STATE_REASON_MAX], bool *ret_waits)
{
	const struct state_node *without = without_address(n);

	*ret_waits = !without && n->now_ms - n->links_ms < CORE_LINK_MS;
	if (without) {
		(void)snprintf(ret_why, STATE_REASON_MAX, "no interface of '%s' has it",
			       without->name);
		return false;
	}
	for (size_t i = 0; i < n->state.nodes.n; i++) {
		if (is_up(n, &n->state.nodes.v[i]))
			continue;
		(void)snprintf(ret_why, STATE_REASON_MAX, "'%s' is not up",
			       n->state.nodes.v[i].name);
		return false;
	}
	for (size_t i = 0; i < n->state.nodes.n; i++)
		if (say_why(n, &n->state.nodes.v[i], ret_why))
			return false;
	return true;
}

void setup_links_step(struct node *n)
{
	char why[STATE_REASON_MAX] = "";
	bool waits;

	if (n->links.moving != n->state.setup.version || !n->links.moving)
		return;
	if (n->links_version != n->state.setup.version) {
		n->links_version = n->state.setup.version;
		n->links_ms = n->now_ms;
	}
	if (!all_stand(n, why, &waits)) {
		if (n->cfg.defects & NODE_DEFECT_LINK_EARLY)
			why[0] = '\0';
		else if (waits)
			return;
	}
	if (log_in_flight(n, "setup") || !agent_due(n, &n->links_told_ms))
		return;
	CORE_COPY(core_emit(n, NODE_DO_SETUP_MOVE)->reply.text, why);
}
