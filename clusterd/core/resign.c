/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last word of a node whose copy of the database cannot be written. It votes no more, and its process ends: what
 * the disk holds is not known (clusterd/store.h). The word changes nothing, and nothing waits for it: that it is
 * gone, the others see by their group and by its silence. They keep it for people: "nothing is heard of
 * it" does not tell anybody to make room on a disk.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>
#include <string.h>

void resign_here(struct node *n, const char *why)
{
	char text[STATE_REASON_MAX];
	MESSAGE(RESIGN, Resign, resign);

	(void)snprintf(text, sizeof(text), "%.100s", why);
	m.why = text;
	if (n->raft)
		message_send(n, 0, &msg); /* here, too: no peer of its own, but an event */
	(void)snprintf(core_emit(n, NODE_DO_STOP)->reply.text, STATE_REASON_MAX,
		       "the database cannot be written: %.100s", why);
}

void resign_on_message(struct node *n, const Core__Message *msg)
{
	const struct state_node *s = state_node(&n->state, msg->from);
	struct peer *p = msg->from == n->cfg.id ? NULL : message_peer(n, msg->from);

	if (p)
		(void)snprintf(p->resigned, sizeof(p->resigned),
			       "its database cannot be written: %.80s; back when it can be",
			       msg->resign->why);
	if (s)
		core_event_of(n, msg->from, s->name, "database-failed", msg->resign->why, -1);
}
