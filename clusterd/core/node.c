/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One step of the node, and its life:
 *
 *           init, join            admitted              lease             lease ends
 *   EMPTY --------------> JOINING ---------> ISOLATED --------> UP --------------------+
 *                            ^                   ^                                     |
 *            cleaned, asks   |                   +-------------------------------------+
 *                            |                   |
 *                         FENCED <---------------+---- from UP too: the log says that we failed,
 *                                                      or an earlier boot is a member
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------------------------------ */

static void life_enter(struct node *n, enum node_life life, const char *reason)
{
	if (n->life == life && strcmp(n->life_reason, reason) == 0)
		return;
	if (n->life != life) {
		static const char *const names[] = { "node-empty", "node-joining", "node-up",
						     "node-isolated", "node-fenced" };

		n->life_since_ms = n->wall_ms;
		core_event(n, n->cfg.name, names[life], reason);
	}
	n->life = life;
	CORE_COPY(n->life_reason, reason);
	n->tables_stale = true;
}

/* End all that ran before: only then may the next incarnation be asked for. */
static void clean(struct node *n, uint64_t incarnation)
{
	if (n->incarnation) {
		n->incarnation = 0;
		lease_reset(&n->lease);
		/* A life ends once, whatever becomes of this process: the next one would take it up again by the file, where
		 * nobody has noted its end yet, while csvd opens nothing any more under it. */
		if (!(n->cfg.defects & NODE_DEFECT_LIFE_KEPT))
			core_emit(n, NODE_DO_INCARNATION)->incarnation = 0;
		beats_tell_lease(n);
	}
	if (n->cleaning || (n->cleaned && n->ended >= incarnation))
		return;
	n->cleaned = false;
	n->cleaning = incarnation + 1;
	if ((n->cfg.defects & NODE_DEFECT_UNCLEAN_ADMISSION) ||
	    (n->goodbye && (n->cfg.defects & NODE_DEFECT_GOODBYE_EARLY))) {
		n->cleaning = 0;
		n->cleaned = true;
		n->ended = incarnation;
		return;
	}
	core_emit(n, NODE_DO_CLEANUP)->incarnation = incarnation;
}

static void on_cleaned(struct node *n, uint64_t incarnation)
{
	if (n->cleaning != incarnation + 1)
		return;
	n->cleaning = 0;
	n->cleaned = true;
	n->ended = incarnation;
	agent_on_cleaned(n);
}

/* Before anything is started under it, it must be on file: a reboot is told from a restart by it. */
static void take_on(struct node *n, uint64_t incarnation)
{
	n->incarnation = incarnation;
	n->cleaned = n->goodbye = false;
	lease_reset(&n->lease);
	core_emit(n, NODE_DO_INCARNATION)->incarnation = incarnation;
}

/* Admitted at the incarnation that we live in, or one given to this very process. */
static bool is_ours(struct node *n, const struct state_node *s)
{
	if (s->incarnation == n->incarnation)
		return true;
	if (n->incarnation == 0 && n->cleaned &&
	    (s->instance == n->cfg.instance || (n->cfg.defects & NODE_DEFECT_ADMIT_ANY)) &&
	    s->incarnation > n->ended) {
		take_on(n, s->incarnation);
		return true;
	}
	return (n->cfg.defects & NODE_DEFECT_KEEP_INCARNATION) && n->incarnation == 0 &&
	       n->cleaned && s->instance == n->cfg.instance && (take_on(n, s->incarnation), true);
}

static void life_isolated(struct node *n)
{
	char why[STATE_REASON_MAX], names[60];

	if (detach_names(n, names, sizeof(names)))
		(void)snprintf(
			why, sizeof(why),
			"no majority answers: VMs are paused until clusterd runs again on %s",
			names);
	else
		CORE_COPY(
			why,
			"neither a majority of the voters nor the storage answers: VMs are paused");
	life_enter(n, NODE_ISOLATED, why);
}

