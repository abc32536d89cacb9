/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of this node's clients. A request is sent to the leader again and again under one id until
 * its command is seen applied here, or it is refused; then it waits for what was asked to be true.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include "lib/le.h"

#include <stdio.h>
#include <string.h>

/* ---- coming in ------------------------------------------------------------------------------------------ */

static void pack(struct node *n, struct pending *p, const struct node_request *rq)
{
	Core__Request m = CORE__REQUEST__INIT;

	m.seq = p->seq;
	m.instance = n->cfg.instance;
	m.verb = rq->verb;
	m.object = COMMAND_STRING(rq->object ? rq->object : "");
	m.target = COMMAND_STRING(rq->target ? rq->target : "");
	m.url = COMMAND_STRING(rq->url ? rq->url : "");
	if (rq->uuid)
		m.uuid = (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)rq->uuid };
	m.spec = (ProtobufCBinaryData){ rq->spec_len, (uint8_t *)(uintptr_t)rq->spec };
	m.n_volumes = rq->n_volumes;
	m.volumes = (char **)(uintptr_t)rq->volumes;
	m.memory_bytes = rq->memory_bytes;
	m.cpus = rq->cpus;
	m.priority = rq->priority;
	m.start = rq->start;
	m.force = rq->force;
	m.on = rq->on;
	m.quick = rq->quick;
	m.start_after = rq->start_after;
	m.user = COMMAND_STRING(rq->user ? rq->user : "");
	if (rq->verb == NODE_FENCE_CONFIRM) {
		const struct state_node *s = state_node_by_name(&n->state, m.object);

		m.incarnation = s ? s->incarnation : 0;
	}
	p->len = core__request__get_packed_size(&m);
	p->packed = malloc(p->len + 1);
	if (p->packed)
		(void)core__request__pack(&m, p->packed);
	else
		n->out->no_memory = true;
}

static bool is_founding(enum node_verb verb)
{
	return verb == NODE_INIT || verb == NODE_JOIN || verb == NODE_RESTORE;
}

/* Anew from the database that is here. */
static bool is_forced(const struct node *n, const struct node_request *rq)
{
	return rq->verb == NODE_INIT && rq->force && n->raft;
}

/* Also here, not by the leader alone: what was said while the node was on our ring is not to be kept until
 * it has left. */
static bool fence_refused_here(struct node *n, const struct node_request *rq)
{
	const struct state_node *s = state_node_by_name(&n->state, rq->object);
	const char *why = s ? fence_cannot_confirm(n, s) : "there is no such node";

	if (why)
		core_reply(n, rq->client, s ? -CL_EREFUSED : -ENOENT,
			   "clusterctl status shows the nodes", "'%.63s': %s", rq->object, why);
	return why != NULL;
}

static bool refuse(struct node *n, const struct node_request *rq)
{
	bool founding = is_founding(rq->verb);

	if (is_forced(n, rq))
		return false;
	if (rq->verb == NODE_INIT && rq->force && !n->first_blob) {
		core_reply(
			n, rq->client, -CL_EREFUSED,
			"clusterctl init makes a new cluster, clusterctl restore brings one back",
			"this node has no database that it could go on with");
		return true;
	}
	if (founding && (n->raft || n->first_blob)) {
		core_reply(n, rq->client, -CL_EREFUSED, "clusterctl status shows the cluster",
			   "this node has a cluster's database already");
		return true;
	}
	if (!founding && !n->raft) {
		core_reply(n, rq->client, -CL_EREFUSED, "clusterctl init, or clusterctl join NODE",
			   "this node is in no cluster");
		return true;
	}
	if (rq->verb == NODE_FENCE_CONFIRM && fence_refused_here(n, rq))
		return true;
	if (rq->spec_len > (rq->verb == NODE_SETUP ? CORE_SETUP_MAX : STATE_SPEC_MAX) ||
	    rq->n_volumes > STATE_VOLUMES_OF_RESOURCE_MAX) {
		core_reply(n, rq->client, -EINVAL, "", "the description is too long");
		return true;
	}
	return false;
}

