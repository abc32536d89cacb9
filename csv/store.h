/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a volume's blocks are, and the right to use them: a LUN with persistent reservations, or,
 * for tests on one machine, a file. A store is made for the time in which this node coordinates the
 * volume (or pays its debts); it runs in the loop, but for what the coordinator's thread does with
 * the device that store_open() gave it.
 *
 *     IDLE --(path)--> UP --store_coordinate: ask_log, store_log_says--> HOLDING
 *                      ^                                                    |
 *                      +----------- lost (why): stop the coordinator -------+
 */
#ifndef CL_CSV_STORE_H
#define CL_CSV_STORE_H

#include "csv/coord.h"
#include "iscsi/pr.h"
#include "lib/error.h"
#include "lib/loop.h"
#include "proto/volume.pb-c.h"

enum store_state { STORE_IDLE, STORE_UP, STORE_HOLDING };

struct store;

struct store_hooks {
	/* state has changed; why: in words, when it is not HOLDING ("" if nothing is wrong). */
	void (*state)(void *user, enum store_state state, const char *why);
	/* In the middle of store_coordinate: ask the log, then store_log_says(). */
	void (*ask_log)(void *user);
	/* The n-th barrier since this store was made was answered. */
	void (*barrier)(void *user, uint64_t n);
	void *user;
};

struct store_config {
	const char *url; /* copied */
	uint8_t volume[16];
	uint32_t node;
	uint64_t incarnation;
	uint8_t pr_type; /* what the probe found when the volume was made; 0 = not known */
	struct pr_quirks quirks;
	unsigned defects; /* STORE_DEFECT_* */
	struct store_hooks hooks;
};

enum {
	STORE_DEFECT_NO_BARRIER = 1 << 0,
	STORE_DEFECT_NO_REPEAT = 1 << 1, /* a barrier's reset is sent once */
	STORE_DEFECT_NO_CHECK = 1 << 2,	 /* the target's keys are never compared */
	STORE_DEFECT_NO_VERIFY = 1 << 3, /* nor read after a barrier */
	STORE_DEFECT_LET_IN = 1 << 4,	 /* who is fenced is permitted a key */
};

typedef void (*store_fence_done)(void *user, bool paid, const char *why);

/* A node at an incarnation. */
struct store_node {
	uint32_t node;
	uint64_t incarnation;
};

struct store_ops {
	void (*free)(struct store *store);
	int (*coordinate)(struct store *store, struct cl_error *err);
	void (*log_says)(struct store *store, bool still, const struct store_node *living,
			 size_t n_living);
	int (*fence)(struct store *store, const Vol__Debt *const *debts, size_t n,
		     store_fence_done done, void *user, struct cl_error *err);
	int (*open)(void *store, struct coord *coord, struct fs_dev **ret, struct cl_error *err);
	void (*logged_in)(struct store *store, struct coord *coord);
	void (*break_off)(struct store *store);
	int (*kill)(struct store *store, struct store_node who, uint64_t keep,
		    store_fence_done done, void *user, struct cl_error *err);
	int (*permit)(struct store *store, struct store_node who, uint64_t *ret_key,
		      uint8_t *ret_pr_type, struct cl_error *err);
	bool (*knows)(const struct store *store, struct store_node who, uint64_t key);
	int (*see)(struct store *store, uint64_t key, store_fence_done done, void *user);
	int (*give_up)(struct store *store, store_fence_done done, void *user);
};

struct store {
	const struct store_ops *ops;
	enum store_state state;
	bool refused; /* the last claim ended by what the target answered, not by its silence */
	struct store_hooks hooks;
};

/* By the url's scheme: iscsi://, file:// or block://. The state hook follows from the loop. */
int store_new(struct cl_loop *loop, const struct store_config *config, struct store **ret,
	      struct cl_error *err);
/* The coordinator's thread must have ended. Accepts NULL. */
void store_free(struct store *store);

/* Become the one who may write: only in UP. Everybody else's right ends before HOLDING. */
static inline int store_coordinate(struct store *store, struct cl_error *err)
{
	return store->ops->coordinate(store, err);
}

/* living: the other nodes whose data nexuses may go on through the claim. */
static inline void store_log_says(struct store *store, bool still, const struct store_node *living,
				  size_t n_living)
{
	store->ops->log_says(store, still, living, n_living);
}

/* Only in HOLDING. done once, maybe from here. paid: no command of theirs lands any more. */
static inline int store_fence(struct store *store, const Vol__Debt *const *debts, size_t n,
			      store_fence_done done, void *user, struct cl_error *err)
{
	return store->ops->fence(store, debts, n, done, user, err);
}

/* For coord_config.open, with the store as user: runs in the coordinator's thread. */
static inline int (*store_open_fn(const struct store *store))(void *, struct coord *,
							      struct fs_dev **, struct cl_error *)
{
	return store->ops->open;
}

/* MAIL_LOGGED_IN came: see to it that the coordinator gets MAIL_GO. */
static inline void store_logged_in(struct store *store, struct coord *coord)
{
	store->ops->logged_in(store, coord);
}

/* What the coordinator's thread does on the device ends now, with an error. */
static inline void store_break(struct store *store)
{
	store->ops->break_off(store);
}

/*
 * The data nexuses of nodes' mounts. All only in HOLDING; each `done` comes once, maybe from here, but not
 * after store_free().
 *
 * kill: those of `who` but `keep` (0 = all); paid: nothing of them lands any more. It waits for an earlier
 * kill of the same ones. permit: a key for a new one; 0 where there is nothing to register. knows: is it
 * one that was permitted and not killed? see: done(true) = registered at the target of now: GO may follow.
 */
static inline int store_kill(struct store *store, struct store_node who, uint64_t keep,
			     store_fence_done done, void *user, struct cl_error *err)
{
	return store->ops->kill(store, who, keep, done, user, err);
}

static inline int store_permit(struct store *store, struct store_node who, uint64_t *ret_key,
			       uint8_t *ret_pr_type, struct cl_error *err)
{
	return store->ops->permit(store, who, ret_key, ret_pr_type, err);
}

static inline bool store_knows(const struct store *store, struct store_node who, uint64_t key)
{
	return store->ops->knows(store, who, key);
}

static inline int store_see(struct store *store, uint64_t key, store_fence_done done, void *user)
{
	return store->ops->see(store, key, done, user);
}

/*
 * The volume is being forgotten: reservation and all keys go. Only in HOLDING, when every other key is
 * dead (claimed in maintenance) and no data session of ours is open: whoever has a key afterwards, or
 * none, may write. done once, maybe from here (why may be NULL); then free the store.
 */
static inline int store_give_up(struct store *store, store_fence_done done, void *user)
{
	return store->ops->give_up(store, done, user);
}

/* The two kinds. */
int store_file_new(struct cl_loop *loop, const struct store_config *config, struct store **ret,
		   struct cl_error *err);
int store_lun_new(struct cl_loop *loop, const struct store_config *config, struct store **ret,
		  struct cl_error *err);

#endif
