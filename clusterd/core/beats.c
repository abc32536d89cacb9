/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Beats and their acks, the bound's question, who is there, and whether guests may run here. */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

/* ---- sending ------------------------------------------------------------------------------------- */

enum { BEAT_VOLUMES_MAX = STATE_VOLUMES_MAX, BEAT_VMS_MAX = 256 };

static size_t beat_volumes(struct node *n, Core__VolumeMode *modes, Core__VolumeMode **list)
{
	size_t k;

	for (k = 0; k < n->volumes.n && k < BEAT_VOLUMES_MAX; k++) {
		const struct peer_volume *v = &n->volumes.v[k];

		core__volume_mode__init(&modes[k]);
		modes[k].volume = COMMAND_STRING(v->name);
		modes[k].mode = v->mode;
		modes[k].reason = COMMAND_STRING(v->reason);
		modes[k].since_ms = v->since_ms;
		modes[k].has_path = v->has_path;
		modes[k].refused = v->refused;
		list[k] = &modes[k];
	}
	return k;
}

/* Those that stand or do not answer. Of more than there is room for the first ones. */
static size_t beat_vms(struct node *n, struct peer_vm *vms, Core__VmState *states,
		       Core__VmState **list)
{
	size_t k = 0;

	for (size_t i = 0; i < n->locals.n && k < BEAT_VMS_MAX; i++) {
		if (!agent_tell_vm(n->locals.v[i], &vms[k]))
			continue;
		core__vm_state__init(&states[k]);
		states[k].resource = vms[k].name;
		states[k].generation = vms[k].generation;
		states[k].paused = vms[k].paused;
		states[k].reason = vms[k].reason;
		states[k].since_ms = vms[k].since_ms;
		list[k] = &states[k];
		k++;
	}
	return k;
}

static void beat_send(struct node *n)
{
	Core__VolumeMode modes[BEAT_VOLUMES_MAX], *list[BEAT_VOLUMES_MAX];
	Core__VmState states[BEAT_VMS_MAX], *state_list[BEAT_VMS_MAX];
	struct peer_vm vms[BEAT_VMS_MAX];
	Core__WitnessBeat witness;
	MESSAGE(BEAT, Beat, beat);

	witness_fill_beat(n, &witness);
	m.witness = &witness;

	m.sent_ms = n->now_ms;
	m.config_version = raft_config(n->raft)->version;
	m.n_volumes = beat_volumes(n, modes, list);
	m.volumes = list;
	m.n_vms = beat_vms(n, vms, states, state_list);
	m.vms = state_list;
	m.asks_acks = n->life == NODE_UP || n->life == NODE_ISOLATED;
	m.cleaned = n->cleaned && !m.asks_acks;
	m.ended = n->ended;
	m.goodbye = m.cleaned && n->goodbye;
	m.isolated = n->life == NODE_ISOLATED;
	m.applied = n->state.applied;
	m.slow_ms = slow_ms(n);
	m.times = n->times;
	m.lease_ms = (uint32_t)n->lease.length_ms;
	m.schema = schema_known(n);
	m.setup_written = n->setup_written;
	m.setup_loaded = n->setup_loaded;
	m.links_moving = n->links.moving;
	m.links_stand = n->links.stand;
	m.links_node = n->links.node;
	m.links_link = n->links.link;
	message_send(n, 0, &msg);
}

/* ---- acking: a voter's side --------------------------------------------------------------------- */

static void peer_volumes(struct node *n, struct peer *p, const Core__Beat *b)
{
	peer_volume_vec_clear(&p->volumes);
	for (size_t i = 0; i < b->n_volumes && i < BEAT_VOLUMES_MAX; i++) {
		struct peer_volume v = {
			.mode = b->volumes[i]->mode <= STATE_MODE_PAUSED
					? (enum state_volume_mode)b->volumes[i]->mode
					: STATE_MODE_UNAVAILABLE,
			.since_ms = b->volumes[i]->since_ms,
			.has_path = b->volumes[i]->has_path,
			.refused = b->volumes[i]->refused,
		};

		CORE_COPY(v.name, b->volumes[i]->volume);
		CORE_COPY(v.reason, b->volumes[i]->reason);
		if (peer_volume_vec_push(&p->volumes, v) < 0)
			n->out->no_memory = true;
	}
}

