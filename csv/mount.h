/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mounting and unmounting, without ever touching what is mounted: a stat() could wait for ever. */
#ifndef CL_CSV_MOUNT_H
#define CL_CSV_MOUNT_H

#include <stdbool.h>

#include "lib/error.h"

/* Opens /dev/fuse and mounts it on root/name (made when missing; a dead mount of an earlier keeper
 * is removed first). *ret_fd: non-blocking, close-on-exec. */
int csv_mount(const char *root, const char *name, int *ret_fd, struct cl_error *err);

/* Lazily: what is still open there gets ENOTCONN once the connection ends. */
int csv_unmount(const char *root, const char *name);

/* Linux >= 6.9: a restart of csvd goes unnoticed. Else the keeper aborts the connection. */
bool csv_kernel_can_resend(void);

/* One letter or digit, then letters, digits, '.', '_', '-'; at most 63. */
bool csv_name_valid(const char *name);

#endif
