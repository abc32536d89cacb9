/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process around csvd's own code in the simulator: iscsi/control, iscsi/pr*, csv/store_lun, csv/data and
 * csv/nexus are compiled as they are, and find here the clock, the random numbers, the timers and the log that
 * a daemon has. All of it belongs to the node on whose behalf it is called.
 */
#ifndef CL_TESTS_SIM_LUN_ENV_H
#define CL_TESTS_SIM_LUN_ENV_H

#include <stdint.h>

struct cworld;
struct task;

struct env_at {
	struct cworld *w;
	unsigned node;
};

/* Around each call into that code; they nest. Returns where one was. */
struct env_at env_enter(struct cworld *w, unsigned node);
void env_leave(struct env_at before);
struct env_at env_now(void);

/* A stream of its own for what the target and its sessions do: other seeds' courses stay what they were. */
uint64_t env_rand(struct cworld *w, uint64_t n);
/* A timer of a node has come. */
void env_timer(struct cworld *w, struct task *t);

#endif
