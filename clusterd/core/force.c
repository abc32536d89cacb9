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

/* ---- what it has ----------------------------------------------------------------------------------------- */

/*
 * Entries behind the last that we know to be committed may have been: the lost majority's word of it may
 * have been lost with it. All are taken, as far as last_as_member(); one that never was committed does no
 * harm, as every node and every number begins anew.
 */
static int apply_rest(const struct node *n, struct state *state, uint64_t upto)
{
	struct state_result res;

	for (uint64_t i = state->applied + 1; i <= upto; i++) {
		const struct raft_entry *e = raft_entry(n->raft, i);

		if (!e || e->type != RAFT_ENTRY_COMMAND)
			state->applied = i;
		else if (state_apply(state, i, e->data, e->len, 0, &res, NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int copy_state(const struct node *n, struct state *ret)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t len;
	int r = state_encode(&n->state, &bytes, &len);

	if (r == 0)
		r = state_decode(bytes, len, ret, NULL);
	if (r == 0)
		ret->knows = n->state.knows;
	return r;
}

int node_known(const struct node *n, struct state *ret)
{
	int r = copy_state(n, ret);

	if (r < 0)
		return r;
	if (n->raft)
		r = apply_rest(n, ret, raft_last_index(n->raft));
	if (r < 0)
		state_fini(ret);
	return r;
}

/*
 * The last entry with which this node is a member. One that was leaving may have read of its removal, or of that of its
 * former self: a line that begins behind it has no node, and the last copy there is would be set aside as a
 * stranger's (simulator: all-online, seed 82482 of its time).
 */
static int last_as_member(const struct node *n, uint64_t *ret)
{
	uint64_t last = n->raft ? raft_last_index(n->raft) : 0;
	struct state s;
	int r = copy_state(n, &s);

	if (r < 0)
		return r;
	*ret = s.applied;
	for (uint64_t i = s.applied + 1; r == 0 && i <= last; i++) {
		r = apply_rest(n, &s, i);
		if (state_node(&s, n->cfg.id) || (n->cfg.defects & NODE_DEFECT_FORCE_REMOVED))
			*ret = i;
	}
	state_fini(&s);
	return r;
}

/*
 * What this node would go on with. Of a process that has just begun more than its state: what it knows to be committed is
 * its last snapshot, and a young cluster has none (simulator: force, seed 242768 of its time).
 */
static int state_to_force(const struct node *n, struct state *ret)
{
	uint64_t upto;
	int r = last_as_member(n, &upto);

	if (r == 0)
		r = copy_state(n, ret);
	if (r < 0 || (n->cfg.defects & NODE_DEFECT_FORCE_APPLIED))
		return r;
	r = apply_rest(n, ret, upto);
	if (r < 0)
		state_fini(ret);
	return r;
}

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

static bool refuse_signs(struct node *n, const struct node_request *rq, const struct state *known)
{
	for (size_t i = 0; i < known->nodes.n; i++) {
		const struct state_node *s = &known->nodes.v[i];
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

static bool refuse_names(struct node *n, const struct node_request *rq, const struct state *known)
{
	for (size_t i = 0; i < rq->n_volumes; i++) {
		const struct state_node *s = state_node_by_name(known, rq->volumes[i]);

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

static bool refuse(struct node *n, const struct node_request *rq, const struct state *known)
{
	if (refuse_names(n, rq, known))
		return true;
	if (!state_node(known, n->cfg.id)) {
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
	return refuse_signs(n, rq, known);
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
	struct state known;
	uint64_t term;

	if (state_to_force(n, &known) < 0) {
		core_reply(n, rq->client, -ENOMEM, "", "out of memory");
		return false;
	}
	if (refuse(n, rq, &known)) {
		state_fini(&known);
		return false;
	}
	state_fini(&n->state);
	n->state = known;
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
