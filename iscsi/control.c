/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control session of one volume on one node: its life, and what the caller sees. A lost session ends all
 * jobs as failed; the next one is a new nexus with a new key and nothing carried over.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "iscsi/control_int.h"
#include "lib/monotime.h"

#define RECONNECT_MAX_MS 2000

static const struct sm_state control_states[] = {
	[LUN_CONTROL_DOWN] = { "down", SM_TO(LUN_CONTROL_UP), SM_INITIAL },
	[LUN_CONTROL_UP] = { "up", SM_TO(LUN_CONTROL_ADMITTING) | SM_TO(LUN_CONTROL_DOWN) },
	[LUN_CONTROL_ADMITTING] = { "admitting",
				    SM_TO(LUN_CONTROL_HOLDING) | SM_TO(LUN_CONTROL_DOWN) },
	/* Never back to UP: a right that was lost is only found again on a new nexus. */
	[LUN_CONTROL_HOLDING] = { "holding", SM_TO(LUN_CONTROL_DOWN) },
};

int64_t control_now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

void control_changed(struct lun_control *c)
{
	if (c->config.hooks.changed)
		c->config.hooks.changed(c->config.hooks.user, c);
}

void control_move(struct lun_control *c, enum lun_control_state to, const struct cl_error *why)
{
	if (why)
		c->why = *why;
	sm_move(&c->sm, (int)to, why ? "lost" : "step");
	if (c->config.hooks.state)
		c->config.hooks.state(c->config.hooks.user, c, to, why);
}

static unsigned random16(void)
{
	uint16_t v = 0;

	if (getrandom(&v, sizeof(v), 0) != sizeof(v))
		v = (uint16_t)cl_mono_now().ns;
	return v;
}

/* ---- the session ---- */

/* Drop the session as soon as it is off the stack; on_down does the rest. */
void control_give_up(struct lun_control *c, const struct cl_error *why)
{
	c->why = *why;
	c->failed_over = true;
	control_changed(c);
}

static void down(struct lun_control *c)
{
	struct cl_error why = c->why;
	struct lun_session *old = c->session;

	c->failed_over = true;
	c->session = NULL;
	lun_session_free(old);
	c->failed_over = false;
	c->timer_ms = c->check_at_ms = PR_NEVER;
	pr_admit_lost(&c->admit, why.msg);
	memset(&c->table, 0, sizeof(c->table));
	for (size_t i = 0; i < CMDS_MAX; i++)
		c->slots[i].used = false;
	c->portal = (c->portal + 1) % c->url.n_portals;
	c->reconnect_at_ms = control_now_ms() + c->backoff_ms;
	c->backoff_ms = c->backoff_ms * 2 < RECONNECT_MAX_MS ? c->backoff_ms * 2 : RECONNECT_MAX_MS;
	/* First the state, so that who is told of a failed fence cannot ask for the next one here.
	 */
	if (c->sm.state != LUN_CONTROL_DOWN)
		control_move(c, LUN_CONTROL_DOWN, &why);
	control_fail_jobs(&c->fences, &why);
	control_fail_jobs(&c->looks, &why);
	control_changed(c);
}

static void on_session_changed(void *user, struct lun_session *session)
{
	(void)session;
	control_changed(user);
}

static void on_session_state(void *user, struct lun_session *session, enum lun_session_state state,
			     const struct cl_error *why)
{
	struct lun_control *c = user;

	if (state == LUN_READY) {
		(void)snprintf(c->identity, sizeof(c->identity), "%s",
			       lun_session_identity(session));
		control_move(c, LUN_CONTROL_UP, NULL);
	} else if (state == LUN_DEAD && !c->failed_over)
		control_give_up(c, why);
}

static void log_in(struct lun_control *c)
{
	struct lun_session_config s = {
		.url = &c->url,
		.portal = c->portal,
		.identity = c->identity,
		.initiator = c->initiator,
		.isid = c->config.node,
		/* The LUN too: with the same name and ISID two LUNs of one target would end each other. */
		.isid_qualifier = (uint16_t)(1 | c->url.lun << 8),
		.role = LUN_ROLE_CONTROL,
		.hooks = { .user = c, .changed = on_session_changed, .state = on_session_state },
	};

	c->reconnect_at_ms = PR_NEVER;
	if (lun_session_new(&s, &c->session, &c->why) < 0)
		c->reconnect_at_ms = control_now_ms() + RECONNECT_MAX_MS;
	control_changed(c);
}

