/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a resource's specification to what one QEMU is started with. */
#ifndef CL_CLUSTERD_VM_FILL_H
#define CL_CLUSTERD_VM_FILL_H

#include "clusterd/conf.h"
#include "clusterd/core/node.h"
#include "migration/vm_config.h"

/* Of an order START or START_INCOMING. *ret is the caller's to fini in any case. */
int vm_fill_config(const struct node_action *order, const struct conf *conf, struct vm_config *ret,
		   struct cl_error *err);

/* Whether any disk lies on a cluster shared volume; true when that cannot be told. */
bool vm_fill_on_volumes(const struct node_action *order, const struct conf *conf);
/* The same of a VM that was found running: by what it was started with. */
bool vm_fill_found_on_volumes(const char *name, const struct conf *conf);
/* Name of the volume that a path lies on; "" = on none. */
void vm_fill_volume_of(const char *path, const struct conf *conf, char ret[STATE_NAME_MAX]);

#endif
