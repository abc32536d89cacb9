/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What both ends of clusterd's IPC agree on beside proto/ipc.proto. */
#ifndef CL_PROTO_IPC_H
#define CL_PROTO_IPC_H

#define IPC_SERVICE "clusterd"
#define IPC_VERSION 1
/* Largest libqb message, both ways; a longer JSON text travels in parts. */
#define IPC_MESSAGE_MAX (128 * 1024)
#define IPC_PART_MAX (60 * 1024)
/* Ids of the qb headers around the protobuf bytes. */
#define IPC_ID_REQUEST 1
#define IPC_ID_EVENT 2

#endif
