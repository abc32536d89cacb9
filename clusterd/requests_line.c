/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests about the database as a whole: `init --force`. */
#include "config.h"

#include <string.h>
#include <sys/random.h>

#include "clusterd/requests_int.h"

/* All values of an option that may stand there again and again. */
static size_t option_values(const struct ask *ask, const char *name, const char **values,
			    size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < ask->msg->n_options && n < max; i++)
		if (strcmp(ask->msg->options[i]->name, name) == 0)
			values[n++] = ask->msg->options[i]->value;
	return n;
}

int do_init_force(struct ask *ask, struct cl_error *err)
{
	const char *without[STATE_NODES_MAX];
	uint8_t random[16];
	struct node_request req = {
		.verb = NODE_INIT,
		.object = "",
		.force = true,
		.volumes = without,
		.uuid = random,
	};

	req.n_volumes = option_values(ask, "without", without, STATE_NODES_MAX);
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return cl_error_errno(err, -errno, "getrandom");
	return request_core(ask, &req, err);
}