void request_new(struct node *n, const struct node_request *rq)
{
	struct pending p = {
		.client = rq->client,
		.verb = rq->verb,
		.on = rq->on,
		.since_ms = n->now_ms,
		.told_ms = INT64_MIN / 2,
	};

	if (refuse(n, rq) || (is_forced(n, rq) && !force_new(n, rq)) ||
	    (rq->verb == NODE_RESTORE && !force_restore(n, rq)))
		return;
	if (rq->verb == NODE_JOB) {
		job_new(n, rq);
		return;
	}
	p.seq = ++n->request_seq;
	CORE_COPY(p.object, rq->object);
	if (rq->verb != NODE_RESTORE) /* which is done already, and large */
		pack(n, &p, rq);
	if (pending_vec_push(&n->pending, p) < 0) {
		free(p.packed);
		n->out->no_memory = true;
		return;
	}
	if (rq->verb == NODE_INIT && !n->first_blob)
		log_genesis(n, rq);
}

/*
 * (node, life, number) names a request, and what was done by that name is not done again. A node that is
 * removed and comes anew under its id has another database, whose lives are counted anew, by a clock that may
 * have been set back: its first requests had the names of some that its former self had made, and were
 * answered with "done" (simulator: witness, split, seed 1762). So the numbers of a database begin at
 * one of its own.
 */
uint64_t request_first(const uint8_t uuid[16])
{
	return cl_get_le64(uuid) >> 1;
}

/* This node's former database had to be set aside: it asks by itself to be a member again. */
void request_rejoin(struct node *n)
{
	struct pending p = {
		.verb = NODE_JOIN,
		.client_gone = true,
		.since_ms = n->now_ms,
		.told_ms = INT64_MIN / 2,
		.seq = ++n->request_seq,
	};

	if (pending_vec_push(&n->pending, p) < 0)
		n->out->no_memory = true;
}

bool request_founding(const struct node *n)
{
	for (size_t i = 0; i < n->pending.n; i++)
		if (n->pending.v[i].verb == NODE_INIT)
			return true;
	return false;
}

static void done(struct node *n, size_t i)
{
	free(n->pending.v[i].packed);
	pending_vec_remove(&n->pending, i);
}

void request_free(struct node *n)
{
	while (n->pending.n > 0)
		done(n, 0);
	pending_vec_fini(&n->pending);
}

/* What was begun goes on; only nobody waits for it. What was never sent is forgotten. */
void request_client_gone(struct node *n, uint64_t client)
{
	job_client_gone(n, client);
	for (size_t i = n->pending.n; i-- > 0;)
		if (n->pending.v[i].client == client) {
			n->pending.v[i].client_gone = true;
			if (n->pending.v[i].accepted || !n->pending.v[i].sent)
				done(n, i);
		}
}

/* ---- sending --------------------------------------------------------------------------------------------- */

static void send_join(struct node *n, const struct pending *p)
{
	MESSAGE(JOIN, Join, join);

	m.name = n->cfg.name;
	m.uuid = (ProtobufCBinaryData){ sizeof(n->cfg.uuid), n->cfg.uuid };
	m.storage_address = n->cfg.storage_address;
	m.migration_address = n->cfg.migration_address;
	m.memory_bytes = n->cfg.memory_bytes;
	m.cpus = n->cfg.cpus;
	m.member = COMMAND_STRING(p->object);
	m.cleaned = n->incarnation == 0 && n->cleaning == 0;
	m.schema = schema_known(n);
	message_send(n, 0, &msg);
}

static void send_request(struct node *n, const struct pending *p)
{
	Core__Message msg = CORE__MESSAGE__INIT;

	msg.what_case = CORE__MESSAGE__WHAT_REQUEST;
	msg.request = core__request__unpack(NULL, p->len, p->packed);
	if (!msg.request) {
		n->out->no_memory = true;
		return;
	}
	message_send(n, raft_leader(n->raft).node, &msg);
	core__request__free_unpacked(msg.request, NULL);
}

