/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lock table of a volume: POSIX, open-file-description and flock locks of all nodes. Pure.
 *
 * Each range is kept with the handle it came through, because the kernel sends no unlock when an
 * OFD lock's descriptor is closed: only RELEASE, with another owner in it. So RELEASE drops by
 * handle, FLUSH by owner. flock and POSIX locks do not see each other, as on a local file system.
 */
#ifndef CL_CSV_LOCK_H
#define CL_CSV_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/vec.h"

enum lock_type { LOCK_FREE, LOCK_SHARED, LOCK_EXCLUSIVE };

struct lock {
	uint64_t session, fh; /* whose, and through which handle */
	uint64_t ino;
	uint64_t owner; /* the kernel's id of the owner, within the session */
	uint32_t pid;	/* for F_GETLK */
	bool flock;
	enum lock_type type;
	uint64_t start, end; /* bytes, end inclusive */
};

CL_DEFINE_VEC(lock_vec, struct lock);

struct lock_table {
	struct lock_vec held;
};

void lock_table_fini(struct lock_table *table);

/* The first lock of somebody else that forbids `want`, or NULL. */
const struct lock *lock_conflict(const struct lock_table *table, const struct lock *want);

/*
 * Would it never end if `want` waited? Yes, when one that forbids it waits itself (waiting[n]: what is waited
 * for at the moment), directly or through others, for a lock of want's owner, on whatever file. Not for flock,
 * as on a local file system. The kernel does not say which locks are of an open file description; there a
 * circle is one of descriptions, which a local file system would let wait.
 * 1, 0, or -ENOMEM.
 */
int lock_circle(const struct lock_table *table, const struct lock *want, const struct lock *waiting,
		size_t n);

/*
 * Set, convert or (LOCK_FREE) remove want's range for its owner; ranges that it only partly covers
 * are cut. -EAGAIN when somebody else forbids it, -ENOMEM; nothing is changed then.
 */
int lock_set(struct lock_table *table, const struct lock *want);

/* Each returns whether anything was dropped: then waiters may get on. */
bool lock_drop_handle(struct lock_table *table, uint64_t session, uint64_t fh);
bool lock_drop_owner(struct lock_table *table, uint64_t session, uint64_t ino, uint64_t owner);
bool lock_drop_session(struct lock_table *table, uint64_t session);

#endif
