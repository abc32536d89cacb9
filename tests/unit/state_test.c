/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cluster database: each guard of quorum/state.h, and that bytes come back as they went. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "quorum/command.h"
#include "quorum/debt.h"
#include "quorum/spread.h"
#include "quorum/state.h"

static struct state s;
static uint64_t idx;
static int64_t now_ms;
static unsigned defects;
static struct state_result res;

static int apply(Log__Command *c)
{
	uint8_t buf[4096];
	size_t n;

	c->time_ms = now_ms;
	n = log__command__pack(c, buf);
	assert_int_equal(state_apply(&s, ++idx, buf, n, defects, &res, NULL), 0);
	return res.code;
}

/* DO(NODE_FAILED, NodeFailed, node_failed, m.node = 1, ...): apply one command, give its code. */
#define DO(CASE, Type, field, ...)                                                                 \
	({                                                                                         \
		COMMAND(CASE, Type, field);                                                        \
		(void)(__VA_ARGS__);                                                               \
		apply(&c);                                                                         \
	})
#define S(s) COMMAND_STRING(s)

static int node_failed(uint32_t n, uint64_t i)
{
	return DO(NODE_FAILED, NodeFailed, node_failed, m.node = n, m.incarnation = i,
		  m.cause = S("left the ring"));
}

static int node_silent(uint32_t n, uint64_t i)
{
	return DO(NODE_SILENT, NodeSilent, node_silent, m.node = n, m.incarnation = i,
		  m.cause = S("bound"));
}

static int node_admit(uint32_t n, uint64_t i)
{
	return DO(NODE_ADMIT, NodeAdmit, node_admit, m.node = n, m.incarnation = i);
}

static int assign(uint64_t epoch, uint32_t n, uint64_t i)
{
	return DO(VOLUME_ASSIGN, VolumeAssign, volume_assign, m.name = S("vol1"), m.epoch = epoch,
		  m.node = n, m.incarnation = i);
}

static int paid(uint64_t epoch, uint32_t payer, uint32_t n, uint64_t i)
{
	return DO(DEBT_PAID, DebtPaid, debt_paid, m.volume = S("vol1"), m.epoch = epoch,
		  m.payer = payer, m.node = n, m.incarnation = i);
}

static int place(uint64_t g, uint32_t n, uint64_t i)
{
	return DO(RESOURCE_PLACE, ResourcePlace, resource_place, m.name = S("web"),
		  m.generation = g, m.node = n, m.incarnation = i);
}

static int started(uint64_t g)
{
	return DO(RESOURCE_STARTED, ResourceStarted, resource_started, m.name = S("web"),
		  m.generation = g);
}

static int stopped(uint64_t g, bool failed)
{
	return DO(RESOURCE_STOPPED, ResourceStopped, resource_stopped, m.name = S("web"),
		  m.generation = g, m.failed = failed);
}

static int desire(bool on)
{
	return DO(RESOURCE_DESIRE, ResourceDesire, resource_desire, m.name = S("web"),
		  m.wanted = on);
}

static int begin(uint64_t g, uint32_t target)
{
	return DO(MIGRATE_BEGIN, MigrateBegin, migrate_begin, m.name = S("web"), m.generation = g,
		  m.target = target, m.target_incarnation = 1);
}

#define STEP(CASE, Type, field, r) DO(CASE, Type, field, m.name = S("web"), m.reserved = (r))
#define SWITCH(r) STEP(MIGRATE_SWITCH, MigrateSwitch, migrate_switch, r)
#define SOURCE_DONE(r) STEP(MIGRATE_SOURCE_DONE, MigrateSourceDone, migrate_source_done, r)
#define COMMIT(r) STEP(MIGRATE_COMMIT, MigrateCommit, migrate_commit, r)
#define ABORT(r) STEP(MIGRATE_ABORT, MigrateAbort, migrate_abort, r)
#define GONE(r) STEP(MIGRATE_TARGET_GONE, MigrateTargetGone, migrate_target_gone, r)

static struct state_resource *web(void)
{
	return state_resource(&s, "web");
}

static uint64_t epoch(void)
{
	return state_volume(&s, "vol1")->epoch;
}

