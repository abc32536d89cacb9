/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent: what runs here follows the state. It looks at the state, not at entries, so that it does
 * not matter how many of them it slept through. Rules:
 *
 *  - It starts generation g once, also as a migration's target, after the leader said `go` to a question
 *    of this life, with quorum and a lease of its own. Without the question a restarted daemon whose log lags would start a
 *    generation that has stopped meanwhile and runs elsewhere.
 *  - What the state names here no more is killed, unless the state is older than the thing itself (a
 *    restarted daemon reads its log while VMs run): a state that has not given the number yet says
 *    nothing about it.
 *  - What it found after a restart it takes for its own only after the same question: with a log that
 *    lags, a source that stands in `postmigrate` looks like one that was paused for want of a lease,
 *    and continuing it would run it beside its committed target.
 *  - Without a lease guests stand: paused, and killed when that is not confirmed in time.
 *  - `stopped g` is reported until the state has taken note.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>
#include <string.h>

#include "quorum/state_save.h"

#define ENDS (SM_TO(LOCAL_STOPPING) | SM_TO(LOCAL_GONE))

static const struct sm_state local_states[] = {
	[LOCAL_ASKING] = { "asking",
			   SM_TO(LOCAL_STARTING) | SM_TO(LOCAL_INCOMING) | SM_TO(LOCAL_GONE),
			   SM_INITIAL },
	[LOCAL_STARTING] = { "starting", SM_TO(LOCAL_RUNNING) | ENDS, 0 },
	[LOCAL_RUNNING] = { "running",
			    SM_TO(LOCAL_PAUSING) | SM_TO(LOCAL_PAUSED) | SM_TO(LOCAL_DONE) | ENDS,
			    SM_INITIAL },
	[LOCAL_PAUSING] = { "pausing",
			    SM_TO(LOCAL_PAUSED) | SM_TO(LOCAL_DONE) | SM_TO(LOCAL_RUNNING) | ENDS,
			    0 },
	[LOCAL_PAUSED] = { "paused",
			   SM_TO(LOCAL_CONTINUING) | SM_TO(LOCAL_DONE) | SM_TO(LOCAL_RUNNING) |
				   ENDS,
			   SM_INITIAL },
	[LOCAL_CONTINUING] = { "continuing",
			       SM_TO(LOCAL_RUNNING) | SM_TO(LOCAL_PAUSING) | SM_TO(LOCAL_PAUSED) |
				       ENDS,
			       0 },
	[LOCAL_INCOMING] = { "incoming", SM_TO(LOCAL_LISTENING) | ENDS, SM_INITIAL },
	[LOCAL_LISTENING] = { "listening", SM_TO(LOCAL_LOADED) | ENDS, 0 },
	[LOCAL_LOADED] = { "loaded", SM_TO(LOCAL_CONTINUING) | ENDS, 0 },
	[LOCAL_DONE] = { "done", SM_TO(LOCAL_RUNNING) | SM_TO(LOCAL_PAUSED) | ENDS, 0 },
	[LOCAL_STOPPING] = { "stopping", SM_TO(LOCAL_GONE), SM_INITIAL },
	[LOCAL_GONE] = { "gone", 0, SM_FINAL | SM_INITIAL },
};

void local_enter(struct node *n, struct local *l, enum local_state to, const char *why)
{
	(void)n;
	l->told_ms = INT64_MIN / 2; /* a change is told at once */
	sm_move(&l->sm, (int)to, why);
}

struct local *local_find(const struct node *n, const char *name, uint64_t generation)
{
	for (size_t i = 0; i < n->locals.n; i++)
		if (n->locals.v[i]->generation == generation &&
		    strcmp(n->locals.v[i]->name, name) == 0)
			return n->locals.v[i];
	return NULL;
}

static struct local *local_new(struct node *n, const char *name, uint64_t generation,
			       enum local_state state)
{
	struct local *l = calloc(1, sizeof(*l));

