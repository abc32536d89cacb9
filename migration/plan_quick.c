/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/plan_quick.h"

#include "lib/assert.h"

#define ASK_MAX 1000 /* one after the other */

#define TO(x) SM_TO(QUICK_##x)
#define GIVES_UP (TO(UNDOING) | TO(FAILED))

static const struct sm_state states[] = {
	[QUICK_IDLE] = { "idle", TO(WAITING), SM_INITIAL },
	[QUICK_WAITING] = { "waiting", TO(STOPPING) | TO(FAILED), 0 },
	[QUICK_STOPPING] = { "stopping", TO(SAVING) | GIVES_UP, 0 },
	[QUICK_SAVING] = { "saving", TO(CONFIRMING) | TO(NAMING) | GIVES_UP, 0 },
	[QUICK_CONFIRMING] = { "confirming", TO(NAMING) | GIVES_UP, 0 },
	[QUICK_NAMING] = { "naming", TO(SENT) | GIVES_UP, 0 },
	[QUICK_UNDOING] = { "undoing", TO(FAILED), 0 },
	[QUICK_SENT] = { "sent", 0, SM_FINAL },
	[QUICK_FAILED] = { "failed", 0, SM_FINAL },
};

enum quick_phase quick_phase(const struct quick *q)
{
	return (enum quick_phase)q->sm.state;
}

void quick_init(struct quick *q, const char *name)
{
	*q = (struct quick){ .was_running = false };
	sm_init(&q->sm, "quick", name, states, sizeof(states) / sizeof(*states), QUICK_IDLE, NULL);
}

static struct quick_action *act(struct quick_actions *out, enum quick_action_kind kind)
{
	cl_assert(out->n < QUICK_ACTIONS_MAX);
	out->v[out->n] = (struct quick_action){ .kind = kind };
	return &out->v[out->n++];
}

static void failed(struct quick *q, struct quick_actions *out)
{
	struct quick_action *a;

	sm_move(&q->sm, QUICK_FAILED, q->why);
	a = act(out, QUICK_ACT_REPORT_FAILED);
	a->running = q->was_running && !q->stopped;
	a->why = q->why;
}

/*
 * Undone when QEMU is neither about to stop nor writing: a `cont` that came before the end of a
 * migration that is being cancelled would be undone by it. The helper names nothing from here on.
 */
static void undo_step(struct quick *q, struct quick_actions *out)
{
	if (!q->migrating && q->stopped)
		failed(q, out);
}

static void give_up(struct quick *q, struct quick_actions *out, const char *why)
{
	enum quick_phase phase = quick_phase(q);

	if (phase == QUICK_UNDOING || phase == QUICK_SENT || phase == QUICK_FAILED)
		return;
	q->why = why;
	if (q->helping)
		act(out, QUICK_ACT_DISCARD);
	q->helping = false;
	if (q->migrating)
		act(out, QUICK_ACT_CANCEL);
	if (phase == QUICK_IDLE || phase == QUICK_WAITING) {
		failed(q, out);
		return;
	}
	sm_move(&q->sm, QUICK_UNDOING, why);
	undo_step(q, out);
}

static void stop(struct quick *q, struct quick_actions *out)
{
	sm_move(&q->sm, QUICK_STOPPING, "phase=switch");
	act(out, QUICK_ACT_STOP);
}

static void on_start(struct quick *q, const struct quick_event *ev, struct quick_actions *out)
{
	if (quick_phase(q) != QUICK_IDLE)
		return;
	q->was_running = ev->was_running;
	sm_move(&q->sm, QUICK_WAITING, "start");
	act(out, QUICK_ACT_REPORT_SWITCH);
	if (q->defects & QUICK_DEFECT_NO_SWITCH)
		stop(q, out);
}

static void on_stopped(struct quick *q, struct quick_actions *out)
{
	q->stopped = true;
	if (quick_phase(q) == QUICK_UNDOING) {
		undo_step(q, out);
	} else if (quick_phase(q) == QUICK_STOPPING) {
		q->helping = q->migrating = true;
		sm_move(&q->sm, QUICK_SAVING, "stopped");
		act(out, QUICK_ACT_SAVE);
	}
}

