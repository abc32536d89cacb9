/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manager, on the leader alone: who has failed, until when it may execute, who is admitted; and
 * the answers to `go`. All it decides is a command whose guards stand in the state: two managers at a
 * time, or one that knew too little, make work, not harm.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include "quorum/state_schema.h"

#include <stdio.h>
#include <string.h>

void manager_reset(struct node *n)
{
	in_flight_vec_fini(&n->mgr.in_flight);
	go_wait_vec_fini(&n->mgr.go_waits);
	move_vec_fini(&n->mgr.moves);
	bound_ask_vec_fini(&n->mgr.bounds);
	backoff_vec_fini(&n->mgr.backoffs);
	volume_note_vec_fini(&n->mgr.notes);
	away_vec_fini(&n->mgr.away);
	fencing_vec_fini(&n->mgr.fencing);
	n->mgr = (struct manager){ 0 };
}

/* ---- failed ----------------------------------------------------------------------------------------- */

static void propose_failed(struct node *n, const struct state_node *s, bool fence,
			   const char *cause)
{
	COMMAND(NODE_FAILED, NodeFailed, node_failed);

	m.node = s->id;
	m.incarnation = s->incarnation;
	m.cause = COMMAND_STRING(cause);
	/* A drained one is being worked at. Before all know what it means it is not said. */
	m.fence = fence && !s->draining && !n->cfg.no_quarantine && state_schema(&n->state) >= 3;
	(void)log_propose(n, s->name, &c);
}

void manager_propose_failed(struct node *n, const struct state_node *s, const char *cause)
{
	propose_failed(n, s, false, cause);
}

static struct bound_ask *bound_get(struct node *n, const struct state_node *s, bool failed)
{
	struct bound_ask b = { .failed = failed, .told_ms = INT64_MIN / 2 };

	for (size_t i = 0; i < n->mgr.bounds.n; i++) {
		struct bound_ask *q = &n->mgr.bounds.v[i];

		if (q->bound.node == s->id && q->bound.incarnation == s->incarnation &&
		    q->failed == failed)
			return q;
	}
	lease_bound_init(&b.bound, s->id, s->incarnation, ++n->next_id);
	if (bound_ask_vec_push(&n->mgr.bounds, b) < 0) {
		n->out->no_memory = true;
		return NULL;
	}
	return &n->mgr.bounds.v[n->mgr.bounds.n - 1];
}

static void bound_drop(struct node *n, uint32_t node, bool failed)
{
	for (size_t i = n->mgr.bounds.n; i-- > 0;)
		if (n->mgr.bounds.v[i].bound.node == node && n->mgr.bounds.v[i].failed == failed)
			bound_ask_vec_remove(&n->mgr.bounds, i);
}

/* Voters of before may have acked until then (docs/timing.md, "Different voter sets"). */
static int64_t config_seen_ms(const struct node *n)
{
	return n->cfg.defects & NODE_DEFECT_FRESH_CONFIG ? 0 : n->config_seen_ms;
}

/* Ask all; true when by a majority's word it has acked nothing of that node for length_ms. */
static bool unheard_for(struct node *n, const struct state_node *s, bool failed, int64_t length_ms)
{
	struct bound_ask *b = bound_get(n, s, failed);
	int64_t until_ms;

	if (!b)
		return false;
	if (n->cfg.defects & NODE_DEFECT_BOUND_OF_ONE)
		return n->now_ms - lease_voter_age(&n->voter, s->id, n->now_ms) + length_ms <=
		       n->now_ms;
	if (lease_bound_until(&b->bound, raft_config(n->raft), config_seen_ms(n), length_ms,
			      &until_ms))
		return n->now_ms >= until_ms;
	if (agent_due(n, &b->told_ms)) {
		MESSAGE(BOUND_ASK, BoundAsk, bound_ask);
		m.node = s->id;
		m.incarnation = s->incarnation;
		m.failed = failed;
		m.id = b->bound.id;
		message_send(n, 0, &msg);
	}
	return false;
}

/* The node executes nothing any more. */
static bool bound_passed(struct node *n, const struct state_node *s, bool failed)
{
	if (detach_holds(n, s))
		return false;
	return unheard_for(n, s, failed, length_of(n, s));
}

