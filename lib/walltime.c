/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lib/walltime.h"

#include <stdio.h>
#include <time.h>

int64_t cl_wall_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

const char *cl_rfc3339(int64_t wall_ms, char buf[CL_RFC3339_SIZE])
{
	time_t s = (time_t)(wall_ms / 1000);
	unsigned ms = (unsigned)(wall_ms % 1000);
	struct tm tm;
	char date[24];

	if (wall_ms < 0 || !gmtime_r(&s, &tm) || !strftime(date, sizeof(date), "%FT%T", &tm))
		(void)snprintf(date, sizeof(date), "1970-01-01T00:00:00");
	(void)snprintf(buf, CL_RFC3339_SIZE, "%s.%03uZ", date, wall_ms < 0 ? 0 : ms % 1000);
	return buf;
}
