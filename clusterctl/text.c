/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterctl/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clusterctl/table.h"

/* ---- reading what may be absent ---------------------------------------------------------------- */

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static long long num(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const char *num_text(const json_t *o, const char *key, char buf[24])
{
	if (!json_is_integer(json_object_get(o, key)))
		return "";
	(void)snprintf(buf, 24, "%lld", num(o, key));
	return buf;
}

/* How long ago an RFC 3339 time was, in a word. */
static const char *ago(const char *rfc3339, char buf[24])
{
	struct tm tm = { 0 };
	long s;

	if (!strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm))
		return "";
	s = (long)(time(NULL) - timegm(&tm));
	s = s < 0 ? 0 : s;
	if (s < 120)
		(void)snprintf(buf, 24, "%lds", s);
	else if (s < 120 * 60)
		(void)snprintf(buf, 24, "%ldm", s / 60);
	else if (s < 48 * 3600)
		(void)snprintf(buf, 24, "%ldh", s / 3600);
	else
		(void)snprintf(buf, 24, "%ldd", s / 86400);
	return buf;
}

/* ---- status -------------------------------------------------------------------------------------- */

static bool all_well(const json_t *result)
{
	const json_t *list, *o;
	size_t i;

	if (!json_is_true(json_object_get(json_object_get(result, "cluster"), "quorate")))
		return false;
	list = json_object_get(result, "nodes");
	json_array_foreach((json_t *)list, i, o)
	{
		if (strcmp(str(o, "state"), "up") != 0)
			return false;
	}
	list = json_object_get(result, "resources");
	json_array_foreach((json_t *)list, i, o)
	{
		if (strcmp(str(o, "state"), "online") != 0 && strcmp(str(o, "state"), "offline"))
			return false;
	}
	return true;
}

static void status_head(const json_t *result, FILE *out)
{
	const json_t *c = json_object_get(result, "cluster");
	long long lose = num(c, "can_lose");

	(void)fprintf(out, "cluster %s: ", *str(c, "name") ? str(c, "name") : "(none)");
	if (!json_is_true(json_object_get(c, "quorate")))
		(void)fprintf(out, "NO QUORUM%s%s\n", *str(c, "reason") ? ": " : "",
			      str(c, "reason"));
	else
		(void)fprintf(out, "%s; can lose %lld more node%s; manager %s\n",
			      all_well(result) ? "healthy" : "NOT HEALTHY", lose,
			      lose == 1 ? "" : "s",
			      *str(c, "manager") ? str(c, "manager") : "none");
}

static void status_nodes(const json_t *result, FILE *out)
{
	struct table t;
	const json_t *o;
	size_t i;

	table_init(&t, 4);
	table_row(&t, "NODE", "STATE", "SINCE", "REASON", NULL);
	json_array_foreach(json_object_get(result, "nodes"), i, o)
	{
		char since[24];

		table_row(&t, str(o, "name"), str(o, "state"), ago(str(o, "since"), since),
			  str(o, "reason"), NULL);
	}
	(void)fputc('\n', out);
	table_print(&t, out);
	table_fini(&t);
}

/* One line per volume while every node's mode is the same; else one per node. */
static void status_volume(struct table *t, const json_t *v)
{
	const json_t *nodes = json_object_get(v, "nodes"), *o;
	const char *coordinator = str(v, "coordinator");
	size_t i;

	json_array_foreach((json_t *)nodes, i, o)
	{
		char since[24];

		table_row(t, i ? "" : str(v, "name"), i ? "" : coordinator, str(o, "node"),
			  str(o, "mode"), ago(str(o, "since"), since), str(o, "reason"), NULL);
	}
	if (json_array_size(nodes) == 0)
		table_row(t, str(v, "name"), coordinator, "", "", "", "", NULL);
}

static void status_volumes(const json_t *result, FILE *out)
{
	const json_t *list = json_object_get(result, "volumes"), *o;
	struct table t;
	size_t i;

	if (!json_array_size(list))
		return;
	table_init(&t, 6);
	table_row(&t, "VOLUME", "COORDINATOR", "NODE", "MODE", "SINCE", "REASON", NULL);
	json_array_foreach((json_t *)list, i, o) status_volume(&t, o);
	(void)fputc('\n', out);
	table_print(&t, out);
	table_fini(&t);
}

static void status_resources(const json_t *result, FILE *out)
{
	const json_t *list = json_object_get(result, "resources"), *o;
	struct table t;
	size_t i;

	if (!json_array_size(list))
		return;
	table_init(&t, 6);
	table_row(&t, "RESOURCE", "TYPE", "STATE", "NODE", "SINCE", "REASON", NULL);
	json_array_foreach((json_t *)list, i, o)
	{
		char since[24], where[140];

		(void)snprintf(where, sizeof(where), "%s%s%s", str(o, "node"),
			       *str(o, "target") ? " -> " : "", str(o, "target"));
		table_row(&t, str(o, "name"), str(o, "type"), str(o, "state"), where,
			  ago(str(o, "since"), since), str(o, "reason"), NULL);
	}
	(void)fputc('\n', out);
	table_print(&t, out);
	table_fini(&t);
}

