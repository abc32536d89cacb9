/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent's part in a live migration. Source and target tell everybody what they have reached, again
 * and again until the state moves on, so that a new leader learns it too. Neither decides: the source
 * goes on from pre-switchover only when SWITCHING is applied here, the target gets its `cont` only when
 * the commit is.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void agent_report(struct node *n, const char *name, uint64_t reserved, int what, const char *text,
		  uint32_t percent, uint32_t downtime_ms)
{
	MESSAGE(VM_REPORT, VmReport, vm_report);

	m.resource = COMMAND_STRING(name);
	m.number = reserved;
	m.what = (Core__VmReport__What)what;
	m.text = COMMAND_STRING(text);
	m.percent = percent;
	m.downtime_ms = downtime_ms;
	message_send(n, 0, &msg);
}

/* Where a target listens is its source's to know. One that does not know of the move yet hears it again. */
void agent_on_report(struct node *n, const Core__Message *msg)
{
	const Core__VmReport *v = msg->vm_report;
	const struct state_resource *r = state_resource(&n->state, v->resource);
	struct local *l = r && r->reserved && r->reserved == v->number
				  ? local_find(n, r->name, r->generation)
				  : NULL;

	if (v->what != CORE__VM_REPORT__WHAT__INCOMING || !l)
		return;
	l->heard = v->number;
	CORE_COPY(l->uri, v->text);
}

/* ---- source ---------------------------------------------------------------------------------------- */

static void source_begin(struct node *n, struct local *l, const struct state_resource *r)
{
	if (l->heard != r->reserved || local_state(l) != LOCAL_RUNNING || !beats_may_run(n))
		return;
	if (l->found || l->moving) /* an earlier one is not over yet */
		return;
	l->moving = r->reserved;
	l->ready = l->switched = l->cancelled = l->stuck = false;
	l->percent = 0;
	core_vm(n, NODE_VM_MIGRATE, l, l->uri);
}

/* What the leader needs to know, as often as it may have missed it. */
static void source_tell(struct node *n, struct local *l, const struct state_resource *r)
{
	int what = CORE__VM_REPORT__WHAT__PROGRESS;
	bool unknown = l->moving == MOVING_UNKNOWN || (l->found && l->moving == 0);

	if (!agent_due(n, &l->told_ms))
		return;
	if (l->stuck || l->move_failed == r->reserved || unknown)
		what = CORE__VM_REPORT__WHAT__FAILED;
	else if (local_state(l) == LOCAL_DONE)
		what = CORE__VM_REPORT__WHAT__SOURCE_DONE;
	else if (l->ready && !(r->quick && l->switched)) /* from there it is saved, for long */
		what = CORE__VM_REPORT__WHAT__PRE_SWITCH;
	else if (l->moving == 0)
		return;
	agent_report(n, l->name, r->reserved, what,
		     unknown ? "the source's daemon was restarted" : l->why, l->percent,
		     l->downtime_ms);
}

/* Run here again. The driver cancels, or continues what stands in `postmigrate`. */
static void source_back(struct node *n, struct local *l)
{
	if (l->cancelled)
		return;
	l->cancelled = true;
	core_vm(n, NODE_VM_MIGRATE_CANCEL, l, "the migration was given up");
}

void agent_source(struct node *n, struct local *l, const struct state_resource *r)
{
	enum local_state s = local_state(l);

	if (s == LOCAL_GONE || s == LOCAL_STOPPING)
		return;
	switch (r->phase) {
	case STATE_MIGRATING:
		if (l->moving && l->moving != r->reserved && l->moving != MOVING_UNKNOWN)
			source_back(n, l); /* an aborted one, first */
		else if (l->moving == 0 && l->move_failed != r->reserved)
			source_begin(n, l, r);
		source_tell(n, l, r);
		break;
	case STATE_SWITCHING:
		if (l->ready && !l->switched && l->moving == r->reserved && beats_may_run(n)) {
			l->switched = true;
			core_vm(n, NODE_VM_SWITCH, l, "");
		}
		source_tell(n, l, r);
		break;
	case STATE_HANDOVER:
		source_tell(n, l, r);
		break;
	case STATE_ONLINE:
	case STATE_STARTING:
		if (l->moving && !l->found && beats_may_run(n))
			source_back(n, l);
		break;
	default:
		break;
	}
}

/* ---- target ---------------------------------------------------------------------------------------- */

/* The source has said that the state is whole, and the log has it: nobody else can take it up. */
static void target_load(struct node *n, struct local *l, const struct state_resource *r)
{
	char generation[24];

	if (!r->quick || r->phase != STATE_HANDOVER || l->loading ||
	    local_state(l) != LOCAL_LISTENING)
		return;
	l->loading = true;
	l->percent = 0;
	(void)snprintf(generation, sizeof(generation), "%" PRIu64, r->generation);
	core_vm(n, NODE_VM_LOAD, l, generation);
}

/*
 * A found one belongs to an earlier daemon's migration: nobody knows what it has got. A target without
 * a lease stands anyway and may stay: it cannot run before the commit, and that needs a lease here.
 */
void agent_target(struct node *n, struct local *l, const struct state_resource *r)
{
	int what = CORE__VM_REPORT__WHAT__NONE;
	const char *text = "";

	if (l->found)
		agent_kill(n, l, "the target's daemon was restarted");
	if (local_state(l) == LOCAL_ASKING && beats_may_begin(n)) {
		agent_ask_go(n, l, r);
		return;
	}
	target_load(n, l, r);
	if (!agent_due(n, &l->told_ms))
		return;
	switch (local_state(l)) {
	case LOCAL_LISTENING:
		what = l->loading ? CORE__VM_REPORT__WHAT__PROGRESS
				  : CORE__VM_REPORT__WHAT__INCOMING;
		text = l->loading ? "" : l->uri;
		break;
	case LOCAL_LOADED:
		what = CORE__VM_REPORT__WHAT__TARGET_DONE;
		break;
	case LOCAL_GONE:
		what = CORE__VM_REPORT__WHAT__FAILED;
		text = l->why;
		break;
	default:
		return;
	}
	agent_report(n, l->name, r->reserved, what, text, l->percent, 0);
}
