/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cluster database as bytes and back. Decoding takes hostile input. */
#include "config.h"

#include "quorum/state_apply.h"

#include <string.h>

/* ---- out -------------------------------------------------------------------------------------- */

/* Everything that a Log__Snapshot points to; strings are borrowed from the state. */
struct encoder {
	Log__Snapshot snapshot;
	Log__Node *nodes;
	Log__Volume *volumes;
	Log__Resource *resources;
	Log__Debt *debts;
	Log__Dedup *dedup;
	Log__Fence *fences;
	Log__FenceAgent *agents;
	Log__RequestId *requests;
	Log__Setup setup;
	Log__SetupPart parts[STATE_PARTS], *part_list[STATE_PARTS];
	char **options; /* of the agents */
	char *option_text;
	char **names; /* of the resources' volumes */
	void **lists; /* the pointer arrays of the lists */
	Log__Witness witness;
};

static void encode_node(Log__Node *to, const struct state_node *n)
{
	log__node__init(to);
	to->id = n->id;
	to->name = (char *)n->name;
	to->uuid = (ProtobufCBinaryData){ sizeof(n->uuid), (uint8_t *)n->uuid };
	to->storage_address = (char *)n->storage_address;
	to->migration_address = (char *)n->migration_address;
	to->memory_bytes = n->memory_bytes;
	to->cpus = n->cpus;
	to->phase = n->phase;
	to->incarnation = n->incarnation;
	to->silent = n->silent;
	to->draining = n->draining;
	to->leaving = n->leaving;
	to->stopping = n->stopping;
	to->stop_saves = n->stop_saves;
	to->stop_now = n->stop_now;
	to->goodbye = n->goodbye;
	to->lease_ms = n->lease_ms;
	to->since_ms = n->since_ms;
	to->reason = (char *)n->reason;
	to->instance = n->instance;
	to->quiet = n->quiet;
	to->heard_silent = n->heard_silent;
	to->heard_moving = n->heard_moving;
	to->detaches = n->detaches;
	to->detached_ms = n->detached_ms;
	to->fence_version = n->fence_version;
	to->fence_keep_off = n->fence_keep_off;
	to->fenced = n->fenced;
	to->quarantined = n->quarantined;
	to->off_level = n->off_level;
	to->off_incarnation = n->off_incarnation;
	to->off_begun = n->off_begun;
}

static void encode_volume(Log__Volume *to, const struct state_volume *v)
{
	log__volume__init(to);
	to->name = (char *)v->name;
	to->uuid = (ProtobufCBinaryData){ sizeof(v->uuid), (uint8_t *)v->uuid };
	to->url = (char *)v->url;
	to->coordinator = v->coordinator;
	to->coordinator_incarnation = v->coordinator_incarnation;
	to->epoch = v->epoch;
	to->moving_to = v->moving_to;
	to->placed = v->placed;
	to->probed = (ProtobufCBinaryData){ v->probed_len, (uint8_t *)v->probed };
	to->redirected = v->redirected;
	to->maintenance = v->maintenance;
	to->since_ms = v->since_ms;
	to->reason = (char *)v->reason;
}

static void encode_resource(Log__Resource *to, const struct state_resource *r, char **names)
{
	log__resource__init(to);
	to->name = (char *)r->name;
	to->type = (char *)r->type;
	to->spec = (ProtobufCBinaryData){ r->spec_len, r->spec };
	for (size_t i = 0; i < r->n_volumes; i++)
		names[i] = (char *)r->volumes[i];
	to->volumes = names;
	to->n_volumes = r->n_volumes;
	to->memory_bytes = r->memory_bytes;
	to->cpus = r->cpus;
	to->priority = r->priority;
	to->wanted = r->wanted;
	to->phase = r->phase;
	to->owner = r->owner;
	to->owner_incarnation = r->owner_incarnation;
	to->generation = r->generation;
	to->top = r->top;
	to->target = r->target;
	to->target_incarnation = r->target_incarnation;
	to->reserved = r->reserved;
	to->failures = r->failures;
	to->blackout_ms = r->blackout_ms;
	to->quick = r->quick;
	to->saved = r->saved;
	to->saved_from = r->saved_from;
	to->avoid = r->avoid;
	to->prefer = r->prefer;
	to->since_ms = r->since_ms;
	to->reason = (char *)r->reason;
	to->start_after = r->start_after;
	to->force = r->force;
}

