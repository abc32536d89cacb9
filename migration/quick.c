/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The effects of migration/plan_quick by QMP and the helper, and the target's side: a QEMU that was
 * started with -incoming is fed from the file.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "migration/vm_private.h"

#define POLL_MS 100
#define STOP_TIMEOUT_MS 60000 /* QEMU answers when its disks are drained */
#define FD_NAME "state"
#define NO_LIMIT (INT64_C(1) << 40)

static bool step(struct vm *vm, struct quick_event ev);

void vm_quick_fini(struct vm *vm)
{
	vm_helper_detach(cl_steal(vm->quick.helper));
	cl_source_free(cl_steal(vm->quick.poll));
	vm->quick.active = false;
}

/* ---- the file is used up, or void ----------------------------------------------------------- */

void vm_quick_drop(struct vm *vm)
{
	struct cl_error err = CL_ERROR_INIT;

	if (!vm->quick.path[0])
		return;
	if (vm_helper_run(vm->host->loop, vm->host->state_helper, "drop", vm->quick.path, NULL,
			  NULL, NULL, NULL, NULL, &err) < 0)
		log_warning("vm '%s': %s stays: %s", vm_name(vm), vm->quick.path, err.msg);
	vm->quick.path[0] = '\0';
}

static bool command_failed(struct vm *vm, const char *why)
{
	(void)snprintf(vm->quick.error, sizeof(vm->quick.error), "%.250s", why);
	return step(vm, (struct quick_event){ .kind = QUICK_EV_COMMAND_FAILED });
}

/* ---- source: the helper --------------------------------------------------------------------- */

static void moved(struct vm *vm, uint64_t bytes)
{
	struct vm_progress *p = &vm->mig.progress;

	p->transferred = bytes;
	p->remaining = p->total > bytes ? p->total - bytes : 0;
}

static void on_saved_bytes(void *user, uint64_t bytes)
{
	moved(user, bytes);
}

static void on_save_ended(void *user, bool ok, const char *why)
{
	struct vm *vm = user;

	vm->quick.helper = NULL;
	if (!ok)
		(void)snprintf(vm->quick.error, sizeof(vm->quick.error), "%.250s", why);
	(void)step(vm, (struct quick_event){ .kind = QUICK_EV_HELPER, .ok = ok });
}

static const struct vm_helper_ops save_ops = { on_saved_bytes, on_save_ended };

static int run_helper(struct vm *vm, const char *what, uint64_t generation, uint64_t reserved,
		      const struct vm_helper_ops *ops, int *ret_fd, struct cl_error *err)
{
	struct state_id id;
	int r = state_path(&vm->config, reserved, vm->quick.path, sizeof(vm->quick.path));

	if (r < 0)
		return cl_error_set(err, r, "vm '%s' has no disk that a state could lie beside",
				    vm_name(vm));
	state_id_of(&vm->config, generation, reserved, &id);
	return vm_helper_run(vm->host->loop, vm->host->state_helper, what, vm->quick.path, &id, ops,
			     vm, &vm->quick.helper, ret_fd, err);
}

/* ---- source: saving, each step only after the one before was accepted ------------------------ */

static bool still_saving(const struct vm *vm)
{
	return vm->quick.active && quick_phase(&vm->quick.plan) == QUICK_SAVING;
}

static void on_migrate(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	if (vm->quick.active && err)
		(void)command_failed(vm, err->msg);
}

/* Given up meanwhile: it must be known that nothing was begun. */
static bool next(struct vm *vm, const struct cl_error *err)
{
	if (!vm->quick.active)
		return false;
	if (!err && still_saving(vm))
		return true;
	(void)command_failed(vm, err ? err->msg : "given up");
	return false;
}

static void send_migrate(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	if (next(vm, err) &&
	    vm_qmp(vm, "migrate", json_pack("{s:s}", "uri", "fd:" FD_NAME), on_migrate) < 0)
		(void)command_failed(vm, "the control socket is closed");
}

static void on_parameters(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	struct cl_error failed = CL_ERROR_INIT;
	int fd = -1, r;

	(void)result;
	if (!next(vm, err))
		return;
	r = run_helper(vm, "save", vm->config.generation, vm->quick.reserved, &save_ops, &fd,
		       &failed);
	if (r == 0)
		r = qmp_exec_fd(vm->qmp, "getfd", json_pack("{s:s}", "fdname", FD_NAME), fd,
				VM_QMP_TIMEOUT_MS, send_migrate, vm);
	/* Only QEMU's copy may be left: its end is the end of the pipe. */
	cl_closep(&fd);
	if (r < 0)
		(void)command_failed(vm, failed.code ? failed.msg : strerror(-r));
}

static void on_capabilities(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	if (next(vm, err) &&
	    vm_qmp(vm, "migrate-set-parameters",
		   json_pack("{s:I}", "max-bandwidth", (json_int_t)NO_LIMIT), on_parameters) < 0)
		(void)command_failed(vm, "the control socket is closed");
}

static json_t *capability(const char *name, bool on)
{
	return json_pack("{s:s, s:b}", "capability", name, "state", (int)on);
}

