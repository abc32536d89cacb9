/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Targets: what comes over sockets, from the log, and from files of clusterd. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/conf.h"
#include "clusterd/core/node.h"
#include "clusterd/corosync_conf.h"
#include "clusterd/token.h"
#include "lib/cleanup.h"
#include "migration/vm_config.h"
#include "proto/core.pb-c.h"
#include "proto/csv.pb-c.h"
#include "proto/frame.h"
#include "proto/ipc.pb-c.h"
#include "proto/join.pb-c.h"
#include "proto/log.pb-c.h"
#include "proto/volume.pb-c.h"
#include "quorum/raft.h"
#include "quorum/state.h"
#include "tests/fuzz/fuzz.h"

static uint8_t sixteen[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

#define UUID ((ProtobufCBinaryData){ 16, sixteen })
#define TEXT(s) ((char *)(uintptr_t)(s))

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

/* ---- the log's commands, and the state they make ---------------------------------------------------- */

static size_t pack_command(Log__Command *c, uint8_t *buf)
{
	c->time_ms = 1700000000000;
	return log__command__pack(c, buf);
}

#define PACK(CASE, field)                                                                          \
	c.what_case = LOG__COMMAND__WHAT_##CASE;                                                   \
	c.field = &field;                                                                          \
	return pack_command(&c, buf)

/* What happens to the VM of a small cluster. */
static size_t vm_command(uint32_t step, uint8_t *buf)
{
	Log__Command c = LOG__COMMAND__INIT;
	static char *volumes[] = { (char *)"vol1" };

	switch (step) {
	case 4: {
		Log__ResourceCreate resource_create = LOG__RESOURCE_CREATE__INIT;

		resource_create.name = TEXT("web");
		resource_create.type = TEXT("vm");
		resource_create.spec = UUID;
		resource_create.volumes = volumes;
		resource_create.n_volumes = 1;
		resource_create.wanted = 1;
		PACK(RESOURCE_CREATE, resource_create);
	}
	case 5: {
		Log__ResourcePlace resource_place = LOG__RESOURCE_PLACE__INIT;

		resource_place.name = TEXT("web");
		resource_place.node = 1;
		resource_place.incarnation = 1;
		PACK(RESOURCE_PLACE, resource_place);
	}
	case 6: {
		Log__ResourceStarted resource_started = LOG__RESOURCE_STARTED__INIT;

		resource_started.name = TEXT("web");
		resource_started.generation = 1;
		PACK(RESOURCE_STARTED, resource_started);
	}
	default: {
		Log__MigrateBegin migrate_begin = LOG__MIGRATE_BEGIN__INIT;

		migrate_begin.name = TEXT("web");
		migrate_begin.generation = 1;
		migrate_begin.target = 2;
		migrate_begin.target_incarnation = 1;
		PACK(MIGRATE_BEGIN, migrate_begin);
	}
	}
}

/* A small cluster's history: number is its step. */
static size_t command(uint32_t number, uint8_t *buf)
{
	Log__Command c = LOG__COMMAND__INIT;

	switch (number % 12) {
	case 0: {
		Log__NodeAdd node_add = LOG__NODE_ADD__INIT;
		Log__Node node = LOG__NODE__INIT;

		node.id = 1 + number / 12 % 3;
		node.name = TEXT(node.id == 1 ? "n1" : node.id == 2 ? "n2" : "n3");
		node.uuid = UUID;
		node_add.node = &node;
		PACK(NODE_ADD, node_add);
	}
	case 1: {
		Log__NodeAdmit node_admit = LOG__NODE_ADMIT__INIT;

		node_admit.node = 1 + number / 12 % 3;
		node_admit.instance = 1;
		PACK(NODE_ADMIT, node_admit);
	}
	case 2: {
		Log__VolumeCreate volume_create = LOG__VOLUME_CREATE__INIT;

		volume_create.name = TEXT("vol1");
		volume_create.uuid = UUID;
		volume_create.url = TEXT("iscsi://10.0.0.9/iqn.a:b/1");
		PACK(VOLUME_CREATE, volume_create);
	}
	case 3: {
		Log__VolumeAssign volume_assign = LOG__VOLUME_ASSIGN__INIT;

		volume_assign.name = TEXT("vol1");
		volume_assign.node = 1;
		volume_assign.incarnation = 1;
		PACK(VOLUME_ASSIGN, volume_assign);
	}
	case 8: {
		Log__NodeFailed node_failed = LOG__NODE_FAILED__INIT;

		node_failed.node = 1 + number / 12 % 3;
		node_failed.incarnation = 1;
		PACK(NODE_FAILED, node_failed);
	}
	case 9: {
		Log__SetupSet setup_set = LOG__SETUP_SET__INIT;
		Log__SetupPart part = LOG__SETUP_PART__INIT, *list[] = { &part };

		part.kind = number / 12 % STATE_PARTS;
		part.data = UUID;
		setup_set.version = number / 12 % 2;
		setup_set.parts = list;
		setup_set.n_parts = 1;
		PACK(SETUP_SET, setup_set);
	}
	case 10: {
		Log__DebtPaid debt_paid = LOG__DEBT_PAID__INIT;

		debt_paid.volume = TEXT("vol1");
		debt_paid.epoch = 1;
		debt_paid.payer = 1;
		debt_paid.node = 1 + number / 12 % 3;
		debt_paid.incarnation = 1;
		PACK(DEBT_PAID, debt_paid);
	}
	case 11: {
		Log__NodeRemove node_remove = LOG__NODE_REMOVE__INIT;

		node_remove.node = 1 + number / 12 % 3;
		node_remove.incarnation = 1;
		PACK(NODE_REMOVE, node_remove);
	}
	default:
		return vm_command(number % 12, buf);
	}
}

static void apply(struct state *s, const uint8_t *data, size_t len)
{
	struct state_result res;

	fuzz_claim(state_apply(s, s->applied + 1, data, len, 0, &res, NULL) == 0, "no memory");
}

static void history(struct state *s, uint32_t steps)
{
	uint8_t buf[1024];

	state_init(s);
	memcpy(s->cluster_uuid, sixteen, sizeof(sixteen));
	for (uint32_t i = 0; i < steps; i++)
		apply(s, buf, command(fuzz_random(), buf));
}

/* What it was is what it is after a snapshot. */
static void same_after_snapshot(const struct state *s)
{
	struct state t;
	uint8_t *data;
	size_t len;

	fuzz_claim(state_encode(s, &data, &len) == 0, "no memory");
	fuzz_claim(state_decode(data, len, &t, NULL) == 0, "a state cannot be read back");
	fuzz_claim(state_hash(s) == state_hash(&t), "a state that is read back is another one");
	state_fini(&t);
	free(data);
}

static size_t seed_log(uint32_t number, uint8_t *buf, size_t max)
{
	(void)max;
	return command(number, buf);
}

static void one_log(const uint8_t *data, size_t len)
{
	struct state s;

	history(&s, 12);
	apply(&s, data, len);
	same_after_snapshot(&s);
	state_fini(&s);
}

static size_t seed_snapshot(uint32_t number, uint8_t *buf, size_t max)
{
	struct state s;
	uint8_t *data;
	size_t len;

	history(&s, number % 40);
	fuzz_claim(state_encode(&s, &data, &len) == 0 && len <= max, "no memory");
	memcpy(buf, data, len);
	free(data);
	state_fini(&s);
	return len;
}

static void one_snapshot(const uint8_t *data, size_t len)
{
	struct state s;
	uint8_t buf[1024];

	if (state_decode(data, len, &s, NULL) < 0)
		return;
	for (int i = 0; i < 12; i++)
		apply(&s, buf, command(fuzz_random(), buf));
	state_fini(&s);
}

/* ---- raft's messages ---------------------------------------------------------------------------------- */

static size_t seed_raft(uint32_t number, uint8_t *buf, size_t max)
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

	memcpy(m.to.uuid, sixteen, 16);
	memcpy(m.database, sixteen, 16);
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

/* ---- a whole node that gets messages ------------------------------------------------------------------ */

static struct {
	struct node *node;
	struct node_actions actions;
	int64_t now_ms;
	uint64_t written, persisted, cleaning;
	unsigned steps;
} core;

static void core_step(struct node_event ev)
{
	ev.now_ms = core.now_ms;
	ev.wall_ms = core.now_ms;
	node_actions_clear(&core.actions);
	node_step(core.node, &ev, &core.actions);
	for (size_t i = 0; i < core.actions.v.n; i++) {
		const struct node_action *a = &core.actions.v.v[i];

		if (a->type == NODE_DO_PERSIST)
			core.written = a->persist.seq;
		else if (a->type == NODE_DO_CLEANUP)
			core.cleaning = a->incarnation + 1;
	}
}

/* A disk that is done by the next tick, and nothing that has to be ended. */
static void core_tick(void)
{
	uint64_t cleaning = core.cleaning;

	core.cleaning = 0;
	if (core.written != core.persisted)
		core_step((struct node_event){ .type = NODE_EV_PERSISTED,
					       .persisted = core.persisted = core.written });
	if (cleaning)
		core_step((struct node_event){ .type = NODE_EV_CLEANED,
					       .incarnation = cleaning - 1 });
	core_step((struct node_event){ .type = NODE_EV_TICK });
}

static void core_time(int64_t ms)
{
	for (int64_t end = core.now_ms + ms; core.now_ms < end; core.now_ms += 50)
		core_tick();
}

/* A cluster of one that has been founded: it leads, so that all that a leader is told reaches it. */
static void core_new(void)
{
	struct node_config cfg = { .id = 1,
				   .name = "n1",
				   .instance = 1,
				   .token_ms = 1000,
				   .consensus_ms = 1200,
				   .cpus = 2,
				   .memory_bytes = 1 << 30 };
	struct node_view view = { .quorate = true,
				  .ring = 5,
				  .members = { 1, 2 },
				  .n_members = 2,
				  .group = { 1, 2 },
				  .n_group = 2 };
	struct node_self self;
	struct node_request init = {
		.client = 1, .verb = NODE_INIT, .object = "c", .target = "", .url = ""
	};

	node_free(core.node);
	core.now_ms = 1000;
	core.steps = 0;
	core.written = core.persisted = core.cleaning = 0;
	memcpy(cfg.uuid, sixteen, 16);
	fuzz_claim(node_new(&cfg, NULL, core.now_ms, &core.node, NULL) == 0, "no memory");
	core_step((struct node_event){ .type = NODE_EV_STARTED });
	core_step((struct node_event){ .type = NODE_EV_VIEW, .view = &view });
	core_step((struct node_event){ .type = NODE_EV_REQUEST, .request = &init });
	core_time(6000);
	node_get_self(core.node, &self);
	fuzz_claim(self.life == NODE_UP && self.leader == 1, "the cluster of one does not begin");
}

static void core_fill(Core__Message *m, uint32_t number)
{
	if (!core.node)
		core_new();
	m->cluster =
		(ProtobufCBinaryData){ 16,
				       (uint8_t *)(uintptr_t)node_state(core.node)->cluster_uuid };
	m->from = 2;
	m->instance = 1;
	m->incarnation = number % 2;
	m->term = 1;
	m->seq = number;
}

#define MESSAGE_OF(CASE, Type, field)                                                              \
	Core__##Type x = CORE__##CASE##__INIT;                                                     \
	m.what_case = CORE__MESSAGE__WHAT_##CASE;                                                  \
	m.field = &x

static size_t seed_core(uint32_t number, uint8_t *buf, size_t max)
{
	Core__Message m = CORE__MESSAGE__INIT;
	uint8_t inner[4096];

	core_fill(&m, number);
	switch (number % 10) {
	case 0: {
		MESSAGE_OF(BEAT, Beat, beat);
		x.asks_acks = 1;
		x.cleaned = number / 10 % 2;
		return core__message__pack(&m, buf);
	}
	case 1: {
		MESSAGE_OF(JOIN, Join, join);
		x.name = TEXT("n2");
		x.uuid = UUID;
		x.member = TEXT("n1");
		return core__message__pack(&m, buf);
	}
	case 2: {
		MESSAGE_OF(PROPOSE, Propose, propose);
		x.command = (ProtobufCBinaryData){ command(number / 10, inner), inner };
		return core__message__pack(&m, buf);
	}
	case 3: {
		MESSAGE_OF(REQUEST, Request, request);
		x.verb = 1 + number / 10 % 20;
		x.object = TEXT("n2");
		x.uuid = UUID;
		x.seq = number;
		return core__message__pack(&m, buf);
	}
	case 4: {
		MESSAGE_OF(GO_ASK, GoAsk, go_ask);
		x.resource = TEXT("web");
		return core__message__pack(&m, buf);
	}
	case 5: {
		MESSAGE_OF(VM_REPORT, VmReport, vm_report);
		x.resource = TEXT("web");
		x.what = (Core__VmReport__What)(number / 10 % 7);
		return core__message__pack(&m, buf);
	}
	case 6: {
		MESSAGE_OF(BEAT_ACK, BeatAck, beat_ack);
		x.instance = 1;
		x.incarnation = 1;
		x.voter = UUID;
		return core__message__pack(&m, buf);
	}
	case 7: {
		MESSAGE_OF(BOUND_ASK, BoundAsk, bound_ask);
		x.node = 1;
		return core__message__pack(&m, buf);
	}
	case 8: {
		MESSAGE_OF(JOB_ASK, JobAsk, job_ask);
		x.volume = TEXT("vol1");
		x.kind = number / 10 % 7;
		return core__message__pack(&m, buf);
	}
	default:
		m.what_case = CORE__MESSAGE__WHAT_RAFT;
		m.raft = (ProtobufCBinaryData){ seed_raft(number / 10, inner, sizeof(inner)),
						inner };
		(void)max;
		return core__message__pack(&m, buf);
	}
}

static void one_core(const uint8_t *data, size_t len)
{
	if (!core.node || core.steps++ >= 300)
		core_new();
	core_step((struct node_event){ .type = NODE_EV_MESSAGE,
				       .message = { .data = data, .len = len, .from = 2 } });
	core_time(50 * (fuzz_random() % 4));
}

/* ---- text: files and what people type ------------------------------------------------------------------ */

/* As text that ends: what is behind a 0 nobody reads. */
static char *text_of(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);

	memcpy(text, data, len);
	text[len] = 0;
	return text;
}

