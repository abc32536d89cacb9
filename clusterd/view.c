/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/view.h"

#include <stdarg.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/walltime.h"

/* ---- small things ------------------------------------------------------------------------------- */

/* Text from the wire may be any bytes; jansson refuses what is no UTF-8. */
static json_t *any_text(const char *s)
{
	json_t *json = json_string(s);

	return json ? json : json_string("(not readable)");
}

static json_t *text_or_null(const char *s)
{
	return s && *s ? any_text(s) : json_null();
}

static json_t *since(int64_t wall_ms)
{
	char buf[CL_RFC3339_SIZE];

	return wall_ms > 0 ? json_string(cl_rfc3339(wall_ms, buf)) : json_null();
}

static json_t *number(uint64_t x)
{
	return json_integer((json_int_t)x);
}

static const char *node_name(const struct state *state, uint32_t id)
{
	const struct state_node *n = id ? state_node(state, id) : NULL;

	return n ? n->name : NULL;
}

/* ---- the four parts of status --------------------------------------------------------------------- */

static json_t *cluster_json(const struct node *node, const struct state *state)
{
	struct node_self self;

	node_get_self(node, &self);
	if (state->stopped && !self.reason[0])
		(void)snprintf(self.reason, sizeof(self.reason),
			       "stopped: no VM is started before `clusterctl start cluster`");
	return json_pack("{s:o,s:b,s:o,s:o,s:i,s:o,s:o,s:o}", "name",
			 text_or_null(state->cluster_name), "quorate", (int)self.quorate, "epoch",
			 number(self.term), "manager",
			 text_or_null(self.quorate ? node_name(state, self.leader) : NULL),
			 "can_lose", (int)self.can_lose, "reason", text_or_null(self.reason),
			 "since", since(self.since_ms), "witness", view_witness(node));
}

static json_t *node_json(const struct node *node, const struct state_node *n)
{
	char reason[STATE_REASON_MAX] = "";
	const char *word = node_get_node_word(node, n, reason);

	return json_pack("{s:s,s:s,s:o,s:o,s:o}", "name", n->name, "state", word, "incarnation",
			 number(n->incarnation), "reason", text_or_null(reason), "since",
			 since(n->since_ms));
}

static json_t *mode_json(const struct node *node, const struct state_node *n,
			 const struct state_volume *v)
{
	enum state_volume_mode mode = STATE_MODE_UNAVAILABLE;
	char reason[STATE_REASON_MAX] = "";
	int64_t since_ms = 0;

	if (!node_get_volume_mode(node, n->id, v->name, &mode, reason, &since_ms)) {
		mode = STATE_MODE_UNAVAILABLE;
		(void)strcpy(reason, "nothing heard of it from this node");
	}
	return json_pack("{s:s,s:s,s:o,s:o}", "node", n->name, "mode", state_mode_name(mode),
			 "reason", text_or_null(reason), "since", since(since_ms));
}

static json_t *volume_json(const struct node *node, const struct state *state,
			   const struct state_volume *v)
{
	json_t *nodes = json_array();

	for (size_t i = 0; i < state->nodes.n; i++)
		if (state->nodes.v[i].phase != STATE_NODE_KNOWN)
			(void)json_array_append_new(nodes, mode_json(node, &state->nodes.v[i], v));
	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o}", "name", v->name, "coordinator",
			 text_or_null(node_name(state, v->coordinator)), "epoch", number(v->epoch),
			 "reason", text_or_null(v->reason), "since", since(v->since_ms), "nodes",
			 nodes);
}

/* Where it is, in the sense of docs/cli.md: nowhere unless somebody has it now. */
static const char *resource_node(const struct state *state, const struct state_resource *r)
{
	switch (r->phase) {
	case STATE_STARTING:
	case STATE_ONLINE:
	case STATE_STOPPING:
	case STATE_MIGRATING:
	case STATE_SWITCHING:
	case STATE_HANDOVER:
	case STATE_ABORTING:
		return node_name(state, r->owner);
	default:
		return NULL;
	}
}

static json_t *resource_json(const struct node *node, const struct state *state,
			     const struct state_resource *r)
{
	char reason[STATE_REASON_MAX] = "";
	const char *word = node_get_resource_word(node, r, reason);

	return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:i,s:o,s:o}", "name", r->name, "type", r->type,
			 "state", word, "node", text_or_null(resource_node(state, r)), "target",
			 text_or_null(node_name(state, r->target)), "generation",
			 number(r->generation), "priority", (int)r->priority, "reason",
			 text_or_null(reason), "since", since(node_get_resource_since(node, r)));
}