static void encode_debt(Log__Debt *to, const struct state_debt *d)
{
	log__debt__init(to);
	to->volume = (char *)d->volume;
	to->node = d->node;
	to->incarnation = d->incarnation;
	to->since_ms = d->since_ms;
}

static void encode_dedup(Log__Dedup *to, Log__RequestId *id, const struct state_dedup *d)
{
	log__request_id__init(id);
	id->node = d->node;
	id->instance = d->instance;
	id->seq = d->seq;
	log__dedup__init(to);
	to->request = id;
	to->code = d->code;
	to->number = d->number;
}

static void encode_fence(Log__Fence *to, const struct state_fence *f)
{
	log__fence__init(to);
	to->node = f->node;
	to->incarnation = f->incarnation;
	to->time_ms = f->time_ms;
	to->took_ms = f->took_ms;
	to->off = f->off;
	to->why = (char *)f->why;
	to->method = (char *)f->method;
	to->by = (char *)f->by;
	to->text = (char *)f->text;
}

/* An option per line; the lines are cut in a copy that lives as long as the encoder. */
static void encode_agent(Log__FenceAgent *to, const struct state_agent *a, char **options,
			 char *text)
{
	char *save = NULL;

	log__fence_agent__init(to);
	to->node = a->node;
	to->level = a->level;
	to->agent = (char *)a->name;
	to->timeout_s = a->timeout_s;
	to->retries = a->retries;
	to->options = options;
	memcpy(text, a->options, sizeof(a->options));
	for (char *o = strtok_r(text, "\n", &save); o; o = strtok_r(NULL, "\n", &save))
		options[to->n_options++] = o;
}

static void encode_setup(struct encoder *e, const struct state_setup *setup)
{
	log__setup__init(&e->setup);
	e->setup.version = setup->version;
	if (state_setup_has_gone(setup))
		e->setup.gone =
			(ProtobufCBinaryData){ sizeof(setup->gone), (uint8_t *)setup->gone };
	e->setup.parts = e->part_list;
	for (int i = 0; i < STATE_PARTS; i++) {
		Log__SetupPart *p = &e->parts[e->setup.n_parts];

		if (!setup->part[i].data)
			continue;
		log__setup_part__init(p);
		p->kind = (uint32_t)i;
		p->version = setup->part[i].version;
		p->data = (ProtobufCBinaryData){ setup->part[i].len, setup->part[i].data };
		e->part_list[e->setup.n_parts++] = p;
	}
	if (setup->version)
		e->snapshot.setup = &e->setup;
}

static void encode_witness(struct encoder *e, const struct state_witness *w)
{
	if (!w->url[0])
		return;
	log__witness__init(&e->witness);
	e->witness.url = (char *)w->url;
	e->witness.uuid = (ProtobufCBinaryData){ sizeof(w->uuid), (uint8_t *)w->uuid };
	e->witness.since_ms = w->since_ms;
	e->snapshot.witness = &e->witness;
}

static int encoder_alloc(struct encoder *e, const struct state *s)
{
	size_t lists = s->nodes.n + s->volumes.n + s->resources.n + s->debts.n + s->dedup.n +
		       s->fences.n + s->agents.n;

	e->nodes = calloc(s->nodes.n + 1, sizeof(*e->nodes));
	e->volumes = calloc(s->volumes.n + 1, sizeof(*e->volumes));
	e->resources = calloc(s->resources.n + 1, sizeof(*e->resources));
	e->debts = calloc(s->debts.n + 1, sizeof(*e->debts));
	e->dedup = calloc(s->dedup.n + 1, sizeof(*e->dedup));
	e->fences = calloc(s->fences.n + 1, sizeof(*e->fences));
	e->agents = calloc(s->agents.n + 1, sizeof(*e->agents));
	e->options = calloc(s->agents.n * (STATE_AGENT_OPTIONS_MAX / 2) + 1, sizeof(*e->options));
	e->option_text = calloc(s->agents.n + 1, STATE_AGENT_OPTIONS_MAX);
	e->requests = calloc(s->dedup.n + 1, sizeof(*e->requests));
	e->names = calloc(s->resources.n * STATE_VOLUMES_OF_RESOURCE_MAX + 1, sizeof(*e->names));
	e->lists = calloc(lists + 1, sizeof(*e->lists));
	return e->nodes && e->volumes && e->resources && e->debts && e->dedup && e->fences &&
			       e->agents && e->options && e->option_text && e->requests &&
			       e->names && e->lists
		       ? 0
		       : -ENOMEM;
}

