/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a file has blocks: fallocate and lseek, at the coordinator. */
#include "config.h"

#include <errno.h>
#include <linux/falloc.h>
#include <time.h>
#include <unistd.h>

#include "csv/coord_int.h"

#define MODES (uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)

/*
 * A range of zeros is punched and then preallocated. So what it had is free only after the commit, and a
 * volume that has no room for both answers ENOSPC; the alternative writes zeros for as long as the range is.
 */
static int allocate(struct coord *c, const struct fs_attr *attr, const Csv__Op *op)
{
	uint64_t end = op->offset + op->length;
	bool grow = !(op->flags & FALLOC_FL_KEEP_SIZE) && end > attr->size;
	int r = 0;

	if (op->flags & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		r = fs_punch(c->fs, attr->ino, op->offset, op->length);
	if (r == 0 && !(op->flags & FALLOC_FL_PUNCH_HOLE))
		r = fs_prealloc(c->fs, attr->ino, op->offset, op->length, grow ? end : 0);
	return r;
}

/* Its times move even when nothing else does. */
static int allocate_and_touch(struct coord *c, const struct fs_attr *attr, const Csv__Op *op)
{
	struct fs_attr now = { 0 }, after;
	int r = allocate(c, attr, op);

	if (r < 0)
		return r;
	(void)clock_gettime(CLOCK_REALTIME, &now.mtime);
	return fs_setattr(c->fs, attr->ino, FS_SET_MTIME, &now, &after);
}

static int check_mode(uint32_t mode)
{
	if (mode & ~MODES)
		return -EOPNOTSUPP;
	if (mode & FALLOC_FL_PUNCH_HOLE)
		return mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) ? 0 : -EOPNOTSUPP;
	return 0;
}

/* What goes is taken back from all first. */
static int clear_way(struct coord *c, struct req *q, const struct fs_attr *attr)
{
	const Csv__Op *op = q->op;
	uint64_t end = op->offset + op->length;
	int r = 0;

	if (op->flags & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		r = recall_clear(c, q, attr->ino, op->offset / FS_BLOCK_SIZE,
				 (end + FS_BLOCK_SIZE - 1) / FS_BLOCK_SIZE, false, 0);
	if (!(op->flags & FALLOC_FL_KEEP_SIZE)) {
		r = recall_both(r, recall_clear_tail(c, q, attr, end));
		r = recall_both(r, recall_growth(c, q, attr->ino, 0));
	}
	return r;
}

int op_fallocate(struct coord *c, struct req *q, struct res *res)
{
	const struct handle *h = handle_find(c, q->session, q->op->fh);
	uint32_t done_ino;
	struct fs_attr attr;
	uint64_t done_off;
	int r = check_mode(q->op->flags);

	(void)res;
	if (r < 0)
		return r;
	if (!h)
		return -ESTALE;
	if (q->op->offset > FS_FILE_MAX || q->op->length > FS_FILE_MAX - q->op->offset)
		return -EFBIG;
	r = handle_may(c, h, true);
	if (r || op_done_before(c, q, &done_ino, &done_off))
		return r;
	r = fs_getattr(c->fs, h->ino, &attr);
	if (r == 0)
		r = clear_way(c, q, &attr);
	if (r)
		return r;
	r = op_begin(c);
	if (r < 0)
		return r;
	return op_end(c, q, allocate_and_touch(c, &attr, q->op), attr.ino, 0);
}

/* The first block from at on that is (a hole) or is not, in bytes; the end of file counts as a hole. */
static int seek(struct coord *c, const struct fs_attr *attr, uint64_t offset, bool hole,
		uint64_t *ret)
{
	uint64_t at = offset / FS_BLOCK_SIZE,
		 end = (attr->size + FS_BLOCK_SIZE - 1) / FS_BLOCK_SIZE;
	struct fs_extent ext;

	for (; at < end; at = ext.lblk + ext.len) {
		int r = fs_map(c->fs, attr->ino, at, end - at, &ext, 1);

		if (r <= 0)
			return r < 0 ? r : -EIO;
		if ((ext.state != FS_DATA) == hole)
			break;
	}
	if (at >= end && !hole)
		return -ENXIO;
	*ret = at * FS_BLOCK_SIZE;
	if (*ret < offset)
		*ret = offset;
	if (*ret > attr->size)
		*ret = attr->size;
	return 0;
}

int op_lseek(struct coord *c, struct req *q, struct res *res)
{
	const struct handle *h = handle_find(c, q->session, q->op->fh);
	struct fs_attr attr;
	int r = h ? handle_may(c, h, false) : -ESTALE;

	if (r)
		return r;
	r = fs_getattr(c->fs, h->ino, &attr);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	if (!S_ISREG(attr.mode))
		return -EINVAL;
	if (q->op->offset >= attr.size) /* a negative one comes as a huge one */
		return -ENXIO;
	return seek(c, &attr, q->op->offset, q->op->flags == SEEK_HOLE, &res->r.count);
}
