/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the watchdog feeder is told by: the lease's end (clusterd) and the heartbeats' (csvd) in the run
 * directory; and what it says there itself: `feeder`, locked while it lives, "TIMEOUT_MS DEVICE\n" once the
 * watchdog runs (0: there is none). That outlives a feeder that is killed, whose next process must go on
 * petting whatever the lease says; an orderly end empties it.
 */
#ifndef CL_CLUSTERD_FEEDER_FILES_H
#define CL_CLUSTERD_FEEDER_FILES_H

#include "clusterd/lease_file.h"
#include "quorum/feeder.h"

#define FEEDER_FILE "feeder"

struct feeder_files {
	const char *run_directory;
	int lease, heartbeat, own;
	struct lease_file kept; /* the last that could be read */
};

void feeder_files_init(struct feeder_files *f, const char *run_directory);
void feeder_files_fini(struct feeder_files *f);

/* Makes and locks its own. False in *ret_armed: no watchdog was left running. -EBUSY: another one lives. */
int feeder_files_own(struct feeder_files *f, bool *ret_armed, struct cl_error *err);
/* timeout_ms < 0: in order, nothing is guarded any more. */
int feeder_files_say(const struct feeder_files *f, int timeout_ms, const char *device);

/* Fills in the time, the lease and the heartbeats. */
void feeder_files_look(struct feeder_files *f, int64_t now_ms, struct feeder_view *ret);

/* For others: the watchdog's timeout as it is, 0 = none, and whether a feeder lives. */
struct feeder_said {
	bool lives, armed;
	int timeout_ms;
};
struct feeder_said feeder_files_said(const char *run_directory);

#endif
