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

static void publish_grown(struct holding *h)
{
	struct holding_shared *s = h->shared;
	uint32_t next;

	if (!s)
		return;
	next = atomic_load(&s->grown_current) == 1 ? 2 : 1;
	s->grown[next - 1].n = (uint32_t)h->grown.n;
	if (h->grown.n)
		memcpy(s->grown[next - 1].grown, h->grown.v, h->grown.n * sizeof(h->grown.v[0]));
	atomic_store(&s->grown_current, next);
}

static int load_grown(struct holding *h)
{
	uint32_t current = atomic_load(&h->shared->grown_current);
	const struct grown_copy *from = &h->shared->grown[current ? current - 1 : 0];

	if (!current)
		return 0;
	if (current > 2 || from->n > GROWN_MAX)
		return -EBADMSG;
	if (grown_vec_reserve(&h->grown, from->n) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < from->n; i++)
		(void)grown_vec_push(&h->grown, from->grown[i]);
	return 0;
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
	int r;

	*h = (struct holding){ .shared = shared };
	if (current > 2)
		return -EBADMSG;
	if (!shared)
		return 0;
	r = current ? load(h, &shared->copies[current - 1]) : 0;
	return r < 0 ? r : load_grown(h);
}

void holding_fini(struct holding *h)
{
	open_vec_fini(&h->opens);
	lock_table_fini(&h->locks);
	grown_vec_fini(&h->grown);
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

/* A file that grows in order has one. */
int holding_grow(struct holding *h, const struct grown *grown)
{
	for (size_t i = 0; i < h->grown.n; i++) {
		struct grown *g = &h->grown.v[i];

		if (g->ino != grown->ino || g->end != grown->start ||
		    g->incarnation != grown->incarnation)
			continue;
		g->end = grown->end;
		g->number = grown->number > g->number ? grown->number : g->number;
		publish_grown(h);
		return 0;
	}
	if (h->grown.n == GROWN_MAX || grown_vec_push(&h->grown, *grown) < 0)
		return -ENOSPC;
	publish_grown(h);
	return 0;
}

void holding_settle(struct holding *h, uint64_t number)
{
	size_t kept = 0;

	if (!h->grown.n)
		return;
	for (size_t i = 0; i < h->grown.n; i++)
		if (h->grown.v[i].number > number)
			h->grown.v[kept++] = h->grown.v[i];
	h->grown.n = kept;
	publish_grown(h);
}

bool holding_has_grown(const struct holding *h, uint64_t ino)
{
	for (size_t i = 0; i < h->grown.n; i++)
		if (h->grown.v[i].ino == ino)
			return true;
	return false;
}
