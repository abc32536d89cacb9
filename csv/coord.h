/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator of one volume: a thread of its own that owns the file system, and with it the
 * sessions, handles and locks of all nodes. It may block on the LUN; the session loop never does.
 * They exchange mail (csv/mail.h) and share nothing else.
 *
 * Life: the loop has been told by the log to coordinate at an epoch, has fenced whom it had to, and
 * starts the thread. It opens the device (for a LUN: logs in, registers, waits for its GO), replays
 * the journal, records the epoch, loads the sessions, holds grace, serves.
 *
 *    OPENING --> GRACE --> SERVING --> CLOSED      (MAIL_CLOSE: planned move; orderly end)
 *     |   |        |          |
 *     |   +--------+----------+-----> FAILED       the device failed or was fenced: nothing more is
 *     v                                            written; clients go on at the next coordinator
 *    REFUSED --> GRACE, CLOSED, FAILED             what lies there is not to be opened: somebody else's, damaged,
 *                                                  of a later epoch. Its device stays open, by the same claim, and
 *                                                  it looks again, by reading, until it can be. A later epoch is
 *                                                  told in the mail's `id`: then the claim is given up (role.h)
 *
 * Batches: all mail that is there is executed, then one commit makes it durable, then the results
 * leave. No result leaves before the commit that covers what it tells.
 */
#ifndef CL_CSV_COORD_H
#define CL_CSV_COORD_H

#include <stdatomic.h>

#include "csv/counters.h"
#include "csv/fs_dev.h"
#include "csv/mail.h"
#include "lib/error.h"

enum coord_state {
	COORD_OPENING,
	COORD_GRACE,
	COORD_SERVING,
	COORD_CLOSED,
	COORD_FAILED,
	COORD_REFUSED,
};

/* Guards that a drill can leave out (--enable-defects), to prove that it notices. */
enum {
	COORD_DEFECT_NO_RECORD = 1, /* operations sent again are executed again */
	COORD_DEFECT_NO_GRACE = 2,  /* serve before everybody has reclaimed */
	COORD_DEFECT_GROW = 512,    /* growth is shown without the right to it */
	COORD_DEFECT_APPEND = 64,   /* append where the client believes the end to be */
	COORD_DEFECT_NO_RECALL = 8, /* change maps and blocks under layouts */
	COORD_DEFECT_NO_PROXY_WAIT =
		16, /* a fence is paid while this node holds writes of the dead */
	COORD_DEFECT_EARLY_ANSWER = 32,	    /* answer before the commit */
	COORD_DEFECT_NO_BARRIER_WORD = 128, /* sessions do not hear of an answered barrier */
	COORD_DEFECT_NO_SPACE_WORD = 256,   /* nor of how much is free */
	COORD_DEFECT_NO_KILL = 4,	    /* welcome a session whose earlier data nexuses live */
};

struct coord;

struct coord_config {
	const char *name; /* of the volume, for log lines; copied */
	uint8_t volume[16];
	uint32_t self;
	uint64_t epoch;
	uint64_t serial; /* of all in this process: on each mail */
	/*
	 * Called in the thread: make the device. Blocks. Uses coord_wait_go() between login and
	 * data. user is the caller's and outlives the thread.
	 */
	int (*open)(void *user, struct coord *coord, struct fs_dev **ret, struct cl_error *err);
	void *user;
	const _Atomic int64_t *lease_until_ms; /* CLOCK_BOOTTIME; nothing is executed after it */
	struct cl_mailbox *out;		       /* mail to the loop */
	struct csv_counters *counters;	       /* of the volume; outlives the thread. NULL: none */
	uint32_t silence_ms; /* a holder that answers a recall with nothing for so long; 0 = 5000 */
	uint32_t look_ms;    /* REFUSED: looks again after so long; 0 = 1000 */
	unsigned defects;
	/*
	 * Instead of coordinating: with the device open and its GO given, run this; then CLOSED, or
	 * FAILED with what it says. In the thread. NULL: coordinate.
	 */
	int (*job)(void *user, struct coord *coord, struct fs_dev *dev, struct cl_error *err);
	void *job_user;
};

/* Starts the thread. tables: the packed Vol.Tables of now. */
int coord_new(const struct coord_config *config, const void *tables, size_t len, struct coord **ret,
	      struct cl_error *err);

/* Give it mail (owned by it from here on). From any thread. */
void coord_post(struct coord *coord, struct csv_mail *mail);

/* In `job`, in the thread: mail to the loop. */
void coord_post_out(struct coord *coord, struct csv_mail *mail);

/* In `job`: whether it is to end at once; the descriptor is readable when that may have become so. */
bool coord_stop_asked(struct coord *coord);
int coord_mail_fd(const struct coord *coord);

/* In `open`: the loop is told that the LUN session is registered, and its GO awaited. */
int coord_wait_go(struct coord *coord, struct cl_error *err);

/*
 * Joins the thread: after CLOSED or FAILED, or after MAIL_STOP was posted. Blocks until a call into
 * the device ends: break the device first.
 */
void coord_free(struct coord *coord);

#endif
