/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The error object: why something failed, in words for the person who has to act on it.
 *
 * A function that can fail in a way a human sees returns 0 or a negative code and fills *err
 * exactly when it fails. Callers on the way up add what they know ("volume 'vol1': ...") with
 * cl_error_wrap(). The one who consumes the error reports it, once; nobody else logs it.
 *
 * Codes are negative errno values, or one of the CL_E* below, where errno has no word for it.
 */
#ifndef CL_LIB_ERROR_H
#define CL_LIB_ERROR_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>

#define CL_EREFUSED 1001 /* refused in this state: dead node, same node, no quorum, rule */
#define CL_EUNREACH 1002 /* the daemon that has to do it cannot be reached */
#define CL_EPENDING 1003 /* not finished in time; it goes on */
#define CL_EMOVED 1004	 /* the expected generation has moved: nothing was done */
#define CL_ECORRUPT 1005 /* data read from disk or wire does not hold together */

struct cl_error {
	int code; /* negative; 0 = no error */
	char msg[480];
	char hint[160]; /* what to do about it; "" when there is nothing to say */
};

#define CL_ERROR_INIT                                                                              \
	{                                                                                          \
		.code = 0                                                                          \
	}

/* Set code (negative) and message; err may be NULL. Returns code, so that a failure is one line. */
int cl_error_set(struct cl_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As cl_error_set, with ": <strerror(-code)>" appended. code must be a negative errno. */
int cl_error_errno(struct cl_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put context in front of the message: "<fmt>: <old message>". Returns code. err may be NULL. */
int cl_error_wrap(struct cl_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Say what the reader can do. Returns err->code (0 when err is NULL). */
int cl_error_hint(struct cl_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Exit code of clusterctl for an error code; the table is in docs and in interfaces (0..6). */
int cl_error_exit_code(int code);

/* A short word for a code ("refused", "not-found", ...), used as "code" in JSON errors. */
const char *cl_error_word(int code);

#endif