/* A live migration that failed before may have left its own. */
static json_t *capabilities(void)
{
	return json_pack("{s:[o, o, o, o]}", "capabilities", capability("events", true),
			 capability("return-path", false),
			 capability("pause-before-switchover", false),
			 capability("late-block-activate", true));
}

static void save(struct vm *vm)
{
	if (vm_qmp(vm, "migrate-set-capabilities", capabilities(), on_capabilities) < 0)
		(void)command_failed(vm, "the control socket is closed");
}

/* ---- source: stopping ----------------------------------------------------------------------- */

static void on_stopped(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	if (!vm->quick.active)
		return;
	if (err) {
		(void)command_failed(vm, err->msg);
		return;
	}
	if (vm_state(vm) == VM_RUNNING)
		vm_set_state(vm, VM_PAUSED, "stopped for a quick move");
	(void)step(vm, (struct quick_event){ .kind = QUICK_EV_STOPPED });
}

static void stop(struct vm *vm)
{
	vm->quick.stop_at = cl_mono_now();
	vm_set_reason(vm, "being moved");
	if (!vm->qmp || qmp_exec(vm->qmp, "stop", NULL, STOP_TIMEOUT_MS, on_stopped, vm) < 0)
		(void)command_failed(vm, "the control socket is closed");
}

/* ---- source: the end ------------------------------------------------------------------------ */

static bool report_sent(struct vm *vm)
{
	vm->mig.progress.downtime_ms = cl_mono_diff_ms(vm->quick.stop_at, cl_mono_now());
	vm->mig.progress.remaining = 0;
	cl_source_free(cl_steal(vm->quick.poll));
	vm_set_reason(vm, "saved");
	vm_set_state(vm, VM_SENT, "saved and postmigrate");
	return vm_tell_event(vm, (struct vm_event){ .kind = VM_EV_MIGRATE_SENT,
						    .state = VM_SENT,
						    .time_us = vm->quick.stop_us,
						    .progress = vm->mig.progress });
}

static bool report_failed(struct vm *vm, bool running, const char *why)
{
	char text[400];

	(void)snprintf(text, sizeof(text), "%s%s%s", why, vm->quick.error[0] ? ": " : "",
		       vm->quick.error);
	vm_quick_fini(vm);
	vm_quick_drop(vm);
	if (vm_state(vm) == VM_RUNNING && !running)
		vm_set_state(vm, VM_PAUSED, "the quick move failed");
	return vm_tell(vm, VM_EV_MIGRATE_FAILED, text);
}

static void on_run_state(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	const char *word = json_string_value(json_object_get(result, "status"));

	if (vm->quick.active && !err)
		(void)step(vm, (struct quick_event){ .kind = QUICK_EV_RUN_STATE,
						     .run = mig_run_of(word) });
	else if (vm->quick.active)
		(void)command_failed(vm, err->msg);
}

/* True when the vm may be gone. */
static bool perform(struct vm *vm, const struct quick_action *a)
{
	switch (a->kind) {
	case QUICK_ACT_REPORT_SWITCH:
		vm_tell_later(vm, VM_EV_MIGRATE_SWITCH);
		break;
	case QUICK_ACT_STOP:
		stop(vm);
		break;
	case QUICK_ACT_SAVE:
		save(vm);
		break;
	case QUICK_ACT_QUERY_RUN_STATE:
		(void)vm_qmp(vm, "query-status", NULL, on_run_state);
		break;
	case QUICK_ACT_NAME:
		if (vm->quick.helper)
			vm_helper_finish(vm->quick.helper);
		break;
	case QUICK_ACT_CANCEL:
		(void)vm_qmp(vm, "migrate_cancel", NULL, NULL);
		break;
	case QUICK_ACT_DISCARD:
		vm_helper_detach(cl_steal(vm->quick.helper));
		break;
	case QUICK_ACT_REPORT_SENT:
		return report_sent(vm);
	case QUICK_ACT_REPORT_FAILED:
		return report_failed(vm, a->running, a->why);
	}
	return false;
}

static bool step(struct vm *vm, struct quick_event ev)
{
	struct quick_actions out = { .n = 0 };

	quick_step(&vm->quick.plan, &ev, &out);
	for (unsigned i = 0; i < out.n; i++)
		if (perform(vm, &out.v[i]))
			return true;
	return false;
}

bool vm_quick_on_event(struct vm *vm, const char *name, const json_t *data, int64_t time_us)
{
	const char *word = json_string_value(json_object_get(data, "status"));

	if (!vm->quick.active)
		return false;
	if (strcmp(name, "STOP") == 0)
		vm->quick.stop_us = time_us;
	if (strcmp(name, "MIGRATION") != 0)
		return false;
	return step(vm,
		    (struct quick_event){ .kind = QUICK_EV_STATUS, .status = mig_status_of(word) });
}

/* ---- source: orders ------------------------------------------------------------------------- */

