/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's own GO: how a node that the log names becomes the one whose nexuses may write.
 * Pure, around pr_fence.
 *
 *   keys ──> reservation ──> register ──> seen ──> ask the log ──> kill all others (pr_fence, take)
 * ──> admitted
 *
 * The log is asked AFTER the REGISTER was seen: a node that was replaced in between learns it
 * before it harms its successor. (Without it: old coordinator freezes before its PREEMPT, thaws,
 * and takes the reservation from the new one.) So also for a new cluster, a cold start, a restarted
 * target.
 */
#ifndef CL_ISCSI_PR_ADMIT_H
#define CL_ISCSI_PR_ADMIT_H

#include "iscsi/pr_fence.h"

enum pr_admit_phase {
	PR_ADMIT_IDLE,
	PR_ADMIT_KEYS,
	PR_ADMIT_RESERVATION,
	PR_ADMIT_REGISTER,
	PR_ADMIT_SEEN,
	PR_ADMIT_ASK, /* the caller asks the log, then pr_admit_log_says() */
	PR_ADMIT_KILL,
	PR_ADMIT_DONE,
	PR_ADMIT_FAILED,
};

struct pr_admit_config {
	unsigned node;
	uint64_t incarnation;
	unsigned random; /* where to begin to look for a free instance number */
	uint8_t type;	 /* 6 or 8; 0 = a standing reservation decides, else 6 */
	bool no_barrier; /* defect switch */
	struct pr_quirks quirks;
	int64_t settle_until_ms;
};

struct pr_admit {
	struct sm sm;
	struct pr_admit_config config;
	struct pr_fence *fence; /* borrowed: one per control, one issuer */
	uint64_t key;
	uint8_t type;
	uint32_t tag;
	struct cl_error why;
};

void pr_admit_init(struct pr_admit *a, struct pr_fence *fence);
void pr_admit_start(struct pr_admit *a, const struct pr_admit_config *config, struct pr_step *out);
/* Answers to commands of pr_fence go through here too while PR_ADMIT_KILL. */
void pr_admit_answer(struct pr_admit *a, const struct pr_op *op, const struct pr_answer *answer,
		     int64_t now_ms, struct pr_step *out);
void pr_admit_timer(struct pr_admit *a, int64_t now_ms, struct pr_step *out);
/* The answer to PR_ADMIT_ASK; ignored in any other phase (too late). n <= PR_MATCHES_MAX. */
void pr_admit_log_says(struct pr_admit *a, bool still, const struct pr_match *living, size_t n,
		       int64_t now_ms, struct pr_step *out);
void pr_admit_lost(struct pr_admit *a, const char *why);

enum pr_admit_phase pr_admit_phase(const struct pr_admit *a);
bool pr_admit_running(const struct pr_admit *a);

#endif
