/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes that go for good and come anew: `leave`, `evict` of one that is dead, machines that are installed
 * again, `join`; and the cluster's setup on its way into every node's files. Judged here:
 *   setup-torn   corosync is told to load a setup that a living node's file does not hold yet: the nodes
 *                would run by two configurations
 *   old-life     a node that is removed has nothing left that runs
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/log.pb-c.h"
#include "tests/sim/cluster_driver.h"

enum {
	STEP_MS = 1000,
	ASK_MS = 5000, /* what was not done is asked for again */
	CHANGE_MS = 12000,
};

unsigned members_out(const struct cworld *w)
{
	unsigned n = 0;

	for (unsigned i = 1; i <= w->nodes; i++)
		n += w->node[i].going != MEMBER_STAYS || !w->log.member[i];
	return n;
}

static bool any_evicted(const struct cworld *w)
{
	for (unsigned i = 1; i <= w->nodes; i++)
		if (w->node[i].going == MEMBER_EVICTED)
			return true;
	return false;
}

unsigned members_speaker(struct cworld *w, unsigned but)
{
	unsigned at = cw_random_node(w);

	for (unsigned i = 0; i < w->nodes; i++, at = at % w->nodes + 1)
		if (at != but && w->node[at].core && cw_on(w, at) &&
		    node_has_database(w->node[at].core))
			return at;
	return 0;
}

/* ---- the setup ------------------------------------------------------------------------------------------- */

/* Of whoever has written all of it: ids, one byte each, as if it were corosync's configuration. */
static void pack_setup(struct node_request *rq, uint64_t version, uint8_t *ids, size_t n_ids)
{
	Log__SetupSet set = LOG__SETUP_SET__INIT;
	Log__SetupPart part = LOG__SETUP_PART__INIT, *parts[] = { &part };
	uint8_t *data;

	part.kind = STATE_PART_COROSYNC;
	part.data = (ProtobufCBinaryData){ n_ids, ids };
	set.version = version;
	set.n_parts = 1;
	set.parts = parts;
	rq->spec_len = log__setup_set__get_packed_size(&set);
	data = malloc(rq->spec_len + 1);
	cl_assert(data);
	(void)log__setup_set__pack(&set, data);
	rq->spec = data;
}

void members_first_setup(struct cworld *w, struct node_request *rq)
{
	uint8_t ids[CW_NODES];

	for (unsigned i = 0; i < w->nodes; i++)
		ids[i] = (uint8_t)(i + 1);
	pack_setup(rq, 0, ids, w->nodes);
}

/* Those that are in the setup and have not gone, and `with`. */
static void ask_setup(struct cworld *w, unsigned at, unsigned with)
{
	const struct state_setup *now = &node_state(w->node[at].core)->setup;
	const struct state_blob *b = &now->part[STATE_PART_COROSYNC];
	struct node_request rq = { .verb = NODE_SETUP, .object = "setup", .target = "", .url = "" };
	uint8_t ids[CW_NODES + 1];
	size_t n = 0;

	for (size_t i = 0; i < b->len && n < CW_NODES; i++)
		if (b->data[i] != with && !state_setup_gone(now, b->data[i]))
			ids[n++] = b->data[i];
	if (with)
		ids[n++] = (uint8_t)with;
	pack_setup(&rq, now->version, ids, n);
	client_ask(w, at, rq);
	free((void *)(uintptr_t)rq.spec);
}

static bool knows(const struct state_setup *now, unsigned node)
{
	const struct state_blob *b = &now->part[STATE_PART_COROSYNC];

	for (size_t i = 0; i < b->len; i++)
		if (b->data[i] == node)
			return !state_setup_gone(now, node);
	return false;
}

static void tell(struct cworld *w, unsigned node, bool reloaded)
{
	struct node_event ev = { .type = NODE_EV_SETUP };

	ev.setup.written = w->node[node].setup_written;
	ev.setup.loaded = w->node[node].setup_loaded;
	ev.setup.reloaded = reloaded;
	/* The ring here asks the device whether or not there is a section for it. */
	ev.setup.fits = w->node[node].setup_fits;
	ev.setup.fits_device = node_wants_device(w->node[node].core);
	cw_event(w, node, &ev);
}

/* The files are there when the next process begins. */
void members_boot(struct cworld *w, unsigned node)
{
	if (w->node[node].setup_written)
		tell(w, node, false);
}

void members_file_written(struct cworld *w, struct task *t)
{
	if (!w->node[t->node].core || w->node[t->node].setup_written >= t->a)
		return;
	w->node[t->node].setup_written = t->a;
	tell(w, t->node, false);
}

void members_file_loaded(struct cworld *w, struct task *t)
{
	struct cnode *c = &w->node[t->node];

	c->setup_loaded = c->setup_written;
	if (c->core)
		tell(w, t->node, true);
}

/* By the state of who orders it: who lives and does not leave has written what all shall load. */
static void reload(struct cworld *w, unsigned by)
{
	const struct state *s = node_state(w->node[by].core);

	for (size_t i = 0; i < s->nodes.n; i++) {
		const struct state_node *n = &s->nodes.v[i];

		/* One that was erased since is no node any more; it only is not known yet. */
		if (n->phase == STATE_NODE_LIVING && !n->leaving && w->node[n->id].core &&
		    node_has_database(w->node[n->id].core) &&
		    w->node[n->id].setup_written < s->setup.version)
			sim_fail(w->s, "setup-torn",
				 "n%u has all load setup %" PRIu64 ", and n%u has written %" PRIu64,
				 by, s->setup.version, n->id, w->node[n->id].setup_written);
	}
	for (unsigned i = 1; i <= w->nodes; i++)
		if (sim_up(w->s, i))
			task_new(w, T_SETUP_LOADED, i, 5 + sim_rand(w->s, 100));
}

