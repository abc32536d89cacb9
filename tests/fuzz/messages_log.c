/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log's commands, the state that they make, and its snapshot. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/log.pb-c.h"
#include "quorum/state.h"
#include "tests/fuzz/messages.h"

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
	memcpy(s->cluster_uuid, fuzz_uuid, sizeof(fuzz_uuid));
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

size_t fuzz_seed_log(uint32_t number, uint8_t *buf, size_t max)
{
	(void)max;
	return command(number, buf);
}

void fuzz_one_log(const uint8_t *data, size_t len)
{
	struct state s;

	history(&s, 12);
	apply(&s, data, len);
	same_after_snapshot(&s);
	state_fini(&s);
}

size_t fuzz_seed_snapshot(uint32_t number, uint8_t *buf, size_t max)
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

void fuzz_one_snapshot(const uint8_t *data, size_t len)
{
	struct state s;
	uint8_t buf[1024];

	if (state_decode(data, len, &s, NULL) < 0)
		return;
	for (int i = 0; i < 12; i++)
		apply(&s, buf, command(fuzz_random(), buf));
	state_fini(&s);
}
