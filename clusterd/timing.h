/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the times by which corosync, this clusterd and the watchdog run fit together (quorum/timing.h):
 * looked at when corosync is connected, whenever its configuration changes, and every few seconds for the
 * feeder's part. What does not hold is logged, told to the core (status, events), and shown.
 */
#ifndef CL_CLUSTERD_TIMING_H
#define CL_CLUSTERD_TIMING_H

#include <jansson.h>

#include "lib/error.h"

struct daemon;
struct timing_watch;

int timing_new(struct daemon *d, struct timing_watch **ret);
void timing_free(struct timing_watch *w);

/* The core is made: its lease is so long. */
void timing_lease(struct timing_watch *w, int64_t lease_ms);
/* corosync is connected (again). */
void timing_on_ring(struct timing_watch *w);

/* For `show quorum`. */
json_t *timing_view(const struct timing_watch *w);

#endif
