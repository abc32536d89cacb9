/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control session of one volume on one node: the effects around pr_admit, pr_fence, pr_check.
 *
 * Two lanes, each with one job at a time, the others waiting in a queue of fixed size: fences, and
 * looks (is this key there?). A look must not wait for a fence: after a reset every living nexus
 * verifies its key before it goes on, and the barrier may take as long as the slowest write. A lost
 * session ends all jobs as failed; the next session is a new nexus with a new key.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "iscsi/control.h"
#include "iscsi/pr_admit.h"
#include "iscsi/pr_check.h"
#include "lib/assert.h"
#include "lib/monotime.h"
#include "lib/sm.h"

#define JOBS_MAX 64
#define CMDS_MAX (PR_FENCE_RESETS_MAX + 4)
#define RECONNECT_MIN_MS 100
#define RECONNECT_MAX_MS 2000

static const struct sm_state control_states[] = {
	[LUN_CONTROL_DOWN] = { "down", SM_TO(LUN_CONTROL_UP), SM_INITIAL },
	[LUN_CONTROL_UP] = { "up", SM_TO(LUN_CONTROL_ADMITTING) | SM_TO(LUN_CONTROL_DOWN) },
	[LUN_CONTROL_ADMITTING] = { "admitting",
				    SM_TO(LUN_CONTROL_HOLDING) | SM_TO(LUN_CONTROL_DOWN) },
	/* Never back to UP: a right that was lost is only found again on a new nexus. */
	[LUN_CONTROL_HOLDING] = { "holding", SM_TO(LUN_CONTROL_DOWN) },
};

enum job_kind { JOB_FENCE, JOB_LOOK, JOB_CHECK };

/* Which lane an operation belongs to (pr_op.who). */
enum { LANE_FENCE, LANE_LOOK };

struct job {
	enum job_kind kind;
	size_t n;
	struct pr_match *victims; /* owned */
	uint64_t key;
	lun_fence_done fence_done;
	lun_seen_done seen_done;
	void *user;
};

/* A queue; jobs[0] is the one under way when `running`. */
struct lane {
	struct job jobs[JOBS_MAX];
	size_t n;
	bool running;
};

struct slot {
	struct lun_cmd cmd;
	bool used;
};

struct lun_control {
	struct lun_control_config config;
	struct lun_url url;
	char initiator[LUN_NAME_MAX + 1];
	struct lun_session *session;
	unsigned portal;
	struct sm sm;
	struct cl_error why;
	struct pr_fence fence;
	struct pr_admit admit;
	struct pr_table table;
	struct pr_answer keys; /* of the look or check under way */
	struct slot slots[CMDS_MAX];
	struct lane fences, looks;
	int64_t timer_ms, check_at_ms, reconnect_at_ms;
	uint32_t backoff_ms;
	uint64_t barriers_told;
	bool failed_over; /* the session has to go: set from within its callbacks */
	bool in_service;
};

static void run_jobs(struct lun_control *c);
static void give_up(struct lun_control *c, const struct cl_error *why);

static int64_t now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

static void changed(struct lun_control *c)
{
	if (c->config.hooks.changed)
		c->config.hooks.changed(c->config.hooks.user, c);
}

static void move(struct lun_control *c, enum lun_control_state to, const struct cl_error *why)
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

/* ---- commands ---- */

static void on_answer(struct lun_cmd *cmd);

static struct slot *free_slot(struct lun_control *c)
{
	for (size_t i = 0; i < CMDS_MAX; i++)
		if (!c->slots[i].used)
			return &c->slots[i];
	return NULL;
}

static void send_op(struct lun_control *c, const struct pr_op *op)
{
	struct slot *slot = free_slot(c);

	cl_assert(slot); /* resets are bounded by PR_FENCE_RESETS_MAX, the rest is one at a time */
	slot->used = true;
	slot->cmd.op = *op;
	slot->cmd.done = on_answer;
	slot->cmd.user = c;
	/* Lost before it was sent: the session's own end, soon, ends the job. */
	if (lun_session_command(c->session, &slot->cmd) != LUN_OK)
		slot->used = false;
}

static void do_step(struct lun_control *c, const struct pr_step *step)
{
	if (step->ignored)
		return;
	c->timer_ms = step->timer_ms;
	if (step->send && c->session)
		send_op(c, &step->op);
	changed(c);
}

/* ---- what the machines have decided ---- */

static void tell_barrier(struct lun_control *c)
{
	if (c->fence.barriers == c->barriers_told)
		return;
	c->barriers_told = c->fence.barriers;
	if (c->config.hooks.barrier)
		c->config.hooks.barrier(c->config.hooks.user, c, c->barriers_told);
}

