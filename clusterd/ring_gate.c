/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/ring_gate.h"

#include <string.h>

#include "lib/le.h"

#define MAGIC UINT32_C(0x314d4c43)	  /* "CLM1" */
#define MAGIC_BUNDLE UINT32_C(0x324d4c43) /* "CLM2" */
#define TAKES_BUNDLES 1			  /* older programs write 0 there */

void ring_gate_init(struct ring_gate *gate, uint32_t self, uint64_t instance,
		    const struct ring_ops *ops, void *user)
{
	*gate = (struct ring_gate){
		.self = self,
		.instance = instance,
		.ops = ops,
		.user = user,
	};
}

static void held_drop(struct ring_gate *gate)
{
	for (size_t i = 0; i < gate->held.n; i++)
		free(gate->held.v[i].data);
	ring_held_vec_clear(&gate->held);
	gate->held_bytes = 0;
}

void ring_gate_fini(struct ring_gate *gate)
{
	held_drop(gate);
	ring_held_vec_fini(&gate->held);
}

/* ---- lists of nodes --------------------------------------------------------------------------- */

static bool list_has(const uint32_t *list, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == id)
			return true;
	return false;
}

/* Sorted, without doubles, at most RING_MEMBERS_MAX. */
static size_t list_copy(uint32_t *to, const uint32_t *from, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n && len < RING_MEMBERS_MAX; i++) {
		size_t at = len;

		if (list_has(to, len, from[i]))
			continue;
		while (at && to[at - 1] > from[i]) {
			to[at] = to[at - 1];
			at--;
		}
		to[at] = from[i];
		len++;
	}
	return len;
}

/* ---- view ------------------------------------------------------------------------------------- */

static bool id_equal(struct ring_id a, struct ring_id b)
{
	return a.nodeid == b.nodeid && a.seq == b.seq;
}

static void view_fill(const struct ring_gate *gate, struct ring_view *view)
{
	memset(view, 0, sizeof(*view)); /* padding too: views are compared as bytes */
	view->quorate = gate->quorate;
	view->id = gate->totem.seq << 8 | (gate->totem.nodeid & 0xff);
	view->n_members = gate->n_members;
	memcpy(view->members, gate->members, gate->n_members * sizeof(view->members[0]));
	/* A process of a node that is no member is not reachable: never show it. */
	for (size_t i = 0; i < gate->n_group; i++)
		if (list_has(gate->members, gate->n_members, gate->group[i]))
			view->group[view->n_group++] = gate->group[i];
}

static void view_show(struct ring_gate *gate)
{
	struct ring_view view;

	view_fill(gate, &view);
	if (gate->shown && memcmp(&view, &gate->last, sizeof(view)) == 0)
		return;
	gate->last = view;
	gate->shown = true;
	gate->ops->on_view(gate->user, &view);
}

static void held_show(struct ring_gate *gate)
{
	struct ring_held_vec held = gate->held;

	gate->held = (struct ring_held_vec){ 0 };
	gate->held_bytes = 0;
	for (size_t i = 0; i < held.n; i++) {
		gate->ops->on_message(gate->user, held.v[i].from, held.v[i].data, held.v[i].len);
		free(held.v[i].data);
	}
	ring_held_vec_fini(&held);
}

static void gate_update(struct ring_gate *gate)
{
	gate->open = gate->totem.seq && id_equal(gate->totem, gate->quorum) &&
		     !gate->awaits_totem && list_has(gate->group, gate->n_group, gate->self);
	if (!gate->open)
		return;
	view_show(gate);
	held_show(gate);
}

/* Who comes into the group again may be an older program. */
static void bundles_forget(struct ring_gate *gate)
{
	for (uint32_t id = 0; id < 256; id++)
		if (!list_has(gate->group, gate->n_group, id))
			gate->takes_bundles[id] = false;
}

void ring_gate_totem(struct ring_gate *gate, struct ring_id id, const uint32_t *members, size_t n)
{
	/* What was held belongs to the ring before: its view was never shown, and never will be. */
	if (!id_equal(id, gate->totem))
		held_drop(gate);
	gate->totem = id;
	gate->n_members = list_copy(gate->members, members, n);
	gate->awaits_totem = false;
	gate_update(gate);
}

void ring_gate_group(struct ring_gate *gate, const uint32_t *group, size_t n, const uint32_t *moved,
		     size_t n_moved)
{
	uint32_t before[RING_MEMBERS_MAX];
	size_t n_before = gate->n_group;

	memcpy(before, gate->group, sizeof(before));
	gate->n_group = list_copy(gate->group, group, n);
	bundles_forget(gate);
	/* A node that left is still a member, or one that came is not yet: the ring's own news is on
	 * its way. Shown now, a lost node would look like a lost process. */
	for (size_t i = 0; i < n_moved; i++) {
		bool member = list_has(gate->members, gate->n_members, moved[i]);
		bool here = list_has(gate->group, gate->n_group, moved[i]);

		if (member != here && (here || list_has(before, n_before, moved[i])))
			gate->awaits_totem = true;
	}
	gate_update(gate);
}