/* ---- answers ---------------------------------------------------------------------------------------------- */

static struct pending *pending_find(struct node *n, uint64_t seq, size_t *ret_i)
{
	for (size_t i = 0; i < n->pending.n; i++)
		if (n->pending.v[i].seq == seq) {
			*ret_i = i;
			return &n->pending.v[i];
		}
	return NULL;
}

static void finish(struct node *n, size_t i, int code, const char *text)
{
	if (!n->pending.v[i].client_gone)
		core_reply(n, n->pending.v[i].client, code, "", "%s", text);
	done(n, i);
}

void request_applied(struct node *n, const struct state_result *res)
{
	size_t i;
	struct pending *p = pending_find(n, res->request_seq, &i);

	if (!p || p->accepted)
		return;
	if (res->code < 0) {
		finish(n, i, res->code, res->text[0] ? res->text : "it was refused");
		return;
	}
	p->accepted = true;
	p->accepted_ms = n->now_ms;
	p->number = res->number;
}

void request_on_answer(struct node *n, const Core__Message *msg)
{
	const Core__RequestAnswer *a = msg->request_answer;
	size_t i = 0;
	struct pending *p;

	if (a->instance != n->cfg.instance || a->code >= 0)
		return;
	p = pending_find(n, a->seq, &i);
	for (size_t k = 0; k < n->pending.n && !p && !n->raft; k++)
		if (n->pending.v[k].verb == NODE_JOIN) {
			p = &n->pending.v[k];
			i = k;
		}
	if (!p || p->accepted)
		return;
	if (!p->client_gone)
		core_reply(n, p->client, a->code, a->hint, "%s", a->text);
	else if (p->verb == NODE_JOIN)
		return; /* nobody else would ask for it again */
	done(n, i);
}

static void say_percent(struct node *n, const struct pending *p, const Core__VmReport *v)
{
	const struct state_resource *r = state_resource(&n->state, p->object);
	struct node_action *a;

	if (!r || r->reserved != v->number || p->client_gone)
		return;
	a = core_emit(n, NODE_DO_REPLY);
	a->reply.client = p->client;
	a->reply.more = true;
	(void)snprintf(a->reply.text, sizeof(a->reply.text), "%s, %u%%",
		       !r->quick		    ? "memory is copied"
		       : r->phase == STATE_HANDOVER ? "the state is loaded"
						    : "the state is saved",
		       v->percent);
}

/* Everybody hears how far a move has come; whoever waits for it here is told. */
void request_on_report(struct node *n, const Core__Message *msg)
{
	const Core__VmReport *v = msg->vm_report;

	if (v->what != CORE__VM_REPORT__WHAT__PROGRESS || v->percent > 100)
		return;
	for (size_t i = 0; i < n->pending.n; i++)
		if (n->pending.v[i].verb == NODE_MOVE && n->pending.v[i].accepted &&
		    strcmp(n->pending.v[i].object, v->resource) == 0)
			say_percent(n, &n->pending.v[i], v);
}

/* ---- until it is true --------------------------------------------------------------------------------------- */

enum truth {
	NOT_YET,
	IS_TRUE,
	NEVER, /* it came otherwise */
};

static enum truth started(const struct state_resource *r)
{
	if (!r || !r->wanted || r->phase == STATE_FAILED)
		return NEVER;
	return r->phase == STATE_ONLINE || r->reserved ? IS_TRUE : NOT_YET;
}

static bool is_served(enum state_volume_mode mode)
{
	return mode != STATE_MODE_UNAVAILABLE && mode != STATE_MODE_PAUSED;
}

