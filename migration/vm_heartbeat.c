/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is QEMU's main loop alive? query-status, again and again; an answer also corrects what we believe,
 * should an event have been lost. A QEMU that hangs is reported and left alone: it may wait for a
 * volume that comes back, and its guest's last writes are better waited for than thrown away.
 */
#include "config.h"

#include <string.h>

#include "migration/vm_private.h"

#define BEAT_MS 2000
/* Disk activation after a migration alone may take seconds; a loaded machine, too. */
#define SILENT_MS 10000

static void ask(void *user);

static void again(struct vm *vm, int64_t ms)
{
	if (vm->heartbeat)
		(void)cl_timer_set_in(vm->heartbeat, ms);
}

static void on_answer(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	const char *status = json_string_value(json_object_get(result, "status"));

	if (!vm->heartbeat)
		return;
	if (err && err->code != -ETIMEDOUT)
		return; /* the socket is closed; its end is seen elsewhere */
	again(vm, err ? 0 : BEAT_MS);
	/* SIGSTOP: by our own order. */
	if (vm->silent != !!err && !(err && vm->sigstopped)) {
		vm->silent = !!err;
		if (vm_tell(vm, err ? VM_EV_SILENT : VM_EV_ANSWERS, err ? err->msg : NULL))
			return;
	}
	if (status && !vm->mig.active)
		(void)vm_on_status(vm, status);
}

static void ask(void *user)
{
	struct vm *vm = user;

	if (vm->qmp && qmp_exec(vm->qmp, "query-status", NULL, SILENT_MS, on_answer, vm) == 0)
		return;
	again(vm, BEAT_MS);
}

void vm_heartbeat_begin(struct vm *vm)
{
	if (!vm->heartbeat && cl_timer_new(vm->host->loop, ask, vm, &vm->heartbeat) == 0)
		again(vm, BEAT_MS);
}

void vm_heartbeat_fini(struct vm *vm)
{
	cl_source_free(cl_steal(vm->heartbeat));
}
