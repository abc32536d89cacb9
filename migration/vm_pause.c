/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stop and go. A pause that is reported is one that was seen: QEMU's STOP event (sent before it
 * drains its disks, so a hanging volume does not delay it), else every thread in state T. What is
 * not confirmed by the deadline is killed: the others count on this guest standing still.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "migration/proc.h"
#include "migration/vm_private.h"

#define CONT_TIMEOUT_MS (INT64_C(86400) * 1000)
/* For the gentle way. The watchdog feeder freezes soon after (quorum/feeder.h), and what is frozen takes no
 * signal: it could not be confirmed any more, and would be killed for it. */
#define GENTLE_MS 150
#define STOPPED_POLL_MS 10 /* there is no event for "all threads are stopped" */

void vm_pause_fini(struct vm *vm)
{
	cl_source_free(cl_steal(vm->pause_timer));
	vm->pausing = false;
}

static void paused(struct vm *vm, enum vm_pause_how how)
{
	struct vm_event event = { .kind = VM_EV_PAUSED, .pause = how, .text = vm->reason };

	vm_pause_fini(vm);
	vm->cont_sent = false;
	vm->stop_why = VM_STOP_ORDER;
	if (vm_state(vm) != VM_PAUSED)
		vm_set_state(vm, VM_PAUSED, "paused by order");
	event.state = vm_state(vm);
	(void)vm_tell_event(vm, event);
}

bool vm_pause_on_stop(struct vm *vm)
{
	if (!vm->pausing)
		return false;
	paused(vm, VM_PAUSE_STOP_EVENT);
	return true;
}

static void on_pause_timer(void *user)
{
	struct vm *vm = user;
	int64_t left = cl_mono_diff_ms(cl_mono_now(), vm->pause_deadline);

	if (!vm->sigstopped) {
		vm->sigstopped = true;
		(void)proc_signal(vm->pidfd, SIGSTOP);
	}
	if (proc_all_stopped(vm->pid)) {
		paused(vm, VM_PAUSE_SIGSTOP);
	} else if (left <= 0) {
		vm_kill(vm, "could not be paused in time");
	} else {
		cl_timer_set_in(vm->pause_timer, left < STOPPED_POLL_MS ? left : STOPPED_POLL_MS);
	}
}

static void on_stop_reply(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;

	(void)result;
	/* The answer proves it as well; an error leaves it to the timer. */
	if (!err && vm->pausing)
		paused(vm, VM_PAUSE_STOP_EVENT);
}

static int begin_pause(struct vm *vm, struct cl_mono deadline, struct cl_error *err)
{
	int64_t left = cl_mono_diff_ms(cl_mono_now(), deadline);
	int r = 0;

	if (!vm->pause_timer)
		r = cl_timer_new(vm->host->loop, on_pause_timer, vm, &vm->pause_timer);
	if (r < 0)
		return cl_error_errno(err, r, "pause");
	vm->pausing = true;
	vm->pause_deadline = deadline;
	cl_timer_set_in(vm->pause_timer,
			left / 2 < GENTLE_MS ? (left > 0 ? left / 2 : 0) : GENTLE_MS);
	(void)vm_qmp(vm, "stop", NULL, on_stop_reply);
	return 0;
}

/*
 * No guest instruction is executed and none will be without an order. A `cont` that is not answered
 * yet may be carried out at any moment: that is a guest that runs.
 */
static bool stands(const struct vm *vm)
{
	enum vm_state state = vm_state(vm);

	if (vm->cont_sent)
		return false;
	return state == VM_PAUSED || state == VM_INCOMING || state == VM_LOADED ||
	       state == VM_SENT || (state == VM_STARTING && vm->incoming);
}

