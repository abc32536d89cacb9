/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words for people: what `status`, `list` and `show` say, as seen from this node. */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>
#include <string.h>

static bool quorate(const struct node *n)
{
	return n->view.quorate && n->life == NODE_UP;
}

/* Voters that answer, this one included. */
static uint32_t voters_heard(const struct node *n)
{
	const struct raft_config *c = raft_config(n->raft);
	uint32_t heard = 0;

	for (uint32_t i = 0; i < c->n; i++)
		heard += c->member[i].role == RAFT_VOTER && (c->member[i].id.node == n->cfg.id ||
							     beats_heard(n, c->member[i].id.node));
	return heard + witness_votes_present(n);
}

/* Since when, and why as far as this node can tell: the others may reach what it does not. */
static void witness_lost(const struct node *n, struct node_quorum *ret)
{
	int64_t at = n->wit.alive_ms > n->wit.is_ms ? n->wit.alive_ms : n->wit.is_ms;
	bool path = n->wit.phase >= WIT_WATCHING || !n->wit.why[0];

	ret->since_ms = n->wall_ms - (n->now_ms - at);
	(void)snprintf(ret->reason, sizeof(ret->reason), "%s%s%.100s",
		       ret->host ? "it does not answer the manager" : "no node serves it",
		       path ? "" : "; on this node: ", path ? "" : n->wit.why);
}

static const char *witness_word(const struct node *n, struct node_quorum *ret)
{
	struct raft_id id = witness_id(&n->wit.is);
	const struct raft_member *m = raft_config_find(raft_config(n->raft), &id);
	bool alive = n->now_ms - n->wit.alive_ms <= WITNESS_FRESH_MS;

	if (n->wit.phase == WIT_OFF)
		return "none";
	if (!m || m->role == RAFT_JOINING) {
		CORE_COPY(ret->reason, "it has not caught up with the database yet");
		return "joining";
	}
	if (!alive) {
		witness_lost(n, ret);
		return "lost";
	}
	if (m->role == RAFT_VOTER)
		return "voter";
	CORE_COPY(ret->reason, "it does not vote: the number of nodes is odd");
	return "learner";
}

static uint32_t witness_server(const struct node *n)
{
	if (n->wit.phase == WIT_SERVING)
		return n->cfg.id;
	for (size_t i = 0; i < n->peers.n; i++)
		if (n->peers.v[i].wit_serving && beats_heard(n, n->peers.v[i].id))
			return n->peers.v[i].id;
	return 0;
}

void node_get_quorum(const struct node *n, struct node_quorum *ret)
{
	*ret = (struct node_quorum){ .witness = "none", .url = "", .path = "" };
	if (!n->raft)
		return;
	ret->voters = raft_config_voters(raft_config(n->raft));
	ret->need = ret->voters / 2 + 1;
	ret->heard = voters_heard(n);
	ret->url = n->wit.is.url;
	ret->host = witness_server(n);
	ret->cast = n->wit.cast;
	ret->witness = witness_word(n, ret);
	if (n->wit.phase != WIT_OFF)
		ret->path = n->wit.phase >= WIT_WATCHING ? "ok" : n->wit.why;
}

bool node_is_voter(const struct node *n, uint32_t id)
{
	for (uint32_t i = 0; n->raft && i < raft_config(n->raft)->n; i++)
		if (raft_config(n->raft)->member[i].id.node == id)
			return raft_config(n->raft)->member[i].role == RAFT_VOTER;
	return false;
}

bool node_has_database(const struct node *n)
{
	return n->raft || n->first_blob;
}

void node_get_self(const struct node *n, struct node_self *ret)
{
	*ret = (struct node_self){
		.life = n->life,
		.since_ms = n->life_since_ms,
		.quorate = quorate(n),
		.applied = n->state.applied,
		.lease_until_ms = n->lease.until_ms,
		.incarnation = n->incarnation,
		.dropped_messages = n->dropped,
	};
	CORE_COPY(ret->reason, n->life_reason);
	ret->line = n->line.number;
	if (!n->raft)
		return;
	ret->leader = raft_leader(n->raft).node;
	ret->term = raft_term(n->raft);
	if (ret->quorate) {
		uint32_t need = raft_config_voters(raft_config(n->raft)) / 2 + 1;
		uint32_t heard = voters_heard(n);

		ret->can_lose = heard > need ? heard - need : 0;
	}
}

