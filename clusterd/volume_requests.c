/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests about a volume that take more than one word with the core: each is a list of steps, begun one
 * after the other as the one before has come true. A client that leaves in between leaves the volume in
 * a state that `status` shows and that the same command goes on from.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/requests_int.h"
#include "clusterd/view.h"
#include "clusterd/volume_view.h"
#include "lib/assert.h"
#include "proto/volume.pb-c.h"

static const struct state *state_of(const struct requests *rq)
{
	return node_state(rq->d->node);
}

/* ---- steps ---------------------------------------------------------------------------------------- */

static void step_fails(struct requests *rq, struct pending *p, int code, const char *text,
		       const char *hint)
{
	struct cl_error err = CL_ERROR_INIT;

	(void)cl_error_set(&err, code, "%s", text);
	if (hint)
		(void)cl_error_hint(&err, "%s", hint);
	pending_fail(rq, p, &err);
}

static void step_next(struct requests *rq, struct pending *p)
{
	p->steps++;
	p->step_due = true;
	(void)cl_timer_set_in(rq->turn, 0);
}

static void ask_core(struct requests *rq, const struct pending *p, enum node_verb verb,
		     uint32_t job, bool on)
{
	struct node_request req = {
		.client = p->client,
		.verb = verb,
		.object = p->object,
		.target = "",
		.url = "",
		.job = job,
		.on = on,
	};
	struct node_event event = { .type = NODE_EV_REQUEST, .request = &req };

	daemon_step(rq->d, &event);
}

static void refuse_open(struct requests *rq, struct pending *p)
{
	char who[160] = "";
	uint64_t n = volume_open_files(p->reports, who, sizeof(who));
	char text[300];

	if (n == 0 || p->force) {
		step_next(rq, p);
		return;
	}
	(void)snprintf(text, sizeof(text), "%llu file%s of volume '%s' %s open (%s)",
		       (unsigned long long)n, n == 1 ? "" : "s", p->object, n == 1 ? "is" : "are",
		       who);
	step_fails(rq, p, -CL_EREFUSED, text,
		   "close them, or --force: they get ENOTCONN from then on");
}

static void end(struct requests *rq, struct pending *p)
{
	const char *message = "done";

	if (strcmp(p->verb, "delete") == 0)
		message = p->wipe ? "forgotten; its LUN was wiped"
				  : "forgotten; what is on its LUN stays there";
	pending_done(rq, p, pending_message(p, message));
}

static void step_begin(struct requests *rq, struct pending *p)
{
	switch (*p->steps) {
	case VOLUME_END:
		end(rq, p);
		break;
	case VOLUME_REPORT:
		ask_core(rq, p, NODE_JOB, VOL__JOB__KIND__REPORT, false);
		break;
	case VOLUME_CLOSED:
		refuse_open(rq, p);
		break;
	case VOLUME_SHOW:
		pending_done(rq, p, view_show_volume(rq->d->node, p->object, p->reports));
		break;
	case VOLUME_MAINTAIN:
		ask_core(rq, p, NODE_MAINTENANCE, 0, true);
		break;
	case VOLUME_CHECK:
		ask_core(rq, p, NODE_JOB, VOL__JOB__KIND__CHECK, false);
		break;
	case VOLUME_CHECK_OFFLINE:
		ask_core(rq, p, NODE_JOB, VOL__JOB__KIND__CHECK_OFFLINE, p->change);
		break;
	case VOLUME_GROW:
		ask_core(rq, p, NODE_JOB, VOL__JOB__KIND__GROW, true);
		break;
	case VOLUME_WIPE:
		if (p->wipe)
			ask_core(rq, p, NODE_JOB, VOL__JOB__KIND__WIPE, true);
		else
			step_next(rq, p);
		break;
	case VOLUME_RELEASE:
		ask_core(rq, p, NODE_JOB, VOL__JOB__KIND__RELEASE, true);
		break;
	case VOLUME_DELETE:
		ask_core(rq, p, NODE_DELETE_VOLUME, 0, false);
		break;
	}
}

void volume_steps_turn(void *user)
{
	struct requests *rq = user;
	struct pending *p = LIST_FIRST(&rq->pending), *next;

	for (; p; p = next) {
		next = LIST_NEXT(p, link);
		if (!p->step_due)
			continue;
		p->step_due = false;
		step_begin(rq, p);
		/* What one step answered may have freed others. */
		next = LIST_FIRST(&rq->pending);
	}
}

