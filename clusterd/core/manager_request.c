/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients' requests, at the leader: each becomes one command that carries the request's id, so that it
 * is done once however often it is repeated; or it is refused with a reason, before anything happened.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include "quorum/state_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void manager_answer(struct node *n, const struct asked *q, int code, const char *hint,
		    const char *fmt, ...)
{
	char text[200];
	va_list va;
	MESSAGE(REQUEST_ANSWER, RequestAnswer, request_answer);

	va_start(va, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, va);
	va_end(va);
	m.seq = q->rq->seq;
	m.instance = q->rq->instance;
	m.code = code;
	m.text = text;
	m.hint = COMMAND_STRING(hint);
	message_send(n, q->msg->from, &msg);
}

static const struct state_resource *resource_asked(struct node *n, const struct asked *q)
{
	const struct state_resource *r = state_resource(&n->state, q->rq->object);

	if (!r)
		manager_answer(n, q, -ENOENT, "clusterctl list shows what there is",
			       "no VM '%.63s'", q->rq->object);
	return r;
}

/* The named node, 0 for none; refuses a name that is no node's. */
static bool target_asked(struct node *n, const struct asked *q, uint32_t *ret_id)
{
	const struct state_node *s;

	*ret_id = 0;
	if (q->rq->target[0] == 0)
		return true;
	s = state_node_by_name(&n->state, q->rq->target);
	if (!s) {
		manager_answer(n, q, -ENOENT, "", "no node '%.63s'", q->rq->target);
		return false;
	}
	if (s->phase == STATE_NODE_LIVING && s->quarantined) {
		manager_answer(n, q, -CL_EREFUSED, "`clusterctl resume NODE` ends it",
			       "node '%s' is quarantined: it failed too often", s->name);
		return false;
	}
	if (s->phase != STATE_NODE_LIVING || s->draining || s->stopping) {
		manager_answer(n, q, -CL_EREFUSED, "clusterctl status shows why", "node '%s' is %s",
			       s->name,
			       s->draining   ? "drained"
			       : s->stopping ? "being stopped"
					     : "not up");
		return false;
	}
	*ret_id = s->id;
	return true;
}

static void create_volume(struct node *n, struct asked *q)
{
	COMMAND(VOLUME_CREATE, VolumeCreate, volume_create);

	m.name = q->rq->object;
	m.uuid = q->rq->uuid;
	m.url = q->rq->url;
	m.probed = q->rq->spec;
	c.request = &q->id;
	(void)log_propose(n, m.name, &c);
}

static void delete_volume(struct node *n, struct asked *q)
{
	const struct state_volume *v = state_volume(&n->state, q->rq->object);
	COMMAND(VOLUME_DELETE, VolumeDelete, volume_delete);

	if (v && !v->maintenance) {
		manager_answer(n, q, -CL_EREFUSED, "clusterctl delete does both",
			       "volume '%s' is not in maintenance", v->name);
		return;
	}
	m.name = q->rq->object;
	c.request = &q->id;
	(void)log_propose(n, m.name, &c);
}

static void create_vm(struct node *n, struct asked *q)
{
	uint32_t prefer;
	COMMAND(RESOURCE_CREATE, ResourceCreate, resource_create);

	if (!target_asked(n, q, &prefer))
		return;
	m.name = q->rq->object;
	m.type = COMMAND_STRING("vm");
	m.spec = q->rq->spec;
	m.n_volumes = q->rq->n_volumes;
	m.volumes = q->rq->volumes;
	m.memory_bytes = q->rq->memory_bytes;
	m.cpus = q->rq->cpus;
	m.priority = q->rq->priority;
	m.wanted = q->rq->start;
	m.prefer = prefer;
	m.start_after = q->rq->start_after;
	c.request = &q->id;
	(void)log_propose(n, m.name, &c);
}

static void delete_vm(struct node *n, struct asked *q)
{
	COMMAND(RESOURCE_DELETE, ResourceDelete, resource_delete);

	m.name = q->rq->object;
	c.request = &q->id;
	(void)log_propose(n, m.name, &c);
}

static void set_vm(struct node *n, struct asked *q)
{
	COMMAND(RESOURCE_SET, ResourceSet, resource_set);

	m.name = q->rq->object;
	m.start_after = q->rq->start_after;
	c.request = &q->id;
	(void)log_propose(n, m.name, &c);
}

