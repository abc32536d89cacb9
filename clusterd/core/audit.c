/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who asked for what, and what became of it: lines of `clusterctl events` with a user. Not in the log:
 * who may not even read could fill it. What was done is told to all nodes, each keeps the line; what
 * was refused stays where it was asked.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

static void note(struct node *n, uint32_t node, const Core__Audit *a)
{
	struct node_event_line *e;
	size_t before = n->out->v.n;

	core_event_of(n, node, a->object, a->event, a->cause, a->duration_ms);
	if (n->out->v.n == before)
		return;
	e = &n->out->v.v[before].event;
	CORE_COPY(e->user, a->user);
	e->uid = a->uid;
}

void audit_here(struct node *n, const struct node_audit_event *ev)
{
	MESSAGE(AUDIT, Audit, audit);

	m.object = COMMAND_STRING(ev->object);
	m.event = COMMAND_STRING(ev->event);
	m.cause = COMMAND_STRING(ev->cause);
	m.user = COMMAND_STRING(ev->user);
	m.uid = ev->uid;
	m.duration_ms = ev->duration_ms;
	if (ev->everywhere && n->raft)
		message_send(n, 0, &msg); /* here, too */
	else
		note(n, n->cfg.id, &m);
}

void audit_on_message(struct node *n, const Core__Message *msg)
{
	note(n, msg->from, msg->audit);
}
