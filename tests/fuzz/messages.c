/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Targets: what comes over sockets; and the table of all that clusterd decodes. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/ring_gate.h"
#include "proto/core.pb-c.h"
#include "proto/csv.pb-c.h"
#include "proto/frame.h"
#include "proto/ipc.pb-c.h"
#include "proto/join.pb-c.h"
#include "proto/log.pb-c.h"
#include "proto/volume.pb-c.h"
#include "quorum/raft.h"
#include "tests/fuzz/messages.h"

/* ---- frames ------------------------------------------------------------------------------------------ */

static size_t seed_frame(uint32_t number, uint8_t *buf, size_t max)
{
	struct frame_hello hello = { FRAME_PROTOCOL('T', 'E', 'S', 'T'), 1, 3 };
	size_t at = FRAME_HEADER_SIZE + FRAME_HELLO_BODY, body = number % 2000;

	(void)max;
	frame_put_hello(buf, &hello);
	frame_put_header(buf + at, 1, FRAME_TYPE_FIRST, (uint32_t)body);
	memset(buf + at + FRAME_HEADER_SIZE, 5, body);
	return at + FRAME_HEADER_SIZE + body;
}

/* Whatever pieces it comes in, the frames are the same. */
static void one_frame(const uint8_t *data, size_t len)
{
	const struct frame_hello mine = { FRAME_PROTOCOL('T', 'E', 'S', 'T'), 1, 3 };
	struct frame_reader whole = { 0 }, parts = { 0 };
	struct frame a, b;
	size_t at = 0;
	int r, q;

	(void)frame_reader_feed(&whole, data, len);
	do {
		struct frame_hello theirs;

		r = frame_reader_next(&whole, &a, NULL);
		while ((q = frame_reader_next(&parts, &b, NULL)) == 0 && at < len)
			(void)frame_reader_feed(&parts, data + at++, 1);
		fuzz_claim(r == q, "frames in pieces and as a whole differ");
		fuzz_claim(r <= 0 || (a.len == b.len && a.type == b.type &&
				      memcmp(a.body, b.body, a.len) == 0),
			   "a frame in pieces is another one");
		if (r > 0 && frame_get_hello(&a, &theirs, NULL) == 0)
			(void)frame_negotiate(&mine, &theirs, NULL);
	} while (r > 0);
	frame_reader_fini(&whole);
	frame_reader_fini(&parts);
}

/* ---- protobuf: taken apart, put together (unknown fields make it another text) --------------------- */

static void again(const ProtobufCMessageDescriptor *d, const uint8_t *data, size_t len)
{
	ProtobufCMessage *m = protobuf_c_message_unpack(d, NULL, len, data);
	uint8_t *packed;
	size_t size;

	if (!m)
		return;
	size = protobuf_c_message_get_packed_size(m);
	packed = malloc(size + 1);
	fuzz_claim(protobuf_c_message_pack(m, packed) == size, "packed to another size");
	protobuf_c_message_free_unpacked(m, NULL);
	free(packed);
}

static size_t seed_ipc(uint32_t number, uint8_t *buf, size_t max)
{
	static char *args[] = { (char *)"web", (char *)"node2" };
	Ipc__Request m = IPC__REQUEST__INIT;
	Ipc__Option o = IPC__OPTION__INIT, *list[] = { &o };

	(void)max;
	o.name = TEXT("memory");
	o.value = TEXT("512M");
	m.version = 1;
	m.id = TEXT("id");
	m.verb = TEXT(number % 2 ? "create vm" : "status");
	m.args = args;
	m.n_args = number % 3;
	m.options = list;
	m.n_options = number % 2;
	return ipc__request__pack(&m, buf);
}

static void one_ipc(const uint8_t *data, size_t len)
{
	again(&ipc__request__descriptor, data, len);
	again(&ipc__event__descriptor, data, len);
}

static size_t seed_join(uint32_t number, uint8_t *buf, size_t max)
{
	static char *addresses[] = { (char *)"10.0.0.1" };
	Join__ToMember m = JOIN__TO_MEMBER__INIT;
	Join__Ask ask = JOIN__ASK__INIT;

	(void)max;
	ask.secret = UUID;
	ask.name = TEXT("node4");
	ask.addresses = addresses;
	ask.n_addresses = number % 2;
	m.msg_case = JOIN__TO_MEMBER__MSG_ASK;
	m.ask = &ask;
	return join__to_member__pack(&m, buf);
}

static void one_join(const uint8_t *data, size_t len)
{
	again(&join__to_member__descriptor, data, len);
	again(&join__from_member__descriptor, data, len);
}

static size_t seed_csv(uint32_t number, uint8_t *buf, size_t max)
{
	Csv__Message m = CSV__MESSAGE__INIT;
	Csv__Hello hello = CSV__HELLO__INIT;

	(void)max;
	hello.volume = UUID;
	hello.connect = number;
	m.node = 2;
	m.mount = number;
	m.msg_case = CSV__MESSAGE__MSG_HELLO;
	m.hello = &hello;
	return csv__message__pack(&m, buf);
}

