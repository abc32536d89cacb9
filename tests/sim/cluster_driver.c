/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMUs, csvds and the LUN. A guest writes its sequence, one block at a time; a write may hang in a
 * buffer for seconds and then arrive: the LUN takes it exactly if the key of (node, incarnation) is
 * registered. Judged here:
 *   one-writer   no accepted write of a generation after one of a later generation
 *   one-history  each accepted write follows the one before it (a guest that was restored from an
 *                older copy, or that did not see the last write, does not)
 *   two-running  no two guests of one VM execute at a time (but for a moment after a thaw)
 *   number-twice a generation belongs to one node for ever
 *   old-life     a node takes on an incarnation when all that its earlier one ran is gone, with its
 *                requests: that is the proof by which the earlier one counts as silent
 *   free-but-runs a VM that the state calls free after generation g executes at none up to g
 *   early-start  none starts while a failed node that had it can still write
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/cluster_world.h"

static const char *vm_name(unsigned vm)
{
	static const char *const names[CW_VMS] = { "vm0", "vm1", "vm2" };

	return names[vm];
}

/* ---- reports -------------------------------------------------------------------------------------------- */

static void report(struct cworld *w, const struct qemu *q, enum node_vm_report what,
		   const char *text, bool failed, uint32_t percent)
{
	struct node_event ev = { .type = NODE_EV_VM };

	ev.vm = (struct node_vm_event){
		.report = what,
		.name = vm_name(q->vm),
		.generation = q->generation,
		.text = text,
		.failed = failed,
		.percent = percent,
	};
	sim_trace(w->s, "n%u vm%u g%" PRIu64 " report %d %s", q->node, q->vm, q->generation, what,
		  text);
	cw_event(w, q->node, &ev);
}

static struct task *vm_task(struct cworld *w, int kind, struct qemu *q, uint64_t delay_ms)
{
	struct task *t = task_new(w, kind, q->node, delay_ms);

	t->slot = (unsigned)(q - w->qemu);
	t->life = q->life;
	return t;
}

static struct qemu *qemu_find(struct cworld *w, unsigned node, const char *name,
			      uint64_t generation)
{
	for (unsigned i = 0; i < CW_QEMUS; i++) {
		struct qemu *q = &w->qemu[i];

		if (q->state != Q_NONE && q->node == node && q->generation == generation &&
		    strcmp(vm_name(q->vm), name) == 0)
			return q;
	}
	return NULL;
}

static struct qemu *qemu_new(struct cworld *w, unsigned node, const char *name, uint64_t generation)
{
	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (w->qemu[i].state == Q_NONE) {
			w->qemu[i] = (struct qemu){
				.state = Q_STARTING,
				.vm = (unsigned)(name[2] - '0'),
				.node = node,
				.generation = generation,
				.life = ++w->lives,
			};
			return &w->qemu[i];
		}
	cl_assert(!"too many QEMUs");
	return NULL;
}

/* ---- who executes --------------------------------------------------------------------------------------- */

static bool executes(const struct cworld *w, const struct qemu *q)
{
	return q->state == Q_RUN && cw_on(w, q->node);
}

static bool just_thawed(const struct cworld *w, unsigned node)
{
	return sim_now(w->s) - w->node[node].thawed_ms <= CW_THAW_MS;
}