	if (!l || local_vec_push(&n->locals, l) < 0) {
		free(l);
		n->out->no_memory = true;
		return NULL;
	}
	CORE_COPY(l->name, name);
	l->generation = generation;
	l->told_ms = INT64_MIN / 2;
	l->no_path_ms = INT64_MAX;
	sm_init(&l->sm, "vm", l->name, local_states, sizeof(local_states) / sizeof(*local_states),
		(int)state, NULL);
	return l;
}

static void local_drop(struct node *n, size_t i)
{
	free(n->locals.v[i]);
	local_vec_remove(&n->locals, i);
}

bool agent_due(struct node *n, int64_t *told_ms)
{
	if (n->now_ms - *told_ms < CORE_REPEAT_MS)
		return false;
	*told_ms = n->now_ms;
	return true;
}

/* A report in the form of the command that it leads to; the guards stand in the state. */
void agent_propose(struct node *n, const char *object, Log__Command *c)
{
	uint8_t buf[1024];
	MESSAGE(PROPOSE, Propose, propose);

	if (log_is_leader(n)) {
		(void)log_propose(n, object, c);
		return;
	}
	if (!n->raft || raft_leader(n->raft).node == 0 ||
	    log__command__get_packed_size(c) > sizeof(buf))
		return;
	m.command = (ProtobufCBinaryData){ log__command__pack(c, buf), buf };
	message_send(n, raft_leader(n->raft).node, &msg);
}

/* ---- what the state says about us --------------------------------------------------------------- */

enum role {
	ROLE_NONE,    /* the state is younger than the thing, and does not name it here */
	ROLE_UNKNOWN, /* the state is older */
	ROLE_OWNER,
	ROLE_TARGET,
};

static bool owned_here(const struct node *n, const struct state_resource *r)
{
	return r->owner == n->cfg.id && r->owner_incarnation == n->incarnation && n->incarnation &&
	       r->phase != STATE_DISPLACED;
}

static bool targeted_here(const struct node *n, const struct state_resource *r)
{
	return r->target == n->cfg.id && r->target_incarnation == n->incarnation &&
	       n->incarnation && r->reserved && r->phase != STATE_ABORTING;
}

/* Than our state, which a restart set back. A number that is kept for a saved memory's start is given by that. */
static bool given_later(const struct local *l, const struct state_resource *r)
{
	return l->generation > r->top ||
	       (l->generation == r->saved && l->generation > r->generation);
}

static enum role role_of(const struct node *n, const struct local *l,
			 const struct state_resource *r)
{
	if (!r)
		return n->state.applied >= l->generation ? ROLE_NONE : ROLE_UNKNOWN;
	if (given_later(l, r) && !(n->cfg.defects & NODE_DEFECT_YOUNGER_KILLED))
		return ROLE_UNKNOWN;
	if (owned_here(n, r) && r->generation == l->generation)
		return ROLE_OWNER;
	if (targeted_here(n, r) && r->reserved == l->generation)
		return ROLE_TARGET;
	return ROLE_NONE;
}

/* ---- ending ----------------------------------------------------------------------------------------- */

void agent_kill(struct node *n, struct local *l, const char *why)
{
	CORE_COPY(l->why, why);
	if (local_state(l) == LOCAL_ASKING) {
		local_enter(n, l, LOCAL_GONE, why);
		return;
	}
	if (local_state(l) == LOCAL_GONE || l->killed)
		return;
	l->killed = true;
	core_vm(n, NODE_VM_KILL, l, why);
	if (local_state(l) != LOCAL_STOPPING)
		local_enter(n, l, LOCAL_STOPPING, why);
}

static void shut_down(struct node *n, struct local *l, bool force)
{
	bool runs = local_state(l) == LOCAL_RUNNING;

	if (local_state(l) == LOCAL_STOPPING) {
		if (force)
			agent_kill(n, l, "stop was forced");
		return;
	}
	if (force || !runs) {
		agent_kill(n, l, "asked to stop");
		return;
	}
	CORE_COPY(l->why, "asked to stop");
	core_vm(n, NODE_VM_SHUTDOWN, l, "asked to stop");
	local_enter(n, l, LOCAL_STOPPING, "asked to stop");
}

