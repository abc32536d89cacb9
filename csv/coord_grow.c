/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Growth at the coordinator: blocks behind the end of file for one session to write into, and GROW, which shows
 * what it wrote.
 *
 * The blocks are the file's, UNWRITTEN, and durably so before the answer: the client writes on clusters that can
 * be nobody else's, in no crash's aftermath. One session has the growth of a file. Whoever would move the end of
 * file, or learn, fill, cut or write these blocks in any other way - that session's own operations included - waits
 * until it came back. So when a GROW comes from its holder, the blocks are those that were written, nobody knows
 * anything else about them, and the end of file is where the holder left it.
 *
 * GROW is what WRITE does after its data (coord_io.c): one transaction makes them DATA and moves the size, and its
 * commit flushes the target's cache between log and commit block, so that the data is stable before the map that
 * shows it. Without the right it changes nothing (EAGAIN): what was granted once may be another write's by now, or
 * cut off, and a conversion would show what somebody else had on the disk.
 */
#include "config.h"

#include <fcntl.h>
#include <string.h>

#include "csv/coord_int.h"
#include "lib/log.h"
#include "lib/monotime.h"

#define EXTENTS_MAX 256
#define MAP_PIECES 64
#define ANSWERED 2
#define STEP_MIN (UINT64_C(4) << 20) /* given ahead */
#define STEP_MAX (UINT64_C(64) << 20)

/* ---- the grant ------------------------------------------------------------------------------ */

struct get {
	struct req *q;
	const Csv__LayoutGet *in;
	struct handle *h;
	struct fs_attr attr;
	uint64_t start, end; /* asked for, in blocks */
	const char *reason;
};

/*
 * Whoever goes on where the file ends gets more each time. Who leaves gaps makes a sparse file: what he is given ahead
 * would stay in the gaps. What is not used goes with the last close.
 */
static void set_step(const struct get *g)
{
	uint64_t *step = &g->h->grow_step;

	if (g->in->offset != g->attr.size)
		*step = 0;
	else if (*step < STEP_MAX)
		*step = *step ? 2 * *step : STEP_MIN;
}

static int prepare(struct coord *c, const struct get *g)
{
	uint64_t off = g->start * FS_BLOCK_SIZE, end = g->end * FS_BLOCK_SIZE;
	int r = op_begin(c);

	if (r < 0)
		return r;
	r = fs_prepare(c->fs, g->h->ino, off, end - off, g->h->grow_step);
	if (r >= 0)
		r = fs_end(c->fs);
	if (r < 0)
		fs_abort(c->fs);
	else
		g->h->grew = true;
	return r;
}

static void add(Csv__Extent *ext, size_t *n, const struct fs_extent *e)
{
	uint64_t address = e->pblk * FS_BLOCK_SIZE, len = e->len * FS_BLOCK_SIZE;
	Csv__Extent *last = *n ? &ext[*n - 1] : NULL;

	if (last && last->address + last->length == address) {
		last->length += len;
		return;
	}
	csv__extent__init(&ext[*n]);
	ext[*n].offset = e->lblk * FS_BLOCK_SIZE;
	ext[*n].length = len;
	ext[*n].address = address;
	(*n)++;
}

/* What is prepared from g->start on, without a gap, at most to `to`. */
static int read_prepared(struct coord *c, const struct get *g, uint64_t to, Csv__Extent *ext,
			 size_t *n)
{
	struct fs_extent map[MAP_PIECES];
	uint64_t at = g->start;

	while (at < to) {
		int r = fs_map(c->fs, g->h->ino, at, to - at, map, MAP_PIECES);

		if (r <= 0)
			return r < 0 ? r : -EIO;
		for (int i = 0; i < r; i++) {
			if (map[i].state != FS_UNWRITTEN || *n == EXTENTS_MAX)
				return 0;
			add(ext, n, &map[i]);
			at = map[i].lblk + map[i].len;
		}
	}
	return 0;
}

static int grant(struct coord *c, const struct get *g)
{
	Csv__Extent ext[EXTENTS_MAX], *ptr[EXTENTS_MAX];
	Csv__Layout body = CSV__LAYOUT__INIT;
	struct layout_piece p = { .session = g->q->session,
				  .ino = g->h->ino,
				  .write = true,
				  .start = g->start,
				  .grow = true };
	uint64_t to = g->end + g->h->grow_step / FS_BLOCK_SIZE;
	size_t n = 0;
	int r = read_prepared(c, g, recall_unwanted_up_to(c, g->h->ino, g->start, to), ext, &n);

	if (r < 0 || !n)
		return r;
	p.end = (ext[n - 1].offset + ext[n - 1].length) / FS_BLOCK_SIZE;
	r = layout_grant(&c->layouts, &p);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		ptr[i] = &ext[i];
	body.extents = ptr;
	body.n_extents = n;
	body.write = body.grow = true;
	layout_reply(c, g->q, &body);
	return ANSWERED;
}

