/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clusterd's orders to VMs between a scripted driver and a scripted csvd: who is told what, and when. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/daemon.h"
#include "clusterd/vm_fill.h"
#include "clusterd/vms_int.h"
#include "migration/vm.h"

/* ---- the world ------------------------------------------------------------------------------- */

struct vm {
	char name[64];
	uint64_t generation;
	enum vm_state state;
	vm_event_fn fn;
	void *user;
	int64_t began_ms;
	bool killed;
};

static struct daemon d;
static struct state cluster;
static struct vm *vm; /* the last one that was made */
static const int *adopt_codes;
static unsigned n_adopts;
static bool found;
static char told[400]; /* reports to the core and orders to csvd, in their order */

static void tell(const char *what, const char *name, uint64_t generation, const char *more)
{
	size_t n = strlen(told);

	(void)snprintf(told + n, sizeof(told) - n, "%s %s %u%s;", what, name, (unsigned)generation,
		       more);
}

static void assert_told(const char *want)
{
	assert_string_equal(told, want);
	told[0] = '\0';
}

static struct vm *vm_make(const char *name, uint64_t generation, vm_event_fn fn, void *user)
{
	vm = calloc(1, sizeof(*vm));
	assert_non_null(vm);
	(void)snprintf(vm->name, sizeof(vm->name), "%s", name);
	vm->generation = generation;
	vm->fn = fn;
	vm->user = user;
	return vm;
}

static void happens(enum vm_event_kind kind, enum vm_state state)
{
	const struct vm_event event = { .kind = kind, .state = state, .text = "" };

	vm->state = state;
	vm->fn(vm->user, vm, &event);
}

/* ---- migration/vm.h -------------------------------------------------------------------------- */

int vm_host_new(struct cl_loop *loop, const struct vm_host_config *config, struct vm_host **ret,
		struct cl_error *err)
{
	(void)loop, (void)config, (void)err;
	*ret = NULL;
	return 0;
}

void vm_host_free(struct vm_host *host)
{
	(void)host;
}

const char *vm_host_cgroup(const struct vm_host *host)
{
	(void)host;
	return "/sys/fs/cgroup/none";
}

int vm_host_scan(struct vm_host *host, vm_scan_fn fn, void *user, struct cl_error *err)
{
	(void)host, (void)err;
	fn(user, "v");
	return 0;
}

int vm_start(struct vm_host *host, const struct vm_config *config, const struct vm_start_args *args,
	     vm_event_fn fn, void *user, struct vm **ret, struct cl_error *err)
{
	(void)host, (void)args, (void)err;
	*ret = vm_make("v", config->generation, fn, user);
	return 0;
}

int vm_adopt(struct vm_host *host, const char *name, vm_event_fn fn, void *user, struct vm **ret,
	     struct cl_error *err)
{
	int r = adopt_codes[n_adopts++];

	(void)host;
	if (r < 0)
		return cl_error_set(err, r, "scripted");
	*ret = vm_make(name, 4, fn, user);
	return 0;
}

void vm_kill(struct vm *v, const char *why)
{
	(void)why;
	v->killed = true;
}

int64_t vm_began_ms(const struct vm *v)
{
	return v->began_ms;
}

void vm_free(struct vm *v)
{
	free(v);
}

enum vm_state vm_state(const struct vm *v)
{
	return v->state;
}

uint64_t vm_generation(const struct vm *v)
{
	return v->generation;
}

bool vm_is_migrating(const struct vm *v)
{
	(void)v;
	return false;
}

/* Orders that no case here gives to a VM. */
int vm_stop(struct vm *v, int64_t grace_ms, struct cl_error *err)
{
	(void)v, (void)grace_ms;
	return cl_error_set(err, -EINVAL, "not scripted");
}

int vm_pause(struct vm *v, struct cl_mono deadline, const char *why, struct cl_error *err)
{
	(void)v, (void)deadline, (void)why;
	return cl_error_set(err, -EINVAL, "not scripted");
}

int vm_stand(struct vm *v, const char *why, struct cl_error *err)
{
	(void)v, (void)why;
	return cl_error_set(err, -EINVAL, "not scripted");
}

int vm_cont(struct vm *v, struct cl_error *err)
{
	(void)v;
	return cl_error_set(err, -EINVAL, "not scripted");
}

int vm_migrate(struct vm *v, const struct vm_migrate_args *args, struct cl_error *err)
{
	(void)v, (void)args;
	return cl_error_set(err, -EINVAL, "not scripted");
}

