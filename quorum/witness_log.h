/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness's copy of the log on its LUN: what raft gives out to be persisted becomes records,
 * and the records found become what raft starts from. Pure.
 *
 *   half A:  checkpoint g | step g,2 | step g,3 | ...          the newest valid generation counts
 *   half B:  checkpoint g-1 | step | step | (full)
 *
 * A checkpoint holds everything, a step what raft's persist holds. When a half is full the next
 * record is a checkpoint in the other one, with the next generation: until it is whole, the old
 * half stands untouched.
 *
 * Who takes the witness over begins with a checkpoint in the half that was not read, never behind
 * what was read. Otherwise: the former owner had two records under way, the second landed and the
 * first did not; our own first record has the length of the missing one; and the second, which
 * nobody ever acknowledged, is valid again behind it.
 *
 * A generation is claim << 20 | count, and a claim is given once (struct witness_owner).
 */
#ifndef CL_QUORUM_WITNESS_LOG_H
#define CL_QUORUM_WITNESS_LOG_H

#include "lib/vec.h"
#include "quorum/raft.h"
#include "quorum/witness_disk.h"

CL_DEFINE_VEC(witness_entry_vec, struct raft_entry);

struct witness_log {
	uint8_t voter[16];
	uint64_t half_bytes, base; /* base: first generation of this claim */

	/* what is on the LUN, or on its way there: owned */
	struct raft_line line;
	uint64_t term;
	struct raft_id vote;
	struct raft_snapshot snapshot;
	uint8_t *blob;
	struct witness_entry_vec entries;
	bool any; /* a record was found or written */

	/* the last record */
	unsigned half;
	uint64_t at, generation, seq;
	bool fresh; /* nothing was written by this owner */

	/* while reading */
	int step;
	unsigned reading;
	uint64_t head_generation[2];
	uint8_t *buf;
	size_t buf_len, parsed;
};

void witness_log_init(struct witness_log *log, const struct witness_super *super,
		      const struct witness_owner *owner);
void witness_log_fini(struct witness_log *log);

/* What to read next; false: all that there is has been read. */
bool witness_log_wants(const struct witness_log *log, uint64_t *ret_offset, uint32_t *ret_len);
/* It was read. Takes any bytes. 0 or -ENOMEM. */
int witness_log_give(struct witness_log *log, const uint8_t *data, size_t len);

/*
 * Whether a slot tells of a record that was durable and is not here: the LUN has lost what the
 * witness vouched for, and this copy must never vote again (rule 22 of docs/raft.md).
 */
bool witness_log_lost(const struct witness_log *log, const struct witness_slot *slot);

/* What raft starts from. Points into the log; valid until the next put. */
struct raft_stored witness_log_stored(const struct witness_log *log);

struct witness_write {
	uint64_t offset;
	uint8_t *data; /* whole units; the caller's */
	size_t len;
	uint64_t generation, seq;
};

/*
 * One persist as one write, to be carried out in order. 0, -ENOMEM, or -ENOSPC: the database does
 * not fit into half of the log.
 */
int witness_log_put(struct witness_log *log, const struct raft_persist *p,
		    const struct raft_line *line, struct witness_write *ret);

#endif
