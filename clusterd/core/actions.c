/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes out of a step. Everything in it is a copy: raft's own pointers live one step. */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void core_copy(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from ? from : "");
}

/* A lost action is a lost promise: the caller ends the process. The dummy keeps callers simple. */
struct node_action *core_emit(struct node *n, enum node_action_type type)
{
	static struct node_action lost;
	struct node_action a = { .type = type };

	if (node_action_vec_push(&n->out->v, a) < 0) {
		n->out->no_memory = true;
		lost = a;
		return &lost;
	}
	return &n->out->v.v[n->out->v.n - 1];
}

/* ---- persist: one allocation with everything behind it -------------------------------------- */

struct persist_copy {
	struct raft_persist p;
	struct raft_snapshot snapshot;
};

static size_t copy_size(const struct raft_persist *p)
{
	size_t size = sizeof(struct persist_copy) + p->n_entries * sizeof(struct raft_entry);

	if (p->has_snapshot)
		size += p->snapshot->len;
	for (uint32_t i = 0; i < p->n_entries; i++)
		size += p->entries[i].len;
	return size;
}

static const uint8_t *copy_bytes(uint8_t **at, const uint8_t *from, size_t len)
{
	uint8_t *to = *at;

	if (len)
		memcpy(to, from, len);
	*at += len;
	return to;
}

static struct raft_persist *copy_persist(const struct raft_persist *p)
{
	struct persist_copy *c = calloc(1, copy_size(p));
	struct raft_entry *entries;
	uint8_t *at;

	if (!c)
		return NULL;
	c->p = *p;
	entries = (struct raft_entry *)(c + 1);
	at = (uint8_t *)(entries + p->n_entries);
	c->p.entries = entries;
	for (uint32_t i = 0; i < p->n_entries; i++) {
		entries[i] = p->entries[i];
		entries[i].data = copy_bytes(&at, p->entries[i].data, p->entries[i].len);
	}
	if (p->has_snapshot) {
		c->snapshot = *p->snapshot;
		c->snapshot.blob = copy_bytes(&at, p->snapshot->blob, p->snapshot->len);
		c->p.snapshot = &c->snapshot;
	}
	return &c->p;
}

void core_persist(struct node *n, const struct raft_persist *p)
{
	struct node_action *a = core_emit(n, NODE_DO_PERSIST);

	a->persist.seq = n->seq_last = p->seq + n->seq_base;
	a->persist.line = n->line;
	memcpy(a->persist.database, n->database, sizeof(a->persist.database));
	a->persist.data = copy_persist(p);
	if (!a->persist.data)
		n->out->no_memory = true;
	slow_begun(n, a->persist.seq);
}

void core_condemn(struct node *n, const char *why)
{
	if (n->condemned)
		return;
	n->condemned = true;
	CORE_COPY(core_emit(n, NODE_DO_CONDEMN)->reply.text, why);
}

void core_reply(struct node *n, uint64_t client, int code, const char *hint, const char *fmt, ...)
{
	struct node_action *a = core_emit(n, NODE_DO_REPLY);
	va_list va;

	a->reply.client = client;
	a->reply.code = code;
	CORE_COPY(a->reply.hint, hint);
	va_start(va, fmt);
	(void)vsnprintf(a->reply.text, sizeof(a->reply.text), fmt, va);
	va_end(va);
}

void core_vm(struct node *n, enum node_vm_do what, const struct local *l, const char *text)
{
	const struct state_resource *r = state_resource(&n->state, l->name);
	struct node_action *a = core_emit(n, NODE_DO_VM);

	a->vm.what = what;
	CORE_COPY(a->vm.name, l->name);
	a->vm.generation = l->generation;
	CORE_COPY(a->vm.text, text);
	if (r) {
		a->vm.spec = r->spec;
		a->vm.spec_len = r->spec_len;
	}
}

/* Ids of applied changes come from the log's index: the same everywhere. Ours fit between. */
enum { EVENTS_PER_INDEX = 256 };

void core_event_of(struct node *n, uint32_t node, const char *object, const char *event,
		   const char *cause, int64_t duration_ms)
{
	struct node_action *a = core_emit(n, NODE_DO_EVENT);
	uint64_t base = n->state.applied * EVENTS_PER_INDEX + EVENTS_PER_INDEX / 2;

	n->local_event_id = n->local_event_id < base ? base : n->local_event_id + 1;
	a->event.id = n->local_event_id;
	a->event.time_ms = n->wall_ms;
	a->event.node = node;
	a->event.duration_ms = duration_ms;
	CORE_COPY(a->event.object, object);
	CORE_COPY(a->event.event, event);
	CORE_COPY(a->event.cause, cause);
}

void core_event(struct node *n, const char *object, const char *event, const char *cause)
{
	core_event_of(n, n->cfg.id, object, event, cause, -1);
}

void core_event_changed(struct node *n, const struct state_change *c, size_t nth)
{
	struct node_action *a = core_emit(n, NODE_DO_EVENT);

	a->event.id = n->state.applied * EVENTS_PER_INDEX + nth % (EVENTS_PER_INDEX / 2);
	a->event.time_ms = c->time_ms;
	a->event.node = c->node;
	a->event.duration_ms = c->duration_ms;
	CORE_COPY(a->event.object, c->object);
	CORE_COPY(a->event.event, c->event);
	CORE_COPY(a->event.cause, c->cause);
}

void node_actions_clear(struct node_actions *actions)
{
	for (size_t i = 0; i < actions->v.n; i++) {
		struct node_action *a = &actions->v.v[i];

		if (a->type == NODE_DO_PERSIST)
			free(a->persist.data);
		else if (a->type == NODE_DO_SEND)
			free(a->send.data);
		else if (a->type == NODE_DO_JOB_ANSWER)
			free(a->job.data);
		else if (a->type == NODE_DO_WITNESS)
			free(a->witness.data);
		else if (a->type == NODE_DO_FENCE)
			free(a->fence.input);
	}
	node_action_vec_clear(&actions->v);
	actions->no_memory = false;
}

void node_actions_fini(struct node_actions *actions)
{
	node_actions_clear(actions);
	node_action_vec_fini(&actions->v);
}
