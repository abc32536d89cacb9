/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a membership on the node's own disk. */
#ifndef CL_CLUSTERD_LEAVE_H
#define CL_CLUSTERD_LEAVE_H

#include "clusterd/conf.h"

/*
 * The database, this boot's file and corosync's configuration go aside (NAME.left), corosync is told to
 * end. To be called when the store is closed. What cannot be done is in the log: an administrator has
 * to look at a machine that left, anyway.
 */
void leave_forget(const struct conf *conf);

#endif
