/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/plan_migrate.h"

#include <string.h>

#include "lib/assert.h"

#define SMALL_RAM (UINT64_C(1) << 30) /* copied within a second or so */
#define STALL_MS 10000
#define DOWNTIME_MS 300
#define DOWNTIME_MAX_MS 30000
#define ASK_AT_ONCE 100
#define PATIENT_PASSES 6 /* then the permitted downtime doubles every three passes */

#define TO(x) SM_TO(MIG_##x)

static const struct sm_state source_states[] = {
	[MIG_IDLE] = { "idle", TO(SETUP), SM_INITIAL },
	[MIG_SETUP] = { "setup",
			TO(PRECOPY) | TO(SWITCHING) | TO(CANCELLING) | TO(CONFIRMING) | TO(FAILED),
			0 },
	[MIG_PRECOPY] = { "precopy", TO(SWITCHING) | TO(CANCELLING) | TO(CONFIRMING), SM_INITIAL },
	[MIG_SWITCHING] = { "switching", TO(DEVICE) | TO(CANCELLING) | TO(CONFIRMING), SM_INITIAL },
	[MIG_DEVICE] = { "device", TO(CANCELLING) | TO(CONFIRMING), SM_INITIAL },
	[MIG_CONFIRMING] = { "confirming", TO(SENT) | TO(FAILED), SM_INITIAL },
	[MIG_CANCELLING] = { "cancelling", TO(CONFIRMING), 0 },
	[MIG_SENT] = { "sent", 0, SM_FINAL },
	[MIG_FAILED] = { "failed", 0, SM_FINAL },
};

static const struct sm_state target_states[] = {
	[MIGT_PREPARING] = { "preparing", SM_TO(MIGT_LISTENING), SM_INITIAL },
	[MIGT_LISTENING] = { "listening", SM_TO(MIGT_CONFIRMING), 0 },
	[MIGT_CONFIRMING] = { "confirming", SM_TO(MIGT_LOADED), 0 },
	[MIGT_LOADED] = { "loaded", 0, SM_FINAL },
};

static int find_word(const char *const *words, int n, const char *word)
{
	for (int i = 0; i < n; i++)
		if (words[i] && strcmp(words[i], word) == 0)
			return i;
	return n;
}

enum mig_status mig_status_of(const char *word)
{
	static const char *const words[MIG_ST_OTHER] = {
		[MIG_ST_NONE] = "none",		  [MIG_ST_SETUP] = "setup",
		[MIG_ST_ACTIVE] = "active",	  [MIG_ST_PRE_SWITCHOVER] = "pre-switchover",
		[MIG_ST_DEVICE] = "device",	  [MIG_ST_COMPLETED] = "completed",
		[MIG_ST_FAILED] = "failed",	  [MIG_ST_CANCELLING] = "cancelling",
		[MIG_ST_CANCELLED] = "cancelled",
	};

	return word ? (enum mig_status)find_word(words, MIG_ST_OTHER, word) : MIG_ST_NONE;
}

enum mig_run mig_run_of(const char *word)
{
	static const char *const words[MIG_RUN_OTHER] = {
		[MIG_RUN_RUNNING] = "running",
		[MIG_RUN_PAUSED] = "paused",
		[MIG_RUN_FINISH_MIGRATE] = "finish-migrate",
		[MIG_RUN_POSTMIGRATE] = "postmigrate",
		[MIG_RUN_INMIGRATE] = "inmigrate",
	};

	return word ? (enum mig_run)find_word(words, MIG_RUN_OTHER, word) : MIG_RUN_OTHER;
}

static struct mig_action *act(struct mig_actions *out, enum mig_action_kind kind)
{
	cl_assert(out->n < MIG_ACTIONS_MAX);
	out->v[out->n] = (struct mig_action){ .kind = kind };
	return &out->v[out->n++];
}

