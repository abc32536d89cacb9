/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live migrations, the manager's part: from what both sides report to the next entry.
 *
 *   target listens            -> the source copies (it heard the address itself)
 *   source ready, or nearly   -> Switch
 *   source done, target done  -> Commit;  source done alone -> SourceDone
 *   either failed, or no progress -> Abort
 *
 * What was reported lives in the leader's memory only; both sides say it again until the state moves.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

static struct move *move_get(struct node *n, const struct state_resource *r)
{
	struct move m = { .reserved = r->reserved, .moved_ms = n->now_ms };

	for (size_t i = 0; i < n->mgr.moves.n; i++)
		if (n->mgr.moves.v[i].reserved == r->reserved &&
		    strcmp(n->mgr.moves.v[i].name, r->name) == 0)
			return &n->mgr.moves.v[i];
	CORE_COPY(m.name, r->name);
	if (move_vec_push(&n->mgr.moves, m) < 0) {
		n->out->no_memory = true;
		return NULL;
	}
	return &n->mgr.moves.v[n->mgr.moves.n - 1];
}

static void moves_forget(struct node *n)
{
	for (size_t i = n->mgr.moves.n; i-- > 0;) {
		const struct state_resource *r = state_resource(&n->state, n->mgr.moves.v[i].name);

		if (!r || r->reserved != n->mgr.moves.v[i].reserved)
			move_vec_remove(&n->mgr.moves, i);
	}
}

static bool from_source(const Core__Message *msg, const struct state_resource *r)
{
	return msg->from == r->owner && msg->incarnation == r->owner_incarnation;
}

static bool from_target(const Core__Message *msg, const struct state_resource *r)
{
	return msg->from == r->target && msg->incarnation == r->target_incarnation;
}

void manager_on_report(struct node *n, const Core__Message *msg)
{
	const Core__VmReport *v = msg->vm_report;
	const struct state_resource *r = state_resource(&n->state, v->resource);
	struct move *m;

	if (!log_is_leader(n) || !r || r->reserved == 0 || r->reserved != v->number ||
	    !(from_source(msg, r) || from_target(msg, r)))
		return;
	m = move_get(n, r);
	if (!m)
		return;
	switch (v->what) {
	case CORE__VM_REPORT__WHAT__PRE_SWITCH:
		m->ready = m->ready || from_source(msg, r);
		break;
	case CORE__VM_REPORT__WHAT__SOURCE_DONE:
		if (!m->source_done && from_source(msg, r)) {
			m->source_done = true;
			m->saved_ms = m->moved_ms = n->now_ms;
		}
		m->blackout_ms = v->downtime_ms;
		break;
	case CORE__VM_REPORT__WHAT__TARGET_DONE:
		m->target_done = m->target_done || from_target(msg, r);
		break;
	case CORE__VM_REPORT__WHAT__FAILED:
		m->failed = true;
		CORE_COPY(m->why, v->text);
		break;
	case CORE__VM_REPORT__WHAT__PROGRESS:
		if (v->percent != m->percent)
			m->moved_ms = n->now_ms;
		m->percent = v->percent;
		break;
	default:
		break;
	}
}

bool manager_backs_off(const struct node *n, const char *name)
{
	for (size_t i = 0; i < n->mgr.backoffs.n; i++)
		if (strcmp(n->mgr.backoffs.v[i].name, name) == 0)
			return true;
	return false;
}

static void back_off(struct node *n, const char *name)
{
	struct backoff b = { .until_ms = n->now_ms + CORE_MOVE_AGAIN_MS };

	CORE_COPY(b.name, name);
	if (backoff_vec_push(&n->mgr.backoffs, b) < 0)
		n->out->no_memory = true;
}

static void backoffs_forget(struct node *n)
{
	for (size_t i = n->mgr.backoffs.n; i-- > 0;)
		if (n->mgr.backoffs.v[i].until_ms <= n->now_ms)
			backoff_vec_remove(&n->mgr.backoffs, i);
}

