/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations: which function, and exactly once.
 *
 * The kernel (after a csvd restart) and the client (after a coordinator's end) send what was not
 * answered again. An operation that would do something else the second time - make, remove, rename,
 * truncate, append - leaves a record of its answer in its own transaction: either both are there
 * after a crash or neither. The record goes when the client says that the answer arrived. What
 * failed leaves none: nobody heard of the failure, so to try anew is as good.
 */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "csv/coord_int.h"
#include "csv/op.h"
#include "csv/wtime.h"
#include "lib/le.h"

#define RECORD_SIZE 16

uint32_t ino_in(uint64_t ino)
{
	return ino <= UINT32_MAX ? (uint32_t)ino : 0;
}

static struct fs_record_key record_key(const struct req *q)
{
	return (struct fs_record_key){ q->msg->node, q->msg->mount, q->op->unique };
}

bool op_done_before(struct coord *c, const struct req *q, uint32_t *ret_ino, uint64_t *ret_offset)
{
	struct fs_record_key key = record_key(q);
	const void *data;
	size_t len;

	if (op_repeatable(q->op) || (c->cfg.defects & COORD_DEFECT_NO_RECORD))
		return false;
	if (fs_record_get(c->fs, FS_REPLIES, &key, &data, &len) < 0 || len < RECORD_SIZE)
		return false;
	*ret_ino = cl_get_le32((const uint8_t *)data + 4);
	*ret_offset = cl_get_le64((const uint8_t *)data + 8);
	return true;
}

int op_begin(struct coord *c)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	c->other_change = true;
	return fs_begin(c->fs, now);
}

static int record_put(struct coord *c, const struct req *q, uint32_t ino, uint64_t offset)
{
	struct fs_record_key key = record_key(q);
	uint8_t data[RECORD_SIZE] = { 1 };

	cl_put_le32(data + 4, ino);
	cl_put_le64(data + 8, offset);
	return fs_record_put(c->fs, FS_REPLIES, &key, data, sizeof(data));
}

int op_end(struct coord *c, const struct req *q, int r, uint32_t ino, uint64_t offset)
{
	if (r >= 0 && !op_repeatable(q->op))
		r = record_put(c, q, ino, offset);
	if (r < 0) {
		fs_abort(c->fs);
		return r;
	}
	r = fs_end(c->fs);
	return r < 0 ? r : 0;
}

/* Costs no transaction of its own while there are others to join. */
void coord_drop_records(struct coord *c)
{
	if (!c->acks.n || op_begin(c) < 0)
		return;
	for (size_t i = 0; i < c->acks.n; i++)
		(void)fs_record_drop(c->fs, FS_REPLIES, &c->acks.v[i].key);
	if (fs_end(c->fs) < 0)
		fs_abort(c->fs);
	ack_vec_clear(&c->acks);
}

struct timespec time_from_ns(int64_t ns)
{
	struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	if (t.tv_nsec < 0) {
		t.tv_sec--;
		t.tv_nsec += 1000000000;
	}
	return t;
}

bool time_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static void attr_to_wire(const struct fs_attr *a, Csv__Attr *out)
{
	csv__attr__init(out);
	out->ino = a->ino;
	out->generation = a->generation;
	out->mode = a->mode;
	out->nlink = a->nlink;
	out->uid = a->uid;
	out->gid = a->gid;
	out->rdev = a->rdev;
	out->size = a->size;
	out->blocks = a->blocks;
	out->atime = wtime_from(a->atime);
	out->mtime = wtime_from(a->mtime);
	out->ctime = wtime_from(a->ctime);
}

int res_attr(struct coord *c, uint32_t ino, struct res *res)
{
	struct fs_attr attr;
	int r = fs_getattr(c->fs, ino, &attr);

	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	attr_to_wire(&attr, &res->attr);
	res->r.attr = &res->attr;
	return 0;
}

