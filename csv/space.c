/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/space.h"

static bool is_full(uint64_t free)
{
	return free < SPACE_FULL_BYTES;
}

int space_wait_ms(const struct space *s, uint64_t size, uint64_t free, int64_t now_ms)
{
	uint64_t change = free > s->free ? free - s->free : s->free - free;
	int64_t due;

	if (!s->told)
		return 0;
	if (is_full(free) != is_full(s->free))
		due = s->at_ms + SPACE_EDGE_MS;
	else if (change > size / 100)
		due = s->at_ms + SPACE_CHANGE_MS;
	else
		return -1;
	return due > now_ms ? (int)(due - now_ms) : 0;
}
