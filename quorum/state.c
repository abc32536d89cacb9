/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cluster database: finding things in it, and the way of a command into it. */
#include "config.h"

#include "quorum/quarantine.h"
#include "quorum/state_apply.h"
#include "quorum/state_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/assert.h"

void state_copy(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from ? from : "");
}

void state_init(struct state *state)
{
	*state = (struct state){ 0 };
}

void state_fini(struct state *state)
{
	for (size_t i = 0; i < state->resources.n; i++)
		free(state->resources.v[i].spec);
	state_node_vec_fini(&state->nodes);
	state_volume_vec_fini(&state->volumes);
	state_resource_vec_fini(&state->resources);
	state_debt_vec_fini(&state->debts);
	state_dedup_vec_fini(&state->dedup);
	state_fence_vec_fini(&state->fences);
	state_agent_vec_fini(&state->agents);
	state_setup_fini(&state->setup);
	*state = (struct state){ 0 };
}

/* ---- finding ------------------------------------------------------------------------------ */

struct state_node *state_node(const struct state *state, uint32_t id)
{
	for (size_t i = 0; i < state->nodes.n; i++)
		if (state->nodes.v[i].id == id)
			return &state->nodes.v[i];
	return NULL;
}

struct state_node *state_node_by_name(const struct state *state, const char *name)
{
	for (size_t i = 0; i < state->nodes.n; i++)
		if (strcmp(state->nodes.v[i].name, name) == 0)
			return &state->nodes.v[i];
	return NULL;
}

struct state_volume *state_volume(const struct state *state, const char *name)
{
	for (size_t i = 0; i < state->volumes.n; i++)
		if (strcmp(state->volumes.v[i].name, name) == 0)
			return &state->volumes.v[i];
	return NULL;
}

static int by_name(const void *key, const void *element)
{
	return strcmp(key, ((const struct state_resource *)element)->name);
}

struct state_resource *state_resource(const struct state *state, const char *name)
{
	if (state->resources.n == 0)
		return NULL;
	return bsearch(name, state->resources.v, state->resources.n, sizeof(struct state_resource),
		       by_name);
}

bool state_living(const struct state *state, uint32_t id, uint64_t incarnation)
{
	const struct state_node *n = state_node(state, id);

	return n && n->phase == STATE_NODE_LIVING && n->incarnation == incarnation;
}

bool state_failed(const struct state *state, uint32_t id, uint64_t incarnation)
{
	const struct state_node *n = state_node(state, id);

	if (!n)
		return incarnation <= state->retired;
	return n->incarnation > incarnation ||
	       (n->incarnation == incarnation && n->phase != STATE_NODE_LIVING);
}

bool state_has_debt(const struct state *state, const char *volume)
{
	for (size_t i = 0; i < state->debts.n; i++)
		if (strcmp(state->debts.v[i].volume, volume) == 0)
			return true;
	return false;
}

const char *state_in_maintenance(const struct state *state, const struct state_resource *r)
{
	for (size_t i = 0; i < r->n_volumes; i++) {
		const struct state_volume *v = state_volume(state, r->volumes[i]);

		if (v && v->maintenance)
			return v->name;
	}
	return NULL;
}

/*
 * While its clusterd is away as planned a node heeds its heartbeats no more (clusterd/core/detach.c), so that a storage
 * that stalls for a moment freezes nobody: they stand for nothing then. It heeds them again before it says that it is
 * back.
 */
static bool is_unwatched(const struct state *state, const struct state_node *n)
{
	return n->detached_ms && state_schema(state) >= SCHEMA_UNWATCHED;
}

bool state_storage_silent(const struct state *state, const struct state_node *n, unsigned defects)
{
	if (is_unwatched(state, n) && !(defects & STATE_DEFECT_DETACH_QUIET))
		return false;
	if (n->phase != STATE_NODE_FAILED || n->heard_silent == 0)
		return false;
	if (defects & STATE_DEFECT_ONE_VOLUME)
		return true;
	for (size_t i = 0; i < state->debts.n; i++)
		if (state->debts.v[i].node == n->id)
			return false;
	return !n->heard_moving;
}

/* What has no shared disk has no fence and no heartbeat that stands for it either. */
static bool owner_is_over(const struct state_resource *r, const struct state_node *n)
{
	if (r->start_after == STATE_AFTER_FENCE && r->n_volumes > 0)
		return true;
	if (!n)
		return false;
	if (r->start_after == STATE_AFTER_AUTO && r->n_volumes > 0 &&
	    n->quiet >= r->owner_incarnation)
		return true;
	return n->silent >= r->owner_incarnation;
}

