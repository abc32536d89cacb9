/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of ring.h that can be thought through without a corosync: it takes the two streams of a
 * ring change apart and decides when a view, and which messages, may be shown.
 *
 *   closed  <----- totem change of ring R (CPG) ----------------------+
 *     |                                                                |
 *     |  quorum's verdict names R, our process is in the group         |
 *     +------------> open: view, then the messages held, in order -----+
 *
 * Without it: messages of R decided with the old ring's verdict; a minority acting for the moment
 * between its confchg and its `no`; messages queued before a partition taken up after it.
 */
#ifndef CL_CLUSTERD_RING_GATE_H
#define CL_CLUSTERD_RING_GATE_H

#include "clusterd/ring.h"
#include "lib/vec.h"

struct ring_id {
	uint32_t nodeid;
	uint64_t seq;
};

struct ring_held {
	uint32_t from;
	uint8_t *data;
	size_t len;
};

CL_DEFINE_VEC(ring_held_vec, struct ring_held);

struct ring_gate {
	uint32_t self;
	uint64_t instance;
	const struct ring_ops *ops;
	void *user;

	struct ring_id totem, quorum; /* the ring that each of the two named last */
	bool quorate, open, shown;
	bool awaits_totem; /* a group change announced a ring change that is not here yet */
	uint32_t members[RING_MEMBERS_MAX], group[RING_MEMBERS_MAX];
	size_t n_members, n_group;
	struct ring_held_vec held;
	size_t held_bytes;
	uint64_t sent_seq, own_seq; /* number of own messages: given out, seen again */
	bool takes_bundles[256];    /* by node: has said so since it came into the group */
	struct ring_view last;
	struct ring_counters count;
};

/* Largest number of bytes held while closed; what comes beyond is dropped (and counted). */
#define RING_HELD_MAX (16 * 1024 * 1024)

void ring_gate_init(struct ring_gate *gate, uint32_t self, uint64_t instance,
		    const struct ring_ops *ops, void *user);
void ring_gate_fini(struct ring_gate *gate);

/* cpg_totem_confchg: the ring's id and members. */
void ring_gate_totem(struct ring_gate *gate, struct ring_id id, const uint32_t *members, size_t n);
/* cpg_confchg: the group's nodes now; moved = those that left or came with their node (not by the
 * start or end of a process alone). */
void ring_gate_group(struct ring_gate *gate, const uint32_t *group, size_t n, const uint32_t *moved,
		     size_t n_moved);
void ring_gate_quorum(struct ring_gate *gate, struct ring_id id, bool quorate);
/* A CPG delivery. Hostile or stale bytes are counted and dropped. */
void ring_gate_deliver(struct ring_gate *gate, uint32_t from, const uint8_t *data, size_t len);
/* corosync is gone: a view without anybody, nothing held. */
void ring_gate_down(struct ring_gate *gate);

/* ---- envelope of a message ------------------------------------------------------------------ */

#define RING_ENVELOPE_SIZE 40

/* Written at the moment of sending: it names the ring as known then. */
void ring_gate_envelope(struct ring_gate *gate, uint32_t to, uint8_t out[RING_ENVELOPE_SIZE]);

/*
 * Several messages in one of CPG's, which costs the ring, and every node on it, the same for one as for five:
 * an envelope, then for each message its head and its bytes. Only while all others in the group have said, in
 * their envelopes, that they take bundles: to an older program it would be no message at all.
 */
#define RING_PART_SIZE 8

bool ring_gate_may_bundle(const struct ring_gate *gate);
void ring_gate_bundle(struct ring_gate *gate, uint8_t out[RING_ENVELOPE_SIZE]);
void ring_gate_part(uint32_t to, size_t len, uint8_t out[RING_PART_SIZE]);

#endif
