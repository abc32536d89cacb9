/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The storage heartbeat, as far as clusterd and csvd have to agree on it; the proof that needs these
 * numbers stands in docs/timing.md.
 *
 * A node's VMs execute only while a majority acked a beat sent less than HEARTBEAT_FRESH_MS ago, or
 * csvd says so: it keeps the time until which a heartbeat on some volume allows it in a file of the
 * run directory, where a clusterd that is restarted and the watchdog feeder find it, too.
 */
#ifndef CL_PROTO_HEARTBEAT_H
#define CL_PROTO_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

enum {
	HEARTBEAT_MS = 500, /* written and read as often */
	/* Of a node itself: counted from when the beat or heartbeat was SENT. */
	HEARTBEAT_FRESH_MS = 1000,
	/* Of the others: nothing moved, and nobody acked, for so long. More than FRESH by what it takes
	 * the watchdog feeder to stop what runs, whatever clusterd does (quorum/feeder.h). */
	HEARTBEAT_SILENT_MS = 1500,
};

/* What a payer saw of a failed node's unit on one volume; the numbers stand in the log. */
enum heartbeat_seen {
	HEARTBEAT_UNKNOWN = 0, /* it moved, or could not be looked at for long enough */
	HEARTBEAT_SILENT = 1,  /* written by that incarnation, and did not move any more */
	HEARTBEAT_ABSENT = 2,  /* that incarnation never wrote there */
};

#define HEARTBEAT_FILE "heartbeat"

/* Opens DIR/heartbeat, made when it is not there. A descriptor, or a negative code. */
int heartbeat_file_open(const char *dir, struct cl_error *err);
/* In place, eight bytes: whole or not at all when the process is killed. */
int heartbeat_file_write(int fd, int64_t until_ms);
/* 0: there is none, or not one that could be of this boot (later than latest_ms). */
int64_t heartbeat_file_read(int fd, int64_t latest_ms);

#endif
