/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this node has done on one volume since its csvd began: I/O by path and direction with a latency
 * histogram, and events. One per volume (struct volume), counted by the session loop and by the
 * coordinator's thread: every cell is atomic for itself. A report is no snapshot of one moment; its
 * cells only grow, and that is all that readers may rely on.
 */
#ifndef CL_CSV_COUNTERS_H
#define CL_CSV_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/volume.pb-c.h"

/* How an I/O of an application on this node reached the LUN. */
enum counters_path {
	COUNTERS_DIRECT,	   /* by this node's own data nexus */
	COUNTERS_BLOCK_REDIRECTED, /* blocks by way of the coordinator's node */
	COUNTERS_FILE_REDIRECTED,  /* an operation at the coordinator */
	COUNTERS_PATHS,
};

enum counters_event {
	COUNTERS_RECALLS_SENT,	   /* as coordinator: layouts asked back */
	COUNTERS_RECALLS_ANSWERED, /* as holder: RETURNED */
	COUNTERS_RECALLS_BUSY,	   /* as holder: BUSY */
	COUNTERS_COMMITS,	   /* as coordinator: journal transactions made durable */
	COUNTERS_FENCES,	   /* as coordinator: fences paid (a nexus killed and verified) */
	COUNTERS_RESENDS,	   /* calls or I/O sent again after a broken way */
	COUNTERS_EVENTS,
};

/* Bucket b counts latencies below 2^b microseconds (and not below 2^(b-1)); the last has no limit. */
enum { COUNTERS_BUCKETS = 25 };

struct csv_counters_io {
	_Atomic uint64_t operations, bytes, microseconds;
	_Atomic uint64_t bucket[COUNTERS_BUCKETS];
};

struct csv_counters {
	struct csv_counters_io io[COUNTERS_PATHS][2]; /* [path][writes] */
	_Atomic uint64_t event[COUNTERS_EVENTS];
};

/* One I/O of an application that has ended well. counters NULL: nothing is counted. */
void counters_add_io(struct csv_counters *counters, enum counters_path path, bool writes,
		     uint64_t bytes, uint64_t microseconds);
void counters_add(struct csv_counters *counters, enum counters_event event);

/* The bucket of a latency. */
unsigned counters_bucket(uint64_t microseconds);

/*
 * As a message, for as long as `counters` stands. Empty cells and buckets behind the last used one are
 * left out. 0 or -ENOMEM; free with counters_message_free() either way.
 */
int counters_message(const struct csv_counters *counters, Vol__Counters *ret);
void counters_message_free(Vol__Counters *message);

#endif
