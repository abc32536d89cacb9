/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The effects of migration/plan_migrate by QMP, and the reports to the caller. No decision is made
 * here: every command and every report is an action of one of the two machines.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "migration/migrate_tls.h"
#include "migration/outgoing.h"
#include "migration/vm_private.h"

#define POLL_MS 50
#define REPORT_MS 250
#define CONNECT_MS 10000
#define FD_NAME "migration"
#define NO_LIMIT (INT64_C(1) << 40) /* bytes/s: QEMU's default would be 128 MiB/s */

static bool step(struct vm *vm, struct mig_event ev);

void vm_migration_fini(struct vm *vm)
{
	struct vm_migration *m = &vm->mig;

	cl_source_free(cl_steal(m->poll));
	outgoing_free(cl_steal(m->outgoing));
	free(cl_steal(m->address));
	free(cl_steal(m->listen));
	m->active = false;
}

static bool is_live(const struct vm *vm)
{
	return vm->mig.active && vm_state(vm) != VM_SENT;
}

bool vm_is_migrating(const struct vm *vm)
{
	return is_live(vm) || (vm->quick.active && vm_state(vm) != VM_SENT);
}

static bool command_failed(struct vm *vm, const struct cl_error *err)
{
	log_debug("vm '%s': migration: %s", vm_name(vm), err->msg);
	snprintf(vm->mig.error, sizeof(vm->mig.error), "%.250s", err->msg);
	return step(vm, (struct mig_event){ .kind = MIG_EV_COMMAND_FAILED });
}

static void on_command(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	if (err && vm->mig.active)
		(void)command_failed(vm, err);
}

static void run_command(struct vm *vm, const char *command, json_t *args, qmp_reply_fn fn)
{
	struct cl_error gone = CL_ERROR_INIT;

	/* A connection that is gone is noticed by itself, and ends the VM. */
	if (vm_qmp(vm, command, args, fn) < 0)
		cl_error_set(&gone, -ECONNRESET, "%s: not sent", command);
	if (gone.code)
		log_debug("vm '%s': %s", vm_name(vm), gone.msg);
}

/* ---- the source's beginning: each step only after the one before was accepted ---------------- */

static json_t *capability(const char *name)
{
	return json_pack("{s:s, s:b}", "capability", name, "state", 1);
}

/*
 * Whether the next step may be made. One that was given up meanwhile has not begun in QEMU, which therefore will
 * not say that it is over.
 */
static bool goes_on(struct vm *vm, const struct cl_error *err)
{
	if (!vm->mig.active)
		return false;
	if (mig_source_phase(&vm->mig.source) == MIG_CANCELLING)
		(void)step(vm,
			   (struct mig_event){ .kind = MIG_EV_STATUS, .status = MIG_ST_CANCELLED });
	else if (err)
		(void)command_failed(vm, err);
	else
		return true;
	return false;
}

static void on_migrate(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	if (err)
		(void)goes_on(vm, err);
	else if (vm->mig.active)
		(void)step(vm, (struct mig_event){ .kind = MIG_EV_SETUP_DONE });
}

static void on_getfd(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	if (!goes_on(vm, err))
		return;
	outgoing_given(vm->mig.outgoing);
	run_command(vm, "migrate", json_pack("{s:s}", "uri", "fd:" FD_NAME), on_migrate);
}

static void on_connected(void *user, int fd, const struct cl_error *err)
{
	struct vm *vm = user;
	struct cl_error gone = CL_ERROR_INIT;

	if (!goes_on(vm, err))
		return;
	if (!vm->qmp || qmp_exec_fd(vm->qmp, "getfd", json_pack("{s:s}", "fdname", FD_NAME), fd,
				    VM_QMP_TIMEOUT_MS, on_getfd, vm) < 0) {
		cl_error_set(&gone, -ECONNRESET, "getfd: not sent");
		(void)command_failed(vm, &gone);
	}
}

static void on_parameters(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	struct cl_error failed = CL_ERROR_INIT;

	(void)result;
	if (goes_on(vm, err) &&
	    outgoing_open(vm->host->loop, vm->mig.address, vm->mig.args.port, CONNECT_MS,
			  on_connected, vm, &vm->mig.outgoing, &failed) < 0)
		(void)command_failed(vm, &failed);
}

