/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A slow disk with a witness, for LD_PRELOAD into tgtd (backing store rdwr): a write whose first
 * block begins with a stamp is held back as long as the stamp says before it goes to the file, and the log
 * ($LUN_DELAY_LOG, appended) says when it started (S) and when it landed (L). A drill is judged by
 * this log: "late" is a landing behind the line in which the fence was reported.
 * With $LUN_DELAY_ONCE only the first write of a stamp is held back, so that a repetition overtakes it.
 */
#include "config.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/lun/stamp.h"

static int log_fd = -1;
static ssize_t (*real_pwrite64)(int, const void *, size_t, off64_t);

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("LUN_DELAY_LOG");

	real_pwrite64 = dlsym(RTLD_NEXT, "pwrite64");
	if (path)
		log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

static void say(char what, const struct stamp *s)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "%c %u %u %" PRIu64 "\n", what, s->node, s->generation,
			 s->seq);

	(void)!write(log_fd, line, (size_t)n);
}

static bool stamped(const void *buf, size_t n, struct stamp *ret)
{
	if (log_fd < 0 || n < sizeof(*ret))
		return false;
	memcpy(ret, buf, sizeof(*ret));
	return ret->magic == STAMP_MAGIC;
}

static bool seen_before(const struct stamp *s)
{
	static _Atomic uint64_t last; /* one at a time is enough */

	return getenv("LUN_DELAY_ONCE") && atomic_exchange(&last, s->seq) == s->seq;
}

static void hold(const struct stamp *s)
{
	unsigned ms = seen_before(s) ? 0 : s->delay_ms;
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	say('S', s);
	while (ms && nanosleep(&t, &t) != 0)
		;
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t offset)
{
	struct stamp s;
	ssize_t r;

	if (!stamped(buf, n, &s))
		return real_pwrite64(fd, buf, n, offset);
	hold(&s);
	r = real_pwrite64(fd, buf, n, offset);
	say('L', &s);
	return r;
}
