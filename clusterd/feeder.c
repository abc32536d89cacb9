/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clusterd-feeder: feeds the watchdog as long as what runs here may run, and freezes it when that is over
 * (quorum/feeder.h decides). It stands in for a clusterd that is dead or hung; so it is small, locked in
 * memory, of real-time priority, speaks to nobody, and waits for nothing: two files of a few bytes are all
 * that it is told by.
 */
#include "config.h"

#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clusterd/feeder_files.h"
#include "clusterd/feeder_slice.h"
#include "clusterd/feeder_watchdog.h"
#include "lib/log.h"
#include "lib/monotime.h"

#define PRIORITY 50
#define TIMEOUT_S 3 /* docs/timing.md: shorter than any lease by a second at least */
#define TIMEOUT_MAX_S 600

struct guard {
	struct feeder feeder;
	struct feeder_files files;
	struct feeder_slice slice;
	struct feeder_watchdog watchdog;
	int64_t starved_ms; /* not petted since; 0 = it is */
	bool starving;	    /* .. and that was said */
};

static volatile sig_atomic_t told_to_end;

static void on_term(int signo)
{
	(void)signo;
	told_to_end = 1;
}

static void freeze(const struct guard *g, bool on, bool populated)
{
	int r = feeder_slice_freeze(&g->slice, on);

	if (r < 0)
		log_error("%s/cgroup.freeze: %s", g->slice.path, strerror(-r));
	else if (populated)
		log_warning(on ? "what runs here may not run any more, and nobody ended it: frozen"
			       : "it may run again: thawed");
}

/*
 * What is killed while it is frozen uses some time, too, and stands then (FEEDER_QUIET_MS): nothing to wake anybody for.
 */
static void pet(struct guard *g, bool may, int64_t now_ms)
{
	if (may) {
		feeder_watchdog_pet(&g->watchdog);
		g->starved_ms = 0;
		g->starving = false;
		return;
	}
	if (!g->starved_ms)
		g->starved_ms = now_ms;
	if (g->starving || now_ms - g->starved_ms <= FEEDER_QUIET_MS + FEEDER_LOOK_MS)
		return;
	g->starving = true;
	log_crit("what was frozen uses processor time: the watchdog is not petted any more");
}

static void arm(struct guard *g, int64_t now_ms)
{
	if (!g->feeder.armed || !feeder_watchdog_arm(&g->watchdog, now_ms))
		return;
	(void)feeder_files_say(&g->files, g->watchdog.timeout_ms, g->watchdog.device);
}

static void turn(struct guard *g)
{
	struct feeder_view view = { 0 };
	struct feeder_orders orders;
	struct feeder_slice_use use;

	feeder_files_look(&g->files, cl_mono_ms(cl_mono_now()), &view);
	if (feeder_slice_find(&g->slice, g->files.run_directory)) {
		/* By an earlier process of ours. */
		g->feeder.frozen = feeder_slice_frozen(&g->slice);
		g->feeder.frozen_ms = view.now_ms;
	}
	use = feeder_slice_look(&g->slice);
	view.populated = use.populated;
	view.cpu_usec = use.cpu_usec;
	orders = feeder_look(&g->feeder, &view);
	if (orders.freeze)
		freeze(g, true, use.populated);
	if (orders.thaw)
		freeze(g, false, use.populated);
	arm(g, view.now_ms);
	pet(g, orders.pet, view.now_ms);
}

static void become_real_time(void)
{
	const struct sched_param param = { .sched_priority = PRIORITY };

	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		log_warning("mlockall: %m");
	if (sched_setscheduler(0, SCHED_RR, &param) < 0)
		log_warning("no real-time priority: %m");
}

/* A journal that is stuck shall cost a line, not the watchdog. */
static void never_wait_for_the_log(void)
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st) == 0 && (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode)))
		(void)fcntl(STDERR_FILENO, F_SETFL, O_WRONLY | O_NONBLOCK);
}

static void end_in_order(struct guard *g)
{
	int timeout_ms = g->watchdog.timeout_ms;

	if (!feeder_watchdog_end(&g->watchdog)) {
		/* The next process has to go on petting it, whatever the lease says: the file stays as it is. */
		log_crit("%s cannot be turned off: it resets the machine in %d ms, unless a feeder is "
			 "started again",
			 g->watchdog.device, timeout_ms);
		return;
	}
	(void)feeder_files_say(&g->files, -1, "");
	log_notice("ends in order: the watchdog is off, nothing is guarded any more");
}

static int run(struct guard *g)
{
	const struct timespec pause = { 0, FEEDER_LOOK_MS * 1000000L };
	struct cl_error err = CL_ERROR_INIT;

	if (feeder_files_own(&g->files, &g->feeder.armed, &err) < 0) {
		log_crit("%s", err.msg);
		return 1;
	}
	while (!told_to_end) {
		turn(g);
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	}
	/* What is frozen stays so; the next process goes on from there. */
	end_in_order(g);
	return 0;
}

static const char usage[] =
	"usage: clusterd-feeder [--run-directory DIR] [--device PATH] [--timeout SECONDS]\n"
	"\n"
	"  --run-directory DIR  clusterd's (default /run/clusterd)\n"
	"  --device PATH        the watchdog, or a FIFO whose reader is one; '' for none\n"
	"                       (default /dev/watchdog)\n"
	"  --timeout SECONDS    after which it resets the machine (default 3)\n";

/* -1 = go on, else the exit code. */
static int read_options(int argc, char **argv, const char **run_directory, const char **device,
			long *timeout_s)
{
	static const struct option longs[] = {
		{ "run-directory", required_argument, NULL, 'r' },
		{ "device", required_argument, NULL, 'd' },
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	char *end = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'r')
			*run_directory = optarg;
		else if (c == 'd')
			*device = optarg;
		else if (c == 't')
			*timeout_s = strtol(optarg, &end, 10);
		else
			break;
	}
	if (c == -1 && optind == argc && (!end || !*end) && *timeout_s >= 1 &&
	    *timeout_s <= TIMEOUT_MAX_S)
		return -1;
	(void)fputs(usage, c == 'h' ? stdout : stderr);
	return c == 'h' ? 0 : 2;
}

int main(int argc, char **argv)
{
	const char *run_directory = "/run/clusterd", *device = "/dev/watchdog";
	long timeout_s = TIMEOUT_S;
	int code = read_options(argc, argv, &run_directory, &device, &timeout_s);
	struct guard g = { 0 };

	if (code >= 0)
		return code;
	cl_log_init("clusterd-feeder", CL_LOG_INFO);
	(void)signal(SIGTERM, on_term);
	(void)signal(SIGINT, on_term);
	(void)signal(SIGPIPE, SIG_IGN);
	feeder_files_init(&g.files, run_directory);
	feeder_slice_init(&g.slice);
	feeder_watchdog_init(&g.watchdog, device, (int)timeout_s);
	never_wait_for_the_log();
	become_real_time();
	code = run(&g);
	feeder_slice_fini(&g.slice);
	feeder_files_fini(&g.files);
	return code;
}
