/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Columns for people: as wide as their widest cell, the last one as it comes. */
#ifndef CL_CLUSTERCTL_TABLE_H
#define CL_CLUSTERCTL_TABLE_H

#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 10

struct table {
	unsigned columns;
	char **cells;
	size_t n;
};

/* The first row is the header. Cells are copied; a short row is an error of the caller. */
void table_init(struct table *table, unsigned columns);
void table_row(struct table *table, ...) __attribute__((sentinel)); /* columns texts, then NULL */
void table_print(const struct table *table, FILE *out);
void table_fini(struct table *table);

#endif