static void report_stopped(struct node *n, const struct local *l, const struct state_resource *r)
{
	COMMAND(RESOURCE_STOPPED, ResourceStopped, resource_stopped);

	m.name = COMMAND_STRING(l->name);
	m.generation = l->generation;
	m.failed = l->ill;
	m.cause = COMMAND_STRING(l->why);
	m.saved = l->saved && state_saves(r) ? r->saved : 0;
	agent_propose(n, l->name, &c);
}

/* ---- the lease --------------------------------------------------------------------------------------- */

/*
 * No lease: nothing executes here. What is only starting may begin to execute any moment, and a source
 * in the switch may resume by itself when its migration fails: these are killed. A source that is
 * `done` never resumes: it stands, and may be the only copy.
 */
static void hold(struct node *n, struct local *l, const struct state_resource *r)
{
	switch (local_state(l)) {
	case LOCAL_ASKING:
	case LOCAL_STARTING:
		agent_kill(n, l, "the run lease ended while it was starting");
		break;
	case LOCAL_RUNNING:
	case LOCAL_CONTINUING:
		if (l->switched && r && r->phase != STATE_ONLINE) {
			agent_kill(n, l, "the run lease ended while it was handed over");
			break;
		}
		l->gently = false;
		core_vm(n, NODE_VM_PAUSE, l, "no majority answers");
		local_enter(n, l, LOCAL_PAUSING, "no run lease");
		break;
	case LOCAL_PAUSING:
		/* Asked without a deadline: QEMU may hang. Now others count on it. */
		if (l->gently)
			core_vm(n, NODE_VM_PAUSE, l, "no majority answers");
		l->gently = false;
		if (lease_state(&n->lease) == LEASE_LOST || lease_state(&n->lease) == LEASE_NONE)
			agent_kill(n, l, "the run lease ended before it was paused");
		break;
	default:
		break;
	}
}

static void go_on(struct node *n, struct local *l)
{
	core_vm(n, NODE_VM_CONT, l, "");
	local_enter(n, l, LOCAL_CONTINUING, "run lease is back, or ownership has come");
}

/* ---- an owner ----------------------------------------------------------------------------------------- */

static void start(struct node *n, struct local *l, const struct state_resource *r)
{
	if (l->generation == r->reserved) {
		core_vm(n, NODE_VM_START_INCOMING, l, r->quick ? "quick" : "");
		local_enter(n, l, LOCAL_INCOMING, "go");
	} else if (state_restores(r)) {
		core_vm(n, NODE_VM_START_INCOMING, l, "quick");
		local_enter(n, l, LOCAL_INCOMING, "go, with its memory");
	} else {
		core_vm(n, NODE_VM_START, l, "");
		local_enter(n, l, LOCAL_STARTING, "go");
	}
}

void agent_ask_go(struct node *n, struct local *l, const struct state_resource *r)
{
	MESSAGE(GO_ASK, GoAsk, go_ask);

	if ((n->cfg.defects & NODE_DEFECT_GO_NOT_ASKED) && !l->found) {
		start(n, l, r);
		return;
	}
	if (raft_leader(n->raft).node == 0 || !agent_due(n, &l->told_ms))
		return;
	if (l->go_id == 0)
		l->go_id = ++n->next_id;
	m.id = l->go_id;
	m.resource = l->name;
	m.number = l->generation;
	m.resume = l->found;
	message_send(n, raft_leader(n->raft).node, &msg);
}

static void report_started(struct node *n, struct local *l)
{
	COMMAND(RESOURCE_STARTED, ResourceStarted, resource_started);

	if (!agent_due(n, &l->told_ms))
		return;
	m.name = l->name;
	m.generation = l->generation;
	agent_propose(n, l->name, &c);
}

/* Not in the middle of a switch: there the entries decide whether it may run again. */
static bool settled(const struct local *l, const struct state_resource *r)
{
	return (r->phase == STATE_STARTING || r->phase == STATE_ONLINE ||
		r->phase == STATE_MIGRATING) &&
	       !l->switched;
}

