/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small files as a whole. For state under /run, unless the function says that it syncs.
 */
#ifndef CL_LIB_FILE_H
#define CL_LIB_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/error.h"

/*
 * The file's contents, malloc'd and followed by a NUL that *ret_len (may be NULL) does not count.
 * -EFBIG when it is longer than max. Works for /proc, too.
 */
int cl_file_read(const char *path, size_t max, char **ret, size_t *ret_len, struct cl_error *err);

/* Replace the file: readers see the old text or the new one, never a part. */
int cl_file_write(const char *path, const char *text, mode_t mode, struct cl_error *err);

/* The same for any bytes, and durable when it returns: blocks for as long as the disk takes. */
int cl_file_write_synced(const char *path, const void *data, size_t len, mode_t mode,
			 struct cl_error *err);

#endif
