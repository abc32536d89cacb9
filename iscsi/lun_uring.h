/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file or block device behind `struct lun_data`, by io_uring: for volumes of one machine.
 *
 *     file:///PATH       a file; it has to exist and to have its size
 *     block:///dev/...   a block device
 *
 * There are no sessions, keys and GOs: nothing is fenced here (docs/lun.md, "Files and block
 * devices"). What stands in for it: each opening holds a lock of its node's on the open file itself,
 * which the kernel takes away only when the last I/O through it has ended. So "no lock" means "no
 * write of that process any more", also after a SIGKILL, on this machine.
 *
 * Direct I/O where the file system can; buffers that are not aligned for it are copied. Belongs to
 * one thread.
 */
#ifndef CL_ISCSI_LUN_URING_H
#define CL_ISCSI_LUN_URING_H

#include "iscsi/lun.h"
#include "lib/loop.h"

struct lun_uring;

struct lun_uring_config {
	const char *url;
	unsigned node;	    /* whose lock, with LUN_LOCAL_DATA; 0 = none (tools) */
	uint64_t min_bytes; /* refuse a smaller one; 0 = any size of at least a block */
	bool buffered;	    /* never O_DIRECT (tests) */
};

/* The path in such an address; NULL: it is none, or not an absolute path. */
const char *lun_local_path(const char *url);

/* Opens, locks, watches its completions in the loop. -EBUSY: another process has the node's lock. */
int lun_uring_open(struct cl_loop *loop, const struct lun_uring_config *config,
		   struct lun_uring **ret, struct cl_error *err);

/* Waits for what is in flight: its buffers are the callers'. The done callbacks run from here. Accepts
 * NULL. Not from within a done callback. */
void lun_uring_free(struct lun_uring *u);

struct lun_data *lun_uring_data(struct lun_uring *u);
unsigned lun_uring_in_flight(const struct lun_uring *u);

/*
 * What a node does with the file, each with an open file and a lock of its own. The second process of
 * a node gets -EBUSY as long as I/O of the first can land: waited for, it is the fence of a restart.
 */
enum lun_local_role { LUN_LOCAL_DATA, LUN_LOCAL_COORDINATOR, LUN_LOCAL_ROLES };
int lun_local_lock(int fd, const char *url, unsigned node, enum lun_local_role role,
		   struct cl_error *err);

/* May a process have I/O of that node's under way on this file? 1 yes, 0 no, negative: not known.
 * Asks about other open files than those of the caller's, too: not about the own node. */
int lun_local_held(const char *url, unsigned node, struct cl_error *err);

CL_DEFINE_CLEANUP(struct lun_uring, lun_uring_free);

#endif