static void life_living(struct node *n)
{
	if (lease_state(&n->lease) == LEASE_VALID)
		life_enter(n, NODE_UP, "");
	else if (lease_state(&n->lease) == LEASE_NONE)
		life_enter(n, NODE_ISOLATED, "no majority of the voters has answered yet");
	else
		life_isolated(n);
}

/* Without a database nothing is known of what runs here: it ends before this node asks to come back. */
static void life_empty(struct node *n)
{
	char why[STATE_REASON_MAX];

	if (!n->cfg.anew[0]) {
		life_enter(n, NODE_EMPTY, "no database: `init` or `join`");
		return;
	}
	if (n->started && n->incarnation)
		clean(n, n->incarnation);
	(void)snprintf(why, sizeof(why), "its database was set aside (%.80s): asks to come back",
		       n->cfg.anew);
	life_enter(n, NODE_EMPTY, why);
}

/* Whether the database does not have us any more; then all of it ends here, and it is forgotten. */
static bool life_removed(struct node *n, const struct state_node *s)
{
	n->was_member = n->was_member || s;
	n->removed = n->removed || (n->was_member && !s);
	if (!n->removed)
		return false;
	clean(n, n->incarnation ? n->incarnation : n->ended);
	life_enter(n, NODE_FENCED, "this node was removed from the cluster; ending all that ran");
	return true;
}

static const char *why_fenced(const struct state_node *s)
{
	if (s->leaving)
		return "this node is leaving the cluster";
	if (s->stopping)
		return "this node is being stopped";
	return s->phase == STATE_NODE_FAILED ? s->reason : "this machine was restarted";
}

/* Somebody who may be given its volumes; the last one that is stopped keeps them to the end. */
static bool has_heirs(const struct node *n)
{
	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];

		if (s->id != n->cfg.id && s->phase == STATE_NODE_LIVING && !s->stopping)
			return true;
	}
	return false;
}

/* One that leaves, or is stopped, and has nothing any more ends its life by itself; one whose time is over with all. */
static bool has_left(const struct node *n, const struct state_node *s)
{
	if (s->stopping &&
	    (s->stop_now || n->detach.asked_ms || (n->cfg.defects & NODE_DEFECT_GOODBYE_EARLY)))
		return true;
	if (n->locals.n > 0 || !setup_runs_nothing(n, s->id))
		return false;
	return (s->leaving && setup_holds_nothing(n, s->id)) ||
	       (s->stopping && (setup_holds_nothing(n, s->id) || !has_heirs(n)));
}

/* Said only by who lived that life: of what an earlier process left, or the power took, nobody knows how it ended. */
static bool says_goodbye(const struct node *n, const struct state_node *s)
{
	return s->stopping && s->phase == STATE_NODE_LIVING && n->incarnation == s->incarnation;
}

static void life_ended(struct node *n, const struct state_node *s)
{
	char why[STATE_REASON_MAX];

	n->goodbye = n->goodbye || says_goodbye(n, s);
	clean(n, s->incarnation);
	if (s->goodbye && s->instance == n->cfg.instance)
		(void)snprintf(why, sizeof(why),
			       "it was stopped in order: its machine may be switched off, or "
			       "`clusterctl resume %s`",
			       s->name);
	else
		(void)snprintf(why, sizeof(why), "%.90s; %s", why_fenced(s),
			       n->cleaned ? "waiting to be admitted again" : "ending all that ran");
	life_enter(n, NODE_FENCED, why);
}

/* Our row; one of our id with another database is of whoever had the number before. */
static const struct state_node *own_row(const struct node *n)
{
	const struct state_node *s = state_node(&n->state, n->cfg.id);

	return s && memcmp(s->uuid, n->cfg.uuid, sizeof(s->uuid)) == 0 ? s : NULL;
}

