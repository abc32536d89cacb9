/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterctl/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/assert.h"

void table_init(struct table *table, unsigned columns)
{
	cl_assert(columns && columns <= TABLE_COLUMNS_MAX);
	*table = (struct table){ .columns = columns };
}

/* clusterctl is a short-lived process: it dies when there is no memory. */
static void table_cell(struct table *table, const char *text)
{
	table->cells = reallocarray(table->cells, table->n + 1, sizeof(char *));
	cl_assert(table->cells);
	table->cells[table->n] = strdup(text && *text ? text : "-");
	cl_assert(table->cells[table->n]);
	table->n++;
}

void table_row(struct table *table, ...)
{
	va_list ap;

	va_start(ap, table);
	for (unsigned i = 0; i < table->columns; i++)
		table_cell(table, va_arg(ap, const char *));
	va_end(ap);
}

void table_print(const struct table *table, FILE *out)
{
	int width[TABLE_COLUMNS_MAX] = { 0 };

	for (size_t i = 0; i < table->n; i++) {
		int len = (int)strlen(table->cells[i]);

		if (len > width[i % table->columns])
			width[i % table->columns] = len;
	}
	for (size_t i = 0; i < table->n; i++) {
		unsigned col = (unsigned)(i % table->columns);

		if (col + 1 == table->columns)
			(void)fprintf(out, "%s\n", table->cells[i]);
		else
			(void)fprintf(out, "%-*s  ", width[col], table->cells[i]);
	}
}

void table_fini(struct table *table)
{
	for (size_t i = 0; i < table->n; i++)
		free(table->cells[i]);
	free(table->cells);
}
