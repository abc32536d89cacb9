/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of struct vms: vms.c (orders and events), vms_find.c (what runs when clusterd starts),
 * vms_report.c (what the core is told).
 */
#ifndef CL_CLUSTERD_VMS_INT_H
#define CL_CLUSTERD_VMS_INT_H

#include <sys/queue.h>

#include "clusterd/daemon.h"
#include "clusterd/vms.h"
#include "lib/vec.h"
#include "migration/vm.h"

struct slot {
	LIST_ENTRY(slot) link;
	struct vms *vms;
	struct vm *vm; /* NULL once its process is gone, and while it cannot be adopted yet */
	struct cl_source *adopt_again;
	char name[STATE_NAME_MAX];
	uint64_t generation;
	bool adopting;
	bool found_silent; /* told of as running before it answered */
	bool incoming, quick;
	bool on_volumes; /* its requests may be in csvd */
	bool ordered;	 /* its end was ordered */
	bool gone, requests_done;
	bool failed;
	struct cl_source *again; /* FAIL_AGAIN_MS, from its kill to its end */
	char why[STATE_REASON_MAX];
};

struct report {
	enum node_vm_report what;
	char name[STATE_NAME_MAX], text[STATE_URL_MAX];
	uint64_t generation;
	bool failed, stands;
	uint32_t percent, downtime_ms;
	enum node_vm_stop stop;
	char volume[STATE_NAME_MAX];
};

CL_DEFINE_VEC(report_vec, struct report);

struct vms {
	struct daemon *d;
	struct vm_host *host;
	LIST_HEAD(, slot) slots;
	unsigned adopting;
	bool finding;
	uint64_t cleanup; /* incarnation being ended (0: what none of ours started) */
	bool cleaning, cleanup_closing;
	struct report_vec reports;
	struct cl_source *drain;
};

/* vms.c */
struct slot *slot_new(struct vms *vms, const char *name, uint64_t generation);
void slot_free(struct slot *s);
void vms_on_vm(void *user, struct vm *vm, const struct vm_event *e);

/* vms_report.c. Queued, given to the core from the loop. NULL: no memory, the daemon ends. */
struct report *report_new(struct vms *vms, enum node_vm_report what, const char *name,
			  uint64_t generation, const char *text);
void report_slot(struct slot *s, enum node_vm_report what, const char *text);
void report_stopped(struct vms *vms, const char *name, uint64_t generation, bool failed,
		    const char *why);
void report_paused(struct slot *s, const struct vm_event *e);
void report_progress(struct slot *s, enum node_vm_report what, const struct vm_event *e);
/* All that is queued. */
void reports_give(struct vms *vms);

/* vms_find.c */
void slot_adopted(struct slot *s, const struct vm_event *e);
void slot_adopting_ended(struct slot *s);
/* It died, or was dying, while no clusterd was there: it was here, its requests may still be. The
 * start does not wait for its end, since csvd, which may have to bring that about, is heard after. */
void slot_found_ending(struct slot *s);

/* ---- vms_tls.c --------------------------------------------------------------------------------------- */

/* QEMU's certificates of this node; "": migrations to it are in the clear. What a target does, its
 * source does: the target says so in its address. */
const char *vms_tls_directory(const struct vms *vms);
/* The source's: the target is who the log says, and its certificate has to say the same. */
int vms_tls_target(const struct slot *s, struct vm_migrate_args *args, struct cl_error *err);

#endif