static void owner_step(struct node *n, struct local *l, const struct state_resource *r)
{
	enum local_state s = local_state(l);

	if (s == LOCAL_GONE) {
		if (agent_due(n, &l->told_ms))
			report_stopped(n, l, r);
	} else if (r->phase == STATE_STOPPING) {
		if (!agent_save(n, l, r))
			shut_down(n, l, r->force);
	} else if (!beats_may_run(n)) {
		hold(n, l, r);
	} else if (s == LOCAL_ASKING ||
		   (l->found && (r->phase == STATE_ONLINE || r->phase == STATE_STARTING))) {
		if (beats_may_begin(n))
			agent_ask_go(n, l, r);
	} else if (s == LOCAL_LOADED || (s == LOCAL_PAUSED && !l->found && settled(l, r))) {
		/* Loaded: the commit is applied, or it would not be the owner. */
		if (!n->lease.inherited &&
		    (s == LOCAL_LOADED || (agent_may_go_on(n, l, r) && agent_due(n, &l->told_ms))))
			go_on(n, l);
	} else if (s == LOCAL_RUNNING && r->phase == STATE_STARTING) {
		report_started(n, l);
	}
	agent_restore(n, l, r);
	agent_stand(n, l, r);
	/* agent_source() may answer for it. */
	agent_source(n, l, r);
}

static void local_step(struct node *n, size_t i)
{
	struct local *l = n->locals.v[i];
	const struct state_resource *r = state_resource(&n->state, l->name);

	switch (role_of(n, l, r)) {
	case ROLE_UNKNOWN:
		if (!beats_may_run(n))
			hold(n, l, r);
		break;
	case ROLE_NONE:
		if (local_state(l) == LOCAL_GONE)
			local_drop(n, i);
		else
			agent_kill(n, l, "it is no longer ours");
		break;
	case ROLE_OWNER:
		if (local_state(l) == LOCAL_ASKING && r->phase != STATE_STARTING)
			local_drop(n, i); /* an earlier life of ours had started it: owned_step() */
		else
			owner_step(n, l, r);
		break;
	case ROLE_TARGET:
		agent_target(n, l, r);
		break;
	}
}

/* ---- what is to come to be -------------------------------------------------------------------------- */

static bool other_life(const struct node *n, const struct state_resource *r)
{
	for (size_t i = 0; i < n->locals.n; i++)
		if (strcmp(n->locals.v[i]->name, r->name) == 0)
			return true;
	return false;
}

static void owned_step(struct node *n, const struct state_resource *r)
{
	struct local *l;

	if (other_life(n, r)) /* its own, or an earlier generation that is being killed */
		return;
	if (r->phase == STATE_STARTING) {
		if (beats_may_begin(n))
			(void)local_new(n, r->name, r->generation, LOCAL_ASKING);
		return;
	}
	/* It was here, and is not: it ended while no daemon looked. Its process is gone, but csvd may
	 * hold a request of it: the stop order is gone through like any other. */
	if (n->cfg.defects & NODE_DEFECT_GONE_AT_ONCE) {
		(void)local_new(n, r->name, r->generation, LOCAL_GONE);
		return;
	}
	l = local_new(n, r->name, r->generation, LOCAL_STOPPING);
	if (l) {
		l->ill = r->phase != STATE_STOPPING;
		l->killed = true;
		CORE_COPY(l->why, "its process was gone");
		core_vm(n, NODE_VM_KILL, l, l->why);
	}
}

static void resources_step(struct node *n)
{
	for (size_t i = 0; i < n->state.resources.n; i++) {
		const struct state_resource *r = &n->state.resources.v[i];

		if (owned_here(n, r))
			owned_step(n, r);
		if (targeted_here(n, r) && !other_life(n, r) && beats_may_begin(n))
			(void)local_new(n, r->name, r->reserved, LOCAL_ASKING);
		/* ABORTING: nothing of the target's number is here any more. */
		if (r->phase == STATE_ABORTING && r->target == n->cfg.id &&
		    r->target_incarnation == n->incarnation && n->incarnation &&
		    !local_find(n, r->name, r->reserved) && !log_in_flight(n, r->name)) {
			COMMAND(MIGRATE_TARGET_GONE, MigrateTargetGone, migrate_target_gone);
			m.name = COMMAND_STRING(r->name);
			m.reserved = r->reserved;
			agent_propose(n, r->name, &c);
		}
	}
}

