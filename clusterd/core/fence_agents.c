/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fence agents, on the leader, who has them run (fence_hand.c): by itself, then by others. They are run when `N failed` is committed and applied, so by a side that has
 * a majority, and never before: a side that is cut off shoots nobody. What they prove is that N is off, no
 * more (quorum/state_fence.c): the debts are paid by SCSI as ever.
 *
 * An attempt that has begun goes on to its end, also when N's lease ends meanwhile: half a level leaves a
 * machine with one of its power supplies, and a machine that hangs is only back when some level works.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include "quorum/state_schema.h"

#include <stdio.h>
#include <string.h>

static struct fencing *fencing_find(struct node *n, uint32_t node)
{
	for (size_t i = 0; i < n->mgr.fencing.n; i++)
		if (n->mgr.fencing.v[i].node == node)
			return &n->mgr.fencing.v[i];
	return NULL;
}

/* ---- who runs them ----------------------------------------------------------------------------------------- */

/* The leader does it itself as long as it can; then whoever else is well, in order. */
static bool can_run(const struct node *n, const struct state_node *s, uint32_t target)
{
	const struct peer *p = beats_peer(n, s->id);

	return s->id != target && s->id != n->cfg.id && s->phase == STATE_NODE_LIVING &&
	       beats_heard(n, s->id) && p && p->schema >= SCHEMA_ON;
}

static uint32_t hands_of(const struct node *n, uint32_t target)
{
	uint32_t hands = 1;

	for (size_t i = 0; i < n->state.nodes.n; i++)
		hands += can_run(n, &n->state.nodes.v[i], target);
	return hands;
}

static uint32_t whose_turn(const struct node *n, const struct fencing *f)
{
	uint32_t nth = f->run.turn % hands_of(n, f->node);

	for (size_t i = 0; i < n->state.nodes.n && nth > 0; i++)
		if (can_run(n, &n->state.nodes.v[i], f->node) && --nth == 0)
			return n->state.nodes.v[i].id;
	return n->cfg.id;
}

static void ask(struct node *n, struct fencing *f, bool stop)
{
	MESSAGE(FENCE_ASK, FenceAsk, fence_ask);

	m.id = f->child;
	m.node = f->node;
	m.incarnation = f->incarnation;
	m.version = f->version;
	m.agent = (uint32_t)f->run.at;
	m.on = f->run.phase == FENCE_ON;
	m.stop = stop;
	message_send(n, f->hand, &msg);
}

static void begin_agent(struct node *n, struct fencing *f)
{
	f->child = ++n->next_id;
	f->hand = whose_turn(n, f);
	f->told_ms = INT64_MIN / 2;
	f->heard_ms = n->now_ms;
}

static void stop_agent(struct node *n, struct fencing *f)
{
	if (f->child)
		ask(n, f, true);
	f->child = 0;
}

void fence_agents_stop(struct node *n)
{
	for (size_t i = 0; i < n->mgr.fencing.n; i++)
		stop_agent(n, &n->mgr.fencing.v[i]);
	fencing_vec_fini(&n->mgr.fencing);
}

