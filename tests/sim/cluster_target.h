/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The target of the volumes, as tgt is (docs/fencing.md): registrations by nexus, a reservation of type 6,
 * LOGICAL UNIT RESET that is answered when all that was running has landed. And iSCSI sessions to it
 * (iscsi/lun.h) for csvd's own code. What it does wrong, by a random stream of its own:
 *   a REGISTER lies in a buffer and arrives seconds later, whatever became of its sender
 *   a write lies in the target for seconds and lands, whatever became of its key
 *   a reset's answer is lost
 *   a registration is forgotten; all of them and the reservation when it restarts
 * Judged here:
 *   fence-unverified  csvd says that a fence is paid, and a key of the fenced one is registered
 *   go-fenced         a nexus of a life that was fenced gets a GO
 *   stray-stays       a key that its coordinator never allowed, or allows no more, is not removed
 */
#ifndef CL_TESTS_SIM_CLUSTER_TARGET_H
#define CL_TESTS_SIM_CLUSTER_TARGET_H

#include "iscsi/lun.h"
#include "tests/sim/cluster_driver.h"

/* Whether a command of that nexus that writes is taken now. */
bool target_takes(const struct cworld *w, unsigned l, uint64_t nexus, uint64_t instance);
/* One was refused: its session stops. */
void target_conflict(struct cworld *w, unsigned node, unsigned l, uint64_t nexus);
/* A write that was taken lies in it for so long. */
uint64_t target_holds_ms(struct cworld *w, unsigned l);
/* Something of (node, incarnation) may still be written: a key that had its GO. */
bool target_lets(const struct cworld *w, unsigned l, unsigned node, uint64_t incarnation);
/* The nexus that data is sent by, and the target that it was made with: one that is started anew knows it no more. */
uint64_t target_nexus(const struct lun_data *data);
uint64_t target_instance(const struct lun_data *data);

/* One that has registered and has no GO, for the guard that is left out. */
const struct lun_data *target_ungranted(struct cworld *w, unsigned node, unsigned l);

/* What goes to the target and comes back. */
struct sent {
	uint64_t session, nexus, instance;
	struct lun_cmd *cmd; /* to be compared only */
	struct pr_op op;
	struct pr_answer answer;
	bool late, held;
};

void target_execute(struct cworld *w, unsigned node, unsigned l, struct sent *m);
/* Data may come by that nexus from now on. */
void target_go(struct cworld *w, unsigned l, uint64_t nexus, uint64_t key);

/* cluster_session.c */
void target_login(struct cworld *w, struct task *t);
void target_command(struct cworld *w, struct task *t);
void target_answer(struct cworld *w, struct task *t);
/* Connections that are dead are found out. */
void target_look(struct cworld *w, unsigned node);
void target_restart(struct cworld *w);
/* It forgets one registration. */
void target_forgets(struct cworld *w, struct task *t);
/* .. those by which the node's data comes. */
void target_forget_of(struct cworld *w, unsigned l, unsigned node);
/* The reservation is the node's. */
bool target_held_by(const struct cworld *w, unsigned l, unsigned node);
/* The last life of the node that is fenced on the volume. */
uint64_t target_fenced(const struct cworld *w, unsigned l, unsigned node);
void judge_paid(struct cworld *w, unsigned payer, unsigned l, unsigned node, uint64_t incarnation);
void judge_strays(struct cworld *w);

#endif
