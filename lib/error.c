/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lib/error.h"

#include <stdio.h>
#include <string.h>

int cl_error_set(struct cl_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	err->hint[0] = '\0';
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	return code;
}

int cl_error_errno(struct cl_error *err, int code, const char *fmt, ...)
{
	size_t used;
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	err->hint[0] = '\0';
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	used = strlen(err->msg);
	(void)snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", strerror(-code));
	return code;
}

int cl_error_wrap(struct cl_error *err, int code, const char *fmt, ...)
{
	char old[sizeof(err->msg)];
	size_t used;
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	used = strlen(err->msg);
	(void)snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", old);
	return code;
}

int cl_error_hint(struct cl_error *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return 0;
	va_start(ap, fmt);
	(void)vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
	return err->code;
}

/* One row per code that has a meaning of its own; everything else is "tried and failed". */
static const struct {
	int code;
	int exit_code;
	const char *word;
} codes[] = {
	{ 0, 0, "ok" },
	{ -EINVAL, 2, "bad-input" },
	{ -ENOENT, 3, "not-found" },
	{ -CL_EREFUSED, 4, "refused" },
	{ -CL_EMOVED, 4, "moved" },
	{ -EEXIST, 4, "exists" },
	{ -CL_EUNREACH, 5, "unreachable" },
	{ -CL_EPENDING, 6, "pending" },
	{ -ENOSPC, 1, "no-space" },
	{ -CL_ECORRUPT, 1, "corrupt" },
};

int cl_error_exit_code(int code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return codes[i].exit_code;
	return 1;
}

const char *cl_error_word(int code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return codes[i].word;
	return "failed";
}