int vm_save(struct vm *v, uint64_t reserved, struct cl_error *err)
{
	(void)v, (void)reserved;
	return cl_error_set(err, -EINVAL, "not scripted");
}

int vm_load(struct vm *v, uint64_t generation, struct cl_error *err)
{
	(void)v, (void)generation;
	return cl_error_set(err, -EINVAL, "not scripted");
}

int vm_migrate_switch(struct vm *v, struct cl_error *err)
{
	(void)v;
	return cl_error_set(err, -EINVAL, "not scripted");
}

int vm_migrate_abort(struct vm *v, bool target_dead, const char *why, struct cl_error *err)
{
	(void)v, (void)target_dead, (void)why;
	return cl_error_set(err, -EINVAL, "not scripted");
}

void vm_config_fini(struct vm_config *config)
{
	(void)config;
}

/* ---- the rest of clusterd -------------------------------------------------------------------- */

int vm_fill_config(const struct node_action *order, const struct conf *conf, struct vm_config *ret,
		   struct cl_error *err)
{
	(void)conf, (void)err;
	ret->generation = order->vm.generation;
	return 0;
}

const char *vms_tls_directory(const struct vms *vms)
{
	(void)vms;
	return "";
}

int vms_tls_target(const struct slot *s, struct vm_migrate_args *args, struct cl_error *err)
{
	(void)s, (void)args, (void)err;
	return 0;
}

bool vm_fill_on_volumes(const struct node_action *order, const struct conf *conf)
{
	(void)order, (void)conf;
	return true;
}

bool vm_fill_found_on_volumes(const char *name, const struct conf *conf)
{
	(void)name, (void)conf;
	return true;
}

void vm_fill_volume_of(const char *path, const struct conf *conf, char ret[STATE_NAME_MAX])
{
	(void)path, (void)conf;
	ret[0] = '\0';
}

void csvd_fail_requests(struct csvd *csvd, const char *resource, uint64_t generation)
{
	(void)csvd;
	tell("fail", resource, generation, "");
}

void csvd_close_sessions(struct csvd *csvd, uint64_t incarnation)
{
	(void)csvd;
	tell("close", "", incarnation, "");
}

bool csvd_connected(const struct csvd *csvd)
{
	(void)csvd;
	return true;
}

const struct state *node_state(const struct node *node)
{
	(void)node;
	return &cluster;
}

void daemon_stop(struct daemon *daemon, int code)
{
	(void)daemon;
	fail_msg("stopped with %d", code);
}

void daemon_vms_found(struct daemon *daemon)
{
	found = true;
	cl_loop_stop(daemon->loop);
}

void daemon_step(struct daemon *daemon, struct node_event *event)
{
	static const char *const words[] = {
		[NODE_VM_FOUND] = "found",     [NODE_VM_STARTED] = "started",
		[NODE_VM_STOPPED] = "stopped", [NODE_VM_MIGRATE_FAILED] = "move-failed",
		[NODE_VM_PAUSED] = "paused",   [NODE_VM_SILENT] = "silent",
		[NODE_VM_ANSWERS] = "answers",
	};

	(void)daemon;
	assert_int_equal(event->type, NODE_EV_VM);
	tell(words[event->vm.report], event->vm.name, event->vm.generation,
	     event->vm.stands	? " stands"
	     : event->vm.failed ? " failed"
				: "");
}

/* ---- one node -------------------------------------------------------------------------------- */

static int setup(void **state)
{
	static struct state_volume volume;
	struct cl_error err = CL_ERROR_INIT;

	(void)state;
	memset(&d, 0, sizeof(d));
	cluster.volumes.v = &volume;
	cluster.volumes.n = 1;
	told[0] = '\0';
	n_adopts = 0;
	found = false;
	return cl_loop_new(&d.loop) < 0 || vms_new(&d, &d.vms, &err) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	vms_free(d.vms);
	cl_loop_free(d.loop);
	return 0;
}

static void on_turn(void *user)
{
	cl_loop_stop(user);
}

/* What waits for the loop is done when a timer that was set after it fires. */
static void turn(void)
{
	struct cl_source *timer;

	assert_int_equal(cl_timer_new(d.loop, on_turn, d.loop, &timer), 0);
	assert_int_equal(cl_timer_set_in(timer, 5), 0);
	cl_loop_run(d.loop);
	cl_source_free(timer);
}

static void order(enum node_vm_do what, uint64_t generation)
{
	struct node_action a = { .type = NODE_DO_VM,
				 .vm = { .what = what, .name = "v", .generation = generation } };

	vms_order(d.vms, &a);
	turn();
}