static void on_poll(void *user)
{
	struct vm *vm = user;

	if (!vm->quick.active || vm_state(vm) == VM_SENT)
		return;
	vm->mig.progress.total_ms = cl_mono_diff_ms(vm->mig.began, cl_mono_now());
	(void)cl_timer_set_in(vm->quick.poll, POLL_MS);
	(void)vm_tell(vm, VM_EV_MIGRATE_PROGRESS, "");
}

int vm_save(struct vm *vm, uint64_t reserved, struct cl_error *err)
{
	enum vm_state state = vm_state(vm);
	struct vm_quick *q = &vm->quick;

	if ((state != VM_RUNNING && state != VM_PAUSED) || vm->mig.active || q->active ||
	    vm->pausing)
		return vm_refuse(vm, err, "save it");
	vm_quick_fini(vm);
	if (cl_timer_new(vm->host->loop, on_poll, vm, &q->poll) < 0)
		return cl_error_errno(err, -ENOMEM, "vm '%s'", vm_name(vm));
	q->reserved = reserved;
	q->error[0] = '\0';
	q->active = true;
	vm->mig.began = cl_mono_now();
	/* Pages of zeros cost nothing: this is the most that it can become. */
	vm->mig.progress = (struct vm_progress){ .downtime_ms = -1,
						 .total = vm_config_ram_bytes(&vm->config) };
	moved(vm, 0);
	(void)cl_timer_set_in(q->poll, POLL_MS);
	quick_init(&q->plan, vm_name(vm));
	(void)step(vm, (struct quick_event){ .kind = QUICK_EV_START,
					     .was_running = state == VM_RUNNING });
	return 0;
}

void vm_quick_switch(struct vm *vm)
{
	(void)step(vm, (struct quick_event){ .kind = QUICK_EV_SWITCH_OK });
}

void vm_quick_abort(struct vm *vm, const char *why)
{
	(void)snprintf(vm->quick.error, sizeof(vm->quick.error), "%s", why ? why : "");
	(void)step(vm, (struct quick_event){ .kind = QUICK_EV_ABORT });
}

/* ---- target --------------------------------------------------------------------------------- */

static void on_restore_ready(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	if (vm_state(vm) != VM_STARTING)
		return;
	if (err) {
		vm_kill(vm, err->msg);
		return;
	}
	(void)mig_target_step(&vm->mig.target, &(struct mig_event){ .kind = MIG_EV_SETUP_DONE });
	vm->announced = true;
	vm_set_state(vm, VM_INCOMING, "waits for its state");
	(void)vm_tell(vm, VM_EV_STARTED, "");
}

void vm_restore_prepare(struct vm *vm)
{
	(void)vm_qmp(vm, "migrate-set-capabilities", capabilities(), on_restore_ready);
}

static void load_failed(struct vm *vm, const char *why)
{
	vm_quick_fini(vm);
	vm_set_reason(vm, "%.250s", why);
	vm_kill(vm, NULL);
}

/* QEMU has what it needs; and every chunk of the file, its end too, was what it had to be. */
bool vm_quick_loaded(struct vm *vm)
{
	if (!vm->quick.restoring || vm->quick.verified)
		return true;
	vm->quick.complete = true;
	return false;
}

static void on_load_ended(void *user, bool ok, const char *why)
{
	struct vm *vm = user;

	vm->quick.helper = NULL;
	if (!ok) {
		load_failed(vm, why);
		return;
	}
	vm->quick.verified = true;
	if (vm->quick.complete && vm_state(vm) == VM_INCOMING)
		vm_tell_loaded(vm);
}

static void on_loaded_bytes(void *user, uint64_t bytes)
{
	struct vm *vm = user;

	moved(vm, bytes);
	(void)vm_tell(vm, VM_EV_MIGRATE_PROGRESS, "");
}

static const struct vm_helper_ops load_ops = { on_loaded_bytes, on_load_ended };

static void on_incoming(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	if (err && err->code != -ECONNRESET && vm_state(vm) == VM_INCOMING)
		load_failed(vm, err->msg);
}

static void on_getfd(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	if (vm_state(vm) != VM_INCOMING || (err && err->code == -ECONNRESET))
		return; /* its end is seen, and has a better reason */
	if (err)
		load_failed(vm, err->msg);
	else
		(void)vm_qmp(vm, "migrate-incoming", json_pack("{s:s}", "uri", "fd:" FD_NAME),
			     on_incoming);
}

int vm_load(struct vm *vm, uint64_t generation, struct cl_error *err)
{
	int fd = -1, r;

	if (vm_state(vm) != VM_INCOMING || !vm->quick.restoring || vm->quick.helper ||
	    vm->quick.verified)
		return vm_refuse(vm, err, "load its state");
	vm->mig.progress.total = vm_config_ram_bytes(&vm->config);
	moved(vm, 0);
	r = run_helper(vm, "load", generation, vm->config.generation, &load_ops, &fd, err);
	if (r < 0)
		return r;
	r = qmp_exec_fd(vm->qmp, "getfd", json_pack("{s:s}", "fdname", FD_NAME), fd,
			VM_QMP_TIMEOUT_MS, on_getfd, vm);
	cl_closep(&fd);
	return r < 0 ? cl_error_errno(err, r, "vm '%s': getfd", vm_name(vm)) : 0;
}