enum mig_phase mig_source_phase(const struct mig_source *m)
{
	return (enum mig_phase)m->sm.state;
}

static void begin_in(struct mig_source *m, const char *name, enum mig_phase phase)
{
	*m = (struct mig_source){ .downtime_ms = DOWNTIME_MS, .stall_ms = STALL_MS };
	sm_init(&m->sm, "migration", name, source_states,
		sizeof(source_states) / sizeof(*source_states), (int)phase, NULL);
}

void mig_source_init(struct mig_source *m, const char *name, unsigned downtime_ms)
{
	begin_in(m, name, MIG_IDLE);
	if (downtime_ms)
		m->downtime_ms = downtime_ms;
}

void mig_source_adopt(struct mig_source *m, const char *name, enum mig_status status)
{
	enum mig_phase phase = status == MIG_ST_PRE_SWITCHOVER ? MIG_SWITCHING
			       : status == MIG_ST_DEVICE       ? MIG_DEVICE
			       : status == MIG_ST_COMPLETED    ? MIG_CONFIRMING
							       : MIG_PRECOPY;

	begin_in(m, name, phase);
	m->switch_asked = true;
	m->ended = status;
}

bool mig_source_may_resume(const struct mig_source *m)
{
	switch (mig_source_phase(m)) {
	case MIG_SWITCHING:
	case MIG_DEVICE:
	case MIG_CANCELLING:
	case MIG_CONFIRMING:
		return true;
	default:
		/* Permitted to stop: the switch-over may begin before any order of ours arrives. */
		return m->switch_ok && mig_source_phase(m) == MIG_PRECOPY;
	}
}

/* ---- source: the steps ---------------------------------------------------------------------- */

static void cancel(struct mig_source *m, struct mig_actions *out, const char *why)
{
	m->why = why;
	m->cancel_sent = true;
	sm_move(&m->sm, MIG_CANCELLING, why);
	act(out, MIG_ACT_CANCEL);
}

/*
 * From `device` on the target may hold everything in its socket buffers. A cancel makes QEMU run
 * the guest here at once; the target would finish loading later, and whoever believed its
 * `completed` would run the guest a second time. So the target's death comes first.
 */
static void abort_order(struct mig_source *m, struct mig_actions *out, const char *why)
{
	enum mig_phase phase = mig_source_phase(m);

	if (phase == MIG_SETUP || phase == MIG_PRECOPY || phase == MIG_SWITCHING) {
		cancel(m, out, why);
		return;
	}
	if (phase != MIG_DEVICE)
		return; /* it is ending, or has ended: what comes of it is reported */
	if (m->target_dead || (m->defects & MIG_DEFECT_CANCEL_IN_DEVICE)) {
		cancel(m, out, why);
	} else if (!m->need_dead_told) {
		m->need_dead_told = true;
		act(out, MIG_ACT_REPORT_NEED_DEAD)->why = why;
	}
}

static void ask_switch(struct mig_source *m, struct mig_actions *out)
{
	if (m->switch_asked)
		return;
	m->switch_asked = true;
	act(out, MIG_ACT_REPORT_SWITCH);
}

/*
 * Pre-switchover. Without waiting for the record phase=switch here, a manager that fails over in
 * this moment does not know that the target may become complete, and lets the source run on.
 */
static void try_continue(struct mig_source *m, struct mig_actions *out)
{
	if (!m->switch_ok && !(m->defects & MIG_DEFECT_CONTINUE_WITHOUT_SWITCH)) {
		ask_switch(m, out);
		return;
	}
	sm_move(&m->sm, MIG_DEVICE, "phase=switch is committed");
	act(out, MIG_ACT_CONTINUE);
}

static void on_switch_ok(struct mig_source *m, struct mig_actions *out)
{
	m->switch_ok = true;
	if (mig_source_phase(m) == MIG_SWITCHING)
		try_continue(m, out);
	else if (mig_source_phase(m) == MIG_PRECOPY)
		act(out, MIG_ACT_SET_DOWNTIME)->downtime_ms = m->downtime_ms;
}

