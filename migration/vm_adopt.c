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
	if (r < 0 || start != want || !proc_cmdline_has(vm->pid, vm->config.uuid))
		return cl_error_set(err, -ESRCH, "process %d is another one", (int)vm->pid);
	return 0;
}

static int adopt_alive(struct vm *vm, struct cl_error *err)
{
	char marker[512];
	int r = find_process(vm, err);

	if (r < 0)
		return r;
	snprintf(marker, sizeof(marker), "%s/incoming", vm->dir);
	vm->incoming = access(marker, F_OK) == 0;
	r = vm_watch_process(vm, err);
	return r < 0 ? r : vm_connect(vm, err);
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
		return r;
	alive = launch_alive(dir);
	if (alive > 0)
		r = adopt_alive(vm, err);
	if (r == -ESRCH)
		alive = 0; /* it ended meanwhile */
	else if (r < 0)
		return cl_error_wrap(err, r, "vm '%s'", name);
	if (alive <= 0) {
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

static void on_query_migrate(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	const char *status = json_string_value(json_object_get(result, "status"));
	char run[sizeof(vm->reason)];

	if (vm_state(vm) != VM_ADOPTING)
		return;
	if (err) {
		vm_kill(vm, "adopted, but qemu does not answer");
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
		vm_kill(vm, "adopted, but qemu does not answer");
		return;
	}
	vm_set_reason(vm, "%s", status);
	(void)vm_qmp(vm, "query-migrate", NULL, on_query_migrate);
}

void vm_adopt_ready(struct vm *vm)
{
	(void)vm_qmp(vm, "query-status", NULL, on_query_status);
}