static size_t put(uint8_t *buf, size_t max, const char *text)
{
	size_t len = strlen(text);

	fuzz_claim(len <= max, "the seed is too long");
	memcpy(buf, text, len);
	return len;
}

static size_t seed_conf(uint32_t number, uint8_t *buf, size_t max)
{
	(void)number;
	return put(buf, max,
		   "# c\nnode_name = n1\nstorage_address = 10.0.0.1\nmemory_mib = 4096\n"
		   "run_directory = /run/x\nlog_level = 6\n");
}

static void one_conf(const uint8_t *data, size_t len)
{
	struct cl_error err = CL_ERROR_INIT;
	struct conf conf;
	FILE *f = len ? fmemopen((void *)(uintptr_t)data, len, "r") : NULL;

	if (!f)
		return;
	if (conf_parse(f, "clusterd.conf", &conf, &err) < 0)
		fuzz_claim(strncmp(err.msg, "clusterd.conf", 13) == 0, "an error without its file");
	(void)fclose(f);
}

static size_t seed_corosync(uint32_t number, uint8_t *buf, size_t max)
{
	struct corosync_node n = { .id = 1, .name = "n1", .n_addresses = 1 + number % 2 };
	char *text;
	size_t len;

	(void)strcpy(n.address[0], "10.0.0.1");
	(void)strcpy(n.address[1], "10.1.0.1");
	text = corosync_conf_make("c", &n);
	for (n.id = 2; n.id < 2 + number % 3; n.id++) {
		char *more;

		(void)snprintf(n.name, sizeof(n.name), "n%u", n.id);
		(void)snprintf(n.address[0], sizeof(n.address[0]), "10.0.0.%u", n.id);
		(void)snprintf(n.address[1], sizeof(n.address[1]), "10.1.0.%u", n.id);
		fuzz_claim(corosync_conf_add(text, &n, number % 5 < 2, &more, NULL) == 0,
			   "a node cannot be added");
		free(text);
		text = more;
	}
	len = put(buf, max, text);
	free(text);
	return len;
}

