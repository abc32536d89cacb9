/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The storage heartbeat of one volume on this node: its unit written, all units read, twice a second
 * each, by this node's data nexus and without the coordinator. The rules are hb.h's; here is the I/O.
 *
 * Verdict: as soon as a debt of a failed node is known, one more read is begun, and what all reads
 * say when it has ended is kept. Whoever pays the debt, or claims the LUN, waits for that: his PREEMPT
 * would silence a node that lives.
 *
 * Runs in the loop's thread; never blocks.
 */
#ifndef CL_CSV_HEART_H
#define CL_CSV_HEART_H

#include "csv/hb.h"
#include "iscsi/lun.h"
#include "lib/loop.h"
#include "proto/csv.pb-c.h"
#include "proto/volume.pb-c.h"

struct heart;

struct heart_hooks {
	struct lun_data *(*path)(void *user); /* of now; NULL: none */
	bool (*may_write)(void *user);	      /* there is a lease */
	void (*ask)(void *user);	      /* it could write, but nobody heeds it yet */
	void (*conflict)(void *user);	      /* a write met a reservation that is not ours */
	void (*changed)(void *user);	      /* heart_until() or heart_looks() */
	void *user;
};

int heart_new(struct cl_loop *loop, const uint8_t volume[16], uint32_t node,
	      const struct heart_hooks *hooks, struct heart **ret);
/* Nothing of it may be under way: after what `path` gave has been freed. Accepts NULL. */
void heart_free(struct heart *heart);

/* Where the units are; the first word counts, as they never move. */
void heart_place(struct heart *heart, Csv__Extent *const *extents, size_t n);
/* Write in the name of that incarnation; 0 = do not. */
void heart_live(struct heart *heart, uint64_t incarnation);
/* A majority acked the beat that was sent then. */
void heart_beat(struct heart *heart, int64_t beat_ms);
/* VMs may execute until then, as far as this volume goes. */
int64_t heart_until(const struct heart *heart);

/* Nodes and debts of now. */
void heart_tables(struct heart *heart, const Vol__Tables *tables, const Vol__Volume *volume);
/* A debt that the tables may not have yet. */
void heart_debt(struct heart *heart, uint32_t node, uint64_t incarnation);
/* Some verdict is still to be taken. Not for long. */
bool heart_looks(const struct heart *heart);
enum heartbeat_seen heart_seen(const struct heart *heart, uint32_t node, uint64_t incarnation);

#endif
