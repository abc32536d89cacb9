/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Drives the decision core as clusterd does: events in, actions carried out in order. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/cluster_driver.h"

static void *copy(const void *from, size_t len)
{
	void *to = malloc(len + 1);

	cl_assert(to);
	if (len)
		memcpy(to, from, len);
	return to;
}

/* ---- carrying out ------------------------------------------------------------------------------------ */

/* Now and then a message comes once more, long after: an agent said it again, a daemon was slow to read. */
static void send_one(struct cworld *w, unsigned from, unsigned to, const struct node_action *a)
{
	struct task *t;
	bool by_lot;

	sim_send(w->s, from, to, a->send.data, a->send.len);
	by_lot = w->faults && sim_chance(w->s, 10000);
	if (!by_lot && !scene_repeats(w, from, a))
		return;
	t = task_new(w, T_AGAIN, to, by_lot ? 50 + sim_rand(w->s, 4000) : SCENE_REPEAT_MS);
	t->a = from;
	t->b = a->send.len;
	t->data = copy(a->send.data, a->send.len);
}

void world_again(struct cworld *w, struct task *t)
{
	struct node_event ev = { .type = NODE_EV_MESSAGE };

	ev.message.data = t->data;
	ev.message.len = t->b;
	ev.message.from = (uint32_t)t->a;
	if (!w->cut[t->a][t->node])
		cw_event(w, t->node, &ev);
}

static void send(struct cworld *w, unsigned from, const struct node_action *a)
{
	wire_sent(w, from, a);
	for (unsigned to = 1; to <= w->nodes; to++)
		if (to != from && (a->send.to == 0 || a->send.to == to))
			send_one(w, from, to, a);
}

/* A program that is too old: rightly only when it was away while the others were upgraded. Its turn. */
static void stops(struct cworld *w, unsigned node, const char *why)
{
	struct cnode *c = &w->node[node];
	struct node_self self;

	node_get_self(c->core, &self);
	if (!c->runs || self.life == NODE_UP)
		sim_fail(w->s, "stopped", "n%u ended itself: %s", node, why);
	sim_trace(w->s, "n%u ends itself: %s", node, why);
	c->schema = 0;
	sim_crash(w->s, node, false);
	task_new(w, T_BOOT, node, 20 + sim_rand(w->s, 700));
}

static void carry_out(struct cworld *w, unsigned node, struct node_action *a)
{
	struct cnode *c = &w->node[node];

	switch (a->type) {
	case NODE_DO_SEND:
		send(w, node, a);
		break;
	case NODE_DO_REPLY:
		w->replies++;
		sim_trace(w->s, "n%u reply %d %s", node, a->reply.code, a->reply.text);
		break;
	case NODE_DO_VM:
		driver_order(w, node, a);
		break;
	case NODE_DO_INCARNATION:
		c->file_incarnation = a->incarnation;
		if (!a->incarnation)
			break;
		driver_new_life(w, node, a->incarnation);
		c->on_since = a->incarnation;
		break;
	case NODE_DO_CLEANUP:
		driver_cleanup(w, node, a->incarnation);
		break;
	case NODE_DO_EXPECT:
		judge_expect(w, node);
		c->expected_votes = a->votes;
		task_new(w, T_VIEW, node, 1)->instance = c->instance;
		break;
	case NODE_DO_WITNESS:
		witness_order(w, node, a);
		break;
	case NODE_DO_FENCE:
		agent_begins(w, node, a);
		break;
	case NODE_DO_FENCE_STOP:
		break; /* it may have done it by then: its end is told, and not heeded */
	case NODE_DO_WITNESS_KNOWN:
		c->witness_known = a->witness_known;
		break;
	case NODE_DO_CAST:
		/* For a ring that has gone it counts for nothing. */
		if (a->cast.yes && a->cast.ring == c->ring_seq)
			judge_cast(w, node);
		c->cast = a->cast.yes;
		c->cast_ring = a->cast.ring;
		if (w->witness)
			task_new(w, T_VIEW, node, 1)->instance = c->instance;
		break;
	case NODE_DO_EVENT:
		sim_trace(w->s, "n%u event %" PRIu64 " %s %s: %s", node, a->event.id,
			  a->event.event, a->event.object, a->event.cause);
		if (a->event.node != node && strcmp(a->event.event, "node-attached") == 0 &&
		    node_state(c->core)->applied >= w->log.applied) /* news, not history */
			planned_attached(w, a->event.node);
		break;
	case NODE_DO_CONDEMN:
		sim_trace(w->s, "n%u condemns its database: %s", node, a->reply.text);
		sim_crash(w->s, node, false);
		disk_set_aside(w, node, a->reply.text);
		task_new(w, T_BOOT, node, 20 + sim_rand(w->s, 700));
		break;
	case NODE_DO_SETUP:
	case NODE_DO_SETUP_RELOAD:
	case NODE_DO_SETUP_STRIP:
	case NODE_DO_SETUP_DEVICE:
		members_do(w, node, a);
		break;
	case NODE_DO_SETUP_MOVE: /* nobody changes an address here */
		break;
	case NODE_DO_REMOVED:
		members_removed(w, node);
		break;
	case NODE_DO_END:
		planned_end(w, node);
		break;
	case NODE_DO_STOP:
		stops(w, node, a->reply.text);
		break;
	default:
		driver_csvd(w, node, a);
	}
}

