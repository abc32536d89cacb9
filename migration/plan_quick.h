/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's side of a quick migration as a pure machine: stop the guest, save its state into a
 * private file, give the file its name. The target's side is plan_migrate.h's, fed from the file.
 *
 *   idle -> waiting -> stopping -> saving -> confirming -> naming -> sent
 *              \          \          \           \           \
 *               +----------+----------+--(abort)--+-----------+-> undoing -> failed
 *
 *     waiting     the guest runs; phase=switch is asked for
 *     stopping    `stop` sent
 *     saving      QEMU writes into the pipe of the helper that writes the file
 *     confirming  QEMU says completed; its run state is being asked
 *     naming      all of it is in the file; the helper makes it stable and names it
 *     sent        named, AND QEMU in postmigrate: it runs again only by an order
 *
 * What differs from a live migration: the guest was stopped by order, so QEMU never resumes it by
 * itself, however the saving ends; and a state that was saved for nothing needs no proof of
 * anybody's death, as its number is burned (migration/state_file.h).
 */
#ifndef CL_MIGRATION_PLAN_QUICK_H
#define CL_MIGRATION_PLAN_QUICK_H

#include "migration/plan_migrate.h"

enum quick_phase {
	QUICK_IDLE,
	QUICK_WAITING,
	QUICK_STOPPING,
	QUICK_SAVING,
	QUICK_CONFIRMING,
	QUICK_NAMING,
	QUICK_UNDOING,
	QUICK_SENT,
	QUICK_FAILED,
};

enum quick_event_kind {
	QUICK_EV_START,		 /* .was_running */
	QUICK_EV_SWITCH_OK,	 /* phase=switch is committed */
	QUICK_EV_STOPPED,	 /* `stop` is answered */
	QUICK_EV_COMMAND_FAILED, /* a command of ours was refused, or not answered */
	QUICK_EV_STATUS,	 /* .status: QMP MIGRATION */
	QUICK_EV_RUN_STATE,	 /* .run: answer to QUICK_ACT_QUERY_RUN_STATE */
	QUICK_EV_HELPER,	 /* .ok: the helper has ended; ok = it has named the file */
	QUICK_EV_ABORT,
};

struct quick_event {
	enum quick_event_kind kind;
	enum mig_status status;
	enum mig_run run;
	bool was_running, ok;
};

enum quick_action_kind {
	QUICK_ACT_REPORT_SWITCH = 1,
	QUICK_ACT_STOP,
	QUICK_ACT_SAVE, /* helper, getfd, `migrate` */
	QUICK_ACT_QUERY_RUN_STATE,
	QUICK_ACT_NAME,	   /* tell the helper that it has all */
	QUICK_ACT_CANCEL,  /* migrate_cancel */
	QUICK_ACT_DISCARD, /* the helper ends without naming anything */
	QUICK_ACT_REPORT_SENT,
	QUICK_ACT_REPORT_FAILED, /* .running: as it was; else it stands */
};

struct quick_action {
	enum quick_action_kind kind;
	bool running;
	const char *why; /* a literal */
};

#define QUICK_ACTIONS_MAX 4
struct quick_actions {
	struct quick_action v[QUICK_ACTIONS_MAX];
	unsigned n;
};

/* Guards that a test leaves out, to prove that it notices. */
enum quick_defect {
	QUICK_DEFECT_NO_SWITCH = 1,    /* stops the guest before phase=switch is committed */
	QUICK_DEFECT_NAME_EARLY = 2,   /* names what QEMU may not have finished */
	QUICK_DEFECT_SENT_UNNAMED = 4, /* reports before the file is whole and named */
};

struct quick {
	struct sm sm;
	unsigned defects;
	bool was_running;
	bool stopped, migrating, helping; /* what has to be undone */
	unsigned asked;			  /* times for the run state */
	const char *why;		  /* of the abort, a literal */
};

void quick_init(struct quick *q, const char *name);
void quick_step(struct quick *q, const struct quick_event *ev, struct quick_actions *out);
enum quick_phase quick_phase(const struct quick *q);

#endif
