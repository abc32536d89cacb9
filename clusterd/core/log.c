/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives raft: hands events in, carries its persists, applies and messages out. Keeps a list of the
 * `N failed` entries in the log, applied or not: a voter acks no beat of a node that failed in its
 * log, and must not forget that over a restart (the stored entries are looked through).
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

#include "lib/cleanup.h"
#include "quorum/state_schema.h"

unsigned log_state_defects(const struct node *n)
{
	static const struct {
		uint64_t node;
		unsigned state;
	} map[] = {
		{ NODE_DEFECT_EXPECT_NOTHING, STATE_DEFECT_EXPECT_NOTHING },
		{ NODE_DEFECT_REUSE_GENERATION, STATE_DEFECT_REUSE_GENERATION },
		{ NODE_DEFECT_KEEP_INCARNATION, STATE_DEFECT_KEEP_INCARNATION },
		{ NODE_DEFECT_FENCE_SKIPPED, STATE_DEFECT_FENCE_SKIPPED },
		{ NODE_DEFECT_BOUND_SKIPPED, STATE_DEFECT_BOUND_SKIPPED },
		{ NODE_DEFECT_HB_ONE_VOLUME, STATE_DEFECT_ONE_VOLUME },
		{ NODE_DEFECT_QUARANTINE_ALL, STATE_DEFECT_QUARANTINE_ALL },
		{ NODE_DEFECT_OFF_PAYS, STATE_DEFECT_OFF_PAYS },
		{ NODE_DEFECT_SAVE_TWICE, STATE_DEFECT_SAVE_TWICE },
		{ NODE_DEFECT_REMOVE_EARLY, STATE_DEFECT_REMOVE_EARLY },
		{ NODE_DEFECT_FORGET_RETIRED, STATE_DEFECT_FORGET_RETIRED },
		{ NODE_DEFECT_DETACH_QUIET, STATE_DEFECT_DETACH_QUIET },
		{ NODE_DEFECT_REQUEST_TWICE, STATE_DEFECT_REQUEST_TWICE },
	};
	unsigned defects = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(*map); i++)
		if (n->cfg.defects & map[i].node)
			defects |= map[i].state;
	return defects;
}

/* ---- failures in the log ---------------------------------------------------------------------- */

void log_failures_look(struct node *n, struct failure_vec *v, const struct raft_entry *e)
{
	Log__Command *c;

	if (e->type != RAFT_ENTRY_COMMAND)
		return;
	c = log__command__unpack(NULL, e->len, e->data);
	if (c && c->what_case == LOG__COMMAND__WHAT_NODE_FAILED) {
		struct failure f = {
			.index = e->index,
			.node = c->node_failed->node,
			.incarnation = c->node_failed->incarnation,
		};

		/* Forgetting it would let us ack a failed node. */
		cl_assert(failure_vec_push(v, f) == 0);
	} else if (c && c->what_case == LOG__COMMAND__WHAT_QUORUM_SET && v == &n->failures) {
		witness_note_set(n, e->index, c->quorum_set->url, c->quorum_set->uuid.data,
				 c->quorum_set->uuid.len);
	}
	if (c)
		log__command__free_unpacked(c, NULL);
}

/*
 * From where on what the log had is gone. A snapshot that takes its place has what was before its index, but until it is
 * durable our state is the old one: without the list a voter acks, for that moment, a node that failed long ago
 * (simulator: cluster, 16 nodes, seed 57 of its time).
 */
static uint64_t cut_from(const struct raft_persist *p)
{
	if (p->reset_log)
		return p->has_snapshot ? p->snapshot->index + 1 : 1;
	return p->truncate_from;
}

void log_failures_follow(struct node *n, struct failure_vec *v, const struct raft_persist *p)
{
	uint64_t from = cut_from(p);

	for (size_t i = v->n; from && i-- > 0;)
		if (v->v[i].index >= from)
			failure_vec_remove(v, i);
	if (from && v == &n->failures)
		witness_note_cut(n, from);
	for (uint32_t i = 0; i < p->n_entries; i++)
		log_failures_look(n, v, &p->entries[i]);
}

/* Applied ones are in the state: the list holds only what is not. */
void log_failures_forget(struct failure_vec *v, uint64_t applied)
{
	for (size_t i = v->n; i-- > 0;)
		if (v->v[i].index <= applied)
			failure_vec_remove(v, i);
}

bool log_failed_in(const struct state *state, const struct failure_vec *v, uint32_t node,
		   uint64_t incarnation)
{
	if (state_failed(state, node, incarnation))
		return true;
	for (size_t i = 0; i < v->n; i++)
		if (v->v[i].node == node && v->v[i].incarnation >= incarnation)
			return true;
	return false;
}