static void device_fits(struct cworld *w, unsigned node)
{
	w->node[node].setup_fits = node_state(w->node[node].core)->setup.version;
	tell(w, node, false);
}

void members_do(struct cworld *w, unsigned node, const struct node_action *a)
{
	if (a->type == NODE_DO_SETUP)
		task_new(w, T_SETUP_WRITTEN, node, 5 + sim_rand(w->s, 400))->a =
			node_state(w->node[node].core)->setup.version;
	else if (a->type == NODE_DO_SETUP_RELOAD)
		reload(w, node);
	else if (a->type == NODE_DO_SETUP_DEVICE)
		device_fits(w, node);
	else
		ask_setup(w, node, 0);
}

/* ---- going ------------------------------------------------------------------------------------------------- */

static void forget(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];

	disk_set_aside(w, node, "");
	c->instance = w->scene.set_back;
	w->scene.set_back = 0;
	c->file_incarnation = c->on_since = 0;
	c->file_lease_ms = c->file_beat_ms = 0;
	c->setup_written = c->setup_loaded = 0;
	c->join_asked = 0;
	c->schema = 0; /* what comes anew is of the present version */
}

/* Removed, and told so. Its corosync ends, and it is installed anew. */
void members_removed(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];

	sim_trace(w->s, "n%u is no member any more", node);
	driver_gone_for_good(w, node);
	c->going = MEMBER_STAYS;
	c->power_lost = true;
	sim_crash(w->s, node, true);
	c->power_lost = false;
	forget(w, node);
	task_new(w, T_BOOT, node, 1000 + sim_rand(w->s, 15000));
}

/* The machine burns; it is removed without its help. */
static void begin_evict(struct cworld *w, unsigned node)
{
	if (!sim_up(w->s, node) || sim_frozen(w->s, node) || !fault_all_vote(w))
		return;
	sim_trace(w->s, "n%u is dead, and to be evicted", node);
	nemesis_crash(w, node, true, 1);
	w->node[node].going = MEMBER_EVICTED;
}

static void begin_change(struct cworld *w)
{
	unsigned node = cw_random_node(w);
	struct cnode *c = &w->node[node];
	uint64_t x = sim_rand(w->s, 100);

	/* One at a time, mostly; one is left always. None while one burns: of few voters two are too many. */
	if (members_out(w) + 1 >= w->nodes || (members_out(w) > 0 && x < 80) || any_evicted(w))
		return;
	if (c->going != MEMBER_STAYS || !w->log.member[node])
		return;
	if (x % 2)
		c->going = MEMBER_LEAVES;
	else
		begin_evict(w, node);
	c->asked_ms = 0;
}

/* Erased, or as it was when it died. */
static void evicted(struct cworld *w, unsigned node)
{
	if (sim_chance(w->s, 500000))
		forget(w, node);
	w->node[node].going = MEMBER_STAYS;
	task_new(w, T_BOOT, node, 1 + sim_rand(w->s, 8000));
}

static void go_on_going(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];
	bool evict = c->going == MEMBER_EVICTED;
	struct node_request rq = { .verb = evict ? NODE_EVICT : NODE_LEAVE, .target = "" };
	unsigned at = members_speaker(w, evict ? node : 0);

	if (!w->log.member[node]) {
		if (evict)
			evicted(w, node);
		c->going = MEMBER_STAYS;
		return;
	}
	if (!at || sim_now(w->s) - c->asked_ms < ASK_MS)
		return;
	c->asked_ms = sim_now(w->s);
	rq.object = c->name;
	client_ask(w, at, rq);
}

/* ---- coming ------------------------------------------------------------------------------------------------ */

/* First into the setup, so that all know it when its corosync starts; then it asks. */
static void come(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];
	struct node_request rq = { .verb = NODE_JOIN, .object = "", .target = "" };
	unsigned at = members_speaker(w, node);

	if (!c->core || !cw_on(w, node) || c->hung || node_has_database(c->core) || c->anew[0] ||
	    !at || sim_now(w->s) - c->asked_ms < ASK_MS / 2)
		return;
	c->asked_ms = sim_now(w->s);
	if (node_state(w->node[at].core)->setup.version &&
	    !knows(&node_state(w->node[at].core)->setup, node)) {
		ask_setup(w, at, node);
	} else if (c->join_asked != c->instance) {
		c->join_asked = c->instance;
		client_ask(w, node, rq);
	}
}

/* Who was to go and has not: it stays. */
void members_heal(struct cworld *w)
{
	for (unsigned i = 1; i <= w->nodes; i++) {
		if (w->node[i].going == MEMBER_EVICTED)
			evicted(w, i);
		w->node[i].going = MEMBER_STAYS;
	}
}

void members_step(struct cworld *w, struct task *t)
{
	(void)t;
	for (unsigned i = 1; i <= w->nodes; i++) {
		if (w->node[i].going != MEMBER_STAYS)
			go_on_going(w, i);
		else
			come(w, i);
	}
	if (w->faults && w->members && sim_now(w->s) >= w->story_until_ms &&
	    sim_chance(w->s, STEP_MS * 1000000 / CHANGE_MS))
		begin_change(w);
	task_new(w, T_MEMBERS, 0, STEP_MS);
}