static void judge_running(struct cworld *w, unsigned vm)
{
	const struct qemu *first = NULL;

	for (unsigned i = 0; i < CW_QEMUS; i++) {
		const struct qemu *q = &w->qemu[i];

		if (q->vm != vm || !executes(w, q))
			continue;
		if (first && !just_thawed(w, q->node) && !just_thawed(w, first->node))
			sim_fail(w->s, "two-running",
				 "%s executes on n%u g%" PRIu64 " and on n%u g%" PRIu64,
				 vm_name(vm), first->node, first->generation, q->node,
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

		if (q->vm == vm && q->generation <= r->generation && executes(w, q) &&
		    !just_thawed(w, q->node))
			sim_fail(w->s, "free-but-runs",
				 "%s is free after g%" PRIu64 " and executes on n%u at g%" PRIu64,
				 vm_name(vm), r->generation, q->node, q->generation);
	}
}

/* Holds for an old state, too: what was free after g never runs again at g or before. */
void driver_judge_free(struct cworld *w, const struct state *s)
{
	for (unsigned vm = 0; vm < CW_VMS; vm++) {
		const struct state_resource *r = state_resource(s, vm_name(vm));

		if (r && r->owner == 0 && r->generation)
			judge_free(w, r, vm);
	}
}

static void run(struct cworld *w, struct qemu *q)
{
	q->state = Q_RUN;
	sim_trace(w->s, "n%u vm%u g%" PRIu64 " executes, seq %" PRIu64, q->node, q->vm,
		  q->generation, q->seq);
	judge_running(w, q->vm);
}

/* ---- writes ------------------------------------------------------------------------------------------------ */

/* csvd issues for the owner that its tables name, under a lease, on its session's key. */
static bool csvd_issues(const struct cworld *w, const struct qemu *q)
{
	const struct cnode *c = &w->node[q->node];

	return c->csvd_incarnation && c->owner[q->vm].node == q->node &&
	       c->owner[q->vm].generation == q->generation && !c->storage_cut &&
	       sim_now(w->s) + c->clock_off < c->lease_ms;
}

static void guest_write(struct cworld *w, struct qemu *q)
{
	uint64_t delay = 1 + sim_rand(w->s, 10);
	struct task *t;

	if (!executes(w, q) || q->writing || q->ready || !csvd_issues(w, q))
		return;
	if (w->faults && sim_chance(w->s, 20000)) /* hangs in a buffer */
		delay += sim_rand(w->s, 9000);
	q->writing = true;
	t = vm_task(w, T_LAND, q, delay);
	t->a = q->seq + 1;
	t->b = w->node[q->node].csvd_incarnation;
	t->c = q->generation;
	t->name[0] = (char)('0' + q->vm);
}

static void lun_accept(struct cworld *w, unsigned vm, const struct task *t)
{
	struct lun *l = &w->lun;

	if (t->c < l->generation[vm])
		sim_fail(w->s, "one-writer",
			 "a write of %s g%" PRIu64 " from n%u after one of g%" PRIu64, vm_name(vm),
			 t->c, t->node, l->generation[vm]);
	if (t->a != l->seq[vm] + 1)
		sim_fail(w->s, "one-history",
			 "%s g%" PRIu64 " on n%u writes block %" PRIu64 " after block %" PRIu64,
			 vm_name(vm), t->c, t->node, t->a, l->seq[vm]);
	l->generation[vm] = t->c;
	l->seq[vm] = t->a;
	l->accepted++;
}

static void land(struct cworld *w, const struct task *t)
{
	unsigned vm = (unsigned)(t->name[0] - '0');
	struct qemu *q = &w->qemu[t->slot];
	bool ok = w->lun.key[t->node] == t->b;

	if (ok)
		lun_accept(w, vm, t);
	else
		sim_trace(w->s, "n%u vm%u late write of g%" PRIu64 " refused", t->node, vm, t->c);
	if (q->life != t->life || q->state == Q_NONE)
		return;
	q->writing = false;
	if (ok)
		q->seq = t->a;
	if (q->state == Q_DEAD)
		vm_task(w, T_VM, q, 1)->a = NODE_VM_KILL;
}

/* ---- orders ------------------------------------------------------------------------------------------------- */

/* What may have a write on its way. A target that was never continued has not, and a source that is
 * ready to switch has none left. */
static bool has_run(const struct qemu *q)
{
	return ((q->state == Q_RUN || q->state == Q_PAUSED) && (!q->ready || q->quick)) ||
	       (q->state == Q_DEAD && q->writing);
}

/* The key under which the VM may still have writes from a node: it is there, or the power took it. */
static uint64_t key_left(const struct cworld *w, unsigned vm, unsigned node)
{
	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (has_run(&w->qemu[i]) && w->qemu[i].vm == vm && w->qemu[i].node == node)
			return w->node[node].csvd_incarnation;
	return w->node[node].unclean[vm];
}

static void early_start(struct cworld *w, const char *name, unsigned node)
{
	unsigned vm = (unsigned)(name[2] - '0');

	for (unsigned i = 1; i <= w->nodes; i++) {
		uint64_t key = i == node ? 0 : key_left(w, vm, i);

		if (key && w->lun.key[i] == key)
			sim_fail(w->s, "early-start",
				 "%s starts on n%u while n%u's key %" PRIu64 " is not preempted",
				 name, node, i, key);
	}
	for (unsigned i = 1; i <= w->nodes; i++)
		w->node[i].unclean[vm] = 0;
}

void driver_order(struct cworld *w, unsigned node, const struct node_action *a)
{
	struct qemu *q = qemu_find(w, node, a->vm.name, a->vm.generation);
	uint64_t delay = 1 + sim_rand(w->s, 20);
	struct task *t;

	sim_trace(w->s, "n%u order %d %s g%" PRIu64 " %s", node, a->vm.what, a->vm.name,
		  a->vm.generation, a->vm.text);
	if (a->vm.what == NODE_VM_START || a->vm.what == NODE_VM_START_INCOMING) {
		if (a->vm.what == NODE_VM_START)
			early_start(w, a->vm.name, node);
		if (q)
			sim_fail(w->s, "started-twice", "%s g%" PRIu64 " on n%u", a->vm.name,
				 a->vm.generation, node);
		q = qemu_new(w, node, a->vm.name, a->vm.generation);
		delay = 20 + sim_rand(w->s, 300);
		w->starts++;
	} else if (a->vm.what == NODE_VM_SHUTDOWN) {
		delay = 100 + sim_rand(w->s, 1500);
	}
	if (!q && a->vm.what == NODE_VM_KILL) {
		q = qemu_new(w, node, a->vm.name, a->vm.generation);
		q->state = Q_DEAD;
	}
	if (!q)
		return;
	t = vm_task(w, T_VM, q, delay);
	t->a = a->vm.what;
	memcpy(t->name, a->vm.text, sizeof(t->name) - 1);
}

static void qemu_gone(struct cworld *w, struct qemu *q, const char *why, bool failed)
{
	struct qemu old = *q;

	q->state = Q_NONE;
	report(w, &old, NODE_VM_STOPPED, why, failed, 0);
}

/* The stop order: killed, then its requests ended, only then it counts as stopped. */
static void kill_qemu(struct cworld *w, struct qemu *q, const char *why, bool failed)
{
	if (q->writing) {
		q->state = Q_DEAD;
		q->report_dead = failed;
		return;
	}
	qemu_gone(w, q, why, failed || q->report_dead);
}

static struct qemu *peer_of(struct cworld *w, const struct qemu *q)
{
	struct qemu *p = q->peer ? &w->qemu[q->peer - 1] : NULL;

	return p && p->life == q->peer_life && p->state != Q_NONE && p->state != Q_DEAD ? p : NULL;
}

static void migration_failed(struct cworld *w, struct qemu *q, const char *why)
{
	bool was = q->was_running;
	struct node_event ev = { .type = NODE_EV_VM };

	if (q->state == Q_POSTMIGRATE) { /* as QEMU: `cont`, and nothing is said of the move */
		q->copying = q->ready = false;
		q->peer = 0;
		run(w, q);
		report(w, q, NODE_VM_CONTINUED, "", false, 0);
		return;
	}
	q->copying = q->ready = false;
	q->peer = 0;
	if (was)
		run(w, q);
	sim_trace(w->s, "n%u vm%u g%" PRIu64 " migration failed: %s", q->node, q->vm, q->generation,
		  why);
	ev.vm = (struct node_vm_event){
		.report = NODE_VM_MIGRATE_FAILED,
		.name = vm_name(q->vm),
		.generation = q->generation,
		.text = why,
		.failed = true,
		.stands = q->state == Q_PAUSED,
	};
	cw_event(w, q->node, &ev);
}

/* Nothing is stopped before the switch is committed. */
static void start_save(struct cworld *w, struct qemu *q, unsigned long reserved)
{
	q->copying = q->ready = q->quick = q->was_running = true;
	q->quick_for = reserved;
	report(w, q, NODE_VM_PRE_SWITCHOVER, "", false, 0);
}

/* The guest was stopped by order: whatever fails leaves it standing. */
static void save_step(struct cworld *w, struct qemu *q)
{
	if (!q->copying || (q->state != Q_PAUSED && q->state != Q_RUN))
		return;
	q->state = Q_PAUSED;
	q->was_running = false;
	if (q->writing) {
		vm_task(w, T_LOAD, q, 5);
	} else if (w->faults && sim_chance(w->s, 100000)) {
		migration_failed(w, q, "the volume is full");
	} else {
		w->saved[q->vm].reserved = q->quick_for;
		w->saved[q->vm].seq = q->seq;
		q->state = Q_POSTMIGRATE;
		report(w, q, NODE_VM_SOURCE_DONE, "", false, 100);
	}
}

static void restore(struct cworld *w, struct qemu *p)
{
	if (p->state != Q_LISTEN)
		return;
	if (w->saved[p->vm].reserved != p->generation || (w->faults && sim_chance(w->s, 100000))) {
		kill_qemu(w, p, "the saved state is torn, or void", true);
		return;
	}
	p->seq = w->saved[p->vm].seq;
	p->state = Q_LOADED;
	report(w, p, NODE_VM_TARGET_DONE, "", false, 100);
}

static void start_copy(struct cworld *w, struct qemu *q, const char *uri)
{
	unsigned slot = 0;
	unsigned long life = 0;

	q->quick = false;
	if (!q->copying && q->state == Q_RUN && sscanf(uri, "quick:%lu", &life) == 1) {
		start_save(w, q, life);
		return;
	}

	if (q->copying || q->state != Q_RUN || sscanf(uri, "sim:%u:%lu", &slot, &life) != 2) {
		q->was_running = q->state == Q_RUN;
		migration_failed(w, q, "cannot begin");
		return;
	}
	q->copying = true;
	q->ready = false;
	q->was_running = true;
	q->peer = slot + 1;
	q->peer_life = life;
	vm_task(w, T_COPY, q, 30)->a = 0;
}

static bool linked(const struct cworld *w, const struct qemu *a, const struct qemu *b)
{
	return a && b && !w->cut[a->node][b->node] && !w->cut[b->node][a->node] &&
	       cw_on(w, a->node) && cw_on(w, b->node);
}

static void copy_step(struct cworld *w, struct qemu *q, const struct task *t)
{
	if (!q->copying || q->ready || q->state == Q_DEAD)
		return;
	if (!linked(w, q, peer_of(w, q))) {
		migration_failed(w, q, "connection lost");
		return;
	}
	if (t->a < 4) {
		vm_task(w, T_COPY, q, 20 + sim_rand(w->s, 200))->a = t->a + 1;
		report(w, q, NODE_VM_PROGRESS, "", false, (uint32_t)(t->a * 25));
		return;
	}
	/* Converged: the guest stands as soon as its last write is answered. */
	if (q->writing || (q->state != Q_RUN && q->state != Q_PAUSED)) {
		vm_task(w, T_COPY, q, 5)->a = t->a;
		return;
	}
	q->was_running = q->state == Q_RUN;
	q->state = Q_PAUSED;
	q->ready = true;
	report(w, q, NODE_VM_PRE_SWITCHOVER, "", false, 99);
}

/*
 * The end of a migration: the target is complete, and the source says `completed`; or the last message
 * is lost, and the source runs again although the target is complete; or neither.
 */
static void load_step(struct cworld *w, struct qemu *q)
{
	struct qemu *p = peer_of(w, q);
	unsigned luck = (unsigned)sim_rand(w->s, 100);

	if (!q->ready || !q->copying || q->state == Q_DEAD)
		return;
	if (q->quick) {
		save_step(w, q);
		return;
	}
	if (!linked(w, q, p) || p->state != Q_LISTEN || (w->faults && luck < 10)) {
		if (luck % 2)
			migration_failed(w, q, "connection lost in the switch");
		else
			report(w, q, NODE_VM_MIGRATE_STUCK, "connection lost in `device`", true, 0);
		return;
	}
	p->seq = q->seq;
	p->state = Q_LOADED;
	if (w->faults && luck < 20) {
		q->state = Q_POSTMIGRATE; /* its last word is lost; it stands */
		report(w, q, NODE_VM_MIGRATE_STUCK, "the return path was lost", true, 0);
	} else if (w->faults && luck < 30) {
		migration_failed(w, q, "the return path was lost");
	} else {
		q->state = Q_POSTMIGRATE;
		report(w, q, NODE_VM_SOURCE_DONE, "", false, 100);
	}
	report(w, p, NODE_VM_TARGET_DONE, "", false, 100);
}

/* A number belongs to one node for ever, also when what it was given for came to nothing. */
static void number_given(struct cworld *w, const struct qemu *q)
{
	uint8_t *to;

	if (q->generation >= CW_NUMBERS)
		return;
	to = &w->given[q->vm][q->generation];
	if (*to && *to != q->node)
		sim_fail(w->s, "number-twice", "%s g%" PRIu64 " was n%u's and is now n%u's",
			 vm_name(q->vm), q->generation, *to, q->node);
	*to = (uint8_t)q->node;
}

static void order_takes_effect(struct cworld *w, struct qemu *q, const struct task *t)
{
	char uri[64];

	switch ((enum node_vm_do)t->a) {
	case NODE_VM_START:
		if (q->state != Q_STARTING)
			break;
		if (w->faults && sim_chance(w->s, 30000)) {
			kill_qemu(w, q, "could not start", true);
			break;
		}
		number_given(w, q);
		q->seq = w->lun.seq[q->vm];
		run(w, q);
		report(w, q, NODE_VM_STARTED, "", false, 0);
		break;
	case NODE_VM_START_INCOMING:
		if (q->state != Q_STARTING)
			break;
		number_given(w, q);
		q->state = Q_LISTEN;
		if (strcmp(t->name, "quick") == 0)
			(void)snprintf(uri, sizeof(uri), "quick:%lu", (unsigned long)q->generation);
		else
			(void)snprintf(uri, sizeof(uri), "sim:%u:%lu", t->slot,
				       (unsigned long)q->life);
		report(w, q, NODE_VM_INCOMING, uri, false, 0);
		break;
	case NODE_VM_SHUTDOWN:
	case NODE_VM_KILL:
		kill_qemu(w, q, "killed", false);
		break;
	case NODE_VM_PAUSE:
	case NODE_VM_STAND:
		if (q->state == Q_RUN)
			q->state = Q_PAUSED;
		q->was_running = false;
		report(w, q, NODE_VM_PAUSED, "", false, 0);
		break;
	case NODE_VM_CONT:
		if (q->state == Q_DEAD || q->state == Q_LISTEN || q->state == Q_STARTING)
			break;
		q->copying = q->ready = false;
		run(w, q);
		report(w, q, NODE_VM_CONTINUED, "", false, 0);
		break;
	case NODE_VM_MIGRATE:
		start_copy(w, q, t->name);
		break;
	case NODE_VM_LOAD:
		restore(w, q);
		break;
	case NODE_VM_SWITCH:
		if (q->ready)
			vm_task(w, T_LOAD, q, 5 + sim_rand(w->s, 60));
		break;
	case NODE_VM_MIGRATE_CANCEL:
		if (q->state != Q_DEAD)
			migration_failed(w, q, "cancelled");
		break;
	}
}

void driver_crash_qemu(struct cworld *w, unsigned slot)
{
	if (w->qemu[slot].state != Q_NONE && w->qemu[slot].state != Q_DEAD)
		kill_qemu(w, &w->qemu[slot], "QEMU died", true);
}

/* ---- csvd --------------------------------------------------------------------------------------------------- */

static void csvd_event(struct cworld *w, unsigned node, struct node_csvd_event e)
{
	struct node_event ev = { .type = NODE_EV_CSVD, .csvd = e };

	if (!e.text)
		ev.csvd.text = "";
	cw_event(w, node, &ev);
}

static void csvd_status(struct cworld *w, unsigned node)
{
	bool path = !w->node[node].storage_cut;

	csvd_event(w, node,
		   (struct node_csvd_event){
			   .report = NODE_CSVD_STATUS,
			   .volume = "vol1",
			   .has_path = path,
			   .mode = path ? STATE_MODE_DIRECT : STATE_MODE_PAUSED,
			   .text = path ? "" : "no path to the LUN",
		   });
}

/* The session is opened under a new key when the tables say that this node lives at its incarnation and
 * the volume owes no fence. Admission asks the log (go, after a read-index round), which a node that is
 * cut off cannot: so we look at all that was ever committed, not at what those who are up remember. */
static void csvd_session(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];

	if (c->csvd_incarnation == c->file_incarnation || c->file_incarnation == 0 ||
	    c->storage_cut || !w->log.clear || w->log.living[node] != c->file_incarnation)
		return;
	c->csvd_incarnation = c->file_incarnation;
	w->lun.key[node] = c->csvd_incarnation;
	sim_trace(w->s, "n%u registers key %" PRIu64, node, c->csvd_incarnation);
}

