/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lib/assert.h"

#include <stdlib.h>

#include "lib/log.h"

void (*cl_assert_hook)(const char *expr, const char *file, int line);

void cl_assert_failed(const char *expr, const char *file, int line, const char *func)
{
	log_crit("assertion failed: %s func=%s at=%s:%d", expr, func, file, line);
	if (cl_assert_hook)
		cl_assert_hook(expr, file, line);
	abort();
}
