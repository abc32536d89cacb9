/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time that only goes forward, as a type of its own, so that a wall-clock second cannot be added to
 * it by mistake. It is CLOCK_BOOTTIME: a lease must go on running while the machine is suspended.
 *
 * The decision core does not read it; it gets `now` as milliseconds with each event.
 */
#ifndef CL_LIB_MONOTIME_H
#define CL_LIB_MONOTIME_H

#include <stdint.h>
#include <time.h>

struct cl_mono {
	int64_t ns;
};

static inline struct cl_mono cl_mono_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (struct cl_mono){ (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec };
}

static inline struct cl_mono cl_mono_add_ms(struct cl_mono t, int64_t ms)
{
	return (struct cl_mono){ t.ns + ms * 1000000 };
}

/* Milliseconds from a to b, rounded towards zero. */
static inline int64_t cl_mono_diff_ms(struct cl_mono a, struct cl_mono b)
{
	return (b.ns - a.ns) / 1000000;
}

static inline int64_t cl_mono_ms(struct cl_mono t)
{
	return t.ns / 1000000;
}

#endif