static void on_capabilities(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	uint64_t bandwidth = vm->mig.args.bandwidth;
	json_t *args;

	(void)result;
	if (!goes_on(vm, err))
		return;
	/*
	 * The least downtime: QEMU goes on copying, if the guest is busy at all, until phase=switch is
	 * committed. Not 0: then 7.2 looks for no more dirty pages and stops the guest after pass 1.
	 */
	args = json_pack("{s:I, s:i}", "max-bandwidth",
			 (json_int_t)(bandwidth ? bandwidth : NO_LIMIT), "downtime-limit", 1);
	migrate_tls_parameters(vm, args);
	run_command(vm, "migrate-set-parameters", args, on_parameters);
}

static void set_capabilities(struct vm *vm)
{
	/*
	 * return-path: `completed` means that the target has it all. pause-before-switchover: a point
	 * at which the manager is asked. late-block-activate: the target's disks stay closed until
	 * `cont`.
	 */
	json_t *list =
		json_pack("[o, o, o, o]", capability("events"), capability("return-path"),
			  capability("pause-before-switchover"), capability("late-block-activate"));

	run_command(vm, "migrate-set-capabilities", json_pack("{s:o}", "capabilities", list),
		    on_capabilities);
}

static void on_credentials(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	if (goes_on(vm, err))
		set_capabilities(vm);
}

static void set_up(struct vm *vm)
{
	if (vm->mig.tls_directory[0])
		migrate_tls_begin(vm, false, on_credentials);
	else
		set_capabilities(vm);
}

/* ---- progress ------------------------------------------------------------------------------- */

static uint64_t number(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(object, key));

	return n > 0 ? (uint64_t)n : 0;
}

static void take_progress(struct vm *vm, const json_t *result)
{
	struct vm_progress *p = &vm->mig.progress;
	const json_t *ram = json_object_get(result, "ram");

	if (!ram)
		return;
	p->transferred = number(ram, "transferred");
	p->remaining = number(ram, "remaining");
	p->total = number(ram, "total");
	p->passes = (unsigned)number(ram, "dirty-sync-count");
	p->total_ms = cl_mono_diff_ms(vm->mig.began, cl_mono_now());
	if (json_object_get(result, "downtime"))
		p->downtime_ms = (int64_t)number(result, "downtime");
}

static void on_query_migrate(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	int64_t before = vm->mig.progress.total_ms / REPORT_MS;
	bool freed;

	vm->mig.asking = false;
	if (!vm->mig.active || vm_state(vm) == VM_SENT)
		return;
	if (!err)
		take_progress(vm, result);
	/* Also without an answer: it is the machine's clock. */
	freed = step(vm, (struct mig_event){ .kind = MIG_EV_PROGRESS,
					     .now_ms = cl_mono_ms(cl_mono_now()),
					     .transferred = vm->mig.progress.transferred,
					     .remaining = vm->mig.progress.remaining });
	if (!freed && is_live(vm) && vm->mig.progress.total_ms / REPORT_MS != before)
		(void)vm_tell(vm, VM_EV_MIGRATE_PROGRESS, "");
}

static void on_poll(void *user)
{
	struct vm *vm = user;

	if (!is_live(vm))
		return;
	if (!vm->mig.asking)
		vm->mig.asking = vm_qmp(vm, "query-migrate", NULL, on_query_migrate) == 0;
	cl_timer_set_in(vm->mig.poll, POLL_MS);
}

/* ---- the source's actions ------------------------------------------------------------------- */

static void on_run_state(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	const char *word = json_string_value(json_object_get(result, "status"));

	if (vm->mig.active && !err)
		(void)step(vm,
			   (struct mig_event){ .kind = MIG_EV_RUN_STATE, .run = mig_run_of(word) });
}

static void set_downtime(struct vm *vm, unsigned ms)
{
	run_command(vm, "migrate-set-parameters", json_pack("{s:i}", "downtime-limit", (int)ms),
		    on_command);
}