/* True when the new coordinator serves; in maintenance there is nothing to be served. */
static enum truth volume_moved(const struct node *n, const struct pending *p,
			       const struct state_volume *v)
{
	enum state_volume_mode mode;
	char reason[STATE_REASON_MAX];
	int64_t since_ms;

	if (v->epoch < p->number)
		return v->moving_to ? NOT_YET : NEVER;
	if (v->epoch > p->number || v->maintenance)
		return IS_TRUE;
	/* What it says of now: it may have refused it before, too. */
	if (beats_refused(n, v->coordinator, v->name) &&
	    n->now_ms - p->accepted_ms > CORE_LOST_PATH_MS)
		return NEVER;
	return node_get_volume_mode(n, v->coordinator, v->name, &mode, reason, &since_ms) &&
			       is_served(mode)
		       ? IS_TRUE
		       : NOT_YET;
}

static enum truth moved(const struct node *n, const struct pending *p)
{
	const struct state_resource *r = state_resource(&n->state, p->object);
	const struct state_volume *v = state_volume(&n->state, p->object);

	if (v)
		return volume_moved(n, p, v);
	if (!r)
		return NEVER;
	if (r->generation == p->number)
		return IS_TRUE;
	return r->reserved == p->number && r->phase != STATE_ABORTING ? NOT_YET : NEVER;
}

static enum truth drained(const struct node *n, const struct pending *p)
{
	const struct state_node *s = state_node_by_name(&n->state, p->object);

	if (!s || !s->draining)
		return NEVER;
	for (size_t i = 0; i < n->state.resources.n; i++)
		if (n->state.resources.v[i].owner == s->id ||
		    n->state.resources.v[i].target == s->id)
			return NOT_YET;
	for (size_t i = 0; i < n->state.volumes.n; i++)
		if (n->state.volumes.v[i].coordinator == s->id)
			return NOT_YET;
	return IS_TRUE;
}

/* What each living node's csvd says of the volume; false: one does not satisfy `is`. */
static bool all_modes(const struct node *n, const char *volume, bool (*is)(enum state_volume_mode))
{
	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];
		char reason[STATE_REASON_MAX];
		enum state_volume_mode mode;
		int64_t since_ms;

		if (s->phase == STATE_NODE_LIVING && beats_in_ring(n, s->id) &&
		    (!node_get_volume_mode(n, s->id, volume, &mode, reason, &since_ms) ||
		     !is(mode)))
			return false;
	}
	return true;
}

static bool is_not_direct(enum state_volume_mode mode)
{
	return mode != STATE_MODE_DIRECT && mode != STATE_MODE_BLOCK_REDIRECTED;
}

static bool is_unmounted(enum state_volume_mode mode)
{
	return mode == STATE_MODE_UNAVAILABLE;
}

static enum truth redirected(const struct node *n, const struct pending *p)
{
	const struct state_volume *v = state_volume(&n->state, p->object);

	if (!v || v->redirected != p->on)
		return NEVER;
	return !p->on || all_modes(n, v->name, is_not_direct) ? IS_TRUE : NOT_YET;
}

/* By its coordinator, and no other node is left that the manager lets try (manager_volume.c). */
static bool is_refused(const struct node *n, const struct state_volume *v)
{
	if (!v || !beats_refused(n, v->coordinator, v->name))
		return false;
	for (size_t i = 0; i < n->state.nodes.n; i++)
		if (n->state.nodes.v[i].phase == STATE_NODE_LIVING &&
		    beats_may_open((void *)(uintptr_t)n, n->state.nodes.v[i].id, v->name))
			return false;
	return true;
}

static enum truth in_maintenance(const struct node *n, const struct pending *p)
{
	const struct state_volume *v = state_volume(&n->state, p->object);

	if (!v || v->maintenance != p->on)
		return NEVER;
	if (all_modes(n, v->name, p->on ? is_unmounted : is_served))
		return IS_TRUE;
	return !p->on && is_refused(n, v) ? NEVER : NOT_YET;
}

