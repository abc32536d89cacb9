/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the core and witnessd (proto/witness.proto): orders out, answers in. And the making of a
 * new witness, which is a session of its own: the LUN is looked at, refused when it holds something,
 * written, and only then named to the cluster.
 */
#ifndef CL_CLUSTERD_WITNESSD_H
#define CL_CLUSTERD_WITNESSD_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"

struct daemon;
struct node_action;
struct witnessd;
struct node_witness_known;
struct store;
struct store_blob;

/* NODE_DO_WITNESS_KNOWN: into the database of this node. -ENOMEM. */
int witness_known_keep(struct store *store, const struct node_witness_known *known);
/* As it was found there; zeros when there is none. */
void witness_known_found(const struct store_blob *blob, struct node_witness_known *ret);

int witnessd_new(struct daemon *d, struct witnessd **ret, struct cl_error *err);
void witnessd_free(struct witnessd *w);
/* The core may be given events from here on. */
void witnessd_begin(struct witnessd *w);
/* NODE_DO_WITNESS. Never calls the core. */
void witnessd_do(struct witnessd *w, const struct node_action *a);

/*
 * Make the LUN at url the witness of this cluster, for the request of a client: its uuid is made, the
 * superblock written. Then requests_witness_made(client, uuid, err). -EBUSY while another is made,
 * -CL_EUNREACH when there is no witnessd.
 */
int witnessd_make(struct witnessd *w, uint64_t client, const char *url, bool force,
		  struct cl_error *err);

CL_DEFINE_CLEANUP(struct witnessd, witnessd_free);

#endif
