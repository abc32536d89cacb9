/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making commands of the log (proto/log.proto). */
#ifndef CL_QUORUM_COMMAND_H
#define CL_QUORUM_COMMAND_H

#include "proto/log.pb-c.h"

/*
 * Declares a command `c` and its part `m`, to be filled in:
 *
 *     COMMAND(NODE_FAILED, NodeFailed, node_failed);
 *     m.node = 3;
 *     propose(&c);
 */
#define COMMAND(CASE, Type, field)                                                                 \
	Log__##Type m = LOG__##CASE##__INIT;                                                       \
	Log__Command c = LOG__COMMAND__INIT;                                                       \
	c.what_case = LOG__COMMAND__WHAT_##CASE;                                                   \
	c.field = &m

/* protobuf-c's strings are not const, though packing does not write to them. */
#define COMMAND_STRING(s) ((char *)(uintptr_t)(s))

#endif
