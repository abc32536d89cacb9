/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/layout.h"

void layout_fini(struct layout_table *t)
{
	layout_piece_vec_fini(&t->granted);
	layout_recall_vec_fini(&t->recalls);
}

static bool overlaps(const struct layout_piece *p, uint32_t ino, uint64_t start, uint64_t end)
{
	return p->ino == ino && p->start < end && start < p->end;
}

static bool same_holder(const struct layout_piece *a, const struct layout_piece *b)
{
	return a->session == b->session && a->ino == b->ino;
}

/* Take [start, end) out of piece i; room for one more is there. Returns how many are left of it: 0..2 */
static size_t cut(struct layout_piece_vec *v, size_t i, uint64_t start, uint64_t end)
{
	struct layout_piece p = v->v[i], rest = p;

	if (start <= p.start && p.end <= end) {
		layout_piece_vec_remove(v, i);
		return 0;
	}
	if (p.start < start && end < p.end) {
		v->v[i].end = start;
		rest.start = end;
		(void)layout_piece_vec_push(v, rest);
		return 2;
	}
	if (p.start < start)
		v->v[i].end = start;
	else
		v->v[i].start = end;
	return 1;
}

/* ---- granting ------------------------------------------------------------------------------ */

/* Neighbours with the same right become one; without this a scan through a file leaves thousands. */
static void join(struct layout_table *t, struct layout_piece *p)
{
	struct layout_piece_vec *v = &t->granted;

	for (size_t i = 0; i < v->n;) {
		struct layout_piece *q = &v->v[i];

		if (!same_holder(q, p) || q->write != p->write || q->grow != p->grow ||
		    (q->end != p->start && q->start != p->end)) {
			i++;
			continue;
		}
		p->start = q->start < p->start ? q->start : p->start;
		p->end = q->end > p->end ? q->end : p->end;
		layout_piece_vec_remove(v, i);
	}
}

/* Parts of piece that are held for writing already stay so, when it is for reading. */
static int grant_around(struct layout_table *t, struct layout_piece piece)
{
	for (size_t i = 0; i < t->granted.n; i++) {
		struct layout_piece q = t->granted.v[i], part = piece;
		int r = 0;

		if (!same_holder(&q, &piece) || !q.write ||
		    !overlaps(&q, piece.ino, piece.start, piece.end))
			continue;
		if (piece.start < q.start) {
			part.end = q.start;
			r = layout_grant(t, &part);
		}
		if (r == 0 && q.end < piece.end) {
			part = piece;
			part.start = q.end;
			r = layout_grant(t, &part);
		}
		return r;
	}
	return 1;
}

int layout_grant(struct layout_table *t, const struct layout_piece *piece)
{
	struct layout_piece p = *piece;
	int r;

	if (p.start >= p.end)
		return 0;
	if (!p.write) {
		r = grant_around(t, p);
		if (r <= 0)
			return r;
	}
	if (layout_piece_vec_reserve(&t->granted, 3) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < t->granted.n;) {
		struct layout_piece *q = &t->granted.v[i];

		if (same_holder(q, &p) && overlaps(q, p.ino, p.start, p.end))
			i += cut(&t->granted, i, p.start, p.end) ? 1 : 0;
		else
			i++;
	}
	join(t, &p);
	return layout_piece_vec_push(&t->granted, p);
}

/* ---- asking -------------------------------------------------------------------------------- */

static bool serves(const struct layout_piece *q, const struct layout_piece *p)
{
	return same_holder(q, p) && (q->write || !p->write) && (q->grow || !p->grow);
}

/* How far from `at` on the rights go without a gap. */
static uint64_t reach(const struct layout_table *t, const struct layout_piece *p, uint64_t at)
{
	for (size_t i = 0; i < t->granted.n; i++) {
		const struct layout_piece *q = &t->granted.v[i];

		if (serves(q, p) && q->start <= at && at < q->end)
			return q->end;
	}
	for (size_t i = 0; i < t->recalls.n; i++) {
		const struct layout_piece *q = &t->recalls.v[i].piece;

		if (serves(q, p) && q->start <= at && at < q->end)
			return q->end;
	}
	return at;
}

bool layout_allows(const struct layout_table *t, const struct layout_piece *p)
{
	uint64_t at = p->start;

	while (at < p->end) {
		uint64_t to = reach(t, p, at);

		if (to == at)
			return false;
		at = to;
	}
	return true;
}

bool layout_recalled(const struct layout_table *t, uint32_t ino, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < t->recalls.n; i++)
		if (overlaps(&t->recalls.v[i].piece, ino, start, end))
			return true;
	return false;
}

uint64_t layout_free_up_to(const struct layout_table *t, uint32_t ino, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < t->recalls.n; i++) {
		const struct layout_piece *p = &t->recalls.v[i].piece;

		if (overlaps(p, ino, start, end))
			end = p->start > start ? p->start : start;
	}
	return end;
}

/* ---- taking back ---------------------------------------------------------------------------- */

static int recall(struct layout_table *t, const struct layout_piece *piece, bool keep_read)
{
	return layout_recall_vec_push(
		&t->recalls, (struct layout_recall){
				     .id = ++t->last_id, .piece = *piece, .keep_read = keep_read });
}

