/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads and writes of file data that are operations of the coordinator, by the map of now: growth, append,
 * parts of blocks, and everything of a node without a layout (mode file-system-redirected).
 *
 * Data first: a write that needs blocks gets them UNWRITTEN, writes them whole, and only then one
 * transaction shows them, with the size. A crash in between shows zeros or the old size, never what
 * somebody else's file had there (fs.h has the argument), and an acknowledged write never depends on
 * memory of this process.
 */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "csv/coord_int.h"

#define IO_MAX (1024 * 1024)
#define MAP_PIECES 64

static uint64_t down(uint64_t x)
{
	return x & ~(uint64_t)(FS_BLOCK_SIZE - 1);
}

static uint64_t up(uint64_t x)
{
	return down(x + FS_BLOCK_SIZE - 1);
}

/* Whole blocks [start, start + len) of the file into buf; holes are zeros. */
static int read_blocks(struct coord *c, uint32_t ino, uint64_t start, uint8_t *buf, uint64_t len)
{
	struct fs_extent ext[MAP_PIECES];
	uint64_t at = start / FS_BLOCK_SIZE, end = (start + len) / FS_BLOCK_SIZE;

	while (at < end) {
		int n = fs_map(c->fs, ino, at, end - at, ext, MAP_PIECES);

		if (n <= 0)
			return n < 0 ? n : -EIO;
		for (int i = 0; i < n; i++) {
			uint8_t *to = buf + (ext[i].lblk * FS_BLOCK_SIZE - start);
			size_t bytes = ext[i].len * FS_BLOCK_SIZE;
			int r = 0;

			if (ext[i].state == FS_DATA)
				r = fs_dev_read(c->dev, ext[i].pblk * FS_BLOCK_SIZE, to, bytes);
			else
				memset(to, 0, bytes);
			if (r < 0)
				return r;
			at = ext[i].lblk + ext[i].len;
		}
	}
	return 0;
}

static int open_handle(struct coord *c, struct req *q, bool writes, struct fs_attr *attr)
{
	const struct handle *h = handle_find(c, q->session, q->op->fh);
	int r;

	if (!h)
		return -ESTALE;
	if (q->op->offset > INT64_MAX || q->op->length > IO_MAX || q->op->data.len > IO_MAX)
		return -EINVAL;
	r = handle_may(c, h, writes);
	if (r)
		return r;
	r = fs_getattr(c->fs, h->ino, attr);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	return S_ISREG(attr->mode) ? 0 : -EINVAL;
}

int op_read(struct coord *c, struct req *q, struct res *res)
{
	uint64_t off = q->op->offset, end = off + q->op->length, start = down(off);
	struct fs_attr attr;
	int r = open_handle(c, q, false, &attr);

	if (r)
		return r;
	if (end > attr.size)
		end = attr.size;
	if (off >= end)
		return 0;
	res->owned = aligned_alloc(FS_BLOCK_SIZE, up(end) - start);
	if (!res->owned)
		return -ENOMEM;
	r = read_blocks(c, attr.ino, start, res->owned, up(end) - start);
	if (r < 0)
		return r;
	res->r.data.data = (uint8_t *)res->owned + (off - start);
	res->r.data.len = end - off;
	return 0;
}

static bool mtime_is_now(const struct fs_attr *attr)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return attr->mtime.tv_sec == now.tv_sec;
}

/* ---- a write -------------------------------------------------------------------------------- */

/* A write under work: bytes, and the blocks that they touch. */
struct job {
	struct coord *c;
	struct req *q;
	struct fs_attr attr;
	const uint8_t *data;
	uint64_t off, end;
	uint64_t first, last; /* blocks [first, last) */
	bool grow, change;    /* of the size; of the map */
};

/*
 * Whom this write waits for. Who holds a hole that becomes DATA goes on reading zeros, the asking node's
 * own mount included. What is written directly into a block that is read, changed and written here would
 * be lost. Whole blocks of DATA are nobody's business: each command is atomic, their order is free.
 */
static int clear_way(struct job *j)
{
	uint32_t ino = j->attr.ino;
	int r = recall_clear_tail(j->c, j->q, &j->attr, j->end);

	if (j->off % FS_BLOCK_SIZE)
		r = recall_both(r, recall_clear(j->c, j->q, ino, j->first, j->first + 1, true, 0));
	if (j->end % FS_BLOCK_SIZE)
		r = recall_both(r, recall_clear(j->c, j->q, ino, j->last - 1, j->last, true, 0));
	if (j->change)
		r = recall_both(r, layout_clear_holes(j->c, j->q, ino, j->first, j->last, 0));
	if (j->grow)
		r = recall_both(r, recall_growth(j->c, j->q, ino, 0));
	return r;
}

/* How much is prepared at once: a file that grows goes on growing, but most files are small. */
static uint64_t chunk_of(const struct job *j)
{
	if (!j->grow || j->end < 16 * FS_CLUSTER_SIZE)
		return 0;
	return j->end < UINT64_C(256) << 20 ? 1u << 20 : 8u << 20;
}

/* The blocks are the file's; nobody sees them yet. */
static int prepare(struct job *j)
{
	int r = op_begin(j->c);

	if (r < 0)
		return r;
	r = fs_prepare(j->c->fs, j->attr.ino, j->off, j->end - j->off, chunk_of(j));
	if (r >= 0)
		r = fs_end(j->c->fs);
	if (r < 0)
		fs_abort(j->c->fs);
	else if (chunk_of(j))
		handle_find(j->c, j->q->session, j->q->op->fh)->grew = true;
	return r;
}