/* Every node hears the same and writes the same line. */
static void peer_times(struct node *n, struct peer *p, const char *times)
{
	const struct state_node *s = state_node(&n->state, p->id);

	char said[STATE_REASON_MAX];

	CORE_COPY(said, times);
	if (strcmp(p->times, said) == 0 || !s)
		return;
	CORE_COPY(p->times, said);
	core_event_of(n, p->id, s->name, *said ? "times-wrong" : "times-hold", said, -1);
}

static const struct peer_vm *peer_vm_find(const struct peer_vm_vec *vms, const char *name)
{
	for (size_t i = 0; i < vms->n; i++)
		if (strcmp(vms->v[i].name, name) == 0)
			return &vms->v[i];
	return NULL;
}

/* It is told of until its node has seen its end in the log: what is online still, goes on. */
static bool runs_on(const struct node *n, const struct peer *p, const struct peer_vm *vm)
{
	const struct state_resource *r = state_resource(&n->state, vm->name);

	return r && r->phase == STATE_ONLINE && r->owner == p->id &&
	       r->generation == vm->generation;
}

static void vm_event(struct node *n, const struct peer *p, const struct peer_vm *before,
		     const struct peer_vm *vm)
{
	bool was = before && before->paused, is = vm && vm->paused;
	const char *name = vm ? vm->name : before->name;

	if (!was && is)
		core_event_of(n, p->id, name, "vm-paused", vm->reason, -1);
	if (was && is && strcmp(before->reason, vm->reason) != 0)
		core_event_of(n, p->id, name, "vm-paused", vm->reason, -1);
	if (was && !is && runs_on(n, p, before))
		core_event_of(n, p->id, name, "vm-continued", before->reason,
			      n->wall_ms - before->since_ms);
	if (vm && !is && (!before || was))
		core_event_of(n, p->id, name, "vm-silent", vm->reason, -1);
}

/* Every node hears the same and writes the same lines. */
static void vm_events(struct node *n, const struct peer *p, const struct peer_vm_vec *before)
{
	for (size_t i = 0; i < p->vms.n; i++)
		vm_event(n, p, peer_vm_find(before, p->vms.v[i].name), &p->vms.v[i]);
	for (size_t i = 0; i < before->n; i++)
		if (!peer_vm_find(&p->vms, before->v[i].name))
			vm_event(n, p, &before->v[i], NULL);
}

static void peer_vms(struct node *n, struct peer *p, const Core__Beat *b)
{
	struct peer_vm_vec before = p->vms;

	p->vms = (struct peer_vm_vec){ 0 };
	for (size_t i = 0; i < b->n_vms && i < BEAT_VMS_MAX; i++) {
		struct peer_vm v = {
			.generation = b->vms[i]->generation,
			.paused = b->vms[i]->paused,
			.since_ms = b->vms[i]->since_ms,
		};

		CORE_COPY(v.name, b->vms[i]->resource);
		CORE_COPY(v.reason, b->vms[i]->reason);
		if (peer_vm_vec_push(&p->vms, v) < 0)
			n->out->no_memory = true;
	}
	vm_events(n, p, &before);
	peer_vm_vec_fini(&before);
}

/*
 * No ack once `N failed` is in our log: after that a majority's youngest acks bound N's lease. Nor for
 * a beater that counts by an older voter set than ours: with two changes between them two majorities
 * need not meet, and the bound would be asked of the wrong voters (docs/timing.md).
 */
static bool may_ack(const struct node *n, const Core__Message *msg)
{
	if (!msg->beat->asks_acks || msg->incarnation == 0 ||
	    !length_fits(&n->state, msg, n->cfg.defects))
		return false;
	if (n->cfg.defects & NODE_DEFECT_ACK_FAILED)
		return true;
	return !log_failed(n, msg->from, msg->incarnation) &&
	       (msg->beat->config_version >= raft_config(n->raft)->version ||
		(n->cfg.defects & NODE_DEFECT_ACK_OLD_VOTERS));
}

