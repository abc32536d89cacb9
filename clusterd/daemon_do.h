/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the core wants to be done, carried out: one action, by whoever it concerns. */
#ifndef CL_CLUSTERD_DAEMON_DO_H
#define CL_CLUSTERD_DAEMON_DO_H

#include "clusterd/daemon.h"

/* Does not wait. What cannot be done at all ends the daemon. */
void daemon_do(struct daemon *d, const struct node_action *action);

/*
 * The daemon's timer after NODE_DO_REMOVED: ends it, as soon as who asked for that has read its answer (what ends takes
 * libqb's memory with it).
 */
void daemon_forget(void *user);

#endif
