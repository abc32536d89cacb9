/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two files of a control share. Not for others. */
#ifndef CL_ISCSI_CONTROL_INT_H
#define CL_ISCSI_CONTROL_INT_H

#include "iscsi/control.h"
#include "iscsi/pr_admit.h"
#include "iscsi/pr_check.h"
#include "lib/sm.h"

#define JOBS_MAX 64
#define RECONNECT_MIN_MS 100
#define CMDS_MAX (PR_FENCE_RESETS_MAX + 4)

enum job_kind { JOB_FENCE, JOB_LOOK, JOB_CHECK, JOB_CLEAR };

/* Which lane an operation belongs to (pr_op.who). */
enum { LANE_FENCE, LANE_LOOK };

struct job {
	enum job_kind kind;
	size_t n;
	struct pr_match *victims; /* owned */
	size_t n_known;
	uint64_t known[PR_KNOWN_MAX];
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
	char identity[PR_IDENTITY_TEXT]; /* of the first login; every later one must say the same */
	struct sm sm;
	struct cl_error why;
	struct pr_fence fence;
	struct pr_admit admit;
	struct pr_table table;
	struct pr_answer keys; /* of the look or check under way */
	struct slot slots[CMDS_MAX];
	struct lane fences, looks;
	int64_t timer_ms, check_at_ms, reconnect_at_ms;
	uint32_t backoff_ms; /* short again after an admission, not after a mere login */
	uint64_t barriers_told;
	bool failed_over; /* the session has to go: set from within its callbacks */
	bool refused;	  /* the last claim, by the target's answers */
};

/* control.c */
int64_t control_now_ms(void);
void control_changed(struct lun_control *c);
void control_move(struct lun_control *c, enum lun_control_state to, const struct cl_error *why);
/* Drop the session as soon as it is off the stack; everything that waits fails then. */
void control_give_up(struct lun_control *c, const struct cl_error *why);

/* control_jobs.c */
void control_step(struct lun_control *c, const struct pr_step *step);
void control_after_admit(struct lun_control *c);
void control_on_timer(struct lun_control *c, int64_t now_ms);
int control_add_job(struct lun_control *c, struct lane *lane, const struct job *job);
/* Every job that is left fails: nothing is known about it any more. */
void control_fail_jobs(struct lane *lane, const struct cl_error *why);

#endif
