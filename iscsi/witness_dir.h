/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A directory that is a witness: the protocol (docs/witness.md, "In a directory"). Every node has it mounted, by NFS
 * mostly, so nothing here may rest on locks (a client that froze for longer than its lease writes as if it still had
 * them) or on what a client remembers (names that are not there, attributes, pages).
 *
 *   superblock                          one block, whole or absent
 *   claim-CLAIM-NODE-NONCE-TURN         the token: exactly one file, empty; its name says who owns the witness
 *   log-CLAIM-NONCE                     the blocks of that claim: a copy of those of the claim before it, and on
 *   slot-NODE                           one block, rewritten in place by that node alone
 *   tmp-CLAIM-NONCE                     a copy that is not whole yet
 *
 * All rests on rename(2) of the token, which the server does as one step, and only if the old name is there: a
 * compare-and-swap. No name comes twice (a nonce for each claim, turns count), so a repeated or late rename finds
 * nothing to move, and a name that is gone does not come back.
 *
 *   CHECK        moves the token on by one turn. It succeeds only while nobody has taken it, on the server, now. A stale
 *                cache can make it fail (a name that the client believes to be gone), never succeed.
 *   CLAIM        moves it to claim n + 1. Then copies the log of n, and gives the copy its name when it is whole.
 *   OWNER_WRITE  goes to the owner's own log.
 *
 * What an owner has written and then proven by a CHECK was there before the next CLAIM, so the taker, which copies
 * after its claim, has it. Copied first, the CHECK of the former owner succeeds in between and what it acknowledged is
 * missing (WDIR_DEFECT_READ_FIRST). What a former owner writes later lands in a file that nobody reads any more: no
 * barrier.
 *
 * A copy is not one step. The former owner may go on meanwhile, and begin the older half of its log anew, then the
 * half that the taker has not read yet. So a write that begins a half, or does not continue the one before it, is preceded
 * by a CHECK: at most one such write, and what follows it, can land after a claim, and the half that was the newest
 * then stays as it was (WDIR_DEFECT_NO_JUMP_CHECK).
 *
 * "Not there" after a rename may be a lost answer: the server had done it, and did it not when it was asked again.
 * It is told from a defeat by the next turn, which only we can make.
 *
 * Logs and copies of lower claims are removed by an owner that has published its own and made a CHECK since: who took
 * over before would still look for them; who takes over later finds the newer one.
 */
#ifndef CL_ISCSI_WITNESS_DIR_H
#define CL_ISCSI_WITNESS_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

enum {
	WDIR_UNIT = 4096,
	WDIR_SLOT_UNIT =
		16, /* units 16 + node are slots, unit 0 is the superblock: docs/witness.md */
	WDIR_LOG_UNIT = 512,
	WDIR_NAME_MAX = 64,
	/* As large as a LUN of this size would be: two halves of the log, 8 MiB each. */
	WDIR_HALF_BYTES = 8 << 20,
	WDIR_BYTES = WDIR_LOG_UNIT * WDIR_UNIT + 2 * WDIR_HALF_BYTES,
};

/* Guards that a test can leave out. */
enum wdir_defect {
	WDIR_DEFECT_NO_CHECK = 1 << 0,	    /* CHECK says `mine` without asking */
	WDIR_DEFECT_READ_FIRST = 1 << 1,    /* the log is copied before the token is taken */
	WDIR_DEFECT_NO_JUMP_CHECK = 1 << 2, /* a half is begun anew whoever owns it */
};

/*
 * What the directory can do. Each call is one step that may block for ever, and returns 0 or more, or -errno. user:
 * of the lane; one at a time.
 */