static void set_address(struct node *n, struct asked *q)
{
	const struct state_node *s = state_node_by_name(&n->state, q->rq->object);
	COMMAND(NODE_ADDRESS, NodeAddress, node_address);

	if (!s) {
		manager_answer(n, q, -ENOENT, "", "no node '%.63s'", q->rq->object);
		return;
	}
	m.node = s->id;
	m.from = q->rq->target;
	m.to = q->rq->url;
	c.request = &q->id;
	(void)log_propose(n, s->name, &c);
}

static void start_stop(struct node *n, struct asked *q, bool on)
{
	uint32_t prefer;
	COMMAND(RESOURCE_DESIRE, ResourceDesire, resource_desire);

	if (!target_asked(n, q, &prefer))
		return;
	m.name = q->rq->object;
	m.wanted = on;
	m.prefer = prefer;
	m.force = q->rq->force;
	c.request = &q->id;
	(void)log_propose(n, m.name, &c);
}

static const char *cannot_go(const struct node *n, const struct state_volume *v, uint32_t to)
{
	if (to == 0)
		return "has no other node to go to";
	if (to == v->coordinator)
		return "is coordinated there already";
	if (v->moving_to)
		return "is being moved this moment: try again";
	if (state_has_debt(&n->state, v->name))
		return "is being fenced from a failed node: try again";
	if (!beats_has_path((void *)(uintptr_t)n, to, v->name))
		return "cannot go there: that node does not reach its LUN";
	return NULL;
}

static void move_volume(struct node *n, struct asked *q, const struct state_volume *v)
{
	const struct spread_view view = { .has_path = beats_has_path, .user = n };
	const char *why;
	uint32_t to;
	COMMAND(VOLUME_RELEASE, VolumeRelease, volume_release);

	if (!target_asked(n, q, &to))
		return;
	if (to == 0)
		to = spread_choose(&n->state, v, v->coordinator, &view);
	why = cannot_go(n, v, to);
	if (why) {
		manager_answer(n, q, -CL_EREFUSED, "clusterctl show tells how nodes reach it",
			       "volume '%s' %s", v->name, why);
		return;
	}
	m.name = q->rq->object;
	m.epoch = v->epoch;
	m.to = to;
	m.asked = true;
	c.request = &q->id;
	(void)log_propose(n, m.name, &c);
}

static void move_vm(struct node *n, struct asked *q)
{
	const struct state_resource *r = resource_asked(n, q);
	char why[STATE_REASON_MAX] = "";
	uint32_t to;

	if (!r || !target_asked(n, q, &to))
		return;
	if (r->phase != STATE_ONLINE) {
		manager_answer(n, q, -CL_EREFUSED, "only a running VM can be moved",
			       "VM '%s' is %s", r->name, state_phase_name(r->phase));
		return;
	}
	if (q->rq->quick && r->n_volumes == 0) {
		manager_answer(n, q, -CL_EREFUSED, "leave --quick away: the move is live",
			       "VM '%s' has no disk on a volume that its state could lie beside",
			       r->name);
		return;
	}
	if (to == 0)
		to = manager_choose(n, r, 0, r->owner, why);
	if (to == 0 || to == r->owner) {
		manager_answer(n, q, -CL_EREFUSED, "", "VM '%s' cannot move: %s", r->name,
			       to ? "it runs on that node" : why);
		return;
	}
	(void)manager_begin_move(n, r, to, q->rq->quick, "asked for", &q->id);
}

static void move(struct node *n, struct asked *q)
{
	const struct state_volume *v = state_volume(&n->state, q->rq->object);

	if (v)
		move_volume(n, q, v);
	else
		move_vm(n, q);
}

static void drain(struct node *n, struct asked *q, bool on)
{
	const struct state_node *s = state_node_by_name(&n->state, q->rq->object);
	COMMAND(NODE_DRAIN, NodeDrain, node_drain);

	if (!s) {
		manager_answer(n, q, -ENOENT, "", "no node '%.63s'", q->rq->object);
		return;
	}
	m.node = s->id;
	m.on = on;
	c.request = &q->id;
	(void)log_propose(n, s->name, &c);
}

