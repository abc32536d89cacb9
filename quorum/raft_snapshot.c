/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots: taken of the applied state here, or installed whole from the leader. A snapshot
 * carries the configuration as of its index (rule 13).
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "quorum/raft_state.h"

void raft_snapshot_set(struct raft *r, const struct raft_snapshot *s)
{
	uint8_t *blob = NULL;

	if (s->len) {
		blob = malloc(s->len);
		cl_assert(blob);
		memcpy(blob, s->blob, s->len);
	}
	free(r->snap_blob);
	r->snap_blob = blob;
	r->snap = *s;
	r->snap.blob = blob;
}

void raft_on_snapshot_taken(struct raft *r, const struct raft_event *ev)
{
	struct raft_snapshot s = { .index = ev->snapshot.index,
				   .blob = ev->snapshot.blob,
				   .len = ev->snapshot.len };
	uint64_t keep_from;

	/* The caller's: of a state that it has, and newer than the one there is. */
	if (s.index > r->applied || s.index <= r->snap.index || r->restore)
		return;
	cl_assert(raft_log_term(&r->log, s.index, &s.term));
	s.config = *raft_config_as_of(r, s.index);
	if (raft_defect(r, 13))
		s.config = raft_config_latest(r)->config;
	raft_snapshot_set(r, &s);
	raft_member_reset(r, s.index, &s.config, true);
	keep_from = s.index > r->p.snapshot_trailing ? s.index - r->p.snapshot_trailing : 0;
	if (keep_from > r->log.base_index)
		raft_log_compact(&r->log, keep_from);
	r->snap_dirty = true;
}

/* The log is the leader's up to s already: nothing to install, the tail behind it stays. */
static bool have_it(const struct raft *r, const struct raft_snapshot *s)
{
	uint64_t term = 0;

	return raft_log_term(&r->log, s->index, &term) && term == s->term;
}

static void install(struct raft *r, const struct raft_snapshot *s)
{
	raft_log_reset(&r->log, s->index, s->term);
	raft_hold_truncated(r, 1);
	r->truncate_from = 0;
	raft_snapshot_set(r, s);
	raft_member_reset(r, s->index, &s->config, false);
	r->commit = s->index;
	/* Until it is durable nothing is applied, no vote given, no campaign begun (rule 23). */
	r->restore = true;
	r->restore_seq = UINT64_MAX;
	r->snap_dirty = r->log_reset = true;
}

void raft_on_install(struct raft *r, const struct raft_message *m)
{
	const struct raft_snapshot *s = m->snapshot;

	if (!raft_hear_leader(r, m))
		return;
	if (s->index <= r->commit && !raft_defect(r, 23)) {
		raft_ack(r, m, s->index, false); /* an old one would take back what is applied */
		return;
	}
	if (have_it(r, s) && !raft_defect(r, 23)) {
		r->commit = s->index;
		raft_ack(r, m, s->index, s->index > r->log.durable);
		return;
	}
	install(r, s);
	raft_ack(r, m, s->index, true);
}