json_t *view_status(const struct node *node)
{
	const struct state *state = node_state(node);
	json_t *nodes = json_array(), *volumes = json_array(), *resources = json_array();

	for (size_t i = 0; i < state->nodes.n; i++)
		(void)json_array_append_new(nodes, node_json(node, &state->nodes.v[i]));
	for (size_t i = 0; i < state->volumes.n; i++)
		(void)json_array_append_new(volumes,
					    volume_json(node, state, &state->volumes.v[i]));
	for (size_t i = 0; i < state->resources.n; i++)
		(void)json_array_append_new(resources,
					    resource_json(node, state, &state->resources.v[i]));
	return json_pack("{s:o,s:o,s:o,s:o}", "cluster", cluster_json(node, state), "nodes", nodes,
			 "volumes", volumes, "resources", resources);
}

/* ---- list ------------------------------------------------------------------------------------------ */

static void list_add(json_t *list, const char *name, const char *type, const char *word,
		     const char *where)
{
	(void)json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:o}", "name", name, "type", type,
						    "state", word, "node", text_or_null(where)));
}

static bool wanted(const char *type, const char *this)
{
	return !type || strcmp(type, this) == 0;
}

json_t *view_list(const struct node *node, const char *type)
{
	const struct state *state = node_state(node);
	char reason[STATE_REASON_MAX];
	json_t *list = json_array();

	for (size_t i = 0; wanted(type, "node") && i < state->nodes.n; i++) {
		const struct state_node *n = &state->nodes.v[i];

		list_add(list, n->name, "node", node_get_node_word(node, n, reason), NULL);
	}
	for (size_t i = 0; wanted(type, "volume") && i < state->volumes.n; i++) {
		const struct state_volume *v = &state->volumes.v[i];

		list_add(list, v->name, "volume", v->coordinator ? "online" : "waiting",
			 node_name(state, v->coordinator));
	}
	for (size_t i = 0; i < state->resources.n; i++) {
		const struct state_resource *r = &state->resources.v[i];

		if (wanted(type, r->type))
			list_add(list, r->name, r->type, node_get_resource_word(node, r, reason),
				 resource_node(state, r));
	}
	return json_pack("{s:o}", "objects", list);
}

/* ---- show ------------------------------------------------------------------------------------------ */

static json_t *uuid_json(const uint8_t uuid[16])
{
	static const char hex[] = "0123456789abcdef";
	char text[37], *p = text;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[uuid[i] >> 4];
		*p++ = hex[uuid[i] & 15];
	}
	*p = '\0';
	return json_string(text);
}

/* As they stand in the database; values that may be secrets are not shown. */
static json_t *agent_options(const struct state_agent *a)
{
	json_t *list = json_array();

	for (const char *o = a->options; *o; o += strcspn(o, "\n") + 1) {
		size_t key = strcspn(o, "="), len = strcspn(o, "\n");
		char text[STATE_AGENT_OPTIONS_MAX];

		if (state_agent_may_show(o, key))
			(void)snprintf(text, sizeof(text), "%.*s", (int)len, o);
		else
			(void)snprintf(text, sizeof(text), "%.*s=(not shown)", (int)key, o);
		(void)json_array_append_new(list, any_text(text));
	}
	return list;
}

static json_t *agents_json(const struct state *state, uint32_t node)
{
	size_t n;
	const struct state_agent *a = state_agents(state, node, &n);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(
			list, json_pack("{s:i,s:s,s:i,s:i,s:o}", "level", (int)a[i].level, "agent",
					a[i].name, "limit_s", (int)a[i].timeout_s, "retries",
					(int)a[i].retries, "options", agent_options(&a[i])));
	return list;
}

static json_t *show_node(const struct node *node, const struct state_node *n)
{
	json_t *json = node_json(node, n);

	if (json)
		(void)json_object_update_new(
			json,
			json_pack("{s:s,s:i,s:o,s:s,s:s,s:o,s:i,s:b,s:o,s:b,s:i,s:b}", "type",
				  "node", "id", (int)n->id, "database", uuid_json(n->uuid),
				  "storage_address", n->storage_address, "migration_address",
				  n->migration_address, "memory_bytes", number(n->memory_bytes),
				  "cpus", (int)n->cpus, "draining", (int)n->draining,
				  "fence_agents", agents_json(node_state(node), n->id),
				  "fence_keep_off", (int)n->fence_keep_off, "fenced_of_late",
				  (int)n->fenced, "quarantined", (int)n->quarantined));
	return json;
}

