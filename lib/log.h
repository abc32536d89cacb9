/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines of the daemons. One line, lower case, no newline, values named, `key=value` tail.
 *
 *   crit     the daemon dies of it
 *   error    an action that matters to the cluster failed
 *   warning  recovered from, or bad configuration ignored
 *   notice   important and good: node joined, resource online, volume moved
 *   info     what one needs when tracking something down
 *   debug    the rest; off unless asked for
 *
 * Lines go to stderr with the "<n>" level prefix that journald understands, and a time stamp when
 * stderr is not the journal. A journal that takes no more is not waited for: the next line that it takes
 * says how many were lost. Anything else behind stderr (a file, a pipe) is waited for. Library folders do
 * not log above debug: they return errors.
 * errno is preserved. Thread-safe.
 */
#ifndef CL_LIB_LOG_H
#define CL_LIB_LOG_H

#include <stdbool.h>

enum cl_log_level {
	CL_LOG_CRIT = 2,
	CL_LOG_ERROR = 3,
	CL_LOG_WARNING = 4,
	CL_LOG_NOTICE = 5,
	CL_LOG_INFO = 6,
	CL_LOG_DEBUG = 7,
};

/* ident appears in each line; it must outlive the process's last line (a literal). */
void cl_log_init(const char *ident, enum cl_log_level max);
bool cl_log_enabled(enum cl_log_level level);
void cl_log(enum cl_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_crit(...) cl_log(CL_LOG_CRIT, __VA_ARGS__)
#define log_error(...) cl_log(CL_LOG_ERROR, __VA_ARGS__)
#define log_warning(...) cl_log(CL_LOG_WARNING, __VA_ARGS__)
#define log_notice(...) cl_log(CL_LOG_NOTICE, __VA_ARGS__)
#define log_info(...) cl_log(CL_LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (cl_log_enabled(CL_LOG_DEBUG))                                                  \
			cl_log(CL_LOG_DEBUG, __VA_ARGS__);                                         \
	} while (0)

#endif