bool log_failed(const struct node *n, uint32_t node, uint64_t incarnation)
{
	return log_failed_in(&n->state, &n->failures, node, incarnation);
}

static void failures_forget(struct node *n)
{
	log_failures_forget(&n->failures, n->state.applied);
	witness_note_applied(n);
}

/* ---- opening ------------------------------------------------------------------------------------ */

static struct raft_params params(const struct node *n)
{
	struct raft_params p = {
		.self.node = n->cfg.id,
		.incarnation = n->cfg.instance,
		.seed = n->cfg.seed,
		.snapshot_every = n->cfg.snapshot_every,
		.snapshot_trailing = n->cfg.snapshot_every / 8,
		.defects = n->cfg.raft_defects,
	};

	memcpy(p.self.uuid, n->cfg.uuid, sizeof(p.self.uuid));
	memcpy(p.database, n->database, sizeof(p.database));
	return p;
}

static int database_of(struct node *n, const struct raft_stored *stored, struct cl_error *err)
{
	struct state s;
	int r = state_decode(stored->snapshot.blob, stored->snapshot.len, &s, err);

	if (r < 0)
		return r;
	memcpy(n->database, s.cluster_uuid, sizeof(n->database));
	if (state_schema(&s) > schema_known(n))
		r = cl_error_set(err, -EPROTONOSUPPORT,
				 "the database is of schema %u, this program knows %u: install the "
				 "version that the other nodes run",
				 state_schema(&s), schema_known(n));
	state_fini(&s);
	return r;
}

int log_open(struct node *n, const struct raft_stored *stored, struct cl_error *err)
{
	struct raft_params p;
	int r;

	if (stored->memory_lost)
		return cl_error_set(err, -CL_ECORRUPT, "the cluster database has lost entries");
	/* A joiner that ended before its first snapshot: still empty. */
	if (stored->snapshot.index == 0)
		return 0;
	r = database_of(n, stored, err);
	if (r < 0)
		return r;
	n->line = stored->line;
	p = params(n);
	r = raft_new(&p, stored, n->now_ms, &n->raft, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < stored->n_entries; i++)
		log_failures_look(n, &n->failures, &stored->entries[i]);
	return 0;
}

void log_join(struct node *n, const struct raft_message *m)
{
	struct raft_stored empty = { .line = m->line };
	struct raft_params p;

	n->line = m->line;
	memcpy(n->database, m->database, sizeof(n->database));
	p = params(n);
	if (raft_new(&p, &empty, n->now_ms, &n->raft, NULL) < 0)
		n->out->no_memory = true;
}

/* Not secret, only not the same twice: from the database's own uuid and the time. */
static void cluster_uuid(const struct node *n, uint8_t uuid[16])
{
	uint64_t h = UINT64_C(14695981039346656037) ^ (uint64_t)n->wall_ms;

	for (size_t i = 0; i < 16; i++) {
		h = (h ^ n->cfg.uuid[i]) * UINT64_C(1099511628211);
		uuid[i] = (uint8_t)(h >> 32);
	}
}

/* What a new cluster begins with in files: set as by the first command. */
static int genesis_setup(struct state *s, const struct node_request *rq)
{
	Log__SetupSet *set = log__setup_set__unpack(NULL, rq->spec_len, rq->spec);
	int r = 0;

	if (!set)
		return -ENOMEM; /* it is our own */
	s->setup.version = set->n_parts ? 1 : 0;
	for (size_t i = 0; i < set->n_parts && r == 0; i++)
		if (set->parts[i]->kind < STATE_PARTS)
			r = state_setup_put(&s->setup, (enum state_part)set->parts[i]->kind,
					    set->parts[i]->data.data, set->parts[i]->data.len);
	log__setup_set__free_unpacked(set, NULL);
	return r;
}

static int genesis_state(struct node *n, const struct node_request *rq, uint8_t **ret_blob,
			 size_t *ret_len)
{
	const char *name = rq->object && rq->object[0] ? rq->object : "cluster";
	struct state s;
	struct state_node self = { .id = n->cfg.id, .phase = STATE_NODE_KNOWN };
	int r;

	state_init(&s);
	CORE_COPY(s.cluster_name, name);
	memcpy(s.cluster_uuid, n->database, sizeof(s.cluster_uuid));
	s.applied = 1;
	s.schema = schema_known(n);
	CORE_COPY(self.name, n->cfg.name);
	memcpy(self.uuid, n->cfg.uuid, sizeof(self.uuid));
	CORE_COPY(self.storage_address, n->cfg.storage_address);
	CORE_COPY(self.migration_address, n->cfg.migration_address);
	CORE_COPY(self.reason, "is joining");
	self.memory_bytes = n->cfg.memory_bytes;
	self.cpus = n->cfg.cpus;
	self.since_ms = n->wall_ms;
	r = state_node_vec_push(&s.nodes, self);
	if (r == 0)
		r = genesis_setup(&s, rq);
	if (r == 0)
		r = state_encode(&s, ret_blob, ret_len);
	state_fini(&s);
	return r;
}

