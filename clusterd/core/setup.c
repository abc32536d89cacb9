/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cluster's setup on its way into every node's files, and nodes that go for good.
 *
 * Order of a change of corosync's configuration: the entry; every living node writes its file and says
 * so in its beats; only then the leader has corosync load it, everywhere at once; who asked for it is
 * answered when every living node's corosync runs by it. So a new node starts when all know it: one
 * that some know and others do not would tear the ring.
 *
 * A node leaves in this order: drained; it ends all that it holds and says so; `failed` without harm,
 * for nothing of it runs; fences paid; votes no more; removed from the database, and with it from the
 * members of the log; and at last, when it is off the ring, from corosync's configuration.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

/* ---- writing and loading ---------------------------------------------------------------------- */

void setup_on_files(struct node *n, const struct node_setup_event *ev)
{
	n->setup_written = ev->written;
	n->setup_loaded = ev->loaded;
	n->setup_fits = ev->fits;
	n->setup_fits_device = ev->fits_device;
	n->links = ev->links;
	/* votequorum took its number from the file again: say ours anew. */
	if (ev->reloaded)
		n->expected_votes = 0;
}

static void write_files(struct node *n)
{
	if (n->setup_told == n->state.setup.version)
		return;
	n->setup_told = n->state.setup.version;
	core_emit(n, NODE_DO_SETUP);
}

static bool all_living(const struct node *n, bool loaded, uint64_t version)
{
	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];
		const struct peer *p = beats_peer(n, s->id);

		if (s->phase != STATE_NODE_LIVING || s->leaving)
			continue;
		if (s->id == n->cfg.id
			    ? (loaded ? n->setup_loaded : n->setup_written) < version
			    : !p || (loaded ? p->setup_loaded : p->setup_written) < version)
			return false;
	}
	return true;
}

bool setup_everywhere(const struct node *n, uint64_t version)
{
	return all_living(n, true, version);
}

bool node_setup_loaded(const struct node *n)
{
	return setup_everywhere(n, n->state.setup.version);
}

static void load(struct node *n)
{
	uint64_t version = n->state.setup.version;

	if (all_living(n, true, version) ||
	    (!all_living(n, false, version) && !(n->cfg.defects & NODE_DEFECT_RELOAD_EARLY)) ||
	    n->now_ms - n->reload_ms < CORE_RELOAD_MS)
		return;
	n->reload_ms = n->now_ms;
	core_emit(n, NODE_DO_SETUP_RELOAD);
}

/* ---- nodes that go ------------------------------------------------------------------------------- */

bool setup_runs_nothing(const struct node *n, uint32_t id)
{
	const struct state *s = &n->state;

	for (size_t i = 0; i < s->resources.n; i++)
		if (s->resources.v[i].owner == id || s->resources.v[i].target == id)
			return false;
	return true;
}

bool setup_holds_nothing(const struct node *n, uint32_t id)
{
	const struct state *s = &n->state;

	if (!setup_runs_nothing(n, id))
		return false;
	for (size_t i = 0; i < s->volumes.n; i++)
		if (s->volumes.v[i].coordinator == id)
			return false;
	return true;
}

bool setup_may_remove(const struct node *n, const struct state_node *s)
{
	return !state_cannot_remove(&n->state, s) ||
	       ((n->cfg.defects & NODE_DEFECT_REMOVE_EARLY) && s->phase != STATE_NODE_LIVING);
}

static void propose_remove(struct node *n, const struct state_node *s, const char *cause)
{
	COMMAND(NODE_REMOVE, NodeRemove, node_remove);

	m.node = s->id;
	m.incarnation = s->incarnation;
	m.cause = COMMAND_STRING(cause);
	(void)log_propose(n, s->name, &c);
}

/* It has said itself that it ended all: no need to wait for its bound. */
static void propose_silent(struct node *n, const struct state_node *s)
{
	COMMAND(NODE_SILENT, NodeSilent, node_silent);

	m.node = s->id;
	m.incarnation = s->incarnation;
	m.cause = COMMAND_STRING("it has ended all itself");
	(void)log_propose(n, s->name, &c);
}

/*
 * It forgets its database when it reads of its removal. With a vote it would leave behind a majority that
 * needs it: of two nodes the other one could neither commit that it votes no more nor elect a leader.
 */
static bool still_votes(const struct node *n, uint32_t id)
{
	return !(n->cfg.defects & NODE_DEFECT_REMOVED_VOTES) && manager_is_voter(n, id);
}

static void going(struct node *n, const struct state_node *s)
{
	const struct peer *p = beats_peer(n, s->id);
	bool ended = s->id == n->cfg.id ? n->cleaned && n->ended >= s->incarnation
					: p && p->cleaned && p->ended >= s->incarnation;

	if (!s->leaving || s->phase == STATE_NODE_LIVING || log_in_flight(n, s->name))
		return;
	if (s->silent < s->incarnation && ended)
		propose_silent(n, s);
	else if (setup_may_remove(n, s) && !still_votes(n, s->id))
		propose_remove(n, s, "asked for");
}

/* Of corosync's configuration, when they are off the ring: it would go on with them one-sidedly. */
static void strip(struct node *n)
{
	bool on_ring = false;

	if (!state_setup_has_gone(&n->state.setup) || log_in_flight(n, "setup"))
		return;
	for (uint32_t id = 1; id <= 255; id++)
		on_ring =
			on_ring || (state_setup_gone(&n->state.setup, id) && beats_in_ring(n, id));
	if (!on_ring) {
		n->on_ring_ms = n->now_ms;
	} else if (n->now_ms - n->on_ring_ms < CORE_AWAY_MS) {
		return;
	}
	if (!agent_due(n, &n->strip_ms))
		return;
	core_emit(n, NODE_DO_SETUP_STRIP);
}

/*
 * Corosync's vote for the witness. Nothing rests on its moment: before the section is there a node that is
 * left has no quorum and starts nothing, and what votes in the log is the log's matter.
 */
static void device(struct node *n)
{
	bool wants = node_wants_device(n);

	if (!n->state.setup.version || state_setup_has_gone(&n->state.setup) ||
	    (n->setup_fits == n->state.setup.version && n->setup_fits_device == wants) ||
	    log_in_flight(n, "setup") || !agent_due(n, &n->device_ms))
		return;
	core_emit(n, NODE_DO_SETUP_DEVICE);
}

/* What was handed over when the cluster was stopped runs again: it is stopped, too. */
static void stop_again(struct node *n)
{
	COMMAND(CLUSTER_STOP, ClusterStop, cluster_stop);

	for (size_t i = 0; n->state.stopped && i < n->state.resources.n; i++) {
		enum state_phase phase = n->state.resources.v[i].phase;

		if (phase != STATE_ONLINE && phase != STATE_STARTING && phase != STATE_MIGRATING)
			continue;
		m.on = true;
		m.save = n->state.stop_saves;
		(void)log_propose(n, "cluster", &c);
		return;
	}
}

void setup_step(struct node *n)
{
	write_files(n);
	if (!log_is_leader(n)) {
		n->on_ring_ms = n->now_ms;
		n->links_version = 0;
		return;
	}
	for (size_t i = 0; i < n->state.nodes.n; i++)
		going(n, &n->state.nodes.v[i]);
	if (!state_setup_has_gone(&n->state.setup))
		n->on_ring_ms = n->now_ms;
	strip(n);
	device(n);
	setup_links_step(n);
	load(n);
	stop_again(n);
}