static void life_step(struct node *n)
{
	const struct state_node *s = own_row(n);

	if (n->first_blob) {
		return; /* in a moment there is one */
	} else if (!n->raft) {
		life_empty(n);
	} else if (life_removed(n, s)) {
		return;
	} else if (!s) {
		life_enter(n, NODE_JOINING, "waiting for the cluster's database");
	} else if (s->phase == STATE_NODE_LIVING && is_ours(n, s) && !has_left(n, s)) {
		life_living(n);
	} else if (!n->started) {
		life_enter(n, NODE_JOINING, "starting");
	} else if (s->incarnation < n->incarnation) {
		/* A restarted daemon has its log, but not yet the leader's word of how much of it is
		 * committed. Taken for the truth, this state would end VMs that run here rightly. */
		life_enter(n, NODE_JOINING, "reading the cluster's log");
	} else if (s->phase == STATE_NODE_KNOWN) {
		clean(n, s->incarnation);
		life_enter(n, NODE_JOINING, "waiting to be admitted");
	} else {
		life_ended(n, s);
	}
}

/* ---- one step ---------------------------------------------------------------------------------------- */

static void on_message(struct node *n, const struct node_event *ev)
{
	message_receive(n, ev->message.data, ev->message.len);
}

static void dispatch(struct node *n, const struct node_event *ev)
{
	switch (ev->type) {
	case NODE_EV_TICK:
		break;
	case NODE_EV_END:
		detach_ask(n);
		break;
	case NODE_EV_TIMES:
		CORE_COPY(n->times, ev->times);
		break;
	case NODE_EV_STARTED:
		n->started = true;
		if (!n->raft && n->cfg.anew[0]) {
			core_event(n, n->cfg.name, "database-set-aside", n->cfg.anew);
			request_rejoin(n);
		}
		break;
	case NODE_EV_VIEW:
		beats_on_view(n, ev->view);
		break;
	case NODE_EV_MESSAGE:
		on_message(n, ev);
		break;
	case NODE_EV_PERSISTED:
		log_persisted(n, ev->persisted);
		break;
	case NODE_EV_REQUEST:
		request_new(n, ev->request);
		break;
	case NODE_EV_CLIENT_GONE:
		request_client_gone(n, ev->client);
		break;
	case NODE_EV_VM:
		agent_on_vm(n, &ev->vm);
		break;
	case NODE_EV_CSVD:
		agent_on_csvd(n, &ev->csvd);
		break;
	case NODE_EV_CLEANED:
		on_cleaned(n, ev->incarnation);
		break;
	case NODE_EV_SETUP:
		setup_on_files(n, &ev->setup);
		break;
	case NODE_EV_AUDIT:
		audit_here(n, &ev->audit);
		break;
	case NODE_EV_STORE_FAILED:
		resign_here(n, ev->why);
		break;
	case NODE_EV_WITNESS:
		witness_on_event(n, &ev->witness);
		break;
	case NODE_EV_FENCE:
		fence_hand_on_event(n, &ev->fence);
		break;
	}
}

static void raft_tick(struct node *n)
{
	struct raft_event ev = { .type = RAFT_TICK };

	if (!n->raft || (n->ticked && n->now_ms < raft_deadline(n->raft)))
		return;
	n->ticked = true;
	log_feed(n, &ev);
}

/* After the requests: whoever asked for it here is answered first. */
static void removed_step(struct node *n)
{
	if (!n->removed || !n->cleaned || n->removed_said)
		return;
	n->removed_said = true;
	CORE_COPY(core_emit(n, NODE_DO_REMOVED)->reply.text,
		  "this node was removed from the cluster");
}

/* What follows from the new state, until nothing more does. */
static void consequences(struct node *n)
{
	raft_tick(n);
	log_results(n);
	life_step(n);
	if (n->raft) {
		slow_step(n);
		detach_step(n);
		witness_step(n);
		witness_lead_step(n);
		beats_step(n);
		witness_cast_step(n);
		beats_expect(n);
		agent_step(n);
		quarantine_step(n);
		manager_step(n);
		fence_hand_step(n);
		setup_step(n);
		log_results(n);
		job_step(n);
	}
	request_step(n);
	removed_step(n);
	if (n->tables_stale) {
		n->tables_stale = false;
		(void)core_emit(n, NODE_DO_CSVD_TABLES);
	}
}