static void setup(struct node *n, struct asked *q)
{
	Log__SetupSet *set = log__setup_set__unpack(NULL, q->rq->spec.len, q->rq->spec.data);
	Log__Command c = LOG__COMMAND__INIT;

	if (!set) {
		manager_answer(n, q, -EINVAL, "", "the setup cannot be read");
		return;
	}
	c.what_case = LOG__COMMAND__WHAT_SETUP_SET;
	c.setup_set = set;
	c.request = &q->id;
	(void)log_propose(n, "setup", &c);
	log__setup_set__free_unpacked(set, NULL);
}

static void stop_cluster(struct node *n, struct asked *q)
{
	COMMAND(CLUSTER_STOP, ClusterStop, cluster_stop);

	m.on = q->rq->on;
	m.save = q->rq->on && q->rq->quick;
	c.request = &q->id;
	(void)log_propose(n, "cluster", &c);
}

/* Two that leave at once, of two, would each wait for the other. */
static bool somebody_stays(const struct node *n, const struct state_node *but)
{
	for (size_t i = 0; i < n->state.nodes.n; i++)
		if (&n->state.nodes.v[i] != but && !n->state.nodes.v[i].leaving)
			return true;
	return false;
}

static bool all_know_removal(const struct node *n)
{
	COMMAND(NODE_REMOVE, NodeRemove, node_remove);

	m.node = n->cfg.id;
	return schema_of(&c) <= state_schema(&n->state);
}

/* Marked; setup.c does the rest, whoever leads by then. */
static void go_for_good(struct node *n, struct asked *q, bool evict)
{
	const struct state_node *s = state_node_by_name(&n->state, q->rq->object);
	bool there = s && s->phase == STATE_NODE_LIVING && beats_in_ring(n, s->id);
	COMMAND(NODE_DRAIN, NodeDrain, node_drain);

	if (!s) {
		manager_answer(n, q, -ENOENT, "", "no node '%.63s'", q->rq->object);
		return;
	}
	if (evict == there && !s->leaving) {
		manager_answer(n, q, -CL_EREFUSED,
			       evict ? "clusterctl leave NODE" : "clusterctl evict NODE",
			       evict ? "node '%s' is up: it can leave in order"
				     : "node '%s' is not up",
			       s->name);
		return;
	}
	if (!somebody_stays(n, s)) {
		manager_answer(n, q, -CL_EREFUSED, "", "'%s' is the only node of the cluster%s",
			       s->name, n->state.nodes.n > 1 ? " that stays" : "");
		return;
	}
	/* Marked, it would be drained and then wait for the last upgrade, without a word of it. */
	if (!all_know_removal(n)) {
		manager_answer(n, q, -CL_EREFUSED, "upgrade clusterd on all nodes first",
			       "nodes of an older version do not know how a node is removed");
		return;
	}
	m.node = s->id;
	m.on = true;
	m.leave = true;
	c.request = &q->id;
	(void)log_propose(n, s->name, &c);
}

static void redirect(struct node *n, struct asked *q)
{
	COMMAND(VOLUME_REDIRECT, VolumeRedirect, volume_redirect);

	m.name = q->rq->object;
	m.on = q->rq->on;
	c.request = &q->id;
	(void)log_propose(n, m.name, &c);
}

static void maintenance(struct node *n, struct asked *q)
{
	COMMAND(VOLUME_MAINTENANCE, VolumeMaintenance, volume_maintenance);

	m.name = q->rq->object;
	m.on = q->rq->on;
	c.request = &q->id;
	(void)log_propose(n, m.name, &c);
}

/* The LUN was made a witness's by whoever sent this: from here on it is one. */
static void set_quorum(struct node *n, struct asked *q)
{
	COMMAND(QUORUM_SET, QuorumSet, quorum_set);

	m.url = q->rq->url;
	m.uuid = q->rq->uuid;
	c.request = &q->id;
	(void)log_propose(n, q->rq->object, &c);
}

