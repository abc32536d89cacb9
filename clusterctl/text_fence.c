/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `fence history`, `fence test` as text. */
#include "config.h"

#include "clusterctl/json_text.h"
#include "clusterctl/table.h"
#include "clusterctl/text.h"

static const char *took_text(const json_t *o, char buf[24])
{
	if (!json_is_integer(json_object_get(o, "duration_ms")))
		return "";
	(void)snprintf(buf, 24, "%.1f s", (double)json_number(o, "duration_ms") / 1000);
	return buf;
}

void text_fence_test(const json_t *result, FILE *out)
{
	struct table t;
	const json_t *o;
	size_t i;

	table_init(&t, 6);
	table_row(&t, "LEVEL", "AGENT", "ACTION", "RESULT", "TOOK", "SAID", NULL);
	json_array_foreach(json_object_get(json_object_get(result, "fence_test"), "agents"), i, o)
	{
		char took[24], level[24];

		(void)snprintf(level, sizeof(level), "%lld", json_number(o, "level"));
		table_row(&t, level, json_text(o, "agent"), json_text(o, "action"),
			  json_text(o, "result"), took_text(o, took), json_text(o, "text"), NULL);
	}
	table_print(&t, out);
	table_fini(&t);
}

void text_fences(const json_t *result, FILE *out)
{
	struct table t;
	const json_t *o;
	size_t i;

	table_init(&t, 8);
	table_row(&t, "TIME", "NODE", "RESULT", "TOOK", "METHOD", "BY", "WHY", "SAID", NULL);
	json_array_foreach(json_object_get(result, "fences"), i, o)
	{
		char took[24];

		table_row(&t, json_text(o, "time"), json_text(o, "node"), json_text(o, "result"),
			  took_text(o, took), json_text(o, "method"), json_text(o, "by"),
			  json_text(o, "why"), json_text(o, "text"), NULL);
	}
	table_print(&t, out);
	table_fini(&t);
}