/* witness: -1 = nothing was said about it */
static void changed(const char *before, char *text, int more, int witness)
{
	struct corosync_conf a, b;

	fuzz_claim(corosync_conf_read(text, &b, NULL) == 0, "a changed text cannot be read");
	fuzz_claim(corosync_conf_read(before, &a, NULL) == 0, "a text was changed that is none");
	fuzz_claim(b.version == a.version + 1, "the version did not go up by one");
	fuzz_claim(b.nodes.n == a.nodes.n + (size_t)more, "another number of nodes");
	fuzz_claim(witness < 0 || corosync_conf_device_right(&b, witness),
		   "the device is not as it should be");
	corosync_conf_fini(&a);
	corosync_conf_fini(&b);
	free(text);
}

static void one_corosync(const uint8_t *data, size_t len)
{
	_cleanup_free_ char *text = text_of(data, len);
	struct corosync_node n = {
		.id = 9, .name = "n9", .address = { "10.9.9.9", "10.9.9.8" }, .n_addresses = 1
	};
	struct cl_error err = CL_ERROR_INIT;
	struct corosync_conf conf;
	char *made;

	if (corosync_conf_read(text, &conf, &err) < 0) {
		fuzz_claim(strncmp(err.msg, "corosync.conf", 13) == 0, "an error without its file");
		return;
	}
	if (conf.nodes.n)
		n.n_addresses = conf.nodes.v[0].n_addresses < 2 ? 1 : 2;
	for (int witness = 0; witness < 2; witness++) {
		if (corosync_conf_add(text, &n, witness, &made, NULL) == 0)
			changed(text, made, 1, witness);
		if (conf.nodes.n &&
		    corosync_conf_remove(text, conf.nodes.v[0].id, witness, &made, NULL) == 0)
			changed(text, made, -1, witness);
		if (corosync_conf_device(text, witness, &made, NULL) == 0)
			changed(text, made, 0, witness);
	}
	if (corosync_conf_touch(text, &made, NULL) == 0)
		changed(text, made, 0, -1);
	corosync_conf_fini(&conf);
}