static void see_log(struct cworld *w, const struct state *s, uint64_t line)
{
	w->log.line = line;
	w->log.applied = s->applied;
	for (unsigned l = 0; l < CW_VOLS; l++)
		if (state_volume(s, cw_volumes[l]))
			w->log.epoch[l] = state_volume(s, cw_volumes[l])->epoch;
	for (unsigned i = 1; i <= w->nodes; i++) {
		const struct state_node *n = state_node(s, i);

		w->log.member[i] = n;
		if (!n || n->leaving || n->phase == STATE_NODE_LIVING)
			w->log.leaves[i] = !n || n->leaving;
		w->log.living[i] = n && n->phase == STATE_NODE_LIVING ? n->incarnation : 0;
	}
}

/* Indices, states and members are counted anew in it. */
static void new_line(struct cworld *w, uint64_t line)
{
	w->forced = w->log.line != 0;
	w->log = (struct log_seen){ .line = line };
	w->voters = (struct raft_config){ 0 };
	if (w->n_hash)
		memset(w->hash, 0, w->n_hash * sizeof(*w->hash));
}

/* All nodes have the same state after the same index. */
static void check_state(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];
	const struct state *s = node_state(c->core);
	struct node_self self;
	uint64_t h;

	if (s->applied == c->checked)
		return;
	c->checked = s->applied;
	node_get_self(c->core, &self);
	if (self.line < w->log.line)
		return; /* history: what it believes is judged by what it does */
	if (self.line > w->log.line)
		new_line(w, self.line);
	driver_judge_free(w, s);
	judge_quarantine(w, s);
	judge_off(w, s);
	judge_silent(w, s);
	judge_orphans(w, s);
	judge_voters(w, node_voters(c->core), s);
	if (s->applied > w->log.applied)
		see_log(w, s, self.line);
	judge_goodbye(w, s);
	h = state_hash(s);
	if (s->applied >= w->n_hash) {
		size_t n = s->applied * 2 + 64;

		w->hash = reallocarray(w->hash, n, sizeof(*w->hash));
		cl_assert(w->hash);
		memset(w->hash + w->n_hash, 0, (n - w->n_hash) * sizeof(*w->hash));
		w->n_hash = n;
	}
	if (w->hash[s->applied] == 0)
		w->hash[s->applied] = h;
	else if (w->hash[s->applied] != h)
		sim_fail(w->s, "states-agree", "n%u has another state after index %" PRIu64, node,
			 s->applied);
	sim_hash(w->s, h);
}

