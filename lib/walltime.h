/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wall-clock times for people: milliseconds since 1970 <-> RFC 3339 in UTC. Never decided upon. */
#ifndef CL_LIB_WALLTIME_H
#define CL_LIB_WALLTIME_H

#include <stdint.h>

#define CL_RFC3339_SIZE 32

int64_t cl_wall_ms(void);

/* "2026-11-21T21:50:00.123Z". Returns buf. */
const char *cl_rfc3339(int64_t wall_ms, char buf[CL_RFC3339_SIZE]);

#endif