/*
 * P1. Without the debts: a write of the old owner that is still in a TCP buffer reaches the disk
 * after the new owner has read it. Without `silent`: a node that is only cut off executes the guest
 * beside the new one until its lease ends.
 * A standing heartbeat is as good: such a node has paused by itself (docs/timing.md).
 * (r->owner is 0 once settled: then only the volumes' debts, of whomever, stand in the way.)
 */
bool state_is_free(const struct state *state, const struct state_resource *r,
		   char reason[STATE_REASON_MAX])
{
	const struct state_node *n = state_node(state, r->owner);

	if (r->owner && !owner_is_over(r, n)) {
		const char *more = !n				  ? ""
				   : state_fence_failed(state, n) ? ": fence agents failed"
				   : n->detached_ms		  ? ": it was away as planned"
								  : "";

		(void)snprintf(reason, STATE_REASON_MAX,
			       "it may still run%s; until the lease ends, or `clusterctl fence "
			       "confirm %s`",
			       more, n ? n->name : "?");
		return false;
	}
	for (size_t i = 0; i < r->n_volumes; i++)
		if (state_has_debt(state, r->volumes[i])) {
			(void)snprintf(reason, STATE_REASON_MAX,
				       "volume '%s' is not fenced yet from a failed node",
				       r->volumes[i]);
			return false;
		}
	reason[0] = 0;
	return true;
}

bool state_may_place(const struct state *state, const struct state_resource *r,
		     char reason[STATE_REASON_MAX])
{
	if (!state_is_free(state, r, reason))
		return false;
	if (state->stopped) {
		(void)snprintf(reason, STATE_REASON_MAX,
			       "the cluster is stopped: clusterctl start cluster");
		return false;
	}
	if (state_in_maintenance(state, r)) {
		(void)snprintf(reason, STATE_REASON_MAX, "volume '%s' is in maintenance",
			       state_in_maintenance(state, r));
		return false;
	}
	reason[0] = 0;
	return true;
}

static const char *const phase_names[] = {
	[STATE_OFFLINE] = "offline",	 [STATE_WAITING] = "waiting",
	[STATE_STARTING] = "starting",	 [STATE_ONLINE] = "online",
	[STATE_STOPPING] = "stopping",	 [STATE_DISPLACED] = "displaced",
	[STATE_FAILED] = "failed",	 [STATE_MIGRATING] = "migrating",
	[STATE_SWITCHING] = "switching", [STATE_HANDOVER] = "handover",
	[STATE_ABORTING] = "aborting",
};

const char *state_phase_name(enum state_phase phase)
{
	if (phase < STATE_OFFLINE || phase > STATE_ABORTING)
		return "?";
	return phase_names[phase];
}

const char *state_start_after_name(enum state_start_after when)
{
	static const char *const names[] = {
		[STATE_AFTER_AUTO] = "auto",
		[STATE_AFTER_FENCE] = "fence",
		[STATE_AFTER_LEASE] = "lease",
	};

	return (unsigned)when <= STATE_AFTER_LEASE ? names[when] : "auto";
}

const char *state_mode_name(enum state_volume_mode mode)
{
	static const char *const names[] = {
		[STATE_MODE_UNAVAILABLE] = "unavailable",
		[STATE_MODE_DIRECT] = "direct",
		[STATE_MODE_BLOCK_REDIRECTED] = "block-redirected",
		[STATE_MODE_FS_REDIRECTED] = "file-system-redirected",
		[STATE_MODE_PAUSED] = "paused",
	};

	return (unsigned)mode <= STATE_MODE_PAUSED ? names[mode] : "unavailable";
}

