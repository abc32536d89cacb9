/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking over what an earlier clusterd started. The lock says whether anybody lives; pid, start time
 * and uuid say that the process is still the same one; QEMU itself says what it is doing.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "migration/proc.h"
#include "migration/vm_private.h"

static int read_spec(const char *dir, struct vm_config *ret, struct cl_error *err)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	int r;

	if (asprintf(&path, "%s/spec.json", dir) < 0)
		return cl_error_errno(err, -ENOMEM, "spec.json");
	r = cl_file_read(path, 1 << 20, &text, NULL, err);
	if (r == 0)
		r = vm_config_parse(text, ret, err);
	return r < 0 ? cl_error_wrap(err, r, "adopt") : 0;
}

/* A pidfd first, then the checks: what they show cannot become another process's any more. */
static int find_process(struct vm *vm, struct cl_error *err)
{
	uint64_t want, start;
	int r = launch_read_pid(vm->dir, &vm->pid, &want);

	if (r < 0)
		return cl_error_set(err, -EAGAIN, "it is being launched just now");
	vm->pidfd = proc_pidfd(vm->pid);
	if (vm->pidfd < 0)
		return cl_error_errno(err, vm->pidfd, "process %d", (int)vm->pid);
	r = proc_start_time(vm->pid, &start);
	return r < 0 || start != want
		       ? cl_error_set(err, -ESRCH, "process %d is another one", (int)vm->pid)
		       : 0;
}

/*
 * Killed, and not gone yet: its first thread has ended, another may still wait in the kernel, with a
 * write to a disk under way. The command line is empty then, and the pidfd tells the end of them all.
 */
static void adopt_dying(struct vm *vm)
{
	vm_kill(vm, "was ending when clusterd began");
	vm->ordered_gone = false;
}

static int adopt_alive(struct vm *vm, struct cl_error *err)
{
	char marker[512];
	int r = vm_watch_process(vm, err);

	if (r < 0)
		return r;
	if (!proc_cmdline_has(vm->pid, vm->config.uuid)) {
		adopt_dying(vm);
		return 0;
	}
	/*
	 * Paused by signal, and nobody remembers why. It would answer only after SIGCONT, and then its
	 * guest would run before it could be stopped by QMP: without the log's word. So it ends.
	 */
	if (proc_all_stopped(vm->pid)) {
		vm_kill(vm, "was paused by signal when clusterd ended");
		return 0;
	}
	snprintf(marker, sizeof(marker), "%s/incoming", vm->dir);
	vm->incoming = access(marker, F_OK) == 0;
	return vm_connect(vm, err);
}

/* 1: adopted, or told to end; 0: nobody is alive. */
static int find_and_adopt(struct vm *vm, struct cl_error *err)
{
	int r = launch_alive(vm->dir);

	if (r <= 0)
		return r;
	r = find_process(vm, err);
	if (r == 0)
		r = adopt_alive(vm, err);
	/* It ended in between, unless somebody else holds its lock: that is nobody's to clean up. */
	if (r == -ESRCH && launch_alive(vm->dir) == 0)
		return 0;
	return r < 0 ? r : 1;
}

/*
 * Somebody lives there and cannot be taken over (a damaged spec.json, a socket that is gone). To let go
 * of it would be to say that it is not here, and it would run unseen beside the next owner: the caller
 * asks again until its lock is free.
 */
static int not_yet(const char *dir, int r, struct cl_error *err)
{
	return launch_alive(dir) > 0 ? cl_error_wrap(err, -EAGAIN, "its process lives, but") : r;
}

int vm_adopt(struct vm_host *host, const char *name, vm_event_fn fn, void *user, struct vm **ret,
	     struct cl_error *err)
{
	_cleanup_(vm_freep) struct vm *vm = NULL;
	_cleanup_free_ char *dir = NULL;
	struct vm_config config = { 0 };
	int r, alive;

	if (asprintf(&dir, "%s/%s", host->run_dir, name) < 0)
		return cl_error_errno(err, -ENOMEM, "adopt");
	r = read_spec(dir, &config, err);
	if (r == 0)
		r = vm_new(host, &config, name, VM_ADOPTING, fn, user, &vm, err);
	vm_config_fini(&config);
	if (r < 0)
		return not_yet(dir, r, err);
	alive = find_and_adopt(vm, err);
	if (alive < 0)
		return cl_error_wrap(err, not_yet(dir, alive, err), "vm '%s'", name);
	if (alive == 0) {
		launch_clean(dir);
		vm_set_state(vm, VM_GONE, "nobody is alive");
		vm_tell_later(vm, VM_EV_GONE);
	}
	*ret = cl_steal(vm);
	return 0;
}

/* ---- what it is doing ----------------------------------------------------------------------- */

static void adopted(struct vm *vm, enum vm_state state, const char *reason)
{
	vm->announced = true;
	vm_set_reason(vm, "%s", reason);
	vm_set_state(vm, state, "adopted");
	vm_heartbeat_begin(vm);
	(void)vm_tell(vm, VM_EV_ADOPTED, vm->reason);
}

static void decide(struct vm *vm, const char *run_word, const char *mig_word)
{
	enum mig_run run = mig_run_of(run_word);
	enum mig_status mig = mig_status_of(mig_word);

	switch (run) {
	case MIG_RUN_INMIGRATE:
		adopted(vm, VM_INCOMING, "");
		break;
	case MIG_RUN_POSTMIGRATE:
		adopted(vm, mig == MIG_ST_COMPLETED ? VM_SENT : VM_PAUSED, run_word);
		break;
	case MIG_RUN_FINISH_MIGRATE:
	case MIG_RUN_RUNNING:
		adopted(vm, VM_RUNNING, "");
		break;
	case MIG_RUN_PAUSED:
		adopted(vm, vm->incoming && mig == MIG_ST_COMPLETED ? VM_LOADED : VM_PAUSED,
			"found paused");
		break;
	default:
		adopted(vm, VM_PAUSED, run_word);
	}
}

/* It may wait for a volume in its main loop: no reason to end it. */
static void ask_again(struct vm *vm, const struct cl_error *err)
{
	if (err && err->code == -ETIMEDOUT)
		vm_adopt_ready(vm);
	else
		vm_kill(vm, "adopted, but qemu does not say what it does");
}

static void on_query_migrate(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	const char *status = json_string_value(json_object_get(result, "status"));
	char run[sizeof(vm->reason)];

	if (vm_state(vm) != VM_ADOPTING)
		return;
	if (err) {
		ask_again(vm, err);
		return;
	}
	snprintf(run, sizeof(run), "%s", vm->reason);
	vm_migration_adopt(vm, run, status);
	decide(vm, run, status);
}

static void on_query_status(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	const char *status = json_string_value(json_object_get(result, "status"));

	if (vm_state(vm) != VM_ADOPTING)
		return;
	if (err || !status) {
		ask_again(vm, err);
		return;
	}
	vm_set_reason(vm, "%s", status);
	(void)vm_qmp(vm, "query-migrate", NULL, on_query_migrate);
}

void vm_adopt_ready(struct vm *vm)
{
	(void)vm_qmp(vm, "query-status", NULL, on_query_status);
}