static void on_ended(struct mig_source *m, enum mig_status status, struct mig_actions *out)
{
	m->ended = status;
	sm_move(&m->sm, MIG_CONFIRMING, "qemu says that it is over");
	act(out, MIG_ACT_QUERY_RUN_STATE);
}

static void on_status(struct mig_source *m, enum mig_status status, struct mig_actions *out)
{
	enum mig_phase phase = mig_source_phase(m);

	if (phase == MIG_IDLE || phase == MIG_CONFIRMING || phase == MIG_SENT ||
	    phase == MIG_FAILED)
		return;
	if (status == MIG_ST_ACTIVE && phase == MIG_SETUP) {
		sm_move(&m->sm, MIG_PRECOPY, "active");
		if (m->total <= SMALL_RAM)
			ask_switch(m, out);
	} else if (status == MIG_ST_PRE_SWITCHOVER &&
		   (phase == MIG_SETUP || phase == MIG_PRECOPY)) {
		sm_move(&m->sm, MIG_SWITCHING, "pre-switchover");
		try_continue(m, out);
	} else if (status == MIG_ST_COMPLETED || status == MIG_ST_FAILED ||
		   status == MIG_ST_CANCELLED)
		on_ended(m, status, out);
}

static void fail(struct mig_source *m, bool running, const char *why, struct mig_actions *out)
{
	struct mig_action *a;

	sm_move(&m->sm, MIG_FAILED, why);
	a = act(out, MIG_ACT_REPORT_FAILED);
	a->running = running;
	a->why = m->why ? m->why : why;
}

/* The event precedes the run state by a moment, and no event announces that one. */
static void ask_again(struct mig_source *m, struct mig_actions *out)
{
	if (m->asked++ < ASK_AT_ONCE)
		act(out, MIG_ACT_QUERY_RUN_STATE); /* else with the next MIG_EV_PROGRESS */
}

/*
 * `completed` alone proves nothing: only in postmigrate is it certain that QEMU will not run the
 * guest again without an order. After a failure QEMU resumes a guest that ran, by itself.
 */
static void on_run_state(struct mig_source *m, enum mig_run run, struct mig_actions *out)
{
	bool believes = m->defects & MIG_DEFECT_SENT_WITHOUT_POSTMIGRATE;

	if (mig_source_phase(m) != MIG_CONFIRMING)
		return;
	if (m->ended == MIG_ST_COMPLETED && (run == MIG_RUN_POSTMIGRATE || believes)) {
		sm_move(&m->sm, MIG_SENT, "completed and postmigrate");
		act(out, MIG_ACT_REPORT_SENT);
	} else if (run == MIG_RUN_FINISH_MIGRATE) {
		ask_again(m, out);
	} else {
		fail(m, run == MIG_RUN_RUNNING,
		     m->ended == MIG_ST_COMPLETED ? "completed, but not in postmigrate"
						  : "the migration failed",
		     out);
	}
}

static void on_resumed(struct mig_source *m, struct mig_actions *out)
{
	if (mig_source_phase(m) == MIG_CONFIRMING && m->ended != MIG_ST_COMPLETED)
		fail(m, true, "the migration failed", out);
}

static void on_pass(struct mig_source *m, unsigned pass, struct mig_actions *out)
{
	m->pass = pass;
	if (mig_source_phase(m) != MIG_PRECOPY)
		return;
	if (pass >= 2)
		ask_switch(m, out);
	/* The guest writes faster than the network carries: allow a longer stop, or it never ends. */
	if (m->switch_ok && pass >= PATIENT_PASSES && pass % 3 == 0 &&
	    m->downtime_ms < DOWNTIME_MAX_MS) {
		m->downtime_ms *= 2;
		act(out, MIG_ACT_SET_DOWNTIME)->downtime_ms = m->downtime_ms;
	}
}