bool state_name_valid(const char *name)
{
	/* Not "vm": a VM may be called so, and `move vm node2` means it. */
	static const char *const reserved[] = { "volume", "node",    "group",	"rule",
						"event",  "cluster", "resource" };
	size_t n = strlen(name);

	if (n == 0 || n >= STATE_NAME_MAX)
		return false;
	if (!((name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z')))
		return false;
	if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != n)
		return false;
	for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++)
		if (strcmp(name, reserved[i]) == 0)
			return false;
	return true;
}

/* ---- helpers of the commands ---------------------------------------------------------------- */

void apply_refuse(struct apply *ap, int code, const char *fmt, ...)
{
	va_list va;

	cl_assert(code < 0);
	ap->result->code = code;
	va_start(va, fmt);
	(void)vsnprintf(ap->result->text, sizeof(ap->result->text), fmt, va);
	va_end(va);
}

bool apply_expect(struct apply *ap, const char *object, const char *what, uint64_t expected,
		  uint64_t is)
{
	if (expected == is || (ap->defects & STATE_DEFECT_EXPECT_NOTHING))
		return true;
	apply_refuse(ap, -CL_EMOVED, "'%s' has moved: %s is %llu, not %llu", object, what,
		     (unsigned long long)is, (unsigned long long)expected);
	return false;
}

void apply_changed(struct apply *ap, int what, const char *object, uint32_t node, uint64_t number,
		   const char *event, int64_t since_ms, const char *cause)
{
	struct state_change c = {
		.what = what,
		.node = node,
		.number = number,
		.time_ms = ap->time_ms,
		.duration_ms = since_ms < 0 ? -1 : ap->time_ms - since_ms,
	};

	/* Two leaders' wall clocks may differ; a negative time helps nobody. */
	if (since_ms >= 0 && c.duration_ms < 0)
		c.duration_ms = 0;
	STATE_COPY(c.object, object);
	STATE_COPY(c.event, event);
	STATE_COPY(c.cause, cause);
	if (ap->changes && state_change_vec_push(ap->changes, c) < 0)
		ap->no_memory = true;
}

struct state_node *apply_node(struct apply *ap, uint32_t id)
{
	struct state_node *n = state_node(ap->state, id);

	if (!n)
		apply_refuse(ap, -ENOENT, "no node with id %u", id);
	return n;
}

struct state_volume *apply_volume(struct apply *ap, const char *name)
{
	struct state_volume *v = state_volume(ap->state, name);

	if (!v)
		apply_refuse(ap, -ENOENT, "no volume '%.63s'", name);
	return v;
}

struct state_resource *apply_resource(struct apply *ap, const char *name)
{
	struct state_resource *r = state_resource(ap->state, name);

	if (!r)
		apply_refuse(ap, -ENOENT, "no VM '%.63s'", name);
	return r;
}

/* Names live in one space, so that `show NAME` needs no type word. */
bool apply_new_name(struct apply *ap, const char *name)
{
	if (!state_name_valid(name)) {
		apply_refuse(ap, -EINVAL, "'%.63s' cannot be a name", name);
		return false;
	}
	if (state_node_by_name(ap->state, name) || state_volume(ap->state, name) ||
	    state_resource(ap->state, name)) {
		apply_refuse(ap, -EEXIST, "'%s' exists already", name);
		return false;
	}
	return true;
}

/* ---- requests answered once ----------------------------------------------------------------- */

static struct state_dedup *dedup_find(const struct state *state, const Log__RequestId *id)
{
	for (size_t i = 0; i < state->dedup.n; i++) {
		struct state_dedup *d = &state->dedup.v[i];

		if (d->node == id->node && d->instance == id->instance && d->seq == id->seq)
			return d;
	}
	return NULL;
}

/* A node repeats a request until it is answered, and has few open ones: old answers can go. */
int state_dedup_push(struct state *state, const struct state_dedup *d)
{
	size_t mine = 0, oldest = 0;

	for (size_t i = state->dedup.n; i-- > 0;)
		if (state->dedup.v[i].node == d->node) {
			mine++;
			oldest = i;
		}
	if (mine >= STATE_DEDUP_PER_NODE)
		state_dedup_vec_remove(&state->dedup, oldest);
	return state_dedup_vec_push(&state->dedup, *d);
}

/* ---- the way in ------------------------------------------------------------------------------- */

#define APPLY(CASE, name)                                                                          \
	case LOG__COMMAND__WHAT_##CASE:                                                            \
		apply_##name(ap, c->name);                                                         \
		break

/* Also a raise beyond what this program knows: one that was joining while the others asked each other is
 * not to go on until it meets the first command that it reads wrongly. */
static bool is_newer(const struct apply *ap, const Log__Command *c)
{
	uint32_t knows = ap->state->knows ? ap->state->knows : STATE_SCHEMA;

	return schema_of(c) > knows ||
	       (c->what_case == LOG__COMMAND__WHAT_SCHEMA_RAISE && c->schema_raise->schema > knows);
}

static void apply_dispatch(struct apply *ap, const Log__Command *c)
{
	if (is_newer(ap, c)) {
		ap->result->unknown = true;
		apply_refuse(ap, -EINVAL, "command of an unknown kind");
		return;
	}
	switch (c->what_case) {
		APPLY(SCHEMA_RAISE, schema_raise);
		APPLY(NODE_ADD, node_add);
		APPLY(NODE_ADMIT, node_admit);
		APPLY(NODE_FAILED, node_failed);
		APPLY(NODE_SILENT, node_silent);
		APPLY(NODE_DETACH, node_detach);
		APPLY(NODE_LEASE, node_lease);
		APPLY(NODE_ADDRESS, node_address);
		APPLY(NODE_STOP, node_stop);
		APPLY(NODE_GOODBYE, node_goodbye);
		APPLY(NODE_FENCED, node_fenced);
		APPLY(NODE_FENCE_SET, node_fence_set);
		APPLY(NODE_FENCE_FORGET, node_fence_forget);
		APPLY(NODE_DRAIN, node_drain);
		APPLY(NODE_REMOVE, node_remove);
		APPLY(SETUP_SET, setup_set);
		APPLY(CLUSTER_STOP, cluster_stop);
		APPLY(QUORUM_SET, quorum_set);
		APPLY(VOLUME_CREATE, volume_create);
		APPLY(VOLUME_DELETE, volume_delete);
		APPLY(VOLUME_ASSIGN, volume_assign);
		APPLY(VOLUME_RELEASE, volume_release);
		APPLY(DEBT_PAID, debt_paid);
		APPLY(VOLUME_REDIRECT, volume_redirect);
		APPLY(VOLUME_MAINTENANCE, volume_maintenance);
		APPLY(RESOURCE_CREATE, resource_create);
		APPLY(RESOURCE_DELETE, resource_delete);
		APPLY(RESOURCE_DESIRE, resource_desire);
		APPLY(RESOURCE_SET, resource_set);
		APPLY(RESOURCE_PLACE, resource_place);
		APPLY(RESOURCE_STARTED, resource_started);
		APPLY(RESOURCE_YIELD, resource_yield);
		APPLY(RESOURCE_STOPPED, resource_stopped);
		APPLY(MIGRATE_BEGIN, migrate_begin);
		APPLY(MIGRATE_SWITCH, migrate_switch);
		APPLY(MIGRATE_SOURCE_DONE, migrate_source_done);
		APPLY(MIGRATE_COMMIT, migrate_commit);
		APPLY(MIGRATE_ABORT, migrate_abort);
		APPLY(MIGRATE_TARGET_GONE, migrate_target_gone);
	default:
		/* A newer version's: proposed when all that were asked knew it, and we were not. */
		ap->result->unknown = true;
		apply_refuse(ap, -EINVAL, "command of an unknown kind");
	}
}

/* A request repeated by its origin (its answer was lost) must not be done twice. */
static bool apply_repeated(struct apply *ap, const Log__RequestId *id)
{
	const struct state_dedup *d = id ? dedup_find(ap->state, id) : NULL;

	if (!d || (ap->defects & STATE_DEFECT_REQUEST_TWICE))
		return false;
	ap->result->code = d->code;
	ap->result->number = d->number;
	ap->result->repeated = true;
	return true;
}

static void apply_remember(struct apply *ap, const Log__RequestId *id)
{
	struct state_dedup d = {
		.node = id->node,
		.instance = id->instance,
		.seq = id->seq,
		.code = ap->result->code,
		.number = ap->result->number,
	};

	if (state_dedup_push(ap->state, &d) < 0)
		ap->no_memory = true;
}

int state_apply(struct state *state, uint64_t index, const uint8_t *data, size_t len,
		unsigned defects, struct state_result *ret_result, struct state_change_vec *changes)
{
	Log__Command *c;
	struct apply ap = {
		.state = state,
		.index = index,
		.defects = defects,
		.result = ret_result,
		.changes = changes,
	};

	cl_assert(index > state->applied);
	*ret_result = (struct state_result){ 0 };
	state->applied = index;
	c = log__command__unpack(NULL, len, data);
	if (!c) {
		apply_refuse(&ap, -CL_ECORRUPT, "entry %llu is no command",
			     (unsigned long long)index);
		return 0;
	}
	ap.time_ms = c->time_ms;
	if (c->request) {
		ret_result->request_node = c->request->node;
		ret_result->request_instance = c->request->instance;
		ret_result->request_seq = c->request->seq;
	}
	if (!apply_repeated(&ap, c->request)) {
		apply_dispatch(&ap, c);
		if (c->request)
			apply_remember(&ap, c->request);
	}
	log__command__free_unpacked(c, NULL);
	return ap.no_memory ? -ENOMEM : 0;
}