void agent_step(struct node *n)
{
	if (n->cleaning || !n->started || !n->raft)
		return;
	for (size_t i = n->locals.n; i-- > 0;)
		local_step(n, i);
	resources_step(n);
	/* Found ones were born before this loop saw them: look once more, the new ones act at once. */
	for (size_t i = n->locals.n; i-- > 0;)
		local_step(n, i);
	agent_csvd_step(n);
}

/* ---- events -------------------------------------------------------------------------------------------- */

/* Looked at again: the answer may have been on its way for long. */
static void local_go(struct node *n, struct local *l)
{
	const struct state_resource *r = state_resource(&n->state, l->name);
	enum role role = r ? role_of(n, l, r) : ROLE_NONE;

	if ((role != ROLE_OWNER && role != ROLE_TARGET) || !beats_may_begin(n))
		return;
	if (local_state(l) == LOCAL_ASKING && (r->phase == STATE_STARTING || role == ROLE_TARGET)) {
		start(n, l, r);
	} else if (role == ROLE_TARGET) {
		return;
	} else if (l->found && settled(l, r)) {
		l->found = false;
		l->told_ms = INT64_MIN / 2;
	}
}

static void volume_go(struct node *n, const struct volume_ask *v, const Core__GoAnswer *a)
{
	struct node_action *x = core_emit(n, NODE_DO_CSVD_GO);

	CORE_COPY(x->csvd.volume, v->volume);
	x->csvd.epoch = v->epoch;
	x->csvd.code = a->yes && beats_may_begin(n) ? 0 : -CL_EMOVED;
	CORE_COPY(x->csvd.text, a->text);
}

void agent_on_go_answer(struct node *n, const Core__Message *msg)
{
	const Core__GoAnswer *a = msg->go_answer;

	for (size_t i = 0; i < n->locals.n; i++)
		if (n->locals.v[i]->go_id == a->id && a->yes) {
			local_go(n, n->locals.v[i]);
			return;
		}
	for (size_t i = 0; i < n->volume_asks.n; i++)
		if (n->volume_asks.v[i].go_id == a->id) {
			volume_go(n, &n->volume_asks.v[i], a);
			volume_ask_vec_remove(&n->volume_asks, i);
			return;
		}
}

static void on_found(struct node *n, const struct node_vm_event *ev)
{
	bool stands = strcmp(ev->text, "paused") == 0;
	struct local *l =
		local_new(n, ev->name, ev->generation, stands ? LOCAL_PAUSED : LOCAL_RUNNING);
	struct lease_kept kept = {
		.until_ms = n->cfg.lease_until_ms,
		.beat_ms = n->cfg.defects & NODE_DEFECT_HB_FORGOTTEN ? 0 : n->cfg.lease_beat_ms,
		.heartbeat_until_ms = n->lease.heartbeat_until_ms,
	};

	if (!l)
		return;
	l->found = !(n->cfg.defects & NODE_DEFECT_FOUND_NOT_ASKED);
	if (lease_state(&n->lease) == LEASE_NONE && n->incarnation)
		lease_inherit(&n->lease, n->now_ms, &kept);
}

static void on_stopped(struct node *n, struct local *l, const struct node_vm_event *ev)
{
	bool asked = local_state(l) == LOCAL_STOPPING;

	if (local_state(l) == LOCAL_GONE)
		return;
	l->ill = l->ill || (ev->failed && !asked);
	if (!asked || l->why[0] == 0)
		CORE_COPY(l->why, ev->text);
	local_enter(n, l, LOCAL_GONE, "stopped");
}