/* n->first with this node as the only voter. Raft begins when it is durable. */
static void first_persist(struct node *n, uint64_t index, uint64_t term)
{
	struct raft_snapshot *s = &n->first;
	struct raft_member self = { .id.node = n->cfg.id, .role = RAFT_VOTER };
	struct raft_persist p = {
		.has_snapshot = true,
		.reset_log = true,
		.snapshot = s,
		.first_index = index + 1,
		.has_vote = true,
		.term = term,
	};

	s->index = index;
	s->term = term;
	s->config = (struct raft_config){ 0 };
	s->blob = n->first_blob;
	memcpy(self.id.uuid, n->cfg.uuid, sizeof(self.id.uuid));
	(void)raft_config_put(&s->config, &self);
	/* As number 0 of the raft that begins with it. */
	n->first_seq = n->seq_base = n->seq_last + 1;
	core_persist(n, &p);
}

void log_genesis(struct node *n, const struct node_request *rq)
{
	cluster_uuid(n, n->database);
	n->line = (struct raft_line){ .number = 1, .random_id = n->cfg.seed };
	if (genesis_state(n, rq, &n->first_blob, &n->first.len) < 0)
		n->out->no_memory = true;
	else
		first_persist(n, 1, 1);
}

void log_begin_line(struct node *n, const struct raft_line *line, uint64_t term)
{
	uint64_t index = n->state.applied + 1;

	n->state.applied = index;
	n->line = *line;
	if (state_encode(&n->state, &n->first_blob, &n->first.len) < 0) {
		n->out->no_memory = true;
		return;
	}
	raft_free(n->raft);
	n->raft = NULL;
	raft_result_queue_clear(&n->results);
	failure_vec_clear(&n->failures);
	fence_agents_stop(n);
	manager_reset(n);
	n->config_version = 0;
	n->config_seen_ms = n->now_ms;
	n->expected_votes = 0;
	first_persist(n, index, term);
}

static void genesis_durable(struct node *n)
{
	struct raft_stored stored = {
		.line = n->line,
		.term = n->first.term,
		.snapshot = n->first,
	};
	struct raft_params p = params(n);

	if (raft_new(&p, &stored, n->now_ms, &n->raft, NULL) < 0)
		n->out->no_memory = true;
	free(cl_steal(n->first_blob));
	/* The only voter need not wait for a leader to fall silent. */
	if (n->raft && n->view.n_members > 0)
		beats_tell_ring(n);
}

void log_persisted(struct node *n, uint64_t seq)
{
	struct raft_event ev = { .type = RAFT_PERSISTED };

	slow_persisted(n, seq);
	if (n->first_blob && seq >= n->first_seq)
		genesis_durable(n);
	if (!n->raft || seq <= n->seq_base)
		return;
	ev.persisted_seq = seq - n->seq_base;
	log_feed(n, &ev);
}

/* ---- a step of raft ------------------------------------------------------------------------------ */

/* What it does not understand it cannot apply: it would have another state than the others. */
static void too_old(struct node *n)
{
	n->outdated = true;
	CORE_COPY(
		core_emit(n, NODE_DO_STOP)->reply.text,
		"this program is older than the database: install the version that the others run");
}

static void log_restore(struct node *n, const struct raft_snapshot *s)
{
	struct state fresh;

	/* Our own leader made it, or we did: if it does not hold together we must not go on. */
	if (state_decode(s->blob, s->len, &fresh, NULL) < 0) {
		core_condemn(n, "its snapshot is damaged");
		return;
	}
	if (state_schema(&fresh) > schema_known(n)) {
		state_fini(&fresh);
		too_old(n);
		return;
	}
	state_fini(&n->state);
	n->state = fresh;
	n->state.knows = n->cfg.schema;
	n->state.applied = s->index;
	n->voters = s->config;
	failures_forget(n);
	n->tables_stale = true;
}

static void log_config(struct node *n, const struct raft_entry *e)
{
	struct raft_config c;

	if (e->type == RAFT_ENTRY_CONFIG && raft_config_decode(e->data, e->len, &c) == 0)
		manager_voters_applied(n, &c);
}

