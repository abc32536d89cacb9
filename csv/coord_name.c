/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations on names: lookup, make, link, remove, rename, open, list. */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "csv/acl.h"
#include "csv/coord_int.h"
#include "lib/cleanup.h"

#define DIRENT_OVERHEAD 24 /* of struct fuse_dirent; names are padded to 8 */
#define LIST_MAX (64 * 1024)

int op_lookup(struct coord *c, struct req *q, struct res *res)
{
	uint32_t ino;
	int r = fs_lookup(c->fs, ino_in(q->op->ino), q->op->name, &ino);

	return r < 0 ? r : res_attr(c, ino, res);
}

static bool is_tmpfile(const Csv__Op *op)
{
	return (op->flags & O_TMPFILE) == O_TMPFILE;
}

static int make(struct coord *c, const Csv__Op *op, struct fs_attr *attr)
{
	struct fs_new n = { .mode = op->mode,
			    .uid = op->uid,
			    .gid = op->gid,
			    .rdev = op->rdev,
			    .umask = op->umask };
	uint32_t dir = ino_in(op->ino);

	switch (op->kind) {
	case CSV__KIND__MKDIR:
		n.mode = S_IFDIR | (op->mode & 07777);
		return fs_mkdir(c->fs, dir, op->name, &n, attr);
	case CSV__KIND__SYMLINK:
		n.mode = S_IFLNK | 0777;
		return fs_symlink(c->fs, dir, op->name, op->new_name, &n, attr);
	case CSV__KIND__CREATE:
		n.mode = S_IFREG | (op->mode & 07777);
		n.dir = dir;
		if (is_tmpfile(op))
			return fs_tmpfile(c->fs, &n, attr);
		return fs_mknod(c->fs, dir, op->name, &n, attr);
	default:
		return fs_mknod(c->fs, dir, op->name, &n, attr);
	}
}

static int make_op(struct coord *c, struct req *q, struct res *res, uint32_t *ret_ino)
{
	struct fs_attr attr = { 0 };
	uint64_t offset;
	int r;

	if (!op_done_before(c, q, ret_ino, &offset)) {
		r = op_begin(c);
		if (r < 0)
			return r;
		r = make(c, q->op, &attr);
		r = op_end(c, q, r, attr.ino, 0);
		if (r < 0)
			return r;
		*ret_ino = attr.ino;
	}
	return res_attr(c, *ret_ino, res);
}

int op_make(struct coord *c, struct req *q, struct res *res)
{
	uint32_t ino;

	return make_op(c, q, res, &ino);
}

static int add_handle(struct coord *c, const struct req *q, uint32_t ino)
{
	return handle_add(c, &(struct handle){ .session = q->session,
					       .fh = q->op->unique,
					       .ino = ino,
					       .flags = q->op->flags });
}

/*
 * Whether the kernel would let the caller open it, as far as that is certain here. Of his groups only one is
 * known, and of his capabilities none: so he is the owner, or has the right both as a member of the group and
 * as a stranger, and no list says otherwise (the owner's rights are no list's matter).
 */
static bool surely_may_open(struct coord *c, const struct fs_attr *file, const Csv__Op *op)
{
	static const uint32_t wants[] = { [O_RDONLY] = 4, [O_WRONLY] = 2, [O_RDWR] = 6, [3] = 6 };
	uint32_t want = wants[op->flags & O_ACCMODE];
	_cleanup_free_ void *list = NULL;
	size_t len;

	if (file->uid == op->uid)
		return (file->mode >> 6 & want) == want;
	return (file->mode >> 3 & file->mode & want) == want &&
	       fs_xattr_get(c->fs, file->ino, ACL_ACCESS, &list, &len) == -ENODATA;
}

/*
 * A kernel whose lookup found no name may come here after another node made it. Without O_EXCL that is no
 * error, and the caller is owed that file. But the kernel takes it for one that it has made: it asks for
 * nothing but the right to make names in the directory. What has to be judged by more than the rights above -
 * also files in sticky directories (fs.protected_regular), O_TRUNC, other types - is answered ESTALE: the
 * kernel looks the name up once more, and opens what it finds there by its own judgement; once, then the
 * caller sees ESTALE.
 */
static int open_existing(struct coord *c, const Csv__Op *op, struct res *res, uint32_t *ret_ino)
{
	struct fs_attr dir, file;

	if (op->flags & O_TRUNC || fs_lookup(c->fs, ino_in(op->ino), op->name, ret_ino) < 0 ||
	    fs_getattr(c->fs, ino_in(op->ino), &dir) < 0 || fs_getattr(c->fs, *ret_ino, &file) < 0)
		return -ESTALE;
	if (!S_ISREG(file.mode) || dir.mode & S_ISVTX || !surely_may_open(c, &file, op))
		return -ESTALE;
	return res_attr(c, *ret_ino, res);
}

/*
 * The handle is made again with an operation that was done before: nobody has heard of it yet. One that has
 * its handle was done: by now the name may be another file's.
 */
