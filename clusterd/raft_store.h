/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raft's view of durable things (quorum/raft.h) in the store's (clusterd/store.h), and back. */
#ifndef CL_CLUSTERD_RAFT_STORE_H
#define CL_CLUSTERD_RAFT_STORE_H

#include "clusterd/store.h"
#include "quorum/raft.h"

/* What goes with every entry and vote: kept together, written when any of it moves. */
struct raft_hard {
	uint64_t term;
	struct raft_id vote;
	struct raft_line line;
	uint8_t database[RAFT_UUID_LEN];
};

struct raft_found {
	struct raft_stored stored;
	struct raft_hard hard;
	struct raft_entry *entries; /* owned */
};

/*
 * What a database held. Points into the image, which must live as long. -CL_ECORRUPT when its
 * bytes do not decode. A fresh image gives an all-zero `stored`.
 */
int raft_store_found(const struct store_image *img, struct raft_found *ret, struct cl_error *err);
void raft_found_fini(struct raft_found *found);

/*
 * One persist as one write; seq is the core's number for it (raft's own starts anew with each raft
 * object). hard: as last written, or found; brought up to date here. 0 or -ENOMEM.
 * Does not block.
 */
int raft_store_submit(struct store *st, uint64_t seq, struct raft_hard *hard,
		      const struct raft_persist *persist, const struct raft_line *line,
		      const uint8_t database[RAFT_UUID_LEN]);

#endif