static void admitted(struct lun_control *c)
{
	c->table.own = c->admit.key;
	c->table.type = c->admit.type;
	c->check_at_ms = now_ms() + c->config.check_ms;
	move(c, LUN_CONTROL_HOLDING, NULL);
}

static void after_admit(struct lun_control *c)
{
	switch (pr_admit_phase(&c->admit)) {
	case PR_ADMIT_ASK:
		c->config.hooks.ask_log(c->config.hooks.user, c);
		break;
	case PR_ADMIT_DONE:
		tell_barrier(c);
		admitted(c);
		break;
	case PR_ADMIT_FAILED:
		give_up(c, &c->admit.why);
		break;
	default:
		break;
	}
}

static struct job take_job(struct lane *lane)
{
	struct job job = lane->jobs[0];

	lane->n--;
	memmove(&lane->jobs[0], &lane->jobs[1], lane->n * sizeof(job));
	lane->running = false;
	return job;
}

static int put_job(struct lane *lane, const struct job *job)
{
	if (lane->n == JOBS_MAX)
		return -EBUSY;
	lane->jobs[lane->n++] = *job;
	return 0;
}

static void end_fence(struct lun_control *c, bool paid, const struct cl_error *why)
{
	struct job job = take_job(&c->fences);

	free(job.victims);
	if (job.fence_done)
		job.fence_done(job.user, paid, why);
}

static void after_fence(struct lun_control *c)
{
	if (pr_fence_running(&c->fence))
		return;
	tell_barrier(c);
	c->timer_ms = PR_NEVER;
	if (pr_fence_phase(&c->fence) == PR_FENCE_PAID) {
		end_fence(c, true, NULL);
		run_jobs(c);
		return;
	}
	/*
	 * Whatever it was, it is not known any more what stands at the target. Only a new nexus and
	 * a new admission find out.
	 */
	end_fence(c, false, &c->fence.why);
	give_up(c, &c->fence.why);
}

/* ---- looking: READ KEYS and READ RESERVATION ---- */

static void look_next(struct lun_control *c, enum pr_op_kind kind)
{
	const struct pr_op op = { .kind = kind, .who = LANE_LOOK };

	send_op(c, &op);
	changed(c);
}

static void strays_found(struct lun_control *c, const uint64_t *strays, size_t n)
{
	struct job job = { .kind = JOB_FENCE };

	if (n > PR_MATCHES_MAX)
		n = PR_MATCHES_MAX; /* the rest at the next check, which follows at once */
	job.n = n;
	job.victims = calloc(n, sizeof(*job.victims));
	if (!job.victims)
		return; /* the next check finds them again */
	for (size_t i = 0; i < n; i++) {
		job.victims[i] = (struct pr_match){ .kind = PR_MATCH_KEY, .key = strays[i] };
		if (c->config.hooks.stray)
			c->config.hooks.stray(c->config.hooks.user, c, strays[i]);
	}
	if (put_job(&c->fences, &job) < 0)
		free(job.victims);
	c->check_at_ms = now_ms();
}

static void end_check(struct lun_control *c, const struct pr_answer *reservation)
{
	uint64_t strays[PR_KEYS_MAX];
	size_t n;
	enum pr_verdict v = pr_check(&c->table, &c->keys, reservation, strays, &n);
	struct cl_error why = CL_ERROR_INIT;

	(void)take_job(&c->looks);
	/* A fence in the queue explains a key that is not in the table any more, and verifies
	 * itself. */
	if (v == PR_CHECK_STRAYS && !c->fences.n)
		strays_found(c, strays, n);
	if (v == PR_CHECK_STRAYS || v == PR_CHECK_OK) {
		run_jobs(c);
		return;
	}
	(void)cl_error_set(&why, v == PR_CHECK_OWN_GONE ? -EBADE : -EIO, "check: %s",
			   pr_verdict_text(v));
	give_up(c, &why);
}

static void end_look(struct lun_control *c, const struct pr_answer *reservation)
{
	struct job job = take_job(&c->looks);
	const char *why = NULL;

	if (!pr_keys_contain(c->keys.keys, c->keys.n_keys, job.key))
		why = "the key is not registered";
	else if (reservation->type != c->table.type)
		why = "the reservation does not stand";
	else if (!pr_keys_contain(c->table.allowed, c->table.n, job.key))
		why = "the key is not allowed any more";
	if (job.seen_done)
		job.seen_done(job.user, !why, why);
	run_jobs(c);
}