static void name_it(struct quick *q, struct quick_actions *out)
{
	sm_move(&q->sm, QUICK_NAMING, "completed and postmigrate");
	act(out, QUICK_ACT_NAME);
}

static void sent(struct quick *q, struct quick_actions *out)
{
	sm_move(&q->sm, QUICK_SENT, "named");
	act(out, QUICK_ACT_REPORT_SENT);
}

static void on_status(struct quick *q, enum mig_status status, struct quick_actions *out)
{
	bool over =
		status == MIG_ST_COMPLETED || status == MIG_ST_FAILED || status == MIG_ST_CANCELLED;

	if (!over || !q->migrating)
		return;
	q->migrating = false;
	if (quick_phase(q) == QUICK_UNDOING) {
		undo_step(q, out);
	} else if (quick_phase(q) == QUICK_SAVING && status == MIG_ST_COMPLETED) {
		if (q->defects & QUICK_DEFECT_NAME_EARLY) {
			name_it(q, out);
			return;
		}
		sm_move(&q->sm, QUICK_CONFIRMING, "completed");
		act(out, QUICK_ACT_QUERY_RUN_STATE);
	} else {
		give_up(q, out, "qemu could not save the state");
	}
}

static void on_run_state(struct quick *q, enum mig_run run, struct quick_actions *out)
{
	if (quick_phase(q) != QUICK_CONFIRMING)
		return;
	/* `completed` precedes the run state by a moment, and no event announces that one. */
	if (run == MIG_RUN_FINISH_MIGRATE && q->asked++ < ASK_MAX) {
		act(out, QUICK_ACT_QUERY_RUN_STATE);
		return;
	}
	if (run != MIG_RUN_POSTMIGRATE) {
		give_up(q, out, "qemu said completed and is not in postmigrate");
		return;
	}
	name_it(q, out);
	if (q->defects & QUICK_DEFECT_SENT_UNNAMED)
		sent(q, out);
}

/* `migrate`, what comes before it, or `stop`: refused, or not answered. */
static void on_command_failed(struct quick *q, struct quick_actions *out)
{
	enum quick_phase phase = quick_phase(q);

	if (phase == QUICK_SAVING || phase == QUICK_UNDOING)
		q->migrating = false; /* nothing is under way */
	/* A `stop` that is not answered may be carried out yet: it counts as one. `cont` follows it. */
	if (phase == QUICK_STOPPING || phase == QUICK_UNDOING)
		q->stopped = true;
	if (phase == QUICK_UNDOING)
		undo_step(q, out);
	else
		give_up(q, out, "qemu refused");
}

static void on_helper(struct quick *q, bool ok, struct quick_actions *out)
{
	bool was_asked = quick_phase(q) == QUICK_NAMING;

	if (!q->helping)
		return;
	q->helping = false;
	/* One that says ok unasked has named something that nobody vouches for. */
	if (was_asked && ok)
		sent(q, out);
	else
		give_up(q, out, "the state could not be written");
}

void quick_step(struct quick *q, const struct quick_event *ev, struct quick_actions *out)
{
	switch (ev->kind) {
	case QUICK_EV_START:
		on_start(q, ev, out);
		break;
	case QUICK_EV_SWITCH_OK:
		if (quick_phase(q) == QUICK_WAITING)
			stop(q, out);
		break;
	case QUICK_EV_STOPPED:
		on_stopped(q, out);
		break;
	case QUICK_EV_COMMAND_FAILED:
		on_command_failed(q, out);
		break;
	case QUICK_EV_STATUS:
		on_status(q, ev->status, out);
		break;
	case QUICK_EV_RUN_STATE:
		on_run_state(q, ev->run, out);
		break;
	case QUICK_EV_HELPER:
		on_helper(q, ev->ok, out);
		break;
	case QUICK_EV_ABORT:
		give_up(q, out, "given up");
		break;
	}
}
