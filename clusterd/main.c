/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clusterd: options and configuration; everything else is in daemon.c. Runs in the foreground. */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/daemon.h"
#include "lib/log.h"

static const char usage[] = "usage: clusterd [--config FILE] [--check] [--debug] [--version]\n"
			    "\n"
			    "  --config FILE  instead of " CONF_PATH "\n"
			    "  --check        check the configuration, print it, and end\n"
			    "  --debug        log everything\n"
			    "  --version      print the version and end\n"
			    "\n"
			    "exit: 0 told to end, 1 failed, 2 usage or configuration,\n"
			    "      78 a file of this boot is damaged: reboot\n";

struct options {
	const char *config;
	bool check, debug;
};

/* -1 = go on, else the exit code. */
static int read_options(int argc, char *argv[], struct options *ret)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, 'k' },
		{ "debug", no_argument, NULL, 'd' },	    { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },	    { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:", longs, NULL)) >= 0) {
		switch (c) {
		case 'c':
			ret->config = optarg;
			break;
		case 'k':
			ret->check = true;
			break;
		case 'd':
			ret->debug = true;
			break;
		case 'h':
			(void)fputs(usage, stdout);
			return 0;
		case 'v':
			(void)printf("clusterd %s\n", PACKAGE_VERSION);
			return 0;
		default:
			(void)fputs(usage, stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	(void)fprintf(stderr, "clusterd: unexpected operand '%s'\n", argv[optind]);
	return 2;
}

int main(int argc, char *argv[])
{
	struct options options = { .config = CONF_PATH };
	struct cl_error err = CL_ERROR_INIT;
	struct conf conf;
	int code = read_options(argc, argv, &options);

	if (code >= 0)
		return code;
	if (conf_read(options.config, &conf, &err) < 0) {
		(void)fprintf(stderr, "clusterd: %s\n", err.msg);
		return 2;
	}
	if (options.check) {
		conf_print(&conf, stdout);
		return 0;
	}
	cl_log_init("clusterd", options.debug ? CL_LOG_DEBUG : (enum cl_log_level)conf.log_level);
	return daemon_run(&conf, options.config);
}
