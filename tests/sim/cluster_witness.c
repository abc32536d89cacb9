/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness LUN and each node's witnessd. The LUN checks a write's key when it arrives; the write may
 * lie in the target for seconds and land all the same, whoever was preempted meanwhile. Only a barrier
 * waits for it. In every other seed it is a directory instead (iscsi/witness_dir.h): each claim writes into blocks of its
 * own, which the next one copies when it has claimed; the name of the owner is a compare-and-swap; who claims and dies
 * may leave no copy. Judged here:
 *   witness-stolen  it is taken from a host that writes its slot and whose side has a majority with it,
 *                   by a side that has none without it
 *   cast-unproven   votequorum's device votes for a part of the nodes by what the witness said in another ring
 *   witness-overwritten  a write of the LUN's former owner lands when the next one has taken over
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "quorum/witness_disk.h"
#include "tests/sim/cluster_driver.h"

enum { HALF_BYTES = 192 * 1024, LUN_BYTES = WITNESS_LOG_UNIT * WITNESS_UNIT + 2 * HALF_BYTES };

/* ---- the LUN ------------------------------------------------------------------------------------------ */

static uint64_t key_of(const struct cworld *w, unsigned node)
{
	return (uint64_t)node << 32 | w->node[node].wit_nexus;
}

static bool registered(const struct cworld *w, uint64_t key)
{
	for (unsigned i = 0; i < CW_KEYS; i++)
		if (w->wit.keys[i] == key)
			return true;
	return false;
}

static void add_key(struct cworld *w, uint64_t key)
{
	for (unsigned i = 0; i < CW_KEYS; i++)
		if (w->wit.keys[i] == 0) {
			w->wit.keys[i] = key;
			return;
		}
	cl_assert(!"too many keys on the witness");
}

static void preempt(struct cworld *w, uint64_t key)
{
	for (unsigned i = 0; i < CW_KEYS; i++)
		if (w->wit.keys[i] == key)
			w->wit.keys[i] = 0;
}

/* ---- a directory: blocks of each claim ---------------------------------------------------------------------- */

static struct wit_image *image_of(struct cworld *w, uint64_t claim)
{
	for (unsigned i = 0; claim && i < 4; i++)
		if (w->wit.image[i].claim == claim)
			return &w->wit.image[i];
	return NULL;
}

/* What `claim` finds: the newest below it. */
static struct wit_image *image_before(struct cworld *w, uint64_t claim)
{
	struct wit_image *best = NULL;

	for (unsigned i = 0; i < 4; i++) {
		struct wit_image *m = &w->wit.image[i];

		if (m->claim && m->claim < claim && (!best || m->claim > best->claim))
			best = m;
	}
	return best;
}

static struct wit_image *image_oldest(struct cworld *w)
{
	struct wit_image *best = &w->wit.image[0];

	for (unsigned i = 1; i < 4; i++)
		if (w->wit.image[i].claim < best->claim)
			best = &w->wit.image[i];
	return best;
}

/* False: what it would copy is removed by now, since a later one has its own. */
static bool image_copy(struct cworld *w, uint64_t claim)
{
	struct wit_image *from = image_before(w, claim), *to = image_oldest(w);

	if (w->wit.image[0].claim && (!from || from == to))
		return false;
	if (!to->bytes)
		to->bytes = calloc(1, LUN_BYTES);
	cl_assert(to->bytes);
	if (from)
		memcpy(to->bytes, from->bytes, LUN_BYTES);
	to->claim = claim;
	return true;
}

/* The superblock and slots are everybody's. */
static bool of_claim(uint64_t offset)
{
	uint64_t unit = offset / WITNESS_UNIT;

	return (unit > 0 && unit < WITNESS_SLOT_UNIT) || unit >= WITNESS_LOG_UNIT;
}

/* NULL: nobody's any more. */
static uint8_t *blocks_of(struct cworld *w, const struct wop *o)
{
	struct wit_image *m;

	if (!w->wit.file || !of_claim(o->offset))
		return w->wit.bytes;
	m = image_of(w, o->claim);
	return m ? m->bytes : NULL;
}

/* What begins a half asks who owns it. */
static bool may_write(const struct cworld *w, const struct wop *o)
{
	uint64_t at = o->offset - (uint64_t)WITNESS_LOG_UNIT * WITNESS_UNIT;
	bool begins = o->offset < (uint64_t)WITNESS_LOG_UNIT * WITNESS_UNIT || at % HALF_BYTES == 0;

	return w->node[o->node].wit_claimed && (!begins || w->wit.holder == key_of(w, o->node));
}