static void encoder_free(struct encoder *e)
{
	free(e->nodes);
	free(e->volumes);
	free(e->resources);
	free(e->debts);
	free(e->dedup);
	free(e->fences);
	free(e->agents);
	free(e->options);
	free(e->option_text);
	free(e->requests);
	free(e->names);
	free(e->lists);
}

/* A list of pointers to the elements, as protobuf-c wants it. */
#define ENCODE_LIST(field, encode_element)                                                         \
	do {                                                                                       \
		e->snapshot.field = (void *)at;                                                    \
		e->snapshot.n_##field = s->field.n;                                                \
		for (size_t i = 0; i < s->field.n; i++) {                                          \
			encode_element;                                                            \
			*at++ = &e->field[i];                                                      \
		}                                                                                  \
	} while (0)

static void encoder_fill(struct encoder *e, const struct state *s)
{
	void **at = e->lists;

	log__snapshot__init(&e->snapshot);
	e->snapshot.cluster_name = (char *)s->cluster_name;
	e->snapshot.cluster_uuid =
		(ProtobufCBinaryData){ sizeof(s->cluster_uuid), (uint8_t *)s->cluster_uuid };
	e->snapshot.applied = s->applied;
	ENCODE_LIST(nodes, encode_node(&e->nodes[i], &s->nodes.v[i]));
	ENCODE_LIST(volumes, encode_volume(&e->volumes[i], &s->volumes.v[i]));
	ENCODE_LIST(resources, encode_resource(&e->resources[i], &s->resources.v[i],
					       &e->names[i * STATE_VOLUMES_OF_RESOURCE_MAX]));
	ENCODE_LIST(debts, encode_debt(&e->debts[i], &s->debts.v[i]));
	ENCODE_LIST(dedup, encode_dedup(&e->dedup[i], &e->requests[i], &s->dedup.v[i]));
	ENCODE_LIST(fences, encode_fence(&e->fences[i], &s->fences.v[i]));
	ENCODE_LIST(agents, encode_agent(&e->agents[i], &s->agents.v[i],
					 &e->options[i * (STATE_AGENT_OPTIONS_MAX / 2)],
					 &e->option_text[i * STATE_AGENT_OPTIONS_MAX]));
	encode_setup(e, &s->setup);
	e->snapshot.retired = s->retired;
	e->snapshot.schema = s->schema;
	e->snapshot.stopped = s->stopped;
	e->snapshot.stop_saves = s->stop_saves;
	encode_witness(e, &s->witness);
}

int state_encode(const struct state *state, uint8_t **ret_data, size_t *ret_len)
{
	struct encoder e = { 0 };
	uint8_t *data = NULL;
	size_t len = 0;

	if (encoder_alloc(&e, state) == 0) {
		encoder_fill(&e, state);
		len = log__snapshot__get_packed_size(&e.snapshot);
		data = malloc(len + 1);
		if (data)
			(void)log__snapshot__pack(&e.snapshot, data);
	}
	encoder_free(&e);
	if (!data)
		return -ENOMEM;
	*ret_data = data;
	*ret_len = len;
	return 0;
}

uint64_t state_hash(const struct state *state)
{
	uint64_t h = UINT64_C(14695981039346656037);
	uint8_t *data;
	size_t len;

	if (state_encode(state, &data, &len) < 0)
		return 0;
	for (size_t i = 0; i < len; i++)
		h = (h ^ data[i]) * UINT64_C(1099511628211);
	free(data);
	return h;
}

/* ---- in --------------------------------------------------------------------------------------- */

