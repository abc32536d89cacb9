/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clusterd and csvd agree on beside proto/volume.proto: the connection's hello and frames. */
#ifndef CL_PROTO_VOLUME_H
#define CL_PROTO_VOLUME_H

#include "proto/frame.h"

#define VOLUME_PROTOCOL FRAME_PROTOCOL('V', 'O', 'L', '1')
#define VOLUME_VERSION 1
#define VOLUME_SOCKET "csvd.sock" /* in clusterd's run directory; clusterd listens */

/* Frame types; the body is one Vol.ToCsvd, or one Vol.FromCsvd. */
enum { VOLUME_TO_CSVD = FRAME_TYPE_FIRST, VOLUME_FROM_CSVD };

#endif