static bool bound_answered(struct node *n, const struct state_node *s)
{
	struct bound_ask *b = bound_get(n, s, false);
	int64_t until_ms;

	return b && lease_bound_until(&b->bound, raft_config(n->raft), n->config_seen_ms,
				      length_of(n, s), &until_ms);
}

void manager_on_bound_answer(struct node *n, const Core__Message *msg)
{
	const Core__BoundAnswer *a = msg->bound_answer;
	struct raft_id voter = { .node = a->voter_node ? a->voter_node : msg->from };

	if (a->voter.len != sizeof(voter.uuid))
		return;
	memcpy(voter.uuid, a->voter.data, sizeof(voter.uuid));
	for (size_t i = 0; i < n->mgr.bounds.n; i++)
		if (n->mgr.bounds.v[i].bound.id == a->id)
			lease_bound_answer(&n->mgr.bounds.v[i].bound, &voter, a->age_ms, n->now_ms);
}

static const struct gone *gone_find(const struct node *n, uint32_t id)
{
	for (size_t i = 0; i < n->gone.n; i++)
		if (n->gone.v[i].id == id)
			return &n->gone.v[i];
	return NULL;
}

/*
 * Off the ring. Out of a ring that keeps its majority: failed at once. Missing since a majority formed
 * anew: it may come back within ten seconds, and longer than its lease (L) nobody needs to wait.
 */
static void off_ring(struct node *n, const struct state_node *s)
{
	const struct gone *g = gone_find(n, s->id);
	int64_t away_ms = CORE_AWAY_MS > length_of(n, s) ? CORE_AWAY_MS : length_of(n, s);

	if (!n->view.quorate)
		return;
	if (g && (g->at_once || (n->cfg.defects & NODE_DEFECT_AWAY_AT_ONCE)))
		propose_failed(n, s, true, "left the ring");
	else if (n->now_ms - n->quorate_since_ms >= away_ms &&
		 (!g || n->now_ms - g->since_ms >= away_ms))
		propose_failed(n, s, true, "did not come back to the ring");
}

/* On the ring, but its clusterd says nothing: hung, or gone. Its VMs may run under its lease. */
static void on_ring(struct node *n, const struct state_node *s)
{
	const struct peer *p = beats_peer(n, s->id);
	int64_t heard_ms = p ? p->heard_ms : INT64_MIN;

	if (p && p->cleaned && p->ended >= s->incarnation) {
		manager_ended(n, s);
		return;
	}
	if (heard_ms < n->mgr.since_ms)
		heard_ms = n->mgr.since_ms;
	if (n->now_ms - heard_ms < length_of(n, s) || detach_holds(n, s)) {
		bound_drop(n, s->id, false);
		return;
	}
	/* Perhaps only we do not hear it: voters that acked it of late say so, and are asked anew. */
	if (bound_passed(n, s, false))
		propose_failed(n, s, true, "its clusterd is silent");
	else if (bound_answered(n, s))
		bound_drop(n, s->id, false);
}

static void propose_silent(struct node *n, const struct state_node *s, bool storage,
			   const char *cause)
{
	COMMAND(NODE_SILENT, NodeSilent, node_silent);

	m.node = s->id;
	m.incarnation = s->incarnation;
	m.storage = storage;
	m.cause = COMMAND_STRING(cause);
	(void)log_propose(n, s->name, &c);
}

/*
 * Its heartbeats stand on all its volumes: then, without an acked beat for as long, it has paused by
 * itself. The beats have to be asked about: a voter that is not on our ring may have acked one a moment
 * ago, and that node's VMs run by it although its storage is gone.
 */
static bool is_quiet(struct node *n, const struct state_node *s)
{
	if (s->quiet >= s->incarnation || !state_storage_silent(&n->state, s, log_state_defects(n)))
		return false;
	return (n->cfg.defects & NODE_DEFECT_HB_ACKED) ||
	       unheard_for(n, s, true, HEARTBEAT_SILENT_MS);
}

