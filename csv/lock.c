/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/lock.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/cleanup.h"

void lock_table_fini(struct lock_table *table)
{
	lock_vec_fini(&table->held);
}

static bool same_owner(const struct lock *a, const struct lock *b)
{
	return a->session == b->session && a->ino == b->ino && a->owner == b->owner &&
	       a->flock == b->flock;
}

static bool overlap(const struct lock *a, const struct lock *b)
{
	return a->start <= b->end && b->start <= a->end;
}

static bool forbids(const struct lock *held, const struct lock *want)
{
	return held->ino == want->ino && held->flock == want->flock && overlap(held, want) &&
	       !same_owner(held, want) &&
	       (held->type == LOCK_EXCLUSIVE || want->type == LOCK_EXCLUSIVE);
}

const struct lock *lock_conflict(const struct lock_table *table, const struct lock *want)
{
	if (want->type == LOCK_FREE)
		return NULL;
	for (size_t i = 0; i < table->held.n; i++)
		if (forbids(&table->held.v[i], want))
			return &table->held.v[i];
	return NULL;
}

/* One process (or description), whatever the file. */
static bool same_waiter(const struct lock *a, const struct lock *b)
{
	return a->session == b->session && a->owner == b->owner && !a->flock && !b->flock;
}

/* Those that hold what w wants: is want's owner among them? Those of them that wait go on the list. */
static bool follow(const struct lock_table *table, const struct lock *w, const struct lock *want,
		   const struct lock *waiting, size_t n, size_t *todo, size_t *n_todo, bool *seen)
{
	for (size_t i = 0; i < table->held.n; i++) {
		const struct lock *held = &table->held.v[i];

		if (!forbids(held, w))
			continue;
		if (same_waiter(held, want))
			return true;
		for (size_t k = 0; k < n; k++) {
			if (seen[k] || !same_waiter(&waiting[k], held))
				continue;
			seen[k] = true;
			todo[(*n_todo)++] = k;
		}
	}
	return false;
}

int lock_circle(const struct lock_table *table, const struct lock *want, const struct lock *waiting,
		size_t n)
{
	_cleanup_free_ size_t *todo = calloc(n + 1, sizeof(*todo));
	_cleanup_free_ bool *seen = calloc(n + 1, sizeof(*seen));
	size_t n_todo = 0;
	bool found;

	if (!todo || !seen)
		return -ENOMEM;
	if (want->flock)
		return 0;
	found = follow(table, want, want, waiting, n, todo, &n_todo, seen);
	while (!found && n_todo)
		found = follow(table, &waiting[todo[--n_todo]], want, waiting, n, todo, &n_todo,
			       seen);
	return found;
}

/* Take [start, end] out of the owner's range i; what is left of it stays. Room is reserved. */
static void cut(struct lock_table *table, size_t i, const struct lock *want)
{
	struct lock old = table->held.v[i], part;

	lock_vec_remove(&table->held, i);
	if (old.start < want->start) {
		part = old;
		part.end = want->start - 1;
		(void)lock_vec_push(&table->held, part);
	}
	if (old.end > want->end) {
		part = old;
		part.start = want->end + 1;
		(void)lock_vec_push(&table->held, part);
	}
}

int lock_set(struct lock_table *table, const struct lock *want)
{
	/* A cut replaces one range by at most two, but only the first and the last range that want
	 * touches stick out of it: two more at most, and the new one. */
	int r = lock_vec_reserve(&table->held, 3);

	if (r < 0)
		return r;
	if (lock_conflict(table, want))
		return -EAGAIN;
	for (size_t i = table->held.n; i-- > 0;)
		if (same_owner(&table->held.v[i], want) && overlap(&table->held.v[i], want))
			cut(table, i, want);
	if (want->type != LOCK_FREE)
		(void)lock_vec_push(&table->held, *want);
	return 0;
}

static bool drop_if(struct lock_table *table,
		    bool (*match)(const struct lock *, const struct lock *), const struct lock *key)
{
	size_t kept = 0, before = table->held.n;

	for (size_t i = 0; i < before; i++)
		if (!match(&table->held.v[i], key))
			table->held.v[kept++] = table->held.v[i];
	table->held.n = kept;
	return kept != before;
}

static bool by_handle(const struct lock *l, const struct lock *key)
{
	return l->session == key->session && l->fh == key->fh;
}

static bool by_owner(const struct lock *l, const struct lock *key)
{
	return !l->flock && l->session == key->session && l->ino == key->ino &&
	       l->owner == key->owner;
}

static bool by_session(const struct lock *l, const struct lock *key)
{
	return l->session == key->session;
}

bool lock_drop_handle(struct lock_table *table, uint64_t session, uint64_t fh)
{
	return drop_if(table, by_handle, &(struct lock){ .session = session, .fh = fh });
}

bool lock_drop_owner(struct lock_table *table, uint64_t session, uint64_t ino, uint64_t owner)
{
	return drop_if(table, by_owner,
		       &(struct lock){ .session = session, .ino = ino, .owner = owner });
}

bool lock_drop_session(struct lock_table *table, uint64_t session)
{
	return drop_if(table, by_session, &(struct lock){ .session = session });
}