void manager_on_request(struct node *n, const Core__Message *msg)
{
	struct asked q = { .msg = msg, .rq = msg->request };

	if (!log_is_leader(n) || log_in_flight(n, msg->request->object))
		return; /* it is repeated */
	log__request_id__init(&q.id);
	q.id.node = msg->from;
	q.id.instance = msg->request->instance;
	q.id.seq = msg->request->seq;
	switch (msg->request->verb) {
	case NODE_SET_QUORUM:
		set_quorum(n, &q);
		break;
	case NODE_CREATE_VOLUME:
		create_volume(n, &q);
		break;
	case NODE_DELETE_VOLUME:
		delete_volume(n, &q);
		break;
	case NODE_CREATE_VM:
		create_vm(n, &q);
		break;
	case NODE_DELETE_VM:
		delete_vm(n, &q);
		break;
	case NODE_START:
	case NODE_STOP:
		start_stop(n, &q, msg->request->verb == NODE_START);
		break;
	case NODE_MOVE:
		move(n, &q);
		break;
	case NODE_DRAIN:
	case NODE_RESUME:
		drain(n, &q, msg->request->verb == NODE_DRAIN);
		break;
	case NODE_SETUP:
		setup(n, &q);
		break;
	case NODE_STOP_CLUSTER:
		stop_cluster(n, &q);
		break;
	case NODE_LEAVE:
	case NODE_EVICT:
		go_for_good(n, &q, msg->request->verb == NODE_EVICT);
		break;
	case NODE_STOP_NODE:
		manager_stop_node(n, &q);
		break;
	case NODE_SET_VM:
		set_vm(n, &q);
		break;
	case NODE_SET_ADDRESS:
		set_address(n, &q);
		break;
	case NODE_SET_FENCE:
		fence_set(n, &q);
		break;
	case NODE_FENCE_CONFIRM:
		fence_confirm(n, &q);
		break;
	case NODE_REDIRECT:
		redirect(n, &q);
		break;
	case NODE_MAINTENANCE:
		maintenance(n, &q);
		break;
	default:
		manager_answer(n, &q, -EINVAL, "", "the leader does not know this request");
	}
}

/* ---- join ---------------------------------------------------------------------------------------------------- */

static const char *join_refused(const struct node *n, const Core__Message *msg)
{
	const Core__Join *j = msg->join;
	const struct state_node *s = state_node(&n->state, msg->from);
	const struct state_node *same = state_node_by_name(&n->state, j->name);

	if ((j->schema ? j->schema : 1) < state_schema(&n->state))
		return "its clusterd is older than the cluster's: install the version that the "
		       "others run";
	if (j->uuid.len != 16 || !state_name_valid(j->name))
		return "a node needs a valid name and a database";
	if (j->member[0] && !state_node_by_name(&n->state, j->member))
		return "the named node is no member of this cluster";
	if (same && same->id != msg->from)
		return "another member has this node's name";
	if (s && s->phase == STATE_NODE_LIVING && memcmp(s->uuid, j->uuid.data, 16) != 0 &&
	    !j->cleaned)
		return "this node's old self still counts as living: try again in a moment";
	return NULL;
}

/* It has another database and has ended all that ran: its old self is over, and need not be waited for. */
static bool old_self_failed(struct node *n, const struct state_node *s)
{
	COMMAND(NODE_FAILED, NodeFailed, node_failed);

	if (s->phase != STATE_NODE_LIVING)
		return false;
	m.node = s->id;
	m.incarnation = s->incarnation;
	m.cause = COMMAND_STRING("its database is another one now");
	(void)log_propose(n, s->name, &c);
	return true;
}

void manager_on_join(struct node *n, const Core__Message *in)
{
	const Core__Join *j = in->join;
	const struct state_node *s;
	const char *why;
	Log__Node node = LOG__NODE__INIT;

	if (!log_is_leader(n))
		return;
	why = join_refused(n, in);
	if (why) {
		MESSAGE(REQUEST_ANSWER, RequestAnswer, request_answer);
		m.instance = in->instance;
		m.code = -CL_EREFUSED;
		m.text = COMMAND_STRING(why);
		message_send(n, in->from, &msg);
		return;
	}
	s = state_node(&n->state, in->from);
	if (s && memcmp(s->uuid, j->uuid.data, 16) == 0)
		return; /* known: the log is on its way */
	if (s && old_self_failed(n, s))
		return; /* it asks again */
	node.id = in->from;
	node.name = j->name;
	node.uuid = j->uuid;
	node.storage_address = j->storage_address;
	node.migration_address = j->migration_address;
	node.memory_bytes = j->memory_bytes;
	node.cpus = j->cpus;
	{
		COMMAND(NODE_ADD, NodeAdd, node_add);
		m.node = &node;
		(void)log_propose(n, j->name, &c);
	}
}
