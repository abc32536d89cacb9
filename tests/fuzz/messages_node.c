/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A whole node, which leads a cluster of one, and is sent messages. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/node.h"
#include "proto/core.pb-c.h"
#include "quorum/raft.h"
#include "tests/fuzz/messages.h"

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
	memcpy(cfg.uuid, fuzz_uuid, 16);
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

size_t fuzz_seed_core(uint32_t number, uint8_t *buf, size_t max)
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
		x.command = (ProtobufCBinaryData){ fuzz_seed_log(number / 10, inner, sizeof(inner)),
						   inner };
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
		m.raft = (ProtobufCBinaryData){ fuzz_seed_raft(number / 10, inner, sizeof(inner)),
						inner };
		(void)max;
		return core__message__pack(&m, buf);
	}
}

void fuzz_one_core(const uint8_t *data, size_t len)
{
	if (!core.node || core.steps++ >= 300)
		core_new();
	core_step((struct node_event){ .type = NODE_EV_MESSAGE,
				       .message = { .data = data, .len = len, .from = 2 } });
	core_time(50 * (fuzz_random() % 4));
}