/* Final figures: downtime and total are only in the answer to query-migrate. */
static void on_final_figures(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	if (vm_state(vm) != VM_RUNNING && vm_state(vm) != VM_PAUSED)
		return;
	if (!err)
		take_progress(vm, result);
	vm_set_reason(vm, "handed over");
	vm_set_state(vm, VM_SENT, "completed and postmigrate");
	(void)vm_tell_event(vm, (struct vm_event){ .kind = VM_EV_MIGRATE_SENT,
						   .state = VM_SENT,
						   .time_us = vm->mig.stop_us,
						   .progress = vm->mig.progress,
						   .text = "" });
}

static bool report_sent(struct vm *vm)
{
	cl_source_free(cl_steal(vm->mig.poll));
	outgoing_free(cl_steal(vm->mig.outgoing));
	run_command(vm, "query-migrate", NULL, on_final_figures);
	return false;
}

static bool report_failed(struct vm *vm, bool running, const char *why)
{
	char text[400];

	/* QEMU's own words, where it gave some, say more than ours. */
	snprintf(text, sizeof(text), "%s%s%s", why, vm->mig.error[0] ? ": " : "", vm->mig.error);
	cl_source_free(cl_steal(vm->mig.poll));
	outgoing_free(cl_steal(vm->mig.outgoing));
	vm->mig.active = false;
	if (vm_state(vm) == VM_RUNNING || vm_state(vm) == VM_PAUSED)
		vm_set_state(vm, running ? VM_RUNNING : VM_PAUSED, "the migration failed");
	if (running)
		vm->reason[0] = '\0';
	return vm_tell(vm, VM_EV_MIGRATE_FAILED, text);
}

/* Wherever QEMU is in it (migration/outgoing.h). An adopted one's connection is QEMU's alone. */
static void cancel(struct vm *vm)
{
	run_command(vm, "migrate_cancel", NULL, NULL);
	if (vm->mig.outgoing)
		outgoing_cut(vm->mig.outgoing);
}

/* True when the vm may be gone. */
static bool perform(struct vm *vm, const struct mig_action *a)
{
	switch (a->kind) {
	case MIG_ACT_SETUP:
		set_up(vm);
		break;
	case MIG_ACT_SET_DOWNTIME:
		set_downtime(vm, a->downtime_ms);
		break;
	case MIG_ACT_CONTINUE:
		run_command(vm, "migrate-continue", json_pack("{s:s}", "state", "pre-switchover"),
			    on_command);
		break;
	case MIG_ACT_CANCEL:
		cancel(vm);
		break;
	case MIG_ACT_QUERY_RUN_STATE:
		run_command(vm, "query-status", NULL, on_run_state);
		break;
	case MIG_ACT_REPORT_SWITCH:
		return vm_tell(vm, VM_EV_MIGRATE_SWITCH, "");
	case MIG_ACT_REPORT_SENT:
		return report_sent(vm);
	case MIG_ACT_REPORT_FAILED:
		return report_failed(vm, a->running, a->why);
	case MIG_ACT_REPORT_NEED_DEAD:
		vm_tell_later(vm, VM_EV_MIGRATE_NEED_DEAD); /* may come from within an order */
		break;
	}
	return false;
}

static bool step(struct vm *vm, struct mig_event ev)
{
	struct mig_actions out = { .n = 0 };

	mig_source_step(&vm->mig.source, &ev, &out);
	for (unsigned i = 0; i < out.n; i++)
		if (perform(vm, &out.v[i]))
			return true;
	return false;
}

/* ---- events --------------------------------------------------------------------------------- */

static void on_target_run_state(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	const char *word = json_string_value(json_object_get(result, "status"));
	struct mig_event ev = { .kind = MIG_EV_RUN_STATE, .run = mig_run_of(word) };

	if (err || vm_state(vm) != VM_INCOMING)
		return;
	if (mig_target_step(&vm->mig.target, &ev) == MIGT_ACT_REPORT_LOADED && vm_quick_loaded(vm))
		vm_tell_loaded(vm);
}

void vm_tell_loaded(struct vm *vm)
{
	vm_set_state(vm, VM_LOADED, "completed and paused");
	vm_set_reason(vm, "received, waits for the commit");
	(void)vm_tell(vm, VM_EV_LOADED, "");
}