static void add_node(uint32_t id, const char *name)
{
	uint8_t uuid[16] = { (uint8_t)id };
	Log__Node n = LOG__NODE__INIT;
	Log__NodeAdd a = LOG__NODE_ADD__INIT;
	Log__Command c = LOG__COMMAND__INIT;

	n.id = id;
	n.name = S(name);
	n.uuid = (ProtobufCBinaryData){ 16, uuid };
	a.node = &n;
	c.what_case = LOG__COMMAND__WHAT_NODE_ADD;
	c.node_add = &a;
	assert_int_equal(apply(&c), 0);
	assert_int_equal(node_admit(id, 0), 0);
}

/* Three nodes at incarnation 1, vol1 coordinated by node 1, web online on node 1. */
static int setup(void **state)
{
	uint8_t uuid[16] = { 7 };
	uint8_t spec[] = "abc";
	char *volumes[] = { S("vol1") };

	(void)state;
	state_init(&s);
	idx = 0;
	now_ms = 1000;
	defects = 0;
	add_node(1, "node1");
	add_node(2, "node2");
	add_node(3, "node3");
	assert_int_equal(DO(VOLUME_CREATE, VolumeCreate, volume_create, m.name = S("vol1"),
			    m.uuid = (ProtobufCBinaryData){ 16, uuid },
			    m.url = S("iscsi://t/iqn/1")),
			 0);
	assert_int_equal(assign(epoch(), 1, 1), 0);
	assert_int_equal(DO(RESOURCE_CREATE, ResourceCreate, resource_create, m.name = S("web"),
			    m.type = S("vm"), m.spec = (ProtobufCBinaryData){ 3, spec },
			    m.n_volumes = 1, m.volumes = volumes, m.memory_bytes = 1 << 20,
			    m.wanted = true),
			 0);
	assert_int_equal(place(web()->generation, 1, 1), 0);
	assert_int_equal(started(web()->generation), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	state_fini(&s);
	return 0;
}

static void test_stale_numbers_do_nothing(void **state)
{
	uint64_t g = web()->generation, h;

	(void)state;
	assert_int_equal(stopped(g - 1, true), -CL_EMOVED);
	assert_int_equal(begin(g + 1, 2), -CL_EMOVED);
	assert_int_equal(node_failed(1, 2), -CL_EMOVED);
	assert_int_equal(node_failed(9, 1), -ENOENT);
	assert_int_equal(assign(epoch() - 1, 2, 1), -CL_EMOVED);
	assert_int_equal(web()->phase, STATE_ONLINE);
	/* The same bytes are the same state: applying is told by its index alone. */
	h = state_hash(&s);
	assert_true(h != 0 && h == state_hash(&s));
}

static void test_failed_owner_is_replaced_after_fence_and_silence(void **state)
{
	uint64_t g = web()->generation;

	(void)state;
	assert_int_equal(node_failed(1, 1), 0);
	assert_int_equal(web()->phase, STATE_DISPLACED);
	assert_int_equal(debt_of(&s, "vol1", 1), 1);
	assert_int_equal(place(g, 2, 1), -CL_EMOVED);
	assert_int_equal(node_silent(1, 1), 0);
	assert_int_equal(web()->phase, STATE_DISPLACED); /* the debt stands */
	assert_int_equal(paid(epoch(), 1, 1, 1), 0 /* the old coordinator's word: see below */);
	assert_int_equal(web()->phase, STATE_WAITING);
	assert_int_equal(place(g, 1, 1), -CL_EREFUSED); /* a failed node takes nothing */
	assert_int_equal(place(g, 2, 1), 0);
	assert_int_equal(web()->generation, g + 1);
}

static void test_only_the_present_coordinator_pays(void **state)
{
	uint64_t e = epoch();

	(void)state;
	assert_int_equal(assign(e, 2, 1), -CL_EREFUSED); /* the old one lives */
	assert_int_equal(node_failed(1, 1), 0);
	assert_int_equal(assign(e, 2, 1), 0);
	assert_int_equal(paid(e, 1, 1, 1), -CL_EMOVED);
	assert_int_equal(paid(e + 1, 3, 1, 1), -CL_EREFUSED);
	assert_int_equal(paid(e + 1, 2, 1, 0), -CL_EMOVED); /* an older incarnation's */
	assert_true(state_has_debt(&s, "vol1"));
	assert_int_equal(paid(e + 1, 2, 1, 1), 0);
	assert_false(state_has_debt(&s, "vol1"));
}

static void test_start_after_fence_needs_no_silence(void **state)
{
	(void)state;
	web()->start_after = STATE_AFTER_FENCE;
	assert_int_equal(node_failed(1, 1), 0);
	assert_int_equal(assign(epoch(), 2, 1), 0);
	assert_int_equal(paid(epoch(), 2, 1, 1), 0);
	assert_int_equal(web()->phase, STATE_WAITING);
}

static void test_incarnations_only_grow(void **state)
{
	(void)state;
	assert_int_equal(node_admit(2, 1), -CL_EREFUSED);
	assert_int_equal(node_failed(2, 1), 0);
	assert_int_equal(node_failed(2, 1), -CL_EMOVED);
	assert_int_equal(node_admit(2, 1), 0);
	assert_int_equal(res.number, 2);
	assert_true(state_living(&s, 2, 2));
	assert_false(state_living(&s, 2, 1));
	assert_int_equal(node_failed(2, 1), -CL_EMOVED);
	/* Admission is the proof that the old incarnation has ended, its debt stays. */
	assert_int_equal(state_node(&s, 2)->silent, 1);
	assert_int_equal(debt_of(&s, "vol1", 2), 1);
}

static void test_migration_commits_only_with_the_report(void **state)
{
	uint64_t g = web()->generation, r;

	(void)state;
	assert_int_equal(begin(g, 2), 0);
	r = res.number;
	assert_int_equal(COMMIT(r), -CL_EMOVED);
	assert_int_equal(SWITCH(r), 0);
	assert_int_equal(COMMIT(r), -CL_EMOVED);
	assert_int_equal(SOURCE_DONE(r), 0);
	assert_int_equal(DO(MIGRATE_COMMIT, MigrateCommit, migrate_commit, m.name = S("web"),
			    m.reserved = r, m.blackout_ms = 23),
			 0);
	assert_int_equal(web()->owner, 2);
	assert_int_equal(web()->generation, r);
	assert_int_equal(web()->blackout_ms, 23);
}

static void test_aborted_numbers_are_burned(void **state)
{
	uint64_t g = web()->generation, r;

	(void)state;
	assert_int_equal(begin(g, 2), 0);
	r = res.number;
	assert_int_equal(ABORT(r), 0);
	assert_int_equal(web()->phase, STATE_ONLINE);
	assert_int_equal(begin(g, 2), 0);
	assert_int_equal(res.number, r + 1);
	r++;
	assert_int_equal(SWITCH(r), 0);
	assert_int_equal(ABORT(r), 0);
	assert_int_equal(web()->phase, STATE_ABORTING);
	assert_int_equal(COMMIT(r), -CL_EMOVED);
	assert_int_equal(GONE(r), 0);
	assert_int_equal(web()->phase, STATE_ONLINE);
	assert_int_equal(web()->generation, g);
}

static void test_source_lost_in_the_switch(void **state)
{
	uint64_t g = web()->generation, r;

	(void)state;
	assert_int_equal(begin(g, 2), 0);
	r = res.number;
	assert_int_equal(SWITCH(r), 0);
	assert_int_equal(node_failed(1, 1), 0); /* without its report: it may have resumed */
	assert_int_equal(web()->phase, STATE_DISPLACED);
	assert_int_equal(COMMIT(r), -CL_EMOVED);
	assert_int_equal(SOURCE_DONE(r), -CL_EMOVED);
}

static void test_source_lost_after_its_report(void **state)
{
	uint64_t g = web()->generation, r;

	(void)state;
	assert_int_equal(begin(g, 2), 0);
	r = res.number;
	assert_int_equal(SWITCH(r), 0);
	assert_int_equal(SOURCE_DONE(r), 0);
	assert_int_equal(node_failed(1, 1), 0);
	assert_int_equal(web()->phase, STATE_HANDOVER);
	assert_int_equal(COMMIT(r), 0);
	assert_int_equal(web()->owner, 2);
}

static void test_both_sides_lost(void **state)
{
	uint64_t g = web()->generation, r;

	(void)state;
	assert_int_equal(begin(g, 2), 0);
	r = res.number;
	assert_int_equal(SWITCH(r), 0);
	assert_int_equal(SOURCE_DONE(r), 0);
	assert_int_equal(node_failed(1, 1), 0);
	assert_int_equal(node_failed(2, 1), 0);
	assert_int_equal(web()->phase, STATE_DISPLACED);
	assert_int_equal(web()->owner, 1);
	assert_true(web()->top >= r);
}

static void test_start_stop_fail(void **state)
{
	uint64_t g = web()->generation;

	(void)state;
	assert_int_equal(desire(false), 0);
	assert_int_equal(web()->phase, STATE_STOPPING);
	assert_int_equal(desire(true), 0); /* wanted again while it stops */
	assert_int_equal(stopped(g, false), 0);
	assert_int_equal(web()->phase, STATE_WAITING);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(web()->phase, STATE_WAITING);
		assert_int_equal(place(web()->generation, 2, 1), 0);
		assert_int_equal(stopped(web()->generation, true), 0);
	}
	assert_int_equal(web()->phase, STATE_FAILED);
	assert_int_equal(DO(RESOURCE_DELETE, ResourceDelete, resource_delete, m.name = S("web")),
			 0);
	assert_null(web());
}