/* buf covers whole blocks; their parts outside of the write come from the file, or are zeros. */
static int fill_edges(const struct job *j, uint8_t *buf)
{
	uint64_t start = down(j->off), end = up(j->end), last = end - FS_BLOCK_SIZE;
	uint64_t size = j->attr.size;
	int r = 0;

	if (j->off != start)
		r = read_blocks(j->c, j->attr.ino, start, buf, FS_BLOCK_SIZE);
	if (r >= 0 && j->end != end && (last != start || j->off == start))
		r = read_blocks(j->c, j->attr.ino, last, buf + (last - start), FS_BLOCK_SIZE);
	if (r < 0 || size >= end)
		return r;
	/* Beyond the end of file a block may have anything. */
	if (size <= start)
		memset(buf, 0, j->off - start);
	else if (size < j->off)
		memset(buf + (size - start), 0, j->off - size);
	if (size < j->end)
		memset(buf + (j->end - start), 0, end - j->end);
	else
		memset(buf + (size - start), 0, end - size);
	return 0;
}

/* To where the map says: DATA, or prepared. */
static int write_blocks(const struct job *j, const uint8_t *buf)
{
	struct fs_extent ext[MAP_PIECES];
	uint64_t at = j->first;

	while (at < j->last) {
		int n = fs_map(j->c->fs, j->attr.ino, at, j->last - at, ext, MAP_PIECES);

		if (n <= 0)
			return n < 0 ? n : -EIO;
		for (int i = 0; i < n; i++) {
			int r;

			if (ext[i].state == FS_HOLE)
				return -EIO; /* prepare() made it so; nobody else changes maps */
			r = fs_dev_write(j->c->dev, ext[i].pblk * FS_BLOCK_SIZE,
					 buf + (ext[i].lblk - j->first) * FS_BLOCK_SIZE,
					 ext[i].len * FS_BLOCK_SIZE, 0);
			if (r < 0)
				return r;
			at = ext[i].lblk + ext[i].len;
		}
	}
	return 0;
}

static int write_data(const struct job *j)
{
	uint64_t start = down(j->off), span = up(j->end) - start;
	uint8_t *buf = aligned_alloc(FS_BLOCK_SIZE, span);
	int r;

	if (!buf)
		return -ENOMEM;
	r = fill_edges(j, buf);
	if (r >= 0) {
		memcpy(buf + (j->off - start), j->data, j->end - j->off);
		r = write_blocks(j, buf);
	}
	free(buf);
	return r;
}

/* Map, size, time and record: after the data, in one transaction. A time stamp moves once a second. */
static int finish(const struct job *j)
{
	bool append = j->q->op->flags & O_APPEND;
	struct fs_attr now = { 0 }, after;
	int r = 0;

	if (!j->change && !append && mtime_is_now(&j->attr))
		return 0;
	r = op_begin(j->c);
	if (r < 0)
		return r;
	if (j->change)
		r = fs_convert(j->c->fs, j->attr.ino, j->off, j->end - j->off,
			       j->grow ? j->end : 0);
	(void)clock_gettime(CLOCK_REALTIME, &now.mtime);
	if (r >= 0)
		r = fs_setattr(j->c->fs, j->attr.ino, FS_SET_MTIME, &now, &after);
	return op_end(j->c, j->q, r, j->attr.ino, j->off);
}

static int run(struct job *j)
{
	int r = fs_is_data(j->c->fs, j->attr.ino, j->off, j->end - j->off);

	if (r < 0)
		return r;
	j->grow = j->end > j->attr.size;
	j->change = !r || j->grow;
	r = clear_way(j);
	if (r == 0 && j->change)
		r = prepare(j);
	if (r == 0)
		r = write_data(j);
	return r ? r : finish(j);
}

/*
 * One that was recorded was done: the record is durable with the map, and that after the data. The commit
 * that ends the batch makes this one durable, with all others of the batch.
 */
int op_write(struct coord *c, struct req *q, struct res *res)
{
	struct job j = { .c = c, .q = q, .data = q->op->data.data, .off = q->op->offset };
	uint32_t done_ino;
	uint64_t done_off;
	int r = open_handle(c, q, true, &j.attr);

	if (r)
		return r;
	res->r.count = q->op->data.len;
	if (!q->op->data.len || op_done_before(c, q, &done_ino, &done_off))
		return 0;
	r = recall_stale(c, q, handle_find(c, q->session, q->op->fh));
	if (r)
		return r;
	/* The client's size may be old: another node's append would be written over. */
	if (q->op->flags & O_APPEND && !(c->cfg.defects & COORD_DEFECT_APPEND))
		j.off = j.attr.size;
	j.end = j.off + q->op->data.len;
	if (j.end > FS_FILE_MAX)
		return -EFBIG;
	j.first = j.off / FS_BLOCK_SIZE;
	j.last = up(j.end) / FS_BLOCK_SIZE;
	r = run(&j);
	if (r == 0 && q->op->sync)
		c->flush = true;
	return r;
}

/* What was answered before is committed; data in the device's cache becomes stable: once per batch. */
int op_fsync(struct coord *c, struct req *q, struct res *res)
{
	(void)q;
	(void)res;
	c->flush = true;
	return 0;
}
