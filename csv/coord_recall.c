/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recalls at the coordinator: an operation that direct I/O of others would spoil, or that would spoil
 * theirs, takes their rights back first, and is parked until the last of them is gone. Whose holder says
 * BUSY is waited for: a write that is under way at the target cannot be called back. A connection that
 * says nothing is closed: the HELLO that follows has the nexus killed that may still be writing, and
 * brings the recall again. A holder that never comes back is for the cluster to fence.
 *
 * What a parked operation wants is not granted anew to others meanwhile, or it could wait for ever.
 */
#include "config.h"

#include <string.h>

#include "csv/coord_int.h"
#include "lib/log.h"
#include "lib/monotime.h"

#define SILENCE_MS 5000

static int64_t now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

static void send_recall(struct coord *c, const struct session *s, struct layout_recall *r)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Recall body = CSV__RECALL__INIT;

	body.id = r->id;
	body.ino = r->piece.ino;
	body.offset = r->piece.start * FS_BLOCK_SIZE;
	body.length = (r->piece.end - r->piece.start) * FS_BLOCK_SIZE;
	body.keep_read = r->keep_read;
	msg.msg_case = CSV__MESSAGE__MSG_RECALL;
	msg.recall = &body;
	session_send(c, s, &msg);
	r->sent = true;
	r->heard_ms = now_ms();
	counters_add(c->cfg.counters, COUNTERS_RECALLS_SENT);
}

/* All that are not sent yet on the connections of now. */
void recall_send(struct coord *c)
{
	for (size_t i = 0; i < c->layouts.recalls.n; i++) {
		struct layout_recall *r = &c->layouts.recalls.v[i];
		const struct session *s = session_by_id(&c->sessions, r->piece.session);

		if (!r->sent && s && s->conn && s->sm.state == SESSION_ACTIVE)
			send_recall(c, s, r);
	}
}

void recall_conn_gone(struct coord *c, uint64_t session)
{
	for (size_t i = 0; i < c->layouts.recalls.n; i++)
		if (c->layouts.recalls.v[i].piece.session == session)
			c->layouts.recalls.v[i].sent = false;
}

static void want(struct req *q, uint32_t ino, uint64_t start, uint64_t end)
{
	bool first = q->want.start >= q->want.end;

	q->want.ino = ino;
	q->want.start = first || start < q->want.start ? start : q->want.start;
	q->want.end = first || end > q->want.end ? end : q->want.end;
}

int recall_clear(struct coord *c, struct req *q, uint32_t ino, uint64_t start, uint64_t end,
		 bool keep_read, uint64_t except)
{
	int r;

	if (start >= end || (c->cfg.defects & COORD_DEFECT_NO_RECALL))
		return 0;
	r = layout_take_back(&c->layouts, ino, start, end, keep_read, except);
	recall_send(c);
	if (r <= 0)
		return r;
	want(q, ino, start, end);
	return OP_PARK;
}

int recall_growth_in(struct coord *c, struct req *q, uint32_t ino, uint64_t start, uint64_t end,
		     uint64_t except)
{
	int r = c->cfg.defects & COORD_DEFECT_NO_RECALL
			? 0
			: layout_take_growth(&c->layouts, ino, start, end, except);

	recall_send(c);
	if (r <= 0)
		return r;
	want(q, ino, start, end);
	return OP_PARK;
}

int recall_growth(struct coord *c, struct req *q, uint32_t ino, uint64_t except)
{
	return recall_growth_in(c, q, ino, 0, UINT64_MAX, except);
}

int recall_clear_tail(struct coord *c, struct req *q, const struct fs_attr *attr, uint64_t size)
{
	uint64_t tail = attr->size / FS_BLOCK_SIZE;

	if (size <= attr->size || attr->size % FS_BLOCK_SIZE == 0)
		return 0;
	return recall_clear(c, q, attr->ino, tail, tail + 1, true, 0);
}

int recall_stale(struct coord *c, struct req *q, const struct handle *h)
{
	int r = 0;

	if (!h->generation || (c->cfg.defects & COORD_DEFECT_NO_RECALL))
		return 0;
	for (size_t i = 0; i < c->handles.n && r >= 0; i++) {
		const struct handle *x = &c->handles.v[i];

		if (x->ino == h->ino && x->session != h->session && x->generation &&
		    x->generation < h->generation && !strcmp(x->resource, h->resource))
			r = recall_both(r, layout_take_writing(&c->layouts, x->session, x->ino));
	}
	recall_send(c);
	if (r <= 0)
		return r;
	want(q, h->ino, 0, UINT64_MAX);
	return OP_PARK;
}

void recall_all(struct coord *c)
{
	while (c->layouts.granted.n) {
		struct layout_piece p = c->layouts.granted.v[0];

		if (layout_take_back(&c->layouts, p.ino, 0, UINT64_MAX, false, 0) < 0) {
			coord_fail(c, "out of memory");
			return;
		}
	}
	recall_send(c);
}

uint64_t recall_unwanted_up_to(const struct coord *c, uint32_t ino, uint64_t start, uint64_t end)
{
	end = layout_free_up_to(&c->layouts, ino, start, end);
	for (const struct req *q = c->parked; q; q = q->next)
		if (q->want.ino == ino && q->want.start < end && start < q->want.end)
			end = q->want.start > start ? q->want.start : start;
	return end;
}

void recall_answered(struct coord *c, const struct session *s, const Csv__Recalled *in)
{
	struct layout_recall *r = layout_find(&c->layouts, s->id, in->id);

	if (!r)
		return; /* of a layout that has ended otherwise */
	if (in->returned) {
		(void)layout_returned(&c->layouts, s->id, in->id);
		c->retry_parked = true;
		return;
	}
	r->heard_ms = now_ms();
	log_debug("volume '%s': node %u is busy under recall: %u under way, the oldest %u ms",
		  c->name, s->node, in->in_flight, in->oldest_ms);
}

/* ---- silence ------------------------------------------------------------------------------- */

static int64_t silence_ms(const struct coord *c)
{
	return c->cfg.silence_ms ? c->cfg.silence_ms : SILENCE_MS;
}

static int64_t silent_at(const struct coord *c)
{
	int64_t at = INT64_MAX;

	for (size_t i = 0; i < c->layouts.recalls.n; i++) {
		const struct layout_recall *r = &c->layouts.recalls.v[i];

		if (r->sent && r->heard_ms + silence_ms(c) < at)
			at = r->heard_ms + silence_ms(c);
	}
	return at;
}

int recall_wait_ms(const struct coord *c)
{
	int64_t at = silent_at(c), now;

	if (at == INT64_MAX)
		return -1;
	now = now_ms();
	return at > now ? (int)(at - now) : 0;
}

void recall_check_silence(struct coord *c)
{
	int64_t now = now_ms();

	if (silent_at(c) > now)
		return;
	for (size_t i = 0; i < c->layouts.recalls.n; i++) {
		struct layout_recall *r = &c->layouts.recalls.v[i];
		struct session *s = session_by_id(&c->sessions, r->piece.session);

		if (!r->sent || r->heard_ms + silence_ms(c) > now || !s)
			continue;
		log_warning(
			"volume '%s': node %u does not answer a recall of inode %u; its "
			"connection is closed, its data nexus will be killed when it comes back",
			c->name, s->node, r->piece.ino);
		coord_cut_off(c, s);
	}
}
