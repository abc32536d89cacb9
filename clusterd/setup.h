/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cluster's setup (quorum/state_setup.h) and this node's files: corosync.conf and key are written
 * as the database says, corosync is told to load them, certificates are made from the CA. And changes
 * of the setup, by whoever asks: made from the newest text, again when somebody else was faster.
 */
#ifndef CL_CLUSTERD_SETUP_H
#define CL_CLUSTERD_SETUP_H

#include <stdbool.h>

#include "clusterd/core/node.h"
#include "lib/error.h"

struct daemon;
struct setup;

int setup_new(struct daemon *d, struct setup **ret);
void setup_free(struct setup *s);

/* Corosync is there (again). */
void setup_on_ring(struct setup *s);
/* NODE_DO_SETUP, NODE_DO_SETUP_RELOAD, NODE_DO_SETUP_STRIP, NODE_DO_SETUP_DEVICE, NODE_DO_SETUP_MOVE. */
void setup_written(struct setup *s);
void setup_reload(struct setup *s);
void setup_strip(struct setup *s);
void setup_device(struct setup *s);
/* why: "" = the next step; else it is taken back. */
void setup_move(struct setup *s, const char *why);
/* The cause of the last change, as it was applied. */
void setup_on_cause(struct setup *s, const char *cause);
const char *setup_cause(const struct setup *s);

/* Corosync's configuration of this version has a quorum device as wanted, or cannot: told the core. */
struct setup_fits {
	uint64_t version;
	bool device;
};
void setup_fits(struct setup *s, const struct setup_fits *fits);
struct daemon *setup_daemon(const struct setup *s);
/* A text for the cause of a change that begins now; one at a time. */
char *setup_cause_next(struct setup *s, const char *cause);

/* ---- changes --------------------------------------------------------------------------------- */

/* Parts of a new setup; NULL: as it is. Texts are malloc'd and taken over. */
struct setup_parts {
	char *part[STATE_PARTS];
	size_t len[STATE_PARTS];
	const char *cause;
};

void setup_parts_fini(struct setup_parts *parts);
void setup_parts_put(struct setup_parts *parts, enum state_part part, char *text);
/* As Log.SetupSet, malloc'd. */
int setup_parts_pack(const struct setup_parts *parts, uint64_t version, uint8_t **ret,
		     size_t *ret_len);

/*
 * make: the parts from the setup as it is now; may be called again. done: once, code 0 when every
 * living node runs by it; user is whatever was given.
 */
typedef int (*setup_make_fn)(void *user, const struct state_setup *now, struct setup_parts *ret,
			     struct cl_error *err);
typedef void (*setup_done_fn)(void *user, const struct cl_error *err);
int setup_change(struct setup *s, setup_make_fn make, setup_done_fn done, void *user);
/* One of this kind is under way. */
bool setup_changing(const struct setup *s, setup_make_fn make);
/* The owner is gone: done is not called any more; what was begun goes on. */
void setup_forget(struct setup *s, const void *user);
/* A reply to a client number of ours: true. */
bool setup_replied(struct setup *s, const struct node_action *a);

/* A random key for corosync. */
int setup_new_key(struct setup_parts *parts, struct cl_error *err);
/* A new CA; trusts the present one, too. */
int setup_new_ca(const char *cluster, const struct state_setup *now, struct setup_parts *parts,
		 struct cl_error *err);

#endif