static bool whole_blocks(uint64_t off, uint64_t len)
{
	return !((off | len) % FS_BLOCK_SIZE) && len && off <= FS_FILE_MAX &&
	       len <= FS_FILE_MAX - off;
}

/* Why not; NULL: it may. A last block in parts would have to be filled up, beside who writes it directly. */
static const char *unfit(const struct coord *c, const struct get *g)
{
	if (!S_ISREG(g->attr.mode))
		return "not a regular file";
	if (g->attr.mode & (S_ISUID | S_ISGID))
		return "set-id bits";
	if (layout_redirected(c))
		return "redirected by the operator";
	if (!whole_blocks(g->in->offset, g->in->length) || g->attr.size % FS_BLOCK_SIZE ||
	    g->in->offset < g->attr.size)
		return "not whole blocks behind the end of file";
	return NULL;
}

/* 0: no grant; ANSWERED; OP_PARK; -errno. */
static int look(struct coord *c, struct get *g)
{
	int r;

	g->reason = unfit(c, g);
	if (g->reason)
		return 0;
	r = recall_growth(c, g->q, g->h->ino, g->q->session);
	if (r)
		return r;
	g->start = g->in->offset / FS_BLOCK_SIZE;
	g->end = (g->in->offset + g->in->length) / FS_BLOCK_SIZE;
	/* Behind those who wait for it to come back, and behind one's own recall. */
	if (recall_unwanted_up_to(c, g->h->ino, g->start, g->end) < g->end)
		return OP_PARK;
	set_step(g);
	r = prepare(c, g);
	return r < 0 ? r : grant(c, g);
}

