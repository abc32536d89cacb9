/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lun-sync-test URL BACKING-FILE: the blocking adapter against a real target, looking at the target's
 * backing file for what is really there. Prints what it is about to try; ends with "passed", or
 * with the line that failed. At "kill the target" it waits for a line on stdin.
 */
#include "config.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "iscsi/control.h"
#include "iscsi/lun_sync.h"
#include "lib/monotime.h"
#include "tests/lun/stamp.h"

#define MIB (1024 * 1024)

static struct lun_url url;
static struct lun_control *control;
static int backing;
static bool answered, answer;

#define check(x) ((x) ? (void)0 : failed(#x, __LINE__))

static void failed(const char *what, int line)
{
	printf("FAILED: line %d: %s\n", line, what);
	exit(1);
}

static int64_t now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

/* ---- the control, driven by hand ---- */

static void on_ask(void *user, struct lun_control *c)
{
	(void)user;
	lun_control_log_says(c, true, NULL, 0);
}

static void on_fenced(void *user, bool paid, const struct cl_error *why)
{
	(void)user;
	(void)why;
	answered = true;
	answer = paid;
}

static void on_seen(void *user, bool seen, const char *why)
{
	(void)user;
	(void)why;
	answered = true;
	answer = seen;
}

static void pump(void)
{
	struct pollfd p = { .fd = lun_control_fd(control), .events = lun_control_events(control) };
	int64_t ms = lun_control_deadline_ms(control) - now_ms();
	int n = poll(&p, 1, ms < 0 ? 0 : ms > 100 ? 100 : (int)ms);

	lun_control_service(control, n > 0 ? p.revents : 0);
}

static void pump_to(enum lun_control_state state)
{
	for (int64_t end = now_ms() + 10000; lun_control_state(control) != state; pump())
		check(now_ms() < end);
}

static bool pump_answer(void)
{
	int64_t end = now_ms() + 10000;

	for (answered = false; !answered; pump())
		check(now_ms() < end);
	return answer;
}

static void hold_the_lun(void)
{
	const struct lun_control_config c = {
		.url = &url,
		.initiator = "iqn.2026-01.org.clusterd:sync.control",
		.node = 1,
		.incarnation = 1,
		.hooks = { .ask_log = on_ask },
	};

	check(lun_control_new(&c, &control, NULL) == 0);
	pump_to(LUN_CONTROL_UP);
	check(lun_control_coordinate(control, NULL) == 0);
	pump_to(LUN_CONTROL_HOLDING);
}

static struct lun_sync *admitted(uint32_t silence_ms)
{
	struct lun_session_config c = {
		.url = &url,
		.initiator = "iqn.2026-01.org.clusterd:sync.data",
		.isid = 1,
		.isid_qualifier = 3,
		.pr_type = 6,
		.silence_ms = silence_ms,
	};
	struct cl_error err = CL_ERROR_INIT;
	struct lun_sync *y;
	char block[512] = { 0 };

	check(lun_control_allow(control, 1, 1, &c.key, NULL) == 0);
	if (lun_sync_open(&c, &y, &err) < 0)
		failed(err.msg, __LINE__);
	check(lun_sync_pwrite(y, block, sizeof(block), 0, false) == -EPERM); /* no GO yet */
	check(lun_control_seen(control, c.key, on_seen, NULL) == 0);
	check(pump_answer());
	check(lun_sync_go(y, &err) == 0);
	return y;
}

static bool fence(struct pr_match m)
{
	check(lun_control_fence(control, &m, 1, on_fenced, NULL, NULL) == 0);
	return pump_answer();
}

/* ---- what is tried ---- */

/* busy: somebody holds the LUN; else it can be written on, and nothing is left behind. */
static void test_unused(bool busy)
{
	struct lun_session_config c = {
		.url = &url,
		.initiator = "iqn.2026-01.org.clusterd:sync.format",
	};
	struct cl_error err = CL_ERROR_INIT;
	struct lun_sync *y = NULL;
	char block[512] = "format";

	printf(busy ? "making a volume on a LUN in use: refused\n" : "making a volume\n");
	check(pr_key_make(1, 1, 77, &c.key) == 0);
	check(lun_sync_open_unused(&c, &y, &err) == (busy ? -EBUSY : 0));
	if (busy)
		return;
	check(lun_sync_pwrite(y, block, sizeof(block), 1024, true) == 0);
	lun_sync_close(y);
	check(pread(backing, block, sizeof(block), 1024) == 512 && strcmp(block, "format") == 0);
}

static void test_io(struct lun_sync *y)
{
	size_t len = 9 * MIB + 4096;
	uint8_t *out = malloc(len), *in = malloc(len);

	printf("large write, read, and what the backing file has\n");
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(i * 31 + i / 4096);
	check(lun_sync_pwrite(y, out, len, 8192, false) == 0);
	check(lun_sync_pread(y, in, len, 8192) == 0 && memcmp(in, out, len) == 0);
	check(pread(backing, in, len, 8192) == (ssize_t)len && memcmp(in, out, len) == 0);
	check(lun_sync_pwrite(y, out, 512, 512, true) == 0);
	check(lun_sync_flush(y) == 0);
	printf("requests that make no sense\n");
	check(lun_sync_pwrite(y, out, 100, 0, false) == -EINVAL);
	check(lun_sync_pwrite(y, out, 512, 100, false) == -EINVAL);
	check(lun_sync_pread(y, in, 1024, lun_sync_bytes(y) - 512) == -EINVAL);
	check(lun_sync_pread(y, in, 512, UINT64_MAX - 511) == -EINVAL);
	check(lun_sync_pread(y, in, 512, lun_sync_bytes(y) - 512) == 0);
	free(out);
	free(in);
}