static void test_request_is_answered_once(void **state)
{
	Log__RequestId id = LOG__REQUEST_ID__INIT;
	Log__ResourceDesire d = LOG__RESOURCE_DESIRE__INIT;
	Log__Command c = LOG__COMMAND__INIT;

	(void)state;
	id.node = 2;
	id.instance = 99;
	id.seq = 1;
	d.name = S("web");
	c.request = &id;
	c.what_case = LOG__COMMAND__WHAT_RESOURCE_DESIRE;
	c.resource_desire = &d;
	assert_int_equal(apply(&c), 0);
	assert_false(res.repeated);
	assert_int_equal(desire(true), 0);
	assert_int_equal(apply(&c), 0); /* late repetition: must not stop it again */
	assert_true(res.repeated);
	assert_true(web()->wanted);
}

static int redirect(const char *volume, bool on)
{
	return DO(VOLUME_REDIRECT, VolumeRedirect, volume_redirect, m.name = S(volume), m.on = on);
}

static int maintenance(const char *volume, bool on)
{
	return DO(VOLUME_MAINTENANCE, VolumeMaintenance, volume_maintenance, m.name = S(volume),
		  m.on = on);
}

/* Both stand whoever coordinates, and in the bytes. */
static void test_flags_outlive_a_coordinator(void **state)
{
	uint64_t hash;
	uint8_t *data;
	size_t len;

	(void)state;
	assert_int_equal(redirect("nothing", true), -ENOENT);
	assert_int_equal(redirect("vol1", true), 0);
	assert_int_equal(redirect("vol1", true), 0);
	assert_int_equal(desire(false), 0);
	assert_int_equal(stopped(web()->generation, false), 0);
	assert_int_equal(maintenance("vol1", true), 0);
	assert_int_equal(node_failed(1, 1), 0);
	assert_int_equal(assign(epoch(), 2, 1), 0);
	assert_true(state_volume(&s, "vol1")->redirected);
	assert_true(state_volume(&s, "vol1")->maintenance);
	hash = state_hash(&s);
	assert_int_equal(state_encode(&s, &data, &len), 0);
	state_fini(&s);
	assert_int_equal(state_decode(data, len, &s, NULL), 0);
	free(data);
	assert_int_equal(state_hash(&s), hash);
	assert_true(state_volume(&s, "vol1")->redirected);
	assert_true(state_volume(&s, "vol1")->maintenance);
	assert_int_equal(redirect("vol1", false), 0);
	assert_int_equal(maintenance("vol1", false), 0);
	assert_false(state_volume(&s, "vol1")->redirected);
	assert_false(state_volume(&s, "vol1")->maintenance);
}