void text_status(const json_t *result, FILE *out)
{
	status_head(result, out);
	status_nodes(result, out);
	status_volumes(result, out);
	status_resources(result, out);
}

/* ---- list, show, explain ------------------------------------------------------------------------- */

void text_list(const json_t *result, FILE *out)
{
	struct table t;
	const json_t *o;
	size_t i;

	table_init(&t, 4);
	table_row(&t, "NAME", "TYPE", "STATE", "NODE", NULL);
	json_array_foreach(json_object_get(result, "objects"), i, o) table_row(
		&t, str(o, "name"), str(o, "type"), str(o, "state"), str(o, "node"), NULL);
	table_print(&t, out);
	table_fini(&t);
}

static void show_value(const json_t *value, int indent, FILE *out);

static void show_object(const json_t *o, int indent, FILE *out)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)o, key, value)
	{
		if (json_is_array(value) && !json_array_size(value))
			continue;
		(void)fprintf(out, "%*s%s:", indent, "", key);
		show_value(value, indent + 2, out);
	}
}

static void show_value(const json_t *value, int indent, FILE *out)
{
	const json_t *o;
	size_t i;

	if (json_is_object(value)) {
		(void)fputc('\n', out);
		show_object(value, indent, out);
	} else if (json_is_array(value)) {
		(void)fputc('\n', out);
		json_array_foreach((json_t *)value, i, o)
		{
			(void)fprintf(out, "%*s-", indent, "");
			show_value(o, indent + 2, out);
		}
	} else if (json_is_string(value)) {
		(void)fprintf(out, " %s\n", json_string_value(value));
	} else if (json_is_null(value)) {
		(void)fputs(" -\n", out);
	} else {
		char *text = json_dumps(value, JSON_ENCODE_ANY);

		(void)fprintf(out, " %s\n", text ? text : "?");
		free(text);
	}
}

void text_show(const json_t *result, FILE *out)
{
	show_object(result, 0, out);
}

void text_explain(const json_t *result, FILE *out)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(result, "explanation"), i, o)
	{
		if (json_string_value(o))
			(void)fprintf(out, "%s\n", json_string_value(o));
	}
}

/* ---- events, progress, results -------------------------------------------------------------------- */

void text_event(const json_t *event, FILE *out)
{
	char duration[32] = "";

	if (json_is_integer(json_object_get(event, "duration_ms")))
		(void)snprintf(duration, sizeof(duration), " (%lld ms)", num(event, "duration_ms"));
	if (!*str(event, "event"))
		return;
	(void)fprintf(out, "%s  %s%s%s", str(event, "time"), str(event, "event"),
		      *str(event, "object") ? " " : "", str(event, "object"));
	if (*str(event, "node") && strcmp(str(event, "node"), str(event, "object")) != 0)
		(void)fprintf(out, " (%s)", str(event, "node"));
	(void)fprintf(out, "%s%s%s\n", *str(event, "cause") ? ": " : "", str(event, "cause"),
		      duration);
}

void text_progress(const json_t *line, FILE *out)
{
	const json_t *p = json_object_get(line, "progress");

	if (json_is_integer(json_object_get(p, "percent")))
		(void)fprintf(out, "%s %lld%%", str(p, "message"), num(p, "percent"));
	else
		(void)fprintf(out, "%s", str(p, "message"));
}

void text_message(const json_t *result, FILE *out)
{
	const char *message = str(json_object_get(result, "done"), "message");

	if (*message)
		(void)fprintf(out, "%s\n", message);
}

void text_move(const json_t *result, FILE *out)
{
	const json_t *done = json_object_get(result, "done");
	char total[24], gap[24];

	text_message(result, out);
	if (*num_text(done, "total_ms", total))
		(void)fprintf(out, "total %s ms", total);
	if (*num_text(done, "blackout_ms", gap))
		(void)fprintf(out, ", blackout %s ms (%s)", gap, str(done, "blackout_source"));
	if (json_is_integer(json_object_get(done, "total_ms")))
		(void)fputc('\n', out);
}

void text_check(const json_t *result, FILE *out)
{
	const json_t *check = json_object_get(result, "check"), *line;
	const json_t *findings = json_object_get(check, "findings");
	long long more = num(check, "damages") - (long long)json_array_size(findings);
	size_t i;

	(void)fprintf(out, "%s: %s\n", str(check, "volume"), str(check, "message"));
	json_array_foreach((json_t *)(uintptr_t)findings, i, line)
	{
		if (json_string_value(line))
			(void)fprintf(out, "  %s\n", json_string_value(line));
	}
	if (more > 0)
		(void)fprintf(out, "  and %lld more\n", more);
}
