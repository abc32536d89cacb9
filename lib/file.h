/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small files as a whole. For state under /run: nothing here is synced to disk.
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

#endif
