/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new line of history: `init --force` on a node that has lost its majority for ever, and a restore.
 *
 * It is for the case that the lost nodes will never come back as they were. Should they, the line decides:
 * (number, random id) goes with every message and precedes the term, and who meets a higher line sets its
 * own database aside (message.c). The volumes know it too: a coordinator's epoch is written on the volume,
 * and the old line's epochs are below the jump.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "quorum/state_force.h"

/* ---- whether ------------------------------------------------------------------------------------------ */

static bool is_named(const struct node_request *rq, const char *name)
{
	for (size_t i = 0; i < rq->n_volumes; i++)
		if (strcmp(rq->volumes[i], name) == 0)
			return true;
	return false;
}

/* How the node shows that it is not gone; NULL: it does not. */
static const char *sign_of_life(const struct node *n, const struct state_node *s)
{
	const struct peer *p = beats_peer(n, s->id);

	if (p && n->now_ms - p->heard_ms <= FORCE_HEARD_MS)
		return "its clusterd is heard";
	return beats_in_ring(n, s->id) ? "it is on the ring" : NULL;
}

static bool refuse_signs(struct node *n, const struct node_request *rq)
{
	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];
		const char *sign = s->id == n->cfg.id ? NULL : sign_of_life(n, s);

		if (!sign || is_named(rq, s->name))
			continue;
		core_reply(
			n, rq->client, -CL_EREFUSED,
			"what it has and we have not is lost; if that is meant, name it: --without",
			"node '%s' shows signs of life: %s", s->name, sign);
		return true;
	}
	return false;
}

static bool refuse_names(struct node *n, const struct node_request *rq)
{
	for (size_t i = 0; i < rq->n_volumes; i++) {
		const struct state_node *s = state_node_by_name(&n->state, rq->volumes[i]);

		if (s && s->id != n->cfg.id)
			continue;
		core_reply(n, rq->client, s ? -EINVAL : -ENOENT, "",
			   s ? "node '%.63s' cannot be left behind: it is this one"
			     : "no node '%.63s'",
			   rq->volumes[i]);
		return true;
	}
	return false;
}

static bool refuse(struct node *n, const struct node_request *rq)
{
	if (refuse_names(n, rq))
		return true;
	if (!state_node(&n->state, n->cfg.id)) {
		core_reply(n, rq->client, -CL_EREFUSED, "try another node that is left",
			   "this node's copy is not whole: it was only being made");
		return true;
	}
	/* One that was inherited speaks of a majority of a while ago: of two minutes after a planned stop. */
	if ((beats_may_run(n) && !n->lease.inherited) || log_is_leader(n)) {
		core_reply(n, rq->client, -CL_EREFUSED, "clusterctl status shows the cluster",
			   "a majority of the voters is there: nothing has to be forced");
		return true;
	}
	if (request_founding(n)) {
		core_reply(n, rq->client, -CL_EREFUSED, "", "it is being done");
		return true;
	}
	return refuse_signs(n, rq);
}

/* For a node that has nothing, in a cluster that has nothing any more. */
static bool refuse_restore(struct node *n, const struct node_request *rq, const struct state *s)
{
	const struct state_node *self = state_node(s, n->cfg.id);

	if (!self || strcmp(self->name, n->cfg.name) != 0) {
		core_reply(n, rq->client, -CL_EREFUSED, "restore it on a node that it knows",
			   "the backup knows no node '%s' with id %u", n->cfg.name, n->cfg.id);
		return true;
	}
	if (n->view.n_group > 1 && !rq->force) {
		core_reply(n, rq->client, -CL_EREFUSED,
			   "join them if they have the database, else add --force",
			   "clusterd runs on other nodes of this ring");
		return true;
	}
	return false;
}

/* ---- doing it ----------------------------------------------------------------------------------------- */

/*
 * Entries behind the last that we know to be committed may have been: the lost majority's word of it may
 * have been lost with it. All are taken; one that never was committed does no harm, as every node and
 * every number begins anew.
 */
static int apply_rest(const struct node *n, struct state *state)
{
	struct state_result res;

	for (uint64_t i = state->applied + 1; i <= raft_last_index(n->raft); i++) {
		const struct raft_entry *e = raft_entry(n->raft, i);

		if (!e || e->type != RAFT_ENTRY_COMMAND)
			state->applied = i;
		else if (state_apply(state, i, e->data, e->len, 0, &res, NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

int node_known(const struct node *n, struct state *ret)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t len;
	int r = state_encode(&n->state, &bytes, &len);

	if (r == 0)
		r = state_decode(bytes, len, ret, NULL);
	if (r < 0)
		return r;
	ret->knows = n->state.knows;
	if (n->raft)
		r = apply_rest(n, ret);
	if (r < 0)
		state_fini(ret);
	return r;
}

static uint64_t random_id(const struct node_request *rq)
{
	uint64_t x = 0;

	for (size_t i = 0; rq->uuid && i < 8; i++)
		x = x << 8 | rq->uuid[i];
	return x;
}

static unsigned force_defects(const struct node *n)
{
	unsigned defects = 0;

	if (n->cfg.defects & NODE_DEFECT_FORCE_NO_JUMP)
		defects |= STATE_FORCE_DEFECT_NO_JUMP;
	if (n->cfg.defects & NODE_DEFECT_FORCE_NO_DEBTS)
		defects |= STATE_FORCE_DEFECT_NO_DEBTS;
	return defects;
}

bool force_new(struct node *n, const struct node_request *rq)
{
	struct raft_line line = n->line;
	uint64_t term;

	if (refuse(n, rq))
		return false;
	if (apply_rest(n, &n->state) < 0)
		n->out->no_memory = true;
	term = raft_term(n->raft) + 1;
	line.number++;
	line.random_id = random_id(rq);
	state_force_self(&n->state, n->cfg.id, n->cfg.uuid);
	if (state_force(&n->state, n->cfg.id, STATE_LINE_JUMP, n->wall_ms,
			"left behind when the cluster was begun anew by --force",
			force_defects(n)) < 0)
		n->out->no_memory = true;
	log_begin_line(n, &line, term);
	core_event(n, n->cfg.name, "line-begun",
		   "init --force: this node's copy is the cluster now");
	return true;
}

/* What the backup does not say was lost. It may be older than a line that was forced since: far above it. */
bool force_restore(struct node *n, const struct node_request *rq)
{
	struct raft_line line = { .number = rq->line + STATE_LINE_JUMP };
	struct state s;

	if (state_decode(rq->spec, rq->spec_len, &s, NULL) < 0) {
		core_reply(n, rq->client, -CL_ECORRUPT, "", "the backup does not hold together");
		return false;
	}
	if (refuse_restore(n, rq, &s)) {
		state_fini(&s);
		return false;
	}
	state_fini(&n->state);
	n->state = s;
	n->state.knows = n->cfg.schema;
	memcpy(n->database, s.cluster_uuid, sizeof(n->database));
	state_force_self(&n->state, n->cfg.id, n->cfg.uuid);
	line.random_id = random_id(rq);
	if (state_force(&n->state, n->cfg.id, STATE_RESTORE_JUMP, n->wall_ms,
			"not there when the cluster was restored from a backup", 0) < 0)
		n->out->no_memory = true;
	log_begin_line(n, &line, 1);
	core_event(n, n->cfg.name, "line-begun", "restored from a backup");
	return true;
}