/*
 * Time is looked at before anything else: after a freeze a lease may have ended long ago, and an event
 * that waited meanwhile must not start anything under it.
 */
void node_step(struct node *n, const struct node_event *ev, struct node_actions *actions)
{
	n->out = actions;
	cl_assert(ev->now_ms >= n->now_ms);
	n->now_ms = ev->now_ms;
	n->wall_ms = ev->wall_ms;
	lease_heartbeat(&n->lease, n->cfg.defects & NODE_DEFECT_HB_UNHEEDED
					   ? INT64_MAX
					   : ev->heartbeat_until_ms);
	if (lease_tick(&n->lease, n->now_ms)) {
		life_step(n);
		agent_step(n);
	}
	dispatch(n, ev);
	consequences(n);
	n->out = NULL;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t node_deadline(const struct node *n)
{
	int64_t at = n->began_ms + CORE_POLL_MS; /* empty: only requests wait */

	if (n->pending.n > 0 || n->job_asks.n > 0 || n->job_runs.n > 0 || n->locals.n > 0 ||
	    n->mgr.active || n->payments.n > 0 || n->volume_asks.n > 0 || n->hands.n > 0 ||
	    !n->raft)
		at = n->now_ms + CORE_POLL_MS;
	else
		at = INT64_MAX;
	if (n->raft)
		at = earlier(at, earlier(raft_deadline(n->raft), beats_deadline(n)));
	if (n->raft)
		at = earlier(at, earlier(witness_deadline(n), detach_deadline(n)));
	return at > n->now_ms ? at : n->now_ms + 1;
}

/* ---- making one ----------------------------------------------------------------------------------------- */

int node_new(const struct node_config *config, const struct raft_stored *found, int64_t now_ms,
	     struct node **ret_node, struct cl_error *err)
{
	struct node *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return cl_error_set(err, -ENOMEM, "no memory");
	n->cfg = *config;
	n->now_ms = n->began_ms = now_ms;
	n->quorate_since_ms = INT64_MAX;
	n->config_seen_ms = now_ms;
	n->beat_ms = now_ms;
	n->slow.bad_ms = INT64_MIN / 2;
	n->incarnation = config->incarnation;
	n->life = NODE_EMPTY;
	if (!(config->defects & NODE_DEFECT_REQUESTS_ANEW))
		n->request_seq = request_first(config->uuid);
	state_init(&n->state);
	n->state.knows = config->schema;
	lease_init(&n->lease, lease_length_ms(config->token_ms, config->consensus_ms));
	/* Its units are on the volumes, whether or not a VM is found here now. */
	if (config->incarnation && config->lease_beat_ms &&
	    !(config->defects & NODE_DEFECT_HB_FORGOTTEN))
		lease_watch(&n->lease);
	lease_voter_init(&n->voter, config->defects & NODE_DEFECT_VOTER_FORGETS ? 0 : now_ms);
	r = found ? log_open(n, found, err) : 0;
	if (r < 0) {
		node_free(n);
		return r;
	}
	*ret_node = n;
	return 0;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	if (n->raft)
		raft_free(n->raft);
	raft_actions_fini(&n->raft_out);
	raft_result_queue_fini(&n->results);
	failure_vec_fini(&n->failures);
	write_begun_vec_fini(&n->slow.writes);
	detach_seen_vec_fini(&n->detach.seen);
	state_fini(&n->state);
	state_change_vec_fini(&n->changes);
	free(n->first_blob);
	for (size_t i = 0; i < n->peers.n; i++) {
		peer_volume_vec_fini(&n->peers.v[i].volumes);
		peer_vm_vec_fini(&n->peers.v[i].vms);
	}
	peer_vec_fini(&n->peers);
	peer_volume_vec_fini(&n->volumes);
	gone_vec_fini(&n->gone);
	agent_free(n);
	fence_note_vec_fini(&n->fence_notes);
	hand_vec_fini(&n->hands);
	hand_asked_vec_fini(&n->hands_asked);
	manager_reset(n);
	request_free(n);
	job_free(n);
	witness_free(n);
	free(n);
}