void cw_event(struct cworld *w, unsigned node, struct node_event *ev)
{
	struct cnode *c = &w->node[node];
	struct node_action_vec mine;

	if (!c->core || hang_holds(w, node, ev))
		return;
	ev->now_ms = cw_clock(w, node);
	ev->wall_ms = sim_now(w->s) + c->wall_off;
	ev->heartbeat_until_ms = c->heartbeat_ms;
	node_step(c->core, ev, &c->out);
	cl_assert(!c->out.no_memory);
	check_state(w, node);
	/* Carrying out may lead to the next step of the same node: that has its own list. */
	mine = c->out.v;
	c->out.v = (struct node_action_vec){ 0 };
	/* What is to be written goes first: the disk takes it in the order in which it was decided upon. */
	for (size_t i = 0; i < mine.n; i++)
		if (mine.v[i].type == NODE_DO_PERSIST)
			disk_write(w, node, &mine.v[i]);
	for (size_t i = 0; i < mine.n && c->core; i++)
		if (mine.v[i].type != NODE_DO_PERSIST)
			carry_out(w, node, &mine.v[i]);
	{
		struct node_actions done = { .v = mine };

		node_actions_fini(&done);
	}
	if (c->core)
		sim_timer(w->s, node, cw_when(w, node, node_deadline(c->core)));
}

/* ---- the engine's calls --------------------------------------------------------------------------------- */

/* The quorum device is polled at once with each new ring: 0 until the core has said something. */
static uint32_t votes(const struct cworld *w, const struct cnode *c)
{
	bool cast = c->cast_ring == c->ring_seq && c->cast;

	return c->n_ring + (w->witness && cast);
}

static void tell_view(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];
	struct node_view v = { .ring = c->ring_seq };
	struct node_event ev = { .type = NODE_EV_VIEW, .view = &v };

	v.n_members = c->n_ring;
	v.n_group = c->n_group;
	memcpy(v.members, c->ring, sizeof(c->ring));
	memcpy(v.group, c->group, sizeof(c->group));
	v.quorate = c->quorate = votes(w, c) * 2 > c->expected_votes;
	cw_event(w, node, &ev);
}

void world_view(struct cworld *w, struct task *t)
{
	tell_view(w, t->node);
}

static void take_ring(struct cworld *w, unsigned node, const uint32_t *members, uint32_t n_members,
		      const uint32_t *group, uint32_t n_group)
{
	struct cnode *c = &w->node[node];

	memcpy(c->ring, members, n_members * sizeof(*members));
	memcpy(c->group, group, n_group * sizeof(*group));
	c->ring_seq++;
	c->ring_ms = sim_now(w->s);
	c->expects = 0;
	memset(c->ring + n_members, 0, (CW_NODES - n_members) * sizeof(*members));
	memset(c->group + n_group, 0, (CW_NODES - n_group) * sizeof(*group));
	c->n_ring = n_members;
	c->n_group = n_group;
	tell_view(w, node);
}

static void ring(struct sim *s, unsigned node, const uint32_t *members, uint32_t n_members,
		 const uint32_t *group, uint32_t n_group)
{
	struct cworld *w = sim_user(s);
	struct cnode *c = &w->node[node];

	if (sim_now(s) >= c->view_late_ms) {
		c->late.any = false;
		take_ring(w, node, members, n_members, group, n_group);
		return;
	}
	memcpy(c->late.ring, members, n_members * sizeof(*members));
	memcpy(c->late.group, group, n_group * sizeof(*group));
	c->late.n_ring = n_members;
	c->late.n_group = n_group;
	if (!c->late.any)
		task_new(w, T_LATE_VIEW, node, (uint64_t)(c->view_late_ms - sim_now(s)));
	c->late.any = true;
}

void world_late_view(struct cworld *w, struct task *t)
{
	struct cnode *c = &w->node[t->node];

	if (c->late.any)
		take_ring(w, t->node, c->late.ring, c->late.n_ring, c->late.group, c->late.n_group);
	c->late.any = false;
}

static uint32_t token_ms(const struct cworld *w, unsigned node)
{
	return node == planned_long_node(w) ? 4000 : 1000;
}

