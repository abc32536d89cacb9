/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a thread is on its way out: SIGKILL is pending for it, or it is exiting. The kernel lets a
 * thread that waits for an answer of FUSE wait on when it is killed; the answer ends it, and nobody
 * will look at it.
 */
#ifndef CL_CSV_DYING_H
#define CL_CSV_DYING_H

#include <stdbool.h>
#include <stdint.h>

/* tid as FUSE gives it; 0, or one that is not there: false. Reads /proc, does not block. */
bool dying_thread(uint32_t tid);

#endif
