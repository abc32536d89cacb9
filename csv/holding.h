/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a mount holds: its open files and its locks. They belong to the mount, not to the process: a
 * copy lies in the keeper's shared memory, from which the next csvd goes on. Two copies and an index
 * that is moved last: a process that dies while it writes leaves the one before.
 *
 * The copy is brought up to date before the kernel hears of a change. So what a dead csvd had not
 * copied has not been answered either, and the kernel sends it again.
 */
#ifndef CL_CSV_HOLDING_H
#define CL_CSV_HOLDING_H

#include <stdbool.h>
#include <stddef.h>

#include "csv/lock.h"
#include "lib/vec.h"

struct open_file {
	uint64_t fh, ino;
	uint64_t generation; /* 0 = not tagged */
	uint32_t flags;	     /* open(2) */
	char resource[64];
};
CL_DEFINE_VEC(open_vec, struct open_file);

/*
 * Bytes by which a file grew, told to their writer before they were durable at the coordinator: they are with it, and
 * here. In shared memory before the writer hears of them; out of it before a layout there is given back.
 */
struct grown {
	uint64_t ino, start, end;
	uint64_t number;      /* the coordinator's */
	uint64_t incarnation; /* what another one left behind is over */
};
CL_DEFINE_VEC(grown_vec, struct grown);
#define GROWN_MAX 64

struct grown_copy {
	uint32_t n;
	struct grown grown[GROWN_MAX];
};

#define HOLDING_MAX 4096 /* open files, and locks, of one mount */

struct holding_copy {
	uint32_t n_opens, n_locks;
	struct open_file opens[HOLDING_MAX];
	struct lock locks[HOLDING_MAX];
};

struct holding_shared {
	_Atomic uint32_t current; /* 0: nothing yet; else copies[current - 1] holds */
	struct holding_copy copies[2];
	_Atomic uint32_t grown_current; /* likewise */
	struct grown_copy grown[2];
};

struct holding {
	struct open_vec opens;
	struct lock_table locks;
	struct grown_vec grown;
	struct holding_shared *shared; /* NULL: none (tests) */
};

/* Takes over what an earlier csvd left in shared. -ENOMEM; -EBADMSG when it makes no sense. */
int holding_init(struct holding *h, struct holding_shared *shared);
void holding_fini(struct holding *h);

struct open_file *holding_find(const struct holding *h, uint64_t fh);

/* Each copies to shared memory. -ENFILE / -ENOLCK when there is no room: nothing is changed. */
int holding_open(struct holding *h, const struct open_file *file);
void holding_tag(struct holding *h, uint64_t fh, const char *resource, uint64_t generation);
int holding_lock(struct holding *h, const struct lock *lock);
void holding_flush(struct holding *h, uint64_t ino, uint64_t owner);
/* -ENOSPC: no room. */
int holding_grow(struct holding *h, const struct grown *grown);
/* All up to that number are durable. */
void holding_settle(struct holding *h, uint64_t number);
bool holding_has_grown(const struct holding *h, uint64_t ino);
void holding_release(struct holding *h, uint64_t fh);

#endif
