/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layouts at the coordinator: where the bytes of a file are, for direct I/O.
 *
 * Clients see DATA and HOLE. Unwritten blocks are holes to them. Before a hole is given as DATA it is
 * allocated in large pieces, zeros are on the blocks, and both are durable: the answer leaves with the
 * commit that covers it. So the client's write changes no map, and what it acknowledges depends on
 * nobody's memory. The others' hole is taken back first; they would go on reading zeros.
 */
#include "config.h"

#include <fcntl.h>
#include <string.h>

#include "csv/coord_int.h"
#include "lib/log.h"

#define EXTENTS_MAX 256
#define WINDOW ((UINT64_C(1) << 30) / FS_BLOCK_SIZE) /* granted at once, if extents suffice */
#define PIECE ((1u << 20) / FS_BLOCK_SIZE)	     /* filled at least */
#define FILL_MAX ((4u << 20) / FS_BLOCK_SIZE)	     /* and at most, at once */

#define ANSWERED 2

/* A request under work; places in blocks. */
struct get {
	struct req *q;
	const Csv__LayoutGet *in;
	struct handle *h;
	struct fs_attr attr;
	uint64_t start, end; /* asked for, within the file */
	uint64_t from;	     /* granted from here */
	bool write;
	const char *reason;
};

static uint64_t blocks_up(uint64_t bytes)
{
	return bytes / FS_BLOCK_SIZE + (bytes % FS_BLOCK_SIZE ? 1 : 0);
}

void layout_reply(struct coord *c, const struct req *q, Csv__Layout *body)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	const struct session *s = session_by_id(&c->sessions, q->session);

	if (!s)
		return;
	body->id = q->msg->layout_get->id;
	body->ino = q->msg->layout_get->ino;
	msg.msg_case = CSV__MESSAGE__MSG_LAYOUT;
	msg.layout = body;
	session_send(c, s, &msg);
}

static void reply(struct coord *c, const struct get *g, int error, Csv__Extent **extents, size_t n)
{
	Csv__Layout body = CSV__LAYOUT__INIT;

	body.error = (uint32_t)error;
	body.extents = extents;
	body.n_extents = n;
	body.write = g->write;
	body.reason = (char *)(uintptr_t)(g->reason ? g->reason : "");
	layout_reply(c, g->q, &body);
}

bool layout_redirected(const struct coord *c)
{
	for (size_t i = 0; i < c->tables->n_volumes; i++) {
		const Vol__Volume *v = c->tables->volumes[i];

		if (v->uuid.len == 16 && !memcmp(v->uuid.data, c->cfg.volume, 16))
			return v->redirected || v->maintenance;
	}
	return false;
}

/* ---- filling holes ------------------------------------------------------------------------- */

/* The first run in [at, end) that is not DATA: 1, or 0 when there is none. */
static int next_hole(struct coord *c, uint32_t ino, uint64_t at, uint64_t end, uint64_t *ret_start,
		     uint64_t *ret_end)
{
	struct fs_extent ext;

	*ret_start = *ret_end = end;
	for (; at < end; at = ext.lblk + ext.len) {
		int r = fs_map(c->fs, ino, at, end - at, &ext, 1);

		if (r <= 0)
			return r < 0 ? r : -EIO;
		if (ext.state != FS_DATA && *ret_start == end)
			*ret_start = at;
		if (ext.state == FS_DATA && *ret_start != end) {
			*ret_end = at;
			return 1;
		}
	}
	return *ret_start < end;
}

/* Every run that is not DATA is taken back from the others (except 0: from all). */
int layout_clear_holes(struct coord *c, struct req *q, uint32_t ino, uint64_t start, uint64_t end,
		       uint64_t except)
{
	uint64_t a, b;
	int r, result = 0;

	for (; (r = next_hole(c, ino, start, end, &a, &b)) == 1; start = b) {
		r = recall_clear(c, q, ino, a, b, false, except);
		if (r < 0)
			return r;
		result = r ? r : result;
	}
	return recall_both(r, result);
}