/* Neither gets in while the other stands: a VM that may run, and maintenance. */
static void test_maintenance_and_vms_exclude_each_other(void **state)
{
	char why[STATE_REASON_MAX];

	(void)state;
	assert_int_equal(maintenance("vol1", true), -CL_EREFUSED);
	assert_non_null(strstr(res.text, "'web'"));
	assert_int_equal(desire(false), 0);
	assert_int_equal(maintenance("vol1", true), -CL_EREFUSED); /* still stopping */
	assert_int_equal(stopped(web()->generation, false), 0);
	assert_int_equal(web()->phase, STATE_OFFLINE);
	assert_int_equal(maintenance("vol1", true), 0);
	assert_int_equal(desire(true), -CL_EREFUSED);
	assert_int_equal(web()->phase, STATE_OFFLINE);
	assert_false(state_may_place(&s, web(), why));
	assert_non_null(strstr(why, "maintenance"));
	assert_int_equal(maintenance("vol1", false), 0);
	assert_int_equal(desire(true), 0);
	assert_int_equal(maintenance("vol1", true), -CL_EREFUSED); /* waiting to be placed */
	assert_int_equal(place(web()->generation, 2, 1), 0);
}

static void test_bytes_come_back(void **state)
{
	struct state copy;
	uint8_t *data;
	size_t len;

	(void)state;
	assert_int_equal(begin(web()->generation, 3), 0);
	assert_int_equal(node_failed(2, 1), 0);
	assert_int_equal(state_encode(&s, &data, &len), 0);
	assert_int_equal(state_decode(data, len, &copy, NULL), 0);
	assert_true(state_hash(&copy) == state_hash(&s));
	assert_string_equal((char *)state_resource(&copy, "web")->spec, "abc");
	state_fini(&copy);
	/* Hostile: every cut, every flipped byte is an error or a state, never a crash. */
	for (size_t i = 0; i < len; i++) {
		data[i] ^= 0x55;
		if (state_decode(data, i % 2 ? len : i, &copy, NULL) == 0)
			state_fini(&copy);
		data[i] ^= 0x55;
	}
	free(data);
}