/* With the network cut QEMU waits for TCP, a quarter of an hour; nothing else would notice. */
static void on_progress(struct mig_source *m, const struct mig_event *ev, struct mig_actions *out)
{
	enum mig_phase phase = mig_source_phase(m);

	if (ev->transferred != m->transferred || m->moved_at_ms == 0) {
		m->transferred = ev->transferred;
		m->moved_at_ms = ev->now_ms;
	}
	if (phase == MIG_PRECOPY && ev->transferred && ev->remaining <= m->total / 4)
		ask_switch(m, out);
	if (phase == MIG_CONFIRMING)
		act(out, MIG_ACT_QUERY_RUN_STATE);
	if ((phase == MIG_SETUP || phase == MIG_PRECOPY || phase == MIG_DEVICE) &&
	    ev->now_ms - m->moved_at_ms >= m->stall_ms)
		abort_order(m, out, "nothing is transferred any more");
}

static void on_command_failed(struct mig_source *m, struct mig_actions *out)
{
	enum mig_phase phase = mig_source_phase(m);

	if (phase == MIG_SETUP) {
		act(out, MIG_ACT_CANCEL); /* if it began all the same; else it does nothing */
		fail(m, m->was_running, "qemu refused to begin", out);
	} else
		abort_order(m, out, "qemu refused a step of the migration");
}

void mig_source_step(struct mig_source *m, const struct mig_event *ev, struct mig_actions *out)
{
	switch (ev->kind) {
	case MIG_EV_START:
		m->was_running = ev->was_running;
		m->total = ev->total;
		m->moved_at_ms = ev->now_ms;
		sm_move(&m->sm, MIG_SETUP, "ordered");
		act(out, MIG_ACT_SETUP);
		break;
	case MIG_EV_SETUP_DONE:
		break; /* the MIGRATION events tell the rest */
	case MIG_EV_COMMAND_FAILED:
		on_command_failed(m, out);
		break;
	case MIG_EV_STATUS:
		on_status(m, ev->status, out);
		break;
	case MIG_EV_RUN_STATE:
		on_run_state(m, ev->run, out);
		break;
	case MIG_EV_RESUMED:
		on_resumed(m, out);
		break;
	case MIG_EV_PASS:
		on_pass(m, ev->pass, out);
		break;
	case MIG_EV_PROGRESS:
		on_progress(m, ev, out);
		break;
	case MIG_EV_SWITCH_OK:
		on_switch_ok(m, out);
		break;
	case MIG_EV_ABORT:
		m->target_dead = m->target_dead || ev->target_dead;
		abort_order(m, out, "ordered to give up");
		break;
	}
}

/* ---- target --------------------------------------------------------------------------------- */

void mig_target_init(struct mig_target *m, const char *name)
{
	sm_init(&m->sm, "incoming", name, target_states,
		sizeof(target_states) / sizeof(*target_states), MIGT_PREPARING, NULL);
}

enum mig_target_action mig_target_step(struct mig_target *m, const struct mig_event *ev)
{
	int phase = m->sm.state;

	if (phase == MIGT_PREPARING && ev->kind == MIG_EV_SETUP_DONE) {
		sm_move(&m->sm, MIGT_LISTENING, "listens");
	} else if (phase == MIGT_LISTENING && ev->kind == MIG_EV_STATUS &&
		   ev->status == MIG_ST_COMPLETED) {
		sm_move(&m->sm, MIGT_CONFIRMING, "qemu says completed");
		return MIGT_ACT_QUERY_RUN_STATE;
	} else if (phase == MIGT_CONFIRMING && ev->kind == MIG_EV_RUN_STATE &&
		   ev->run == MIG_RUN_PAUSED) {
		sm_move(&m->sm, MIGT_LOADED, "completed and paused");
		return MIGT_ACT_REPORT_LOADED;
	}
	return MIGT_ACT_NONE;
}
