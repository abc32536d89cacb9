/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/volume_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/view.h"
#include "lib/cleanup.h"
#include "lib/walltime.h"
#include "resources/vm_spec.h"

static json_t *number(uint64_t x)
{
	return json_integer((json_int_t)x);
}

/* Text of another process may be any bytes; jansson refuses what is no UTF-8. */
static json_t *any_text(const char *s)
{
	json_t *json = json_string(s);

	return json ? json : json_string("(not readable)");
}

static const char *name_of(const struct state *state, uint32_t id)
{
	const struct state_node *n = state_node(state, id);

	return n ? n->name : "?";
}

/* ---- counters -------------------------------------------------------------------------------------- */

static const char *path_word(Vol__Path path)
{
	switch (path) {
	case VOL__PATH__PATH_DIRECT:
		return "direct";
	case VOL__PATH__PATH_BLOCK_REDIRECTED:
		return "block-redirected";
	case VOL__PATH__PATH_FILE_REDIRECTED:
		return "file-system-redirected";
	default:
		return "unknown";
	}
}

static json_t *io_json(const Vol__Io *io)
{
	json_t *buckets = json_array();

	for (size_t b = 0; b < io->n_bucket && b < 64; b++)
		(void)json_array_append_new(buckets, number(io->bucket[b]));
	return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "path", path_word(io->path), "direction",
			 io->writes ? "write" : "read", "operations", number(io->operations),
			 "bytes", number(io->bytes), "microseconds", number(io->microseconds),
			 "below_2_to_n_us", buckets);
}

static json_t *counters_json(const Vol__Counters *c)
{
	json_t *io = json_array();

	for (size_t i = 0; i < c->n_io && i < 64; i++)
		(void)json_array_append_new(io, io_json(c->io[i]));
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "io", io, "recalls_sent",
			 number(c->recalls_sent), "recalls_answered", number(c->recalls_answered),
			 "recalls_busy", number(c->recalls_busy), "commits", number(c->commits),
			 "fences", number(c->fences), "resends", number(c->resends));
}

/* ---- one node's report ------------------------------------------------------------------------------- */

static json_t *session_json(const struct state *state, const Vol__Session *s)
{
	return json_pack("{s:s,s:o,s:o,s:i,s:i}", "node", name_of(state, s->node), "incarnation",
			 number(s->incarnation), "state", any_text(s->state), "open_files",
			 (int)s->open_files, "locks", (int)s->locks);
}

static json_t *coordinator_part(const struct state *state, const Vol__Report *r)
{
	json_t *sessions = json_array();

	for (size_t i = 0; i < r->n_sessions; i++)
		(void)json_array_append_new(sessions, session_json(state, r->sessions[i]));
	return json_pack("{s:i,s:o,s:o,s:o}", "open_files", (int)r->open_files, "sessions",
			 sessions, "size_bytes", number(r->size_bytes), "free_bytes",
			 number(r->free_bytes));
}

json_t *volume_report_json(const struct state *state, const Vol__Report *r)
{
	json_t *json = json_pack("{s:i}", "waiting", (int)r->waiting);

	if (json && r->counters)
		(void)json_object_set_new(json, "counters", counters_json(r->counters));
	if (json && r->coordinates)
		(void)json_object_set_new(json, "coordinator", coordinator_part(state, r));
	if (json && r->target)
		(void)json_object_set_new(json, "pr_type", json_integer(r->target->pr_type));
	return json;
}

/* ---- show ------------------------------------------------------------------------------------------------ */

static json_t *since(uint64_t wall_ms)
{
	char buf[CL_RFC3339_SIZE];

	return json_string(cl_rfc3339((int64_t)wall_ms, buf));
}

static const char *abort_word(Vol__Target__Abort abort)
{
	switch (abort) {
	case VOL__TARGET__ABORT__ABORT_NONE:
		return "not implemented";
	case VOL__TARGET__ABORT__ABORT_GOOD:
		return "works; not shown to drain";
	case VOL__TARGET__ABORT__ABORT_LATE:
		return "works; does not drain";
	case VOL__TARGET__ABORT__ABORT_DRAINS:
		return "drains";
	default:
		return "not tried";
	}
}

static const char *unmap_word(Vol__Target__Unmap unmap)
{
	switch (unmap) {
	case VOL__TARGET__UNMAP__UNMAP_NONE:
		return "not implemented";
	case VOL__TARGET__UNMAP__UNMAP_CHECKED:
		return "fenced";
	case VOL__TARGET__UNMAP__UNMAP_UNCHECKED:
		return "not fenced";
	default:
		return "not tried";
	}
}

static const char *aptpl_word(Vol__Target__Aptpl aptpl)
{
	switch (aptpl) {
	case VOL__TARGET__APTPL__APTPL_NONE:
		return "not implemented";
	case VOL__TARGET__APTPL__APTPL_TAKEN:
		return "accepted";
	default:
		return "not tried";
	}
}

