/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is judged of guests and the LUN, from outside of the core:
 *   one-writer   no accepted write of a generation after one of a later generation
 *   one-history  each accepted write follows the one before it (a guest that was restored from an
 *                older copy, or that did not see the last write, does not)
 *   two-running  no two guests of one VM execute at a time (but for a moment after a thaw)
 *   number-twice a generation belongs to one node for ever
 *   old-life     a node takes on an incarnation when all that its earlier one ran is gone, with its
 *                requests: that is the proof by which the earlier one counts as silent
 *   free-but-runs a VM that the state calls free after generation g executes at none up to g
 *   voters       one voter more or less at a time; fewer than three only for a moment, in which one
 *                with a new database takes the place of its old self, and has what is committed
 *   stale-go     what is allowed was not over already when it was asked for
 *   opened-early a volume on which a fence is owed is opened by nobody
 *   lease-outlives  who is silent by the bound has no lease any more
 *   orphan       what is held is held by a node
 *   no-quorum    nothing is begun by a node that corosync has told that there is no quorum
 *   expect-loop  corosync is not told over and over how many votes to expect
 *   slow-gets    no VM is placed on a node that is slow while others are not (in a scene)
 *   early-start  none starts while a failed node that had it can still write
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "quorum/witness_disk.h"
#include "tests/sim/cluster_target.h"

/*
 * Of two lines that live beside each other the older one is history: nothing is known of it in the other one. What it
 * does to the volume is judged, not what executes without: it is ended by its CONFLICT, or when it is admitted anew.
 */
static bool is_history(const struct cworld *w, unsigned node)
{
	return w->scene.apart && !w->log.living[node];
}

static bool just_thawed(const struct cworld *w, unsigned node)
{
	return sim_now(w->s) - w->node[node].thawed_ms <= CW_THAW_MS;
}

void judge_running(struct cworld *w, unsigned vm)
{
	const struct qemu *first = NULL;

	for (unsigned i = 0; i < CW_QEMUS; i++) {
		const struct qemu *q = &w->qemu[i];

		if (q->vm != vm || !qemu_executes(w, q) || is_history(w, q->node))
			continue;
		if (first && !just_thawed(w, q->node) && !just_thawed(w, first->node))
			sim_fail(w->s, "two-running",
				 "%s executes on n%u g%" PRIu64 " and on n%u g%" PRIu64,
				 cw_vm_name(vm), first->node, first->generation, q->node,
				 q->generation);
		first = q;
	}
}

void driver_judge(struct cworld *w)
{
	for (unsigned vm = 0; vm < CW_VMS; vm++)
		judge_running(w, vm);
}

static void judge_free(struct cworld *w, const struct state_resource *r, unsigned vm)
{
	for (unsigned i = 0; i < CW_QEMUS; i++) {
		const struct qemu *q = &w->qemu[i];

		if (q->vm == vm && q->generation <= r->generation && qemu_executes(w, q) &&
		    !just_thawed(w, q->node) && !is_history(w, q->node))
			sim_fail(w->s, "free-but-runs",
				 "%s is free after g%" PRIu64 " and executes on n%u at g%" PRIu64,
				 cw_vm_name(vm), r->generation, q->node, q->generation);
	}
}

/* Holds for an old state, too: what was free after g never runs again at g or before. */
void driver_judge_free(struct cworld *w, const struct state *s)
{
	for (unsigned vm = 0; vm < CW_VMS; vm++) {
		const struct state_resource *r = state_resource(s, cw_vm_name(vm));

		if (r && r->owner == 0 && r->generation)
			judge_free(w, r, vm);
	}
}

/* Two clocks, a hundredth apart at most, over a lease; and a look. */
enum { CLOCKS_MS = 100 };

/*
 * Who is silent by the word of the others lives under no lease any more, whether or not something runs there. One that
 * has said itself that all has ended may have one.
 */
void judge_silent(struct cworld *w, const struct state *s)
{
	for (size_t i = 0; i < s->nodes.n; i++) {
		const struct state_node *n = &s->nodes.v[i];
		const struct cnode *c = &w->node[n->id];
		int64_t left_ms = c->lease_ms - cw_clock(w, n->id);

		if (n->phase == STATE_NODE_FAILED && !n->goodbye && n->silent >= n->incarnation &&
		    !is_history(w, n->id) && c->on_since == n->incarnation && left_ms > CLOCKS_MS)
			sim_fail(w->s, "lease-outlives",
				 "n%u is called silent at %" PRIu64 ", and its lease has %" PRId64
				 " ms left",
				 n->id, n->incarnation, left_ms);
	}
}

static void judge_owner(struct cworld *w, const struct state *s, const char *what, uint32_t node)
{
	if (node && !state_node(s, node))
		sim_fail(w->s, "orphan", "%s is held by n%u, which is no node any more", what,
			 node);
}