int op_create(struct coord *c, struct req *q, struct res *res)
{
	const struct handle *h = handle_find(c, q->session, q->op->unique);
	uint32_t ino;
	int r;

	if (private_is_asked(q->op))
		return op_create_private(c, q, res);
	if (h)
		return res_attr(c, h->ino, res);
	r = make_op(c, q, res, &ino);
	if (r == -EEXIST && !(q->op->flags & O_EXCL))
		r = open_existing(c, q->op, res, &ino);
	return r < 0 ? r : add_handle(c, q, ino);
}

int op_open(struct coord *c, struct req *q, struct res *res)
{
	uint32_t ino = ino_in(q->op->ino);
	int r = res_attr(c, ino, res);

	return r < 0 ? r : add_handle(c, q, ino);
}

/* Without a name only what was made so may get one: an unlinked file stays unlinked. */
static int check_link(struct coord *c, uint32_t ino)
{
	struct fs_attr attr;
	int r = fs_getattr(c->fs, ino, &attr);

	if (r < 0 || attr.nlink)
		return r;
	for (size_t i = 0; i < c->handles.n; i++) {
		const struct handle *h = &c->handles.v[i];

		if (h->ino == ino && (h->flags & O_TMPFILE) == O_TMPFILE && !(h->flags & O_EXCL))
			return 0;
	}
	return -ENOENT;
}

int op_link(struct coord *c, struct req *q, struct res *res)
{
	const Csv__Op *op = q->op;
	struct fs_attr attr;
	uint32_t ino;
	uint64_t offset;
	int r;

	if (!op_done_before(c, q, &ino, &offset)) {
		r = op_begin(c);
		if (r < 0)
			return r;
		ino = ino_in(op->ino);
		r = check_link(c, ino);
		if (r == 0)
			r = fs_link(c->fs, ino, ino_in(op->new_ino), op->new_name, &attr);
		r = op_end(c, q, r, ino, 0);
		if (r < 0)
			return r;
	}
	return res_attr(c, ino, res);
}

int op_remove(struct coord *c, struct req *q, struct res *res)
{
	uint32_t dir = ino_in(q->op->ino), ino = 0, gone;
	uint64_t offset;
	int r;

	(void)res;
	if (op_done_before(c, q, &ino, &offset))
		return 0;
	r = op_begin(c);
	if (r < 0)
		return r;
	fs_use_reserve(c->fs);
	if (q->op->kind == CSV__KIND__RMDIR)
		return op_end(c, q, fs_rmdir(c->fs, dir, q->op->name), 0, 0);
	r = fs_lookup(c->fs, dir, q->op->name, &ino);
	if (r >= 0)
		r = fs_unlink(c->fs, dir, q->op->name, handle_open_anywhere(c, ino), &gone);
	return op_end(c, q, r, ino, 0);
}

int op_rename(struct coord *c, struct req *q, struct res *res)
{
	const Csv__Op *op = q->op;
	uint32_t target, gone, done_ino;
	unsigned flags = op->flags;
	uint64_t offset;
	int r;

	(void)res;
	if (op_done_before(c, q, &done_ino, &offset))
		return 0;
	if (flags & ~(unsigned)(FS_RENAME_NOREPLACE | FS_RENAME_EXCHANGE))
		return -EINVAL;
	if (fs_lookup(c->fs, ino_in(op->new_ino), op->new_name, &target) >= 0 &&
	    handle_open_anywhere(c, target))
		flags |= FS_RENAME_REPLACED_OPEN;
	r = op_begin(c);
	if (r < 0)
		return r;
	r = fs_rename(c->fs, ino_in(op->ino), op->name, ino_in(op->new_ino), op->new_name, flags,
		      &gone);
	return op_end(c, q, r, 0, 0);
}

struct list {
	struct res *res;
	size_t room;
	int r;
};

static bool list_one(void *user, const char *name, uint32_t ino, unsigned dt_type,
		     uint64_t next_cookie)
{
	struct list *l = user;
	struct res *res = l->res;
	size_t size = (DIRENT_OVERHEAD + strlen(name) + 7) & ~(size_t)7;
	Csv__Dirent *d;

	if (size > l->room)
		return false;
	if (res->n_dirents == res->cap_dirents) {
		size_t cap = res->cap_dirents ? 2 * res->cap_dirents : 32;

		d = reallocarray(res->dirents, cap, sizeof(*d));
		if (!d) {
			l->r = -ENOMEM;
			return false;
		}
		res->dirents = d;
		res->cap_dirents = cap;
	}
	d = &res->dirents[res->n_dirents];
	csv__dirent__init(d);
	d->ino = ino;
	d->type = dt_type;
	d->next = next_cookie;
	d->name = strdup(name);
	if (!d->name) {
		l->r = -ENOMEM;
		return false;
	}
	res->n_dirents++;
	l->room -= size;
	return true;
}

int op_readdir(struct coord *c, struct req *q, struct res *res)
{
	struct list l = { .res = res, .room = q->op->length };
	int r;

	if (l.room > LIST_MAX)
		l.room = LIST_MAX;
	r = fs_readdir(c->fs, ino_in(q->op->ino), q->op->offset, list_one, &l);
	return r < 0 ? r : l.r;
}
