/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/holding.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static void publish(struct holding *h)
{
	struct holding_shared *s = h->shared;
	uint32_t next;
	struct holding_copy *to;

	if (!s)
		return;
	next = atomic_load(&s->current) == 1 ? 2 : 1;
	to = &s->copies[next - 1];
	to->n_opens = (uint32_t)h->opens.n;
	to->n_locks = (uint32_t)h->locks.held.n;
	if (h->opens.n)
		memcpy(to->opens, h->opens.v, h->opens.n * sizeof(to->opens[0]));
	if (h->locks.held.n)
		memcpy(to->locks, h->locks.held.v, h->locks.held.n * sizeof(to->locks[0]));
	atomic_store(&s->current, next);
}

static int load(struct holding *h, const struct holding_copy *from)
{
	if (from->n_opens > HOLDING_MAX || from->n_locks > HOLDING_MAX)
		return -EBADMSG;
	if (open_vec_reserve(&h->opens, from->n_opens) < 0 ||
	    lock_vec_reserve(&h->locks.held, from->n_locks) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < from->n_opens; i++)
		(void)open_vec_push(&h->opens, from->opens[i]);
	for (uint32_t i = 0; i < from->n_locks; i++)
		(void)lock_vec_push(&h->locks.held, from->locks[i]);
	return 0;
}

int holding_init(struct holding *h, struct holding_shared *shared)
{
	uint32_t current = shared ? atomic_load(&shared->current) : 0;

	*h = (struct holding){ .shared = shared };
	if (current > 2)
		return -EBADMSG;
	return current ? load(h, &shared->copies[current - 1]) : 0;
}

void holding_fini(struct holding *h)
{
	open_vec_fini(&h->opens);
	lock_table_fini(&h->locks);
}

struct open_file *holding_find(const struct holding *h, uint64_t fh)
{
	for (size_t i = 0; i < h->opens.n; i++)
		if (h->opens.v[i].fh == fh)
			return &h->opens.v[i];
	return NULL;
}

int holding_open(struct holding *h, const struct open_file *file)
{
	if (holding_find(h, file->fh))
		return 0;
	if (h->opens.n == HOLDING_MAX || open_vec_push(&h->opens, *file) < 0)
		return -ENFILE;
	publish(h);
	return 0;
}

void holding_tag(struct holding *h, uint64_t fh, const char *resource, uint64_t generation)
{
	struct open_file *o = holding_find(h, fh);

	if (!o)
		return;
	o->generation = generation;
	(void)snprintf(o->resource, sizeof(o->resource), "%s", resource);
	publish(h);
}

int holding_lock(struct holding *h, const struct lock *lock)
{
	/* One call can cut a range in two: leave room for that. */
	if (h->locks.held.n + 2 > HOLDING_MAX && lock->type != LOCK_FREE)
		return -ENOLCK;
	if (lock_set(&h->locks, lock) < 0)
		return -ENOLCK;
	publish(h);
	return 0;
}

void holding_flush(struct holding *h, uint64_t ino, uint64_t owner)
{
	if (lock_drop_owner(&h->locks, 0, ino, owner))
		publish(h);
}

void holding_release(struct holding *h, uint64_t fh)
{
	(void)lock_drop_handle(&h->locks, 0, fh);
	for (size_t i = 0; i < h->opens.n; i++)
		if (h->opens.v[i].fh == fh) {
			open_vec_remove(&h->opens, i);
			publish(h);
			return;
		}
}