/* Found out by trying when the volume was made; null for a volume that is older than this, or no LUN. */
static json_t *target_json(const struct state_volume *v)
{
	Vol__Target *t = v->probed_len ? vol__target__unpack(NULL, v->probed_len, v->probed) : NULL;
	json_t *json = NULL;

	if (t && t->pr_type)
		json = json_pack("{s:o,s:o,s:o,s:i,s:o,s:o,s:i,s:o,s:o,s:s,s:s,s:s,s:b}", "vendor",
				 any_text(t->vendor), "product", any_text(t->product), "revision",
				 any_text(t->revision), "pr_type", (int)t->pr_type, "type8",
				 any_text(t->type8), "type6", any_text(t->type6), "block_size",
				 (int)t->block_size, "blocks", number(t->blocks), "tested",
				 since(t->tested_ms), "abort", abort_word(t->abort), "unmap",
				 unmap_word(t->unmap), "aptpl", aptpl_word(t->aptpl), "unsafe",
				 t->unsafe);
	if (t)
		vol__target__free_unpacked(t, NULL);
	return json ? json : json_null();
}

/* "/ClusterStorage/vol1/web.raw": whose second part is the volume, wherever it is mounted. */
static bool lies_on(const char *path, const char *volume)
{
	const char *name = strchr(path + 1, '/');
	size_t n = strlen(volume);

	return path[0] == '/' && name && strncmp(name + 1, volume, n) == 0 && name[1 + n] == '/';
}

static void files_of(json_t *list, const struct state_resource *r, const char *volume)
{
	_cleanup_(vm_spec_fini) struct vm_spec spec = { 0 };

	if (vm_spec_parse(&spec, (const char *)r->spec, NULL) < 0)
		return;
	for (unsigned i = 0; i < spec.n_disks; i++)
		if (lies_on(spec.disks[i].path, volume))
			(void)json_array_append_new(
				list, json_pack("{s:s,s:o,s:s}", "vm", r->name, "path",
						any_text(spec.disks[i].path), "format",
						spec.disks[i].qcow2 ? "qcow2" : "raw"));
}

static json_t *files_json(const struct state *state, const char *volume)
{
	json_t *list = json_array();

	for (size_t i = 0; i < state->resources.n; i++)
		files_of(list, &state->resources.v[i], volume);
	return list;
}

/* Each node's row gets its report's counters; what only the coordinator knows goes to the volume. */
static void merge(json_t *show, const json_t *reports)
{
	json_t *nodes = json_object_get(show, "nodes"), *row;
	size_t i;

	json_array_foreach(nodes, i, row)
	{
		const json_t *report =
			json_object_get(reports, json_string_value(json_object_get(row, "node")));
		const json_t *part = json_object_get(report, "coordinator");

		if (json_object_get(report, "error"))
			(void)json_object_set(row, "error", json_object_get(report, "error"));
		if (json_object_get(report, "waiting"))
			(void)json_object_set(row, "waiting", json_object_get(report, "waiting"));
		if (json_object_get(report, "counters"))
			(void)json_object_set(row, "counters", json_object_get(report, "counters"));
		if (json_object_get(report, "pr_type"))
			(void)json_object_set(show, "pr_type", json_object_get(report, "pr_type"));
		if (part)
			(void)json_object_update(show, (json_t *)(uintptr_t)part);
	}
}

json_t *view_show_volume(const struct node *node, const char *name, const json_t *reports)
{
	const struct state_volume *v = state_volume(node_state(node), name);
	json_t *show = v ? view_show(node, name) : NULL;

	if (!show)
		return NULL;
	(void)json_object_set_new(show, "probe", target_json(v));
	(void)json_object_set_new(show, "files", files_json(node_state(node), name));
	merge(show, reports);
	return show;
}

/* ---- the rest ------------------------------------------------------------------------------------------- */

json_t *volume_check_json(const char *volume, const Vol__JobAnswer *a)
{
	json_t *findings = json_array();

	for (size_t i = 0; i < a->n_findings; i++)
		(void)json_array_append_new(findings, any_text(a->findings[i]));
	return json_pack("{s:{s:s,s:b,s:o,s:o,s:o}}", "check", "volume", volume, "clean",
			 a->code == 0, "message", any_text(a->text), "damages", number(a->damages),
			 "findings", findings);
}

uint64_t volume_open_files(const json_t *reports, char *who, size_t size)
{
	const json_t *report, *session;
	const char *node;
	uint64_t n = 0;
	size_t i, at = 0;

	who[0] = 0;
	json_object_foreach((json_t *)(uintptr_t)reports, node, report)
	{
		json_array_foreach(
			json_object_get(json_object_get(report, "coordinator"), "sessions"), i,
			session)
		{
			json_int_t open =
				json_integer_value(json_object_get(session, "open_files"));

			if (open <= 0)
				continue;
			n += (uint64_t)open;
			if (at < size)
				at += (size_t)snprintf(
					who + at, size - at, "%s%s: %lld", at ? ", " : "",
					json_string_value(json_object_get(session, "node")),
					(long long)open);
		}
	}
	return n;
}