int vm_pause(struct vm *vm, struct cl_mono deadline, const char *why, struct cl_error *err)
{
	enum vm_state state = vm_state(vm);

	if (state == VM_STOPPING || state == VM_KILLING || state == VM_GONE)
		return vm_refuse(vm, err, "pause it");
	/*
	 * In the middle of the handover QEMU resumes the guest by itself when the target goes away:
	 * a stop given now would not hold.
	 */
	if (vm->mig.active && state != VM_SENT && mig_source_may_resume(&vm->mig.source)) {
		vm_kill(vm, "cannot be paused while it is handed over");
		return 0;
	}
	if (vm_is_migrating(vm))
		(void)vm_migrate_abort(vm, false, why, NULL);
	vm_set_reason(vm, "%s", why);
	if (stands(vm)) {
		vm_tell_later(vm, VM_EV_PAUSED);
		return 0;
	}
	return begin_pause(vm, deadline, err);
}

int vm_stand(struct vm *vm, const char *why, struct cl_error *err)
{
	if (vm_state(vm) != VM_RUNNING || vm_is_migrating(vm) || vm->pausing)
		return vm_refuse(vm, err, "let it stand");
	vm_set_reason(vm, "%s", why);
	vm->pausing = true;
	return vm_qmp(vm, "stop", NULL, on_stop_reply);
}

/* ---- go ------------------------------------------------------------------------------------- */

static void on_cont_reply(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	bool first = !vm->announced;
	enum vm_state state = vm_state(vm);

	(void)result;
	if (state == VM_KILLING || state == VM_GONE || vm->pausing || !vm->cont_sent)
		return; /* a later order decides */
	vm->cont_sent = false;
	if (err && first) {
		vm_set_reason(vm, "%s", err->msg);
		vm_kill(vm, NULL);
		vm->ordered_gone = false;
		return;
	}
	if (err) {
		(void)vm_tell(vm, VM_EV_FAILED, err->msg);
		return;
	}
	vm->announced = true;
	vm_set_state(vm, VM_RUNNING, "continued");
	vm_heartbeat_begin(vm);
	if (vm_tell_event(vm, (struct vm_event){ .kind = first ? VM_EV_STARTED : VM_EV_RUNNING,
						 .state = VM_RUNNING,
						 .time_us = vm->resume_us }))
		return;
	/* The repeated write failed again before QEMU had answered. */
	if (vm->stop_why != VM_STOP_ORDER)
		vm_ask_status(vm);
}

void vm_send_cont(struct vm *vm)
{
	char marker[512];

	/* From here on a restarted clusterd must not take it for a target that never ran. */
	snprintf(marker, sizeof(marker), "%s/incoming", vm->dir);
	(void)unlink(marker);
	if (vm->sigstopped) {
		vm->sigstopped = false;
		(void)proc_signal(vm->pidfd, SIGCONT);
	}
	vm->cont_sent = true;
	vm->incoming = false;
	vm->reason[0] = '\0';
	vm->stop_why = VM_STOP_ORDER;
	if (vm_state(vm) == VM_SENT)
		vm->mig.active = vm->quick.active = false; /* over, and taken back */
	vm_quick_drop(vm);				   /* used up by this, or void */
	/* It opens the disks for writing, and may wait for as long as their volume does. */
	if (!vm->qmp || qmp_exec(vm->qmp, "cont", NULL, CONT_TIMEOUT_MS, on_cont_reply, vm) < 0)
		vm_kill(vm, "its control socket is closed");
}

void vm_first_cont(struct vm *vm)
{
	if (vm->pausing) {
		vm->announced = true;
		paused(vm, VM_PAUSE_STOP_EVENT); /* -S: it has not run yet, and will not */
		return;
	}
	vm_send_cont(vm);
}

int vm_cont(struct vm *vm, struct cl_error *err)
{
	enum vm_state state = vm_state(vm);

	if (state != VM_PAUSED && state != VM_LOADED && state != VM_SENT)
		return vm_refuse(vm, err, "continue it");
	vm_send_cont(vm);
	return 0;
}
