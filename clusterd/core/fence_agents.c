/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fence agents, on the leader. They are run when `N failed` is committed and applied, so by a side that has
 * a majority, and never before: a side that is cut off shoots nobody. What they prove is that N is off, no
 * more (quorum/state_fence.c): the debts are paid by SCSI as ever.
 *
 * An attempt that has begun goes on to its end, also when N's lease ends meanwhile: half a level leaves a
 * machine with one of its power supplies.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>
#include <string.h>

static struct fencing *fencing_find(struct node *n, uint32_t node)
{
	for (size_t i = 0; i < n->mgr.fencing.n; i++)
		if (n->mgr.fencing.v[i].node == node)
			return &n->mgr.fencing.v[i];
	return NULL;
}

static void stop_child(struct node *n, struct fencing *f)
{
	if (f->child)
		core_emit(n, NODE_DO_FENCE_STOP)->fence.id = f->child;
	f->child = 0;
}

void fence_agents_stop(struct node *n)
{
	for (size_t i = 0; i < n->mgr.fencing.n; i++)
		stop_child(n, &n->mgr.fencing.v[i]);
	fencing_vec_fini(&n->mgr.fencing);
}

static void drop(struct node *n, struct fencing *f)
{
	stop_child(n, f);
	fencing_vec_remove(&n->mgr.fencing, (size_t)(f - n->mgr.fencing.v));
}

/* ---- running one ----------------------------------------------------------------------------------------- */

static void run_agent(struct node *n, struct fencing *f, const struct state_agent *a)
{
	const char *action = f->run.phase == FENCE_ON ? "on" : "off";
	size_t size = strlen(a->options) + 32;
	char *text = malloc(size);
	struct node_action *out;

	if (!text) {
		n->out->no_memory = true;
		return;
	}
	(void)snprintf(text, size, "%saction=%s\n", a->options, action);
	f->child = ++n->next_id;
	out = core_emit(n, NODE_DO_FENCE);
	out->fence.id = f->child;
	out->fence.node = f->node;
	CORE_COPY(out->fence.agent, a->name);
	CORE_COPY(out->fence.action, action);
	out->fence.input = text;
	out->fence.timeout_ms = (int64_t)a->timeout_s * 1000;
}

/* "fence_a, fence_b (level 1)" */
static void name_level(const struct state_agent *agents, size_t n, size_t from, bool whole,
		       char *ret, size_t size)
{
	size_t len = 0;

	ret[0] = 0;
	for (size_t i = from; i < n && agents[i].level == agents[from].level && len < size; i++) {
		len += (size_t)snprintf(ret + len, size - len, "%s%s", i > from ? ", " : "",
					agents[i].name);
		if (!whole)
			break;
	}
	if (len < size)
		(void)snprintf(ret + len, size - len, " (level %u)", agents[from].level);
}

/* ---- what it comes to -------------------------------------------------------------------------------------- */

static void tell(struct node *n, struct fencing *f, const struct state_node *s)
{
	COMMAND(NODE_FENCED, NodeFenced, node_fenced);

	m.node = f->node;
	m.incarnation = f->incarnation;
	m.off = f->off;
	m.method = f->method;
	m.by = n->cfg.name;
	m.text = f->text;
	m.took_ms = f->took_ms;
	if (log_propose(n, s->name, &c))
		f->untold = false;
}