static void log_apply(struct node *n, const struct raft_entry *e)
{
	struct state_result res;

	if (n->outdated)
		return;
	if (e->type != RAFT_ENTRY_COMMAND) {
		n->state.applied = e->index;
		log_config(n, e);
		return;
	}
	state_change_vec_clear(&n->changes);
	if (state_apply(&n->state, e->index, e->data, e->len, log_state_defects(n), &res,
			&n->changes) < 0)
		n->out->no_memory = true;
	if (res.unknown) {
		n->state.applied = e->index - 1; /* it changed nothing, and shall not seem to */
		too_old(n);
		return;
	}
	for (size_t i = 0; i < n->changes.n; i++)
		core_event_changed(n, &n->changes.v[i], i);
	n->tables_stale = n->tables_stale || n->changes.n > 0 || res.code == 0;
	if (res.request_node == n->cfg.id && res.request_instance == n->cfg.instance)
		request_applied(n, &res);
}

static void log_snapshot(struct node *n)
{
	struct raft_event ev = { .type = RAFT_SNAPSHOT_TAKEN };
	uint8_t *blob;
	size_t len;

	if (state_encode(&n->state, &blob, &len) < 0) {
		n->out->no_memory = true;
		return;
	}
	ev.snapshot.index = n->state.applied;
	ev.snapshot.blob = blob;
	ev.snapshot.len = len;
	log_feed(n, &ev);
	free(blob);
}

void log_feed(struct node *n, struct raft_event *ev)
{
	struct raft_actions *a = &n->raft_out;

	ev->now_ms = n->now_ms;
	raft_step(n->raft, ev, a);
	if (a->has_persist) {
		log_failures_follow(n, &n->failures, &a->persist);
		core_persist(n, &a->persist);
	}
	for (size_t i = 0; i < a->apply.n; i++) {
		if (a->apply.v[i].type == RAFT_APPLY_RESTORE)
			log_restore(n, a->apply.v[i].snapshot);
		else
			log_apply(n, a->apply.v[i].entry);
	}
	failures_forget(n);
	for (size_t i = 0; i < a->results.n; i++)
		if (raft_result_queue_push(&n->results, a->results.v[i]) < 0)
			n->out->no_memory = true;
	for (size_t i = 0; i < a->send.n; i++)
		message_raft(n, &a->send.v[i]);
	if (a->newer_line && !(n->cfg.defects & NODE_DEFECT_OLD_LINE))
		core_condemn(n, "the cluster was begun anew with --force, without this node");
	if (a->want_snapshot)
		log_snapshot(n);
}

/* ---- proposing ------------------------------------------------------------------------------------ */

bool log_is_leader(const struct node *n)
{
	return n->raft && raft_role(n->raft) == RAFT_LEADER && raft_leader_ready(n->raft);
}

bool log_in_flight(const struct node *n, const char *object)
{
	for (size_t i = 0; i < n->mgr.in_flight.n; i++)
		if (strcmp(n->mgr.in_flight.v[i].object, object) == 0)
			return true;
	return false;
}

bool log_propose(struct node *n, const char *object, Log__Command *c)
{
	struct raft_event ev = { .type = RAFT_PROPOSE };
	struct in_flight f = { .id = ++n->next_id };
	_cleanup_free_ uint8_t *data = NULL;

	if (!log_is_leader(n) || log_in_flight(n, object))
		return false;
	if (schema_of(c) > state_schema(&n->state) &&
	    c->what_case != LOG__COMMAND__WHAT_SCHEMA_RAISE)
		return false; /* not all nodes know it yet: it is asked for again */
	c->time_ms = n->wall_ms;
	ev.propose.len = (uint32_t)log__command__get_packed_size(c);
	data = malloc(ev.propose.len + 1);
	CORE_COPY(f.object, object);
	if (!data || in_flight_vec_push(&n->mgr.in_flight, f) < 0) {
		n->out->no_memory = true;
		return false;
	}
	(void)log__command__pack(c, data);
	ev.propose.id = f.id;
	ev.propose.data = data;
	log_feed(n, &ev);
	return true;
}

/* Whatever became of it, the object is free for the next command: each is harmless if repeated. */
static void log_landed(struct node *n, uint64_t id)
{
	for (size_t i = 0; i < n->mgr.in_flight.n; i++)
		if (n->mgr.in_flight.v[i].id == id) {
			in_flight_vec_remove(&n->mgr.in_flight, i);
			return;
		}
}

void log_results(struct node *n)
{
	/* New ones may be added while we look. */
	for (size_t i = 0; i < n->results.n; i++) {
		struct raft_result r = n->results.v[i];

		if (r.what == RAFT_READ)
			manager_on_read(n, &r);
		else
			log_landed(n, r.id);
	}
	raft_result_queue_clear(&n->results);
}
