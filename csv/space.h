/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When all are told of a volume's free space: when it becomes full or is no longer, else when it has changed
 * by more than a hundredth of the volume; and not too often. Pure.
 */
#ifndef CL_CSV_SPACE_H
#define CL_CSV_SPACE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	SPACE_FULL_BYTES =
		1 << 20,     /* less is "full": what needs several clusters fails there already */
	SPACE_EDGE_MS = 100, /* between two crossings of that edge, at least */
	SPACE_CHANGE_MS = 1000, /* between two other ones */
};

/* What was told last. */
struct space {
	bool told;
	uint64_t free;
	int64_t at_ms;
};

/* Until it is to be told: 0 = now, -1 = there is nothing to tell. */
int space_wait_ms(const struct space *s, uint64_t size, uint64_t free, int64_t now_ms);

#endif