static int op_getattr(struct coord *c, struct req *q, struct res *res)
{
	return res_attr(c, ino_in(q->op->ino), res);
}

static unsigned set_from_wire(uint32_t valid, const Csv__Attr *in, struct fs_attr *attr)
{
	static const unsigned same[][2] = { { 1u << 0, FS_SET_MODE },  { 1u << 1, FS_SET_UID },
					    { 1u << 2, FS_SET_GID },   { 1u << 3, FS_SET_SIZE },
					    { 1u << 4, FS_SET_ATIME }, { 1u << 5, FS_SET_MTIME } };
	struct timespec now;
	unsigned set = 0;

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		if (valid & same[i][0])
			set |= same[i][1];
	*attr = (struct fs_attr){
		.mode = in->mode, .uid = in->uid, .gid = in->gid, .size = in->size
	};
	(void)clock_gettime(CLOCK_REALTIME, &now);
	attr->atime = valid & (1u << 7) ? now : wtime_to(in->atime);
	attr->mtime = valid & (1u << 8) ? now : wtime_to(in->mtime);
	return set;
}

/* Truncation through a tagged handle is a write. */
static int may_truncate(struct coord *c, const struct req *q)
{
	const struct handle *h;

	if (!(q->op->valid & OP_SET_SIZE))
		return 0;
	if (q->op->attr->size > INT64_MAX)
		return -EFBIG;
	h = q->op->fh ? handle_find(c, q->session, q->op->fh) : NULL;
	return h ? handle_may(c, h, true) : 0;
}

/*
 * Shorter: nobody may read or write what will be somebody else's. Longer: the rest of the last block is
 * zeroed.
 */
static int clear_for_size(struct coord *c, struct req *q, uint32_t ino)
{
	struct fs_attr attr;
	uint64_t size;

	if (!(q->op->valid & OP_SET_SIZE) || fs_getattr(c->fs, ino, &attr) < 0)
		return 0;
	size = q->op->attr->size;
	if (size < attr.size)
		return recall_clear(c, q, ino, size / FS_BLOCK_SIZE, UINT64_MAX, false, 0);
	if (size == attr.size)
		return 0;
	return recall_both(recall_growth(c, q, ino, 0), recall_clear_tail(c, q, &attr, size));
}

/* A file that gets set-id bits is written here from now on: see drop_setid(). */
static int clear_for_setid(struct coord *c, struct req *q, uint32_t ino)
{
	if (!(q->op->valid & OP_SET_MODE) || !(q->op->attr->mode & (S_ISUID | S_ISGID)))
		return 0;
	return recall_clear(c, q, ino, 0, UINT64_MAX, true, 0);
}

/* In operations of its own, of which none is too large for the journal. */
static int cut_ahead(struct coord *c, const struct req *q, uint32_t ino)
{
	struct fs_attr attr;
	struct timespec now;

	if (!(q->op->valid & OP_SET_SIZE) || fs_getattr(c->fs, ino, &attr) < 0 ||
	    !S_ISREG(attr.mode) || q->op->attr->size >= attr.size)
		return 0;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return fs_cut_ahead(c->fs, now, ino, q->op->attr->size);
}

static int op_setattr(struct coord *c, struct req *q, struct res *res)
{
	uint32_t ino = ino_in(q->op->ino), done_ino;
	struct fs_attr attr, after;
	uint64_t offset;
	unsigned set;
	int r;

	if (!q->op->attr)
		return -EINVAL;
	if (op_done_before(c, q, &done_ino, &offset))
		return res_attr(c, done_ino, res);
	r = may_truncate(c, q);
	if (r == 0)
		r = recall_both(clear_for_size(c, q, ino), clear_for_setid(c, q, ino));
	if (r == 0)
		r = cut_ahead(c, q, ino);
	if (r)
		return r;
	r = op_begin(c);
	if (r < 0)
		return r;
	set = set_from_wire(q->op->valid, q->op->attr, &attr);
	r = fs_setattr(c->fs, ino, set, &attr, &after);
	r = op_end(c, q, r == -ENOENT ? -ESTALE : r, ino, 0);
	return r < 0 ? r : res_attr(c, ino, res);
}

