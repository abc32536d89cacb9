/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A member's other address, while the ring stands: which texts of corosync.conf follow each other. Pure.
 *
 * corosync does not take another address for a link that it has: the link has to be deleted and made anew,
 * and another one must carry the ring meanwhile. So, for link L and a free number T:
 *
 *   begin    every node has L and T; on T the node has its new address, all others those that they have on
 *            L. T's port is another one, so that these can be on both.
 *   ADDED    T stands between all of them? Then L is deleted. It does not: T is, and nothing has happened.
 *   DROPPED  L is made anew, with the addresses of T
 *   LAST     L stands between all of them? Then T is deleted.
 *
 * How far it is, is read from the text, where a line says that it is under way: so that whoever leads
 * the cluster by then goes on. Each step is taken only when all nodes have loaded the one before, and all its
 * links are connected: else two that miss each other's would have none in common, and part.
 */
#ifndef CL_CLUSTERD_COROSYNC_MOVE_H
#define CL_CLUSTERD_COROSYNC_MOVE_H

#include <stdio.h>

#include "clusterd/corosync_conf.h"
#include "clusterd/corosync_lines.h"

enum corosync_move_step {
	COROSYNC_MOVE_NONE,
	COROSYNC_MOVE_ADDED,
	COROSYNC_MOVE_DROPPED,
	COROSYNC_MOVE_LAST
};

enum corosync_move_step corosync_move_step(const struct corosync_conf *conf);
/* The address that the node is to have; "" when it has gone meanwhile. */
const char *corosync_move_to(const struct corosync_conf *conf);

/*
 * from: NULL for a node that has one link. -ENOENT: no such node; -EINVAL: not an address that can be; -EEXIST:
 * a member has it; -CL_EREFUSED: another change is under way, or no link number is free.
 */
int corosync_move_begin(const char *text, const char *name, const char *from, const char *to,
			char **ret, struct cl_error *err);
int corosync_move_next(const char *text, char **ret, struct cl_error *err);
/* -CL_EREFUSED after the first step: the old link is gone, it can only go on. */
int corosync_move_back(const char *text, char **ret, struct cl_error *err);

/* The line of the text. */
bool corosync_move_is_note(const struct reader *rd, const struct line *l,
			   struct corosync_move *ret);
void corosync_move_put_note(FILE *out, const struct corosync_move *move);

#endif
