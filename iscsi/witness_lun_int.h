/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of witness_lun share: its life, the login (witness_lun_login.c), operations
 * (witness_lun_ops.c). */
#ifndef CL_ISCSI_WITNESS_LUN_INT_H
#define CL_ISCSI_WITNESS_LUN_INT_H

#include <sys/queue.h>

#include "iscsi/lun.h"
#include "iscsi/lun_loop.h"
#include "iscsi/pr_fence.h"
#include "iscsi/witness_lun.h"

#define PR_TYPE_WE_REGISTRANTS_ONLY 5
#define RETRY_MS 500
#define PATH_MS 2000 /* shorter than a volume's: nothing of a guest's waits here */
#define SILENCE_MS 8000
#define IO_MS 20000
#define ISID 0x776974
#define GIVE_UP_MS 2000
#define OPS_MAX 4096

struct op {
	TAILQ_ENTRY(op) link;
	uint64_t id;
	enum witness_op_kind kind;
	uint8_t *data;
	struct iovec iov;
	struct lun_io io;
};
TAILQ_HEAD(op_list, op);

struct lane {
	struct op_list ops; /* the first one runs */
	bool busy;
};

/* What follows a login, before the path is up. */
enum login_step {
	LOGIN_RESERVATION, /* is it in use? */
	LOGIN_REGISTER,
	LOGIN_HOLDER,
	LOGIN_KEYS,
	LOGIN_PREEMPT, /* what earlier nexuses of this node left */
	LOGIN_UP,
};

struct witness_lun {
	struct cl_loop *loop;
	struct witness_hooks hooks;
	struct lun_url url;
	unsigned node, number, portal;
	uint64_t incarnation;
	bool unused;
	char initiator[96];

	struct lun_session *session;
	struct lun_loop *binding;
	struct cl_source *retry, *turn, *fence_timer;
	uint64_t key, holder;
	enum login_step step;
	struct lun_cmd cmd; /* of the login, then of the owner's lane */
	bool dead, refused, told_down;
	struct cl_error why;
	uint64_t stale[PR_KEYS_MAX];
	size_t n_stale;

	struct lane lanes[2]; /* [0] the owner's, [1] reading and slots */
	unsigned n_ops;
	bool claimed;
	struct pr_fence fence;
	struct lun_cmd fence_cmd[PR_FENCE_RESETS_MAX + 1];
	bool fence_cmd_used[PR_FENCE_RESETS_MAX + 1];

	void (*gone)(void *user);
	void *gone_user;
	struct cl_source *gone_timer;
};

/* The session is of no use any more: it is dropped in the next turn, off its own stack, and another one is made; not
 * after -EBUSY. */
void wlun_lose(struct witness_lun *w, int code, const char *text);
/* One at a time: of the login, then of the owner's lane. */
void wlun_command(struct witness_lun *w, struct pr_op op, void (*done)(struct lun_cmd *));
bool wlun_is_ours(const struct witness_lun *w, uint64_t key);

/* A timer's: log in. */
void wlun_on_retry(void *user);

/* The first operation of a lane, if there is one and none runs. */
void wlun_begin(struct witness_lun *w, unsigned lane);
/* The first of a lane is forgotten, without an answer. */
void wlun_op_free(struct witness_lun *w, unsigned lane);
void wlun_on_fence_timer(void *user);

#endif
