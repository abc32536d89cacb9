/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/csvd_tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static ProtobufCBinaryData uuid(const uint8_t from[16])
{
	return (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)from };
}

static void fill_nodes(const struct state *state, struct csvd_tables *t)
{
	for (size_t i = 0; i < state->nodes.n; i++) {
		struct state_node *n = &state->nodes.v[i];
		Vol__Node *out = t->node_list[i] = &t->nodes[i];

		vol__node__init(out);
		out->id = n->id;
		out->name = n->name;
		out->incarnation = n->incarnation;
		out->living = n->phase == STATE_NODE_LIVING;
		out->storage_address = n->storage_address;
	}
	t->tables.nodes = t->node_list;
	t->tables.n_nodes = state->nodes.n;
}

/* Debts are sorted by volume, as volumes are by name: each volume's are one stretch. */
static size_t fill_debts(const struct state *state, const char *volume, struct csvd_tables *t,
			 size_t at, Vol__Volume *out)
{
	size_t n = 0;

	for (size_t i = 0; i < state->debts.n; i++) {
		const struct state_debt *d = &state->debts.v[i];
		Vol__Debt *debt = &t->debts[at + n];

		if (strcmp(d->volume, volume) != 0)
			continue;
		vol__debt__init(debt);
		debt->node = d->node;
		debt->incarnation = d->incarnation;
		t->debt_list[at + n] = debt;
		n++;
	}
	out->debts = t->debt_list + at;
	out->n_debts = n;
	return n;
}

static void fill_volumes(const struct state *state, struct csvd_tables *t)
{
	size_t debts = 0;

	for (size_t i = 0; i < state->volumes.n; i++) {
		struct state_volume *v = &state->volumes.v[i];
		Vol__Volume *out = t->volume_list[i] = &t->volumes[i];

		vol__volume__init(out);
		out->name = v->name;
		out->uuid = uuid(v->uuid);
		out->url = v->url;
		out->coordinator = v->coordinator;
		out->epoch = v->epoch;
		out->redirected = v->redirected;
		out->maintenance = v->maintenance;
		if (v->probed_len)
			out->target = vol__target__unpack(NULL, v->probed_len, v->probed);
		debts += fill_debts(state, v->name, t, debts, out);
	}
	t->tables.volumes = t->volume_list;
	t->tables.n_volumes = state->volumes.n;
}

static void free_targets(struct csvd_tables *t)
{
	for (size_t i = 0; i < t->tables.n_volumes; i++)
		if (t->volumes[i].target)
			vol__target__free_unpacked(t->volumes[i].target, NULL);
}

/* Who may write. One that is nowhere is not listed: its handles may do nothing. */
static bool owned(const struct state_resource *r)
{
	switch (r->phase) {
	case STATE_OFFLINE:
	case STATE_WAITING:
	case STATE_DISPLACED:
	case STATE_FAILED:
		return false;
	default:
		return r->owner != 0;
	}
}

static void fill_owners(const struct state *state, struct csvd_tables *t)
{
	size_t n = 0;

	for (size_t i = 0; i < state->resources.n; i++) {
		struct state_resource *r = &state->resources.v[i];
		Vol__Owner *out = &t->owners[n];

		if (!owned(r))
			continue;
		vol__owner__init(out);
		out->resource = r->name;
		out->generation = r->generation;
		out->node = r->owner;
		out->reserved_generation = r->target ? r->reserved : 0;
		out->reserved_node = r->target;
		t->owner_list[n++] = out;
	}
	t->tables.owners = t->owner_list;
	t->tables.n_owners = n;
}

int csvd_tables_make(const struct state *state, uint32_t self, struct csvd_tables *t)
{
	memset(t, 0, sizeof(*t));
	t->nodes = calloc(state->nodes.n + 1, sizeof(*t->nodes));
	t->node_list = calloc(state->nodes.n + 1, sizeof(*t->node_list));
	t->volumes = calloc(state->volumes.n + 1, sizeof(*t->volumes));
	t->volume_list = calloc(state->volumes.n + 1, sizeof(*t->volume_list));
	t->debts = calloc(state->debts.n + 1, sizeof(*t->debts));
	t->debt_list = calloc(state->debts.n + 1, sizeof(*t->debt_list));
	t->owners = calloc(state->resources.n + 1, sizeof(*t->owners));
	t->owner_list = calloc(state->resources.n + 1, sizeof(*t->owner_list));
	if (!t->nodes || !t->node_list || !t->volumes || !t->volume_list || !t->debts ||
	    !t->debt_list || !t->owners || !t->owner_list)
		return -ENOMEM;
	vol__to_csvd__init(&t->msg);
	vol__tables__init(&t->tables);
	t->tables.index = state->applied;
	t->tables.self = self;
	t->tables.cluster = uuid(state->cluster_uuid);
	fill_nodes(state, t);
	fill_volumes(state, t);
	fill_owners(state, t);
	t->msg.msg_case = VOL__TO_CSVD__MSG_TABLES;
	t->msg.tables = &t->tables;
	return 0;
}

void csvd_tables_fini(struct csvd_tables *t)
{
	free_targets(t);
	free(t->nodes);
	free(t->node_list);
	free(t->volumes);
	free(t->volume_list);
	free(t->debts);
	free(t->debt_list);
	free(t->owners);
	free(t->owner_list);
}

void csvd_told_fini(struct csvd_told *told)
{
	free(told->packed);
	told->packed = NULL;
	told->len = 0;
}

void csvd_told_hello(struct csvd_told *told, uint64_t takes_from)
{
	csvd_told_fini(told);
	told->takes_from = takes_from;
}

/*
 * The index does not count: it is another one after each change. But csvd ignores tables below the index that it has, as
 * a clusterd sends that was restarted and has not applied so far yet. Taken for sent, they would hide that csvd acts on
 * others: those that this one brings, once it gets there, may be the same as these.
 */
bool csvd_told_lacks(struct csvd_told *told, struct csvd_tables *t)
{
	uint64_t index = t->tables.index;
	uint8_t *packed;
	size_t len;

	t->tables.index = 0;
	len = vol__tables__get_packed_size(&t->tables);
	packed = malloc(len + 1);
	if (packed)
		(void)vol__tables__pack(&t->tables, packed);
	t->tables.index = index;
	if (packed && told->packed && len == told->len && memcmp(packed, told->packed, len) == 0) {
		free(packed);
		return false;
	}
	csvd_told_fini(told);
	if (told->takes_from && index >= told->takes_from) {
		told->packed = packed;
		told->len = len;
	} else {
		free(packed);
	}
	return true;
}
