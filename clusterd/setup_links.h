/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether corosync's links stand, while a node's address is being changed. */
#ifndef CL_CLUSTERD_SETUP_LINKS_H
#define CL_CLUSTERD_SETUP_LINKS_H

#include <stdbool.h>

#include "clusterd/core/node.h"
#include "clusterd/corosync_conf.h"

/* An address of an interface of this machine. */
bool setup_links_have(const char *address);
/* This node is the one whose address changes, and has no such address: to load it would cut it off. */
bool setup_links_away(const struct state_setup *setup, uint32_t self);
/* loaded: the version that corosync runs by. Asks corosync; milliseconds. */
void setup_links_look(const struct state_setup *setup, uint32_t self, uint64_t loaded,
		      struct node_links *ret);

#endif