static void csvd_tables(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];
	const struct state *s = node_state(c->core);
	const struct state_volume *v = state_volume(s, "vol1");

	for (unsigned i = 0; i < CW_VMS; i++) {
		const struct state_resource *r = state_resource(s, vm_name(i));

		c->owner[i] =
			r ? (struct owner_row){ r->generation, r->owner } : (struct owner_row){ 0 };
	}
	c->coordinates = v && v->coordinator == node && v->epoch ? v->epoch : 0;
	if (c->coordinates && c->go_epoch != c->coordinates && !c->asked) {
		c->asked = true;
		task_new(w, T_CSVD, node, 1 + sim_rand(w->s, 20))->a = c->coordinates;
	}
}

static void csvd_task(struct cworld *w, const struct task *t)
{
	struct cnode *c = &w->node[t->node];

	if (t->a == 0) { /* its own timer */
		csvd_session(w, t->node);
		csvd_status(w, t->node);
		task_new(w, T_CSVD, t->node, 500)->instance = t->instance;
		if (c->coordinates && c->go_epoch != c->coordinates && !c->asked) {
			c->asked = true;
			task_new(w, T_CSVD, t->node, 1)->a = c->coordinates;
		}
		return;
	}
	c->asked = false;
	if (c->coordinates == t->a && c->go_epoch != t->a)
		csvd_event(w, t->node,
			   (struct node_csvd_event){
				   .report = NODE_CSVD_ASK_GO, .volume = "vol1", .epoch = t->a });
}

