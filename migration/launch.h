/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting a QEMU: the runtime directory and the launcher process, which becomes QEMU.
 *
 * DIR = RUN_DIR/NAME holds
 *   spec.json  the config (vm_config_print); written before anything runs
 *   lock       flock'ed by the descriptor that launcher and QEMU inherit: locked = somebody lives
 *   pid        "PID START_TIME", written by the launcher before it touches a disk
 *   qmp.sock   listens before QEMU exists, so that nobody has to try twice
 *   incoming   there while a migration target has never been continued
 *   argv, qemu.log
 *
 * The launcher opens and tags the disks, since an open may wait for as long as the volume does, and
 * clusterd must not. Closing the daemon's copy of the lock after the fork leaves no window in which
 * a QEMU is alive and nothing in the directory says so.
 */
#ifndef CL_MIGRATION_LAUNCH_H
#define CL_MIGRATION_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/error.h"
#include "migration/vm_config.h"

struct launch_args {
	const struct vm_config *config;
	const char *dir;
	const char *launcher, *qemu, *bridge;
	const char *cgroup; /* the VM's own, exists; NULL = none */
	bool incoming;
	uid_t uid;
	gid_t gid;
};

struct launch_child {
	pid_t pid;
	int pidfd;
	int status_fd; /* one line and end = failed; end without a line = QEMU has been exec'ed */
};

/* -EEXIST when the directory's lock is held: a process of that name lives. */
int launch(const struct launch_args *args, struct launch_child *ret, struct cl_error *err);

/* 1: alive (lock held), 0: not, negative: no such directory. */
int launch_alive(const char *dir);

/* What the launcher wrote; -ENOENT while it has not. */
int launch_read_pid(const char *dir, pid_t *ret_pid, uint64_t *ret_start);

/* Remove what describes a running VM; the log stays for whoever asks why it ended. */
void launch_clean(const char *dir);

#endif