/* What is filled at once around [a, b): whole pieces, more where a writer goes on in order. */
static void widen(struct coord *c, const struct get *g, uint64_t *a, uint64_t *b)
{
	uint64_t size = blocks_up(g->attr.size), from = *a - *a % PIECE, to;
	uint64_t least = g->h->filled_to == *a ? FILL_MAX : PIECE;

	if (*b > *a + FILL_MAX)
		*b = *a + FILL_MAX;
	to = *b > from + least ? *b + PIECE - 1 : from + least;
	to -= to % PIECE;
	to = to < size ? to : size;
	/* Nobody else's wish is hurt for what was not asked for. */
	if (recall_unwanted_up_to(c, g->h->ino, from, to) == to) {
		*a = from;
		*b = to > *b ? to : *b;
	}
}

static int fill(struct coord *c, uint32_t ino, uint64_t a, uint64_t b)
{
	int r = op_begin(c);

	if (r < 0)
		return r;
	r = fs_alloc(c->fs, ino, a * FS_BLOCK_SIZE, (b - a) * FS_BLOCK_SIZE, 0);
	if (r >= 0)
		r = fs_end(c->fs);
	if (r < 0)
		fs_abort(c->fs);
	return r;
}

/* Holes in the range become DATA. 0, OP_PARK, -errno. */
static int fill_holes(struct coord *c, struct get *g)
{
	uint64_t first, a, b;
	int r = next_hole(c, g->h->ino, g->start, g->end, &first, &b);

	if (r <= 0)
		return r;
	a = first;
	b = g->end;
	widen(c, g, &a, &b);
	r = layout_clear_holes(c, g->q, g->h->ino, a, b, g->q->session);
	/* Also the asker's own growth: what it has under way there would be filled with zeros. */
	r = recall_both(r, recall_growth_in(c, g->q, g->h->ino, a, b, 0));
	if (r)
		return r;
	r = fill(c, g->h->ino, a, b);
	if (r == -ENOSPC && !fs_dead(c->fs)) {
		a = first; /* what was asked for may still fit */
		b = g->end < b ? g->end : b;
		r = fill(c, g->h->ino, a, b);
	}
	if (r < 0)
		return r;
	g->from = a < g->from ? a : g->from;
	g->h->filled_to = b;
	return 0;
}

/* ---- the answer ---------------------------------------------------------------------------- */

/* Adds a piece, to the last one if it goes on there. Returns false when there is no room. */
static bool add_extent(Csv__Extent *ext, size_t *n, const struct fs_extent *e)
{
	uint64_t off = e->lblk * FS_BLOCK_SIZE, len = e->len * FS_BLOCK_SIZE;
	uint64_t address = e->state == FS_DATA ? e->pblk * FS_BLOCK_SIZE : 0;
	Csv__Extent *last = *n ? &ext[*n - 1] : NULL;

	if (last &&
	    (address ? last->address && last->address + last->length == address : !last->address)) {
		last->length += len;
		return true;
	}
	if (*n == EXTENTS_MAX)
		return false;
	csv__extent__init(&ext[*n]);
	ext[*n].offset = off;
	ext[*n].length = len;
	ext[*n].address = address;
	(*n)++;
	return true;
}

static int read_map(struct coord *c, const struct get *g, uint64_t to, Csv__Extent *ext, size_t *n)
{
	struct fs_extent map[64];
	uint64_t at = g->from;

	*n = 0;
	while (at < to) {
		int r = fs_map(c->fs, g->h->ino, at, to - at, map, 64);

		if (r <= 0)
			return r < 0 ? r : -EIO;
		for (int i = 0; i < r; i++) {
			if (!add_extent(ext, n, &map[i]))
				return 0;
			at = map[i].lblk + map[i].len;
		}
	}
	return 0;
}

/* Grants what is free from g->from on, and tells. */
static int grant(struct coord *c, struct get *g)
{
	Csv__Extent ext[EXTENTS_MAX], *ptr[EXTENTS_MAX], *last;
	uint64_t size = blocks_up(g->attr.size), to = g->from + WINDOW;
	struct layout_piece p = {
		.session = g->q->session, .ino = g->h->ino, .write = g->write, .start = g->from
	};
	size_t n;
	int r;

	to = recall_unwanted_up_to(c, g->h->ino, g->from, to < size ? to : size);
	to = layout_no_growth_up_to(&c->layouts, g->h->ino, g->from, to);
	r = read_map(c, g, to, ext, &n);
	if (r < 0 || !n)
		return r;
	last = &ext[n - 1];
	p.end = (last->offset + last->length) / FS_BLOCK_SIZE;
	if (last->offset + last->length > g->attr.size)
		last->length = g->attr.size - last->offset;
	r = layout_grant(&c->layouts, &p);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		ptr[i] = &ext[i];
	reply(c, g, 0, ptr, n);
	return ANSWERED;
}

