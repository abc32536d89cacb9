/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who a process is, by /proc, and signals that cannot hit another one: everything goes by pidfd.
 */
#ifndef CL_MIGRATION_PROC_H
#define CL_MIGRATION_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A pidfd (close-on-exec), or -errno; -ESRCH when there is no such process. */
int proc_pidfd(pid_t pid);
int proc_signal(int pidfd, int signo);

/* Clock ticks after boot at which it began: pid and start time together name a process. */
int proc_start_time(pid_t pid, uint64_t *ret);

/* Whether one of its arguments is exactly, or contains, `word`. False when it cannot be read. */
bool proc_cmdline_has(pid_t pid, const char *word);

/* Whether every thread is in state T (stopped): none executes, none will without SIGCONT. */
bool proc_all_stopped(pid_t pid);

#endif
