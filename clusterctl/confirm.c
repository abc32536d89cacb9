/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterctl/confirm.h"

#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

static int typed_is(const char *name, FILE *in, struct cl_error *err)
{
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;

	if (getline(&line, &cap, in) >= 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (strcmp(line, name) == 0)
			return 0;
	}
	(void)cl_error_set(err, -EINVAL, "that is not '%.63s': nothing was confirmed", name);
	return cl_error_hint(err, "--yes does not ask");
}

int confirm_typed(struct args *args, FILE *in, FILE *out, struct cl_error *err)
{
	if (strcmp(args->verb->name, "fence confirm") != 0 || args_option(args, "yes"))
		return 0;
	(void)fprintf(
		out,
		"You say that you have seen %s to be off. What it ran starts on other nodes; if\n"
		"it is not off, the same VMs may execute twice until its run lease has ended.\n"
		"Type its name again: ",
		args->operands[0]);
	(void)fflush(out);
	return typed_is(args->operands[0], in, err);
}
