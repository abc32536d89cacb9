/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From what the log stores of a VM to what its QEMU is started with. */
#ifndef CL_CLUSTERD_VM_GLUE_H
#define CL_CLUSTERD_VM_GLUE_H

#include "migration/vm_config.h"
#include "resources/vm_spec.h"

/* The spec is finished and has its uuid. vm_config_fini() the result. plain_files: tests only. */
int vm_glue_config(const struct vm_spec *spec, const char *name, uint64_t generation,
		   bool plain_files, struct vm_config *ret, struct cl_error *err);

#endif