static int find(struct coord *c, struct get *g)
{
	int r;

	g->h = handle_find(c, g->q->session, g->in->fh);
	if (!g->h || g->h->ino != ino_in(g->in->ino))
		return -ESTALE;
	if ((g->h->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	r = handle_may(c, g->h, true);
	if (r == 0)
		r = fs_getattr(c->fs, g->h->ino, &g->attr);
	if (r == 0)
		r = recall_stale(c, g->q, g->h);
	return r == -ENOENT ? -ESTALE : r;
}

int grow_get(struct coord *c, struct req *q)
{
	struct get g = { .q = q, .in = q->msg->layout_get };
	Csv__Layout body = CSV__LAYOUT__INIT;
	int r = find(c, &g);

	if (r == 0)
		r = look(c, &g);
	if (r > 0)
		return r == ANSWERED ? 0 : r;
	body.error = (uint32_t)-r;
	body.reason = (char *)(uintptr_t)(g.reason ? g.reason : "");
	layout_reply(c, q, &body);
	return r;
}

/* ---- the operation -------------------------------------------------------------------------- */

/*
 * The kernel sends extending writes one at a time, so each would wait for a commit of its own: three commands at the LUN,
 * one after the other. So a GROW may be answered before it is durable, and a commit follows: within SETTLE_MS, or before
 * so much waits for it that the flush of the target's cache holds everybody up. Meanwhile it stands in two places: here,
 * in the running transaction, where everybody else's answer, which leaves behind a commit, cannot show it before it is
 * durable; and at the writer, in the memory of its keeper, from where it is reclaimed.
 *   - The coordinator dies: the writer brings it to the next one, which changes nothing before. Its blocks are durably the
 *     file's, and the data are on them.
 *   - The writer's csvd dies: it is here; both at once: its next csvd reclaims it from the keeper's memory.
 *   - The writer's node dies: it is here. Both nodes: it is gone, with the program that wrote it, as on any node that loses
 *     its power before an fsync; fsync, O_DSYNC and close wait for the commit.
 * What must not be is a growth that is brought back after it was cut off again. So whoever cuts recalls the layout that it
 * is by now, and its holder hears that all is durable before that recall, because it is told first; and a GROW in a range
 * that is being recalled is answered behind its commit. The holder of a RELEASE waits for the same word before it sends it.
 */
#define SETTLE_MS 500
#define SETTLE_BYTES (UINT64_C(64) << 20)

int grow_wait_ms(const struct coord *c)
{
	int64_t now = cl_mono_ms(cl_mono_now());

	if (!c->settle_at_ms)
		return -1;
	return c->settle_at_ms > now ? (int)(c->settle_at_ms - now) : 0;
}

void grow_tell_settled(struct coord *c)
{
	Csv__Settled body = CSV__SETTLED__INIT;

	c->settle_at_ms = 0;
	c->settle_bytes = 0;
	body.growth = c->growths;
	for (size_t i = 0; i < c->sessions.v.n; i++) {
		struct session *s = c->sessions.v.v[i];
		Csv__Message msg = CSV__MESSAGE__INIT;

		if (!s->growth || !s->conn)
			continue;
		s->growth = 0;
		msg.msg_case = CSV__MESSAGE__MSG_SETTLED;
		msg.settled = &body;
		msg.node = s->node;
		msg.mount = s->mount;
		msg.incarnation = s->incarnation;
		coord_send_first(c, s->conn, &msg);
	}
}

static void answer_later(struct coord *c, struct session *s, struct res *res)
{
	if (!c->settle_at_ms)
		c->settle_at_ms = cl_mono_ms(cl_mono_now()) + SETTLE_MS;
	c->settle_bytes += res->r.count;
	c->other_change |= c->settle_bytes > SETTLE_BYTES;
	s->growth = ++c->growths;
	s->grew = true;
	res->r.growth = s->growth;
	res->later = true;
}

static int show(struct coord *c, uint32_t ino, uint64_t off, uint64_t len)
{
	struct fs_attr attr;
	int r = fs_getattr(c->fs, ino, &attr);

	if (r == 0)
		r = op_begin(c);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	fs_use_reserve(c->fs); /* the data are there: a block of the map for them must be, too */
	r = fs_convert(c->fs, ino, off, len, off + len > attr.size ? off + len : 0);
	if (r >= 0)
		r = fs_end(c->fs);
	if (r < 0)
		fs_abort(c->fs);
	return r < 0 ? r : 0;
}

/* From here on it is a layout like any other; what is called back just now is not. */
static int keep(struct coord *c, struct layout_piece *p)
{
	p->grow = false;
	return layout_recalled(&c->layouts, p->ino, p->start, p->end)
		       ? 0
		       : layout_grant(&c->layouts, p);
}

static bool may_be_later(const struct coord *c, const struct req *q, const struct layout_piece *p)
{
	return q->op->later && !q->op->sync && !c->closing &&
	       !layout_recalled(&c->layouts, p->ino, p->start, p->end);
}

int op_grow(struct coord *c, struct req *q, struct res *res)
{
	const struct handle *h = handle_find(c, q->session, q->op->fh);
	struct layout_piece p = { .session = q->session, .write = true, .grow = true };
	bool other;
	int r = h ? handle_may(c, h, true) : -ESTALE;

	if (r)
		return r;
	if (!whole_blocks(q->op->offset, q->op->length))
		return -EINVAL;
	p.ino = h->ino;
	p.start = q->op->offset / FS_BLOCK_SIZE;
	p.end = p.start + q->op->length / FS_BLOCK_SIZE;
	/* Also one that was done before: its blocks are a layout by now, and may have been filled with zeros. */
	if (!layout_allows(&c->layouts, &p) && !(c->cfg.defects & COORD_DEFECT_GROW))
		return -EAGAIN;
	res->r.count = q->op->length;
	other = c->other_change;
	r = show(c, p.ino, q->op->offset, q->op->length);
	if (r < 0)
		return r;
	if (may_be_later(c, q, &p)) {
		c->other_change = other;
		answer_later(c, session_by_id(&c->sessions, q->session), res);
	}
	return keep(c, &p);
}

void grow_reclaim(struct coord *c, struct session *s, const Csv__Grown *in)
{
	struct layout_piece p = { .session = s->id, .ino = ino_in(in->ino), .write = true };
	int r = -EINVAL;

	s->grew = true;
	if (whole_blocks(in->offset, in->length) && handle_of_session(c, s->id, p.ino))
		r = show(c, p.ino, in->offset, in->length);
	p.start = in->offset / FS_BLOCK_SIZE;
	p.end = p.start + in->length / FS_BLOCK_SIZE;
	/* Who cuts it off has to ask its holder, who may not have heard that it is durable. */
	if (r == 0)
		r = layout_grant(&c->layouts, &p);
	if (r < 0 && !coord_dead(c, r))
		log_error("volume '%s': node %u brings growth of inode %llu that cannot be: %s",
			  c->name, s->node, (unsigned long long)in->ino, strerror(-r));
}
