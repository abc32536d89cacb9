/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterctl/text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "clusterctl/json_text.h"
#include "clusterctl/table.h"

/* ---- reading what may be absent ---------------------------------------------------------------- */

static const char *num_text(const json_t *o, const char *key, char buf[24])
{
	if (!json_is_integer(json_object_get(o, key)))
		return "";
	(void)snprintf(buf, 24, "%lld", json_number(o, key));
	return buf;
}

/* ---- status -------------------------------------------------------------------------------------- */

/* Reached by every node, in whatever way, and fenceable; one in maintenance is not meant to be. */
static bool volume_is_well(const json_t *volume)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(volume, "nodes"), i, o)
	{
		const char *mode = json_text(o, "mode");

		if (strcmp(mode, "paused") == 0 ||
		    strncmp(json_text(o, "reason"), "UNSAFE", strlen("UNSAFE")) == 0)
			return false;
		if (strcmp(mode, "unavailable") == 0 &&
		    strncmp(json_text(o, "reason"), "maintenance", strlen("maintenance")) != 0)
			return false;
	}
	return true;
}

static const char *witness_state(const json_t *result)
{
	return json_text(json_object_get(json_object_get(result, "cluster"), "witness"), "state");
}

static bool all_well(const json_t *result)
{
	const json_t *list, *o;
	size_t i;

	if (!json_is_true(json_object_get(json_object_get(result, "cluster"), "quorate")))
		return false;
	if (strcmp(witness_state(result), "lost") == 0)
		return false;
	list = json_object_get(result, "nodes");
	json_array_foreach((json_t *)list, i, o)
	{
		if (strcmp(json_text(o, "state"), "up") != 0)
			return false;
	}
	list = json_object_get(result, "volumes");
	json_array_foreach((json_t *)list, i, o)
	{
		if (!volume_is_well(o))
			return false;
	}
	list = json_object_get(result, "resources");
	json_array_foreach((json_t *)list, i, o)
	{
		if (strcmp(json_text(o, "state"), "online") != 0 &&
		    strcmp(json_text(o, "state"), "offline"))
			return false;
	}
	return true;
}

static void status_witness(const json_t *w, FILE *out)
{
	const char *since = json_text(w, "since");
	char ago[24];

	(void)fprintf(out, "the witness is lost%s%s: %s\n", *since ? " for " : "",
		      *since ? json_ago(since, ago) : "", json_text(w, "reason"));
}

static void status_head(const json_t *result, FILE *out)
{
	const json_t *c = json_object_get(result, "cluster"), *alarm;
	size_t i;
	long long lose = json_number(c, "can_lose");

	(void)fprintf(out, "cluster %s: ", *json_text(c, "name") ? json_text(c, "name") : "(none)");
	if (!json_is_true(json_object_get(c, "quorate")))
		(void)fprintf(out, "NO QUORUM%s%s\n", *json_text(c, "reason") ? ": " : "",
			      json_text(c, "reason"));
	else
		(void)fprintf(out, "%s; can lose %lld more node%s; manager %s\n",
			      all_well(result) ? "healthy" : "NOT HEALTHY", lose,
			      lose == 1 ? "" : "s",
			      *json_text(c, "manager") ? json_text(c, "manager") : "none");
	if (strcmp(witness_state(result), "lost") == 0)
		status_witness(json_object_get(c, "witness"), out);
	if (json_is_true(json_object_get(c, "quorate")) && *json_text(c, "reason"))
		(void)fprintf(out, "%s\n", json_text(c, "reason"));
	json_array_foreach(json_object_get(c, "alarms"), i, alarm)(void)
		fprintf(out, "ALARM: %s\n", json_string_value(alarm));
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

		table_row(&t, json_text(o, "name"), json_text(o, "state"),
			  json_ago(json_text(o, "since"), since), json_text(o, "reason"), NULL);
	}
	(void)fputc('\n', out);
	table_print(&t, out);
	table_fini(&t);
}

/* One line per volume while every node's mode is the same; else one per node. */
static void status_volume(struct table *t, const json_t *v)
{
	const json_t *nodes = json_object_get(v, "nodes"), *o;
	const char *coordinator = json_text(v, "coordinator");
	size_t i;

	json_array_foreach((json_t *)nodes, i, o)
	{
		char since[24];

		table_row(t, i ? "" : json_text(v, "name"), i ? "" : coordinator,
			  json_text(o, "node"), json_text(o, "mode"),
			  json_ago(json_text(o, "since"), since), json_text(o, "reason"), NULL);
	}
	if (json_array_size(nodes) == 0)
		table_row(t, json_text(v, "name"), coordinator, "", "", "", "", NULL);
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

		(void)snprintf(where, sizeof(where), "%s%s%s", json_text(o, "node"),
			       *json_text(o, "target") ? " -> " : "", json_text(o, "target"));
		table_row(&t, json_text(o, "name"), json_text(o, "type"), json_text(o, "state"),
			  where, json_ago(json_text(o, "since"), since), json_text(o, "reason"),
			  NULL);
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
	json_array_foreach(json_object_get(result, "objects"), i, o)
		table_row(&t, json_text(o, "name"), json_text(o, "type"), json_text(o, "state"),
			  json_text(o, "node"), NULL);
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
	if (strcmp(json_text(result, "type"), "volume") == 0)
		text_show_volume(result, out);
	else
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
		(void)snprintf(duration, sizeof(duration), " (%lld ms)",
			       json_number(event, "duration_ms"));
	if (!*json_text(event, "event"))
		return;
	(void)fprintf(out, "%s  %s%s%s", json_text(event, "time"), json_text(event, "event"),
		      *json_text(event, "object") ? " " : "", json_text(event, "object"));
	if (*json_text(event, "node") &&
	    strcmp(json_text(event, "node"), json_text(event, "object")) != 0)
		(void)fprintf(out, " (%s)", json_text(event, "node"));
	if (*json_text(event, "user"))
		(void)fprintf(out, " by %s", json_text(event, "user"));
	(void)fprintf(out, "%s%s%s\n", *json_text(event, "cause") ? ": " : "",
		      json_text(event, "cause"), duration);
}

void text_token(const json_t *result, FILE *out)
{
	const json_t *t = json_object_get(result, "token");

	(void)fprintf(out,
		      "%s\n\nGood once, for %lld minutes. On the new machine:\n"
		      "  clusterctl join %s --token %s\n",
		      json_text(t, "token"), (json_number(t, "expires_s") + 59) / 60,
		      json_text(t, "node"), json_text(t, "token"));
}

void text_progress(const json_t *line, FILE *out)
{
	const json_t *p = json_object_get(line, "progress");

	if (json_is_integer(json_object_get(p, "percent")))
		(void)fprintf(out, "%s %lld%%", json_text(p, "message"), json_number(p, "percent"));
	else
		(void)fprintf(out, "%s", json_text(p, "message"));
}

void text_message(const json_t *result, FILE *out)
{
	const char *message = json_text(json_object_get(result, "done"), "message");

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
		(void)fprintf(out, ", blackout %s ms (%s)", gap,
			      json_text(done, "blackout_source"));
	if (json_is_integer(json_object_get(done, "total_ms")))
		(void)fputc('\n', out);
}