/* What a node holds is freed by what becomes of that node: of one that is no node nothing becomes. */
void judge_orphans(struct cworld *w, const struct state *s)
{
	for (size_t i = 0; i < s->resources.n; i++) {
		judge_owner(w, s, s->resources.v[i].name, s->resources.v[i].owner);
		judge_owner(w, s, s->resources.v[i].name, s->resources.v[i].target);
	}
	for (size_t i = 0; i < s->volumes.n; i++)
		judge_owner(w, s, s->volumes.v[i].name, s->volumes.v[i].coordinator);
	for (size_t i = 0; i < s->debts.n; i++)
		judge_owner(w, s, s->debts.v[i].volume, s->debts.v[i].node);
}

void judge_accept(struct cworld *w, unsigned vm, const struct task *t)
{
	struct lun *l = &w->lun;

	if (t->b && t->b <= target_fenced(w, 0, t->node))
		sim_fail(w->s, "one-writer",
			 "a write of %s g%" PRIu64 " from n%u at %" PRIu64 ", which was fenced",
			 cw_vm_name(vm), t->c, t->node, t->b);
	if (t->c < l->generation[vm])
		sim_fail(w->s, "one-writer",
			 "a write of %s g%" PRIu64 " from n%u after one of g%" PRIu64,
			 cw_vm_name(vm), t->c, t->node, l->generation[vm]);
	if (t->a != l->seq[vm] + 1)
		sim_fail(w->s, "one-history",
			 "%s g%" PRIu64 " on n%u writes block %" PRIu64 " after block %" PRIu64,
			 cw_vm_name(vm), t->c, t->node, t->a, l->seq[vm]);
	l->generation[vm] = t->c;
	l->seq[vm] = t->a;
	l->accepted++;
}

/* The key under which the VM may still have writes from a node: it is there, or the power took it. */
static uint64_t key_left(const struct cworld *w, unsigned vm, unsigned node)
{
	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (qemu_has_run(&w->qemu[i]) && w->qemu[i].vm == vm && w->qemu[i].node == node)
			return w->node[node].vol[0].incarnation;
	return w->node[node].unclean[vm];
}

/* Of two lines the older one may take a key again, that was fenced; until the newer one serves, which fences anew. */
static bool fenced_once(const struct cworld *w, unsigned node, uint64_t key)
{
	return w->scene.apart && key <= w->lun.target[0].paid[node];
}

void judge_start(struct cworld *w, const char *name, unsigned node)
{
	unsigned vm = (unsigned)(name[2] - '0');

	if (node == w->scene.slow)
		sim_fail(w->s, "slow-gets", "%s starts on n%u, whose database is slow", name, node);
	if (is_history(w, node))
		return;
	for (unsigned i = 1; i <= w->nodes; i++) {
		uint64_t key = i == node ? 0 : key_left(w, vm, i);

		if (key && target_lets(w, 0, i, key) && !fenced_once(w, i, key))
			sim_fail(w->s, "early-start",
				 "%s starts on n%u while n%u's key %" PRIu64 " is not preempted",
				 name, node, i, key);
	}
	for (unsigned i = 1; i <= w->nodes; i++)
		w->node[i].unclean[vm] = 0;
}

/* In one ring: with each change of who votes, and with the witness's vote. */
enum { EXPECTS_MOST = 500 };

/* Whatever else is there. */
void judge_quorum(struct cworld *w, const char *what, unsigned node)
{
	if (!w->node[node].quorate)
		sim_fail(w->s, "no-quorum", "n%u begins with %s, and corosync has told it no", node,
			 what);
}

/* Each word is answered with a view: one that says it at each view says it for ever. */
void judge_expect(struct cworld *w, unsigned node)
{
	if (++w->node[node].expects > EXPECTS_MOST)
		sim_fail(w->s, "expect-loop", "n%u has said how many votes to expect %u times",
			 node, w->node[node].expects);
}

/* Lines are not compared: who lives in the older one is told by the volume's own epoch. */
void judge_go_answer(struct cworld *w, unsigned node, unsigned l, uint64_t epoch, uint64_t asked_at)
{
	struct node_self self;

	node_get_self(w->node[node].core, &self);
	if (self.line == w->log.line && asked_at > epoch)
		sim_fail(w->s, "stale-go",
			 "n%u may coordinate %s at %" PRIu64 ", and it was at %" PRIu64
			 " when it asked",
			 node, cw_volumes[l], epoch, asked_at);
}

/* By its own tables: what else it could know it. */
void judge_opened(struct cworld *w, unsigned node, unsigned l)
{
	if (w->node[node].tables.volume[l].debts)
		sim_fail(w->s, "opened-early", "n%u opens %s while a fence on it is owed", node,
			 cw_volumes[l]);
}

