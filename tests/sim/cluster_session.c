/* SPDX-License-Identifier: GPL-2.0-or-later */
/* iSCSI sessions to the volumes' target, as csvd's code knows them (iscsi/lun.h). */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/cluster_target.h"
#include "tests/sim/lun_env.h"

enum {
	PATH_MS = 5000, /* as lun_session_config.path_ms */
	CONNECT_MS = 3000,
	RETRY_MS = 100,
};

struct lun_session {
	struct lun_data data; /* first */
	struct lun_session *next;
	struct env_at at;
	unsigned l;
	uint64_t id, nexus, instance, key;
	enum lun_session_state state;
	enum lun_role role;
	struct lun_session_hooks hooks;
	struct cl_error why;
	struct lun_cmd *cmds;
	bool registered;
	int64_t begun_ms, mute_ms; /* since when the path is cut; 0 = it is not */
};

static struct lun_session *session_find(struct cworld *w, uint64_t id)
{
	struct lun_session *s = w->lun.sessions;

	while (s && s->id != id)
		s = s->next;
	return s;
}

static bool is_cut(const struct cworld *w, unsigned node, unsigned l)
{
	return w->node[node].vol[l].cut;
}

static void changed(struct cworld *w, uint64_t id)
{
	struct lun_session *s = session_find(w, id);

	if (s && s->hooks.changed)
		s->hooks.changed(s->hooks.user, s);
}

static void session_state(struct lun_session *s, enum lun_session_state state, const char *why)
{
	s->state = state;
	if (why)
		(void)cl_error_set(&s->why, -EIO, "%s", why);
	if (s->hooks.state)
		s->hooks.state(s->hooks.user, s, state, why ? &s->why : NULL);
}

static void cmds_lost(struct lun_session *s)
{
	while (s->cmds) {
		struct lun_cmd *c = s->cmds;

		s->cmds = c->next;
		c->answer = (struct pr_answer){ .tag = c->op.tag, .result = LUN_LOST };
		c->done(c);
	}
}

/* As a session does: the commands first, then the state. */
static void die(struct cworld *w, struct lun_session *s, const char *why)
{
	struct env_at before = env_enter(w, s->at.node);
	uint64_t id = s->id;

	if (s->state != LUN_DEAD) {
		cmds_lost(s);
		session_state(s, LUN_DEAD, why);
		changed(w, id);
	}
	env_leave(before);
}

int lun_session_new(const struct lun_session_config *config, struct lun_session **ret,
		    struct cl_error *err)
{
	struct lun_session *s = calloc(1, sizeof(*s));
	struct cworld *w = env_now().w;

	(void)err;
	cl_assert(s && w && config->url->lun >= 1 && config->url->lun <= CW_VOLS);
	*s = (struct lun_session){
		.next = w->lun.sessions,
		.at = env_now(),
		.l = (unsigned)config->url->lun - 1,
		.id = ++w->lun.nexuses,
		.key = config->key,
		.state = LUN_CONNECTING,
		.role = config->role,
		.hooks = config->hooks,
		.begun_ms = sim_now(w->s),
	};
	w->lun.sessions = s;
	task_new(w, T_LUN_LOGIN, s->at.node, 1)->a = s->id;
	*ret = s;
	return 0;
}

void lun_session_free(struct lun_session *s)
{
	struct lun_session **p;

	if (!s)
		return;
	s->state = LUN_DEAD;
	cmds_lost(s);
	for (p = &s->at.w->lun.sessions; *p != s;)
		p = &(*p)->next;
	*p = s->next;
	free(s);
}

void target_login(struct cworld *w, struct task *t)
{
	struct lun_session *s = session_find(w, t->a);
	struct env_at before;

	if (!s || s->state != LUN_CONNECTING)
		return;
	if (is_cut(w, t->node, s->l) || sim_now(w->s) < w->lun.stalled_until) {
		if (sim_now(w->s) - s->begun_ms > CONNECT_MS)
			die(w, s, "no answer to the login");
		else
			task_new(w, T_LUN_LOGIN, t->node, RETRY_MS)->a = s->id;
		return;
	}
	s->nexus = s->id;
	s->instance = w->lun.instance;
	before = env_enter(w, t->node);
	session_state(s, LUN_READY, NULL);
	changed(w, t->a);
	env_leave(before);
}