static void test_garbage_is_a_no_op(void **state)
{
	uint8_t junk[64];

	(void)state;
	memset(junk, 0xff, sizeof(junk));
	assert_int_equal(state_apply(&s, ++idx, junk, sizeof(junk), 0, &res, NULL), 0);
	assert_int_equal(res.code, -CL_ECORRUPT);
	assert_int_equal(state_apply(&s, ++idx, junk, 0, 0, &res, NULL), 0);
	assert_int_equal(res.code, -EINVAL);
}

static bool path_of_all_but_3(void *user, uint32_t node, const char *volume)
{
	(void)user;
	(void)volume;
	return node != 3;
}

static void test_who_pays(void **state)
{
	struct spread_view view = { .has_path = path_of_all_but_3 };
	struct state_volume *v = state_volume(&s, "vol1");

	(void)state;
	assert_int_equal(spread_choose(&s, v, 1, &view), 2);
	assert_int_equal(node_failed(2, 1), 0);
	assert_int_equal(spread_choose(&s, v, 1, &view), 0);
	assert_int_equal(spread_choose(&s, v, 0, &view), 1);
}

/* ---- spreading ---- */

static bool path_of_all(void *user, uint32_t node, const char *volume)
{
	(void)user;
	(void)node;
	(void)volume;
	return true;
}

static uint32_t two_promised_to_2(void *user, uint32_t node)
{
	(void)user;
	return node == 2 ? 2 : 0;
}

static void add_volume(const char *name, uint32_t node)
{
	uint8_t uuid[16] = { (uint8_t)name[3] };

	assert_int_equal(DO(VOLUME_CREATE, VolumeCreate, volume_create, m.name = S(name),
			    m.uuid = (ProtobufCBinaryData){ 16, uuid },
			    m.url = S("iscsi://t/iqn/2")),
			 0);
	assert_int_equal(DO(VOLUME_ASSIGN, VolumeAssign, volume_assign, m.name = S(name),
			    m.epoch = res.number, m.node = node, m.incarnation = 1),
			 0);
}

static int release(const char *name, uint32_t to, bool asked)
{
	return DO(VOLUME_RELEASE, VolumeRelease, volume_release, m.name = S(name),
		  m.epoch = state_volume(&s, name)->epoch, m.to = to, m.asked = asked);
}

static int released(const char *name, uint32_t to)
{
	return DO(VOLUME_ASSIGN, VolumeAssign, volume_assign, m.name = S(name),
		  m.epoch = state_volume(&s, name)->epoch, m.node = to, m.incarnation = 1,
		  m.released = true);
}

