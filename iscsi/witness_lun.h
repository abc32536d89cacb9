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
 *
 * When a session dies nothing that it had begun is known any more: what it had accepted is not
 * answered; `path` says so, and again when the next nexus stands.
 *
 * Two lanes, each in order, one operation at a time: CLAIM, CHECK and owner's writes; reading and
 * slots. A barrier may take as long as the slowest write of anybody, and the slot shall move
 * meanwhile, or its node would be taken for dead.
 */
#ifndef CL_ISCSI_WITNESS_LUN_H
#define CL_ISCSI_WITNESS_LUN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"
#include "lib/loop.h"

struct witness_lun;

enum witness_op_kind {
	WITNESS_OP_READ,
	WITNESS_OP_WRITE,
	WITNESS_OP_OWNER_WRITE,
	WITNESS_OP_CLAIM,
	WITNESS_OP_CHECK,
};

struct witness_answer {
	uint64_t id;
	bool ok;
	const uint8_t *data; /* READ; borrowed for the call */
	size_t len;
	bool mine;	 /* CHECK */
	unsigned holder; /* CHECK: node; 0 = none, or no key of ours */
	const char *text;
};

struct witness_lun_hooks {
	void *user;
	/* code < 0: trying again does not help. */
	void (*path)(void *user, bool up, uint64_t bytes, int code, const char *text);
	void (*done)(void *user, const struct witness_answer *answer);
};

struct witness_lun_config {
	const char *url;
	unsigned node;
	uint64_t incarnation;
	unsigned number; /* of this session on this node: its ISID */
	bool unused;	 /* a LUN with a reservation is refused (-EBUSY) */
	struct witness_lun_hooks hooks;
};

/* Starts to connect, and goes on trying. -EINVAL: the address. */
int witness_lun_new(struct cl_loop *loop, const struct witness_lun_config *config,
		    struct witness_lun **ret, struct cl_error *err);
/* Drops the nexus. Accepts NULL; not from within its hooks. */
void witness_lun_free(struct witness_lun *lun);

/* data is copied. Answered by `done` once, unless `path` says before that the session is gone. Without a
 * session it is dropped. */
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
