/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The core's VM orders carried out by migration/vm.h, and what happened reported back. A report is
 * never given from within an order: it waits for the next turn of the loop.
 */
#ifndef CL_CLUSTERD_VMS_H
#define CL_CLUSTERD_VMS_H

#include "clusterd/core/node.h"

struct daemon;
struct vms;

int vms_new(struct daemon *d, struct vms **ret, struct cl_error *err);
/* For the watchdog feeder: the cgroup that it freezes when this process cannot pause what runs there. */
int vms_tell_slice(const struct vms *vms, struct cl_error *err);
/* The QEMUs live on. */
void vms_free(struct vms *vms);

/* Adopt what an earlier clusterd left: NODE_EV_VM FOUND for each that lives, then
 * NODE_EV_STARTED. */
void vms_find(struct vms *vms);

/* NODE_DO_VM */
void vms_order(struct vms *vms, const struct node_action *action);

/* NODE_DO_CLEANUP: kill all, have csvd close the sessions, then NODE_EV_CLEANED. */
void vms_cleanup(struct vms *vms, uint64_t incarnation);

/* From csvd: no request of (name, generations <= this) is left in it. */
void vms_requests_failed(struct vms *vms, const char *name, uint64_t generation);
/*
 * From csvd: what was opened on this node's mounts before that (CLOCK_BOOTTIME, ms) is lost for good.
 * A VM that was started before has no disks any more and ends, as if it had crashed. Said again by each
 * hello; why: what ended.
 */
void vms_handles_lost(struct vms *vms, uint64_t before_ms, const char *why);
/* From csvd: it holds nothing any more of incarnations <= this. */
void vms_sessions_closed(struct vms *vms, uint64_t incarnation);

#endif