/* The target's process was restarted: it has forgotten all of it, and everybody's session is gone. */
void witness_target_restart(struct cworld *w)
{
	sim_trace(w->s, "witness: the target restarts");
	if (!w->wit.file) {
		memset(w->wit.keys, 0, sizeof(w->wit.keys));
		w->wit.holder = 0;
	}
	for (unsigned i = 1; i <= w->nodes; i++)
		witness_session(w, i, w->node[i].wit_open);
}

void witness_format(struct cworld *w, const uint8_t cluster[16])
{
	struct witness_super super = { .half_bytes = HALF_BYTES };

	memcpy(super.cluster, cluster, 16);
	for (unsigned i = 0; i < 16; i++)
		super.voter[i] = w->wit.uuid[i] = (uint8_t)sim_rand(w->s, 256);
	w->wit.bytes = calloc(1, LUN_BYTES);
	cl_assert(w->wit.bytes);
	witness_super_encode(&super, w->wit.bytes);
}

/* ---- sessions ------------------------------------------------------------------------------------------- */

static void say_path(struct cworld *w, unsigned node, bool up)
{
	struct node_event ev = { .type = NODE_EV_WITNESS };

	ev.witness.report = NODE_WITNESS_PATH;
	ev.witness.up = up;
	ev.witness.text = up ? "" : "no path to the witness";
	cw_event(w, node, &ev);
}

static bool reachable(const struct cworld *w, unsigned node)
{
	return w->wit.bytes && !w->wit.lost && !w->node[node].wit_cut;
}

/* What the session had begun goes on at the target; what it had not is gone. */
void witness_session(struct cworld *w, unsigned node, bool open)
{
	struct cnode *c = &w->node[node];

	c->wit_open = open;
	c->wit_nexus = 0;
	c->wit_claimed = c->wit_dying = false;
	c->wit_claim = 0;
	c->wit_session++;
	memset(c->wit_free_at, 0, sizeof(c->wit_free_at));
	memset(c->wit_busy, 0, sizeof(c->wit_busy));
	if (open)
		task_new(w, T_WIT_LOGIN, node, 5 + sim_rand(w->s, 50))->a = c->wit_session;
}

void witness_login(struct cworld *w, struct task *t)
{
	struct cnode *c = &w->node[t->node];

	if (t->a != c->wit_session || !c->core)
		return;
	if (!reachable(w, t->node)) {
		say_path(w, t->node, false);
		task_new(w, T_WIT_LOGIN, t->node, 500)->a = c->wit_session;
		return;
	}
	/* As witnessd does: older keys of this node that hold nothing go. */
	for (unsigned i = 0; i < CW_KEYS; i++)
		if (w->wit.keys[i] >> 32 == t->node && w->wit.keys[i] != w->wit.holder)
			w->wit.keys[i] = 0;
	c->wit_nexus = ++w->wit.nexuses;
	add_key(w, key_of(w, t->node));
	say_path(w, t->node, true);
}

/* ---- operations ------------------------------------------------------------------------------------------- */

static struct wop *wop_new(struct cworld *w)
{
	for (unsigned i = 0; i < CW_WOPS; i++)
		if (!w->wit.op[i].used) {
			w->wit.op[i] = (struct wop){ .used = true, .order = ++w->wit.orders };
			return &w->wit.op[i];
		}
	cl_assert(!"too many operations on the witness");
	return NULL;
}

static void wop_free(struct wop *o)
{
	free(o->data);
	*o = (struct wop){ 0 };
}

void witness_free_world(struct cworld *w)
{
	for (unsigned i = 0; i < CW_WOPS; i++)
		free(w->wit.op[i].data);
	for (unsigned i = 0; i < 4; i++)
		free(w->wit.image[i].bytes);
	free(w->wit.bytes);
}

/* As it is decided upon: by who was frozen then it is carried out much later. */
static bool in_ring(const struct cnode *c, unsigned node)
{
	for (uint32_t i = 0; i < c->n_ring; i++)
		if (c->ring[i] == node)
			return true;
	return false;
}

