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

#include "clusterd/core/defect.h"
#include "clusterd/core/node.h"
#include "proto/core.pb-c.h"
#include "quorum/command.h"
#include "tests/unit/state_rig.h"

static const uint8_t uuid[16] = { 1, 7 }; /* as rig_add(1) has it */

static struct {
	struct node *node;
	struct node_actions actions;
	int64_t now_ms;
	uint64_t written, persisted, cleaning;
	char newest[STATE_NAME_MAX]; /* the last volume that the last beat told of */
	size_t n_volumes;	     /* how many it told of */
	unsigned beats;
} core;

static void on_sent(const struct node_action *a)
{
	Core__Message *m = core__message__unpack(NULL, a->send.len, a->send.data);

	assert_non_null(m);
	if (m->what_case == CORE__MESSAGE__WHAT_BEAT) {
		core.beats++;
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

static struct node_config config(void)
{
	struct node_config cfg = { .id = 1,
				   .name = "n1",
				   .instance = 1,
				   .token_ms = 1000,
				   .consensus_ms = 1200,
				   .cpus = 2,
				   .memory_bytes = 1 << 30 };

	memcpy(cfg.uuid, uuid, sizeof(uuid));
	return cfg;
}

static int setup(void **state)
{
	struct node_config cfg = config();
	struct node_self self;

	(void)state;
	memset(&core, 0, sizeof(core));
	core.now_ms = 1000;
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

static void test_all_volumes_are_told_of(void **state)
{
	char name[STATE_NAME_MAX];

	(void)state;
	for (unsigned i = 0; i < STATE_VOLUMES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "v%u", i);
		create_volume(name);
	}
	pass(500);
	assert_int_equal(core.n_volumes, STATE_VOLUMES_MAX);
	assert_string_equal(core.newest, name);
}

/* While a ring forms nobody is heard; what is placed as soon as it stands goes to who is heard by then. */
static void test_a_new_ring_hears_a_beat_at_once(void **state)
{
	(void)state;
	pass(1000);
	for (uint64_t ring = 6; ring < 10; ring++) {
		unsigned before = core.beats;

		view(ring);
		assert_int_equal(core.beats, before + 1);
		view(ring); /* as corosync repeats it */
		assert_int_equal(core.beats, before + 1);
	}
}

/* What the disk has of a member of three that was leaving: its own removal may have been committed. */
static void found_leaving(struct node_config *cfg)
{
	COMMAND(NODE_REMOVE, NodeRemove, node_remove);
	struct raft_stored found = { .line = { 1, 7 }, .term = 3 };
	struct raft_entry removal = { .term = 3, .type = RAFT_ENTRY_COMMAND };
	uint8_t *state, command[64];
	size_t len;

	s = (struct state){ 0 };
	state_init(&s);
	for (uint32_t i = 1; i <= 3; i++) {
		struct raft_member voter = { .id = { .node = i, .uuid = { (uint8_t)i, 7 } },
					     .role = RAFT_VOTER };

		OK(rig_add(i, i == 1 ? "n1" : i == 2 ? "n2" : "n3"));
		assert_true(raft_config_put(&found.snapshot.config, &voter));
	}
	assert_int_equal(state_encode(&s, &state, &len), 0);
	m.node = 1;
	found.snapshot.index = s.applied;
	found.snapshot.term = 3;
	found.snapshot.blob = state;
	found.snapshot.len = len;
	removal.index = s.applied + 1;
	removal.data = command;
	removal.len = (uint32_t)log__command__pack(&c, command);
	found.entries = &removal;
	found.n_entries = 1;
	assert_int_equal(node_new(cfg, &found, core.now_ms, &core.node, NULL), 0);
	state_fini(&s);
	free(state);
}

/* init --force on the last one that is left of them. */
static void force_of_a_leaver(uint64_t defects)
{
	struct node_config cfg = config();
	struct node_view alone = {
		.ring = 9, .members = { 1 }, .n_members = 1, .group = { 1 }, .n_group = 1
	};

	cfg.defects = defects;
	memset(&core, 0, sizeof(core));
	core.now_ms = 1000;
	found_leaving(&cfg);
	step((struct node_event){ .type = NODE_EV_STARTED });
	step((struct node_event){ .type = NODE_EV_VIEW, .view = &alone });
	pass(15000);
	alone.quorate = true; /* as the new line's corosync has it */
	ask((struct node_request){ .verb = NODE_INIT, .object = "", .force = true });
	step((struct node_event){ .type = NODE_EV_VIEW, .view = &alone });
	pass(15000);
}

static void test_force_goes_on_with_who_was_leaving(void **state)
{
	struct node_self self;

	(void)state;
	force_of_a_leaver(0);
	node_get_self(core.node, &self);
	assert_non_null(state_node(node_state(core.node), 1));
	assert_int_equal(self.life, NODE_UP);
	(void)teardown(state);

	force_of_a_leaver(NODE_DEFECT_FORCE_REMOVED);
	node_get_self(core.node, &self);
	assert_int_not_equal(self.life, NODE_UP);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_volumes_come_and_go),
		TEST(test_all_volumes_are_told_of),
		TEST(test_a_new_ring_hears_a_beat_at_once),
		cmocka_unit_test_teardown(test_force_goes_on_with_who_was_leaving, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