/* Preempt, barrier, verify: what had not arrived before does not arrive any more. */
static void pay(struct cworld *w, const struct task *t)
{
	struct cnode *c = &w->node[t->node];

	if (c->storage_cut || c->go_epoch != t->a) {
		csvd_event(w, t->node,
			   (struct node_csvd_event){ .report = NODE_CSVD_PAY_FAILED,
						     .volume = "vol1",
						     .epoch = t->a,
						     .text = "no path to the LUN" });
		return;
	}
	if (w->lun.key[t->b] <= t->c)
		w->lun.key[t->b] = 0;
	sim_trace(w->s, "n%u preempts keys of n%" PRIu64 " <= %" PRIu64, t->node, t->b, t->c);
	csvd_event(w, t->node,
		   (struct node_csvd_event){ .report = NODE_CSVD_PAID,
					     .volume = "vol1",
					     .epoch = t->a,
					     .node = (uint32_t)t->b,
					     .incarnation = t->c });
}

void driver_csvd(struct cworld *w, unsigned node, const struct node_action *a)
{
	struct cnode *c = &w->node[node];
	struct task *t;

	if (a->type != NODE_DO_CSVD_LEASE && a->type != NODE_DO_CSVD_TABLES)
		sim_trace(w->s, "n%u csvd order %d epoch %" PRIu64 " code %d", node, a->type,
			  a->csvd.epoch, a->csvd.code);
	switch (a->type) {
	case NODE_DO_CSVD_GO:
		if (a->csvd.code == 0)
			c->go_epoch = a->csvd.epoch;
		else
			task_new(w, T_CSVD, node, 200)->a = a->csvd.epoch;
		break;
	case NODE_DO_CSVD_PAY:
		t = task_new(w, T_PAY, node, 10 + sim_rand(w->s, 200));
		t->a = a->csvd.epoch;
		t->b = a->csvd.node;
		t->c = a->csvd.incarnation;
		break;
	case NODE_DO_CSVD_JOB:
	case NODE_DO_JOB_ANSWER:
		break; /* nothing is decided upon them */
	case NODE_DO_CSVD_RELEASE:
		task_new(w, T_RELEASE, node, 20 + sim_rand(w->s, 100))->a = a->csvd.epoch;
		break;
	case NODE_DO_CSVD_TABLES:
		csvd_tables(w, node);
		break;
	case NODE_DO_CSVD_LEASE:
		c->lease_ms = a->lease.until_ms;
		c->file_lease_ms = a->lease.until_ms;
		break;
	default:
		cl_assert(!"an action that nobody carries out");
	}
}