bool volume_step_replied(struct requests *rq, struct pending *p, const struct node_action *a)
{
	if (!p->steps)
		return false;
	if (a->reply.code < 0)
		step_fails(rq, p, a->reply.code, a->reply.text, a->reply.hint);
	else
		step_next(rq, p);
	return true;
}

/* ---- what a csvd says of a job ---------------------------------------------------------------------- */

static void add_report(struct requests *rq, struct pending *p, const struct node_action *a,
		       const Vol__JobAnswer *answer)
{
	const struct state_node *n = state_node(state_of(rq), a->job.node);

	if (n && answer && answer->report)
		(void)json_object_set_new(p->reports, n->name,
					  volume_report_json(state_of(rq), answer->report));
	else if (n)
		(void)json_object_set_new(p->reports, n->name,
					  json_pack("{s:s}", "error", a->job.text));
	if (a->job.last)
		step_next(rq, p);
}

static int code_of(uint32_t error)
{
	return error == EAGAIN || error == EBUSY ? -CL_EREFUSED : error == ENOENT ? -ENOENT : -EIO;
}

/* A check has a result also when the volume is damaged: it is told whole, and then exit code 1. */
static void checked(struct requests *rq, struct pending *p, const Vol__JobAnswer *answer)
{
	json_t *json = volume_check_json(p->object, answer);

	if (p->steps[1] == VOLUME_END) {
		pending_done(rq, p, json);
		return;
	}
	json_decref(json);
	step_next(rq, p);
}

/* A LUN that is gone for good must not keep its volume in the database for ever. */
static void not_released(struct requests *rq, struct pending *p, const char *text)
{
	if (p->force)
		step_next(rq, p);
	else
		step_fails(rq, p, -CL_EREFUSED, text, "--force forgets the volume all the same");
}

static void job_done(struct requests *rq, struct pending *p, const struct node_action *a,
		     const Vol__JobAnswer *answer)
{
	bool check = *p->steps == VOLUME_CHECK || *p->steps == VOLUME_CHECK_OFFLINE;

	if (!answer || !answer->done)
		step_fails(rq, p, a->job.code < 0 ? a->job.code : -EIO, a->job.text, NULL);
	else if (check && (answer->code == 0 || answer->code == EUCLEAN))
		checked(rq, p, answer);
	else if (answer->code && *p->steps == VOLUME_RELEASE)
		not_released(rq, p, answer->text);
	else if (answer->code)
		step_fails(rq, p, code_of(answer->code), answer->text, NULL);
	else if (*p->steps == VOLUME_GROW)
		pending_done(rq, p, pending_message(p, answer->text));
	else
		step_next(rq, p);
}

void requests_job_answer(struct requests *rq, const struct node_action *a)
{
	struct pending *p = pending_find(rq, a->job.client);
	Vol__JobAnswer *answer = NULL;

	if (!p || !p->steps)
		return;
	if (a->job.len)
		answer = vol__job_answer__unpack(NULL, a->job.len, a->job.data);
	if (*p->steps == VOLUME_REPORT)
		add_report(rq, p, a, answer);
	else if (a->job.done)
		job_done(rq, p, a, answer);
	else if (answer)
		pending_progress(rq, p, answer->text, (int)answer->percent);
	if (answer)
		vol__job_answer__free_unpacked(answer, NULL);
}

/* ---- the verbs ---------------------------------------------------------------------------------------- */

static int need_volume(const struct ask *ask, const char *name, struct cl_error *err)
{
	if (!view_exists(ask->rq->d->node, name))
		return ask_not_found(name, err);
	if (state_volume(state_of(ask->rq), name))
		return 0;
	(void)cl_error_set(err, -EINVAL, "'%.63s' is no volume", name);
	return cl_error_hint(err, "see `clusterctl list volume`");
}

static int begin(struct ask *ask, const enum volume_step *steps, struct cl_error *err)
{
	struct pending *p;
	int r = need_volume(ask, ask_operand(ask, 0), err);

	if (r < 0)
		return r;
	p = pending_new(ask, ask_operand(ask, 0));
	if (p)
		p->reports = json_object();
	if (!p || !p->reports)
		return cl_error_set(err, -ENOMEM, "out of memory");
	p->steps = steps;
	p->force = ask_option(ask, "force");
	p->change = ask_option(ask, "repair");
	p->wipe = ask_option(ask, "wipe");
	step_begin(ask->rq, p);
	return 0;
}

