/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One request to the clusterd of this node, and its answers. Blocks. */
#ifndef CL_CLUSTERCTL_CLIENT_H
#define CL_CLUSTERCTL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "clusterctl/args.h"
#include "lib/error.h"

/* Each line before the last (progress, `events --follow`). */
typedef void (*client_line_fn)(void *user, const json_t *line);

struct client_error {
	struct cl_error err;
	char object[64];
};

/*
 * 0 and *ret (owned by the caller; a JSON object) or a negative code: clusterd's own, -CL_EUNREACH,
 * -CL_EPENDING at the timeout (0 = none), -CL_ECORRUPT for an answer that cannot be read.
 */
int client_ask(const struct args *args, int64_t timeout_ms, client_line_fn line, void *user,
	       json_t **ret, struct client_error *err);

#endif
