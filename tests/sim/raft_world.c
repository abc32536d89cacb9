/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/raft_world.h"

/* ---- values ------------------------------------------------------------------------------ */

uint64_t data_hash(const struct raft_entry *e)
{
	uint64_t h = 1469598103934665603u + e->len;

	for (uint32_t i = 0; i < e->len; i++)
		h = (h ^ e->data[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* A command begins with the number of its proposal. */
uint64_t data_prop(const struct raft_entry *e)
{
	uint64_t x = 0;

	if (e->type == RAFT_ENTRY_COMMAND && e->len >= 8)
		memcpy(&x, e->data, 8);
	return x;
}

uint64_t chain_next(uint64_t chain, uint64_t index, const struct raft_entry *e)
{
	chain = (chain ^ index) * UINT64_C(0x9e3779b97f4a7c15);
	chain = (chain ^ e->term ^ ((uint64_t)e->type << 60)) * UINT64_C(0xff51afd7ed558ccd);
	return (chain ^ data_hash(e)) * UINT64_C(0xc4ceb9fe1a85ec53);
}

static void *copy(const void *p, size_t len)
{
	void *q;

	if (!len)
		return NULL;
	q = malloc(len);
	cl_assert(q);
	return memcpy(q, p, len);
}

/* ---- disk image -------------------------------------------------------------------------- */

/* Image of a write: the persist with everything it points to. */
struct op {
	struct raft_persist p;
	struct raft_snapshot snap;
};

static void entries_free(struct raft_entry *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free((void *)v[i].data);
}

static void disk_free(struct sim *s, void *ptr)
{
	struct op *op = ptr;

	(void)s;
	entries_free((struct raft_entry *)op->p.entries, op->p.n_entries);
	free((void *)op->p.entries);
	free((void *)op->snap.blob);
	free(op);
}

static struct op *op_new(const struct raft_persist *p)
{
	struct op *op = calloc(1, sizeof(*op));
	struct raft_entry *v;

	cl_assert(op);
	op->p = *p;
	if (p->has_snapshot) {
		op->snap = *p->snapshot;
		op->snap.blob = copy(p->snapshot->blob, p->snapshot->len);
	}
	v = copy(p->entries, p->n_entries * sizeof(*v));
	for (uint32_t i = 0; i < p->n_entries; i++)
		v[i].data = copy(v[i].data, v[i].len);
	op->p.entries = v;
	return op;
}

void image_fini(struct image *img)
{
	entries_free(img->v, img->n);
	free(img->v);
	free(img->blob);
	*img = (struct image){ 0 };
}

static uint64_t image_first(const struct image *img)
{
	return img->n ? img->v[0].index : 0;
}

bool image_has(const struct image *img, uint64_t index, uint64_t term)
{
	uint64_t first = image_first(img);

	if (index <= img->snap.index)
		return true;
	return img->n && index >= first && index < first + img->n &&
	       img->v[index - first].term == term;
}

static void image_cut_front(struct image *img, uint64_t first)
{
	size_t drop = 0;

	while (drop < img->n && img->v[drop].index < first)
		free((void *)img->v[drop++].data);
	if (!drop)
		return;
	img->n -= drop;
	memmove(img->v, img->v + drop, img->n * sizeof(*img->v));
}

static void image_cut_back(struct image *img, uint64_t from)
{
	while (img->n && img->v[img->n - 1].index >= from)
		free((void *)img->v[--img->n].data);
}

static void image_append(struct image *img, const struct raft_entry *e)
{
	if (img->n == img->cap) {
		img->cap = img->cap ? img->cap * 2 : 64;
		img->v = reallocarray(img->v, img->cap, sizeof(*img->v));
		cl_assert(img->v);
	}
	cl_assert(!img->n || img->v[img->n - 1].index + 1 == e->index);
	img->v[img->n] = *e;
	img->v[img->n++].data = copy(e->data, e->len);
}

static void image_snapshot(struct image *img, const struct op *op)
{
	free(img->blob);
	img->snap = op->snap;
	img->blob = copy(op->snap.blob, op->snap.len);
	img->snap.blob = img->blob;
	if (op->p.reset_log)
		image_cut_back(img, 0);
	else
		image_cut_front(img, op->p.first_index);
}

/* Torn: a store that appends records keeps the whole ones at the front and cuts the rest, and its
 * term and vote are written last. Anything but a plain append is one transaction: all or nothing. */
static void disk_apply(struct sim *s, unsigned node, void *ptr, bool torn)
{
	struct world *w = sim_user(s);
	struct image *img = &w->node[node].img;
	const struct op *op = ptr;
	uint32_t n = op->p.n_entries;

	if (torn && (op->p.has_snapshot || op->p.truncate_from || op->p.has_vote || n < 2))
		return;
	if (torn)
		n = 1 + (uint32_t)sim_rand(s, n - 1);
	if (op->p.has_snapshot)
		image_snapshot(img, op);
	if (op->p.truncate_from)
		image_cut_back(img, op->p.truncate_from);
	for (uint32_t i = 0; i < n; i++)
		image_append(img, &op->p.entries[i]);
	if (op->p.has_vote) {
		img->term = op->p.term;
		img->vote = op->p.vote;
	}
}

/* ---- boot and crash ---------------------------------------------------------------------- */

struct raft_id world_new_id(struct world *w, unsigned node)
{
	struct raft_id id = { .node = node };

	for (int i = 0; i < RAFT_UUID_LEN; i++)
		id.uuid[i] = (uint8_t)sim_rand(w->s, 256);
	return id;
}

static int64_t node_now(const struct world *w, unsigned node)
{
	return sim_now(w->s) + w->node[node].clock_off;
}

static struct raft_params params_of(const struct world *w, unsigned node)
{
	const struct rnode *n = &w->node[node];
	struct raft_params p = {
		.self = n->id,
		.database = { 'd', 'b' },
		.incarnation = n->incarnation,
		.seed = w->seed * 64 + n->incarnation,
		.witness = n->witness,
		.election_ms = w->plan.election_ms,
		.heartbeat_ms = w->plan.heartbeat_ms,
		.snapshot_every = w->plan.snapshot_every,
		.snapshot_trailing = w->plan.snapshot_trailing,
		.batch_bytes = w->plan.batch_bytes,
		.defects = w->defects,
	};

	return p;
}

static int raft_start(struct world *w, unsigned node)
{
	struct rnode *n = &w->node[node];
	struct raft_params p = params_of(w, node);
	struct raft_stored st = {
		.memory_lost = n->img.lost,
		.term = n->img.term,
		.vote = n->img.vote,
		.snapshot = n->img.snap,
		.entries = n->img.v,
		.n_entries = n->img.n,
	};

	return raft_new(&p, &st, node_now(w, node), &n->raft, NULL);
}

static void boot(struct sim *s, unsigned node)
{
	struct world *w = sim_user(s);
	struct rnode *n = &w->node[node];
	struct raft_event tick = { .type = RAFT_TICK };

	n->incarnation++;
	n->seen_commit = n->led_term = 0;
	n->fsm = (struct fsm){ 0 };
	if (raft_start(w, node) < 0) {
		/* Who has lost its memory comes back as somebody else (rule 22). */
		if (!n->img.lost)
			sim_fail(s, "restart", "n%u: its own disk was refused", node);
		n->img.lost = false;
		n->id = world_new_id(w, node);
		if (raft_start(w, node) < 0)
			sim_fail(s, "restart", "n%u: an empty database was refused", node);
	} else if (n->img.lost && !(w->defects & RAFT_DEFECT(22))) {
		sim_fail(s, "lost-memory", "n%u: started without its memory", node);
	}
	world_step(w, node, &tick);
}

static void crash(struct sim *s, unsigned node)
{
	struct world *w = sim_user(s);

	raft_free(w->node[node].raft);
	w->node[node].raft = NULL;
}

/* The database that the cluster begins with: state at index 1, this configuration. */
void world_found(struct world *w, const struct raft_config *c, unsigned node)
{
	struct image *img = &w->node[node].img;
	struct fsm first = { .hash = 1, .index = 1 };

	img->term = 1;
	img->snap = (struct raft_snapshot){ .index = 1, .term = 1, .config = *c };
	img->blob = copy(&first, sizeof(first));
	img->snap.blob = img->blob;
	img->snap.len = sizeof(first);
}

/* ---- a step ------------------------------------------------------------------------------ */

static void apply(struct world *w, unsigned node, const struct raft_apply *ap)
{
	struct fsm *f = &w->node[node].fsm;

	if (ap->type == RAFT_APPLY_RESTORE) {
		cl_assert(ap->snapshot->len >= sizeof(*f));
		memcpy(f, ap->snapshot->blob, sizeof(*f));
	} else {
		f->hash = chain_next(f->hash, ap->entry->index, ap->entry);
		f->index = ap->entry->index;
	}
	oracle_apply(w, node, ap);
}

static void send_all(struct world *w, unsigned node)
{
	struct raft_actions *a = &w->node[node].a;
	uint8_t stack[2048];

	for (size_t i = 0; i < a->send.n; i++) {
		size_t len = raft_message_size(&a->send.v[i]);
		uint8_t *buf = len <= sizeof(stack) ? stack : malloc(len);

		cl_assert(buf);
		raft_message_encode(&a->send.v[i], buf);
		sim_send(w->s, node, a->send.v[i].to.node, buf, len);
		if (buf != stack)
			free(buf);
	}
}

static void execute(struct world *w, unsigned node)
{
	struct raft_actions *a = &w->node[node].a;

	if (a->has_persist) {
		oracle_persist(w, node, &a->persist);
		sim_write(w->s, node, op_new(&a->persist), a->persist.seq);
	}
	for (size_t i = 0; i < a->apply.n; i++)
		apply(w, node, &a->apply.v[i]);
	for (size_t i = 0; i < a->results.n; i++)
		oracle_result(w, node, &a->results.v[i]);
	send_all(w, node);
}

static void take_snapshot(struct world *w, unsigned node)
{
	uint8_t blob[sizeof(struct fsm) + 64] = { 0 };
	struct fsm *f = &w->node[node].fsm;
	struct raft_event ev = { .type = RAFT_SNAPSHOT_TAKEN };

	memcpy(blob, f, sizeof(*f));
	ev.snapshot.index = f->index;
	ev.snapshot.blob = blob;
	ev.snapshot.len = sizeof(*f) + f->index % 64;
	world_step(w, node, &ev);
}

void world_step(struct world *w, unsigned node, struct raft_event *ev)
{
	struct rnode *n = &w->node[node];
	struct before b;

	ev->now_ms = node_now(w, node);
	oracle_before(w, node, ev, &b);
	raft_step(n->raft, ev, &n->a);
	if (n->a.role_changed)
		sim_trace(w->s,
			  "n%u %s term %" PRIu64 " leader n%u last %" PRIu64 " commit %" PRIu64,
			  node, raft_role_name(raft_role(n->raft)), raft_term(n->raft),
			  raft_leader(n->raft).node, raft_last_index(n->raft),
			  raft_commit_index(n->raft));
	execute(w, node);
	oracle_after(w, node, &b);
	sim_timer(w->s, node, raft_deadline(n->raft) - n->clock_off);
	if (n->a.want_snapshot)
		take_snapshot(w, node);
}

static const char *message_name(enum raft_message_type type)
{
	static const char *const name[] = { "?",	  "prevote", "prevote-reply", "vote",
					    "vote-reply", "append",  "append-reply",  "install",
					    "timeout-now" };

	return name[type];
}

static void deliver(struct sim *s, unsigned node, unsigned from, const uint8_t *buf, size_t len)
{
	struct world *w = sim_user(s);
	struct raft_message *m = NULL;
	struct raft_event ev = { .type = RAFT_MESSAGE };

	if (raft_message_decode(buf, len, &m, NULL) < 0)
		sim_fail(s, "codec", "n%u cannot decode %zu bytes of n%u", node, len, from);
	sim_trace(s,
		  "n%u <- n%u %s term %" PRIu64 " seq %" PRIu64 " %s prev %" PRIu64 "/%" PRIu64
		  " n %u commit %" PRIu64 " last %" PRIu64 "/%" PRIu64 " match %" PRIu64
		  " received %" PRIu64,
		  node, from, message_name(m->type), m->term, m->seq, m->ok ? "ok" : "-",
		  m->prev_index, m->prev_term, m->n_entries, m->commit, m->last_index, m->last_term,
		  m->match, m->received);
	sim_hash(s, m->term ^ m->seq << 20 ^ m->match << 40 ^ m->commit);
	ev.message = m;
	world_step(w, node, &ev);
	free(m);
}

static void timer(struct sim *s, unsigned node)
{
	struct raft_event ev = { .type = RAFT_TICK };

	world_step(sim_user(s), node, &ev);
}

static void persisted(struct sim *s, unsigned node, uint64_t seq)
{
	struct raft_event ev = { .type = RAFT_PERSISTED, .persisted_seq = seq };

	world_step(sim_user(s), node, &ev);
}

static void ring(struct sim *s, unsigned node, const uint32_t *members, uint32_t n_members,
		 const uint32_t *group, uint32_t n_group)
{
	struct raft_event ev = { .type = RAFT_RING };

	ev.ring.ring = members;
	ev.ring.n_ring = n_members;
	ev.ring.group = group;
	ev.ring.n_group = n_group;
	world_step(sim_user(s), node, &ev);
}

const struct sim_ops raft_ops = {
	.boot = boot,
	.crash = crash,
	.deliver = deliver,
	.timer = timer,
	.persisted = persisted,
	.ring = ring,
	.disk_apply = disk_apply,
	.disk_free = disk_free,
	.call = nemesis_call,
};