int do_show_volume(struct ask *ask, struct cl_error *err)
{
	static const enum volume_step steps[] = { VOLUME_REPORT, VOLUME_SHOW };

	return begin(ask, steps, err);
}

static int read_switch(const struct ask *ask, bool *ret, struct cl_error *err)
{
	const char *word = ask_operand(ask, 1);

	*ret = strcmp(word, "on") == 0;
	if (!*ret && strcmp(word, "off") != 0)
		return cl_error_set(err, -EINVAL, "'%.63s' is neither on nor off", word);
	return need_volume(ask, ask_operand(ask, 0), err);
}

static int switch_simply(struct ask *ask, enum node_verb verb, bool on, struct cl_error *err)
{
	const struct pending *p = pending_new(ask, ask_operand(ask, 0));

	if (!p)
		return cl_error_set(err, -ENOMEM, "out of memory");
	ask_core(ask->rq, p, verb, 0, on);
	return 0;
}

int do_redirect(struct ask *ask, struct cl_error *err)
{
	bool on;
	int r = read_switch(ask, &on, err);

	return r < 0 ? r : switch_simply(ask, NODE_REDIRECT, on, err);
}

static bool is_idle(const struct state_resource *r)
{
	return r->phase == STATE_OFFLINE || r->phase == STATE_FAILED;
}

/* The state refuses it too, and has the last word; here it is said before open files are. */
static int refuse_users(const struct ask *ask, bool idle_too, struct cl_error *err)
{
	const struct state *s = state_of(ask->rq);
	const char *volume = ask_operand(ask, 0);

	for (size_t i = 0; i < s->resources.n; i++) {
		const struct state_resource *r = &s->resources.v[i];

		for (size_t k = 0; k < r->n_volumes; k++) {
			if (strcmp(r->volumes[k], volume) != 0 || (is_idle(r) && !idle_too))
				continue;
			(void)cl_error_set(err, -CL_EREFUSED, "VM '%s' uses volume '%s'%s%s",
					   r->name, volume, idle_too ? "" : " and is ",
					   idle_too ? "" : state_phase_name(r->phase));
			return cl_error_hint(err,
					     idle_too ? "delete the VM first; its images stay"
						      : "`clusterctl stop %s` first",
					     r->name);
		}
	}
	return 0;
}

int do_maintenance(struct ask *ask, struct cl_error *err)
{
	static const enum volume_step steps[] = { VOLUME_REPORT, VOLUME_CLOSED, VOLUME_MAINTAIN,
						  VOLUME_END };
	bool on;
	int r = read_switch(ask, &on, err);

	if (r == 0 && on)
		r = refuse_users(ask, false, err);
	if (r < 0)
		return r;
	return on ? begin(ask, steps, err) : switch_simply(ask, NODE_MAINTENANCE, false, err);
}

int do_check(struct ask *ask, struct cl_error *err)
{
	static const enum volume_step online[] = { VOLUME_CHECK, VOLUME_END };
	static const enum volume_step offline[] = { VOLUME_CHECK_OFFLINE, VOLUME_END };

	if (ask_option(ask, "repair") && !ask_option(ask, "offline")) {
		(void)cl_error_set(err, -EINVAL, "a volume in use cannot be repaired");
		return cl_error_hint(err,
				     "--offline --repair, after `clusterctl maintenance %s on`",
				     ask_operand(ask, 0));
	}
	return begin(ask, ask_option(ask, "offline") ? offline : online, err);
}

int do_grow(struct ask *ask, struct cl_error *err)
{
	static const enum volume_step steps[] = { VOLUME_GROW, VOLUME_END };

	return begin(ask, steps, err);
}

/*
 * First nobody has it open, then nobody may write it (maintenance: the coordinator has claimed the LUN
 * anew and every other key is dead), then the keys go, the holder's with them, then the name. Were the
 * keys cleared while a node had it mounted, its writes would reach whatever the LUN becomes next.
 */
int do_delete_volume(struct ask *ask, struct cl_error *err)
{
	static const enum volume_step steps[] = {
		VOLUME_REPORT,	VOLUME_CLOSED, VOLUME_MAINTAIN, VOLUME_WIPE,
		VOLUME_RELEASE, VOLUME_DELETE, VOLUME_END,
	};
	int r = refuse_users(ask, true, err);

	return r < 0 ? r : begin(ask, steps, err);
}