void beats_on_beat(struct node *n, const Core__Message *in)
{
	struct peer *p = message_peer(n, in->from);

	if (!p || in->seq <= p->seq)
		return;
	if (log_is_leader(n) && !state_node(&n->state, in->from) &&
	    !manager_knows_voter(n, in->from)) {
		MESSAGE(REMOVED, Removed, removed);

		m.instance = in->instance;
		message_send(n, in->from, &msg);
		return;
	}
	p->seq = in->seq;
	p->instance = in->instance;
	p->incarnation = in->incarnation;
	p->heard_ms = n->now_ms;
	p->resigned[0] = 0;
	p->isolated = in->beat->isolated;
	p->slow_ms = in->beat->slow_ms;
	peer_times(n, p, in->beat->times);
	length_heard(n, p, in->beat->lease_ms);
	p->schema = in->beat->schema ? in->beat->schema : 1;
	p->cleaned = in->beat->cleaned;
	p->ended = in->beat->ended;
	p->goodbye = in->beat->goodbye;
	p->applied = in->beat->applied;
	p->setup_written = in->beat->setup_written;
	p->setup_loaded = in->beat->setup_loaded;
	p->links = (struct node_links){ in->beat->links_moving, in->beat->links_stand,
					in->beat->links_node, in->beat->links_link };
	peer_volumes(n, p, in->beat);
	peer_vms(n, p, in->beat);
	witness_hear(n, in);
	witness_on_beat(n, in);
	if (may_ack(n, in) && lease_voter_ack(&n->voter, in->from, in->incarnation, n->now_ms)) {
		MESSAGE(BEAT_ACK, BeatAck, beat_ack);

		m.instance = in->instance;
		m.incarnation = in->incarnation;
		m.sent_ms = in->beat->sent_ms;
		m.voter = (ProtobufCBinaryData){ sizeof(n->cfg.uuid), n->cfg.uuid };
		message_send(n, in->from, &msg);
	}
}

/* ---- our lease ------------------------------------------------------------------------------------ */

static bool voter_of(const Core__Message *msg, uint32_t node, ProtobufCBinaryData uuid,
		     struct raft_id *ret)
{
	if (uuid.len != sizeof(ret->uuid))
		return false;
	ret->node = node ? node : msg->from; /* for the witness its host speaks */
	memcpy(ret->uuid, uuid.data, sizeof(ret->uuid));
	return true;
}

void beats_on_ack(struct node *n, const Core__Message *msg)
{
	const Core__BeatAck *a = msg->beat_ack;
	int64_t former_ms = n->lease.until_ms;
	struct raft_id voter;

	if (a->instance != n->cfg.instance || a->incarnation != n->incarnation ||
	    n->incarnation == 0 || a->sent_ms > n->now_ms ||
	    !voter_of(msg, a->voter_node, a->voter, &voter))
		return;
	lease_acked(&n->lease, &voter,
		    n->cfg.defects & NODE_DEFECT_LEASE_FROM_ACK ? n->now_ms : a->sent_ms);
	if (!lease_renew(&n->lease, raft_config(n->raft)))
		return;
	if (n->cfg.defects & NODE_DEFECT_DETACH_LEASE_KEPT)
		lease_detach(&n->lease, former_ms);
	beats_tell_lease(n);
	(void)lease_tick(&n->lease, n->now_ms);
}

void beats_tell_lease(struct node *n)
{
	struct node_action *a = core_emit(n, NODE_DO_CSVD_LEASE);

	a->lease.until_ms = n->lease.until_ms;
	a->lease.beat_ms = n->lease.beat_ms;
	a->lease.watched = n->lease.watched ? n->incarnation : 0;
	/* Long ago, as far as this process knows. The file's 0 would tell the next one, and the feeder, that
	 * nobody looks at this node's heartbeats (simulator: free-but-runs, a daemon restarted twice). */
	if (n->lease.watched && !n->lease.beat_ms)
		a->lease.beat_ms = 1;
}

bool beats_quorate(const struct node *n)
{
	return n->view.quorate || (n->cfg.defects & NODE_DEFECT_QUORUM_IGNORED);
}