/* 0: no layout, g->reason says why; ANSWERED; OP_PARK; -errno. */
static int look(struct coord *c, struct get *g)
{
	uint64_t size = blocks_up(g->attr.size);
	int r;

	g->reason = "not a regular file";
	if (!S_ISREG(g->attr.mode))
		return 0;
	/* A write may have to take them, and only here is known that it has. */
	g->reason = "set-id bits";
	if (g->write && g->attr.mode & (S_ISUID | S_ISGID))
		return 0;
	g->reason = "redirected by the operator";
	if (layout_redirected(c))
		return 0;
	g->reason = "beyond the end of file";
	g->start = g->from = g->in->offset / FS_BLOCK_SIZE;
	if (g->in->offset >= g->attr.size)
		return 0;
	g->end = g->in->length < g->attr.size - g->in->offset
			 ? blocks_up(g->in->offset + g->in->length)
			 : size;
	g->end = g->end > g->start ? g->end : g->start + 1;
	g->reason = "";
	/* Behind those who wait for recalls there, and behind one's own. */
	if (recall_unwanted_up_to(c, g->h->ino, g->start, g->end) < g->end)
		return OP_PARK;
	/* Where a file grew with a gap: what is being written there would be a hole to others. */
	r = recall_growth_in(c, g->q, g->h->ino, g->start, g->end, 0);
	if (r)
		return r;
	r = g->in->write ? fill_holes(c, g) : 0;
	return r ? r : grant(c, g);
}

int layout_get(struct coord *c, struct req *q)
{
	struct get g = { .q = q, .in = q->msg->layout_get };
	int r, may;

	if (g.in->grow)
		return grow_get(c, q);
	g.h = handle_find(c, q->session, g.in->fh);
	r = g.h && g.h->ino == ino_in(g.in->ino) ? handle_may(c, g.h, g.in->write) : -ESTALE;
	if (r == OP_PARK)
		return r;
	if (r == 0) {
		r = fs_getattr(c->fs, g.h->ino, &g.attr);
		r = r == -ENOENT ? -ESTALE : r;
	}
	if (r == 0 && g.in->write && (g.h->flags & O_ACCMODE) == O_RDONLY)
		r = -EBADF;
	if (r == 0) {
		/* Who may write is about to: with the right at once it asks once. */
		may = (g.h->flags & O_ACCMODE) != O_RDONLY && handle_may(c, g.h, true) == 0 &&
		      !(g.attr.mode & (S_ISUID | S_ISGID));
		g.write = g.in->write || may;
		r = g.write ? recall_stale(c, q, g.h) : 0;
	}
	if (r == OP_PARK)
		return r;
	if (r == 0) {
		r = look(c, &g);
	}
	if (r <= 0) {
		g.write = false;
		reply(c, &g, -r, NULL, 0);
	}
	return r == ANSWERED ? 0 : r;
}

/* ---- what else holders say ------------------------------------------------------------------ */

void layout_touched(struct coord *c, const struct session *s, const Csv__Touched *in)
{
	struct fs_attr attr, set = { 0 };
	uint32_t ino = ino_in(in->ino);
	struct timespec now;
	int r;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	set.mtime = time_from_ns(in->mtime_ns);
	/* Clocks differ; and what was set by utimes(2) since must stay. */
	if (time_before(&now, &set.mtime))
		set.mtime = now;
	if (!handle_of_session(c, s->id, ino) || fs_getattr(c->fs, ino, &attr) < 0 ||
	    time_before(&set.mtime, &attr.ctime) || op_begin(c) < 0)
		return;
	r = fs_setattr(c->fs, ino, FS_SET_MTIME, &set, &attr);
	if (r >= 0)
		r = fs_end(c->fs);
	if (r < 0) {
		fs_abort(c->fs);
		(void)coord_dead(c, r);
	}
}
