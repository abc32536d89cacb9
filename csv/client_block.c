/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block-redirected I/O, the client's half: without a path of its own this node sends what its layouts cover
 * to the coordinator by place on the LUN (coord_block.c, volume_proxy.c).
 *
 * It is under way like direct I/O, and on the same list: a recall that was answered without waiting for it
 * would have its blocks freed with our write still at the LUN; the same for a RELEASE, a stop order, a
 * goodbye, a reclaim.
 *
 * When is it not under way any more?
 * - It was answered. EAGAIN: nothing was done, nor will be.
 * - WELCOME, whoever says it. The coordinator that had it executes nothing of the old connection from the
 *   HELLO on, and says WELCOME when what its node has under way for us has ended. Another one - or the same
 *   node in a new term - has claimed the LUN first: that killed the nexus of the old coordinator's node on
 *   which this was sent (such a key is no member's, and never spared), and a proxy does nothing of an earlier
 *   term on its next nexus. The loss of a connection alone says nothing: the proxy may be doing it just now.
 * - The log says that this node's fence is paid: the same, for one to whom nobody says WELCOME.
 * So a call that was not answered is neither repeated nor forgotten before that, and after it may go any
 * way: directly, by place, or as an operation.
 */
#include "config.h"

#include <errno.h>

#include "csv/client_int.h"
#include "csv/op.h"

#define SECTOR 512
#define BYTES_MAX (1u << 20)

bool client_block_fits(const struct client *c, const struct call *call)
{
	const Csv__Op *op = &call->op;
	bool write = op->kind == CSV__KIND__WRITE;
	uint64_t len = write ? op->data.len : op->length;

	if ((!write && op->kind != CSV__KIND__READ) || call->no_block || !client_may_send(c))
		return false;
	return len && len <= BYTES_MAX && !((op->offset | len) % SECTOR);
}

bool client_send_block(struct client *c, struct call *call, const struct map_extent *piece)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Op op = call->op;
	struct dio *d = piece->address ? client_dio_new(c, call) : NULL;

	if (!d)
		return false;
	d->redirected = true;
	d->unique = op.unique;
	d->start = piece->start;
	d->end = piece->end;
	op.kind = op.kind == CSV__KIND__WRITE ? CSV__KIND__BLOCK_WRITE : CSV__KIND__BLOCK_READ;
	op.address = piece->address;
	op.resent |= call->sent;
	if (call->sent)
		counters_add(c->cfg.counters, COUNTERS_RESENDS);
	call->sent = true;
	call->way = CALL_BLOCK;
	msg.msg_case = CSV__MESSAGE__MSG_OP;
	msg.op = &op;
	(void)client_send(c, op_is_bulk(&op),
			  &msg); /* a broken connection settles it by its next WELCOME */
	return true;
}

static struct dio *find(const struct client *c, uint64_t unique)
{
	for (struct dio *d = c->dios.first; d; d = d->next)
		if (d->redirected && (!unique || d->unique == unique))
			return d;
	return NULL;
}

static void go_on(struct client *c, struct call *call, const Csv__Result *res)
{
	if (res->again) {
		call->way = CALL_WAITING;
	} else if (res->error == EAGAIN) {
		call->no_block = true;
		client_route(c, call);
	} else {
		client_answer(c, call, res);
	}
}

bool client_on_block_result(struct client *c, const Csv__Result *res)
{
	struct dio *d = find(c, res->unique);
	struct call *call;

	if (!d)
		return false;
	call = d->call;
	if (d->kind == CSV__KIND__WRITE && !res->error && !res->again)
		client_touch(c, d->ino);
	client_dio_free(d);
	if (call)
		go_on(c, call, res);
	client_dio_ended(c, !call);
	return true;
}

void client_settle_blocks(struct client *c)
{
	bool any = false, orphan = false;
	struct dio *d;

	while ((d = find(c, 0))) {
		any = true;
		orphan |= !d->call;
		client_dio_free(d);
	}
	if (any)
		client_dio_ended(c, orphan);
}