static int op_release(struct coord *c, struct req *q, struct res *res)
{
	(void)res;
	handle_drop(c, q->session, q->op->fh);
	return 0;
}

static int op_readlink(struct coord *c, struct req *q, struct res *res)
{
	size_t size = 4097;
	char *buf = malloc(size);
	int r;

	if (!buf)
		return -ENOMEM;
	res->owned = buf;
	r = fs_readlink(c->fs, ino_in(q->op->ino), buf, size);
	if (r < 0)
		return r;
	res->r.data = (ProtobufCBinaryData){ .len = (size_t)r, .data = (uint8_t *)buf };
	return 0;
}

static int op_statfs(struct coord *c, struct req *q, struct res *res)
{
	struct fs_statfs st;

	(void)q;
	fs_statfs(c->fs, &st);
	csv__statfs__init(&res->statfs);
	res->statfs.blocks = st.blocks;
	res->statfs.bfree = st.bavail;
	res->statfs.files = st.files;
	res->statfs.ffree = st.ffree;
	res->statfs.bsize = FS_BLOCK_SIZE;
	res->r.statfs = &res->statfs;
	return 0;
}

/* "trusted." is for the administrator, names too; the kernel refuses the values by itself. */
static size_t hide_trusted(char *names, size_t len)
{
	size_t kept = 0;

	for (size_t at = 0, n; at < len; at += n) {
		n = strlen(names + at) + 1;
		if (strncmp(names + at, "trusted.", 8) == 0)
			continue;
		memmove(names + kept, names + at, n);
		kept += n;
	}
	return kept;
}

static int op_getxattr(struct coord *c, struct req *q, struct res *res)
{
	bool list = q->op->kind == CSV__KIND__LISTXATTR;
	uint32_t ino = ino_in(q->op->ino);
	char *names = NULL;
	size_t len = 0;
	int r;

	if (list)
		r = fs_xattr_list(c->fs, ino, &names, &len);
	else
		r = fs_xattr_get(c->fs, ino, q->op->name, &res->owned, &len);
	if (list)
		res->owned = names;
	if (r < 0)
		return r;
	if (list && q->op->uid)
		len = hide_trusted(names, len);
	res->r.data = (ProtobufCBinaryData){ .len = len, .data = res->owned };
	return 0;
}

static int op_setxattr(struct coord *c, struct req *q, struct res *res)
{
	const Csv__Op *op = q->op;
	uint32_t ino = ino_in(op->ino), done_ino;
	uint64_t offset;
	int r;

	(void)res;
	if (op_done_before(c, q, &done_ino, &offset))
		return 0;
	r = op_begin(c);
	if (r < 0)
		return r;
	if (op->kind == CSV__KIND__REMOVEXATTR)
		r = fs_xattr_remove(c->fs, ino, op->name);
	else
		r = fs_xattr_set(
			c->fs, ino, op->name, op->data.data, op->data.len,
			op->flags & (FS_XATTR_CREATE | FS_XATTR_REPLACE | FS_XATTR_KILL_SETGID));
	return op_end(c, q, r, ino, 0);
}

typedef int (*op_fn)(struct coord *c, struct req *q, struct res *res);

