/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One session to a witness's LUN: blocks read and written with force unit access, and the
 * reservation that says who owns it. Type 5 (write exclusive, registrants only): everybody may read,
 * every node's witnessd is registered and may write (its heartbeat slot), the holder is named. Nothing
 * is decided here.
 *
 * CLAIM is iscsi/pr_fence.h with this nexus as the taker: PREEMPT of the holder and of what earlier
 * nexuses of this node left, LOGICAL UNIT RESET until it is answered, READ KEYS, READ RESERVATION.
 * An owner's write is accepted on a nexus whose CLAIM succeeded, and on no later one: a session that
 * logged in anew may have been preempted meanwhile, and would write into another owner's log.
 */
#ifndef CL_ISCSI_WITNESS_LUN_H
#define CL_ISCSI_WITNESS_LUN_H

#include "iscsi/witness_store.h"

struct witness_lun;

/* Starts to connect, and goes on trying. -EINVAL: the address. */
int witness_lun_new(struct cl_loop *loop, const struct witness_config *config,
		    struct witness_lun **ret, struct cl_error *err);
/* Drops the nexus. Accepts NULL; not from within its hooks. */
void witness_lun_free(struct witness_lun *lun);

/* As witness_store_submit(); FORMAT fails. */
void witness_lun_submit(struct witness_lun *lun, uint64_t id, enum witness_op_kind kind,
			uint64_t offset, uint32_t len, const uint8_t *data);

/*
 * Give the LUN up: the key is unregistered; with `clear`, and when the reservation is this node's, all of it is
 * cleared, with all keys. Then the session goes and `gone` is called. At most two seconds; no other hook is called any
 * more. A key that stays would make the LUN one that is in use.
 */
void witness_lun_give_up(struct witness_lun *lun, bool clear, void (*gone)(void *user), void *user);

CL_DEFINE_CLEANUP(struct witness_lun, witness_lun_free);

#endif
