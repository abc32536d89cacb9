/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The watchdog feeder's decision, pure: may what runs here go on executing, and may the watchdog be
 * petted? It stands in for a clusterd that is dead or hung when the time runs out; one that lives
 * pauses its VMs earlier, by QEMU. Why these times: docs/timing.md.
 */
#ifndef CL_QUORUM_FEEDER_H
#define CL_QUORUM_FEEDER_H

#include <stdbool.h>
#include <stdint.h>

enum {
	FEEDER_LOOK_MS = 50,
	/* A look may be late by some of it, and the freezer takes the rest: then nothing executes. */
	FEEDER_FREEZE_MS = 100,
	/* clusterd lives: it has so long to pause by itself when nothing is heard of us any more. It may
	 * as well hang: so even then all stands before anybody else can have found us silent. */
	FEEDER_LIVING_MS = 300,
	/* Before the end of the lease, since at its end others may begin. Later than clusterd's own pause. */
	FEEDER_EARLY_MS = 500,
	FEEDER_STAND_MS = 300, /* frozen so long ago: no processor time is used any more */
	/* What is killed while it is frozen uses some; after so long without it stands again. */
	FEEDER_QUIET_MS = 1000,
};

/* Two clocks show times that differ by up to this for one duration (docs/timing.md: rates 1 % apart). */
#define FEEDER_CLOCKS_MS(ms) ((ms) / 100 + 1)

/* Whether what runs stands before the end of a lease of that length, as the others count it. */
static inline bool feeder_is_in_time(int64_t lease_length_ms)
{
	return FEEDER_LOOK_MS + FEEDER_FREEZE_MS + FEEDER_CLOCKS_MS(lease_length_ms) <=
	       FEEDER_EARLY_MS;
}

/* What is the case now. Times are of CLOCK_BOOTTIME. */
struct feeder_view {
	int64_t now_ms;
	/* clusterd's file: 0 = never had a lease; 1 = it was taken away. beat_ms 0: not watched. */
	int64_t lease_until_ms, beat_ms;
	int64_t heartbeat_until_ms; /* csvd's file */
	bool clusterd_lives;
	bool populated;	   /* something runs */
	uint64_t cpu_usec; /* that it has used, ever */
};

struct feeder {
	bool armed; /* a lease was seen: from here on the watchdog guards */
	bool frozen;
	int64_t frozen_ms;
	uint64_t cpu_usec;
	int64_t moved_ms; /* that it was seen to have grown */
};

struct feeder_orders {
	bool freeze, thaw; /* all that runs, at once */
	bool pet;	   /* the watchdog; else the machine is reset */
};

/* Until when it may execute; INT64_MAX before there was a lease. */
int64_t feeder_expiry_ms(const struct feeder_view *view);

struct feeder_orders feeder_look(struct feeder *feeder, const struct feeder_view *view);

#endif