bool beats_may_begin(const struct node *n)
{
	return n->life == NODE_UP && beats_quorate(n) && !n->lease.inherited &&
	       lease_state(&n->lease) == LEASE_VALID;
}

bool beats_may_run(const struct node *n)
{
	if (n->cfg.defects & NODE_DEFECT_LEASE_IGNORED)
		return true;
	return lease_state(&n->lease) == LEASE_VALID;
}

/* ---- the bound: a voter's answer ------------------------------------------------------------------ */

static void bound_answer(struct node *n, const struct bound_wait *w)
{
	MESSAGE(BOUND_ANSWER, BoundAnswer, bound_answer);

	m.id = w->id;
	m.age_ms = (uint64_t)lease_voter_age(&n->voter, w->node, n->now_ms);
	m.voter = (ProtobufCBinaryData){ sizeof(n->cfg.uuid), n->cfg.uuid };
	message_send(n, w->from, &msg);
}

static bool failure_applied(const struct node *n, const struct bound_wait *w)
{
	return state_failed(&n->state, w->node, w->incarnation);
}

static void bound_later(struct node *n, const struct bound_wait *w)
{
	size_t at = 0; /* of too many the first is asked again */

	for (size_t i = BOUND_WAITS; i-- > 0;)
		if (!n->bound_waits[i].from ||
		    (n->bound_waits[i].from == w->from && n->bound_waits[i].node == w->node))
			at = i;
	n->bound_waits[at] = *w;
}

/*
 * Only when the entry is applied here: then it is durable and committed, so that also a later life of
 * this process acks that incarnation no more. Mostly the question is here a moment before: it is kept.
 */
void beats_on_bound_ask(struct node *n, const Core__Message *in)
{
	const Core__BoundAsk *q = in->bound_ask;
	const struct bound_wait w = { in->from, q->node, q->incarnation, q->id };

	witness_on_bound_ask(n, in);
	if (q->failed && !failure_applied(n, &w) && !(n->cfg.defects & NODE_DEFECT_BOUND_UNAPPLIED))
		bound_later(n, &w);
	else
		bound_answer(n, &w);
}

static void bound_waits_step(struct node *n)
{
	for (size_t i = 0; i < BOUND_WAITS; i++) {
		struct bound_wait w = n->bound_waits[i];

		if (!w.from || !failure_applied(n, &w))
			continue;
		n->bound_waits[i].from = 0;
		bound_answer(n, &w);
	}
}

/* ---- who is there ---------------------------------------------------------------------------------- */

static bool in_list(const uint32_t *list, size_t count, uint32_t id)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == id)
			return true;
	return false;
}

bool beats_in_ring(const struct node *n, uint32_t id)
{
	return in_list(n->view.members, n->view.n_members, id);
}

struct peer *beats_peer(const struct node *n, uint32_t id)
{
	for (size_t i = 0; i < n->peers.n; i++)
		if (n->peers.v[i].id == id)
			return &n->peers.v[i];
	return NULL;
}

bool beats_heard(const struct node *n, uint32_t id)
{
	const struct peer *p = beats_peer(n, id);

	return p && beats_in_ring(n, id) && n->now_ms - p->heard_ms <= CORE_HEARD_MS;
}

/* NULL: it has said nothing of it yet. */
static const struct peer_volume *said_of(const struct node *n, uint32_t node, const char *volume)
{
	const struct peer *p = beats_peer(n, node);

	for (size_t i = 0; p && i < p->volumes.n; i++)
		if (strcmp(p->volumes.v[i].name, volume) == 0)
			return &p->volumes.v[i];
	return NULL;
}

bool beats_has_path(void *user, uint32_t node, const char *volume)
{
	const struct peer_volume *v = said_of(user, node, volume);

	return beats_heard(user, node) && (!v || v->has_path);
}

bool beats_refused(const struct node *n, uint32_t node, const char *volume)
{
	const struct peer_volume *v = said_of(n, node, volume);

	return beats_heard(n, node) && v && v->refused;
}

bool beats_may_open(void *user, uint32_t node, const char *volume)
{
	return beats_has_path(user, node, volume) && !beats_refused(user, node, volume);
}