static enum truth gone_for_good(const struct node *n, const struct pending *p)
{
	const struct state_node *s = state_node_by_name(&n->state, p->object);

	/* Told by the leader that it is over, the log is not heard any more. */
	if (!s || (n->removed && s->id == n->cfg.id))
		return IS_TRUE;
	return s->leaving ? NOT_YET : NEVER;
}

/* All machines may be switched off at once: who is left alone must not wait for the others. */
static bool is_alone(const struct node *n, struct pending *p)
{
	if (n->view.quorate)
		p->alone_ms = 0;
	else if (!p->alone_ms)
		p->alone_ms = n->now_ms;
	return p->alone_ms && n->now_ms - p->alone_ms >= CORE_NO_LEADER_MS;
}

static enum truth said_goodbye(const struct node *n, struct pending *p)
{
	const struct state_node *s = state_node_by_name(&n->state, p->object);

	if (s && s->goodbye)
		return IS_TRUE;
	return s && s->stopping && !is_alone(n, p) ? NOT_YET : NEVER;
}

static enum truth stopped(const struct node *n, const struct pending *p)
{
	if (n->state.stopped != p->on)
		return NEVER;
	for (size_t i = 0; p->on && i < n->state.resources.n; i++)
		if (n->state.resources.v[i].owner)
			return NOT_YET;
	return IS_TRUE;
}

static enum truth truth_of(const struct node *n, struct pending *p)
{
	const struct state_resource *r = state_resource(&n->state, p->object);

	switch (p->verb) {
	case NODE_INIT:
	case NODE_JOIN:
	case NODE_RESTORE:
		return n->life == NODE_UP ? IS_TRUE : NOT_YET;
	case NODE_START:
		return started(r);
	case NODE_CREATE_VM:
		return r && r->wanted ? started(r) : IS_TRUE;
	case NODE_STOP:
		if (r && r->wanted)
			return NEVER;
		return !r || r->phase == STATE_OFFLINE ? IS_TRUE : NOT_YET;
	case NODE_MOVE:
		return moved(n, p);
	case NODE_DRAIN:
		return drained(n, p);
	case NODE_SETUP:
		return setup_everywhere(n, p->number) ? IS_TRUE : NOT_YET;
	case NODE_STOP_CLUSTER:
		return stopped(n, p);
	case NODE_STOP_NODE:
		return said_goodbye(n, p);
	case NODE_LEAVE:
	case NODE_EVICT:
		return gone_for_good(n, p);
	case NODE_REDIRECT:
		return redirected(n, p);
	case NODE_MAINTENANCE:
		return in_maintenance(n, p);
	default:
		return IS_TRUE;
	}
}

/* The first node that cannot use a volume: "node2: waiting for the coordinator". Its coordinator first. */
static void why_not_served(const struct node *n, const struct state_volume *v, char *text,
			   size_t size)
{
	const struct state_node *first = state_node(&n->state, v->coordinator);

	*text = 0;
	for (size_t i = 0; i <= n->state.nodes.n && !*text; i++) {
		const struct state_node *s = i ? &n->state.nodes.v[i - 1] : first;
		enum state_volume_mode mode;
		char reason[STATE_REASON_MAX];
		int64_t since_ms;

		if (!s || s->phase != STATE_NODE_LIVING || !beats_in_ring(n, s->id))
			continue;
		if (!node_get_volume_mode(n, s->id, v->name, &mode, reason, &since_ms))
			(void)snprintf(text, size, "%s: nothing is heard of it", s->name);
		else if (!is_served(mode))
			(void)snprintf(text, size, "%s: %.200s", s->name,
				       *reason ? reason : "it is not served yet");
	}
}