/* By who votes, not by how many nodes there are: one that stays away votes no more. */
static bool majority_without(const struct cworld *w, const struct cnode *c)
{
	uint32_t here = 0;

	for (uint32_t i = 0; i < w->voters.n; i++) {
		const struct raft_member *m = &w->voters.member[i];

		here += m->role == RAFT_VOTER && m->id.node != WITNESS_NODE &&
			in_ring(c, m->id.node);
	}
	return here * 2 > raft_config_voters(&w->voters);
}

/* One that was removed, or votes no more, and has not heard of it: its side has no majority, whatever it says. */
static bool votes(const struct cworld *w, unsigned node)
{
	for (uint32_t i = 0; i < w->voters.n; i++)
		if (w->voters.member[i].id.node == node && w->voters.member[i].role == RAFT_VOTER)
			return true;
	return false;
}

/*
 * A word of the old ring may reach who follows in the new one, here; not by clusterd/ring_gate.h. And who leads and hung
 * says one before it reads of the new ring (seed 80955 of its time): it has the witness for a moment.
 */
static bool hears_the_old_ring(struct cworld *w, unsigned node)
{
	const struct cnode *c = &w->node[node];
	struct node_self self;

	node_get_self(c->core, &self);
	if (self.leader == node)
		return c->held != NULL;
	return sim_now(w->s) - c->ring_ms <= sim_config(w->s)->latency_max_ms + 2;
}

static void judge_claim(struct cworld *w, unsigned node)
{
	const struct cnode *c = &w->node[node];
	unsigned from = (unsigned)(w->wit.holder >> 32);
	struct witness_slot slot;

	if (!from || from == node || in_ring(c, from) || !votes(w, from) ||
	    majority_without(w, c) || hears_the_old_ring(w, node))
		return;
	if (!witness_slot_decode(w->wit.bytes + (size_t)(WITNESS_SLOT_UNIT + from) * WITNESS_UNIT,
				 from, &slot))
		return;
	/* Eight writes of late: it lives, and was seen to. */
	if (slot.serving && slot.completes && sim_now(w->s) - w->wit.slot_ms[from][7] < 2600)
		sim_fail(w->s, "witness-stolen", "n%u takes the witness from n%u, which lives",
			 node, from);
}

static unsigned lane(const struct wop *o)
{
	return o->what == NODE_WITNESS_READ || o->what == NODE_WITNESS_WRITE;
}

/*
 * Who leads a ring that is not whole lets the device vote for it when the witness has answered in this ring, not in one
 * that was before. (Not judged of who follows: hears_the_old_ring() says why.)
 */
void judge_cast(struct cworld *w, unsigned node)
{
	const struct cnode *c = &w->node[node];
	struct node_quorum q;
	struct node_self self;

	node_get_self(c->core, &self);
	node_get_quorum(c->core, &q);
	if (self.leader != node || q.voters <= c->n_ring + 1)
		return;
	for (unsigned i = 1; i <= w->nodes; i++)
		if (w->wit.proved_ms[i] >= c->ring_ms)
			return;
	sim_fail(w->s, "cast-unproven",
		 "n%u's device votes, and the witness has not answered in this ring", node);
}

void witness_order(struct cworld *w, unsigned node, struct node_action *a)
{
	struct cnode *c = &w->node[node];
	int64_t now = sim_now(w->s), *free_at;
	struct wop *o;

	if (a->witness.what == NODE_WITNESS_OPEN) {
		witness_session(w, node, a->witness.url[0] != 0);
		return;
	}
	if (a->witness.what == NODE_WITNESS_CLAIM)
		judge_claim(w, node);
	o = wop_new(w);
	o->node = node;
	o->session = c->wit_session;
	o->id = a->witness.id;
	o->what = a->witness.what;
	o->offset = a->witness.offset;
	o->len = a->witness.len;
	o->data = a->witness.data;
	a->witness.data = NULL;
	/* One after the other, in order; slots do not wait for a barrier. */
	free_at = &c->wit_free_at[lane(o)];
	if (*free_at < now)
		*free_at = now;
	o->takes = sim_rand(w->s, 3);
	/* Longer than it takes to be thought dead: whoever takes over meets it. */
	if (w->faults && o->data &&
	    sim_chance(w->s, a->witness.what == NODE_WITNESS_WRITE ? 5000 : 40000))
		o->takes += sim_rand(w->s, 6000);
	task_new(w, T_WIT_BEGIN, node, (uint64_t)(*free_at - now))->slot =
		(unsigned)(o - w->wit.op);
	*free_at += (int64_t)o->takes;
}

