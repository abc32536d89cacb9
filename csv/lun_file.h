/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device as one regular file, for a tool that runs as a child of this process. See offline.h. */
#ifndef CL_CSV_LUN_FILE_H
#define CL_CSV_LUN_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csv/fs_dev.h"
#include "lib/error.h"

struct lun_file;

struct lun_file_config {
	struct fs_dev *dev;
	bool writable;
	const _Atomic int64_t *lease_until_ms; /* as coord_config's */
	/* Whether to end at once; asked when stop_fd is readable. stop_fd -1: never. */
	bool (*stop)(void *user);
	int stop_fd;
	void *user;
};

/* Mounts it in a directory of its own. */
int lun_file_new(const struct lun_file_config *config, struct lun_file **ret, struct cl_error *err);
void lun_file_free(struct lun_file *file); /* accepts NULL */

const char *lun_file_path(const struct lun_file *file);

/*
 * Run a program on it: argv[i] == NULL ends; the word "@" becomes the file's path. Serves the file until
 * the program has ended; each line that it prints (stdout and stderr) goes to `line`. Returns its exit
 * status, or negative: -EIO the device failed, the lease is over or it was stopped (it was killed),
 * -ECHILD it died of a signal, others: could not be run.
 */
int lun_file_run(struct lun_file *file, const char *const *argv,
		 void (*line)(void *user, const char *text), void *user, struct cl_error *err);

#endif
