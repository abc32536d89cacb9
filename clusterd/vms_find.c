/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdio.h>

#include "clusterd/vm_fill.h"
#include "clusterd/vms_int.h"
#include "lib/assert.h"
#include "lib/log.h"

/* How soon a launcher that has just been forked is looked at again. */
#define ADOPT_AGAIN_MS 20
/* A QEMU that does not answer for so long waits for a volume, perhaps: this node must not wait for it,
 * since it may be this node that has to bring the volume back. */
#define ADOPT_SILENT_MS 3000

void slot_adopting_ended(struct slot *s)
{
	if (!s->adopting)
		return;
	s->adopting = false;
	s->vms->adopting--;
	(void)cl_timer_set_in(s->vms->drain, 0);
}

void slot_found_ending(struct slot *s)
{
	if (!s->adopting)
		return;
	s->generation = vm_generation(s->vm);
	report_slot(s, NODE_VM_FOUND, "paused");
	slot_adopting_ended(s);
}

void slot_adopted(struct slot *s, const struct vm_event *e)
{
	s->generation = vm_generation(s->vm);
	if (s->found_silent)
		report_slot(s, e->state == VM_RUNNING ? NODE_VM_ANSWERS : NODE_VM_PAUSED, e->text);
	else
		report_slot(s, NODE_VM_FOUND, e->state == VM_RUNNING ? "" : "paused");
	if (s->found_silent && e->state != VM_RUNNING)
		report_slot(s, NODE_VM_ANSWERS, "");
	if (e->state == VM_SENT)
		report_slot(s, NODE_VM_SOURCE_DONE, "");
	if (e->state == VM_LOADED)
		report_slot(s, NODE_VM_TARGET_DONE, "");
}

static int adopt(struct slot *s, struct cl_error *err)
{
	int r = vm_adopt(s->vms->host, s->name, vms_on_vm, s, &s->vm, err);

	return r < 0 ? r : cl_timer_set_in(s->adopt_again, ADOPT_SILENT_MS);
}

/*
 * -EAGAIN, -ESRCH: somebody holds the VM's lock whose pid is not written yet, or is dying. To let go
 * of it now would be to say that it is not here, and the QEMU that a launcher becomes a moment later
 * would run unseen beside the next one. The lock ends it: it is given back only by the last process.
 */
static bool adopt_later(struct slot *s, const struct cl_error *err)
{
	return (err->code == -EAGAIN || err->code == -ESRCH) &&
	       cl_timer_set_in(s->adopt_again, ADOPT_AGAIN_MS) == 0;
}

static void adopt_failed(struct slot *s, const struct cl_error *err)
{
	log_error("vm %s cannot be adopted: %s", s->name, err->msg);
	slot_adopting_ended(s);
	s->vm = NULL;
	slot_free(s);
}

/* It is here, and may run: whatever it says later. Orders reach it from now on. */
static void found_silent(struct slot *s)
{
	log_warning("vm %s: its QEMU does not answer", s->name);
	s->found_silent = true;
	s->generation = vm_generation(s->vm);
	report_slot(s, NODE_VM_FOUND, "");
	report_slot(s, NODE_VM_SILENT, "");
	slot_adopting_ended(s);
}

static void on_adopt_again(void *user)
{
	struct cl_error err = CL_ERROR_INIT;
	struct slot *s = user;

	if (!s->adopting)
		return;
	if (s->vm)
		found_silent(s);
	else if (adopt(s, &err) < 0 && !adopt_later(s, &err))
		adopt_failed(s, &err);
}

static void on_found(void *user, const char *name)
{
	struct vms *vms = user;
	struct cl_error err = CL_ERROR_INIT;
	struct slot *s = slot_new(vms, name, 0);

	cl_assert(s && cl_timer_new(vms->d->loop, on_adopt_again, s, &s->adopt_again) == 0);
	s->adopting = true;
	s->on_volumes = vm_fill_found_on_volumes(name, &vms->d->conf);
	vms->adopting++;
	if (adopt(s, &err) == 0)
		return;
	if (adopt_later(s, &err))
		log_notice("vm %s cannot be adopted yet: %s", name, err.msg);
	else
		adopt_failed(s, &err);
}

void vms_find(struct vms *vms)
{
	struct cl_error err = CL_ERROR_INIT;

	vms->finding = true;
	if (vm_host_scan(vms->host, on_found, vms, &err) < 0) {
		log_crit("what runs here cannot be found out: %s", err.msg);
		daemon_stop(vms->d, 1);
		return;
	}
	(void)cl_timer_set_in(vms->drain, 0);
}