static void on_move_failed(struct node *n, struct local *l, const struct node_vm_event *ev)
{
	enum local_state to = ev->stands ? LOCAL_PAUSED : LOCAL_RUNNING;

	l->move_failed = l->moving;
	l->moving = 0;
	l->ready = l->switched = l->cancelled = l->stuck = false;
	CORE_COPY(l->why, ev->text);
	if (sm_may(&l->sm, (int)to))
		local_enter(n, l, to, "the migration failed");
}

/* The driver speaks about what it did; a report that does not fit (late, or a race) changes nothing. */
void agent_on_vm(struct node *n, const struct node_vm_event *ev)
{
	struct local *l = local_find(n, ev->name, ev->generation);
	static const struct {
		enum node_vm_report report;
		enum local_state to;
	} plain[] = {
		{ NODE_VM_STARTED, LOCAL_RUNNING },    { NODE_VM_PAUSED, LOCAL_PAUSED },
		{ NODE_VM_CONTINUED, LOCAL_RUNNING },  { NODE_VM_INCOMING, LOCAL_LISTENING },
		{ NODE_VM_TARGET_DONE, LOCAL_LOADED }, { NODE_VM_SOURCE_DONE, LOCAL_DONE },
	};

	if (ev->report == NODE_VM_FOUND) {
		if (!l)
			on_found(n, ev);
		return;
	}
	if (!l)
		return;
	if (ev->report == NODE_VM_STOPPED) {
		on_stopped(n, l, ev);
		return;
	}
	if (ev->report == NODE_VM_PAUSED &&
	    (local_state(l) == LOCAL_RUNNING || local_state(l) == LOCAL_CONTINUING)) {
		agent_on_stop(n, l, ev);
		return;
	}
	if (ev->report == NODE_VM_SILENT || ev->report == NODE_VM_ANSWERS) {
		l->silent_ms = ev->report == NODE_VM_SILENT ? n->wall_ms : 0;
		return;
	}
	/* It had handed everything over, and was taken back: that move is over, or the next one would
	 * wait for its end for ever. */
	if (ev->report == NODE_VM_CONTINUED &&
	    (local_state(l) == LOCAL_DONE || (l->moving && l->cancelled))) {
		on_move_failed(n, l, ev);
		return;
	}
	if (ev->report == NODE_VM_INCOMING)
		CORE_COPY(l->uri, ev->text);
	if (ev->downtime_ms)
		l->downtime_ms = ev->downtime_ms;
	/* The end of a move that an earlier daemon began: it stands, and has to be brought back. */
	if (ev->report == NODE_VM_SOURCE_DONE && l->moving == 0)
		l->moving = MOVING_UNKNOWN;
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		if (ev->report == plain[i].report && sm_may(&l->sm, (int)plain[i].to)) {
			local_enter(n, l, plain[i].to, "reported");
			return;
		}
	/* Of a migration that we did not begin: an earlier daemon's. It has to be ended. */
	if (l->moving == 0 && local_state(l) != LOCAL_LISTENING &&
	    (ev->report == NODE_VM_PRE_SWITCHOVER || ev->report == NODE_VM_PROGRESS ||
	     ev->report == NODE_VM_MIGRATE_STUCK))
		l->moving = MOVING_UNKNOWN;
	if (ev->report == NODE_VM_PRE_SWITCHOVER)
		l->ready = true;
	if (ev->report == NODE_VM_MIGRATE_STUCK) {
		l->stuck = true;
		CORE_COPY(l->why, ev->text);
	}
	if (ev->report == NODE_VM_PROGRESS)
		l->percent = ev->percent;
	l->told_ms = INT64_MIN / 2;
	if (ev->report == NODE_VM_MIGRATE_FAILED)
		on_move_failed(n, l, ev);
}

/* All VMs and sessions of what ran before are gone: nothing is left to report about. */
void agent_on_cleaned(struct node *n)
{
	while (n->locals.n > 0)
		local_drop(n, n->locals.n - 1);
}

void agent_free(struct node *n)
{
	agent_on_cleaned(n);
	local_vec_fini(&n->locals);
	volume_ask_vec_fini(&n->volume_asks);
	payment_vec_fini(&n->payments);
}