static void target_status(struct vm *vm, enum mig_status status)
{
	struct mig_event ev = { .kind = MIG_EV_STATUS, .status = status };

	if (mig_target_step(&vm->mig.target, &ev) == MIGT_ACT_QUERY_RUN_STATE)
		run_command(vm, "query-status", NULL, on_target_run_state);
}

/* The reason that QEMU gives stands only in query-migrate; it is kept for the report. */
static void on_failed_reason(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	const char *desc = json_string_value(json_object_get(result, "error-desc"));

	if (!err && desc && vm->mig.active)
		snprintf(vm->mig.error, sizeof(vm->mig.error), "%s", desc);
}

static bool on_migration(struct vm *vm, const json_t *data)
{
	const char *word = json_string_value(json_object_get(data, "status"));
	enum mig_status status = mig_status_of(word);

	if (vm_state(vm) == VM_INCOMING) {
		target_status(vm, status);
		return false;
	}
	if (!vm->mig.active)
		return false;
	/* Of one that was given up it is known why: we cut it. */
	if (status == MIG_ST_FAILED && mig_source_phase(&vm->mig.source) != MIG_CANCELLING)
		run_command(vm, "query-migrate", NULL, on_failed_reason);
	return step(vm, (struct mig_event){ .kind = MIG_EV_STATUS, .status = status });
}

bool vm_migration_on_event(struct vm *vm, const char *name, const json_t *data, int64_t time_us)
{
	if (vm->quick.active)
		return vm_quick_on_event(vm, name, data, time_us);
	if (strcmp(name, "MIGRATION") == 0)
		return on_migration(vm, data);
	if (!vm->mig.active)
		return false;
	if (strcmp(name, "STOP") == 0)
		vm->mig.stop_us = time_us;
	if (strcmp(name, "RESUME") == 0)
		return step(vm, (struct mig_event){ .kind = MIG_EV_RESUMED });
	if (strcmp(name, "MIGRATION_PASS") == 0)
		return step(vm, (struct mig_event){ .kind = MIG_EV_PASS,
						    .pass = (unsigned)number(data, "pass") });
	return false;
}

/* ---- orders --------------------------------------------------------------------------------- */

static int begin_polling(struct vm *vm)
{
	int r = cl_timer_new(vm->host->loop, on_poll, vm, &vm->mig.poll);

	return r < 0 ? r : cl_timer_set_in(vm->mig.poll, POLL_MS);
}

int vm_migrate(struct vm *vm, const struct vm_migrate_args *args, struct cl_error *err)
{
	enum vm_state state = vm_state(vm);
	struct vm_migration *m = &vm->mig;

	if ((state != VM_RUNNING && state != VM_PAUSED) || m->active || vm->pausing ||
	    vm->quick.active)
		return vm_refuse(vm, err, m->active ? "begin a second migration" : "move it");
	vm_migration_fini(vm);
	m->address = strdup(args->address);
	if (!m->address || begin_polling(vm) < 0)
		return cl_error_errno(err, -ENOMEM, "vm '%s'", vm_name(vm));
	m->args = *args;
	m->args.address = m->address;
	(void)snprintf(m->tls_directory, sizeof(m->tls_directory), "%s",
		       args->tls_directory ? args->tls_directory : "");
	(void)snprintf(m->tls_peer, sizeof(m->tls_peer), "%s",
		       args->tls_peer ? args->tls_peer : "");
	m->progress = (struct vm_progress){ .downtime_ms = -1 };
	m->error[0] = '\0';
	m->began = cl_mono_now();
	m->active = true;
	mig_source_init(&m->source, vm_name(vm), args->downtime_ms);
	(void)step(vm, (struct mig_event){ .kind = MIG_EV_START,
					   .now_ms = cl_mono_ms(m->began),
					   .total = vm_config_ram_bytes(&vm->config),
					   .was_running = state == VM_RUNNING });
	return 0;
}

int vm_migrate_switch(struct vm *vm, struct cl_error *err)
{
	if (!vm_is_migrating(vm))
		return vm_refuse(vm, err, "switch over: it is not being moved");
	if (vm->quick.active)
		vm_quick_switch(vm);
	else
		(void)step(vm, (struct mig_event){ .kind = MIG_EV_SWITCH_OK });
	return 0;
}

