/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of this node's run lease, where a restarted clusterd finds it: without it a clusterd that
 * dies and comes back while the node is cut off would let its VMs run on past the lease.
 *
 * Eight bytes in the run directory, of this machine's CLOCK_BOOTTIME in ms, so of this boot as that
 * directory is. Written over in place at every renewal, one system call: a write of eight bytes at
 * the start of a page is whole or has not happened when the process is killed, and more than that
 * the file need not survive. What is there may be older than the truth by the step that was going
 * on: renewals only add, so it is smaller, and the VMs pause too early, never too late. A lease that
 * is taken away is the one thing that makes it smaller; it is written in the same step.
 */
#ifndef CL_CLUSTERD_LEASE_FILE_H
#define CL_CLUSTERD_LEASE_FILE_H

#include <stdint.h>

#include "lib/error.h"

/*
 * Opens DIR/lease, made when it is not there. Returns the descriptor, to be closed by the caller, or
 * a negative code. *ret_until_ms: what an earlier process wrote; 0 = not known (there was nothing,
 * or it cannot be a lease's end: later than latest_ms).
 */
int lease_file_open(const char *dir, int64_t latest_ms, int64_t *ret_until_ms,
		    struct cl_error *err);

/* until_ms 0: no lease any more. It is read back as one that ended long ago, not as "not known". */
int lease_file_write(int fd, int64_t until_ms, struct cl_error *err);

#endif
