/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Corosync as the core sees it: who is there, and messages in one order. It wraps CPG (messages,
 * group), libquorum (yes/no and its ring), votequorum (expected votes) and cmap (names, timers).
 *
 * CPG gives order, not durability, and its queue belongs to no ring: a message sent before a ring
 * change is delivered after it, to other members than the sender meant. So every message carries
 * the ring it was sent in, and one from another ring is dropped.
 *
 * One ring change reaches us as two separate streams: CPG's configuration change of ring R, and
 * quorum's verdict about R, in any order and with messages of R in between. Between the two
 * (reconfiguring) the old verdict would still be read beside the new members; so views and messages
 * are held back until both name the same ring.
 *
 * When corosync dies, a view without anybody is given at once, and connecting goes on until it is
 * back: this process must live on, since the VMs have to be paused when the lease runs out.
 */
#ifndef CL_CLUSTERD_RING_H
#define CL_CLUSTERD_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"
#include "lib/loop.h"

#define RING_MEMBERS_MAX 128

struct ring;

struct ring_view {
	bool quorate;
	uint64_t id; /* another one after every membership change; 0 = no corosync */
	uint32_t members[RING_MEMBERS_MAX], group[RING_MEMBERS_MAX]; /* ascending */
	size_t n_members, n_group;
};

struct ring_ops {
	/* Connected; before the first view, and again after corosync was away. */
	void (*on_up)(void *user);
	void (*on_view)(void *user, const struct ring_view *view);
	/* From another node, or from this one's other life. data is borrowed. */
	void (*on_message)(void *user, uint32_t from, const uint8_t *data, size_t len);
};

/* Starts connecting; never fails for lack of a corosync. group: the CPG group's name. */
int ring_new(struct cl_loop *loop, const char *group, uint64_t instance, const struct ring_ops *ops,
	     void *user, struct ring **ret);
void ring_free(struct ring *ring);

/*
 * To one node, or to all others (to = 0). Never blocks. It leaves with ring_flush(), those that wait as one, if all
 * that are there take that; later = it may also wait a few milliseconds for others. While corosync says "try again" messages
 * wait in a bounded queue. A message may always be lost: the core repeats what matters.
 */
void ring_send(struct ring *ring, uint32_t to, const uint8_t *data, size_t len, bool later);
void ring_flush(struct ring *ring);

/* votequorum_setexpected(), repeated until corosync took it. */
void ring_expect(struct ring *ring, uint32_t votes);

/* The quorum device's vote in the ring of this view; without a device in corosync.conf: nothing. */
void ring_cast(struct ring *ring, uint64_t view_id, bool yes);

/* corosync has loaded its configuration anew: whether there is a device may have changed. */
void ring_reloaded(struct ring *ring);

/* Facts from corosync; valid after on_up. */
struct ring_facts {
	uint32_t nodeid;
	char node_name[64], cluster_name[64]; /* "" when corosync.conf has none */
	uint32_t token_ms, consensus_ms;
	bool has_device; /* corosync.conf has a quorum device, and it is ours */
};
void ring_get_facts(const struct ring *ring, struct ring_facts *ret);

struct ring_counters {
	uint64_t sent, received, stale, lost_own, dropped_full, bad;
};
void ring_get_counters(const struct ring *ring, struct ring_counters *ret);

CL_DEFINE_CLEANUP(struct ring, ring_free);

#endif
