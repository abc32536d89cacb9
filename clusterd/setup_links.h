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
/*
 * The last step of a change of this node's address is at hand: csvd's and migration's, where they were the same, are
 * to be changed first (by NODE_SET_ADDRESS): the note of what it was goes with that step.
 */
bool setup_links_rest(const struct state *state, uint32_t node, char ret_from[STATE_ADDRESS_MAX],
		      char ret_to[STATE_ADDRESS_MAX]);
/* loaded: the version that corosync runs by. Asks corosync; milliseconds. */
void setup_links_look(const struct state_setup *setup, uint32_t self, uint64_t loaded,
		      struct node_links *ret);

#endif
