/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does PREEMPT AND ABORT drain? By its definition (SPC-4, 5.13.11.2.7) no command of the victim runs any more
 * when it is answered; that a target answers GOOD proves nothing (one returns before the part that aborts). So
 * it is tried with writes that are slow because they are many: a victim has a burst of them under way when it is
 * preempted. What stands on the medium at the answer is read, and read again when all has had its time.
 *
 * DRAINS is said only when in five bursts writes were seen to be under way: the target finished some before its
 * answer, or left some unanswered for ever; and in no burst did anything land or was reported done behind the
 * answer. What came so soon after it that it may have crossed it proves nothing, neither way. A burst that was
 * too quick shows nothing, and nothing shown leaves it at GOOD: the barrier stays.
 */
#ifndef CL_ISCSI_PAA_PROBE_H
#define CL_ISCSI_PAA_PROBE_H

#include "iscsi/lun.h"

#define PAA_PROBE_BYTES (8u << 20) /* are written over, at the place that is given */

/*
 * Blocking. For a LUN that nobody uses, of which PREEMPT AND ABORT is known to work (pr_probe); pr_type: 6 or 8.
 * 0 and *ret GOOD, LATE or DRAINS.
 */
int lun_paa_probe(const struct lun_url *url, const char *initiator, uint8_t pr_type,
		  uint64_t offset, uint32_t timeout_ms, enum pr_abort *ret, struct cl_error *err);

#endif
