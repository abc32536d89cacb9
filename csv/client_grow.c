/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Growth, the client's half: a write behind the end of file goes directly into blocks that the coordinator has
 * given the file ahead, and then one small operation, GROW, shows it (coord_grow.c). So the data travel once, and
 * the coordinator's share of an extending write is a transaction of one inode.
 *
 * The write is answered when the GROW is. Until then nobody sees it - its blocks lie behind the end of file and are
 * UNWRITTEN - so a node or a coordinator that dies in between leaves the old size. The coordinator may answer before it
 * is durable: then it is kept here, in the keeper's memory, until it is said to be, and reclaimed (coord_grow.c has the
 * argument).
 * Whatever comes between the two (a broken connection, a recall, another coordinator), the call still has its data,
 * and begins again: directly, if it still may, else as a WRITE.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>

#include "csv/client_int.h"

#define GROW_ALIGN 4096
#define GROW_FROM (256u << 10) /* most files end before, and would pay for a question */

bool client_may_grow(const struct call *call)
{
	const Csv__Op *op = &call->op;

	/* The place of an append is the coordinator's to find. A part of a block would need the rest of it. */
	return !call->no_grow && !(op->flags & O_APPEND) && op->offset >= GROW_FROM &&
	       !((op->offset | op->data.len) % GROW_ALIGN);
}

void client_send_grow(struct client *c, struct call *call)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Op op = CSV__OP__INIT;

	call->way = CALL_WAITING;
	if (!client_may_send(c))
		return; /* to nobody just now: it begins again */
	op.kind = CSV__KIND__GROW;
	op.unique = call->op.unique;
	op.ino = call->op.ino;
	op.fh = call->op.fh;
	op.offset = call->op.offset;
	op.length = call->op.data.len;
	op.sync = call->op.sync;
	op.later = true;
	op.resent = call->sent;
	call->sent = true;
	call->way = CALL_GROWING;
	msg.msg_case = CSV__MESSAGE__MSG_OP;
	msg.op = &op;
	(void)client_send(c, false, &msg); /* a broken connection begins again */
}

/* In shared memory before the caller hears of it; false: there is no room for it. */
static bool remember(struct client *c, const struct call *call, uint64_t number)
{
	struct grown g = { .ino = call->op.ino,
			   .start = call->op.offset,
			   .end = call->op.offset + call->op.data.len,
			   .number = number,
			   .incarnation = c->incarnation };

	return number <= c->settled || holding_grow(&c->holding, &g) == 0;
}

bool client_grown(struct client *c, struct call *call, const Csv__Result *res)
{
	if (res->error == EAGAIN || (!res->error && !remember(c, call, res->growth))) {
		call->no_grow = true;
		client_route(c, call);
		return false;
	}
	/* What was called back meanwhile is not in the map any more, and does not come into it. */
	if (!res->error)
		map_grown(&c->map, call->op.ino, call->op.offset,
			  call->op.offset + call->op.data.len);
	return true;
}

/* ---- not durable yet ------------------------------------------------------------------------ */

bool client_settle(struct client *c, uint64_t ino)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Settle body = CSV__SETTLE__INIT;

	if (ino ? !holding_has_grown(&c->holding, ino) : !c->holding.grown.n)
		return false;
	msg.msg_case = CSV__MESSAGE__MSG_SETTLE;
	msg.settle = &body;
	/* A connection that is broken, or breaks, settles it by its next WELCOME. */
	if (client_may_send(c))
		(void)client_send(c, false, &msg);
	return true;
}

void client_settled(struct client *c, uint64_t number)
{
	c->settled = number > c->settled ? number : c->settled;
	holding_settle(&c->holding, number);
	if (c->n_draining)
		client_route_draining(c);
	if (c->leaving)
		client_bye(c, c->bye);
}

void client_settled_all(struct client *c)
{
	client_settled(c, UINT64_MAX);
	c->settled = 0;
}