static void test_living_through_a_fence(struct lun_sync *y)
{
	char block[512] = "alive";

	printf("somebody else is fenced, twice: unit attentions, and on it goes\n");
	check(fence((struct pr_match){ .kind = PR_MATCH_NODE_UP_TO, .node = 9, .incarnation = 9 }));
	check(fence((struct pr_match){ .kind = PR_MATCH_NODE_UP_TO, .node = 9, .incarnation = 9 }));
	check(lun_sync_pwrite(y, block, sizeof(block), 4096, false) == 0);
	check(pread(backing, block, sizeof(block), 4096) == 512 && strcmp(block, "alive") == 0);
}

static void test_fenced(struct lun_sync *y)
{
	char block[512] = "dead";

	printf("fenced: stop\n");
	check(fence((struct pr_match){ .kind = PR_MATCH_KEY, .key = lun_sync_key(y) }));
	check(lun_sync_pwrite(y, block, sizeof(block), 4096, false) == -EBADE);
	check(lun_sync_pread(y, block, sizeof(block), 4096) == -EBADE);
	check(lun_sync_flush(y) == -EBADE);
	check(lun_sync_reason(y)[0]);
	check(pread(backing, block, sizeof(block), 4096) == 512 && strcmp(block, "alive") == 0);
	lun_sync_close(y);
}

static void slow_block(char block[512], unsigned ms)
{
	struct stamp s = { .magic = STAMP_MAGIC, .node = 1, .seq = 1, .delay_ms = ms };

	memset(block, 0, 512);
	memcpy(block, &s, sizeof(s));
}

static void test_deadline(struct lun_sync *y)
{
	int64_t from = now_ms();
	char block[512];

	printf("a slow write and a deadline\n");
	slow_block(block, 2000);
	lun_sync_set_deadline(y, 300);
	check(lun_sync_pwrite(y, block, sizeof(block), 65536, false) == -ENOLINK);
	check(now_ms() - from >= 300 && now_ms() - from < 1500);
	check(lun_sync_flush(y) == -ENOLINK); /* for good */
	/* It may still land: only the kill of its nexus ends that. */
	check(fence((struct pr_match){ .kind = PR_MATCH_KEY, .key = lun_sync_key(y) }));
	check(pread(backing, block, 8, 65536) == 8 && block[0] != 0);
	check(now_ms() - from >= 1900);
	lun_sync_close(y);
}

static void *breaker(void *y)
{
	(void)usleep(200000);
	lun_sync_break(y);
	return NULL;
}

static void test_break(struct lun_sync *y)
{
	char block[512];
	pthread_t thread;

	printf("broken off by another thread\n");
	slow_block(block, 1500);
	check(pthread_create(&thread, NULL, breaker, y) == 0);
	check(lun_sync_pwrite(y, block, sizeof(block), 65536, false) == -ENOLINK);
	check(pthread_join(thread, NULL) == 0);
	check(lun_sync_flush(y) == -ENOLINK);
	check(fence((struct pr_match){ .kind = PR_MATCH_KEY, .key = lun_sync_key(y) }));
	lun_sync_close(y);
}

static void test_target_silent(struct lun_sync *y)
{
	int64_t from;
	char block[512] = { 0 };

	printf("freeze the target\n");
	check(getchar() == '\n');
	from = now_ms();
	check(lun_sync_pwrite(y, block, sizeof(block), 0, false) == -ENOLINK);
	check(now_ms() - from >= 1000 && now_ms() - from < 4000);
	printf("thaw the target\n");
	check(getchar() == '\n');
	check(fence((struct pr_match){ .kind = PR_MATCH_KEY, .key = lun_sync_key(y) }));
	lun_sync_close(y);
}

static void test_target_dies(struct lun_sync *y)
{
	char block[512] = { 0 };

	printf("kill the target\n");
	check(getchar() == '\n');
	check(lun_sync_pwrite(y, block, sizeof(block), 0, false) == -ENOLINK);
	pump_to(LUN_CONTROL_DOWN);
	check(lun_control_fence(control, NULL, 0, on_fenced, NULL, NULL) == -EPERM);
	lun_sync_close(y);
}

int main(int argc, char **argv)
{
	struct lun_sync *y;

	setlinebuf(stdout);
	check(argc == 3 && lun_url_parse(argv[1], &url, NULL) == 0);
	backing = open(argv[2], O_RDONLY | O_CLOEXEC);
	check(backing >= 0);
	test_unused(false);
	test_unused(false);
	hold_the_lun();
	test_unused(true);
	y = admitted(0);
	test_io(y);
	test_living_through_a_fence(y);
	test_fenced(y);
	test_deadline(admitted(0));
	test_break(admitted(0));
	test_target_silent(admitted(1500));
	test_target_dies(admitted(0));
	lun_control_free(control);
	printf("passed\n");
	return 0;
}