/* ---- cleanup, boot, power ----------------------------------------------------------------------------------- */

void driver_cleanup(struct cworld *w, unsigned node, uint64_t incarnation)
{
	struct task *t = task_new(w, T_CLEANED, node, 20 + sim_rand(w->s, 150));

	t->instance = w->node[node].instance;
	t->a = incarnation;
}

/* A QEMU that is being killed and has no request left is gone but for the report. */
static bool lives_on(const struct qemu *q)
{
	return q->state != Q_NONE && (q->state != Q_DEAD || q->writing);
}

void driver_new_life(struct cworld *w, unsigned node, uint64_t incarnation)
{
	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (w->qemu[i].node == node && lives_on(&w->qemu[i]))
			sim_fail(w->s, "old-life",
				 "n%u lives at %" PRIu64 " and %s g%" PRIu64
				 " of its earlier life is not over",
				 node, incarnation, vm_name(w->qemu[i].vm), w->qemu[i].generation);
}

/* All QEMUs killed, their requests ended, csvd's sessions closed. */
static void cleaned(struct cworld *w, const struct task *t)
{
	struct cnode *c = &w->node[t->node];
	struct node_event ev = { .type = NODE_EV_CLEANED, .incarnation = t->a };
	bool busy = false;

	for (unsigned i = 0; i < CW_QEMUS; i++) {
		struct qemu *q = &w->qemu[i];

		if (q->state == Q_NONE || q->node != t->node)
			continue;
		if (q->writing)
			q->state = Q_DEAD;
		else
			q->state = Q_NONE;
		busy = busy || q->writing;
	}
	if (busy) {
		struct task *again = task_new(w, T_CLEANED, t->node, 100);

		again->instance = t->instance;
		again->a = t->a;
		return;
	}
	c->csvd_incarnation = 0;
	c->go_epoch = 0;
	cw_event(w, t->node, &ev);
}

