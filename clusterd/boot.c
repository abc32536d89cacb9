/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/boot.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "lib/cleanup.h"
#include "lib/file.h"

#define FORM "incarnation %" PRIu64 " node %" PRIu32 " token %" PRIu32 " consensus %" PRIu32
#define SCAN "incarnation %" SCNu64 " node %" SCNu32 " token %" SCNu32 " consensus %" SCNu32

int boot_read(const char *dir, struct boot *ret, struct cl_error *err)
{
	char path[PATH_MAX];
	_cleanup_free_ char *text = NULL;
	struct boot b;
	int r;

	(void)snprintf(path, sizeof(path), "%s/incarnation", dir);
	r = cl_file_read(path, 4096, &text, NULL, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (sscanf(text, SCAN, &b.incarnation, &b.id, &b.token_ms, &b.consensus_ms) != 4 ||
	    b.id < 1 || b.id > 255) {
		(void)cl_error_set(err, -CL_ECORRUPT, "%s: cannot be understood", path);
		return cl_error_hint(err, "reboot this node: what runs on it is not known");
	}
	*ret = b;
	return 1;
}

int boot_write(const char *dir, const struct boot *b, struct cl_error *err)
{
	char path[PATH_MAX], text[200];

	(void)snprintf(path, sizeof(path), "%s/incarnation", dir);
	(void)snprintf(text, sizeof(text), FORM "\n", b->incarnation, b->id, b->token_ms,
		       b->consensus_ms);
	return cl_file_write(path, text, 0600, err);
}
