/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands in files on every node and has to be the same there: corosync's configuration and key,
 * and the cluster's CA. It lives in the database, so that a change is one entry, a node that was away
 * catches up as with everything else, and a backup of the database is whole. Opaque here.
 */
#ifndef CL_QUORUM_STATE_SETUP_H
#define CL_QUORUM_STATE_SETUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum state_part {
	STATE_PART_COROSYNC, /* corosync.conf */
	STATE_PART_KEY,	     /* corosync's authkey */
	STATE_PART_CA,	     /* certificates that are trusted, PEM; the first signs */
	STATE_PART_CA_KEY,   /* and its key */
	STATE_PARTS,
};

enum { STATE_PART_MAX = 32 * 1024 };

struct state_setup {
	uint64_t version; /* grows with each change; 0 = nothing was ever set */
	uint8_t gone[32]; /* bit id: removed, and still in the corosync.conf of the others */
	struct state_blob {
		uint8_t *data; /* followed by a 0 that len does not count; NULL = there is none */
		size_t len;
		uint64_t version; /* of the change that set it */
	} part[STATE_PARTS];
};

void state_setup_fini(struct state_setup *setup);
/* Takes a copy. 0 or -ENOMEM. */
int state_setup_put(struct state_setup *setup, enum state_part part, const void *data, size_t len);
/* As text; "" when there is none. */
const char *state_setup_text(const struct state_setup *setup, enum state_part part);
/* Nodes that were removed and are to be taken out of corosync's configuration. */
bool state_setup_gone(const struct state_setup *setup, uint32_t id);
bool state_setup_has_gone(const struct state_setup *setup);

#endif
