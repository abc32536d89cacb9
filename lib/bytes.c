/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lib/bytes.h"

#include <stdio.h>

const char *cl_bytes(uint64_t bytes, char buf[CL_BYTES_SIZE])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double x = (double)bytes;
	unsigned u = 0;

	for (; x >= 1024 && u < 5; u++)
		x /= 1024;
	(void)snprintf(buf, CL_BYTES_SIZE, u ? "%.1f %s" : "%.0f %s", x, units[u]);
	return buf;
}
