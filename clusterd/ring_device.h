/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vote of votequorum's quorum device (corosync.conf: quorum.device, any model, votes: 1). This
 * process is the device. Votes are counted on each node by itself: each casts what the core says.
 *
 * corosync holds up the whole ring's change until the device has answered for it: so the poll for a
 * new ring leaves from within the notification, before anybody is asked: 1 when all nodes of the node
 * list are there, else 0. The core's word about that ring follows. Then again every POLL_MS: a device
 * that is silent for quorum.device.timeout has no vote.
 */
#ifndef CL_CLUSTERD_RING_DEVICE_H
#define CL_CLUSTERD_RING_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/loop.h"

struct ring_device;

/* lost: the connection to corosync broke. -EAGAIN: corosync is not there (yet). */
int ring_device_new(struct cl_loop *loop, uint32_t n_nodes, void (*lost)(void *user), void *user,
		    struct ring_device **ret);
void ring_device_free(struct ring_device *device);

/* The core's word about the ring with this sequence number; of no use when that is gone. */
void ring_device_cast(struct ring_device *device, uint64_t ring_seq, bool yes);

CL_DEFINE_CLEANUP(struct ring_device, ring_device_free);

#endif