static void drop(struct node *n, struct fencing *f)
{
	stop_agent(n, f);
	fencing_vec_remove(&n->mgr.fencing, (size_t)(f - n->mgr.fencing.v));
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

static const char *name_of(const struct node *n, uint32_t id)
{
	const struct state_node *s = state_node(&n->state, id);

	return s ? s->name : "a node that is gone";
}

static void tell(struct node *n, struct fencing *f, const struct state_node *s)
{
	bool all_know = state_schema(&n->state) >= SCHEMA_ON;
	COMMAND(NODE_FENCED, NodeFenced, node_fenced);

	m.node = f->node;
	m.incarnation = f->incarnation;
	m.off = f->off;
	m.method = f->method;
	m.by = COMMAND_STRING(name_of(n, f->by));
	m.text = f->text;
	m.took_ms = f->took_ms;
	if (f->off && all_know && f->run.phase == FENCE_ON && f->version == s->fence_version)
		m.level = f->level;
	if (log_propose(n, s->name, &c))
		f->untold = false;
}

/* Before the first of a level is asked: whoever leads next owes an `on`, whatever came of it. */
static void tell_begun(struct node *n, const struct fencing *f, const struct state_node *s,
		       uint32_t level)
{
	COMMAND(NODE_FENCED, NodeFenced, node_fenced);

	m.node = f->node;
	m.incarnation = f->incarnation;
	m.level = level;
	m.begun = true;
	m.method = COMMAND_STRING("");
	m.by = COMMAND_STRING("");
	m.text = COMMAND_STRING("");
	(void)log_propose(n, s->name, &c);
}

/* Done, or in vain: nobody has to do it any more. */
static void tell_on(struct node *n, struct fencing *f, const struct state_node *s)
{
	COMMAND(NODE_FENCED, NodeFenced, node_fenced);

	m.node = f->node;
	m.incarnation = s->off_incarnation;
	m.level = s->off_level;
	m.on = true;
	m.method = f->method;
	m.by = COMMAND_STRING(name_of(n, f->by));
	m.text = f->text;
	(void)log_propose(n, s->name, &c);
}

static void note_off(struct fencing *f, const struct state_agent *agents, size_t count, size_t at,
		     bool off, const char *text)
{
	f->untold = true;
	f->off = off;
	f->level = agents[off ? f->run.level_at : at].level;
	name_level(agents, count, off ? f->run.level_at : at, off, f->method, sizeof(f->method));
	CORE_COPY(f->text, off ? "" : text);
}

/* What the last one said that did not do it is kept, though others of its level may have. */
static void note_on(struct node *n, struct fencing *f, const struct state_agent *agents,
		    size_t count, bool ok, const char *text)
{
	name_level(agents, count, f->run.level_at, true, f->method, sizeof(f->method));
	if (!ok)
		CORE_COPY(f->text, *text ? text : "failed");
	if (f->run.phase == FENCE_DONE && !f->run.on_failed)
		f->text[0] = 0;
	if (f->run.phase == FENCE_DONE && f->run.on_failed && state_schema(&n->state) < SCHEMA_ON)
		core_event_of(n, f->node, name_of(n, f->node), "fence-on-failed", f->text, -1);
}

static void agent_ended(struct node *n, struct fencing *f, bool ok, const char *text)
{
	const struct state_node *s = state_node(&n->state, f->node);
	struct fence_rules rules = {
		.keep_off = s && s->fence_keep_off,
		.one = n->cfg.defects & NODE_DEFECT_FENCE_ONE_AGENT,
		.hands = hands_of(n, f->node),
	};
	size_t count = 0, at = f->run.at;
	const struct state_agent *agents = s ? state_agents(&n->state, s->id, &count) : NULL;
	bool on = f->run.phase == FENCE_ON;
	enum fence_verdict v;

	f->child = 0;
	if (!agents || at >= count || f->version != s->fence_version)
		return; /* other agents since: it begins anew */
	f->by = f->hand;
	f->took_ms = n->now_ms - f->run.level_ms;
	v = fence_run_ended(&f->run, agents, count, ok, &rules, n->now_ms);
	if (on)
		note_on(n, f, agents, count, ok, text);
	else if (v == FENCE_PROVEN || v == FENCE_LEVEL_FAILED)
		note_off(f, agents, count, at, v == FENCE_PROVEN, text);
}

void fence_on_answer(struct node *n, const Core__Message *msg)
{
	const Core__FenceAnswer *m = msg->fence_answer;
	char text[STATE_FENCE_TEXT_MAX];

	CORE_COPY(text, m->text);
	for (size_t i = 0; i < n->mgr.fencing.n; i++) {
		struct fencing *f = &n->mgr.fencing.v[i];

		if (!m->id || f->child != m->id || f->hand != msg->from ||
		    m->instance != n->cfg.instance)
			continue;
		f->heard_ms = n->now_ms;
		if (m->done)
			agent_ended(n, f, m->ok, text);
		return;
	}
}

/*
 * Asked again until it has answered; one that answers nothing is given up when it has given up the agent, too
 * (fence_hand.c): it hears no more questions from then on.
 */
static void ask_step(struct node *n, struct fencing *f)
{
	char text[STATE_FENCE_TEXT_MAX];

	if (f->hand != n->cfg.id && n->now_ms - f->heard_ms > 2 * FENCE_HAND_MS) {
		(void)snprintf(text, sizeof(text), "%s does not answer", name_of(n, f->hand));
		stop_agent(n, f);
		agent_ended(n, f, false, text);
	} else if (agent_due(n, &f->told_ms)) {
		ask(n, f, false);
	}
}

/* ---- with each step ---------------------------------------------------------------------------------------- */

/* It is back by itself and has ended all that ran: nothing is to be proven. */
static bool is_back(const struct node *n, const struct state_node *s)
{
	const struct peer *p = beats_peer(n, s->id);

	return p && beats_heard(n, s->id) && p->cleaned && p->ended >= s->incarnation;
}

/* An agent that was asked by the leader before us, until its node hears of us or misses its questions. */
static bool earlier_may_run(const struct node *n)
{
	return n->now_ms - n->mgr.since_ms < 2 * FENCE_HAND_MS;
}

/*
 * Its `on` must not come between our `off` and what that proves: the machine would be on by then, and its VMs started
 * elsewhere (off-while-on; simulator: off-but-on, 7 nodes, seed 120177 of its time). Of what was only begun, too: a
 * manager that had led for long enough switches that on (16 nodes, seed 25 of its time).
 */
static bool may_be_switched_on(const struct node *n, const struct state_node *s)
{
	return s->off_level && earlier_may_run(n) && !(n->cfg.defects & NODE_DEFECT_OFF_WHILE_ON);
}

static bool can_be_fenced(const struct node *n, const struct state_node *s)
{
	size_t count;

	return s->phase == STATE_NODE_FAILED && s->id != n->cfg.id && !is_back(n, s) &&
	       beats_may_begin(n) && state_agents(&n->state, s->id, &count);
}

static bool is_wanted(const struct node *n, const struct state_node *s)
{
	return s->silent < s->incarnation && can_be_fenced(n, s);
}

/*
 * An earlier leader's agents have switched it off, or were about to, and nobody has switched it on. While it has yet to
 * be proven off that comes first. Their `off` must not come after our `on`.
 */
static bool is_owed(const struct node *n, const struct state_node *s)
{
	if (s->off_begun && earlier_may_run(n))
		return false;
	return s->off_level && s->id != n->cfg.id && beats_may_begin(n) &&
	       !(n->cfg.defects & NODE_DEFECT_ON_FORGOTTEN);
}

/* What has to be proven off is not switched on meanwhile. */
static bool may_begin(const struct node *n, const struct state_node *s)
{
	return is_wanted(n, s) ? !may_be_switched_on(n, s) : is_owed(n, s);
}

static size_t first_of_level(const struct node *n, const struct state_node *s)
{
	size_t count, at = 0;
	const struct state_agent *agents = state_agents(&n->state, s->id, &count);

	while (at < count && agents[at].level != s->off_level)
		at++;
	return at;
}

static void begin(struct node *n, const struct state_node *s)
{
	struct fencing f = {
		.node = s->id,
		.incarnation = s->incarnation,
		.version = s->fence_version,
	};

	if (is_wanted(n, s)) {
		fence_run_begin(&f.run, n->now_ms);
		core_event_of(n, s->id, s->name, "fence-begun", s->reason, -1);
	} else {
		f.incarnation = s->off_incarnation;
		fence_run_begin_on(&f.run, first_of_level(n, s), n->now_ms);
	}
	if (fencing_vec_push(&n->mgr.fencing, f) < 0)
		n->out->no_memory = true;
}

static bool owes(const struct fencing *f, const struct state_node *s)
{
	return s->off_level && s->off_incarnation == f->incarnation;
}

/*
 * A round that has begun is carried to its end, also when the lease's end has proven meanwhile that the node executes
 * nothing: it may hang, and then it is back only when somebody switches it off and on. Not when a person has said that
 * it is off: then it is his, and nobody owes it an `on` any more. Who is to stay off is never owed one, so there that
 * cannot be told; one more `off` does it no harm.
 */
static bool goes_on(const struct node *n, const struct fencing *f, const struct state_node *s)
{
	bool ours = s->fence_keep_off || (s->off_begun && s->off_incarnation == f->incarnation);

	return fence_run_tried(&f->run) && ours && can_be_fenced(n, s);
}

/* Whether what is under way is still about this node. Switching on is of whatever came after, too. */
static bool is_void(const struct node *n, const struct fencing *f, const struct state_node *s)
{
	if (f->version != s->fence_version)
		return !f->untold;
	if (f->run.phase == FENCE_DONE)
		return !f->untold && !owes(f, s);
	if (f->run.phase == FENCE_ON)
		return false;
	if (s->phase != STATE_NODE_FAILED || s->incarnation != f->incarnation)
		return true;
	/* Between two agents that are not of one level: nothing is half done. */
	return f->run.at == f->run.level_at && f->run.tries == 0 && f->child == 0 && !f->untold &&
	       !is_wanted(n, s) && !goes_on(n, f, s);
}

/* Whether the database has that it is about to be switched off by those whose turn it is; told, if not. */
static bool is_announced(struct node *n, const struct fencing *f, const struct state_node *s)
{
	size_t count;
	const struct state_agent *agents = state_agents(&n->state, s->id, &count);
	uint32_t level = agents[f->run.at].level;

	if (state_schema(&n->state) < SCHEMA_BEGUN || s->fence_keep_off ||
	    (n->cfg.defects & NODE_DEFECT_OFF_UNOWED) ||
	    (s->off_level == level && s->off_incarnation == f->incarnation))
		return true;
	if (!log_in_flight(n, s->name))
		tell_begun(n, f, s, level);
	return false;
}

/* On only when the database has that it was off: else the next leader does not know that it is to be switched on. */
static bool may_run(struct node *n, const struct fencing *f, const struct state_node *s)
{
	if (f->run.phase == FENCE_ON)
		return !f->untold && !log_in_flight(n, s->name);
	return f->run.phase == FENCE_OFF && is_announced(n, f, s);
}

static void fencing_step(struct node *n, struct fencing *f, const struct state_node *s)
{
	size_t count;

	(void)state_agents(&n->state, s->id, &count);
	if (f->untold)
		tell(n, f, s);
	if (f->run.phase == FENCE_REST && n->now_ms >= f->run.rest_until_ms)
		fence_run_begin(&f->run, n->now_ms);
	/* Not before nobody else may be at it: then an `off` may come. */
	if (f->run.phase == FENCE_DONE && owes(f, s) && !earlier_may_run(n))
		tell_on(n, f, s);
	if (f->child == 0 && f->run.at < count && may_run(n, f, s))
		begin_agent(n, f);
	if (f->child)
		ask_step(n, f);
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
		if (!f && may_begin(n, s)) {
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