void driver_boot(struct cworld *w, unsigned node)
{
	struct node_event ev = { .type = NODE_EV_STARTED };

	for (unsigned i = 0; i < CW_QEMUS; i++) {
		struct qemu *q = &w->qemu[i];

		if (q->state != Q_NONE && q->state != Q_DEAD && q->node == node)
			report(w, q, NODE_VM_FOUND, q->state == Q_RUN ? "" : "paused", false, 0);
		else if (q->state == Q_DEAD && q->node == node && !q->writing)
			q->state = Q_NONE;
	}
	cw_event(w, node, &ev);
	csvd_event(w, node, (struct node_csvd_event){ .report = NODE_CSVD_UP, .instance = 1 });
	w->node[node].asked = false;
	w->node[node].go_epoch = 0;
	csvd_tables(w, node);
	task_new(w, T_CSVD, node, 10)->instance = w->node[node].instance;
}

void driver_power_lost(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];

	for (unsigned i = 0; i < CW_QEMUS; i++)
		if (w->qemu[i].node == node && w->qemu[i].state != Q_NONE) {
			if (has_run(&w->qemu[i]))
				c->unclean[w->qemu[i].vm] = w->lun.key[node];
			w->qemu[i].state = Q_NONE;
		}
	c->csvd_incarnation = c->go_epoch = c->coordinates = 0;
	c->lease_ms = 0;
	memset(c->owner, 0, sizeof(c->owner));
}