void fence_on_event(struct node *n, const struct node_fence_event *ev)
{
	struct fencing *f = NULL;
	const struct state_agent *agents;
	size_t count, at;
	const struct state_node *s;
	enum fence_verdict v;
	bool on;

	for (size_t i = 0; i < n->mgr.fencing.n; i++)
		if (ev->id && n->mgr.fencing.v[i].child == ev->id)
			f = &n->mgr.fencing.v[i];
	s = f ? state_node(&n->state, f->node) : NULL;
	agents = s ? state_agents(&n->state, s->id, &count) : NULL;
	if (!agents || f->version != s->fence_version)
		return; /* other agents since: it begins anew */
	f->child = 0;
	at = f->run.at;
	on = f->run.phase == FENCE_ON;
	f->took_ms = n->now_ms - f->run.level_ms;
	v = fence_run_ended(&f->run, agents, count, ev->ok, s->fence_keep_off,
			    n->cfg.defects & NODE_DEFECT_FENCE_ONE_AGENT, n->now_ms);
	if (on && v != FENCE_GO_ON && !ev->ok)
		core_event_of(n, s->id, s->name, "fence-on-failed", ev->text, f->took_ms);
	if (v != FENCE_PROVEN && v != FENCE_LEVEL_FAILED)
		return;
	f->untold = true;
	f->off = v == FENCE_PROVEN;
	name_level(agents, count, f->off ? f->run.level_at : at, f->off, f->method,
		   sizeof(f->method));
	CORE_COPY(f->text, f->off ? "" : ev->text);
}

/* ---- with each step ---------------------------------------------------------------------------------------- */

/* It is back by itself and has ended all that ran: nothing is to be proven. */
static bool is_back(const struct node *n, const struct state_node *s)
{
	const struct peer *p = beats_peer(n, s->id);

	return p && beats_heard(n, s->id) && p->cleaned && p->ended >= s->incarnation;
}

static bool is_wanted(const struct node *n, const struct state_node *s)
{
	size_t count;

	return s->phase == STATE_NODE_FAILED && s->silent < s->incarnation && s->id != n->cfg.id &&
	       !is_back(n, s) && beats_may_begin(n) && state_agents(&n->state, s->id, &count);
}

static void begin(struct node *n, const struct state_node *s)
{
	struct fencing f = {
		.node = s->id,
		.incarnation = s->incarnation,
		.version = s->fence_version,
	};

	fence_run_begin(&f.run, n->now_ms);
	core_event_of(n, s->id, s->name, "fence-begun", s->reason, -1);
	if (fencing_vec_push(&n->mgr.fencing, f) < 0)
		n->out->no_memory = true;
}

/* Whether what is under way is still about this node. Switching on is of whatever came after, too. */
static bool is_void(const struct node *n, const struct fencing *f, const struct state_node *s)
{
	if (f->version != s->fence_version || f->run.phase == FENCE_DONE)
		return !f->untold;
	if (f->run.phase == FENCE_ON)
		return false;
	if (s->phase != STATE_NODE_FAILED || s->incarnation != f->incarnation)
		return true;
	/* Between two levels, or two rounds: no agent has done anything that is half done. */
	return f->run.at == f->run.level_at && f->run.tries == 0 && f->child == 0 && !f->untold &&
	       !is_wanted(n, s);
}

static void fencing_step(struct node *n, struct fencing *f, const struct state_node *s)
{
	size_t count;
	const struct state_agent *agents = state_agents(&n->state, s->id, &count);

	if (f->untold)
		tell(n, f, s);
	if (f->run.phase == FENCE_REST && n->now_ms >= f->run.rest_until_ms)
		fence_run_begin(&f->run, n->now_ms);
	if (f->child == 0 && f->version == s->fence_version && f->run.at < count &&
	    (f->run.phase == FENCE_OFF || f->run.phase == FENCE_ON))
		run_agent(n, f, &agents[f->run.at]);
}

void fence_agents_step(struct node *n)
{
	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];
		struct fencing *f = fencing_find(n, s->id);

		if (f && is_void(n, f, s)) {
			drop(n, f);
			f = NULL;
		}
		if (!f && is_wanted(n, s)) {
			begin(n, s);
			f = fencing_find(n, s->id);
		}
		if (f)
			fencing_step(n, f, s);
	}
	for (size_t i = n->mgr.fencing.n; i-- > 0;)
		if (!state_node(&n->state, n->mgr.fencing.v[i].node))
			drop(n, &n->mgr.fencing.v[i]);
}