static void note_slot(struct cworld *w, const struct wop *o)
{
	uint64_t node = o->offset / WITNESS_UNIT - WITNESS_SLOT_UNIT;

	if (node < 1 || node > w->nodes)
		return;
	memmove(&w->wit.slot_ms[node][1], &w->wit.slot_ms[node][0], 7 * sizeof(int64_t));
	w->wit.slot_ms[node][0] = sim_now(w->s);
}

/* All that has arrived has landed by then. */
static uint64_t barrier_ms(const struct cworld *w)
{
	int64_t until = sim_now(w->s);

	for (unsigned i = 0; i < CW_WOPS; i++)
		if (w->wit.op[i].used && w->wit.op[i].lands && w->wit.op[i].lands_ms > until)
			until = w->wit.op[i].lands_ms;
	return (uint64_t)(until - sim_now(w->s)) + 1;
}

/* The copy is made when it lands, if whoever claimed is still there. */
static void begin_file_claim(struct cworld *w, struct wop *o)
{
	sim_trace(w->s, "n%u claims the witness after n%u", o->node,
		  (unsigned)(w->wit.holder >> 32));
	o->ok = true;
	o->takes += 1 + sim_rand(w->s, 30);
	o->claim = w->wit.claim + 1;
	if (w->sim_defects & SIM_DEFECT_WITNESS_READ_FIRST) {
		o->takes += sim_rand(w->s, 2000);
		o->ok = image_copy(w, o->claim);
		return;
	}
	w->wit.claim = o->claim;
	w->wit.holder = key_of(w, o->node);
}

static void end_file_claim(struct cworld *w, struct wop *o)
{
	struct cnode *c = &w->node[o->node];

	if (o->session != c->wit_session || !o->ok) {
		o->ok = false;
		return;
	}
	if (w->sim_defects & SIM_DEFECT_WITNESS_READ_FIRST) {
		w->wit.claim = o->claim > w->wit.claim ? o->claim : w->wit.claim;
		w->wit.holder = key_of(w, o->node);
	} else {
		o->ok = image_copy(w, o->claim);
	}
	c->wit_claim = o->ok ? o->claim : 0;
}

static void begin_claim(struct cworld *w, struct wop *o)
{
	struct cnode *c = &w->node[o->node];

	sim_trace(w->s, "n%u preempts n%u on the witness", o->node,
		  (unsigned)(w->wit.holder >> 32));
	if (w->wit.holder != key_of(w, o->node))
		preempt(w, w->wit.holder);
	w->wit.holder = key_of(w, o->node);
	o->ok = registered(w, w->wit.holder);
	o->takes = barrier_ms(w);
	if (w->sim_defects & SIM_DEFECT_WITNESS_NO_BARRIER)
		o->takes = 1;
	c->wit_free_at[0] = sim_now(w->s) + (int64_t)o->takes;
}

static void die(struct cworld *w, unsigned node)
{
	if (w->node[node].wit_dying)
		return;
	w->node[node].wit_dying = true;
	task_new(w, T_WIT_DEAD, node, 1000)->a = w->node[node].wit_session;
}

/* A lane does one after the other, in the order in which they were asked for. */
static bool others_first(const struct cworld *w, const struct wop *o)
{
	for (unsigned i = 0; i < CW_WOPS; i++) {
		const struct wop *p = &w->wit.op[i];

		if (p->used && !p->begun && p->node == o->node && p->session == o->session &&
		    lane(p) == lane(o) && p->order < o->order)
			return true;
	}
	return false;
}