static void on_look(struct lun_control *c, const struct lun_cmd *cmd)
{
	struct cl_error why = CL_ERROR_INIT;

	if (cmd->answer.result != LUN_OK) {
		(void)cl_error_set(&why, -EIO, "%s: %s", pr_op_name(cmd->op.kind),
				   lun_result_name(cmd->answer.result));
		give_up(c, &why);
		return;
	}
	if (cmd->op.kind == PR_OP_READ_KEYS) {
		c->keys = cmd->answer;
		look_next(c, PR_OP_READ_RESERVATION);
	} else if (c->looks.jobs[0].kind == JOB_CHECK)
		end_check(c, &cmd->answer);
	else
		end_look(c, &cmd->answer);
}

/* ---- dispatch ---- */

static void on_fence_answer(struct lun_control *c, const struct lun_cmd *cmd)
{
	struct pr_step step;

	pr_fence_answer(&c->fence, &cmd->op, &cmd->answer, now_ms(), &step);
	/* Not running: a late answer to a reset of a fence that is over. */
	do_step(c, &step);
	if (c->fences.running)
		after_fence(c);
}

static void on_answer(struct lun_cmd *cmd)
{
	struct lun_control *c = cmd->user;
	struct slot *slot = (struct slot *)((char *)cmd - offsetof(struct slot, cmd));
	struct lun_cmd copy = *cmd; /* the slot is free for what the answer makes us send */
	struct pr_step step;

	slot->used = false;
	if (copy.answer.result == LUN_LOST || c->failed_over)
		return; /* the session's end follows and ends everything */
	if (copy.op.who == LANE_LOOK) {
		if (c->looks.running)
			on_look(c, &copy);
	} else if (c->sm.state == LUN_CONTROL_ADMITTING) {
		pr_admit_answer(&c->admit, &copy.op, &copy.answer, now_ms(), &step);
		do_step(c, &step);
		after_admit(c);
	} else
		on_fence_answer(c, &copy);
}

static void start_fence(struct lun_control *c, const struct job *job)
{
	struct pr_fence_job f = {
		.own = c->table.own,
		.type = c->table.type,
		.n = job->n,
	};
	struct pr_step step;

#ifdef CL_DEFECTS
	f.no_barrier = c->config.defects & LUN_DEFECT_NO_BARRIER;
#endif
	memcpy(f.match, job->victims, job->n * sizeof(*job->victims));
	pr_fence_start(&c->fence, &f, now_ms(), &step);
	do_step(c, &step);
}

static void run_jobs(struct lun_control *c)
{
	if (c->sm.state != LUN_CONTROL_HOLDING || c->failed_over)
		return;
	if (c->fences.n && !c->fences.running) {
		c->fences.running = true;
		start_fence(c, &c->fences.jobs[0]);
	}
	if (c->looks.n && !c->looks.running) {
		c->looks.running = true;
		look_next(c, PR_OP_READ_KEYS);
	}
}

static int add_job(struct lun_control *c, struct lane *lane, const struct job *job)
{
	int r;

	if (c->sm.state != LUN_CONTROL_HOLDING || c->failed_over)
		return -EPERM;
	r = put_job(lane, job);
	if (r == 0)
		run_jobs(c);
	return r;
}

/* ---- the session ---- */

/* Every job that is left fails: nothing is known about it any more. */
static void fail_jobs(struct lane *lane, const struct cl_error *why)
{
	while (lane->n) {
		struct job job = take_job(lane);

		free(job.victims);
		if (job.fence_done)
			job.fence_done(job.user, false, why);
		if (job.seen_done)
			job.seen_done(job.user, false, why->msg);
	}
}

/* Drop the session as soon as it is off the stack; on_down does the rest. */
static void give_up(struct lun_control *c, const struct cl_error *why)
{
	c->why = *why;
	c->failed_over = true;
	changed(c);
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
	c->reconnect_at_ms = now_ms() + c->backoff_ms;
	c->backoff_ms = c->backoff_ms * 2 < RECONNECT_MAX_MS ? c->backoff_ms * 2 : RECONNECT_MAX_MS;
	/* First the state, so that who is told of a failed fence cannot ask for the next one here.
	 */
	if (c->sm.state != LUN_CONTROL_DOWN)
		move(c, LUN_CONTROL_DOWN, &why);
	fail_jobs(&c->fences, &why);
	fail_jobs(&c->looks, &why);
	changed(c);
}

static void on_session_changed(void *user, struct lun_session *session)
{
	(void)session;
	changed(user);
}