static struct task *under_way(struct cworld *w, int kind, unsigned node, unsigned l,
			      const struct sent *m, uint64_t delay_ms)
{
	struct task *t = task_new(w, kind, node, delay_ms);

	t->slot = l;
	t->data = malloc(sizeof(*m));
	cl_assert(t->data);
	memcpy(t->data, m, sizeof(*m));
	return t;
}

static uint64_t lies_in_a_buffer(struct cworld *w, const struct lun_session *s,
				 const struct pr_op *op)
{
	if (!w->faults || op->kind != PR_OP_REGISTER || s->role != LUN_ROLE_DATA ||
	    (env_rand(w, 100) >= 25 && s->at.node != w->lun.late_node))
		return 0;
	return 200 + env_rand(w, 9000);
}

/* Until the scene lets it go on. */
static bool is_held(struct cworld *w, const struct lun_session *s, const struct pr_op *op)
{
	bool held = w->scene.holds == s->at.node && op->kind == PR_OP_REGISTER && s->l == 0 &&
		    w->scene.holds_role == s->role;

	w->scene.held += held;
	return held;
}

enum lun_result lun_session_command(struct lun_session *s, struct lun_cmd *cmd)
{
	struct cworld *w = s->at.w;
	struct sent m = { .session = s->id,
			  .nexus = s->nexus,
			  .instance = s->instance,
			  .cmd = cmd,
			  .op = cmd->op };
	uint64_t delay;

	if (s->state == LUN_DEAD || s->state == LUN_CONNECTING)
		return LUN_LOST;
	delay = lies_in_a_buffer(w, s, &cmd->op);
	m.held = is_held(w, s, &cmd->op);
	m.late = delay > 0 || m.held;
	cmd->next = s->cmds;
	s->cmds = cmd;
	(void)under_way(w, T_LUN_COMMAND, s->at.node, s->l, &m, delay);
	return LUN_OK;
}

static bool answer_lost(struct cworld *w)
{
	return w->faults && env_rand(w, 100) < 8;
}

/* It reaches the target; what has lain in a buffer does so whatever the sender's path is like now. */
void target_command(struct cworld *w, struct task *t)
{
	struct sent *m = (struct sent *)(void *)t->data;
	int64_t now = sim_now(w->s), drained = w->lun.target[t->slot].drain_ms;

	if (m->instance != w->lun.instance)
		return; /* reset: the session finds out */
	if (now < w->lun.stalled_until) {
		(void)under_way(w, T_LUN_COMMAND, t->node, t->slot, m,
				(uint64_t)(w->lun.stalled_until - now));
		return;
	}
	if (m->held && w->scene.holds) {
		(void)under_way(w, T_LUN_COMMAND, t->node, t->slot, m, 1);
		return;
	}
	if (is_cut(w, t->node, t->slot) && !m->late) {
		if (session_find(w, m->session))
			(void)under_way(w, T_LUN_COMMAND, t->node, t->slot, m, RETRY_MS);
		return;
	}
	target_execute(w, t->node, t->slot, m);
	if (m->op.kind == PR_OP_RESET && answer_lost(w))
		return;
	(void)under_way(w, T_LUN_ANSWER, t->node, t->slot, m,
			m->op.kind == PR_OP_RESET && drained > now ? (uint64_t)(drained - now) : 0);
}

static bool take_out(struct lun_session *s, struct lun_cmd *cmd)
{
	for (struct lun_cmd **p = &s->cmds; *p; p = &(*p)->next)
		if (*p == cmd) {
			*p = cmd->next;
			return true;
		}
	return false;
}