/* It arrives at the target, behind those before it: a thaw lets go all at once. */
void witness_arrive(struct cworld *w, struct task *t)
{
	struct wop *o = &w->wit.op[t->slot];
	struct cnode *c = &w->node[o->node];
	int64_t *busy = &c->wit_busy[lane(o)], now = sim_now(w->s);

	if (o->session != c->wit_session || c->wit_nexus == 0) {
		wop_free(o);
		return;
	}
	if (!reachable(w, o->node) || c->wit_dying) {
		die(w, o->node);
		wop_free(o);
		return;
	}
	if (*busy > now || others_first(w, o)) {
		(void)task_again(w, t, *busy > now ? (uint64_t)(*busy - now) : 1);
		return;
	}
	o->begun = true;
	o->ok = w->wit.file || registered(w, key_of(w, o->node));
	o->claim = c->wit_claim;
	if (o->what == NODE_WITNESS_OWNER_WRITE)
		o->ok = o->ok && (w->wit.file ? may_write(w, o) : c->wit_claimed);
	if (o->what == NODE_WITNESS_CLAIM && w->wit.file)
		begin_file_claim(w, o);
	else if (o->what == NODE_WITNESS_CLAIM)
		begin_claim(w, o);
	if (o->what == NODE_WITNESS_CHECK) {
		o->mine = w->wit.holder == key_of(w, o->node);
		if (o->mine)
			w->wit.proved_ms[o->node] = now;
		o->holder = (uint32_t)(w->wit.holder >> 32);
	}
	o->lands = o->ok && o->data;
	o->lands_ms = *busy = now + (int64_t)o->takes;
	task_new(w, T_WIT_LAND, o->node, o->takes)->slot = t->slot;
}

/* Who took the LUN over has read its log by now, and writes on from there. In a directory it has blocks of its own. */
static void judge_late(struct cworld *w, const struct wop *o)
{
	unsigned holder = (unsigned)(w->wit.holder >> 32);

	if (o->what == NODE_WITNESS_OWNER_WRITE && !w->wit.file && holder && holder != o->node &&
	    w->node[holder].wit_claimed)
		sim_fail(w->s, "witness-overwritten",
			 "n%u's write lands on the witness, which n%u has taken over", o->node,
			 holder);
}

/* Whatever became of who sent it. */
void witness_land(struct cworld *w, struct task *t)
{
	struct wop *o = &w->wit.op[t->slot];
	uint8_t *blocks = blocks_of(w, o);

	if (o->lands) {
		judge_late(w, o);
		cl_assert(o->offset + o->len <= LUN_BYTES);
		if (blocks)
			memcpy(blocks + o->offset, o->data, o->len);
		note_slot(w, o);
	}
	o->lands = false;
	if (o->what == NODE_WITNESS_CLAIM && w->wit.file)
		end_file_claim(w, o);
	if (o->what == NODE_WITNESS_READ) {
		o->ok = o->offset + o->len <= LUN_BYTES;
		free(o->data);
		o->data = malloc(o->len + 1);
		cl_assert(o->data && o->ok);
		memset(o->data, 0, o->len);
		if (blocks)
			memcpy(o->data, blocks + o->offset, o->len);
	}
	task_new(w, T_WIT_DONE, o->node, 0)->slot = t->slot;
}

static void answer(struct cworld *w, struct wop *o)
{
	struct cnode *c = &w->node[o->node];
	struct node_event ev = { .type = NODE_EV_WITNESS };

	if (o->what == NODE_WITNESS_CLAIM) {
		o->ok = o->ok && w->wit.holder == key_of(w, o->node);
		c->wit_claimed = c->wit_claimed || o->ok;
	}
	ev.witness = (struct node_witness_event){
		.report = NODE_WITNESS_DONE,
		.id = o->id,
		.ok = o->ok || o->what == NODE_WITNESS_READ || o->what == NODE_WITNESS_CHECK,
		.data = o->what == NODE_WITNESS_READ ? o->data : NULL,
		.len = o->what == NODE_WITNESS_READ ? o->len : 0,
		.mine = o->mine,
		.holder = o->holder,
		.text = o->ok ? "" : "reservation conflict",
	};
	cw_event(w, o->node, &ev);
}

void witness_done(struct cworld *w, struct task *t)
{
	struct wop o = w->wit.op[t->slot];

	w->wit.op[t->slot] = (struct wop){ 0 };
	if (o.session == w->node[o.node].wit_session && !w->node[o.node].wit_dying &&
	    w->node[o.node].core)
		answer(w, &o);
	/* A write that meets a conflict: the key is gone; the session logs in anew. */
	if (!o.ok && !w->wit.file &&
	    (o.what == NODE_WITNESS_WRITE || o.what == NODE_WITNESS_OWNER_WRITE) &&
	    o.session == w->node[o.node].wit_session)
		die(w, o.node);
	free(o.data);
}

void witness_dead(struct cworld *w, struct task *t)
{
	if (t->a != w->node[t->node].wit_session)
		return;
	witness_session(w, t->node, true);
	if (w->node[t->node].core)
		say_path(w, t->node, false);
}