void ring_gate_quorum(struct ring_gate *gate, struct ring_id id, bool quorate)
{
	gate->quorum = id;
	gate->quorate = quorate;
	gate_update(gate);
}

void ring_gate_down(struct ring_gate *gate)
{
	held_drop(gate);
	gate->totem = gate->quorum = (struct ring_id){ 0 };
	gate->quorate = gate->open = gate->awaits_totem = false;
	gate->n_members = gate->n_group = 0;
	bundles_forget(gate);
	gate->own_seq = gate->sent_seq; /* what was under way is lost for good */
	view_show(gate);
}

/* ---- messages --------------------------------------------------------------------------------- */

void ring_gate_envelope(struct ring_gate *gate, uint32_t to, uint8_t out[RING_ENVELOPE_SIZE])
{
	cl_put_le32(out, MAGIC);
	cl_put_le32(out + 4, to);
	cl_put_le64(out + 8, gate->totem.seq);
	cl_put_le32(out + 16, gate->totem.nodeid);
	cl_put_le32(out + 20, TAKES_BUNDLES);
	cl_put_le64(out + 24, gate->instance);
	cl_put_le64(out + 32, ++gate->sent_seq);
	gate->count.sent++;
}

bool ring_gate_may_bundle(const struct ring_gate *gate)
{
	for (size_t i = 0; i < gate->n_group; i++)
		if (gate->group[i] != gate->self &&
		    (gate->group[i] > 255 || !gate->takes_bundles[gate->group[i]]))
			return false;
	return true;
}

void ring_gate_bundle(struct ring_gate *gate, uint8_t out[RING_ENVELOPE_SIZE])
{
	ring_gate_envelope(gate, 0, out);
	cl_put_le32(out, MAGIC_BUNDLE);
}

void ring_gate_part(uint32_t to, size_t len, uint8_t out[RING_PART_SIZE])
{
	cl_put_le32(out, to);
	cl_put_le32(out + 4, (uint32_t)len);
}

/* CPG may drop an asynchronous message with only a line in corosync's log. */
static void own_seen(struct ring_gate *gate, const uint8_t *data)
{
	uint64_t seq = cl_get_le64(data + 32);

	if (cl_get_le64(data + 24) != gate->instance || seq <= gate->own_seq)
		return;
	gate->count.lost_own += seq - gate->own_seq - 1;
	gate->own_seq = seq;
}

static void message_hold(struct ring_gate *gate, uint32_t from, const uint8_t *data, size_t len)
{
	struct ring_held held = { from, NULL, len };

	if (gate->held_bytes + len <= RING_HELD_MAX)
		held.data = malloc(len + 1);
	if (!held.data) {
		gate->count.dropped_full++;
		return;
	}
	memcpy(held.data, data, len);
	if (ring_held_vec_push(&gate->held, held) < 0) {
		free(held.data);
		gate->count.dropped_full++;
		return;
	}
	gate->held_bytes += len;
}

static void take_one(struct ring_gate *gate, uint32_t from, uint32_t to, const uint8_t *data,
		     size_t len)
{
	if (to && to != gate->self)
		return;
	gate->count.received++;
	if (gate->open)
		gate->ops->on_message(gate->user, from, data, len);
	else
		message_hold(gate, from, data, len);
}

/* What stands behind a part that is too long cannot be found. */
static void take_parts(struct ring_gate *gate, uint32_t from, const uint8_t *data, size_t len)
{
	while (len >= RING_PART_SIZE && cl_get_le32(data + 4) <= len - RING_PART_SIZE) {
		uint32_t to = cl_get_le32(data), part = cl_get_le32(data + 4);

		take_one(gate, from, to, data + RING_PART_SIZE, part);
		data += RING_PART_SIZE + part;
		len -= RING_PART_SIZE + part;
	}
	gate->count.bad += len > 0;
}

void ring_gate_deliver(struct ring_gate *gate, uint32_t from, const uint8_t *data, size_t len)
{
	bool bundle = len >= RING_ENVELOPE_SIZE && cl_get_le32(data) == MAGIC_BUNDLE;
	struct ring_id ring;

	if (len < RING_ENVELOPE_SIZE || (cl_get_le32(data) != MAGIC && !bundle)) {
		gate->count.bad++;
		return;
	}
	ring = (struct ring_id){ cl_get_le32(data + 16), cl_get_le64(data + 8) };
	if (from == gate->self) {
		own_seen(gate, data);
		return;
	}
	if (!id_equal(ring, gate->totem)) {
		gate->count.stale++;
		return;
	}
	if (from < 256)
		gate->takes_bundles[from] = cl_get_le32(data + 20) >= TAKES_BUNDLES;
	if (bundle)
		take_parts(gate, from, data + RING_ENVELOPE_SIZE, len - RING_ENVELOPE_SIZE);
	else
		take_one(gate, from, cl_get_le32(data + 4), data + RING_ENVELOPE_SIZE,
			 len - RING_ENVELOPE_SIZE);
}