/* ---- for the caller ---- */

int lun_control_new(const struct lun_control_config *config, struct lun_control **ret,
		    struct cl_error *err)
{
	struct lun_control *c;
	uint64_t probe;

	if (!config->url->n_portals || !config->initiator || !config->initiator[0] ||
	    strlen(config->initiator) > LUN_NAME_MAX || !config->hooks.ask_log ||
	    pr_key_make(config->node, config->incarnation, 1, &probe) < 0)
		return cl_error_set(err, -EINVAL,
				    "LUN control: bad node, incarnation or initiator name");
	c = calloc(1, sizeof(*c));
	if (!c)
		return cl_error_errno(err, -ENOMEM, "LUN control");
	c->config = *config;
	c->url = *config->url;
	memcpy(c->initiator, config->initiator, strlen(config->initiator));
	if (!c->config.check_ms)
		c->config.check_ms = 5000;
	c->timer_ms = c->check_at_ms = PR_NEVER;
	c->backoff_ms = RECONNECT_MIN_MS;
	sm_init(&c->sm, "lun-control", c->initiator, control_states,
		sizeof(control_states) / sizeof(*control_states), LUN_CONTROL_DOWN, NULL);
	pr_fence_init(&c->fence);
	pr_admit_init(&c->admit, &c->fence);
	/* Connects at the first service: no hook is called from here. */
	c->reconnect_at_ms = 0;
	*ret = c;
	return 0;
}

void lun_control_free(struct lun_control *c)
{
	if (!c)
		return;
	c->config.hooks = (struct lun_control_hooks){ 0 };
	c->failed_over = true;
	lun_session_free(c->session);
	for (size_t i = 0; i < c->fences.n; i++)
		free(c->fences.jobs[i].victims);
	free(c);
}

int lun_control_fd(const struct lun_control *c)
{
	return c->session ? lun_session_fd(c->session) : -1;
}