static void one_csv(const uint8_t *data, size_t len)
{
	again(&csv__message__descriptor, data, len);
	again(&vol__to_csvd__descriptor, data, len);
	again(&vol__from_csvd__descriptor, data, len);
}

/* ---- raft's messages ---------------------------------------------------------------------------------- */

size_t fuzz_seed_raft(uint32_t number, uint8_t *buf, size_t max)
{
	static uint8_t data[64];
	struct raft_entry entries[2] = {
		{ .index = 3, .term = 2, .type = RAFT_ENTRY_COMMAND, .len = 20, .data = data },
		{ .index = 4, .term = 2, .type = RAFT_ENTRY_COMMAND, .len = 9, .data = data },
	};
	struct raft_message m = {
		.type = (enum raft_message_type)(1 + number % 8),
		.line = { .number = 1, .random_id = 7 },
		.from = { .node = 2 },
		.to = { .node = 1 },
		.from_incarnation = 1,
		.term = 2,
		.seq = number,
		.prev_index = 2,
		.prev_term = 1,
		.commit = 2,
	};
	struct raft_snapshot snapshot = { .index = 2, .term = 1, .blob = data, .len = 40 };
	struct raft_member self = { .id.node = 1, .role = RAFT_VOTER };

	memcpy(m.to.uuid, fuzz_uuid, 16);
	memcpy(m.database, fuzz_uuid, 16);
	if (m.type == RAFT_APPEND) {
		m.entries = entries;
		m.n_entries = number / 8 % 3;
	}
	if (m.type == RAFT_INSTALL) {
		(void)raft_config_put(&snapshot.config, &self);
		m.snapshot = &snapshot;
	}
	if (raft_message_size(&m) > max)
		return 0;
	raft_message_encode(&m, buf);
	return raft_message_size(&m);
}

static void one_raft(const uint8_t *data, size_t len)
{
	struct raft_message *m;
	uint8_t *buf;

	if (raft_message_decode(data, len, &m, NULL) < 0)
		return;
	buf = malloc(raft_message_size(m) + 1);
	raft_message_encode(m, buf);
	free(buf);
	free(m);
}

/* ---- envelopes of the ring: one message, or several as one -------------------------------------------- */

static const struct ring_id ring_now = { 1, 4 };

static size_t seed_ring(uint32_t number, uint8_t *buf, size_t max)
{
	struct ring_gate sender = { .totem = ring_now, .self = 2, .instance = 5 };
	size_t at = RING_ENVELOPE_SIZE;

	(void)max;
	if (number % 2)
		ring_gate_bundle(&sender, buf);
	else
		ring_gate_envelope(&sender, number % 3, buf);
	for (uint32_t i = 0; i < number / 2 % 6; i++) {
		size_t len = (number + i * 7) % 40;

		if (number % 2) {
			ring_gate_part(i % 3, len, buf + at);
			at += RING_PART_SIZE;
		}
		memset(buf + at, (int)i, len);
		at += len;
	}
	return at;
}

static const uint8_t *ring_bytes;
static size_t ring_len;

static void ring_message(void *user, uint32_t from, const uint8_t *data, size_t len)
{
	(void)user;
	fuzz_claim(from == 2, "a message of somebody else");
	fuzz_claim(data >= ring_bytes && len <= ring_len &&
			   (size_t)(data - ring_bytes) <= ring_len - len,
		   "a message from outside of what came");
}

static void ring_view(void *user, const struct ring_view *view)
{
	(void)user;
	(void)view;
}

static void one_ring(const uint8_t *data, size_t len)
{
	static const struct ring_ops ops = { NULL, ring_view, ring_message };
	static const uint32_t nodes[] = { 1, 2 };
	struct ring_gate gate;

	ring_bytes = data;
	ring_len = len;
	ring_gate_init(&gate, 1, 9, &ops, NULL);
	ring_gate_totem(&gate, ring_now, nodes, 2);
	ring_gate_group(&gate, nodes, 2, NULL, 0);
	ring_gate_quorum(&gate, ring_now, true);
	ring_gate_deliver(&gate, 2, data, len);
	ring_gate_fini(&gate);
}

const struct fuzz_target fuzz_targets[] = {
	{ "frame", seed_frame, one_frame, 1 },
	{ "ipc", seed_ipc, one_ipc, 1 },
	{ "join", seed_join, one_join, 1 },
	{ "csv", seed_csv, one_csv, 1 },
	{ "log", fuzz_seed_log, fuzz_one_log, 2 },
	{ "snapshot", fuzz_seed_snapshot, fuzz_one_snapshot, 2 },
	{ "raft", fuzz_seed_raft, one_raft, 1 },
	{ "ring", seed_ring, one_ring, 1 },
	{ "core", fuzz_seed_core, fuzz_one_core, 4 },
	{ "conf", fuzz_seed_conf, fuzz_one_conf, 1 },
	{ "corosync.conf", fuzz_seed_corosync, fuzz_one_corosync, 1 },
	{ "token", fuzz_seed_token, fuzz_one_token, 1 },
	{ "vm", fuzz_seed_vm, fuzz_one_vm, 1 },
	{ 0 },
};