static void start(uint64_t generation)
{
	order(NODE_VM_START, generation);
	happens(VM_EV_STARTED, VM_RUNNING);
	turn();
	told[0] = '\0';
}

static void requests_failed(uint64_t generation)
{
	vms_requests_failed(d.vms, "v", generation);
	turn();
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void test_without_a_process_requests_end_first(void **state)
{
	(void)state;
	order(NODE_VM_KILL, 5);
	order(NODE_VM_KILL, 5);
	assert_told("fail v 5;");
	requests_failed(5);
	assert_told("stopped v 5;");
}

static void test_of_another_generation_requests_end_first(void **state)
{
	(void)state;
	start(4);
	order(NODE_VM_KILL, 5);
	assert_told("fail v 5;");
	assert_false(vm->killed);
	requests_failed(5);
	assert_told("stopped v 5;");
	/* That answer was none for the one that lives. */
	order(NODE_VM_KILL, 4);
	assert_true(vm->killed);
	happens(VM_EV_KILLED, VM_KILLING);
	happens(VM_EV_GONE, VM_GONE);
	turn();
	assert_told("fail v 4;fail v 4;");
	requests_failed(4);
	assert_told("stopped v 4;");
}

static void test_a_failed_move_says_whether_the_guest_stands(void **state)
{
	(void)state;
	start(4);
	happens(VM_EV_MIGRATE_FAILED, VM_PAUSED);
	turn();
	assert_told("move-failed v 4 stands;");
	order(NODE_VM_SWITCH, 4); /* refused */
	assert_told("move-failed v 4 stands;");
	happens(VM_EV_MIGRATE_FAILED, VM_RUNNING);
	turn();
	assert_told("move-failed v 4;");
}

static void test_a_launcher_without_a_pid_is_waited_for(void **state)
{
	static const int codes[] = { -EAGAIN, -EAGAIN, -ESRCH, 0 };

	(void)state;
	adopt_codes = codes;
	vms_find(d.vms);
	while (n_adopts < 4) {
		turn();
		assert_false(found);
	}
	happens(VM_EV_ADOPTED, VM_PAUSED);
	cl_loop_run(d.loop);
	assert_true(found);
	assert_told("found v 4;");
}

static void test_what_cannot_be_adopted_holds_nothing_up(void **state)
{
	static const int codes[] = { -EAGAIN, -EINVAL };

	(void)state;
	adopt_codes = codes;
	vms_find(d.vms);
	cl_loop_run(d.loop);
	assert_true(found);
	assert_int_equal(n_adopts, 2);
	assert_told("");
}

/* It waits for a volume, perhaps for one that this node has to bring back. */
static void test_a_silent_qemu_holds_nothing_up(void **state)
{
	static const int codes[] = { 0 };

	(void)state;
	adopt_codes = codes;
	vms_find(d.vms);
	cl_loop_run(d.loop);
	assert_true(found);
	assert_told("found v 4;silent v 4;");
	order(NODE_VM_KILL, 4);
	assert_true(vm->killed);
	happens(VM_EV_ADOPTED, VM_PAUSED);
	turn();
	assert_told("paused v 4;answers v 4;");
}

/* It ends as a crash does, so that it is started elsewhere; and only when csvd holds nothing of it. */
static void test_a_vm_whose_handles_are_lost_ends(void **state)
{
	(void)state;
	start(4);
	vm->began_ms = 1000;
	vms_handles_lost(d.vms, 0, "an older csvd");
	vms_handles_lost(d.vms, 999, "csvd ended");
	assert_false(vm->killed);
	vms_handles_lost(d.vms, 1000, "csvd ended");
	assert_true(vm->killed);
	happens(VM_EV_KILLED, VM_KILLING);
	happens(VM_EV_GONE, VM_GONE);
	turn();
	assert_told("fail v 4;fail v 4;");
	vms_handles_lost(d.vms, 1000, "csvd ended"); /* each hello says it again */
	requests_failed(4);
	assert_told("stopped v 4 failed;");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_without_a_process_requests_end_first),
		TEST(test_of_another_generation_requests_end_first),
		TEST(test_a_failed_move_says_whether_the_guest_stands),
		TEST(test_a_launcher_without_a_pid_is_waited_for),
		TEST(test_what_cannot_be_adopted_holds_nothing_up),
		TEST(test_a_silent_qemu_holds_nothing_up),
		TEST(test_a_vm_whose_handles_are_lost_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