struct wdir_os {
	void *user;
	/* Names, fresh from the server. */
	int (*list)(void *user, void (*name)(void *arg, const char *name), void *arg);
	/* -ENOENT: `from` is not there, or no more. */
	int (*rename)(void *user, const char *from, const char *to);
	int (*remove)(void *user, const char *name);
	/* An empty file; there must be none. */
	int (*create)(void *user, const char *name);
	/* Never from a cache. Returns how much there was. */
	int (*read)(void *user, const char *name, uint64_t offset, void *buf, uint32_t len);
	/* Into a file that exists; durable when it returns. */
	int (*write)(void *user, const char *name, uint64_t offset, const void *data, uint32_t len);
	/* Names that were made, moved and removed are durable. */
	int (*sync)(void *user);
	uint64_t (*random)(void *user);
};

struct wdir_token {
	uint64_t claim; /* 0: nobody yet */
	unsigned node;	/* 0: nobody */
	uint64_t nonce, turn;
};

void wdir_token_name(const struct wdir_token *token, char name[WDIR_NAME_MAX]);
/* Takes any text. False: no token's name. */
bool wdir_token_parse(const char *name, struct wdir_token *ret);

/* Of a log ("log-") or a copy ("tmp-"). */
void wdir_blocks_name(const char *prefix, uint64_t claim, uint64_t nonce, char name[WDIR_NAME_MAX]);

/* What a name is. */
enum wdir_kind { WDIR_OTHER, WDIR_SUPER, WDIR_TOKEN, WDIR_LOG, WDIR_SLOT, WDIR_TMP };
/* ret_claim: of a token, log or copy. */
enum wdir_kind wdir_kind_of(const char *name, uint64_t *ret_claim);

struct wdir_seen {
	unsigned tokens, others; /* others: files that are none of ours */
	struct wdir_token token;
	bool super;
	bool logs;
	uint64_t newest; /* claim of the newest log */
	char log[WDIR_NAME_MAX];
};
int wdir_look(const struct wdir_os *os, struct wdir_seen *ret, struct cl_error *err);

/* The owner's lane of one session. */
struct wdir {
	const struct wdir_os *os;
	unsigned node;
	unsigned defects;
	uint8_t super
		[WDIR_UNIT]; /* as it was found: a directory that was made anew is another witness */
	struct wdir_token token;
	char log[WDIR_NAME_MAX]; /* its own, once it has claimed */
	bool claimed, clean;
	uint64_t second_half; /* where the log's begins: behind a first one that is full */
	uint64_t end;	      /* of the last owner's write; 0 = none */
};

/*
 * Begin. make: a directory that may be blank; unused: one that holds something else (-CL_EREFUSED) or that somebody
 * has claimed (-EBUSY) is refused. Else one without a superblock is -ENODATA.
 */
int wdir_open(struct wdir *d, const struct wdir_os *os, unsigned node, bool make, bool unused,
	      struct cl_error *err);
/* -EAGAIN: the owner moves it on too fast. After any failure nothing is owned. */
int wdir_claim(struct wdir *d, struct cl_error *err);
/* ret_holder: 0 = nobody. */
int wdir_check(struct wdir *d, bool *ret_mine, unsigned *ret_holder, struct cl_error *err);
/* -EPERM: somebody else has taken it. */
int wdir_owner_write(struct wdir *d, uint64_t offset, const void *data, uint32_t len,
		     struct cl_error *err);
/* All that was there goes, but for files that are none of ours; then it is a witness that nobody owns. */
int wdir_format(struct wdir *d, const uint8_t super[WDIR_UNIT], struct cl_error *err);
/* When this node owns it: all of ours goes. */
int wdir_clear(struct wdir *d, struct cl_error *err);

/*
 * The other lane: any block. log: of this session's claim; "" = none. What is not there reads as zeros; without
 * `make` a superblock that is not there is -ENODATA.
 */
int wdir_read(const struct wdir_os *os, const char *log, bool make, uint64_t offset, uint8_t *buf,
	      uint32_t len, struct cl_error *err);
/* One node's slot, one block. */
int wdir_slot_write(const struct wdir_os *os, uint64_t offset, const void *data, uint32_t len,
		    struct cl_error *err);

#endif
