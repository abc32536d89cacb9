/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of this node's run lease, where a restarted clusterd finds it: without it a clusterd that
 * dies and comes back while the node is cut off would let its VMs run on past the lease.
 *
 * Sixteen bytes in the run directory, of this machine's CLOCK_BOOTTIME in ms, so of this boot as that
 * directory is: the end, and the beat by which others heard us last (0: the lease is not a watched one,
 * quorum/lease.h). Written over in place at every renewal, one system call: a write of so few bytes at
 * the start of a page is whole or has not happened when the process is killed, and more than that
 * the file need not survive. What is there may be older than the truth by the step that was going
 * on: renewals only add, so it is smaller, and the VMs pause too early, never too late. A lease that
 * is taken away is the one thing that makes it smaller; it is written in the same step.
 */
#ifndef CL_CLUSTERD_LEASE_FILE_H
#define CL_CLUSTERD_LEASE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

#define LEASE_FILE "lease"

struct lease_file {
	int64_t until_ms, beat_ms;
};

/*
 * A lock by which others see that a process lives: its kernel drops it when the process ends, however that
 * happens; one that hangs keeps it. (By fcntl: it is the process's own, where flock would be kept by a child
 * that is being started; and looking does not take it.) The file must be open once only in that process.
 * 0, or -EAGAIN: another one has it.
 */
int lease_file_lock(int fd);
bool lease_file_locked(int fd); /* by another process */

/*
 * Opens DIR/lease, made when it is not there. Returns the descriptor, to be closed by the caller, or
 * a negative code. *ret: what an earlier process wrote; until_ms 0 = not known (there was nothing, or it
 * cannot be a lease's end: later than latest_ms). Locked: the watchdog feeder asks whether clusterd lives.
 */
int lease_file_open(const char *dir, int64_t latest_ms, struct lease_file *ret,
		    struct cl_error *err);
/* As it is now, through a descriptor of anybody's. */
struct lease_file lease_file_read(int fd, int64_t latest_ms);

/* until_ms 0: no lease any more. It is read back as one that ended long ago, not as "not known". */
int lease_file_write(int fd, const struct lease_file *kept, struct cl_error *err);

#endif
