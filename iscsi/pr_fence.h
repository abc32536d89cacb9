/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Killing nexuses: the decision machine. Pure: answers and time come in, commands go out.
 *
 *   keys ──> preempt each ──> holder ──> (reserve) ──> barrier ──> verify keys ──> verify holder
 * ──> paid ^          │              │                                       │
 *     └──────────┴──────────────┴──────── a victim is (still) there ────┘          any loss ──>
 * failed
 *
 * (a) take the right: PREEMPT of every victim's key. Reinstatement, a TCP reset or a closed session
 *     leave the key standing and drain nothing.
 * (b) barrier: LOGICAL UNIT RESET, sent only after every PREEMPT was answered, because it drains
 * only what has reached SCSI by then; what arrives later meets the missing right. Repeated after 2,
 * 4, 8 .. 64 s: the answer to one reset can be lost (a second reset or an ABORT TASK on the same
 * command swallows it); with a fixed period shorter than the slowest write the repeats eat each
 * other for ever. Any answer counts that is to a reset of this round. (c) READ KEYS and READ
 * RESERVATION: that it is so, on the target that answers now.
 *
 * What the probe found about the target (job.quirks) changes two things. Where PREEMPT AND ABORT works it is
 * sent in place of PREEMPT; where slow writes have shown that it drains, too, the barrier is left out, but only
 * when every key that the victims were ever allowed was there and went by it: what lost its key earlier was
 * not aborted by this. A claim never leaves it out, for it takes the right of those who never had a key. And
 * where the list of keys is only true at its end, all behind the first victim go with it (iscsi/pr_tail.h).
 *
 * A lost control session ends it as failed: the target may be a new instance, and a PREEMPT that an
 * earlier instance answered is worth nothing. Start again from the beginning.
 */
#ifndef CL_ISCSI_PR_FENCE_H
#define CL_ISCSI_PR_FENCE_H

#include "iscsi/pr.h"
#include "iscsi/pr_tail.h"
#include "lib/error.h"
#include "lib/sm.h"

#define PR_FENCE_ROUNDS_MAX 16 /* a victim that keeps coming back: report instead of running on */
#define PR_FENCE_RESETS_MAX 16 /* unanswered at once: 2+4+8+16+32+64*10 s */
#define PR_MATCHES_MAX 128
#define PR_KNOWN_MAX 16
#define PR_NEVER INT64_MAX

struct pr_fence_job {
	uint64_t own; /* the issuer's registered key */
	uint8_t type; /* the reservation that must stand */
	bool all_but; /* victims = all keys but own and those that match; else those that match */
	bool take;    /* coordinator-to-be: the old holder is a victim, RESERVE when none stands */
	bool no_barrier, no_repeat, no_verify; /* defect switches */
	struct pr_quirks quirks;
	int64_t settle_until_ms; /* no reset before (backend that outlives its target); 0 = at once
				  */
	size_t n;
	struct pr_match match[PR_MATCHES_MAX];
	/* Every key that the victims were allowed; more than there is room for: n_known = 0 */
	size_t n_known;
	uint64_t known[PR_KNOWN_MAX];
};

enum pr_fence_phase {
	PR_FENCE_IDLE,
	PR_FENCE_KEYS,
	PR_FENCE_PREEMPT,
	PR_FENCE_RENAME,
	PR_FENCE_HOLDER,
	PR_FENCE_RESERVE,
	PR_FENCE_SETTLE,
	PR_FENCE_BARRIER,
	PR_FENCE_VERIFY_KEYS,
	PR_FENCE_VERIFY_HOLDER,
	PR_FENCE_PAID,
	PR_FENCE_FAILED,
};

/* What to do now. At most one command; timer_ms replaces the timer (PR_NEVER = none) unless
 * ignored. */
struct pr_step {
	bool ignored; /* nothing happened: the answer was to a question no longer asked */
	bool send;
	struct pr_op op;
	int64_t timer_ms;
};

struct pr_fence {
	struct sm sm;
	struct pr_fence_job job;
	struct cl_error why; /* when failed */
	uint64_t victims[PR_KEYS_MAX];
	size_t n_victims, next;
	uint64_t left
		[PR_KEYS_MAX]; /* when paid: the other keys that are there, our own not counted */
	size_t n_left;
	struct pr_tail tail;	     /* of this round */
	uint64_t swept[PR_KEYS_MAX]; /* by this job, the innocent too: only with quirks.tail */
	size_t n_swept;
	bool aborted;	     /* every known key was there, and went by PREEMPT AND ABORT */
	uint64_t old_holder; /* forced victim of this job, 0 = none */
	unsigned rounds, resets_out;
	uint32_t tag, want_tag, first_reset_tag;
	int64_t reset_wait_ms;
	uint64_t barriers; /* answered */
	bool killed_any;
};

void pr_fence_init(struct pr_fence *f);
/* Only when idle, paid or failed. */
void pr_fence_start(struct pr_fence *f, const struct pr_fence_job *job, int64_t now_ms,
		    struct pr_step *out);
void pr_fence_answer(struct pr_fence *f, const struct pr_op *op, const struct pr_answer *answer,
		     int64_t now_ms, struct pr_step *out);
void pr_fence_timer(struct pr_fence *f, int64_t now_ms, struct pr_step *out);
/* The control session is gone. */
void pr_fence_lost(struct pr_fence *f, const char *why);

enum pr_fence_phase pr_fence_phase(const struct pr_fence *f);
bool pr_fence_running(const struct pr_fence *f);

#endif