static void gone_note(struct node *n, uint32_t id, bool at_once, uint64_t ring)
{
	struct gone g = { .id = id, .since_ms = n->now_ms, .at_once = at_once, .ring = ring };

	for (size_t i = 0; i < n->gone.n; i++)
		if (n->gone.v[i].id == id) {
			n->gone.v[i].at_once = n->gone.v[i].at_once || at_once;
			return;
		}
	if (gone_vec_push(&n->gone, g) < 0)
		n->out->no_memory = true;
}

void beats_tell_ring(struct node *n)
{
	struct raft_event ev = { .type = RAFT_RING };

	ev.ring.ring = n->view.members;
	ev.ring.n_ring = (uint32_t)n->view.n_members;
	ev.ring.group = n->view.group;
	ev.ring.n_group = (uint32_t)n->view.n_group;
	n->wit.ring_ms = n->now_ms;
	if (n->raft)
		log_feed(n, &ev);
	witness_ring(n);
}

/*
 * Who left a ring that keeps its majority has failed at once. When the majority forms only now (a
 * switch was rebooted) the missing ones are given time: they may be about to come back. A ring that was
 * quorate, lost members, and is quorate again as it stands, by the witness's vote, has kept it: that vote
 * can be cast only after the ring has formed.
 */
void beats_on_view(struct node *n, const struct node_view *view)
{
	bool kept = n->view.quorate && view->quorate;
	struct node_view old = n->view;

	n->view = *view;
	if (n->view.n_members > NODE_VIEW_MAX)
		n->view.n_members = NODE_VIEW_MAX;
	if (n->view.n_group > NODE_VIEW_MAX)
		n->view.n_group = NODE_VIEW_MAX;
	for (size_t i = 0; i < old.n_members; i++)
		if (!beats_in_ring(n, old.members[i]))
			gone_note(n, old.members[i], kept, old.quorate ? view->ring : 0);
	for (size_t i = 0; i < n->gone.n; i++)
		if (view->quorate && n->wit.cast && n->wit.cast_ring == view->ring &&
		    n->gone.v[i].ring == view->ring)
			n->gone.v[i].at_once = true;
	for (size_t i = n->gone.n; i-- > 0;)
		if (beats_in_ring(n, n->gone.v[i].id))
			gone_vec_remove(&n->gone, i);
	if (!view->quorate)
		n->quorate_since_ms = INT64_MAX;
	else if (!old.quorate)
		n->quorate_since_ms = n->now_ms;
	/* Said again after each ring change; only then: votequorum answers each word with a view. */
	if (view->ring != old.ring || (n->cfg.defects & NODE_DEFECT_EXPECT_ALWAYS))
		n->expected_votes = 0;
	/* While a ring forms nobody is heard: who is well shall be known to be before anything is placed. */
	if (view->ring != old.ring)
		n->beat_ms = n->now_ms;
	if (view->ring != old.ring || view->n_group != old.n_group ||
	    memcmp(view->group, old.group, sizeof(old.group)) != 0)
		beats_tell_ring(n);
}

/* A too low number harms nothing: corosync's quorum alone starts nothing. */
void beats_expect(struct node *n)
{
	uint32_t votes = raft_config_voters(raft_config(n->raft));

	if (votes < n->view.n_members + witness_votes_present(n))
		votes = (uint32_t)n->view.n_members + witness_votes_present(n);
	if (votes == n->expected_votes || votes == 0)
		return;
	n->expected_votes = votes;
	core_emit(n, NODE_DO_EXPECT)->votes = votes;
}

/* ---- with each step --------------------------------------------------------------------------------- */

void beats_step(struct node *n)
{
	if (raft_config(n->raft)->version != n->config_version) {
		n->config_version = raft_config(n->raft)->version;
		n->config_seen_ms = n->now_ms;
	}
	if (n->now_ms >= n->beat_ms) {
		n->beat_ms = n->now_ms + LEASE_BEAT_MS;
		beat_send(n);
	}
	bound_waits_step(n);
}

int64_t beats_deadline(const struct node *n)
{
	int64_t lease_ms = lease_deadline(&n->lease);

	return n->beat_ms < lease_ms ? n->beat_ms : lease_ms;
}