static void test_who_has_the_fewest_is_chosen(void **state)
{
	struct spread_view view = { .has_path = path_of_all };

	(void)state;
	add_volume("vol2", 2);
	add_volume("vol3", 1);
	assert_int_equal(spread_choose(&s, state_volume(&s, "vol1"), 0, &view), 3);
	assert_int_equal(spread_choose(&s, state_volume(&s, "vol1"), 3, &view), 2);
	view.promised = two_promised_to_2; /* several in one go */
	assert_int_equal(spread_choose(&s, state_volume(&s, "vol1"), 3, &view), 1);
	assert_int_equal(DO(NODE_DRAIN, NodeDrain, node_drain, m.node = 3, m.on = true), 0);
	assert_int_equal(spread_choose(&s, state_volume(&s, "vol1"), 0, &view), 1);
}

static void test_rebalance_evens_out_and_stops(void **state)
{
	struct spread_view view = { .has_path = path_of_all };
	const struct state_volume *v;
	uint32_t to = 0;

	(void)state;
	assert_null(spread_rebalance(&s, &view, &to));
	add_volume("vol2", 1);
	add_volume("vol3", 1);
	v = spread_rebalance(&s, &view, &to);
	assert_string_equal(v->name, "vol1");
	assert_int_equal(to, 2);
	assert_int_equal(release("vol1", to, false), 0);
	assert_null(spread_rebalance(&s, &view, &to)); /* one at a time */
	assert_int_equal(released("vol1", 2), 0);
	v = spread_rebalance(&s, &view, &to);
	assert_string_equal(v->name, "vol2");
	assert_int_equal(to, 3);
	assert_int_equal(release("vol2", 3, false), 0);
	assert_int_equal(released("vol2", 3), 0);
	assert_null(spread_rebalance(&s, &view, &to));
}

static void test_rebalance_keeps_still(void **state)
{
	struct spread_view view = { .has_path = path_of_all };
	uint32_t to = 0;

	(void)state;
	add_volume("vol2", 2);
	/* An operator wants both on node 1: so it stays, until that node fails. */
	assert_int_equal(release("vol2", 1, true), 0);
	assert_int_equal(released("vol2", 1), 0);
	assert_true(state_volume(&s, "vol2")->placed);
	assert_string_equal(spread_rebalance(&s, &view, &to)->name, "vol1");
	assert_int_equal(release("vol1", 2, true), 0);
	assert_int_equal(released("vol1", 2), 0);
	assert_int_equal(release("vol1", 1, true), 0);
	assert_int_equal(released("vol1", 1), 0);
	assert_null(spread_rebalance(&s, &view, &to));
	assert_int_equal(node_failed(1, 1), 0);
	assert_int_equal(assign(epoch(), 3, 1), 0);
	assert_int_equal(DO(VOLUME_ASSIGN, VolumeAssign, volume_assign, m.name = S("vol2"),
			    m.epoch = state_volume(&s, "vol2")->epoch, m.node = 3,
			    m.incarnation = 1),
			 0);
	assert_false(state_volume(&s, "vol2")->placed);
	assert_null(spread_rebalance(&s, &view, &to)); /* fences are owed */
	assert_int_equal(paid(epoch(), 3, 1, 1), 0);
	assert_int_equal(DO(DEBT_PAID, DebtPaid, debt_paid, m.volume = S("vol2"),
			    m.epoch = state_volume(&s, "vol2")->epoch, m.payer = 3, m.node = 1,
			    m.incarnation = 1),
			 0);
	assert_null(spread_rebalance(&s, &view, &to)); /* it may still execute */
	assert_int_equal(node_silent(1, 1), 0);
	assert_non_null(spread_rebalance(&s, &view, &to));
	assert_int_equal(to, 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_stale_numbers_do_nothing),
		T(test_failed_owner_is_replaced_after_fence_and_silence),
		T(test_only_the_present_coordinator_pays),
		T(test_start_after_fence_needs_no_silence),
		T(test_incarnations_only_grow),
		T(test_migration_commits_only_with_the_report),
		T(test_aborted_numbers_are_burned),
		T(test_source_lost_in_the_switch),
		T(test_source_lost_after_its_report),
		T(test_both_sides_lost),
		T(test_start_stop_fail),
		T(test_request_is_answered_once),
		T(test_flags_outlive_a_coordinator),
		T(test_maintenance_and_vms_exclude_each_other),
		T(test_bytes_come_back),
		T(test_garbage_is_a_no_op),
		T(test_who_pays),
		T(test_who_has_the_fewest_is_chosen),
		T(test_rebalance_evens_out_and_stops),
		T(test_rebalance_keeps_still),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
