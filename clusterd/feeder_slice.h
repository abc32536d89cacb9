/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the watchdog feeder sees and can stop: the cgroup (version 2) below which clusterd's VMs run. The
 * descriptors are opened ahead, so that nothing has to be looked up when it counts, and nothing here waits.
 */
#ifndef CL_CLUSTERD_FEEDER_SLICE_H
#define CL_CLUSTERD_FEEDER_SLICE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* In clusterd's run directory: the cgroup's folder, one line. */
#define FEEDER_SLICE_FILE "slice"

struct feeder_slice {
	char path[PATH_MAX]; /* "" = none is open */
	int freeze, events, stat;
};

struct feeder_slice_use {
	bool populated;
	uint64_t cpu_usec; /* that everything below it has used, ever */
};

void feeder_slice_init(struct feeder_slice *slice);
void feeder_slice_fini(struct feeder_slice *slice);

/*
 * What clusterd says now; another one than before, or one that was made anew, is opened. True: it was, and
 * what was asked of the one before is not true of this one.
 */
bool feeder_slice_find(struct feeder_slice *slice, const char *run_directory);

/* Nothing runs in one that is not there. */
struct feeder_slice_use feeder_slice_look(struct feeder_slice *slice);

/* Asks for it: the kernel stops process after process, and says so in feeder_slice_look() alone. */
int feeder_slice_freeze(const struct feeder_slice *slice, bool on);
/* It was asked for, by this process or an earlier one. */
bool feeder_slice_frozen(const struct feeder_slice *slice);

#endif
