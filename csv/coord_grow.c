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
#include <time.h>

#include "csv/coord_int.h"

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

static int show(struct coord *c, struct req *q, const struct fs_attr *attr)
{
	uint64_t end = q->op->offset + q->op->length;
	int r = op_begin(c);

	if (r < 0)
		return r;
	fs_use_reserve(c->fs); /* the data are there: a block of the map for them must be, too */
	r = fs_convert(c->fs, attr->ino, q->op->offset, q->op->length, end > attr->size ? end : 0);
	return op_end(c, q, r, attr->ino, q->op->offset);
}

/* From here on it is a layout like any other; what is called back just now is not. */
static int keep(struct coord *c, struct layout_piece *p)
{
	p->grow = false;
	return layout_recalled(&c->layouts, p->ino, p->start, p->end)
		       ? 0
		       : layout_grant(&c->layouts, p);
}

int op_grow(struct coord *c, struct req *q, struct res *res)
{
	const struct handle *h = handle_find(c, q->session, q->op->fh);
	struct layout_piece p = { .session = q->session, .write = true, .grow = true };
	struct fs_attr attr;
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
	r = fs_getattr(c->fs, h->ino, &attr);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	res->r.count = q->op->length;
	r = show(c, q, &attr);
	return r < 0 ? r : keep(c, &p);
}
