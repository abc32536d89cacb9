/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/vm_fill.h"
#include "clusterd/vms_int.h"
#include "lib/log.h"

struct report *report_new(struct vms *vms, enum node_vm_report what, const char *name,
			  uint64_t generation, const char *text)
{
	struct report r = { .what = what, .generation = generation };

	(void)snprintf(r.name, sizeof(r.name), "%s", name);
	(void)snprintf(r.text, sizeof(r.text), "%s", text ? text : "");
	if (report_vec_push(&vms->reports, r) < 0) {
		log_crit("out of memory");
		daemon_stop(vms->d, 1); /* an unreported end would be waited for for ever */
		return NULL;
	}
	(void)cl_timer_set_in(vms->drain, 0);
	return &vms->reports.v[vms->reports.n - 1];
}

void report_slot(struct slot *s, enum node_vm_report what, const char *text)
{
	(void)report_new(s->vms, what, s->name, s->generation, text);
}

void report_stopped(struct vms *vms, const char *name, uint64_t generation, bool failed,
		    const char *why)
{
	struct report *r = report_new(vms, NODE_VM_STOPPED, name, generation, why);

	if (r)
		r->failed = failed;
}

void reports_give(struct vms *vms)
{
	struct report_vec reports = vms->reports;

	vms->reports = (struct report_vec){ 0 };
	for (size_t i = 0; i < reports.n; i++) {
		struct report *r = &reports.v[i];
		struct node_event event = {
			.type = NODE_EV_VM,
			.vm = { .report = r->what,
				.name = r->name,
				.generation = r->generation,
				.text = r->text,
				.failed = r->failed,
				.stands = r->stands,
				.percent = r->percent,
				.downtime_ms = r->downtime_ms,
				.stop = r->stop,
				.volume = r->volume },
		};

		daemon_step(vms->d, &event);
	}
	report_vec_fini(&reports);
	if (vms->finding && !vms->adopting) {
		vms->finding = false;
		daemon_vms_found(vms->d);
	}
}

void report_paused(struct slot *s, const struct vm_event *e)
{
	static const enum node_vm_stop stops[] = {
		[VM_STOP_NO_SPACE] = NODE_VM_STOP_NO_SPACE,
		[VM_STOP_IO_ERROR] = NODE_VM_STOP_IO_ERROR,
	};
	struct report *r = report_new(s->vms, NODE_VM_PAUSED, s->name, s->generation, e->text);

	if (!r)
		return;
	r->stop = stops[e->stop];
	if (e->disk)
		vm_fill_volume_of(e->disk, &s->vms->d->conf, r->volume);
}

void report_progress(struct slot *s, enum node_vm_report what, const struct vm_event *e)
{
	const struct vm_progress *p = &e->progress;
	struct report *r = report_new(s->vms, what, s->name, s->generation, e->text);

	if (!r)
		return;
	if (p->total && p->remaining <= p->total)
		r->percent = (uint32_t)((p->total - p->remaining) * 100 / p->total);
	r->downtime_ms = p->downtime_ms > 0 ? (uint32_t)p->downtime_ms : 0;
}
