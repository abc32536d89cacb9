/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live migration as two pure machines, the source's and the target's: what QEMU reported and what
 * the manager allowed comes in, what to do comes out. migration/migrate.c carries it out by QMP.
 *
 * The rule that all of it serves: at most one side may ever run on. Until the log says otherwise
 * that is the source, and the source may run on only while the target cannot be complete, or is
 * proven dead. docs/vm.md has the whole argument; every guard below names what it prevents.
 *
 *   source   idle -> setup -> precopy -> switching -> device -> sent
 *                      \        \           \           \
 *                       +--------+-----------+--(abort)--+-> cancelling -> failed
 *
 *     setup      capabilities, parameters, `migrate` sent
 *     precopy    the guest runs, memory is copied; SWITCH is asked for when the first pass nears its
 *                end, so that the record is committed before the guest stops, not while it stands
 *     switching  pre-switchover: vCPUs stopped, disks still the source's; waits for phase=switch
 *     device     migrate-continue sent: the last part is under way, the target may be complete
 *     sent       completed AND status postmigrate: QEMU never resumes by itself from here
 *
 *   target   preparing -> listening -> loaded
 */
#ifndef CL_MIGRATION_PLAN_MIGRATE_H
#define CL_MIGRATION_PLAN_MIGRATE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/sm.h"

enum mig_phase {
	MIG_IDLE,
	MIG_SETUP,
	MIG_PRECOPY,
	MIG_SWITCHING,
	MIG_DEVICE,
	MIG_CONFIRMING, /* QEMU says completed, failed or cancelled; its run state is being asked */
	MIG_CANCELLING,
	MIG_SENT,
	MIG_FAILED,
};

/* MIGRATION events and query-migrate: qapi MigrationStatus as far as it occurs here. */
enum mig_status {
	MIG_ST_NONE,
	MIG_ST_SETUP,
	MIG_ST_ACTIVE,
	MIG_ST_PRE_SWITCHOVER,
	MIG_ST_DEVICE,
	MIG_ST_COMPLETED,
	MIG_ST_FAILED,
	MIG_ST_CANCELLING,
	MIG_ST_CANCELLED,
	MIG_ST_OTHER,
};
enum mig_status mig_status_of(const char *word); /* MIG_ST_OTHER when unknown; NULL = NONE */

/* query-status: qapi RunState as far as it matters. */
enum mig_run {
	MIG_RUN_RUNNING,
	MIG_RUN_PAUSED,
	MIG_RUN_FINISH_MIGRATE,
	MIG_RUN_POSTMIGRATE,
	MIG_RUN_INMIGRATE,
	MIG_RUN_OTHER
};
enum mig_run mig_run_of(const char *word);

enum mig_event_kind {
	MIG_EV_START,	       /* .was_running, .total */
	MIG_EV_SETUP_DONE,     /* capabilities, parameters and `migrate` accepted */
	MIG_EV_COMMAND_FAILED, /* a command of ours was refused or not answered */
	MIG_EV_STATUS,	       /* .status */
	MIG_EV_RUN_STATE,      /* .run: answer to MIG_ACT_QUERY_RUN_STATE */
	MIG_EV_RESUMED,	       /* QMP RESUME: the vCPUs run */
	MIG_EV_PASS,	       /* .pass */
	MIG_EV_PROGRESS,       /* .transferred, .remaining, .now_ms; also the machine's clock */
	MIG_EV_SWITCH_OK,      /* phase=switch is committed */
	MIG_EV_ABORT,	       /* .target_dead = proven */
};

struct mig_event {
	enum mig_event_kind kind;
	int64_t now_ms;
	enum mig_status status;
	enum mig_run run;
	unsigned pass;
	uint64_t transferred, remaining, total; /* bytes */
	bool was_running, target_dead;
};

enum mig_action_kind {
	MIG_ACT_SETUP = 1,	 /* capabilities, parameters (least downtime), `migrate` */
	MIG_ACT_SET_DOWNTIME,	 /* .downtime_ms: QEMU may stop the guest when that suffices */
	MIG_ACT_CONTINUE,	 /* migrate-continue pre-switchover */
	MIG_ACT_CANCEL,		 /* migrate_cancel */
	MIG_ACT_QUERY_RUN_STATE, /* query-status */
	MIG_ACT_REPORT_SWITCH,
	MIG_ACT_REPORT_SENT,
	MIG_ACT_REPORT_FAILED, /* .running */
	MIG_ACT_REPORT_NEED_DEAD,
};

struct mig_action {
	enum mig_action_kind kind;
	unsigned downtime_ms;
	bool running;
	const char *why; /* a literal */
};

#define MIG_ACTIONS_MAX 4
struct mig_actions {
	struct mig_action v[MIG_ACTIONS_MAX];
	unsigned n;
};

/* Guards that a test leaves out, to prove that it notices. */
enum mig_defect {
	MIG_DEFECT_CONTINUE_WITHOUT_SWITCH = 1,	 /* does not wait for phase=switch */
	MIG_DEFECT_CANCEL_IN_DEVICE = 2,	 /* cancels while the target may be complete */
	MIG_DEFECT_SENT_WITHOUT_POSTMIGRATE = 4, /* believes `completed` */
};

struct mig_source {
	struct sm sm;
	unsigned defects;
	unsigned downtime_ms;
	int64_t stall_ms; /* nothing transferred for so long = the network is cut */
	bool was_running;
	bool switch_asked, switch_ok;
	bool need_dead_told, target_dead, cancel_sent;
	enum mig_status ended; /* while confirming: completed, failed or cancelled */
	unsigned pass, asked;
	uint64_t transferred, total;
	int64_t moved_at_ms;
	const char *why; /* of the abort, a literal */
};

void mig_source_init(struct mig_source *m, const char *name, unsigned downtime_ms);
/* What a restarted clusterd finds: the status that query-migrate gives. It can end, not begin. */
void mig_source_adopt(struct mig_source *m, const char *name, enum mig_status status);
void mig_source_step(struct mig_source *m, const struct mig_event *ev, struct mig_actions *out);
enum mig_phase mig_source_phase(const struct mig_source *m);
/*
 * Whether QEMU may resume the guest by itself while phase=switch is committed: a pause that must
 * hold cannot be had then, and the VM has to be killed instead.
 */
bool mig_source_may_resume(const struct mig_source *m);

/* ---- target --------------------------------------------------------------------------------- */

enum mig_target_phase { MIGT_PREPARING, MIGT_LISTENING, MIGT_CONFIRMING, MIGT_LOADED };
enum mig_target_action { MIGT_ACT_NONE, MIGT_ACT_QUERY_RUN_STATE, MIGT_ACT_REPORT_LOADED };

struct mig_target {
	struct sm sm;
};

void mig_target_init(struct mig_target *m, const char *name);
/* Events: SETUP_DONE (it listens), STATUS, RUN_STATE. A target that fails ends its process. */
enum mig_target_action mig_target_step(struct mig_target *m, const struct mig_event *ev);

#endif
