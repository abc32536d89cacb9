/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The replicated state for unit tests: one database, and the commands that each of them begins with. */
#ifndef CL_TESTS_UNIT_STATE_RIG_H
#define CL_TESTS_UNIT_STATE_RIG_H

#include "proto/heartbeat.h"
#include "proto/log.pb-c.h"
#include "quorum/state.h"

extern struct state s;	     /* the test empties it: s = (struct state){ 0 } */
extern unsigned rig_defects; /* enum state_defect */
extern int64_t rig_wall_ms;  /* when the next command was proposed */

/* As the next entry. What cannot be decoded, and want of memory, fail the test. */
struct state_result rig_apply(Log__Command *c);

#define OK(code) assert_int_equal(code, 0)

/* The code of the result. Nodes and volumes get a uuid of their number or name. */
int rig_add(uint32_t id, const char *name);
int rig_admit(uint32_t id);
int rig_failed(uint32_t id);
int rig_volume(const char *name);
int rig_assign(const char *volume, uint32_t to);
/* At the VM's present generation. */
int rig_place(const char *vm, uint32_t node);
int rig_started(const char *vm);
/* By the volume's coordinator. */
int rig_paid(const char *volume, uint32_t node, uint64_t incarnation, enum heartbeat_seen seen);

#endif
