/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What goes over a control session: the commands that pr_admit and pr_fence want, and looks.
 *
 * Two lanes, each with one job at a time, the others waiting in a queue of fixed size: fences, and looks
 * (is this key there?). A look must not wait for a fence: after a reset every living nexus verifies its
 * key before it goes on, and the barrier may take as long as the slowest write.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "iscsi/control_int.h"
#include "lib/assert.h"

static void run_jobs(struct lun_control *c);

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

void control_step(struct lun_control *c, const struct pr_step *step)
{
	if (step->ignored)
		return;
	c->timer_ms = step->timer_ms;
	if (step->send && c->session)
		send_op(c, &step->op);
	control_changed(c);
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
	/* What the claim spared goes on: it was admitted by the coordinator before. */
	for (size_t i = 0; i < c->fence.n_left; i++)
		(void)pr_table_add(&c->table,
				   c->fence.left[i]); /* twice there: two paths, one key */
	c->backoff_ms = RECONNECT_MIN_MS;
	c->check_at_ms = control_now_ms() + c->config.check_ms;
	control_move(c, LUN_CONTROL_HOLDING, NULL);
}

void control_after_admit(struct lun_control *c)
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
		c->refused = true;
		control_give_up(c, &c->admit.why);
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
		/* The innocent who went with a victim: they have to be admitted anew. */
		for (size_t i = 0; i < c->fence.n_swept; i++)
			pr_table_remove(&c->table, c->fence.swept[i]);
		end_fence(c, true, NULL);
		run_jobs(c);
		return;
	}
	/*
	 * Whatever it was, it is not known any more what stands at the target. Only a new nexus and
	 * a new admission find out.
	 */
	end_fence(c, false, &c->fence.why);
	control_give_up(c, &c->fence.why);
}

/* ---- looking: READ KEYS and READ RESERVATION ---- */

static void look_next(struct lun_control *c, enum pr_op_kind kind)
{
	const struct pr_op op = { .kind = kind, .who = LANE_LOOK, .key = c->table.own };

	send_op(c, &op);
	control_changed(c);
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
	c->check_at_ms = control_now_ms();
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
	control_give_up(c, &why);
}

static void end_look(struct lun_control *c, const struct pr_answer *reservation)
{
	struct job job = take_job(&c->looks);
	const char *why = NULL;

	if (!pr_keys_contain(c->keys.keys, c->keys.n_keys, job.key))
		why = "the key is not registered";
	else if (reservation->type != c->table.type)
		why = "the reservation does not stand";
	else if (c->table.type != PR_TYPE_EA_ALL_REGISTRANTS && reservation->holder != c->table.own)
		why = "another node has taken the reservation over"; /* and decides about GO */
	else if (!pr_keys_contain(c->table.allowed, c->table.n, job.key))
		why = "the key is not allowed any more";
	if (job.seen_done)
		job.seen_done(job.user, !why, why);
	run_jobs(c);
}

/* Nothing of what this control believes stands any more: it begins anew, as after a lost session. */
static void end_clear(struct lun_control *c)
{
	struct job job = take_job(&c->looks);
	struct cl_error why = CL_ERROR_INIT;

	(void)cl_error_set(&why, -ECANCELED, "the reservation was given up");
	job.seen_done(job.user, true, NULL);
	control_give_up(c, &why);
}

static void on_look(struct lun_control *c, const struct lun_cmd *cmd)
{
	struct cl_error why = CL_ERROR_INIT;

	if (cmd->answer.result != LUN_OK) {
		(void)cl_error_set(&why, -EIO, "%s: %s", pr_op_name(cmd->op.kind),
				   lun_result_name(cmd->answer.result));
		control_give_up(c, &why);
		return;
	}
	if (cmd->op.kind == PR_OP_CLEAR) {
		end_clear(c);
	} else if (cmd->op.kind == PR_OP_READ_KEYS) {
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

	pr_fence_answer(&c->fence, &cmd->op, &cmd->answer, control_now_ms(), &step);
	/* Not running: a late answer to a reset of a fence that is over. */
	control_step(c, &step);
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
		pr_admit_answer(&c->admit, &copy.op, &copy.answer, control_now_ms(), &step);
		control_step(c, &step);
		control_after_admit(c);
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
	f.no_repeat = c->config.defects & LUN_DEFECT_NO_REPEAT;
	f.no_verify = c->config.defects & LUN_DEFECT_NO_VERIFY;
#endif
	f.quirks = c->config.quirks;
	f.n_known = job->n_known;
	memcpy(f.known, job->known, sizeof(f.known));
	memcpy(f.match, job->victims, job->n * sizeof(*job->victims));
	pr_fence_start(&c->fence, &f, control_now_ms(), &step);
	control_step(c, &step);
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
		look_next(c, c->looks.jobs[0].kind == JOB_CLEAR ? PR_OP_CLEAR : PR_OP_READ_KEYS);
	}
}

int control_add_job(struct lun_control *c, struct lane *lane, const struct job *job)
{
	int r;

	if (c->sm.state != LUN_CONTROL_HOLDING || c->failed_over)
		return -EPERM;
	r = put_job(lane, job);
	if (r == 0)
		run_jobs(c);
	return r;
}

void control_on_timer(struct lun_control *c, int64_t now_ms)
{
	struct pr_step step;

	if (c->sm.state == LUN_CONTROL_ADMITTING) {
		pr_admit_timer(&c->admit, now_ms, &step);
		control_step(c, &step);
		control_after_admit(c);
	} else if (c->fences.running) {
		pr_fence_timer(&c->fence, now_ms, &step);
		control_step(c, &step);
		after_fence(c);
	}
}

/* Every job that is left fails: nothing is known about it any more. */
void control_fail_jobs(struct lane *lane, const struct cl_error *why)
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