short lun_control_events(struct lun_control *c)
{
	return c->session ? lun_session_events(c->session) : 0;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t lun_control_deadline_ms(const struct lun_control *c)
{
	int64_t t = earlier(c->timer_ms, c->check_at_ms);

	if (c->failed_over)
		return 0;
	if (!c->session)
		return c->reconnect_at_ms;
	return earlier(t, lun_session_deadline_ms(c->session));
}

static void on_time(struct lun_control *c)
{
	const struct job check = { .kind = JOB_CHECK };
	int64_t now = control_now_ms();

	if (now >= c->timer_ms) {
		c->timer_ms = PR_NEVER;
		control_on_timer(c, now);
	}
	if (now >= c->check_at_ms) {
		c->check_at_ms = now + c->config.check_ms;
#ifdef CL_DEFECTS
		if (c->config.defects & LUN_DEFECT_NO_CHECK)
			return;
#endif
		(void)control_add_job(c, &c->looks, &check); /* full: the next one */
	}
}

void lun_control_service(struct lun_control *c, short revents)
{
	if (!c->session) {
		if (control_now_ms() >= c->reconnect_at_ms)
			log_in(c);
		return;
	}
	lun_session_service(c->session, revents);
	if (!c->failed_over)
		on_time(c);
	if (c->failed_over)
		down(c);
}

enum lun_control_state lun_control_state(const struct lun_control *c)
{
	return (enum lun_control_state)c->sm.state;
}

const char *lun_control_state_name(enum lun_control_state state)
{
	return control_states[state].name;
}

bool lun_control_refused(const struct lun_control *c)
{
	return c->refused;
}

const char *lun_control_reason(const struct lun_control *c)
{
	return c->sm.state == LUN_CONTROL_HOLDING ? "" : c->why.msg;
}

const char *lun_control_identity(const struct lun_control *c)
{
	return c->identity;
}

unsigned lun_control_portal(const struct lun_control *c)
{
	return c->portal;
}

uint64_t lun_control_key(const struct lun_control *c)
{
	return c->table.own;
}

uint8_t lun_control_pr_type(const struct lun_control *c)
{
	return c->table.own ? c->table.type : 0;
}

int lun_control_coordinate(struct lun_control *c, struct cl_error *err)
{
	struct pr_admit_config a = {
		.node = c->config.node,
		.incarnation = c->config.incarnation,
		.random = random16(),
		.type = c->config.pr_type,
		.quirks = c->config.quirks,
		.settle_until_ms = c->config.settle_ms ? control_now_ms() + c->config.settle_ms : 0,
	};
	struct pr_step step;

	if (c->sm.state != LUN_CONTROL_UP || c->failed_over)
		return cl_error_set(err, -EPERM, "the control session is %s", sm_name(&c->sm));
#ifdef CL_DEFECTS
	a.no_barrier = c->config.defects & LUN_DEFECT_NO_BARRIER;
#endif
	c->refused = false;
	control_move(c, LUN_CONTROL_ADMITTING, NULL);
	pr_admit_start(&c->admit, &a, &step);
	control_step(c, &step);
	return 0;
}

void lun_control_log_says(struct lun_control *c, bool still, const struct pr_match *living,
			  size_t n_living)
{
	struct pr_step step;

	if (c->sm.state != LUN_CONTROL_ADMITTING || c->failed_over)
		return;
	pr_admit_log_says(&c->admit, still, living, n_living, control_now_ms(), &step);
	control_step(c, &step);
	if (pr_admit_phase(&c->admit) == PR_ADMIT_FAILED)
		control_give_up(c, &c->admit.why);
}

/* What the victims were allowed, while the table still knows it. Too many: none is known. */
static void note_known(const struct lun_control *c, struct job *job)
{
	for (size_t i = 0; i < c->table.n; i++) {
		if (!pr_match_key(job->victims, job->n, c->table.allowed[i]))
			continue;
		if (job->n_known == PR_KNOWN_MAX) {
			job->n_known = 0;
			return;
		}
		job->known[job->n_known++] = c->table.allowed[i];
	}
}

int lun_control_fence(struct lun_control *c, const struct pr_match *victims, size_t n,
		      lun_fence_done done, void *user, struct cl_error *err)
{
	struct job job = { .kind = JOB_FENCE, .n = n, .fence_done = done, .user = user };
	int r;

	if (n > PR_MATCHES_MAX || pr_match_key(victims, n, c->table.own))
		return cl_error_set(err, -EINVAL, "fence: too many victims, or oneself among them");
	job.victims = calloc(n ? n : 1, sizeof(*victims));
	if (!job.victims)
		return cl_error_errno(err, -ENOMEM, "fence");
	if (n)
		memcpy(job.victims, victims, n * sizeof(*victims));
	note_known(c, &job);
	/* From here on no GO for them: _seen says no, and a late REGISTER is a stray. */
	pr_table_remove_matching(&c->table, victims, n);
	r = control_add_job(c, &c->fences, &job);
	if (r < 0) {
		free(job.victims);
		return cl_error_set(err, r, "fence: not the coordinator here (%s)",
				    sm_name(&c->sm));
	}
	return 0;
}

int lun_control_allow(struct lun_control *c, unsigned node, uint64_t incarnation, uint64_t *ret_key,
		      struct cl_error *err)
{
	unsigned instance = pr_key_free_instance(node, c->table.allowed, c->table.n, random16(),
						 node != c->config.node);
	uint64_t key;
	int r;

	if (c->sm.state != LUN_CONTROL_HOLDING || c->failed_over)
		return cl_error_set(err, -EPERM, "not the coordinator here (%s)", sm_name(&c->sm));
	r = pr_key_make(node, incarnation, instance, &key);
	if (r == 0 && key == c->table.own)
		r = pr_key_make(node, incarnation, instance % 32767 + 1, &key);
	if (r == 0)
		r = pr_table_add(&c->table, key);
	if (r < 0)
		return cl_error_errno(err, r, "no key for node %u", node);
	*ret_key = key;
	return 0;
}

size_t lun_control_allowed(const struct lun_control *c, const uint64_t **ret)
{
	*ret = c->table.allowed;
	return c->table.n;
}

void lun_control_disallow(struct lun_control *c, uint64_t key)
{
	pr_table_remove(&c->table, key);
}

int lun_control_clear(struct lun_control *c, lun_seen_done done, void *user)
{
	const struct job job = { .kind = JOB_CLEAR, .seen_done = done, .user = user };

	return control_add_job(c, &c->looks, &job);
}

int lun_control_seen(struct lun_control *c, uint64_t key, lun_seen_done done, void *user)
{
	const struct job job = { .kind = JOB_LOOK, .key = key, .seen_done = done, .user = user };

	return control_add_job(c, &c->looks, &job);
}