void driver_task(struct cworld *w, struct task *t)
{
	struct qemu *q = &w->qemu[t->slot];
	bool alive = q->state != Q_NONE && q->life == t->life;

	switch (t->kind) {
	case T_GUEST:
		for (unsigned i = 0; i < CW_QEMUS; i++)
			guest_write(w, &w->qemu[i]);
		driver_judge(w);
		task_new(w, T_GUEST, 0, 40);
		break;
	case T_LAND:
		land(w, t);
		break;
	case T_VM:
		if (alive)
			order_takes_effect(w, q, t);
		break;
	case T_COPY:
		if (alive)
			copy_step(w, q, t);
		break;
	case T_LOAD:
		if (alive)
			load_step(w, q);
		break;
	case T_PAY:
		pay(w, t);
		break;
	case T_RELEASE:
		if (w->node[t->node].coordinates == t->a) {
			w->node[t->node].go_epoch = 0;
			csvd_event(w, t->node,
				   (struct node_csvd_event){ .report = NODE_CSVD_RELEASED,
							     .volume = "vol1",
							     .epoch = t->a });
		}
		break;
	case T_CLEANED:
		cleaned(w, t);
		break;
	case T_CSVD:
		csvd_task(w, t);
		break;
	default:
		cl_assert(!"unknown task");
	}
}