static json_t *debts_json(const struct state *state, const char *volume)
{
	json_t *list = json_array();

	for (size_t i = 0; i < state->debts.n; i++) {
		const struct state_debt *d = &state->debts.v[i];

		if (strcmp(d->volume, volume) == 0)
			(void)json_array_append_new(
				list,
				json_pack("{s:o,s:o,s:o}", "node",
					  text_or_null(node_name(state, d->node)), "incarnation",
					  number(d->incarnation), "since", since(d->since_ms)));
	}
	return list;
}

static json_t *show_volume(const struct node *node, const struct state_volume *v)
{
	const struct state *state = node_state(node);
	json_t *json = volume_json(node, state, v);

	if (json)
		(void)json_object_update_new(
			json,
			json_pack("{s:s,s:o,s:s,s:o,s:b,s:b,s:b,s:o}", "type", "volume", "uuid",
				  uuid_json(v->uuid), "target", v->url, "moving_to",
				  text_or_null(node_name(state, v->moving_to)), "placed",
				  (int)v->placed, "redirected", (int)v->redirected, "maintenance",
				  (int)v->maintenance, "fence_debts", debts_json(state, v->name)));
	return json;
}

/* The specification in its canonical form, line by line. */
static json_t *spec_json(const struct state_resource *r)
{
	_cleanup_free_ char *text = strndup((const char *)r->spec, r->spec_len);
	json_t *list = json_array();
	char *save = NULL;

	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save))
		(void)json_array_append_new(list, any_text(l));
	return list;
}

static json_t *show_resource(const struct node *node, const struct state_resource *r)
{
	const struct state *state = node_state(node);
	json_t *json = resource_json(node, state, r), *volumes = json_array();

	for (size_t i = 0; i < r->n_volumes; i++)
		(void)json_array_append_new(volumes, json_string(r->volumes[i]));
	if (json)
		(void)json_object_update_new(
			json,
			json_pack("{s:s,s:s,s:b,s:o,s:o,s:i,s:i,s:o,s:o}", "phase",
				  state_phase_name(r->phase), "start_after",
				  state_start_after_name(r->start_after), "wanted", (int)r->wanted,
				  "reserved_generation", number(r->reserved), "memory_bytes",
				  number(r->memory_bytes), "cpus", (int)r->cpus, "failures",
				  (int)r->failures, "volumes", volumes, "spec", spec_json(r)));
	return json;
}

json_t *view_show(const struct node *node, const char *name)
{
	const struct state *state = node_state(node);
	const struct state_node *n = state_node_by_name(state, name);
	const struct state_volume *v = state_volume(state, name);
	const struct state_resource *r = state_resource(state, name);

	if (n)
		return show_node(node, n);
	if (v)
		return show_volume(node, v);
	return r ? show_resource(node, r) : NULL;
}

bool view_exists(const struct node *node, const char *name)
{
	const struct state *state = node_state(node);

	return state_node_by_name(state, name) || state_volume(state, name) ||
	       state_resource(state, name);
}

/* ---- explain --------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void say(json_t *list, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)json_array_append_new(list, json_vsprintf(fmt, ap));
	va_end(ap);
}

static void explain_debts(json_t *list, const struct state *state, const char *volume)
{
	for (size_t i = 0; i < state->debts.n; i++) {
		const struct state_debt *d = &state->debts.v[i];
		const char *name = node_name(state, d->node);

		if (strcmp(d->volume, volume) == 0)
			say(list, "volume %s: the fence of %s is still owed", volume,
			    name ? name : "?");
	}
}

static void explain_resource(json_t *list, const struct node *node, const struct state_resource *r)
{
	const struct state *state = node_state(node);
	char reason[STATE_REASON_MAX] = "", blocked[STATE_REASON_MAX] = "";
	const char *word = node_get_resource_word(node, r, reason);

	say(list, "%s is %s", r->name, word);
	if (*reason)
		say(list, "because: %s", reason);
	if (r->phase == STATE_DISPLACED && !state_may_place(state, r, blocked))
		say(list, "it is placed anew once this has ended: %s", blocked);
	for (size_t i = 0; i < r->n_volumes; i++)
		explain_debts(list, state, r->volumes[i]);
}

/* How each node reaches it, where that is not the best way. */
static void explain_modes(json_t *list, const struct node *node, const struct state_volume *v)
{
	const struct state *state = node_state(node);

	for (size_t i = 0; i < state->nodes.n; i++) {
		enum state_volume_mode mode = STATE_MODE_UNAVAILABLE;
		char reason[STATE_REASON_MAX] = "";
		int64_t since_ms = 0;

		if (state->nodes.v[i].phase != STATE_NODE_LIVING ||
		    !node_get_volume_mode(node, state->nodes.v[i].id, v->name, &mode, reason,
					  &since_ms) ||
		    mode == STATE_MODE_DIRECT)
			continue;
		say(list, "%s reaches it %s%s%s", state->nodes.v[i].name, state_mode_name(mode),
		    *reason ? ": " : "", reason);
	}
}

