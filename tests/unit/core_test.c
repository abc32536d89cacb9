/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One node's decision core by hand: it leads a cluster of one, and what it sends is looked at. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clusterd/core/node.h"
#include "proto/core.pb-c.h"

static const uint8_t uuid[16] = { 1, 2, 3 };

static struct {
	struct node *node;
	struct node_actions actions;
	int64_t now_ms;
	uint64_t written, persisted, cleaning;
	char newest[STATE_NAME_MAX]; /* the last volume that the last beat told of */
	size_t n_volumes;	     /* how many it told of */
} core;

static void on_sent(const struct node_action *a)
{
	Core__Message *m = core__message__unpack(NULL, a->send.len, a->send.data);

	assert_non_null(m);
	if (m->what_case == CORE__MESSAGE__WHAT_BEAT) {
		core.n_volumes = m->beat->n_volumes;
		core.newest[0] = 0;
		if (core.n_volumes)
			(void)snprintf(core.newest, sizeof(core.newest), "%s",
				       m->beat->volumes[core.n_volumes - 1]->volume);
	}
	core__message__free_unpacked(m, NULL);
}

static void step(struct node_event ev)
{
	ev.now_ms = ev.wall_ms = core.now_ms;
	node_actions_clear(&core.actions);
	node_step(core.node, &ev, &core.actions);
	assert_false(core.actions.no_memory);
	for (size_t i = 0; i < core.actions.v.n; i++) {
		const struct node_action *a = &core.actions.v.v[i];

		if (a->type == NODE_DO_PERSIST)
			core.written = a->persist.seq;
		else if (a->type == NODE_DO_CLEANUP)
			core.cleaning = a->incarnation + 1;
		else if (a->type == NODE_DO_SEND)
			on_sent(a);
	}
}

/* A disk that is done at once, and nothing that has to be ended. */
static void settle(void)
{
	while (core.written != core.persisted || core.cleaning) {
		uint64_t cleaning = core.cleaning;

		core.cleaning = 0;
		if (cleaning)
			step((struct node_event){ .type = NODE_EV_CLEANED,
						  .incarnation = cleaning - 1 });
		if (core.written != core.persisted)
			step((struct node_event){ .type = NODE_EV_PERSISTED,
						  .persisted = core.persisted = core.written });
	}
}

static void pass(int64_t ms)
{
	for (int64_t end = core.now_ms + ms; core.now_ms < end; core.now_ms += 50) {
		settle();
		step((struct node_event){ .type = NODE_EV_TICK });
	}
}

static void view(uint64_t ring)
{
	struct node_view v = { .quorate = true,
			       .ring = ring,
			       .members = { 1 },
			       .n_members = 1,
			       .group = { 1 },
			       .n_group = 1 };

	step((struct node_event){ .type = NODE_EV_VIEW, .view = &v });
}

static void ask(struct node_request rq)
{
	static uint64_t client;

	rq.client = ++client;
	rq.target = "";
	if (!rq.url)
		rq.url = "";
	rq.uuid = uuid;
	step((struct node_event){ .type = NODE_EV_REQUEST, .request = &rq });
	settle();
}

static int setup(void **state)
{
	struct node_config cfg = { .id = 1,
				   .name = "n1",
				   .instance = 1,
				   .token_ms = 1000,
				   .consensus_ms = 1200,
				   .cpus = 2,
				   .memory_bytes = 1 << 30 };
	struct node_self self;

	(void)state;
	memset(&core, 0, sizeof(core));
	core.now_ms = 1000;
	memcpy(cfg.uuid, uuid, sizeof(uuid));
	assert_int_equal(node_new(&cfg, NULL, core.now_ms, &core.node, NULL), 0);
	step((struct node_event){ .type = NODE_EV_STARTED });
	view(5);
	ask((struct node_request){ .verb = NODE_INIT, .object = "c" });
	pass(6000);
	node_get_self(core.node, &self);
	assert_int_equal(self.life, NODE_UP);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	node_free(core.node);
	node_actions_clear(&core.actions);
	node_actions_fini(&core.actions);
	return 0;
}

static void create_volume(const char *name)
{
	struct node_csvd_event said = { .report = NODE_CSVD_STATUS,
					.volume = name,
					.text = "",
					.mode = STATE_MODE_DIRECT,
					.has_path = true };

	ask((struct node_request){
		.verb = NODE_CREATE_VOLUME, .object = name, .url = "iscsi://10.0.0.9/iqn.a:b/1" });
	assert_non_null(state_volume(node_state(core.node), name));
	step((struct node_event){ .type = NODE_EV_CSVD, .csvd = said });
}

static void delete_volume(const char *name)
{
	ask((struct node_request){ .verb = NODE_MAINTENANCE, .object = name, .on = true });
	ask((struct node_request){ .verb = NODE_DELETE_VOLUME, .object = name });
	assert_null(state_volume(node_state(core.node), name));
}

/* More than a cluster can have at once come and go: the others hear of the one that is. */
static void test_volumes_come_and_go(void **state)
{
	char name[STATE_NAME_MAX];

	(void)state;
	for (unsigned i = 0; i <= STATE_VOLUMES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "v%u", i);
		create_volume(name);
		pass(500);
		assert_string_equal(core.newest, name);
		assert_int_equal(core.n_volumes, 1);
		delete_volume(name);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_volumes_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
