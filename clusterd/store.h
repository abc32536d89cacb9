/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node's durable memory: identity, raft's hard state (term, vote), log, snapshot. It decides
 * nothing and understands none of the bytes; it keeps them, whole and in order, or says that it
 * cannot.
 *
 * One sqlite database (WAL, synchronous=FULL) written by one worker thread, so that the loop's
 * heartbeats never wait for a disk. Writes are taken in order; those that are queued while one is
 * being synced share the next sync. `on_persisted(seq)` means: everything up to seq survives the
 * power going off now. What nobody waits for (seq 0: lines of the event log) may lie 20 ms before it is
 * begun; it is written at the latest by store_close().
 *
 * A damaged memory must never vote (it could vote twice in a term, or forget an entry that it has
 * acknowledged). Damage is looked for at open: sqlite's own check, a CRC per row, the log's
 * contiguity, and the guard file beside the database: it holds the number of the last commit that
 * was reported durable, written after that commit without a sync of its own. A guard ahead of the
 * database therefore proves that a durable commit is gone (a WAL cut short by a bad block, a
 * restored old copy): open fails with -CL_ECORRUPT. A guard behind proves nothing and is moved
 * forward. A valid guard without a database is a database that is gone. What cannot be noticed here is
 * an old copy of both: the other nodes notice it (clusterd/core/message.c).
 *
 * A failed write or sync is final: on_failed is called, and the daemon has to exit. What the page
 * cache then holds is unknown, so a retry would lie.
 */
#ifndef CL_CLUSTERD_STORE_H
#define CL_CLUSTERD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"
#include "lib/loop.h"
#include "lib/vec.h"

struct store;

struct store_blob {
	uint8_t *data; /* NULL when absent */
	size_t len;
};

struct store_entry {
	uint64_t index, term;
	uint32_t kind;
	struct store_blob data;
};

CL_DEFINE_VEC(store_entries, struct store_entry);

/* What a database holds when it is opened. Owned by the caller: store_image_fini(). */
struct store_image {
	uint8_t uuid[16];	   /* of this database, random, made with it */
	uint64_t instance;	   /* of this process: one more with every open, durable */
	bool fresh;		   /* made just now: an empty memory never votes */
	char *anew;		   /* why it took another one's place; NULL: it did not */
	struct store_blob witness; /* as last written (clusterd/witnessd.h), absent if never */
	struct store_blob hard;	   /* last hard state, absent if never written */
	uint64_t snap_index, snap_term;
	struct store_blob snapshot;
	struct store_entries log;    /* contiguous; begins at most at snap_index + 1 */
	struct store_entries events; /* lines of the event log: index = id, oldest first */
};

void store_image_fini(struct store_image *img);

/* One atomic change. Parts that are zero are left alone. Applied in the order written here. */
struct store_write {
	uint64_t seq; /* rising; on_persisted names it. 0 = nobody waits for it */
	struct store_blob hard;
	bool reset_log; /* forget all entries (a snapshot from elsewhere replaces them) */
	uint64_t snap_index, snap_term;
	struct store_blob snapshot;
	uint64_t compact_to;	/* forget entries <= this index */
	uint64_t truncate_from; /* forget entries >= this index */
	const struct store_entry *entries;
	size_t n_entries;
	struct store_blob witness; /* what was seen of the witness */
	struct store_blob event;   /* a line for the event log */
	uint64_t event_id;
};

struct store_ops {
	/* All writes up to seq are durable; the last one took took_ms from submit to here. */
	void (*on_persisted)(void *user, uint64_t seq, int64_t took_ms);
	/* The memory can no longer be trusted to be written: exit. Called at most once. */
	void (*on_failed)(void *user, const struct cl_error *why);
};

/*
 * Open or make `dir`/cluster.db. May block (start-up only). -EBUSY when another process holds it,
 * -CL_ECORRUPT when it is damaged or condemned (store_aside.h). anew: NULL, or why an empty one is made
 * in the place of one that was set aside; it is kept in there. Callbacks run in the loop.
 */
int store_open(const char *dir, const char *anew, struct cl_loop *loop, const struct store_ops *ops,
	       void *user, struct store **ret, struct store_image *ret_image, struct cl_error *err);

/* Copies all it needs. Does not block. -ENOMEM only. */
int store_submit(struct store *st, const struct store_write *w);

/* Waits for what was submitted, then closes. No callback runs after it. Accepts NULL. */
void store_close(struct store *st);

CL_DEFINE_CLEANUP(struct store, store_close);

#endif