int vm_migrate_abort(struct vm *vm, bool target_dead, const char *why, struct cl_error *err)
{
	if (!vm_is_migrating(vm))
		return vm_refuse(vm, err, "abort: it is not being moved");
	if (vm->quick.active) {
		vm_quick_abort(vm, why);
		return 0;
	}
	snprintf(vm->mig.error, sizeof(vm->mig.error), "%s", why ? why : "");
	(void)step(vm, (struct mig_event){ .kind = MIG_EV_ABORT, .target_dead = target_dead });
	return 0;
}

void vm_migration_adopt(struct vm *vm, const char *run_word, const char *word)
{
	enum mig_run run = mig_run_of(run_word);
	enum mig_status status = mig_status_of(word);

	if (run == MIG_RUN_INMIGRATE) {
		mig_target_init(&vm->mig.target, vm_name(vm));
		(void)mig_target_step(&vm->mig.target,
				      &(struct mig_event){ .kind = MIG_EV_SETUP_DONE });
		return;
	}
	if (run != MIG_RUN_FINISH_MIGRATE && status != MIG_ST_ACTIVE && status != MIG_ST_SETUP)
		return;
	if (begin_polling(vm) < 0)
		return;
	vm->mig.began = cl_mono_now();
	vm->mig.active = true;
	mig_source_adopt(&vm->mig.source, vm_name(vm), status);
	/* Nobody remembers this migration; while the target cannot be complete it is given up. */
	if (status == MIG_ST_ACTIVE || status == MIG_ST_SETUP)
		(void)step(vm, (struct mig_event){ .kind = MIG_EV_ABORT });
}

/* ---- target --------------------------------------------------------------------------------- */

static void try_port(struct vm *vm);

static void on_listening(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	struct vm_migration *m = &vm->mig;

	(void)result;
	if (vm_state(vm) != VM_STARTING)
		return;
	if (err && err->code == -EIO && m->port < m->port_last) {
		m->port++; /* another VM has it */
		try_port(vm);
		return;
	}
	if (err) {
		vm_set_reason(vm, "cannot listen on %s: %s", m->listen, err->msg);
		vm_kill(vm, NULL);
		return;
	}
	(void)mig_target_step(&m->target, &(struct mig_event){ .kind = MIG_EV_SETUP_DONE });
	vm->announced = true;
	vm_set_state(vm, VM_INCOMING, "listens");
	(void)vm_tell_event(
		vm,
		(struct vm_event){ .kind = VM_EV_STARTED, .state = VM_INCOMING, .port = m->port });
}

static void try_port(struct vm *vm)
{
	char uri[128];

	snprintf(uri, sizeof(uri), strchr(vm->mig.listen, ':') ? "tcp:[%s]:%u" : "tcp:%s:%u",
		 vm->mig.listen, vm->mig.port);
	run_command(vm, "migrate-incoming", json_pack("{s:s}", "uri", uri), on_listening);
}

static void on_incoming_capabilities(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	if (vm_state(vm) != VM_STARTING)
		return;
	if (err)
		vm_kill(vm, err->msg);
	else
		try_port(vm);
}

static void on_incoming_credentials(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	json_t *args = json_object();

	(void)result;
	if (vm_state(vm) != VM_STARTING || err) {
		json_decref(args);
		if (err)
			vm_kill(vm, err->msg);
		return;
	}
	migrate_tls_parameters(vm, args);
	run_command(vm, "migrate-set-parameters", args, on_incoming_capabilities);
}

static void on_incoming_ready(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	if (err || !vm->mig.tls_directory[0])
		on_incoming_capabilities(user, result, err);
	else if (vm_state(vm) == VM_STARTING)
		migrate_tls_begin(vm, true, on_incoming_credentials);
}

void vm_incoming_prepare(struct vm *vm)
{
	json_t *list = json_pack("[o, o, o]", capability("events"), capability("return-path"),
				 capability("late-block-activate"));

	run_command(vm, "migrate-set-capabilities", json_pack("{s:o}", "capabilities", list),
		    on_incoming_ready);
}
