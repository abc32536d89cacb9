/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A real directory as the protocol of iscsi/witness_dir.h wants it: system calls, nothing else. Blocks. */
#ifndef CL_ISCSI_WITNESS_DIR_OS_H
#define CL_ISCSI_WITNESS_DIR_OS_H

#include "iscsi/witness_dir.h"

struct wdir_real {
	int dir;
	int fd;			  /* of the file that was written last, */
	char name[WDIR_NAME_MAX]; /* and its name */
};

/* path: absolute. 0 or -errno; then there is nothing to close. */
int wdir_real_open(struct wdir_real *real, const char *path, struct wdir_os *ret,
		   struct cl_error *err);
void wdir_real_close(struct wdir_real *real);

#endif
