/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char *log_ident = "?";
static enum cl_log_level log_max = CL_LOG_INFO;
static bool log_to_journal;
static atomic_uint log_lost; /* lines */

void cl_log_init(const char *ident, enum cl_log_level max)
{
	log_ident = ident;
	log_max = max;
	/* systemd sets it when stderr is a stream to the journal, which stamps lines itself. */
	log_to_journal = getenv("JOURNAL_STREAM") != NULL;
}

bool cl_log_enabled(enum cl_log_level level)
{
	return level <= log_max;
}

static int log_prefix(char *buf, size_t size, enum cl_log_level level)
{
	static const char *const words[] = { "",	"",	  "crit", "error",
					     "warning", "notice", "info", "debug" };
	struct timespec ts;
	struct tm tm;
	char stamp[32];

	if (log_to_journal)
		return snprintf(buf, size, "<%d>", (int)level);
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)localtime_r(&ts.tv_sec, &tm);
	(void)strftime(stamp, sizeof(stamp), "%b %d %H:%M:%S", &tm);
	return snprintf(buf, size, "%s.%03ld %s[%d] %s: ", stamp, ts.tv_nsec / 1000000, log_ident,
			(int)getpid(), words[level]);
}

/* One write per line, so that lines of several threads and processes do not mix. */
static bool put_some(const char *line, size_t n)
{
	if (log_to_journal && send(STDERR_FILENO, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	if (log_to_journal && errno != ENOTSOCK)
		return false;
	return write(STDERR_FILENO, line, n) >= 0;
}

/*
 * A journal that stands still (its disk hangs) would make the daemon stand still with it once its socket is full: no
 * beats, no lease, and a machine that is reset for its log's sake. Lines are lost instead, and said to be.
 */
static void put(const char *line, size_t n)
{
	unsigned lost = atomic_exchange(&log_lost, 0);
	char said[160];
	int m;

	if (lost) {
		m = log_prefix(said, sizeof(said), CL_LOG_WARNING);
		m += snprintf(said + m, sizeof(said) - (size_t)m,
			      "%u lines of this log are lost: nobody took them\n", lost);
		if (put_some(said, (size_t)m))
			lost = 0;
	}
	if (lost || !put_some(line, n))
		atomic_fetch_add(&log_lost, lost + 1);
}

void cl_log(enum cl_log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	char line[2048];
	va_list ap;
	int n, m;

	if (!cl_log_enabled(level))
		return;
	n = log_prefix(line, sizeof(line), level);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		m = 0;
	n += m;
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	put(line, (size_t)n);
	errno = saved_errno;
}