void target_answer(struct cworld *w, struct task *t)
{
	struct sent *m = (struct sent *)(void *)t->data;
	struct lun_session *s = session_find(w, m->session);
	struct env_at before;

	if (!s || s->state == LUN_DEAD || m->instance != w->lun.instance)
		return;
	if (is_cut(w, t->node, t->slot)) {
		(void)under_way(w, T_LUN_ANSWER, t->node, t->slot, m, RETRY_MS);
		return;
	}
	if (!take_out(s, m->cmd))
		return;
	if (m->op.kind == PR_OP_REGISTER && m->answer.result == LUN_OK)
		s->registered = true;
	before = env_enter(w, t->node);
	m->cmd->answer = m->answer;
	m->cmd->done(m->cmd);
	changed(w, m->session);
	env_leave(before);
}

int lun_session_go(struct lun_session *s, struct cl_error *err)
{
	if (s->state != LUN_READY || s->role != LUN_ROLE_DATA || !s->registered)
		return cl_error_set(err, -EPERM, "no GO for this session");
	target_go(s->at.w, s->l, s->nexus, s->key);
	session_state(s, LUN_OPEN, NULL);
	return 0;
}

void target_conflict(struct cworld *w, unsigned node, unsigned l, uint64_t nexus)
{
	struct lun_session *s = session_find(w, nexus);
	struct env_at before;

	(void)l;
	if (!s || s->at.node != node || s->state != LUN_OPEN)
		return;
	before = env_enter(w, node);
	session_state(s, LUN_STOPPED, "reservation conflict");
	changed(w, nexus);
	env_leave(before);
}

/* ---- the rest of lun.h ---------------------------------------------------------------------------------------- */

int lun_session_fd(const struct lun_session *s)
{
	(void)s;
	return -1;
}

short lun_session_events(struct lun_session *s)
{
	(void)s;
	return 0;
}

int64_t lun_session_deadline_ms(const struct lun_session *s)
{
	(void)s;
	return INT64_MAX;
}

void lun_session_service(struct lun_session *s, short revents)
{
	(void)s;
	(void)revents;
}

enum lun_session_state lun_session_state(const struct lun_session *s)
{
	return s->state;
}

struct lun_data *lun_session_data(struct lun_session *s)
{
	return &s->data;
}

uint64_t target_nexus(const struct lun_data *data)
{
	return ((const struct lun_session *)(const void *)data)->nexus;
}

uint64_t target_instance(const struct lun_data *data)
{
	return ((const struct lun_session *)(const void *)data)->instance;
}

const struct lun_data *target_ungranted(struct cworld *w, unsigned node, unsigned l)
{
	for (const struct lun_session *s = w->lun.sessions; s; s = s->next)
		if (s->at.node == node && s->l == l && s->role == LUN_ROLE_DATA && s->registered &&
		    s->state == LUN_READY)
			return &s->data;
	return NULL;
}

const char *lun_session_identity(const struct lun_session *s)
{
	(void)s;
	return "";
}

const char *lun_session_reason(const struct lun_session *s)
{
	return s->why.msg;
}

void lun_session_barrier_answered(struct lun_session *s)
{
	(void)s;
}

/* ---- connections that are dead ----------------------------------------------------------------------------- */

static void look_at(struct cworld *w, struct lun_session *s)
{
	int64_t now = sim_now(w->s);

	if (s->state == LUN_DEAD || s->state == LUN_CONNECTING)
		return;
	if (is_cut(w, s->at.node, s->l)) {
		if (!s->mute_ms)
			s->mute_ms = now;
		if (now - s->mute_ms >= PATH_MS)
			die(w, s, "the path is dead");
		return;
	}
	s->mute_ms = 0;
	if (s->instance != w->lun.instance && now >= w->lun.stalled_until)
		die(w, s, "connection reset");
}

void target_look(struct cworld *w, unsigned node)
{
	struct lun_session *next;

	for (struct lun_session *s = w->lun.sessions; s; s = next) {
		next = s->next;
		if (s->at.node == node)
			look_at(w, s);
	}
}
