/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/events.h"

#include <stdbool.h>
#include <stdlib.h>

static struct event_line *line_at(struct events *events, size_t i)
{
	return &events->line[(events->first + i) % EVENTS_KEPT];
}

static bool events_has(struct events *events, uint64_t id)
{
	for (size_t i = events->n; i > 0; i--)
		if (line_at(events, i - 1)->id == id)
			return true;
	return false;
}

int events_add(struct events *events, uint64_t id, char *json)
{
	struct event_line *line;

	if (!json || (id <= events->newest && events_has(events, id))) {
		free(json);
		return 0;
	}
	if (events->n == EVENTS_KEPT) {
		free(line_at(events, 0)->json);
		events->first = (events->first + 1) % EVENTS_KEPT;
		events->n--;
	}
	line = line_at(events, events->n++);
	*line = (struct event_line){ id, json };
	if (id > events->newest)
		events->newest = id;
	return 1;
}

const char *events_at(const struct events *events, size_t i)
{
	if (i >= events->n)
		return NULL;
	return events->line[(events->first + i) % EVENTS_KEPT].json;
}

void events_fini(struct events *events)
{
	for (size_t i = 0; i < events->n; i++)
		free(line_at(events, i)->json);
	*events = (struct events){ 0 };
}
