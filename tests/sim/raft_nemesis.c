/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults, clients, the administrator, all by the seed; then everything is healed and has to work. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/raft_world.h"

enum call { CALL_NEMESIS, CALL_CLIENT, CALL_ADMIN };

/* ---- the plan of a seed ------------------------------------------------------------------ */

static uint32_t pick(struct world *w, const uint32_t *v, uint32_t n)
{
	return v[sim_rand(w->s, n)];
}
#define PICK(w, ...)                                                                               \
	pick((w), (const uint32_t[]){ __VA_ARGS__ },                                               \
	     sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

static void plan_network(struct world *w)
{
	struct sim_config *c = sim_config(w->s);

	*c = (struct sim_config){
		.latency_min_ms = 1,
		.latency_max_ms = PICK(w, 2, 5, 20),
		.tail_ppm = PICK(w, 0, 5000, 30000),
		.tail_ms = PICK(w, 100, 600, 3000),
		.loss_ppm = PICK(w, 0, 0, 30000, 100000),
		.dup_ppm = 20000,
		.fifo = sim_chance(w->s, 600000),
		.disk_min_ms = 0,
		.disk_max_ms = PICK(w, 2, 30, 200),
		.ring = sim_chance(w->s, 600000),
		.ring_lost_ms = 2200,
		.ring_gain_ms = 300,
	};
}

static void plan_faults(struct world *w)
{
	struct plan *p = &w->plan;
	bool members = sim_chance(w->s, 500000);

	p->w_crash = PICK(w, 1, 5, 10);
	p->w_power = PICK(w, 0, 1, 3);
	p->w_cut = PICK(w, 0, 2, 5);
	p->w_oneway = PICK(w, 0, 2, 5);
	p->w_mend = PICK(w, 3, 10);
	p->w_freeze = PICK(w, 0, 2, 4);
	p->w_slow = PICK(w, 0, 1, 3);
	p->w_transfer = PICK(w, 0, 3, 8);
	p->w_coup = PICK(w, 0, 2, 12);
	p->w_wipe = members ? PICK(w, 0, 2, 6) : 0;
	p->nemesis_ms = PICK(w, 40, 150, 500);
	p->client_ms = PICK(w, 5, 20, 100);
	p->admin_ms = members ? PICK(w, 200, 1000, 3000) : 0;
}

void plan_make(struct world *w, unsigned nodes)
{
	struct plan *p = &w->plan;
	static const uint32_t timing[][2] = {
		{ 300, 30 }, { 300, 50 }, { 1000, 100 }, { 2000, 100 }
	};
	uint64_t t = sim_rand(w->s, 4);

	plan_network(w);
	plan_faults(w);
	p->nodes = nodes;
	p->voters = !p->admin_ms || sim_chance(w->s, 500000) ? p->nodes : p->nodes - 1;
	if (p->voters < 3)
		p->voters = p->nodes;
	p->election_ms = timing[t][0];
	p->heartbeat_ms = timing[t][1];
	p->snapshot_every = PICK(w, 5, 20, 100000, 100000);
	p->snapshot_trailing = PICK(w, 1, 10);
	p->batch_bytes = PICK(w, 1, 100, 262144);
	p->bootstrap_all = sim_chance(w->s, 700000) || !p->admin_ms;
	p->witness = sim_chance(w->s, 150000);
	p->oneway_phase = sim_chance(w->s, 300000);
	p->events = 20000;
}

/* ---- who is who -------------------------------------------------------------------------- */

static unsigned random_node(struct world *w)
{
	return 1 + (unsigned)sim_rand(w->s, sim_nodes(w->s));
}

/* The leader of the highest term among those that run. 0 = none. */
static unsigned leader_of(struct world *w)
{
	unsigned best = 0;

	for (unsigned i = 1; i <= sim_nodes(w->s); i++) {
		const struct raft *r = w->node[i].raft;

		if (r && !sim_frozen(w->s, i) && r->role.state == RAFT_LEADER &&
		    (!best || r->term > w->node[best].raft->term))
			best = i;
	}
	return best;
}

static unsigned node_of(struct world *w, const struct raft_id *id)
{
	return id->node && raft_id_equal(&w->node[id->node].id, id) ? id->node : 0;
}

static bool has_ghost(struct world *w, const struct raft_config *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (!node_of(w, &c->member[i].id))
			return true;
	return false;
}

/* ---- clients ----------------------------------------------------------------------------- */

static uint64_t new_request(struct world *w)
{
	struct prop p = { .floor = oracle_commit(w) };

	cl_assert(prop_vec_push(&w->props, p) == 0);
	return w->props.n - 1;
}

static void propose(struct world *w, unsigned node)
{
	uint8_t data[48] = { 0 };
	struct raft_event ev = { .type = RAFT_PROPOSE };

	ev.propose.id = new_request(w);
	memcpy(data, &ev.propose.id, 8);
	ev.propose.data = data;
	ev.propose.len = 8 + (uint32_t)sim_rand(w->s, 40);
	world_step(w, node, &ev);
}

static void ask_read(struct world *w, unsigned node)
{
	struct raft_event ev = { .type = RAFT_READ };

	ev.read.id = new_request(w);
	world_step(w, node, &ev);
}

static bool runs(struct world *w, unsigned node)
{
	return node && w->node[node].raft && !sim_frozen(w->s, node);
}

static void client(struct world *w)
{
	unsigned node = sim_chance(w->s, 100000) ? random_node(w) : leader_of(w);
	unsigned n = sim_chance(w->s, 100000) ? 6 : 1;

	/* Also an old leader that does not know yet: whoever believes it leads. */
	if (sim_chance(w->s, 300000)) {
		unsigned other = random_node(w);

		if (runs(w, other) && w->node[other].raft->role.state == RAFT_LEADER)
			node = other;
	}
	if (!runs(w, node))
		return;
	if (sim_chance(w->s, 250000))
		ask_read(w, node);
	else
		while (n--)
			propose(w, node);
}

/* ---- the administrator ------------------------------------------------------------------- */

static void change(struct world *w, unsigned leader, enum raft_change op, struct raft_member m)
{
	struct raft_event ev = { .type = RAFT_CHANGE };

	ev.change.id = new_request(w);
	ev.change.op = op;
	ev.change.member = m;
	sim_trace(w->s, "admin: %s n%u role %d", op == RAFT_CHANGE_PUT ? "put" : "remove",
		  m.id.node, (int)m.role);
	world_step(w, leader, &ev);
}

static bool remove_ghost(struct world *w, unsigned leader)
{
	const struct raft_config *c = raft_config(w->node[leader].raft);

	for (uint32_t i = 0; i < c->n; i++)
		if (!node_of(w, &c->member[i].id)) {
			change(w, leader, RAFT_CHANGE_REMOVE, c->member[i]);
			return true;
		}
	return false;
}

static void admin(struct world *w)
{
	unsigned leader = leader_of(w), node = random_node(w);
	const struct raft_config *c;
	const struct raft_member *m;
	struct raft_member want = { .id = w->node[node].id };

	if (!leader || !runs(w, leader) || remove_ghost(w, leader))
		return;
	c = raft_config(w->node[leader].raft);
	m = raft_config_find(c, &want.id);
	if (!m || m->role != RAFT_VOTER) {
		want.role = PICK(w, RAFT_LEARNER, RAFT_JOINING, RAFT_JOINING, RAFT_VOTER);
		change(w, leader, RAFT_CHANGE_PUT, want);
	} else if (raft_config_voters(c) > 2) {
		want.role = RAFT_LEARNER;
		change(w, leader, PICK(w, RAFT_CHANGE_PUT, RAFT_CHANGE_REMOVE, RAFT_CHANGE_REMOVE),
		       want);
	}
}

/* ---- faults ------------------------------------------------------------------------------ */

/* A disk may be lost while all others are there, agree, and are enough without it: with two lost
 * voters of three there is nothing left to demand. */
static bool may_wipe(struct world *w, unsigned node)
{
	uint64_t index = 0;

	for (unsigned i = 1; i <= sim_nodes(w->s); i++) {
		struct raft *r = w->node[i].raft;
		uint32_t voters = r ? raft_config_voters(raft_config(r)) : 0;

		if (!r || (raft_log_last(&r->log) && (voters < 3 || has_ghost(w, raft_config(r)) ||
						      raft_config_index(r) > r->commit)))
			return false;
		if (!raft_log_last(&r->log))
			continue;
		if (index && index != raft_config_index(r))
			return false;
		index = raft_config_index(r);
	}
	return raft_log_last(&w->node[node].raft->log) > 0;
}

static void wipe(struct world *w, unsigned node)
{
	struct rnode *n = &w->node[node];
	struct grave g = { .id = n->id };

	if (!may_wipe(w, node))
		return;
	sim_trace(w->s, "n%u loses its disk", node);
	sim_crash(w->s, node, false);
	g.img = n->img;
	cl_assert(grave_vec_push(&w->graves, g) == 0);
	n->img = (struct image){ .lost = true };
	sim_boot(w->s, node);
}

static void cut_off(struct world *w, unsigned node)
{
	for (unsigned i = 1; i <= sim_nodes(w->s); i++)
		if (i != node) {
			sim_cut(w->s, i, node, true);
			sim_cut(w->s, node, i, true);
		}
}

static void transfer(struct world *w)
{
	unsigned leader = leader_of(w);
	struct raft_event ev = { .type = RAFT_TRANSFER };

	if (!leader)
		return;
	if (sim_chance(w->s, 500000))
		ev.transfer.to = w->node[random_node(w)].id;
	ev.transfer.id = new_request(w);
	world_step(w, leader, &ev);
}

/* The leader dies with its word under way: the heir and the others campaign in the same term. */
static void coup(struct world *w)
{
	unsigned leader = leader_of(w);

	transfer(w);
	if (leader)
		sim_crash(w->s, leader, false);
}

static void crash_or_boot(struct world *w, unsigned node, bool power)
{
	if (sim_up(w->s, node))
		sim_crash(w->s, node, power);
	else
		sim_boot(w->s, node);
}

static void nemesis(struct world *w)
{
	const struct plan *p = &w->plan;
	unsigned a = random_node(w), b = random_node(w);
	uint64_t x = sim_rand(w->s, p->w_crash + p->w_power + p->w_cut + p->w_oneway + p->w_mend +
					    p->w_freeze + p->w_slow + p->w_transfer + p->w_coup +
					    p->w_wipe);

	/* Leaders are the better victims. */
	if (leader_of(w) && sim_chance(w->s, 300000))
		a = leader_of(w);
#define IS(weight) (x < p->weight ? true : (x -= p->weight, false))
	if (IS(w_crash))
		crash_or_boot(w, a, false);
	else if (IS(w_power))
		crash_or_boot(w, a, true);
	else if (IS(w_cut))
		cut_off(w, a);
	else if (IS(w_oneway))
		sim_cut(w->s, a, b, a != b);
	else if (IS(w_mend))
		sim_mend_all(w->s);
	else if (IS(w_freeze))
		sim_freeze(w->s, a, !sim_frozen(w->s, a));
	else if (IS(w_slow))
		sim_disk_slow(w->s, a, PICK(w, 0, 100, 1000, 3000));
	else if (IS(w_transfer))
		transfer(w);
	else if (IS(w_coup))
		coup(w);
	else
		wipe(w, a);
#undef IS
	/* Nobody stays dead for long: a cluster that is down shows nothing. */
	if (!sim_up(w->s, b) && sim_chance(w->s, 400000))
		sim_boot(w->s, b);
}

/* ---- calls ------------------------------------------------------------------------------- */

static void again(struct world *w, enum call what, uint32_t mean_ms)
{
	sim_at(w->s, sim_now(w->s) + 1 + (int64_t)sim_rand(w->s, 2 * mean_ms), what);
}

void nemesis_call(struct sim *s, unsigned what)
{
	struct world *w = sim_user(s);

	if (w->quiet)
		return;
	if (what == CALL_NEMESIS) {
		nemesis(w);
		again(w, CALL_NEMESIS, w->plan.nemesis_ms);
	} else if (what == CALL_CLIENT) {
		client(w);
		again(w, CALL_CLIENT, w->plan.client_ms);
	} else {
		admin(w);
		again(w, CALL_ADMIN, w->plan.admin_ms);
	}
}

void nemesis_start(struct world *w)
{
	again(w, CALL_NEMESIS, w->plan.nemesis_ms);
	again(w, CALL_CLIENT, w->plan.client_ms);
	if (w->plan.admin_ms)
		again(w, CALL_ADMIN, w->plan.admin_ms);
}

/* ---- heal -------------------------------------------------------------------------------- */

static void calm(struct world *w)
{
	struct sim_config *c = sim_config(w->s);

	w->quiet = true;
	c->loss_ppm = c->dup_ppm = c->tail_ppm = 0;
	c->latency_max_ms = 1;
	c->disk_max_ms = 2;
	sim_mend_all(w->s);
	for (unsigned i = 1; i <= sim_nodes(w->s); i++) {
		sim_freeze(w->s, i, false);
		sim_disk_slow(w->s, i, 0);
		sim_boot(w->s, i);
	}
}

static void run_for(struct world *w, int64_t ms)
{
	sim_run(w->s, sim_now(w->s) + ms, UINT64_MAX);
}

/* Proposes until one more is committed; false after `ms`. */
static bool progress(struct world *w, int64_t ms)
{
	uint64_t before = oracle_commit(w);
	int64_t end = sim_now(w->s) + ms;

	while (sim_now(w->s) < end) {
		for (unsigned i = 1; i <= sim_nodes(w->s); i++)
			if (runs(w, i) && raft_leader_ready(w->node[i].raft))
				propose(w, i);
		run_for(w, w->plan.election_ms / 4);
		if (oracle_commit(w) > before && leader_of(w))
			return true;
	}
	return false;
}

static int64_t patience_ms(const struct world *w)
{
	return 10 * (int64_t)w->plan.election_ms + 8000;
}

/* One entry per message takes its time over a long tail: it is given, as long as it gets on. */
static void catch_up(struct world *w)
{
	uint64_t sum = 0, before = UINT64_MAX;

	while (sum != before) {
		before = sum;
		sum = 0;
		run_for(w, 6000);
		for (unsigned i = 1; i <= sim_nodes(w->s); i++)
			sum += w->node[i].fsm.index + raft_last_index(w->node[i].raft);
	}
}

/*
 * The leader can send and not receive: its followers must not stay loyal to it for ever (rule 17).
 * No ring here, which would tell them.
 */
void nemesis_oneway_phase(struct world *w)
{
	unsigned leader;

	calm(w);
	sim_config(w->s)->ring = false;
	run_for(w, patience_ms(w));
	catch_up(w);
	if (!progress(w, patience_ms(w)))
		sim_fail(w->s, "liveness", "no progress after the heal");
	run_for(w, 2 * (int64_t)w->plan.election_ms);
	leader = leader_of(w);
	if (!leader || raft_config_voters(raft_config(w->node[leader].raft)) < 3 ||
	    has_ghost(w, raft_config(w->node[leader].raft)))
		return;
	for (unsigned i = 1; i <= sim_nodes(w->s); i++)
		if (i != leader)
			sim_cut(w->s, i, leader, true);
	run_for(w, 100); /* answers under way */
	if (!progress(w, patience_ms(w)))
		sim_fail(w->s, "liveness-one-way", "n%u does not hear and leads on", leader);
	sim_mend_all(w->s);
}

static void check_equal(struct world *w, unsigned leader)
{
	const struct rnode *l = &w->node[leader];

	for (unsigned i = 1; i <= sim_nodes(w->s); i++) {
		const struct rnode *n = &w->node[i];

		if (!raft_config_find(raft_config(l->raft), &n->id))
			continue;
		if (n->fsm.index != l->fsm.index || n->fsm.hash != l->fsm.hash)
			sim_fail(w->s, "lagging",
				 "n%u stands at %" PRIu64 ", the leader n%u at %" PRIu64, i,
				 n->fsm.index, leader, l->fsm.index);
	}
}

/* All is well, the leader goes: once the ring (or group) says so, the next one takes milliseconds,
 * not the election timeout. */
void nemesis_failover(struct world *w)
{
	unsigned leader = leader_of(w);
	bool power = sim_chance(w->s, 500000);
	const struct raft_config *c = raft_config(w->node[leader].raft);

	if (!sim_config(w->s)->ring || raft_config_voters(c) < 3 || has_ghost(w, c))
		return;
	run_for(w, 3000); /* rings have settled */
	leader = leader_of(w);
	if (runs(w, leader))
		ask_read(w, leader); /* its last words: they may arrive after the word that it is gone (rule 29) */
	sim_crash(w->s, leader, power);
	run_for(w, (power ? sim_config(w->s)->ring_lost_ms : 0) + 300);
	if (!leader_of(w))
		sim_fail(w->s, "slow-failover", "nobody leads 300 ms after n%u left the ring",
			 leader);
}

/* An append is lost, and then somebody reads all the time: it is repeated all the same (rule 28). */
static void reads_phase(struct world *w, unsigned leader)
{
	uint64_t before = oracle_commit(w);

	for (unsigned i = 1; i <= sim_nodes(w->s); i++)
		if (i != leader)
			sim_cut(w->s, leader, i, true);
	propose(w, leader);
	run_for(w, 2);
	sim_mend_all(w->s);
	for (uint32_t i = 0; i < 500 && oracle_commit(w) <= before; i++) {
		if (runs(w, leader))
			ask_read(w, leader);
		run_for(w, 1 + w->plan.heartbeat_ms / 5);
	}
	if (oracle_commit(w) <= before)
		sim_fail(w->s, "reads-starve", "nothing is committed while n%u is read", leader);
}

void nemesis_heal(struct world *w)
{
	unsigned leader;

	calm(w);
	run_for(w, patience_ms(w));
	catch_up(w);
	for (int i = 0; i < 5; i++)
		if (!progress(w, patience_ms(w)))
			sim_fail(w->s, "liveness", "no progress after the heal");
	catch_up(w);
	leader = leader_of(w);
	if (!leader)
		sim_fail(w->s, "liveness", "no leader after the heal");
	if (w->node[leader].witness && raft_config_voters(raft_config(w->node[leader].raft)) > 1)
		sim_fail(w->s, "witness-leads", "n%u is a witness and keeps the lead", leader);
	check_equal(w, leader);
	reads_phase(w, leader);
}

/* Until the leader and one other are the only voters: that other one, 0 = it did not come to that. */
static unsigned two_voters(struct world *w)
{
	for (unsigned round = 0; round < 4 * sim_nodes(w->s); round++) {
		unsigned leader = leader_of(w), other = 0;
		const struct raft_config *c = leader ? raft_config(w->node[leader].raft) : NULL;

		for (uint32_t i = 0; c && i < c->n; i++)
			if (c->member[i].role == RAFT_VOTER && c->member[i].id.node != leader)
				other = c->member[i].id.node;
		if (c && !has_ghost(w, c) && raft_config_voters(c) <= 2)
			return other;
		if (c && !remove_ghost(w, leader))
			change(w, leader, RAFT_CHANGE_PUT,
			       (struct raft_member){ .id = w->node[other].id,
						     .role = RAFT_LEARNER });
		run_for(w, 2 * (int64_t)w->plan.heartbeat_ms + 50);
	}
	return 0;
}

/*
 * Of two voters one is demoted, and the leader dies before its own disk has that: what the other one heard of it must not
 * keep the leader from being elected again (rule 30).
 */
void nemesis_demoted_phase(struct world *w)
{
	unsigned other, leader;

	calm(w);
	run_for(w, patience_ms(w));
	if (!progress(w, patience_ms(w)))
		sim_fail(w->s, "liveness", "no progress after a failover");
	catch_up(w);
	other = two_voters(w);
	run_for(w, 1000);
	leader = leader_of(w);
	if (!other || !leader || leader == other)
		return;
	sim_disk_slow(w->s, leader, 1000);
	change(w, leader, RAFT_CHANGE_PUT,
	       (struct raft_member){ .id = w->node[other].id, .role = RAFT_LEARNER });
	run_for(w, 20);
	sim_crash(w->s, leader, sim_chance(w->s, 500000));
	calm(w);
	if (!progress(w, patience_ms(w)))
		sim_fail(w->s, "liveness", "no progress since n%u died demoting n%u", leader,
			 other);
}
