/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log in memory: entries base_index + 1 ... last, their data owned, and how far it is durable.
 * Index 0 stands for "before everything" and has term 0.
 */
#ifndef CL_QUORUM_RAFT_LOG_H
#define CL_QUORUM_RAFT_LOG_H

#include <stddef.h>

#include "quorum/raft.h"

struct raft_log {
	struct raft_entry *v; /* v[0] has index base_index + 1 */
	size_t n, cap;
	uint64_t base_index, base_term;
	uint64_t durable; /* everything up to here is on disk */
	uint64_t given;	  /* everything up to here was handed out to be persisted */
};

void raft_log_fini(struct raft_log *log);
uint64_t raft_log_last(const struct raft_log *log);
uint64_t raft_log_last_term(const struct raft_log *log);
/* NULL when index is not in it. Valid until the next append. */
const struct raft_entry *raft_log_at(const struct raft_log *log, uint64_t index);
/* Term of index when known: an entry, or the base. */
bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *ret_term);
/* Append a copy; e->index must be last + 1. */
void raft_log_append(struct raft_log *log, const struct raft_entry *e);
/* Forget entries >= index; index > base_index. */
void raft_log_truncate(struct raft_log *log, uint64_t index);
/* Forget entries <= index, which must be in it or the base. */
void raft_log_compact(struct raft_log *log, uint64_t index);
/* Forget all and begin behind (index, term). Nothing is durable until that snapshot is. */
void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term);
/* The first index of the run of equal terms that `index` is in (bounded by the base). */
uint64_t raft_log_run_start(const struct raft_log *log, uint64_t index);

#endif