static void on_session_state(void *user, struct lun_session *session, enum lun_session_state state,
			     const struct cl_error *why)
{
	struct lun_control *c = user;

	(void)session;
	if (state == LUN_READY) {
		c->backoff_ms = RECONNECT_MIN_MS;
		move(c, LUN_CONTROL_UP, NULL);
	} else if (state == LUN_DEAD && !c->failed_over)
		give_up(c, why);
}

static void log_in(struct lun_control *c)
{
	struct lun_session_config s = {
		.url = &c->url,
		.portal = c->portal,
		.initiator = c->initiator,
		.isid = c->config.node,
		.isid_qualifier = 1,
		.role = LUN_ROLE_CONTROL,
		.hooks = { .user = c, .changed = on_session_changed, .state = on_session_state },
	};

	c->reconnect_at_ms = PR_NEVER;
	if (lun_session_new(&s, &c->session, &c->why) < 0)
		c->reconnect_at_ms = now_ms() + RECONNECT_MAX_MS;
	changed(c);
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
	struct pr_step step;
	int64_t now = now_ms();

	if (now >= c->timer_ms) {
		c->timer_ms = PR_NEVER;
		if (c->sm.state == LUN_CONTROL_ADMITTING) {
			pr_admit_timer(&c->admit, now, &step);
			do_step(c, &step);
			after_admit(c);
		} else if (c->fences.running) {
			pr_fence_timer(&c->fence, now, &step);
			do_step(c, &step);
			after_fence(c);
		}
	}
	if (now >= c->check_at_ms) {
		c->check_at_ms = now + c->config.check_ms;
#ifdef CL_DEFECTS
		if (c->config.defects & LUN_DEFECT_NO_CHECK)
			return;
#endif
		(void)add_job(c, &c->looks, &check); /* full: the next one */
	}
}

void lun_control_service(struct lun_control *c, short revents)
{
	if (!c->session) {
		if (now_ms() >= c->reconnect_at_ms)
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

const char *lun_control_reason(const struct lun_control *c)
{
	return c->sm.state == LUN_CONTROL_HOLDING ? "" : c->why.msg;
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
		.settle_until_ms = c->config.settle_ms ? now_ms() + c->config.settle_ms : 0,
	};
	struct pr_step step;

	if (c->sm.state != LUN_CONTROL_UP || c->failed_over)
		return cl_error_set(err, -EPERM, "the control session is %s", sm_name(&c->sm));
#ifdef CL_DEFECTS
	a.no_barrier = c->config.defects & LUN_DEFECT_NO_BARRIER;
#endif
	move(c, LUN_CONTROL_ADMITTING, NULL);
	pr_admit_start(&c->admit, &a, &step);
	do_step(c, &step);
	return 0;
}

void lun_control_log_says(struct lun_control *c, bool still, const struct pr_match *living,
			  size_t n_living)
{
	struct pr_step step;

	if (c->sm.state != LUN_CONTROL_ADMITTING || c->failed_over)
		return;
	pr_admit_log_says(&c->admit, still, living, n_living, now_ms(), &step);
	do_step(c, &step);
	if (pr_admit_phase(&c->admit) == PR_ADMIT_FAILED)
		give_up(c, &c->admit.why);
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
	/* From here on no GO for them: _seen says no, and a late REGISTER is a stray. */
	pr_table_remove_matching(&c->table, victims, n);
	r = add_job(c, &c->fences, &job);
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
	unsigned instance = pr_key_free_instance(node, c->table.allowed, c->table.n, random16());
	uint64_t key;
	int r;

	if (c->sm.state != LUN_CONTROL_HOLDING || c->failed_over)
		return cl_error_set(err, -EPERM, "not the coordinator here (%s)", sm_name(&c->sm));
	r = pr_key_make(node, incarnation, instance, &key);
	if (r == 0 && key == c->table.own)
		r = pr_key_make(node, incarnation, instance % 65535 + 1, &key);
	if (r == 0)
		r = pr_table_add(&c->table, key);
	if (r < 0)
		return cl_error_errno(err, r, "no key for node %u", node);
	*ret_key = key;
	return 0;
}

void lun_control_disallow(struct lun_control *c, uint64_t key)
{
	pr_table_remove(&c->table, key);
}

int lun_control_seen(struct lun_control *c, uint64_t key, lun_seen_done done, void *user)
{
	const struct job job = { .kind = JOB_LOOK, .key = key, .seen_done = done, .user = user };

	return add_job(c, &c->looks, &job);
}