static void boot(struct sim *s, unsigned node)
{
	struct cworld *w = sim_user(s);
	struct cnode *c = &w->node[node];
	struct cl_error err = CL_ERROR_INIT;
	struct node_config cfg = {
		.id = node,
		.instance = ++c->instance,
		.memory_bytes = UINT64_C(8) << 30,
		.cpus = 4,
		.token_ms = token_ms(w, node),
		.consensus_ms = 1200,
		.incarnation = c->file_incarnation,
		.lease_until_ms = c->file_lease_ms,
		.lease_beat_ms = c->file_beat_ms,
		.seed = w->seed * 1000 + node * 100 + c->instance,
		.defects = w->defects,
		.raft_defects = w->raft_defects,
		.witness_defects = w->witness_defects,
		.voters_defects = w->voters_defects,
		.voters_away_ms = w->voters_away_ms,
		.quarantine_ms = w->quarantine_ms,
		.snapshot_every = w->snapshot_every,
		.schema = c->schema,
		.witness_known = c->witness_known,
	};
	struct raft_stored st = {
		.line = c->disk.line,
		.term = c->disk.term,
		.vote = c->disk.vote,
		.snapshot = c->disk.snapshot,
		.entries = c->disk.v,
		.n_entries = c->disk.n,
	};

	int r;

	memcpy(cfg.name, c->name, sizeof(cfg.name));
	memcpy(cfg.uuid, c->uuid, sizeof(cfg.uuid));
	memcpy(cfg.anew, c->anew, sizeof(cfg.anew));
	c->runs = c->schema;
	if (c->power_off) /* not when only our process is restarted */
		c->supplies = 0;
	c->power_off = false;
	r = node_new(&cfg, c->disk.any ? &st : NULL, cw_clock(w, node), &c->core, &err);
	if (r < 0 && c->schema) { /* the others were upgraded, and it was told before it ended */
		sim_trace(s, "n%u does not start: %s", node, err.msg);
		c->schema = c->runs = cfg.schema = 0;
		r = node_new(&cfg, &st, cw_clock(w, node), &c->core, &err);
	}
	if (r < 0)
		sim_fail(s, "restart", "n%u: its own disk was refused: %s", node, err.msg);
	c->checked = 0;
	c->quorate = false;
	c->expects = 0;
	c->n_ring = c->n_group = 0;
	c->late.any = false;
	c->view_late_ms = 0;
	if (c->expected_votes == 0)
		c->expected_votes = w->nodes + w->witness;
	driver_boot(w, node);
	members_boot(w, node);
}

static void crash(struct sim *s, unsigned node)
{
	struct cworld *w = sim_user(s);
	struct cnode *c = &w->node[node];

	node_free(c->core);
	c->core = NULL;
	hang_forget(w, node);
	if (!c->power_lost)
		return;
	c->power_off = true;
	c->away = c->comes_back = false;
	c->file_incarnation = c->on_since = 0;
	c->file_lease_ms = c->file_beat_ms = 0;
	c->expected_votes = 0;
	witness_session(w, node, false);
	c->machine++;
	driver_power_lost(w, node);
}

static void deliver(struct sim *s, unsigned node, unsigned from, const uint8_t *buf, size_t len)
{
	struct node_event ev = { .type = NODE_EV_MESSAGE };

	ev.message.data = buf;
	ev.message.len = len;
	ev.message.from = from;
	cw_event(sim_user(s), node, &ev);
}

static void timer(struct sim *s, unsigned node)
{
	struct node_event ev = { .type = NODE_EV_TICK };

	cw_event(sim_user(s), node, &ev);
}

static void persisted(struct sim *s, unsigned node, uint64_t seq)
{
	struct node_event ev = { .type = NODE_EV_PERSISTED, .persisted = seq };

	cw_event(sim_user(s), node, &ev);
}

const struct sim_ops cluster_ops = {
	.boot = boot,
	.crash = crash,
	.deliver = deliver,
	.timer = timer,
	.persisted = persisted,
	.ring = ring,
	.disk_apply = disk_apply,
	.disk_free = disk_free,
	.call = task_call,
};

/* ---- what is true ------------------------------------------------------------------------------------------ */

/* What anybody has applied is committed: the most advanced one that is up is the nearest to the truth. It
 * goes back when that one crashes: nothing that must not forget may be decided by it (struct log_seen). */
const struct state *cw_truth(const struct cworld *w)
{
	const struct state *best = NULL;

	for (unsigned i = 1; i <= w->nodes; i++) {
		const struct state *s = w->node[i].core ? node_state(w->node[i].core) : NULL;
		struct node_self self = { 0 };

		if (s)
			node_get_self(w->node[i].core, &self);
		if (s && self.line == w->log.line && (!best || s->applied > best->applied))
			best = s;
	}
	return best;
}

bool cw_on(const struct cworld *w, unsigned node)
{
	return !sim_frozen(w->s, node);
}