static void failed_step(struct node *n, const struct state_node *s)
{
	if (s->silent >= s->incarnation)
		return;
	if (bound_passed(n, s, true))
		propose_silent(n, s, false, "its lease has ended");
	else if (is_quiet(n, s))
		propose_silent(n, s, true, "its heartbeats on the storage have ended");
}

/* ---- admitted ----------------------------------------------------------------------------------------- */

static struct raft_id raft_id_of(const struct state_node *s)
{
	struct raft_id id = { .node = s->id };

	memcpy(id.uuid, s->uuid, sizeof(id.uuid));
	return id;
}

/* Back, or new: it has ended all of its last incarnation, is heard and has the log. Who has said goodbye is about to be
 * switched off. */
static void admit_step(struct node *n, const struct state_node *s)
{
	const struct peer *p = beats_peer(n, s->id);
	struct raft_id id = raft_id_of(s);
	COMMAND(NODE_ADMIT, NodeAdmit, node_admit);

	if (s->leaving || (s->goodbye && p && p->instance == s->instance) || !p || !p->cleaned ||
	    p->ended < s->incarnation || !beats_heard(n, s->id) ||
	    !raft_config_find(raft_config(n->raft), &id))
		return;
	m.node = s->id;
	m.incarnation = s->incarnation;
	m.instance = p->instance;
	m.lease_ms = length_said(n, p);
	(void)log_propose(n, s->name, &c);
}

static void node_step_one(struct node *n, const struct state_node *s)
{
	if (log_in_flight(n, s->name))
		return;
	if (s->phase == STATE_NODE_LIVING)
		length_step(n, s);
	if (log_in_flight(n, s->name))
		return;
	if (s->phase == STATE_NODE_LIVING && s->id == n->cfg.id) {
		if (n->cleaned && n->ended >= s->incarnation)
			manager_ended(n, s);
	} else if (s->phase == STATE_NODE_LIVING) {
		bound_drop(n, s->id, true);
		if (beats_in_ring(n, s->id))
			on_ring(n, s);
		else
			off_ring(n, s);
	} else {
		if (s->phase == STATE_NODE_FAILED)
			failed_step(n, s);
		if (!log_in_flight(n, s->name))
			admit_step(n, s);
	}
}

/* ---- go ------------------------------------------------------------------------------------------------- */

/* A volume with a debt is opened by nobody new. */
static bool volumes_fenced(const struct node *n, const struct state_resource *r)
{
	for (size_t i = 0; i < r->n_volumes; i++)
		if (state_has_debt(&n->state, r->volumes[i]))
			return false;
	return true;
}

static bool go_holds(const struct node *n, const struct go_wait *w, const char **ret_text)
{
	const struct state_resource *r = state_resource(&n->state, w->object);
	const struct state_volume *v = state_volume(&n->state, w->object);

	*ret_text = "the cluster database says otherwise";
	if (!state_living(&n->state, w->from, w->incarnation))
		return false;
	if (w->volume)
		return v && v->epoch == w->number && v->coordinator == w->from &&
		       v->coordinator_incarnation == w->incarnation;
	/* The target of a move: before it is the owner it holds the reserved number. */
	if (r && !w->resume && r->reserved == w->number && r->target == w->from)
		return r->target_incarnation == w->incarnation && r->phase != STATE_ABORTING;
	return r && r->generation == w->number && r->owner == w->from &&
	       r->owner_incarnation == w->incarnation &&
	       ((r->phase == STATE_STARTING && volumes_fenced(n, r)) ||
		(w->resume && (r->phase == STATE_STARTING || r->phase == STATE_ONLINE)));
}

static void go_answer(struct node *n, const struct go_wait *w)
{
	const char *text;
	MESSAGE(GO_ANSWER, GoAnswer, go_answer);

	/* What is on its way into the log about it is as good as said. A node that was started anew would begin, at the same
	 * generation, what its former process has reported as ended: that report commits behind our answer (simulator:
	 * cluster, seed 11088 of its time). It asks again. */
	if (log_in_flight(n, w->object) && !(n->cfg.defects & NODE_DEFECT_GO_IN_FLIGHT))
		return;
	m.id = w->ask_id;
	m.yes = go_holds(n, w, &text);
	m.text = COMMAND_STRING(m.yes ? "" : text);
	message_send(n, w->from, &msg);
}