static void propose_abort(struct node *n, const struct state_resource *r, const char *why)
{
	COMMAND(MIGRATE_ABORT, MigrateAbort, migrate_abort);

	m.name = COMMAND_STRING(r->name);
	m.reserved = r->reserved;
	m.cause = COMMAND_STRING(why);
	if (log_propose(n, r->name, &c))
		back_off(n, r->name);
}

static void propose_switch(struct node *n, const struct state_resource *r, struct move *mv)
{
	COMMAND(MIGRATE_SWITCH, MigrateSwitch, migrate_switch);

	m.name = COMMAND_STRING(r->name);
	m.reserved = r->reserved;
	mv->moved_ms = n->now_ms;
	(void)log_propose(n, r->name, &c);
}

static void propose_commit(struct node *n, const struct state_resource *r, const struct move *mv,
			   bool source_done)
{
	COMMAND(MIGRATE_COMMIT, MigrateCommit, migrate_commit);

	m.name = COMMAND_STRING(r->name);
	m.reserved = r->reserved;
	m.source_done = source_done;
	m.blackout_ms = mv->blackout_ms;
	/* The source measured until it had saved; the rest passed before our eyes. */
	if (r->quick)
		m.blackout_ms += (uint32_t)(n->now_ms - mv->saved_ms);
	(void)log_propose(n, r->name, &c);
}

static void propose_source_done(struct node *n, const struct state_resource *r)
{
	COMMAND(MIGRATE_SOURCE_DONE, MigrateSourceDone, migrate_source_done);

	m.name = COMMAND_STRING(r->name);
	m.reserved = r->reserved;
	(void)log_propose(n, r->name, &c);
}

/*
 * The source's own word is needed, and no other sign will do: a target that is complete proves that it
 * has a copy, not that the source stands for good.
 */
static void switching_step(struct node *n, const struct state_resource *r, struct move *mv)
{
	bool unreported = n->cfg.defects & NODE_DEFECT_COMMIT_UNREPORTED;

	if (mv->target_done && (mv->source_done || unreported))
		propose_commit(n, r, mv, true);
	else if (mv->failed)
		propose_abort(n, r, mv->why);
	else if (mv->source_done)
		propose_source_done(n, r);
	else if (n->now_ms - mv->moved_ms > CORE_MOVE_SWITCH_MS)
		propose_abort(n, r, "the switch did not end");
}

static void move_step(struct node *n, const struct state_resource *r)
{
	struct move *mv = move_get(n, r);

	if (!mv || log_in_flight(n, r->name))
		return;
	switch (r->phase) {
	case STATE_MIGRATING:
		if (mv->failed)
			propose_abort(n, r, mv->why);
		else if (mv->ready || mv->percent >= 90)
			propose_switch(n, r, mv);
		else if (n->now_ms - mv->moved_ms > CORE_MOVE_IDLE_MS)
			propose_abort(n, r, "no progress");
		break;
	case STATE_SWITCHING:
		switching_step(n, r, mv);
		break;
	case STATE_HANDOVER:
		if (mv->target_done)
			propose_commit(n, r, mv, false);
		else if (mv->failed)
			propose_abort(n, r, mv->why);
		else if (n->now_ms - mv->moved_ms > CORE_MOVE_SWITCH_MS)
			propose_abort(n, r, "the target did not become complete");
		break;
	default:
		break;
	}
}

void manager_move_step(struct node *n)
{
	moves_forget(n);
	backoffs_forget(n);
	for (size_t i = 0; i < n->state.resources.n; i++)
		if (n->state.resources.v[i].reserved)
			move_step(n, &n->state.resources.v[i]);
}

bool manager_begin_move(struct node *n, const struct state_resource *r, uint32_t target, bool quick,
			const char *why, Log__RequestId *request)
{
	const struct state_node *to = state_node(&n->state, target);
	COMMAND(MIGRATE_BEGIN, MigrateBegin, migrate_begin);

	if (!to)
		return false;
	m.name = COMMAND_STRING(r->name);
	m.generation = r->generation;
	m.target = target;
	m.target_incarnation = to->incarnation;
	m.quick = quick;
	m.cause = COMMAND_STRING(why);
	c.request = request;
	return log_propose(n, r->name, &c);
}
