/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks and tags, as operations of the coordinator. The table is in lock.c. */
#include "config.h"

#include <fcntl.h>
#include <string.h>

#include "csv/coord_int.h"
#include "proto/csv_ioctl.h"

int lock_from_wire(const Csv__Lock *in, uint64_t session, struct lock *ret)
{
	*ret = (struct lock){
		.session = session,
		.fh = in->fh,
		.ino = ino_in(in->ino),
		.owner = in->owner,
		.pid = in->pid,
		.flock = in->flock,
		.start = in->start,
		.end = in->end,
	};
	if (in->end < in->start)
		return -EINVAL;
	if (in->type == F_RDLCK)
		ret->type = LOCK_SHARED;
	else if (in->type == F_WRLCK)
		ret->type = LOCK_EXCLUSIVE;
	else if (in->type != F_UNLCK)
		return -EINVAL;
	return 0;
}

static void lock_to_wire(const struct lock *l, struct res *res)
{
	csv__lock__init(&res->lock);
	res->lock.type = F_UNLCK;
	if (l) {
		res->lock.type = l->type == LOCK_SHARED ? F_RDLCK : F_WRLCK;
		res->lock.start = l->start;
		res->lock.end = l->end;
		res->lock.pid = l->pid;
	}
	res->r.lock = &res->lock;
}

int op_getlk(struct coord *c, struct req *q, struct res *res)
{
	const struct lock *found;
	struct lock want;
	int r = q->op->lock ? lock_from_wire(q->op->lock, q->session, &want) : -EINVAL;

	if (r < 0)
		return r;
	found = lock_conflict(&c->locks, &want);
	lock_to_wire(found, res);
	/* A process of another node has no number here; the caller's own kernel would take it for one of its. */
	if (found && found->session != q->session)
		res->lock.pid = 0;
	return 0;
}

/* What is being waited for now; flock apart. -ENOMEM. */
static int waiting_locks(struct coord *c, struct lock_vec *ret)
{
	for (const struct req *q = c->parked; q; q = q->next) {
		struct lock l;

		if (q->op->kind != CSV__KIND__SETLK || !q->op->wait || !q->op->lock ||
		    lock_from_wire(q->op->lock, q->session, &l) < 0 || l.flock)
			continue;
		if (lock_vec_push(ret, l) < 0)
			return -ENOMEM;
	}
	return 0;
}

/*
 * It has to wait, unless that would never end. Whoever closes a circle is told; the others go on when he gives
 * up what he has. A circle that is closed by a lock changing hands is found, too: then the waiting ones are
 * tried again one by one, and the last of them sees all others wait.
 */
static int park_or_deadlock(struct coord *c, const struct lock *want)
{
	_cleanup_(lock_vec_fini) struct lock_vec waiting = { 0 };
	int r = waiting_locks(c, &waiting);

	if (r == 0)
		r = lock_circle(&c->locks, want, waiting.v, waiting.n);
	return r < 0 ? r : r ? -EDEADLK : OP_PARK;
}

int op_setlk(struct coord *c, struct req *q, struct res *res)
{
	const struct handle *h = handle_find(c, q->session, q->op->fh);
	struct lock want;
	int r = q->op->lock ? lock_from_wire(q->op->lock, q->session, &want) : -EINVAL;

	(void)res;
	if (r < 0)
		return r;
	if (!h || h->ino != want.ino || want.fh != h->fh)
		return -EBADF;
	if (want.type != LOCK_FREE) {
		r = handle_may(c, h, true);
		if (r)
			return r;
	}
	r = lock_set(&c->locks, &want);
	if (r == -EAGAIN && q->op->wait)
		return park_or_deadlock(c, &want);
	/* Taking a weaker or smaller one frees something, too. */
	if (r == 0)
		c->retry_parked = true;
	return r;
}

/* close(2): POSIX locks go by their owner. OFD locks do not (another owner is in it). */
int op_flush(struct coord *c, struct req *q, struct res *res)
{
	(void)res;
	if (!q->op->lock)
		return -EINVAL;
	c->retry_parked |=
		lock_drop_owner(&c->locks, q->session, ino_in(q->op->ino), q->op->lock->owner);
	return 0;
}

int op_tag(struct coord *c, struct req *q, struct res *res)
{
	struct handle *h = handle_find(c, q->session, q->op->fh);
	struct handle tagged;
	int r;

	(void)res;
	if (!h)
		return -EBADF;
	if (!*q->op->resource || strlen(q->op->resource) >= sizeof(h->resource) ||
	    !q->op->generation)
		return -EINVAL;
	if (h->generation)
		return h->generation == q->op->generation && !strcmp(h->resource, q->op->resource)
			       ? 0
			       : -EBUSY;
	tagged = *h;
	tagged.generation = q->op->generation;
	(void)strncpy(tagged.resource, q->op->resource, sizeof(tagged.resource) - 1);
	r = handle_may(c, &tagged, false);
	if (r == 0)
		*h = tagged;
	return r;
}
