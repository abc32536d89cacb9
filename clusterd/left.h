/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The line of history that this node has to leave because --force began a higher one elsewhere: what
 * it knew is kept as a backup document in DIR/left.json, and once the node has been admitted to the new
 * line it says what of it is not there any more, in events of every node. The old database itself is set
 * aside (store_aside.h), but nobody would look into that.
 */
#ifndef CL_CLUSTERD_LEFT_H
#define CL_CLUSTERD_LEFT_H

#include "clusterd/daemon.h"

/* The database is condemned: keep what is applied here. Blocks for the disk; the daemon is ending. */
void left_keep(const struct daemon *d);

/* At the end of a tick: reports once this node is up, if there is something. */
void left_step(struct daemon *d);

#endif
