/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent's part in `stop cluster --save`, by the means of a quick move (docs/vm.md). Source and target are not there
 * at the same time: the log keeps the number between them (quorum/state_save.h).
 *
 * A quick move's guest is not stopped before phase=switch is committed. Here that entry is the stop itself: this
 * generation ends, whatever becomes of the saving. So when it fails, or cannot be (a move is under way, no run lease,
 * the daemon was restarted in the middle of it), the guest is shut down as by any stop.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "quorum/state_save.h"

static void save(struct node *n, struct local *l, const struct state_resource *r)
{
	char uri[40];

	l->moving = r->saved;
	l->ready = l->switched = l->cancelled = l->stuck = false;
	l->percent = 0;
	(void)snprintf(uri, sizeof(uri), "quick:%" PRIu64, r->saved);
	core_vm(n, NODE_VM_MIGRATE, l, uri);
}

/* It stands since the saving failed: it has to run to hear that it shall shut down. */
static bool run_again(struct node *n, struct local *l)
{
	if (local_state(l) != LOCAL_PAUSED || !beats_may_run(n))
		return local_state(l) == LOCAL_CONTINUING;
	core_vm(n, NODE_VM_CONT, l, "");
	local_enter(n, l, LOCAL_CONTINUING, "its memory could not be saved: it is shut down");
	return true;
}

bool agent_save(struct node *n, struct local *l, const struct state_resource *r)
{
	enum local_state s = local_state(l);

	if (!state_saves(r) || r->force || l->found || s == LOCAL_STOPPING || s == LOCAL_GONE)
		return false;
	if (l->move_failed == r->saved)
		return run_again(n, l);
	if (l->moving == r->saved && s == LOCAL_DONE) {
		l->saved = true;
		agent_kill(n, l, "its memory is saved");
		return true;
	}
	if (l->moving == r->saved) {
		if (l->ready && !l->switched) {
			l->switched = true;
			core_vm(n, NODE_VM_SWITCH, l, "");
		}
		return true;
	}
	if (l->moving || s != LOCAL_RUNNING || !beats_may_run(n))
		return false;
	save(n, l, r);
	return true;
}

/*
 * One that a restarted daemon finds has taken up nobody knows how much of it, and `cont` would let that run: it
 * ends, and the VM is started from its disks.
 */
void agent_restore(struct node *n, struct local *l, const struct state_resource *r)
{
	char from[24];

	if (!state_restores(r))
		return;
	if (l->found && local_state(l) != LOCAL_STOPPING && local_state(l) != LOCAL_GONE) {
		agent_kill(n, l, "the daemon was restarted while its memory was taken up");
		return;
	}
	if (local_state(l) != LOCAL_LISTENING || l->loading)
		return;
	l->loading = true;
	(void)snprintf(from, sizeof(from), "%" PRIu64, r->saved_from);
	core_vm(n, NODE_VM_LOAD, l, from);
}
