/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The database at the beginning of a new line of history: after `init --force` on a node that has lost
 * its majority for ever, or after a restore from a backup.
 *
 * What is known here may be older than what the lost nodes had committed. So nothing in it is believed of
 * the present, and no number is given that they may have given:
 *   - every node has failed, this one too, at a number STATE_LINE_JUMP above the last known; what runs
 *     here is ended like everywhere else (a VM of ours may have been restarted elsewhere, by a commit
 *     that we never got: its memory is the older one)
 *   - on every volume a fence is owed from every node, up to that number
 *   - every VM counts as one that a lost node may still execute: it is placed when that one is silent
 *     and its volumes are fenced
 *   - generations and epochs go on above the jump
 */
#ifndef CL_QUORUM_STATE_FORCE_H
#define CL_QUORUM_STATE_FORCE_H

#include "quorum/state.h"

/* A restore leaves more room: the cluster may have been forced since the backup was made. */
#define STATE_LINE_JUMP (UINT64_C(1) << 20)
#define STATE_RESTORE_JUMP (UINT64_C(1) << 26)

enum state_force_defect {
	STATE_FORCE_DEFECT_NO_JUMP = 1 << 0,  /* numbers go on where they were */
	STATE_FORCE_DEFECT_NO_DEBTS = 1 << 1, /* nothing is fenced */
};

/* self is the node that begins the line. 0 or -ENOMEM (then it is unusable). */
int state_force(struct state *state, uint32_t self, uint64_t jump, int64_t time_ms,
		const char *cause, unsigned defects);

/*
 * `self` goes on with this database, under this uuid. The copy may end before the log's word of it, when the
 * node was only being taken in again (re-installed, or its database had been set aside): with its former
 * uuid in the row it would wait for that word for ever, from nobody. Its requests are counted anew. One that was
 * leaving stays: it would not be admitted any more, nor removed.
 */
void state_force_self(struct state *state, uint32_t self, const uint8_t uuid[16]);

/*
 * What is in `old` and not in `now`: objects that are gone, settings that are others. One call for each,
 * in words: for the node that was left behind and has come back.
 */
void state_dropped(const struct state *old, const struct state *now,
		   void (*each)(void *user, const char *object, const char *text), void *user);

#endif
