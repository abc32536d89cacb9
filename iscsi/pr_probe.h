/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does this target fence? Asked of the target, not of its VPD pages: three scratch keys over scratch
 * sessions, type 8 first, then type 6. Pure.
 *
 *   A, B, C register; A reserves; B preempts A; then READ KEYS must be exactly {B, C}, B's key must
 *   still be accepted, a fourth one can register, the type is what it was, A's READ gets CONFLICT
 *   and C's does not, and a LOGICAL UNIT RESET is answered and changes none of it.
 *
 * Seen: tgt fails type 8 (a dangling holder: the next REGISTER turns the type into 0) and passes 6;
 * istgt fails both (READ KEYS shows a wrong list after most preempts).
 *
 * One that fails both is tried once more by the only rule under which such a list can be used at all
 * (iscsi/pr_tail.h). It stays unfenceable; whoever insists knows then what he insists upon.
 *
 * By the way it is found out what is let through without a right (UNMAP), what is kept (APTPL), and whether
 * PREEMPT AND ABORT is there. Whether that one drains takes slow writes: iscsi/paa_probe.h.
 */
#ifndef CL_ISCSI_PR_PROBE_H
#define CL_ISCSI_PR_PROBE_H

#include "iscsi/pr.h"

#define PR_PROBE_SESSIONS 4
#define PR_PROBE_ROUNDS 3

enum pr_unmap {
	PR_UNMAP_UNTRIED,
	PR_UNMAP_NONE,	    /* not implemented */
	PR_UNMAP_CHECKED,   /* only who has the right */
	PR_UNMAP_UNCHECKED, /* anybody: never to be used */
};

enum pr_aptpl { PR_APTPL_UNTRIED, PR_APTPL_NONE, PR_APTPL_TAKEN };

enum pr_probe_state { PR_PROBE_RUNNING, PR_PROBE_DONE, PR_PROBE_BUSY, PR_PROBE_FAILED };

struct pr_probe {
	enum pr_probe_state state;
	uint64_t keys[PR_PROBE_SESSIONS];
	unsigned round; /* 0: type 8, 1: type 6, 2: type 8, from the list's end only */
	unsigned step;
	bool cleaning, swept;
	uint8_t pr_type;	 /* the result: 8, 6, 0 = unfenceable */
	struct pr_quirks quirks; /* .tail: round 2 passed */
	enum pr_unmap unmap;
	enum pr_aptpl aptpl;
	char text[PR_PROBE_ROUNDS][160]; /* "passed", or what was wrong; "" = not tried */
	char why[160];			 /* of BUSY and FAILED */
};

/* random: anything that differs from call to call. *first is the first command; op.who = session. */
void pr_probe_start(struct pr_probe *p, uint32_t random, struct pr_op *first);
/* true: send *next. false: ended, see state. A lost session is an answer with LUN_LOST. */
bool pr_probe_answer(struct pr_probe *p, const struct pr_op *op, const struct pr_answer *answer,
		     struct pr_op *next);

#endif