/* Answered after a read-index round: a leader that was replaced unawares must not say yes. */
void manager_on_go_ask(struct node *n, const Core__Message *msg)
{
	const Core__GoAsk *q = msg->go_ask;
	struct raft_event ev = { .type = RAFT_READ };
	struct go_wait w = {
		.ask_id = q->id,
		.from = msg->from,
		.incarnation = msg->incarnation,
		.number = q->number,
		.volume = q->volume[0] != 0,
		.resume = q->resume,
	};

	if (!log_is_leader(n) || n->mgr.go_waits.n > STATE_RESOURCES_MAX)
		return;
	CORE_COPY(w.object, w.volume ? q->volume : q->resource);
	w.read_id = ev.read.id = ++n->next_id;
	if (n->cfg.defects & NODE_DEFECT_GO_UNREAD) {
		go_answer(n, &w);
		return;
	}
	if (go_wait_vec_push(&n->mgr.go_waits, w) < 0)
		n->out->no_memory = true;
	else
		log_feed(n, &ev);
}

void manager_on_read(struct node *n, const struct raft_result *r)
{
	for (size_t i = 0; i < n->mgr.go_waits.n; i++) {
		struct go_wait w = n->mgr.go_waits.v[i];

		if (w.read_id != r->id)
			continue;
		go_wait_vec_remove(&n->mgr.go_waits, i);
		if (r->status == RAFT_DONE)
			go_answer(n, &w);
		return;
	}
}

/* ---- agents' reports ------------------------------------------------------------------------------------ */

/* Only what an agent may say; that it is true of its node is guarded by the numbers in it. */
static const char *proposable(const struct node *n, const Log__Command *c, uint32_t from)
{
	const struct state_node *s = state_node(&n->state, from);

	switch (c->what_case) {
	case LOG__COMMAND__WHAT_NODE_DETACH:
		return s && c->node_detach->node == from ? s->name : NULL;
	case LOG__COMMAND__WHAT_RESOURCE_STARTED:
		return c->resource_started->name;
	case LOG__COMMAND__WHAT_RESOURCE_STOPPED:
		return c->resource_stopped->name;
	case LOG__COMMAND__WHAT_MIGRATE_TARGET_GONE:
		return c->migrate_target_gone->name;
	case LOG__COMMAND__WHAT_DEBT_PAID:
		return c->debt_paid->volume;
	case LOG__COMMAND__WHAT_VOLUME_ASSIGN:
		return c->volume_assign->released ? c->volume_assign->name : NULL;
	default:
		return NULL;
	}
}

void manager_on_propose(struct node *n, const Core__Message *msg)
{
	Log__Command *c;
	const char *object;

	if (!log_is_leader(n))
		return;
	c = log__command__unpack(NULL, msg->propose->command.len, msg->propose->command.data);
	object = c ? proposable(n, c, msg->from) : NULL;
	/* A node that failed is believed nothing about the present. */
	if (object && state_living(&n->state, msg->from, msg->incarnation))
		(void)log_propose(n, object, c);
	else
		n->dropped++;
	if (c)
		log__command__free_unpacked(c, NULL);
}

/* ---- with each step ---------------------------------------------------------------------------------------- */

void manager_step(struct node *n)
{
	if (!log_is_leader(n)) {
		if (n->mgr.active) {
			fence_agents_stop(n);
			manager_reset(n);
		}
		return;
	}
	if (!n->mgr.active) {
		n->mgr.active = true;
		n->mgr.since_ms = n->mgr.stirred_ms = n->now_ms;
		n->mgr.no_place_ms = INT64_MAX;
	}
	manager_schema_step(n);
	manager_voters_step(n);
	for (size_t i = 0; i < n->state.nodes.n; i++)
		node_step_one(n, &n->state.nodes.v[i]);
	fence_agents_step(n);
	manager_volumes_step(n);
	manager_place_step(n);
	manager_stop_step(n);
	manager_move_step(n);
}
