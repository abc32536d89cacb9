/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csvd's command line. csv-keeper is who writes it. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "csv/client.h"
#include "csv/coord.h"
#include "csv/csvd_int.h"
#include "csv/store.h"
#include "lib/log.h"
#include "lib/sm.h"

static void trace(const struct sm *sm, int prev, const char *why)
{
	log_debug("%s '%s': %s -> %s (%s)", sm->machine, sm->id, sm->states[prev].name, sm_name(sm),
		  why);
}

struct options {
	int keeper_fd, beat_fd;
	bool lock, debug;
};

#ifdef CL_DEFECTS
#define DEFECT_USAGE " [--defect NAME]..."
#else
#define DEFECT_USAGE ""
#endif

static int usage(const char *argv0)
{
	(void)fprintf(stderr,
		      "usage: %s --keeper-fd N --beat-fd N [--socket PATH] [--mount-root DIR] "
		      "[--no-mlock] [--debug]" DEFECT_USAGE "\n       (csv-keeper runs it)\n",
		      argv0);
	return 2;
}

static bool set_defect(struct csvd_defects *d, const char *name)
{
#ifdef CL_DEFECTS
	const struct {
		const char *name;
		unsigned *where, bit;
	} all[] = {
		{ "early-answer", &d->coord, COORD_DEFECT_EARLY_ANSWER },
		{ "no-record", &d->coord, COORD_DEFECT_NO_RECORD },
		{ "no-grace", &d->coord, COORD_DEFECT_NO_GRACE },
		{ "no-kill", &d->coord, COORD_DEFECT_NO_KILL },
		{ "no-proxy-wait", &d->coord, COORD_DEFECT_NO_PROXY_WAIT },
		{ "append-by-client", &d->coord, COORD_DEFECT_APPEND },
		{ "no-recall", &d->coord, COORD_DEFECT_NO_RECALL },
		{ "no-barrier-word", &d->coord, COORD_DEFECT_NO_BARRIER_WORD },
		{ "no-space-word", &d->coord, COORD_DEFECT_NO_SPACE_WORD },
		{ "no-drain", &d->client, CLIENT_DEFECT_NO_DRAIN },
		{ "no-hold", &d->client, CLIENT_DEFECT_NO_HOLD },
		{ "no-fail", &d->client, CLIENT_DEFECT_NO_FAIL },
		{ "no-barrier", &d->store, STORE_DEFECT_NO_BARRIER },
		{ "no-fence-wait", &d->no_fence_wait, 1 },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(name, all[i].name)) {
			*all[i].where |= all[i].bit;
			log_warning("defect '%s': a guard is left out", name);
			return true;
		}
#else
	(void)d;
	(void)name;
#endif
	return false;
}

static int parse(struct csvd *d, struct options *opt, int argc, char **argv)
{
	static const struct option options[] = {
		{ "keeper-fd", required_argument, NULL, 'k' },
		{ "beat-fd", required_argument, NULL, 'b' },
		{ "socket", required_argument, NULL, 's' },
		{ "mount-root", required_argument, NULL, 'm' },
		{ "no-mlock", no_argument, NULL, 'n' },
		{ "debug", no_argument, NULL, 'd' },
		{ "defect", required_argument, NULL, 'D' },
		{ "lost-before", required_argument, NULL, 'l' },
		{ "no-resend", no_argument, NULL, 'r' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'k')
			opt->keeper_fd = (int)strtol(optarg, NULL, 10);
		else if (c == 'b')
			opt->beat_fd = (int)strtol(optarg, NULL, 10);
		else if (c == 's')
			d->socket = optarg;
		else if (c == 'm')
			d->mount_root = optarg;
		else if (c == 'n')
			opt->lock = false;
		else if (c == 'd')
			opt->debug = true;
		else if (c == 'l')
			d->lost_before_ms = strtoull(optarg, NULL, 10);
		else if (c == 'r')
			d->can_resend = false;
		else if (c != 'D' || !set_defect(&d->defects, optarg))
			return usage(argv[0]);
	}
	return opt->keeper_fd < 0 || opt->beat_fd < 0 || optind != argc ? usage(argv[0]) : 0;
}

/* Everything resident before the first read of /dev/fuse: see front.h. */
static void lock_memory(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	(void)setrlimit(RLIMIT_MEMLOCK, &all);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		log_warning("mlockall: %s; a kill of csvd at a bad moment can be seen as EIO",
			    strerror(errno));
}

int main(int argc, char **argv)
{
	struct csvd d = { .socket = "/run/clusterd/csvd.sock",
			  .mount_root = "/ClusterStorage",
			  .can_resend = true };
	struct options opt = { .keeper_fd = -1, .beat_fd = -1, .lock = true };
	struct cl_error err = CL_ERROR_INIT;
	int r;

	cl_log_init("csvd", CL_LOG_INFO);
	r = parse(&d, &opt, argc, argv);
	if (r)
		return r;
	if (opt.debug)
		cl_log_init("csvd", CL_LOG_DEBUG);
	sm_trace = trace;
	if (opt.lock)
		lock_memory();
	if (csvd_begin(&d, opt.keeper_fd, opt.beat_fd, &err) < 0) {
		log_crit("%s", err.msg);
		return 1;
	}
	cl_loop_run(d.loop);
	csvd_end(&d);
	return 0;
}
