/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vote of votequorum's quorum device (corosync.conf: quorum.device, any model, votes: 1). This
 * process is the device. Votes are counted on each node by itself: each casts what the core says.
 *
 * corosync holds up the whole ring's change until the device has answered for it: so the poll for a
 * new ring leaves from within the notification, before anybody is asked, and casts 0: a ring of all
 * nodes has its majority without it. The core's word about that ring follows. Then again every
 * POLL_MS: a device that is silent for quorum.device.timeout has no vote.
 *
 * corosync 3.1.7 takes a device section up, and drops it, when it loads its configuration anew: so
 * this is made and removed while the ring stands.
 */
#ifndef CL_CLUSTERD_RING_DEVICE_H
#define CL_CLUSTERD_RING_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/loop.h"

struct ring_device;

/* The core's word about the ring with this sequence number; of no use when that is gone. */
struct ring_word {
	uint64_t ring_seq;
	bool yes;
};

/*
 * word: what the core has said last. lost: the connection to corosync broke; the device is to be
 * freed. -EAGAIN: corosync is not there (yet).
 */
int ring_device_new(struct cl_loop *loop, const struct ring_word *word, void (*lost)(void *user),
		    void *user, struct ring_device **ret);
/* corosync forgets the device after its timeout; this process's next life goes on with it. */
void ring_device_free(struct ring_device *device);
/* The section is gone: at once, and for good. */
void ring_device_remove(struct ring_device *device);

void ring_device_cast(struct ring_device *device, const struct ring_word *word);

CL_DEFINE_CLEANUP(struct ring_device, ring_device_free);

#endif