static void explain_volume(json_t *list, const struct node *node, const struct state_volume *v)
{
	const struct state *state = node_state(node);
	const char *who = node_name(state, v->coordinator), *to = node_name(state, v->moving_to);

	say(list, "%s is coordinated by %s", v->name, who ? who : "nobody");
	if (*v->reason)
		say(list, "because: %s", v->reason);
	if (to)
		say(list, "it is on its way to %s", to);
	if (v->placed)
		say(list, "an operator put it there: it is not moved for the sake of balance");
	if (v->redirected)
		say(list, "redirected by the operator: `clusterctl redirect %s off` ends it",
		    v->name);
	if (v->maintenance)
		say(list, "in maintenance: `clusterctl maintenance %s off` ends it", v->name);
	explain_modes(list, node, v);
	explain_debts(list, state, v->name);
}

json_t *view_explain(const struct node *node, const char *name)
{
	const struct state *state = node_state(node);
	const struct state_node *n = state_node_by_name(state, name);
	const struct state_volume *v = state_volume(state, name);
	const struct state_resource *r = state_resource(state, name);
	char reason[STATE_REASON_MAX] = "";
	json_t *list = json_array();

	if (n) {
		say(list, "%s is %s", name, node_get_node_word(node, n, reason));
		if (*reason)
			say(list, "because: %s", reason);
	} else if (v) {
		explain_volume(list, node, v);
	} else if (r) {
		explain_resource(list, node, r);
	}
	return json_pack("{s:s,s:o}", "name", name, "explanation", list);
}

/* ---- fences ---------------------------------------------------------------------------------------- */

static json_t *fence_json(const struct state *state, const struct state_fence *f)
{
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:o,s:o}", "time", since(f->time_ms), "node",
			 text_or_null(node_name(state, f->node)), "incarnation",
			 number(f->incarnation), "why", text_or_null(f->why), "method",
			 any_text(f->method), "by", text_or_null(f->by), "result",
			 f->off ? "off" : "failed", "text", text_or_null(f->text), "duration_ms",
			 f->took_ms >= 0 ? json_integer(f->took_ms) : json_null());
}

json_t *view_fences(const struct node *node, uint32_t id)
{
	const struct state *state = node_state(node);
	json_t *list = json_array();

	for (size_t i = 0; i < state->fences.n; i++)
		if (id == 0 || state->fences.v[i].node == id)
			(void)json_array_append_new(list, fence_json(state, &state->fences.v[i]));
	return json_pack("{s:o}", "fences", list);
}

/* ---- events ---------------------------------------------------------------------------------------- */

char *view_event(const struct node_event_line *line, const char *name)
{
	char time[CL_RFC3339_SIZE], *text;
	json_t *json =
		json_pack("{s:o,s:s,s:o,s:o,s:o,s:o,s:o}", "id", number(line->id), "time",
			  cl_rfc3339(line->time_ms, time), "node", text_or_null(name), "object",
			  text_or_null(line->object), "event", any_text(line->event), "cause",
			  line->cause[0] ? any_text(line->cause) : json_null(), "duration_ms",
			  line->duration_ms >= 0 ? json_integer(line->duration_ms) : json_null());

	if (!json)
		return NULL;
	if (line->user[0]) {
		(void)json_object_set_new(json, "user", any_text(line->user));
		(void)json_object_set_new(json, "uid", json_integer(line->uid));
	}
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return text;
}
