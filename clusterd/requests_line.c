/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests about the database as a whole: `init --force`, `backup`, `restore`. */
#include "config.h"

#include <string.h>
#include <sys/random.h>

#include "clusterd/backup.h"
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

int do_backup(struct ask *ask, struct cl_error *err)
{
	struct node_self self;

	node_get_self(ask->rq->d->node, &self);
	if (self.line == 0)
		return cl_error_set(err, -CL_EREFUSED, "this node is in no cluster");
	ask_answer(ask, backup_make(ask->rq->d->node, node_state(ask->rq->d->node)));
	return 0;
}

/* The file is named by an option: operands are names. */
int do_restore(struct ask *ask, struct cl_error *err)
{
	const char *path = ask_option(ask, "file");
	struct node_request req = { .verb = NODE_RESTORE, .object = "" };
	struct backup backup;
	uint8_t random[16];
	int r;

	if (!path || path[0] != '/')
		return cl_error_set(err, -EINVAL, "restore: a file has to be named");
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return cl_error_errno(err, -errno, "getrandom");
	r = backup_read(path, &backup, err);
	if (r < 0)
		return r;
	req.spec = backup.state;
	req.spec_len = backup.len;
	req.line = backup.line;
	req.uuid = random;
	req.force = ask_option(ask, "force") != NULL;
	r = request_core(ask, &req, err);
	backup_fini(&backup);
	return r;
}
