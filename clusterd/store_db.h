/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sqlite side of store.h: synchronous, one thread at a time. Used by store.c and by tests. */
#ifndef CL_CLUSTERD_STORE_DB_H
#define CL_CLUSTERD_STORE_DB_H

#include "clusterd/store.h"

struct store_db;

/* anew: as for store_open(). */
int store_db_open(const char *dir, const char *anew, struct store_db **ret,
		  struct store_image *ret_image, struct cl_error *err);
void store_db_close(struct store_db *db);

/* begin, any number of puts, commit (returns when durable). A failure of any is final. */
int store_db_begin(struct store_db *db, struct cl_error *err);
int store_db_put(struct store_db *db, const struct store_write *w, struct cl_error *err);
int store_db_commit(struct store_db *db, struct cl_error *err);

#endif
