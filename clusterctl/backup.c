/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterctl/backup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/file.h"

int backup_prepare(struct args *args, struct cl_error *err)
{
	_cleanup_free_ char *path = NULL;
	struct arg_option o = { 0 };

	if (strcmp(args->verb->name, "backup") == 0)
		args->n_operands = 0;
	if (strcmp(args->verb->name, "restore") != 0)
		return 0;
	path = realpath(args->operands[0], NULL); /* clusterd works elsewhere */
	if (!path)
		return cl_error_errno(err, -errno, "%s", args->operands[0]);
	o.name = strdup("file");
	o.value = cl_steal(path);
	if (!o.name || arg_option_vec_push(&args->options, o) < 0) {
		free(o.name);
		free(o.value);
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	args->n_operands = 0;
	return 0;
}

static int sync_file(const char *path, struct cl_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return cl_error_errno(err, -errno, "%s", path);
	return 0;
}

/* It holds what `show` tells an administrator, and no more than he may read. */
int backup_write(const char *path, const json_t *result, struct cl_error *err)
{
	_cleanup_free_ char *text = json_dumps(result, JSON_INDENT(1));
	int r;

	if (!text || !json_object_get(result, "backup"))
		return cl_error_set(err, -CL_ECORRUPT, "clusterd's answer is no backup");
	r = cl_file_write(path, text, 0600, err);
	return r == 0 ? sync_file(path, err) : r;
}
