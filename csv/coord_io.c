/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads and writes of file data, at the coordinator, by the map of now. Every I/O of every node runs
 * here as long as direct I/O from other nodes is not there (mode file-system-redirected).
 *
 * A write to blocks that are not DATA yet allocates first: the map and the size, with zeros on the
 * blocks, are durable before the data goes there. So a crash in between shows zeros, never what
 * somebody else's file had there, and an acknowledged write never depends on memory of this process.
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

/* Whether [off, off + len) is all DATA. 1, 0 or -errno. */
static int all_data(struct coord *c, uint32_t ino, uint64_t off, uint64_t len)
{
	struct fs_extent ext[MAP_PIECES];
	uint64_t at = down(off) / FS_BLOCK_SIZE, end = up(off + len) / FS_BLOCK_SIZE;

	while (at < end) {
		int n = fs_map(c->fs, ino, at, end - at, ext, MAP_PIECES);

		if (n <= 0)
			return n < 0 ? n : -EIO;
		for (int i = 0; i < n; i++)
			if (ext[i].state != FS_DATA)
				return 0;
		at = ext[n - 1].lblk + ext[n - 1].len;
	}
	return 1;
}

static bool mtime_is_now(const struct fs_attr *attr)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return attr->mtime.tv_sec == now.tv_sec;
}

/* Map, size, time and record, durable. A time stamp moves once a second: each move is a commit. */
static int prepare(struct coord *c, struct req *q, const struct fs_attr *attr, uint64_t off,
		   uint64_t len)
{
	uint64_t end = off + len;
	struct fs_attr now = { 0 }, after;
	int r = all_data(c, attr->ino, off, len);
	bool grow = end > attr->size, append = q->op->flags & O_APPEND;

	if (r < 0 || (r && !grow && !append && mtime_is_now(attr)))
		return r < 0 ? r : 0;
	r = op_begin(c);
	if (r < 0)
		return r;
	r = fs_alloc(c->fs, attr->ino, off, len, grow ? end : 0);
	(void)clock_gettime(CLOCK_REALTIME, &now.mtime);
	if (r >= 0)
		r = fs_setattr(c->fs, attr->ino, FS_SET_MTIME, &now, &after);
	r = op_end(c, q, r, attr->ino, off);
	return r < 0 ? r : fs_commit(c->fs);
}

/* buf covers whole blocks; their parts outside of [off, off + len) come from the file. */
static int fill_edges(struct coord *c, uint32_t ino, uint64_t off, uint64_t len, uint8_t *buf)
{
	uint64_t start = down(off), end = up(off + len), last = end - FS_BLOCK_SIZE;
	int r = 0;

	if (off != start)
		r = read_blocks(c, ino, start, buf, FS_BLOCK_SIZE);
	if (r >= 0 && off + len != end && (last != start || off == start))
		r = read_blocks(c, ino, last, buf + (last - start), FS_BLOCK_SIZE);
	return r;
}

static int write_blocks(struct coord *c, uint32_t ino, uint64_t start, const uint8_t *buf,
			uint64_t len)
{
	struct fs_extent ext[MAP_PIECES];
	uint64_t at = start / FS_BLOCK_SIZE, end = (start + len) / FS_BLOCK_SIZE;

	while (at < end) {
		int n = fs_map(c->fs, ino, at, end - at, ext, MAP_PIECES);

		if (n <= 0)
			return n < 0 ? n : -EIO;
		for (int i = 0; i < n; i++) {
			const uint8_t *from = buf + (ext[i].lblk * FS_BLOCK_SIZE - start);
			int r;

			if (ext[i].state != FS_DATA)
				return -EIO; /* prepare() made it so; nobody else changes maps */
			r = fs_dev_write(c->dev, ext[i].pblk * FS_BLOCK_SIZE, from,
					 ext[i].len * FS_BLOCK_SIZE, 0);
			if (r < 0)
				return r;
			at = ext[i].lblk + ext[i].len;
		}
	}
	return 0;
}

static int write_data(struct coord *c, struct req *q, uint32_t ino, uint64_t off)
{
	uint64_t len = q->op->data.len, start = down(off), span = up(off + len) - start;
	uint8_t *buf = aligned_alloc(FS_BLOCK_SIZE, span);
	int r;

	if (!buf)
		return -ENOMEM;
	r = fill_edges(c, ino, off, len, buf);
	if (r >= 0) {
		memcpy(buf + (off - start), q->op->data.data, len);
		r = write_blocks(c, ino, start, buf, span);
	}
	if (r >= 0 && q->op->sync)
		r = fs_dev_flush(c->dev);
	free(buf);
	return r;
}

int op_write(struct coord *c, struct req *q, struct res *res)
{
	uint64_t off = q->op->offset, done_off;
	struct fs_attr attr;
	uint32_t done_ino;
	int r = open_handle(c, q, true, &attr);

	if (r)
		return r;
	res->r.count = q->op->data.len;
	if (!q->op->data.len)
		return 0;
	if (off + q->op->data.len > INT64_MAX)
		return -EFBIG;
	/* An append that was recorded has its place; whether its data got there is not known. */
	if (op_done_before(c, q, &done_ino, &done_off))
		return write_data(c, q, attr.ino, done_off);
	if (q->op->flags & O_APPEND)
		off = attr.size;
	r = prepare(c, q, &attr, off, q->op->data.len);
	return r < 0 ? r : write_data(c, q, attr.ino, off);
}

/* What was answered before is committed; data in the device's cache becomes stable. */
int op_fsync(struct coord *c, struct req *q, struct res *res)
{
	(void)q;
	(void)res;
	return fs_dev_flush(c->dev);
}