/* The part of piece i in [start, end) is recalled. */
static int take_part(struct layout_table *t, size_t i, uint64_t start, uint64_t end, bool keep_read)
{
	struct layout_piece part = t->granted.v[i];

	part.start = part.start > start ? part.start : start;
	part.end = part.end < end ? part.end : end;
	/* Room for the rest and for the reading part, so that nothing fails half way. */
	if (layout_piece_vec_reserve(&t->granted, 4) < 0 || recall(t, &part, keep_read) < 0)
		return -ENOMEM;
	(void)cut(&t->granted, i, part.start, part.end);
	part.write = false;
	if (keep_read && !part.grow) {
		join(t, &part);
		(void)layout_piece_vec_push(&t->granted, part);
	}
	return 0;
}

static bool in_the_way(const struct layout_table *t, uint32_t ino, uint64_t start, uint64_t end,
		       bool keep_read, uint64_t except)
{
	for (size_t i = 0; i < t->recalls.n; i++) {
		const struct layout_piece *p = &t->recalls.v[i].piece;

		if (overlaps(p, ino, start, end) && p->session != except &&
		    (p->write || !keep_read))
			return true;
	}
	return false;
}

int layout_take_back(struct layout_table *t, uint32_t ino, uint64_t start, uint64_t end,
		     bool keep_read, uint64_t except)
{
	for (size_t i = 0; i < t->granted.n;) {
		const struct layout_piece *p = &t->granted.v[i];

		if (!overlaps(p, ino, start, end) || p->session == except ||
		    (keep_read && !p->write)) {
			i++;
			continue;
		}
		if (take_part(t, i, start, end, keep_read) < 0)
			return -ENOMEM;
		i = 0; /* pieces have moved */
	}
	return in_the_way(t, ino, start, end, keep_read, except);
}

static bool grows(const struct layout_piece *p, uint32_t ino, uint64_t start, uint64_t end,
		  uint64_t except)
{
	return p->grow && overlaps(p, ino, start, end) && p->session != except;
}

int layout_take_growth(struct layout_table *t, uint32_t ino, uint64_t start, uint64_t end,
		       uint64_t except)
{
	for (size_t i = 0; i < t->granted.n;) {
		if (!grows(&t->granted.v[i], ino, start, end, except)) {
			i++;
			continue;
		}
		if (take_part(t, i, start, end, false) < 0)
			return -ENOMEM;
		i = 0; /* pieces have moved */
	}
	for (size_t i = 0; i < t->recalls.n; i++)
		if (grows(&t->recalls.v[i].piece, ino, start, end, except))
			return 1;
	return 0;
}

uint64_t layout_no_growth_up_to(const struct layout_table *t, uint32_t ino, uint64_t start,
				uint64_t end)
{
	for (size_t i = 0; i < t->granted.n; i++)
		if (grows(&t->granted.v[i], ino, start, end, 0))
			end = t->granted.v[i].start > start ? t->granted.v[i].start : start;
	for (size_t i = 0; i < t->recalls.n; i++)
		if (grows(&t->recalls.v[i].piece, ino, start, end, 0))
			end = t->recalls.v[i].piece.start > start ? t->recalls.v[i].piece.start
								  : start;
	return end;
}

int layout_take_writing(struct layout_table *t, uint64_t session, uint32_t ino)
{
	for (size_t i = 0; i < t->granted.n;) {
		const struct layout_piece *p = &t->granted.v[i];

		if (p->session != session || p->ino != ino || !p->write) {
			i++;
			continue;
		}
		if (take_part(t, i, p->start, p->end, true) < 0)
			return -ENOMEM;
		i = 0;
	}
	for (size_t i = 0; i < t->recalls.n; i++) {
		const struct layout_piece *p = &t->recalls.v[i].piece;

		if (p->session == session && p->ino == ino && p->write)
			return 1;
	}
	return 0;
}

struct layout_recall *layout_find(struct layout_table *t, uint64_t session, uint64_t id)
{
	for (size_t i = 0; i < t->recalls.n; i++)
		if (t->recalls.v[i].id == id && t->recalls.v[i].piece.session == session)
			return &t->recalls.v[i];
	return NULL;
}

bool layout_returned(struct layout_table *t, uint64_t session, uint64_t id)
{
	struct layout_recall *r = layout_find(t, session, id);

	if (!r)
		return false;
	layout_recall_vec_remove(&t->recalls, (size_t)(r - t->recalls.v));
	return true;
}

static bool is_of(const struct layout_piece *p, uint64_t session, uint32_t ino)
{
	return p->session == session && (!ino || p->ino == ino);
}

bool layout_drop(struct layout_table *t, uint64_t session, uint32_t ino)
{
	size_t kept = 0, before = t->recalls.n;

	for (size_t i = 0; i < t->granted.n; i++)
		if (!is_of(&t->granted.v[i], session, ino))
			t->granted.v[kept++] = t->granted.v[i];
	t->granted.n = kept;
	kept = 0;
	for (size_t i = 0; i < t->recalls.n; i++)
		if (!is_of(&t->recalls.v[i].piece, session, ino))
			t->recalls.v[kept++] = t->recalls.v[i];
	t->recalls.n = kept;
	return kept < before;
}
