/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One session of witnessd to whatever keeps a witness: blocks that are read and written, and the word who
 * owns them. Two stores: a LUN with its reservation (iscsi/witness_lun.h), a directory on a share that every
 * node has mounted (iscsi/witness_file.h). Both look alike, as docs/witness.md lays the blocks out, so that
 * nothing above knows which one it is. Nothing is decided here.
 *
 * What CLAIM, CHECK and OWNER_WRITE have to hold, whatever is behind them:
 *   - a CHECK that says `mine` was true at a moment after it was submitted;
 *   - what OWNER_WRITE has answered is durable, and is read by whoever has claimed since any CHECK that was
 *     submitted after that answer and said `mine`;
 *   - nothing that a former owner writes reaches what a later one has read.
 *
 * When a session dies nothing that it had begun is known any more: what it had accepted is not answered;
 * `path` says so, and again when the next one stands. OWNER_WRITE is accepted in the session whose CLAIM
 * succeeded, and in no later one.
 *
 * Two lanes, each in order, one operation at a time: CLAIM, CHECK, FORMAT and owner's writes; reading and slots.
 * A claim may take long, and the slot shall move meanwhile, or its node would be taken for dead.
 */
#ifndef CL_ISCSI_WITNESS_STORE_H
#define CL_ISCSI_WITNESS_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"
#include "lib/loop.h"

struct witness_store;

enum witness_op_kind {
	WITNESS_OP_READ,
	WITNESS_OP_WRITE,
	WITNESS_OP_OWNER_WRITE,
	WITNESS_OP_CLAIM,
	WITNESS_OP_CHECK,
	WITNESS_OP_FORMAT, /* a directory: begun anew with this superblock, one block */
};

struct witness_answer {
	uint64_t id;
	bool ok;
	const uint8_t *data; /* READ; borrowed for the call */
	size_t len;
	bool mine;	 /* CHECK */
	unsigned holder; /* CHECK: node; 0 = none, or none of this cluster */
	const char *text;
};

struct witness_hooks {
	void *user;
	/* code < 0: trying again does not help. */
	void (*path)(void *user, bool up, uint64_t bytes, int code, const char *text);
	void (*done)(void *user, const struct witness_answer *answer);
};

struct witness_config {
	const char *url;
	unsigned node;
	uint64_t incarnation;
	unsigned number; /* of this session on this node */
	bool unused; /* one that is in use, or holds something else, is refused (-EBUSY, -CL_EREFUSED) */
	bool make;	    /* it may be blank: it is to become a witness */
	int64_t silence_ms; /* a share that does not answer for so long is lost; 0 = 8 s, less in tests */
	struct witness_hooks hooks;
};

/* Whether the address is that of a directory; else of a LUN. */
bool witness_store_is_file(const char *url);

/* Starts to connect, and goes on trying. -EINVAL: the address. */
int witness_store_new(struct cl_loop *loop, const struct witness_config *config,
		      struct witness_store **ret, struct cl_error *err);
/* Drops the session. Accepts NULL; not from within its hooks. Never blocks. */
void witness_store_free(struct witness_store *store);

/* data is copied. Answered by `done` once, unless `path` says before that the session is gone. Without a
 * session it is dropped. */
void witness_store_submit(struct witness_store *store, uint64_t id, enum witness_op_kind kind,
			  uint64_t offset, uint32_t len, const uint8_t *data);

/*
 * Give it up; with `clear`, and when this node owns it, it is free for others afterwards. Then the session goes and
 * `gone` is called. At most two seconds; no other hook is called any more.
 */
void witness_store_give_up(struct witness_store *store, bool clear, void (*gone)(void *user),
			   void *user);

CL_DEFINE_CLEANUP(struct witness_store, witness_store_free);

#endif