static size_t seed_token(uint32_t number, uint8_t *buf, size_t max)
{
	struct token t = { .port = (uint16_t)number };
	char text[TOKEN_TEXT_MAX];

	(void)strcpy(t.address, number % 2 ? "fd00::1" : "10.0.0.1");
	(void)token_print(&t, text);
	return put(buf, max, text);
}

static void one_token(const uint8_t *data, size_t len)
{
	_cleanup_free_ char *text = text_of(data, len);
	struct token t;

	(void)token_parse(text, &t, NULL);
}

static size_t seed_vm(uint32_t number, uint8_t *buf, size_t max)
{
	(void)number;
	return put(buf, max,
		   "name = web\nuuid = 01234567-89ab-cdef-0123-456789abcdef\nmemory = 134217728\n"
		   "cpus = 1\ndisk = /ClusterStorage/vol1/web.raw,format=raw\nnic = vm\n");
}

static void one_vm(const uint8_t *data, size_t len)
{
	_cleanup_free_ char *text = text_of(data, len);
	_cleanup_(vm_config_fini) struct vm_config config = { 0 };

	if (vm_config_parse(text, &config, NULL) == 0)
		(void)vm_config_check(&config, NULL);
}

const struct fuzz_target fuzz_targets[] = {
	{ "frame", seed_frame, one_frame, 1 },
	{ "ipc", seed_ipc, one_ipc, 1 },
	{ "join", seed_join, one_join, 1 },
	{ "csv", seed_csv, one_csv, 1 },
	{ "log", seed_log, one_log, 2 },
	{ "snapshot", seed_snapshot, one_snapshot, 2 },
	{ "raft", seed_raft, one_raft, 1 },
	{ "core", seed_core, one_core, 4 },
	{ "conf", seed_conf, one_conf, 1 },
	{ "corosync.conf", seed_corosync, one_corosync, 1 },
	{ "token", seed_token, one_token, 1 },
	{ "vm", seed_vm, one_vm, 1 },
	{ 0 },
};
