/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `show` of a volume, and `check`. */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "clusterctl/json_text.h"
#include "clusterctl/table.h"
#include "clusterctl/text.h"
#include "lib/bytes.h"

static json_t *list_of(const json_t *o, const char *key)
{
	return json_object_get(o, key);
}

static bool is_true(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

/* ---- the head ------------------------------------------------------------------------------------ */

static void head(const json_t *v, FILE *out)
{
	char size[CL_BYTES_SIZE], room[CL_BYTES_SIZE], since[24];
	const char *coordinator = json_text(v, "coordinator");

	(void)fprintf(out, "%s: cluster shared volume", json_text(v, "name"));
	if (json_object_get(v, "size_bytes"))
		(void)fprintf(out, ", %s, %s free",
			      cl_bytes((uint64_t)json_number(v, "size_bytes"), size),
			      cl_bytes((uint64_t)json_number(v, "free_bytes"), room));
	(void)fprintf(out, "\ncoordinator %s, epoch %lld", *coordinator ? coordinator : "none",
		      json_number(v, "epoch"));
	if (*json_text(v, "since"))
		(void)fprintf(out, ", since %s", json_ago(json_text(v, "since"), since));
	(void)fprintf(out, "%s%s%s%s%s%s\n", *json_text(v, "reason") ? ": " : "",
		      json_text(v, "reason"), *json_text(v, "moving_to") ? "; moving to " : "",
		      json_text(v, "moving_to"),
		      is_true(v, "redirected") ? "; redirected by the operator" : "",
		      is_true(v, "maintenance") ? "; in maintenance" : "");
	(void)fprintf(out, "uuid %s\nLUN %s\n", json_text(v, "uuid"), json_text(v, "target"));
}

static void probe(const json_t *v, FILE *out)
{
	const json_t *p = json_object_get(v, "probe");
	char since[24];

	if (!json_is_object(p))
		return;
	(void)fprintf(out, "target %s %s %s", json_text(p, "vendor"), json_text(p, "product"),
		      json_text(p, "revision"));
	if (*json_text(p, "tested"))
		(void)fprintf(out, ", tried %s ago", json_ago(json_text(p, "tested"), since));
	(void)fprintf(out, ": reservations of type %lld\n  type 8 %s\n", json_number(p, "pr_type"),
		      json_text(p, "type8"));
	if (*json_text(p, "type6"))
		(void)fprintf(out, "  type 6 %s\n", json_text(p, "type6"));
	if (*json_text(p, "abort"))
		(void)fprintf(out, "  PREEMPT AND ABORT %s; UNMAP %s; APTPL %s\n",
			      json_text(p, "abort"), json_text(p, "unmap"), json_text(p, "aptpl"));
	if (is_true(p, "unsafe"))
		(void)fputs("  UNSAFE: this target cannot fence; made with --unsafe-unfenceable\n",
			    out);
}

static void debts(const json_t *v, FILE *out)
{
	json_t *d;
	size_t i;

	json_array_foreach(list_of(v, "fence_debts"), i, d)(void)
		fprintf(out, "a fence of %s is owed\n", json_text(d, "node"));
}

/* ---- tables ---------------------------------------------------------------------------------------- */

static const json_t *session_of(const json_t *v, const char *node)
{
	json_t *s;
	size_t i;

	json_array_foreach(list_of(v, "sessions"), i, s)
	{
		if (strcmp(json_text(s, "node"), node) == 0)
			return s;
	}
	return NULL;
}

static const char *count(const json_t *o, const char *key, char buf[24])
{
	if (!json_object_get(o, key))
		return "";
	(void)snprintf(buf, 24, "%lld", json_number(o, key));
	return buf;
}

static void nodes(const json_t *v, FILE *out)
{
	struct table t;
	json_t *n;
	size_t i;

	table_init(&t, 7);
	table_row(&t, "NODE", "MODE", "SINCE", "SESSION", "OPEN", "WAITING", "REASON", NULL);
	json_array_foreach(list_of(v, "nodes"), i, n)
	{
		const json_t *s = session_of(v, json_text(n, "node"));
		char since[24], open[24], waiting[24];
		const char *error = json_text(n, "error");

		table_row(&t, json_text(n, "node"), json_text(n, "mode"),
			  json_ago(json_text(n, "since"), since), json_text(s, "state"),
			  count(s, "open_files", open), count(n, "waiting", waiting),
			  *error ? error : json_text(n, "reason"), NULL);
	}
	(void)fputc('\n', out);
	table_print(&t, out);
	table_fini(&t);
}

static void io_row(struct table *t, const char *node, const json_t *io)
{
	char operations[24], bytes[24], mean[24];
	long long n = json_number(io, "operations");

	(void)snprintf(mean, sizeof(mean), "%lld us", n ? json_number(io, "microseconds") / n : 0);
	table_row(t, node, json_text(io, "path"), json_text(io, "direction"),
		  count(io, "operations", operations),
		  cl_bytes((uint64_t)json_number(io, "bytes"), bytes), mean, NULL);
}

static void io(const json_t *v, FILE *out)
{
	struct table t;
	json_t *n, *row;
	size_t i, k;

	table_init(&t, 6);
	table_row(&t, "NODE", "I/O", "", "COUNT", "BYTES", "MEAN", NULL);
	json_array_foreach(list_of(v, "nodes"), i, n)
	{
		json_array_foreach(list_of(json_object_get(n, "counters"), "io"), k, row)
			io_row(&t, k ? "" : json_text(n, "node"), row);
	}
	(void)fputc('\n', out);
	table_print(&t, out);
	table_fini(&t);
}

static void events(const json_t *v, FILE *out)
{
	struct table t;
	json_t *n;
	size_t i;

	table_init(&t, 7);
	table_row(&t, "NODE", "COMMITS", "FENCES", "RECALLS SENT", "ANSWERED", "BUSY", "RESENDS",
		  NULL);
	json_array_foreach(list_of(v, "nodes"), i, n)
	{
		const json_t *c = json_object_get(n, "counters");
		char a[24], b[24], d[24], e[24], f[24], g[24];

		if (c)
			table_row(&t, json_text(n, "node"), count(c, "commits", a),
				  count(c, "fences", b), count(c, "recalls_sent", d),
				  count(c, "recalls_answered", e), count(c, "recalls_busy", f),
				  count(c, "resends", g), NULL);
	}
	(void)fputc('\n', out);
	table_print(&t, out);
	table_fini(&t);
}

static void files(const json_t *v, FILE *out)
{
	struct table t;
	json_t *f;
	size_t i;

	if (!json_array_size(list_of(v, "files")))
		return;
	table_init(&t, 3);
	table_row(&t, "VM", "FILE", "FORMAT", NULL);
	json_array_foreach(list_of(v, "files"), i, f) table_row(
		&t, json_text(f, "vm"), json_text(f, "path"), json_text(f, "format"), NULL);
	(void)fputc('\n', out);
	table_print(&t, out);
	table_fini(&t);
}

void text_show_volume(const json_t *v, FILE *out)
{
	head(v, out);
	probe(v, out);
	debts(v, out);
	nodes(v, out);
	io(v, out);
	events(v, out);
	files(v, out);
}

/* ---- check ------------------------------------------------------------------------------------------ */

void text_check(const json_t *result, FILE *out)
{
	const json_t *check = json_object_get(result, "check"), *line;
	const json_t *findings = json_object_get(check, "findings");
	long long more = json_number(check, "damages") - (long long)json_array_size(findings);
	size_t i;

	(void)fprintf(out, "%s: %s\n", json_text(check, "volume"), json_text(check, "message"));
	json_array_foreach((json_t *)(uintptr_t)findings, i, line)
	{
		if (json_string_value(line))
			(void)fprintf(out, "  %s\n", json_string_value(line));
	}
	if (more > 0)
		(void)fprintf(out, "  and %lld more\n", more);
}