/* A VM is killed as not its node's any more, by a state that is older than that of others: who says so now? */
void judge_kill(struct cworld *w, const struct node_action *a, unsigned node)
{
	const struct state *s = cw_truth(w);
	const struct state_resource *r = s ? state_resource(s, a->vm.name) : NULL;

	if (!r || r->phase != STATE_ONLINE || r->owner != node ||
	    r->generation != a->vm.generation || strcmp(a->vm.text, "it is no longer ours") != 0)
		return;
	sim_fail(w->s, "needless-kill", "n%u kills %s g%" PRIu64 ", which is its own", node,
		 a->vm.name, a->vm.generation);
}

/* A number belongs to one node for ever, also when what it was given for came to nothing. */
void judge_number(struct cworld *w, const struct qemu *q)
{
	uint8_t *to;

	if ((q->generation & 0xfffff) >= CW_NUMBERS)
		return;
	to = &w->given[q->generation >> 20 & 1][q->vm][q->generation & 0xfffff];
	if (*to && *to != q->node)
		sim_fail(w->s, "number-twice", "%s g%" PRIu64 " was n%u's and is now n%u's",
			 cw_vm_name(q->vm), q->generation, *to, q->node);
	*to = (uint8_t)q->node;
}

/* A QEMU that is being killed and has no request left is gone but for the report. */
/* ---- who votes ------------------------------------------------------------------------------------ */

static uint32_t not_in(const struct raft_config *a, const struct raft_config *b,
		       struct raft_id *ret_id)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->n; i++) {
		const struct raft_member *m = raft_config_find(b, &a->member[i].id);

		if (a->member[i].role != RAFT_VOTER || (m && m->role == RAFT_VOTER))
			continue;
		*ret_id = a->member[i].id;
		n++;
	}
	return n;
}

static bool has_data(const struct cworld *w, unsigned node, const struct raft_config *c)
{
	struct raft_id id = { .node = node };

	memcpy(id.uuid, w->node[node].uuid, sizeof(id.uuid));
	return raft_config_find(c, &id) && w->node[node].disk.snapshot.index > 0;
}

/*
 * Or was about to: that it votes no more is the last step before, and its leave may be called off meanwhile. The
 * witness beside one that votes: only when the log has no other node.
 */
static bool gone_for_good(const struct cworld *w, const struct state *s, unsigned node,
			  const struct raft_config *c)
{
	if (node == WITNESS_NODE)
		return c->n == 2 || c->version > w->voters.version + 1;
	return node > CW_NODES || !state_node(s, node) || w->log.leaves[node];
}

void judge_voters(struct cworld *w, const struct raft_config *c, const struct state *s)
{
	struct raft_id id = { 0 };
	uint32_t come, gone;

	if (!c || c->version <= w->voters.version)
		return;
	come = not_in(c, &w->voters, &id);
	gone = not_in(&w->voters, c, &id);
	if (come + gone > c->version - w->voters.version)
		sim_fail(w->s, "voters", "%u voters came and %u went in one change", come, gone);
	/* Who was removed from the cluster does not vote, whoever is left. */
	if (gone > 0 && raft_config_voters(c) < 3 && !gone_for_good(w, s, id.node, c) &&
	    (id.node == WITNESS_NODE || !has_data(w, id.node, c)))
		sim_fail(w->s, "voters", "n%u votes no more: %u are left", id.node,
			 raft_config_voters(c));
	w->voters = *c;
}

static bool lives_on(const struct qemu *q)
{
	return q->state != Q_NONE && (q->state != Q_DEAD || q->writing);
}

/* A number of a life is given once, also to a node that comes anew under the id of one that went. */
static void judge_life(struct cworld *w, unsigned node, uint64_t incarnation)
{
	struct cnode *c = &w->node[node];
	struct node_self self;

	node_get_self(c->core, &self);
	if (self.line < c->life.line)
		return; /* history: its writes do not reach the volume */
	if (incarnation <= c->life.incarnation)
		sim_fail(w->s, "number-twice",
			 "n%u lives at %" PRIu64 " after it lived at %" PRIu64, node, incarnation,
			 c->life.incarnation);
	c->life.line = self.line;
	c->life.incarnation = incarnation;
}

static void judge_over(struct cworld *w, unsigned node, uint64_t incarnation)
{
	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (w->qemu[i].node == node && lives_on(&w->qemu[i]))
			sim_fail(w->s, "old-life",
				 "n%u lives at %" PRIu64 " and %s g%" PRIu64
				 " of its earlier life is not over",
				 node, incarnation, cw_vm_name(w->qemu[i].vm),
				 w->qemu[i].generation);
}

void driver_new_life(struct cworld *w, unsigned node, uint64_t incarnation)
{
	judge_life(w, node, incarnation);
	judge_over(w, node, incarnation);
}

void driver_gone_for_good(struct cworld *w, unsigned node)
{
	judge_over(w, node, 0);
}