static bool decode_node(struct state *s, const Log__Node *from)
{
	struct state_node n = {
		.id = from->id,
		.memory_bytes = from->memory_bytes,
		.cpus = from->cpus,
		.phase = (enum state_node_phase)from->phase,
		.incarnation = from->incarnation,
		.silent = from->silent,
		.instance = from->instance,
		.quiet = from->quiet,
		.heard_silent = from->heard_silent,
		.heard_moving = from->heard_moving,
		.detaches = from->detaches,
		.detached_ms = from->detached_ms,
		.fence_version = from->fence_version,
		.fence_keep_off = from->fence_keep_off,
		.fenced = from->fenced,
		.quarantined = from->quarantined,
		.off_level = from->off_level,
		.off_incarnation = from->off_incarnation,
		.off_begun = from->off_begun,
		.draining = from->draining,
		.leaving = from->leaving,
		.stopping = from->stopping,
		.stop_saves = from->stop_saves,
		.stop_now = from->stop_now,
		.goodbye = from->goodbye,
		.lease_ms = from->lease_ms,
		.since_ms = from->since_ms,
	};

	if (from->uuid.len != sizeof(n.uuid) || from->phase < STATE_NODE_KNOWN ||
	    from->phase > STATE_NODE_FAILED)
		return false;
	memcpy(n.uuid, from->uuid.data, sizeof(n.uuid));
	STATE_COPY(n.name, from->name);
	STATE_COPY(n.storage_address, from->storage_address);
	STATE_COPY(n.migration_address, from->migration_address);
	STATE_COPY(n.reason, from->reason);
	return state_node_vec_push(&s->nodes, n) == 0;
}

static bool decode_volume(struct state *s, const Log__Volume *from)
{
	struct state_volume v = {
		.coordinator = from->coordinator,
		.coordinator_incarnation = from->coordinator_incarnation,
		.epoch = from->epoch,
		.moving_to = from->moving_to,
		.placed = from->placed,
		.redirected = from->redirected,
		.maintenance = from->maintenance,
		.since_ms = from->since_ms,
	};

	if (from->uuid.len != sizeof(v.uuid) || from->probed.len > sizeof(v.probed))
		return false;
	v.probed_len = from->probed.len;
	if (v.probed_len)
		memcpy(v.probed, from->probed.data, v.probed_len);
	memcpy(v.uuid, from->uuid.data, sizeof(v.uuid));
	STATE_COPY(v.name, from->name);
	STATE_COPY(v.url, from->url);
	STATE_COPY(v.reason, from->reason);
	return state_volume_vec_push(&s->volumes, v) == 0;
}

static bool decode_resource(struct state *s, const Log__Resource *from)
{
	struct state_resource r = {
		.spec_len = from->spec.len,
		.n_volumes = from->n_volumes,
		.memory_bytes = from->memory_bytes,
		.cpus = from->cpus,
		.priority = from->priority,
		.wanted = from->wanted,
		.phase = (enum state_phase)from->phase,
		.owner = from->owner,
		.owner_incarnation = from->owner_incarnation,
		.generation = from->generation,
		.top = from->top,
		.target = from->target,
		.target_incarnation = from->target_incarnation,
		.reserved = from->reserved,
		.failures = from->failures,
		.blackout_ms = from->blackout_ms,
		.quick = from->quick,
		.saved = from->saved,
		.saved_from = from->saved_from,
		.avoid = from->avoid,
		.prefer = from->prefer,
		.force = from->force,
		.start_after = (enum state_start_after)from->start_after,
		.since_ms = from->since_ms,
	};

	if (from->phase < STATE_OFFLINE || from->phase > STATE_ABORTING ||
	    from->start_after > STATE_AFTER_LEASE ||
	    from->n_volumes > STATE_VOLUMES_OF_RESOURCE_MAX || from->spec.len > STATE_SPEC_MAX ||
	    from->top < from->generation || from->top < from->reserved || from->top < from->saved)
		return false;
	for (size_t i = 0; i < r.n_volumes; i++)
		STATE_COPY(r.volumes[i], from->volumes[i]);
	STATE_COPY(r.name, from->name);
	STATE_COPY(r.type, from->type);
	STATE_COPY(r.reason, from->reason);
	r.spec = malloc(r.spec_len + 1);
	if (!r.spec)
		return false;
	if (r.spec_len)
		memcpy(r.spec, from->spec.data, r.spec_len);
	r.spec[r.spec_len] = 0;
	if (state_resource_vec_push(&s->resources, r) == 0)
		return true;
	free(r.spec);
	return false;
}

