/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Private files: without a name until all of them is there. For saved states, copies, new disks.
 *
 *   CREATE of ".csv-private-*"  the inode is made on the orphan list: no name, nlink 0
 *   WRITE, FALLOCATE, FSYNC     as on any file
 *   NAME_PRIVATE                one transaction: off the list, the name in its directory
 *
 * Whoever holds it ends before (its process, node, or a fence): its last handle goes, and the inode
 * with it. The coordinator ends before: the holder reclaims its handle like any other; what nobody
 * reclaims is freed at the end of grace. So nobody ever sees a half of it under its name, and nothing
 * is left over. The name is durable after the data: the commit flushes the LUN's cache in between.
 */
#include "config.h"

#include <string.h>

#include "csv/coord_int.h"

bool private_is_asked(const Csv__Op *op)
{
	return strncmp(op->name, CSV_PRIVATE_PREFIX, strlen(CSV_PRIVATE_PREFIX)) == 0;
}

/*
 * No record of it: the handle is the record. Sent again in the same term it finds its handle; in a
 * later one the inode that was made has been freed with the grace period, since nobody could reclaim a
 * handle that nobody had heard of. A record would then name an inode that is somebody else's.
 */
int op_create_private(struct coord *c, struct req *q, struct res *res)
{
	const Csv__Op *op = q->op;
	struct fs_new n = { .mode = S_IFREG | (op->mode & 07777), .uid = op->uid, .gid = op->gid };
	struct handle *made = handle_find(c, q->session, op->unique);
	struct fs_attr attr = { 0 };
	int r;

	if (made)
		return res_attr(c, made->ino, res);
	r = op_begin(c);
	if (r < 0)
		return r;
	r = fs_tmpfile(c->fs, &n, &attr);
	if (r < 0) {
		fs_abort(c->fs);
		return r;
	}
	r = fs_end(c->fs);
	if (r >= 0)
		r = handle_add(c, &(struct handle){ .session = q->session,
						    .fh = op->unique,
						    .ino = attr.ino,
						    .flags = op->flags });
	return r < 0 ? r : res_attr(c, attr.ino, res);
}

static bool is_shared(const struct coord *c, uint32_t ino)
{
	unsigned n = 0;

	for (size_t i = 0; i < c->handles.n; i++)
		n += c->handles.v[i].ino == ino;
	return n != 1;
}

/* Only what was never seen under a name: an unlinked file that is open elsewhere stays unlinked. */
static int may_be_named(struct coord *c, const struct handle *h)
{
	struct fs_attr attr;
	int r = handle_may(c, h, true);

	if (r == 0)
		r = fs_getattr(c->fs, h->ino, &attr);
	if (r != 0)
		return r;
	if (attr.nlink)
		return -EEXIST;
	return is_shared(c, h->ino) ? -EBUSY : 0;
}

int op_name_private(struct coord *c, struct req *q, struct res *res)
{
	struct handle *h = handle_find(c, q->session, q->op->fh);
	uint64_t offset;
	uint32_t ino;
	int r;

	(void)res;
	if (op_done_before(c, q, &ino, &offset))
		return 0;
	if (!h)
		return -EBADF;
	if (!*q->op->new_name)
		return -EINVAL;
	r = may_be_named(c, h);
	if (r != 0)
		return r;
	r = op_begin(c);
	if (r < 0)
		return r;
	r = fs_link(c->fs, h->ino, ino_in(q->op->new_ino), q->op->new_name, NULL);
	return op_end(c, q, r, h->ino, 0);
}
