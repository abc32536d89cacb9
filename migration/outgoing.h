/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection by which a source sends a VM: made here, given to QEMU (getfd), and kept.
 *
 * Made here, because QEMU 7.2 opens a blocking one and shakes hands for TLS in its main loop: a target that dies, or
 * stands still, between accept and its first word stops the guest for ever. QEMU waits with its big lock for an
 * answer; nothing is unacknowledged, so that TCP never gives up. On a descriptor that does not block it shakes
 * hands from its loop, and the guest runs.
 *
 * Kept, because it can be cut from outside: `migrate_cancel` does nothing during that handshake, and is not
 * even read while QEMU sends its last part with the lock held.
 */
#ifndef CL_MIGRATION_OUTGOING_H
#define CL_MIGRATION_OUTGOING_H

#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"
#include "lib/loop.h"

struct outgoing;

/* Once, from the loop. fd is borrowed; -1 with err. outgoing_free() is allowed. */
typedef void (*outgoing_fn)(void *user, int fd, const struct cl_error *err);

/* address: IPv4 or IPv6. Does not block; fn comes within timeout_ms. -EINVAL, -ENOMEM, or connect(2)'s. */
int outgoing_open(struct cl_loop *loop, const char *address, uint16_t port, int64_t timeout_ms,
		  outgoing_fn fn, void *user, struct outgoing **ret, struct cl_error *err);

/* QEMU makes every descriptor that it is given a blocking one; it and ours are one, so we take that back. */
void outgoing_given(struct outgoing *out);

/* Whoever reads from or writes to it gets an end, or an error, now; fn, if it has not come, comes with -ECANCELED. */
void outgoing_cut(struct outgoing *out);

/* Closes our own descriptor. Accepts NULL. */
void outgoing_free(struct outgoing *out);

CL_DEFINE_CLEANUP(struct outgoing, outgoing_free);

#endif
