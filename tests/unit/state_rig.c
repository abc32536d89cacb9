/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "tests/unit/state_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quorum/command.h"

struct state s;
unsigned rig_defects;
int64_t rig_wall_ms;

struct state_result rig_apply(Log__Command *c)
{
	struct state_result res;
	size_t len;
	uint8_t *data;

	c->time_ms = rig_wall_ms;
	len = log__command__get_packed_size(c);
	data = malloc(len + 1);
	(void)log__command__pack(c, data);
	assert_int_equal(state_apply(&s, s.applied + 1, data, len, rig_defects, &res, NULL), 0);
	free(data);
	return res;
}

int rig_add(uint32_t id, const char *name)
{
	Log__Node n = LOG__NODE__INIT;
	uint8_t uuid[16] = { (uint8_t)id, 7 };
	COMMAND(NODE_ADD, NodeAdd, node_add);

	n.id = id;
	n.name = COMMAND_STRING(name);
	n.uuid = (ProtobufCBinaryData){ 16, uuid };
	m.node = &n;
	return rig_apply(&c).code;
}

int rig_admit(uint32_t id)
{
	COMMAND(NODE_ADMIT, NodeAdmit, node_admit);

	m.node = id;
	m.incarnation = state_node(&s, id)->incarnation;
	m.instance = 1;
	return rig_apply(&c).code;
}

int rig_failed(uint32_t id)
{
	COMMAND(NODE_FAILED, NodeFailed, node_failed);

	m.node = id;
	m.incarnation = state_node(&s, id)->incarnation;
	m.cause = COMMAND_STRING("left the ring");
	return rig_apply(&c).code;
}

int rig_volume(const char *name)
{
	uint8_t uuid[16] = { 0 };
	COMMAND(VOLUME_CREATE, VolumeCreate, volume_create);

	memcpy(uuid, name, strnlen(name, sizeof(uuid)));
	m.name = COMMAND_STRING(name);
	m.uuid = (ProtobufCBinaryData){ 16, uuid };
	m.url = COMMAND_STRING("iscsi://10.0.0.9/iqn.a:b/1");
	return rig_apply(&c).code;
}

int rig_assign(const char *volume, uint32_t to)
{
	COMMAND(VOLUME_ASSIGN, VolumeAssign, volume_assign);

	m.name = COMMAND_STRING(volume);
	m.epoch = state_volume(&s, volume)->epoch;
	m.node = to;
	m.incarnation = state_node(&s, to)->incarnation;
	return rig_apply(&c).code;
}

int rig_place(const char *vm, uint32_t node)
{
	COMMAND(RESOURCE_PLACE, ResourcePlace, resource_place);

	m.name = COMMAND_STRING(vm);
	m.generation = state_resource(&s, vm)->generation;
	m.node = node;
	m.incarnation = state_node(&s, node)->incarnation;
	return rig_apply(&c).code;
}

int rig_started(const char *vm)
{
	COMMAND(RESOURCE_STARTED, ResourceStarted, resource_started);

	m.name = COMMAND_STRING(vm);
	m.generation = state_resource(&s, vm)->generation;
	return rig_apply(&c).code;
}

int rig_paid(const char *volume, uint32_t node, uint64_t incarnation, enum heartbeat_seen seen)
{
	const struct state_volume *v = state_volume(&s, volume);
	COMMAND(DEBT_PAID, DebtPaid, debt_paid);

	m.volume = COMMAND_STRING(volume);
	m.epoch = v->epoch;
	m.payer = v->coordinator;
	m.node = node;
	m.incarnation = incarnation;
	m.seen = seen;
	return rig_apply(&c).code;
}