static const char *never_text(const struct node *n, const struct pending *p, char *buf, size_t size)
{
	const struct state_resource *r = state_resource(&n->state, p->object);
	const struct state_volume *v = state_volume(&n->state, p->object);

	if (v && is_refused(n, v) && (p->verb == NODE_MOVE || !v->maintenance)) {
		why_not_served(n, v, buf, size);
		return buf;
	}
	if (p->verb == NODE_MOVE && state_volume(&n->state, p->object))
		return "the node that it was to go to has failed meanwhile";
	if (p->verb == NODE_STOP_NODE)
		return p->alone_ms ? "no majority is left that could take note of its goodbye"
				   : "it failed, or was resumed, before it could say goodbye";
	return r && r->reason[0] ? r->reason : "somebody asked for something else meanwhile";
}

static void say_stage(struct node *n, struct pending *p, const char *text)
{
	struct node_action *a;

	if (p->client_gone || strcmp(p->stage, text) == 0)
		return;
	CORE_COPY(p->stage, text);
	a = core_emit(n, NODE_DO_REPLY);
	a->reply.client = p->client;
	a->reply.more = true;
	CORE_COPY(a->reply.text, text);
}

static bool ends_maintenance(const struct pending *p)
{
	return p->verb == NODE_MAINTENANCE && !p->on;
}

/* One line for each stage of a volume's move; and what keeps it from being served. */
static void say_progress(struct node *n, struct pending *p)
{
	const struct state_volume *v = state_volume(&n->state, p->object);
	char text[STATE_REASON_MAX];

	if (!v)
		return;
	if (p->verb == NODE_MOVE) {
		say_stage(n, p,
			  v->epoch < p->number ? "its coordinator finishes and closes it"
					       : "the new coordinator opens it");
	} else if (ends_maintenance(p) && n->now_ms - p->accepted_ms > CORE_STAGE_MS) {
		why_not_served(n, v, text, sizeof(text));
		if (*text)
			say_stage(n, p, text);
	}
}

/*
 * It is done, as far as it is the command's: what is left may need somebody who does something else, and
 * without a word about what that is he would wait for ever.
 */
static bool takes_too_long(const struct node *n, const struct pending *p, char *text, size_t size)
{
	if (!ends_maintenance(p) || n->now_ms - p->accepted_ms <= CORE_SERVE_MS)
		return false;
	(void)snprintf(text, size,
		       "the maintenance has ended, but not every node can use it: %.120s",
		       p->stage);
	return true;
}

static void wait_step(struct node *n, size_t i)
{
	struct pending *p = &n->pending.v[i];
	char text[STATE_REASON_MAX + 100];

	switch (truth_of(n, p)) {
	case IS_TRUE:
		finish(n, i, 0, "done");
		break;
	case NEVER:
		finish(n, i, -EIO, never_text(n, p, text, sizeof(text)));
		break;
	case NOT_YET:
		say_progress(n, p);
		if (takes_too_long(n, p, text, sizeof(text)))
			finish(n, i, -CL_EPENDING, text);
		break;
	}
}

static void send_step(struct node *n, size_t i)
{
	struct pending *p = &n->pending.v[i];

	if (raft_leader(n->raft).node == 0) {
		/* Never sent: it can be refused for certain. Sent: it may come true. */
		if (!p->sent && n->now_ms - p->since_ms > CORE_NO_LEADER_MS)
			finish(n, i, -CL_EREFUSED, "no majority of the nodes is there to decide");
		return;
	}
	if (!agent_due(n, &p->told_ms))
		return;
	p->sent = true;
	send_request(n, p); /* may answer at once: p is not looked at again */
}

void request_step(struct node *n)
{
	for (size_t i = n->pending.n; i-- > 0;) {
		struct pending *p = &n->pending.v[i];
		bool founding = is_founding(p->verb);

		if (founding || p->accepted)
			wait_step(n, i);
		else if (n->raft)
			send_step(n, i);
		if (founding && i < n->pending.n && !n->raft && n->pending.v[i].verb == NODE_JOIN &&
		    agent_due(n, &n->join_ms))
			send_join(n, &n->pending.v[i]);
	}
}