const struct state *node_state(const struct node *n)
{
	return &n->state;
}

const struct raft_config *node_voters(const struct node *n)
{
	return n->raft ? &n->voters : NULL;
}

bool node_get_volume_mode(const struct node *n, uint32_t id, const char *volume,
			  enum state_volume_mode *ret_mode, char reason[STATE_REASON_MAX],
			  int64_t *ret_since_ms)
{
	const struct peer *p = beats_peer(n, id);

	if (!p || (id != n->cfg.id && !beats_heard(n, id)))
		return false;
	for (size_t i = 0; i < p->volumes.n; i++)
		if (strcmp(p->volumes.v[i].name, volume) == 0) {
			*ret_mode = p->volumes.v[i].mode;
			core_copy(reason, STATE_REASON_MAX, p->volumes.v[i].reason);
			*ret_since_ms = p->volumes.v[i].since_ms;
			return true;
		}
	return false;
}

static const char *drain_word(const struct node *n, const struct state_node *s, char *reason)
{
	for (size_t i = 0; i < n->state.resources.n; i++)
		if (n->state.resources.v[i].owner == s->id) {
			core_copy(reason, STATE_REASON_MAX, "what runs there is being moved away");
			return "draining";
		}
	core_copy(reason, STATE_REASON_MAX, "drained; `resume` ends it");
	return "maintenance";
}

/* It is not known whether it executes anything: what was tried, and what a person can do. */
static void fence_reason(const struct node *n, const struct state_node *s, char *reason)
{
	if (state_fence_failed(&n->state, s))
		(void)snprintf(reason, STATE_REASON_MAX,
			       "%.28s; fence agents failed; seen to be off? `clusterctl fence "
			       "confirm %s`",
			       s->reason, s->name);
}

/* What it said itself before it went tells more than how it was missed. */
static const char *why_missed(const struct peer *p, const char *otherwise)
{
	return p && p->resigned[0] ? p->resigned : otherwise;
}

const char *node_get_node_word(const struct node *n, const struct state_node *s,
			       char reason[STATE_REASON_MAX])
{
	const struct peer *p = beats_peer(n, s->id);

	core_copy(reason, STATE_REASON_MAX, why_missed(p, s->reason));
	if (s->phase == STATE_NODE_KNOWN)
		return "joining";
	if (s->goodbye && s->phase == STATE_NODE_FAILED) {
		(void)snprintf(reason, STATE_REASON_MAX, "it was stopped in order%s",
			       p && beats_heard(n, s->id) && p->instance == s->instance
				       ? ": its machine may be switched off; `clusterctl resume` "
					 "takes it back"
				       : "");
		return "down";
	}
	if (s->phase == STATE_NODE_FAILED && s->silent < s->incarnation)
		fence_reason(n, s, reason);
	if (s->phase == STATE_NODE_FAILED)
		return s->silent < s->incarnation   ? "fencing"
		       : p && beats_heard(n, s->id) ? "joining"
						    : "down";
	if (s->id == n->cfg.id && n->life != NODE_UP) {
		core_copy(reason, STATE_REASON_MAX, n->life_reason);
		return n->life == NODE_ISOLATED ? "isolated" : "joining";
	}
	if (s->id != n->cfg.id && !beats_heard(n, s->id)) {
		core_copy(reason, STATE_REASON_MAX,
			  why_missed(
				  p,
				  detach_holds(n, s)
					  ? "its clusterd was told to end: its VMs run on, for two "
					    "minutes at most"
					  : "nothing is heard of it"));
		return "isolated";
	}
	if (p && p->isolated) {
		core_copy(reason, STATE_REASON_MAX, "has no run lease: its VMs are paused");
		return "isolated";
	}
	if (s->stopping) {
		core_copy(reason, STATE_REASON_MAX,
			  "is being stopped: what it runs is moved away, or shut down");
		return "draining";
	}
	if (s->draining)
		return drain_word(n, s, reason);
	if (s->quarantined) {
		(void)snprintf(reason, STATE_REASON_MAX,
			       "failed three times within an hour: runs nothing until `clusterctl "
			       "resume %s`",
			       s->name);
		return "quarantined";
	}
	if (p && p->slow_ms > 0)
		(void)snprintf(reason, STATE_REASON_MAX,
			       "slow: a write to its database took %u ms; it gets nothing new",
			       p->slow_ms);
	else if (p && p->times[0])
		core_copy(reason, STATE_REASON_MAX, p->times);
	else if (p)
		(void)length_differs(n, p, reason, STATE_REASON_MAX);
	return "up";
}

