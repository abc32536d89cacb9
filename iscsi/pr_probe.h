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
 */
#ifndef CL_ISCSI_PR_PROBE_H
#define CL_ISCSI_PR_PROBE_H

#include "iscsi/pr.h"

#define PR_PROBE_SESSIONS 4

enum pr_probe_state { PR_PROBE_RUNNING, PR_PROBE_DONE, PR_PROBE_BUSY, PR_PROBE_FAILED };

struct pr_probe {
	enum pr_probe_state state;
	uint64_t keys[PR_PROBE_SESSIONS];
	unsigned round; /* 0: type 8, 1: type 6 */
	unsigned step;
	bool cleaning, swept;
	uint8_t pr_type;   /* the result: 8, 6, 0 = unfenceable */
	char text[2][160]; /* per round: "passed", or what was wrong; "" = not tried */
	char why[160];	   /* of BUSY and FAILED */
};

/* random: anything that differs from call to call. *first is the first command; op.who = session. */
void pr_probe_start(struct pr_probe *p, uint32_t random, struct pr_op *first);
/* true: send *next. false: ended, see state. A lost session is an answer with LUN_LOST. */
bool pr_probe_answer(struct pr_probe *p, const struct pr_op *op, const struct pr_answer *answer,
		     struct pr_op *next);

#endif
