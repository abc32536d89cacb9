/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls whose caller is dying. A stop order finds what carries the VM's tag; a launcher that is killed
 * while it looks its disk up on a volume that waits has no handle yet that could carry one, and the
 * kernel lets nobody go whose request is with csvd. Nobody sees these answers.
 */
#include "config.h"

#include <errno.h>

#include "csv/client_int.h"
#include "csv/dying.h"

static void done_free(struct call *call, const Csv__Result *res)
{
	(void)res;
	call_free(call);
}

/* The kernel was told that this OPEN failed, and the coordinator did it all the same. */
static void opened_for_nobody(struct call *call, const Csv__Result *res)
{
	/* The kernel's numbers are even. */
	struct call *release =
		res->error ? NULL : call_new(CSV__KIND__RELEASE, call->op.unique | 1, call->op.ino);

	if (release) {
		release->op.fh = call->op.unique;
		release->done = done_free;
		client_submit(call->user, release);
	}
	call_free(call);
}

/* Stands in for an OPEN whose caller is answered before the coordinator has. */
static bool keep_open(struct client *c, const struct call *call)
{
	struct call *stand_in = call_new(CSV__KIND__OPEN, call->op.unique, call->op.ino);

	if (!stand_in)
		return false;
	stand_in->op.flags = call->op.flags;
	stand_in->sent = call->sent;
	stand_in->way = call->way;
	stand_in->done = opened_for_nobody;
	stand_in->user = c;
	client_append(c, stand_in);
	return true;
}

/*
 * What was never sent is dropped whole. What was sent may be done or not, as with any process that is
 * killed; but what leaves something at the coordinator (a record, a handle) is waited for.
 */
void client_give_up_dying(struct client *c, struct call *call)
{
	Csv__Kind kind = call->op.kind;

	if (!call->pid || !(c->cfg.is_dying ? c->cfg.is_dying : dying_thread)(call->pid) ||
	    kind == CSV__KIND__RELEASE || (call->sent && call_has_record(call)))
		return;
	if (call->sent && kind == CSV__KIND__OPEN && !keep_open(c, call))
		return;
	client_detach_io(c, call);
	client_answer_error(c, call, EINTR);
}
