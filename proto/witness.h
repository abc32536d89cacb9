/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket between clusterd and witnessd: framing by proto/frame.h, bodies by witness.proto. */
#ifndef CL_PROTO_WITNESS_H
#define CL_PROTO_WITNESS_H

#include "proto/frame.h"

#define WITNESS_PROTOCOL FRAME_PROTOCOL('W', 'I', 'T', '1')
#define WITNESS_SOCKET "witness.sock" /* below clusterd's run_directory */

/* One of each a frame; the data of an operation is bounded so that it fits. */
enum { WITNESS_TO = FRAME_TYPE_FIRST, WITNESS_FROM, WITNESS_IO_MAX = 512 * 1024 };

/* Numbers of sessions. */
enum { WITNESS_SERVE = 1, WITNESS_MAKE = 2 };

#endif
