/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A time in a message: what an ext4 inode can hold (1901 to 2446, nanoseconds) in 64 bits. Nanoseconds
 * since 1970 would end in 2262.
 */
#ifndef CL_CSV_WTIME_H
#define CL_CSV_WTIME_H

#include <stdint.h>
#include <time.h>

#define WTIME_MIN INT64_C(-2147483648)
#define WTIME_MAX INT64_C(15032385535)

static inline uint64_t wtime_from(struct timespec t)
{
	if (t.tv_sec <= WTIME_MIN)
		return 0;
	if (t.tv_sec >= WTIME_MAX)
		return (uint64_t)(WTIME_MAX - WTIME_MIN) << 30;
	return (uint64_t)(t.tv_sec - WTIME_MIN) << 30 | (uint64_t)t.tv_nsec;
}

/* Of any 64 bits a time; nanoseconds below a second. */
static inline struct timespec wtime_to(uint64_t w)
{
	long ns = (long)(w & ((1u << 30) - 1));

	return (struct timespec){ .tv_sec = (time_t)(w >> 30) + WTIME_MIN,
				  .tv_nsec = ns < 1000000000 ? ns : 999999999 };
}

#endif
