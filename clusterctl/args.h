/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line, taken apart and held against the verb table. */
#ifndef CL_CLUSTERCTL_ARGS_H
#define CL_CLUSTERCTL_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "clusterctl/verbs.h"
#include "lib/error.h"
#include "lib/vec.h"

#define ARGS_OPTIONS_MAX 200

struct arg_option {
	char *name, *value; /* value "" for a flag */
};

CL_DEFINE_VEC(arg_option_vec, struct arg_option);

struct args {
	const struct verb *verb; /* NULL with help or version alone */
	const char *operands[4];
	unsigned n_operands;
	struct arg_option_vec options; /* of the verb; owned */
	bool json, help, version;
	int64_t timeout_ms; /* -1 = not given, 0 = for ever */
};

/*
 * -EINVAL with one line and a hint. ret is filled as far as it got also on failure, so that --json
 * is known; args_fini() in any case. Reads the file of `--file`.
 */
int args_parse(int argc, char *const argv[], struct args *ret, struct cl_error *err);
void args_fini(struct args *args);

/* Last value of an option, NULL when it was not given. */
const char *args_option(const struct args *args, const char *name);

/* "500ms", "30", "30s", "2m". -EINVAL. */
int args_parse_duration(const char *text, int64_t *ret_ms);

#endif
