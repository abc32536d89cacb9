/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A memory that must not be used again: damaged, an old copy, or of a line of history that --force has
 * ended. It is never deleted: it goes to DIR/aside-N, with the reason in words in aside-N/why, and the
 * node begins with an empty one under a new identity (store_open() with .anew).
 */
#ifndef CL_CLUSTERD_STORE_ASIDE_H
#define CL_CLUSTERD_STORE_ASIDE_H

#include <stddef.h>

#include "lib/error.h"

#define STORE_WHY_MAX 480

/*
 * Say that the database in dir is not to be used by the next process: it writes DIR/cluster.condemned and
 * syncs it. May block.
 */
int store_condemn(const char *dir, const char *why, struct cl_error *err);

/* 1 with the reason when it was, 0 when not. */
int store_condemned(const char *dir, char why[STORE_WHY_MAX], struct cl_error *err);

/*
 * Move the database of dir away. Nobody may have it open. An interrupted one can be done again: the guard
 * is copied and stays, so that a database that is half moved is noticed at the next start. ret_where:
 * the directory's name.
 */
int store_set_aside(const char *dir, const char *why, char *ret_where, size_t size,
		    struct cl_error *err);

#endif
