/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event log of this node: the last lines as JSON objects, in memory for `events`, and in the
 * store so that they outlive a restart. Lines with the same id are the same line (an entry of the
 * log that is applied again after a restart).
 */
#ifndef CL_CLUSTERD_EVENTS_H
#define CL_CLUSTERD_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#define EVENTS_KEPT 2000

struct event_line {
	uint64_t id;
	char *json;
};

struct events {
	struct event_line line[EVENTS_KEPT]; /* ring; oldest at `first` */
	size_t first, n;
	uint64_t newest; /* id; a greater one needs no search */
};

/* Takes json over (malloc'd). 1 = added; 0 = one of that id is there already, json is freed. */
int events_add(struct events *events, uint64_t id, char *json);
/* i-th of the kept lines, 0 = oldest; NULL after the last. */
const char *events_at(const struct events *events, size_t i);
void events_fini(struct events *events);

#endif
