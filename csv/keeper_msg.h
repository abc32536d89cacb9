/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csvd <-> keeper, over a SOCK_SEQPACKET pair that csvd inherits. One struct per packet; MOUNTED
 * carries two descriptors (/dev/fuse, state memfd) as SCM_RIGHTS.
 *
 *   csvd: HELLO     keeper: MOUNTED for each mount that an earlier csvd left, then READY
 *   csvd: MOUNT x   keeper: MOUNTED x (error 0 with descriptors, or errno)
 *   csvd: UNMOUNT x keeper: UNMOUNTED x
 */
#ifndef CL_CSV_KEEPER_MSG_H
#define CL_CSV_KEEPER_MSG_H

#include <stdint.h>

#include "lib/error.h"

#define KEEPER_NAME_MAX 64

enum keeper_kind {
	KEEPER_HELLO = 1,
	KEEPER_MOUNT,
	KEEPER_UNMOUNT,
	KEEPER_MOUNTED,
	KEEPER_UNMOUNTED,
	KEEPER_READY,
};

struct keeper_msg {
	uint32_t kind;
	int32_t error; /* errno */
	char name[KEEPER_NAME_MAX];
};

/* In shared memory: csvd adds one at every turn of its timer. */
struct keeper_beat {
	_Atomic uint64_t count;
};
#define KEEPER_BEAT_MS 250

/* fds: two descriptors to send along, or NULL. 0 or -errno; the socket is blocking or not. */
int keeper_send(int sock, enum keeper_kind kind, const char *name, int error, const int *fds);

/*
 * 1 = a message, 0 = none now (EAGAIN), -ECONNRESET = the other end is gone, -EBADMSG = nonsense.
 * ret_fds are -1 unless two descriptors came (the caller's then). The name is always terminated.
 */
int keeper_recv(int sock, struct keeper_msg *ret, int ret_fds[2]);

#endif