static bool decode_rest(struct state *s, const Log__Snapshot *from)
{
	for (size_t i = 0; i < from->n_debts; i++) {
		struct state_debt d = {
			.node = from->debts[i]->node,
			.incarnation = from->debts[i]->incarnation,
			.since_ms = from->debts[i]->since_ms,
		};

		STATE_COPY(d.volume, from->debts[i]->volume);
		if (state_debt_vec_push(&s->debts, d) < 0)
			return false;
	}
	for (size_t i = 0; i < from->n_dedup; i++) {
		const Log__RequestId *id = from->dedup[i]->request;
		struct state_dedup d = {
			.code = from->dedup[i]->code,
			.number = from->dedup[i]->number,
		};

		if (!id)
			return false;
		d.node = id->node;
		d.instance = id->instance;
		d.seq = id->seq;
		if (state_dedup_vec_push(&s->dedup, d) < 0)
			return false;
	}
	return true;
}

static bool decode_fences(struct state *s, const Log__Snapshot *from)
{
	if (from->n_fences > (size_t)STATE_NODES_MAX * STATE_FENCES_PER_NODE)
		return false;
	for (size_t i = 0; i < from->n_fences; i++) {
		struct state_fence f = {
			.node = from->fences[i]->node,
			.incarnation = from->fences[i]->incarnation,
			.time_ms = from->fences[i]->time_ms,
			.took_ms = from->fences[i]->took_ms,
			.off = from->fences[i]->off,
		};

		STATE_COPY(f.why, from->fences[i]->why);
		STATE_COPY(f.method, from->fences[i]->method);
		STATE_COPY(f.by, from->fences[i]->by);
		STATE_COPY(f.text, from->fences[i]->text);
		if (state_fence_vec_push(&s->fences, f) < 0)
			return false;
	}
	if (from->n_agents > (size_t)STATE_NODES_MAX * STATE_AGENTS_PER_NODE)
		return false;
	for (size_t i = 0; i < from->n_agents; i++)
		if (state_agent_push(s, from->agents[i]->node, from->agents[i]) < 0)
			return false;
	return true;
}

static bool decode_setup(struct state *s, const Log__Setup *from)
{
	for (size_t i = 0; i < from->n_parts; i++) {
		const Log__SetupPart *p = from->parts[i];

		if (p->kind >= STATE_PARTS || p->data.len > STATE_PART_MAX)
			return false;
		s->setup.version = p->version;
		if (state_setup_put(&s->setup, (enum state_part)p->kind, p->data.data,
				    p->data.len) < 0)
			return false;
	}
	s->setup.version = from->version;
	if (from->gone.len > sizeof(s->setup.gone))
		return false;
	if (from->gone.len)
		memcpy(s->setup.gone, from->gone.data, from->gone.len);
	return true;
}

static bool decode_witness(struct state *s, const Log__Witness *from)
{
	if (!from)
		return true;
	if (from->uuid.len != sizeof(s->witness.uuid) || !from->url[0])
		return false;
	memcpy(s->witness.uuid, from->uuid.data, sizeof(s->witness.uuid));
	STATE_COPY(s->witness.url, from->url);
	s->witness.since_ms = from->since_ms;
	return true;
}

static bool decode_all(struct state *s, const Log__Snapshot *from)
{
	if (from->cluster_uuid.len != sizeof(s->cluster_uuid))
		return false;
	memcpy(s->cluster_uuid, from->cluster_uuid.data, sizeof(s->cluster_uuid));
	STATE_COPY(s->cluster_name, from->cluster_name);
	s->applied = from->applied;
	s->retired = from->retired;
	s->schema = from->schema;
	s->stopped = from->stopped;
	s->stop_saves = from->stop_saves;
	if (from->setup && !decode_setup(s, from->setup))
		return false;
	for (size_t i = 0; i < from->n_nodes; i++)
		if (!decode_node(s, from->nodes[i]))
			return false;
	for (size_t i = 0; i < from->n_volumes; i++)
		if (!decode_volume(s, from->volumes[i]))
			return false;
	for (size_t i = 0; i < from->n_resources; i++)
		if (!decode_resource(s, from->resources[i]))
			return false;
	return decode_witness(s, from->witness) && decode_rest(s, from) && decode_fences(s, from);
}

int state_decode(const uint8_t *data, size_t len, struct state *ret_state, struct cl_error *err)
{
	Log__Snapshot *from = log__snapshot__unpack(NULL, len, data);
	bool ok;

	state_init(ret_state);
	ok = from && decode_all(ret_state, from);
	if (from)
		log__snapshot__free_unpacked(from, NULL);
	if (ok)
		return 0;
	state_fini(ret_state);
	return cl_error_set(err, -CL_ECORRUPT, "the snapshot of the cluster database is damaged");
}