static const op_fn ops[] = {
	[CSV__KIND__LOOKUP] = op_lookup,
	[CSV__KIND__GETATTR] = op_getattr,
	[CSV__KIND__SETATTR] = op_setattr,
	[CSV__KIND__READLINK] = op_readlink,
	[CSV__KIND__MKNOD] = op_make,
	[CSV__KIND__MKDIR] = op_make,
	[CSV__KIND__UNLINK] = op_remove,
	[CSV__KIND__RMDIR] = op_remove,
	[CSV__KIND__SYMLINK] = op_make,
	[CSV__KIND__RENAME] = op_rename,
	[CSV__KIND__LINK] = op_link,
	[CSV__KIND__OPEN] = op_open,
	[CSV__KIND__READ] = op_read,
	[CSV__KIND__WRITE] = op_write,
	[CSV__KIND__GROW] = op_grow,
	[CSV__KIND__RELEASE] = op_release,
	[CSV__KIND__FSYNC] = op_fsync,
	[CSV__KIND__READDIR] = op_readdir,
	[CSV__KIND__STATFS] = op_statfs,
	[CSV__KIND__SETXATTR] = op_setxattr,
	[CSV__KIND__GETXATTR] = op_getxattr,
	[CSV__KIND__LISTXATTR] = op_getxattr,
	[CSV__KIND__REMOVEXATTR] = op_setxattr,
	[CSV__KIND__CREATE] = op_create,
	[CSV__KIND__GETLK] = op_getlk,
	[CSV__KIND__SETLK] = op_setlk,
	[CSV__KIND__FALLOCATE] = op_fallocate,
	[CSV__KIND__LSEEK] = op_lseek,
	[CSV__KIND__TAG] = op_tag,
	[CSV__KIND__FLUSH] = op_flush,
	[CSV__KIND__NAME_PRIVATE] = op_name_private,
	[CSV__KIND__BLOCK_READ] = op_block,
	[CSV__KIND__BLOCK_WRITE] = op_block,
};

/*
 * Before a write by somebody without CAP_FSETID: the kernel leaves it to us on files that it does not cache.
 * An operation of its own: to lose the bits and not write is no harm.
 */
static int drop_setid(struct coord *c, struct req *q)
{
	const struct handle *h = handle_find(c, q->session, q->op->fh);
	struct fs_attr a;
	uint32_t kill = S_ISUID;
	int r = h ? fs_getattr(c->fs, h->ino, &a) : -ESTALE;

	if (r < 0)
		return r;
	if (a.mode & S_IXGRP)
		kill |= S_ISGID;
	if (!S_ISREG(a.mode) || !(a.mode & kill))
		return 0;
	a.mode &= ~kill;
	r = op_begin(c);
	if (r < 0)
		return r;
	r = fs_setattr(c->fs, h->ino, FS_SET_MODE, &a, NULL);
	if (r < 0) {
		fs_abort(c->fs);
		return r;
	}
	return fs_end(c->fs);
}

/*
 * What was deleted is free only after a commit, what is large after many steps. fs_begin() sees to that when
 * space is short; an operation that wants more than what then still is there learns it here. The commit covers
 * operations of this batch, whose answers wait: to be durable early is no harm.
 */
static bool make_space(struct coord *c)
{
	struct timespec now;
	int r;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	r = fs_make_space(c->fs, now);
	if (r < 0)
		(void)coord_dead(c, r);
	return r > 0;
}

static int execute(struct coord *c, struct req *q, struct res *res)
{
	int r = q->op->kill_priv ? drop_setid(c, q) : 0;

	return r == 0 ? ops[q->op->kind](c, q, res) : r;
}

/*
 * What failed has left nothing, or what the same request sent again would meet as well. Once only: others may
 * delete without end, and everybody waits for this one. Layouts do not come here: what they fill at once is
 * less than what fs_begin() keeps ready.
 */
int coord_execute(struct coord *c, struct req *q, struct res *res)
{
	size_t kind = (size_t)q->op->kind;
	int r;

	if (q->op->kind < 0 || kind >= sizeof(ops) / sizeof(ops[0]) || !ops[kind])
		return -EOPNOTSUPP;
	r = execute(c, q, res);
	if (r == -ENOSPC && make_space(c))
		r = execute(c, q, res);
	if (r < 0)
		(void)coord_dead(c, r);
	return r;
}