static bool paused_there(const struct node *n, const struct state_resource *r)
{
	const struct peer *p = beats_peer(n, r->owner);

	return r->owner == n->cfg.id ? n->life == NODE_ISOLATED : p && p->isolated;
}

/* What its node says of it in its beats, when it is not as it should be. */
static const struct peer_vm *said_of(const struct node *n, const struct state_resource *r)
{
	const struct peer *p = beats_peer(n, r->owner);

	if (r->phase != STATE_ONLINE || !p || (r->owner != n->cfg.id && !beats_heard(n, r->owner)))
		return NULL;
	for (size_t i = 0; i < p->vms.n; i++)
		if (p->vms.v[i].generation == r->generation &&
		    strcmp(p->vms.v[i].name, r->name) == 0)
			return &p->vms.v[i];
	return NULL;
}

int64_t node_get_resource_since(const struct node *n, const struct state_resource *r)
{
	const struct peer_vm *vm = quorate(n) ? said_of(n, r) : NULL;

	return vm && vm->since_ms > 0 ? vm->since_ms : r->since_ms;
}

static const char *online_word(const struct node *n, const struct state_resource *r, char *reason)
{
	const struct peer_vm *vm = said_of(n, r);

	if (paused_there(n, r)) {
		core_copy(reason, STATE_REASON_MAX, "its node has no run lease");
		return "paused";
	}
	if (vm)
		core_copy(reason, STATE_REASON_MAX, vm->reason);
	return vm && vm->paused ? "paused" : "online";
}

static bool any_has_path(const struct node *n, const char *volume)
{
	for (size_t i = 0; i < n->state.nodes.n; i++)
		if (n->state.nodes.v[i].phase == STATE_NODE_LIVING &&
		    beats_has_path((void *)(uintptr_t)n, n->state.nodes.v[i].id, volume))
			return true;
	return false;
}

/* Why it is not placed. Where the fence of a volume is what it waits for: whether anybody can pay it. */
static bool may_place(const struct node *n, const struct state_resource *r, char *reason)
{
	if (state_may_place(&n->state, r, reason))
		return true;
	for (size_t i = 0; i < r->n_volumes; i++)
		if (state_has_debt(&n->state, r->volumes[i]) && !any_has_path(n, r->volumes[i])) {
			(void)snprintf(reason, STATE_REASON_MAX,
				       "no path to volume '%s' from any node: it cannot be fenced",
				       r->volumes[i]);
			break;
		}
	return false;
}

static const char *nobody_takes(const struct node *n)
{
	for (size_t i = 0; i < n->state.nodes.n; i++)
		if (n->state.nodes.v[i].quarantined)
			return "no node takes it at present: `clusterctl status` shows one that is "
			       "quarantined";
	return "no node takes it at present";
}

const char *node_get_resource_word(const struct node *n, const struct state_resource *r,
				   char reason[STATE_REASON_MAX])
{
	core_copy(reason, STATE_REASON_MAX, r->reason);
	if (!quorate(n) && r->owner != n->cfg.id) {
		core_copy(reason, STATE_REASON_MAX, "this node has no quorum");
		return "unknown";
	}
	switch (r->phase) {
	case STATE_OFFLINE:
		return "offline";
	case STATE_WAITING:
		if (!may_place(n, r, reason) || reason[0])
			return "waiting";
		core_copy(reason, STATE_REASON_MAX, r->reason[0] ? r->reason : nobody_takes(n));
		return "waiting";
	case STATE_DISPLACED:
		(void)may_place(n, r, reason);
		return "waiting";
	case STATE_STARTING:
		return "starting";
	case STATE_STOPPING:
		return "stopping";
	case STATE_FAILED:
		return "failed";
	case STATE_ONLINE:
		return online_word(n, r, reason);
	default:
		return "migrating";
	}
}
