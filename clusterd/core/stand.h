/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a VM that should run stands, since when, and when it is to be continued. One record per VM,
 * on the node where it is; pure.
 *
 *   (runs) --begins--> stands --go_on: due--> runs, on trial --SETTLED later--> (runs, forgotten)
 *                        ^                        |
 *                        +------ begins again ----+   the same record: `since` stays, the next
 *                                                     trial comes later
 *
 * The trial is there because only the guest's own write can tell that there is room again: a VM
 * that is continued on a volume that is still full stands a moment later. Without it `status` would
 * say online and paused in turns, and each turn would be a line in the events.
 */
#ifndef CL_CORE_STAND_H
#define CL_CORE_STAND_H

#include <stdbool.h>
#include <stdint.h>

#include "quorum/state.h"

enum {
	STAND_RETRY_MS = 300, /* the first trial; doubles */
	STAND_RETRY_MAX_MS = 5000,
	STAND_SETTLED_MS = 1500, /* it ran so long: the cause is over */
};

enum stand_why {
	STAND_NOT,
	STAND_NO_PATH,	/* a volume of it cannot be used here; ends when it can */
	STAND_NO_SPACE, /* QEMU stopped it: no space for a write; tried again */
	STAND_ERROR,	/* QEMU stopped it for another reason; tried again */
};

struct stand {
	enum stand_why why;
	int64_t since_ms; /* wall clock: for people */
	int64_t try_ms;	  /* not continued before that */
	int64_t wait_ms;  /* between the next two trials */
	int64_t runs_ms;  /* on trial since; INT64_MAX = it stands */
	char text[STATE_REASON_MAX];
};

/* It stands, or stands again. text: the reason for people, with what ends it. */
void stand_begin(struct stand *s, enum stand_why why, const char *text, int64_t now_ms,
		 int64_t wall_ms);

/* It was continued, and executes. */
void stand_runs(struct stand *s, int64_t now_ms);

/* The cause may be over (a volume said something new): try at once, and often again. */
void stand_news(struct stand *s, int64_t now_ms);

/* Whether to continue it now, as far as time decides. */
bool stand_due(const struct stand *s, int64_t now_ms);

/* Forget it when it has run long enough. */
void stand_tick(struct stand *s, int64_t now_ms);

#endif
