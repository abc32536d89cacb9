/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's disk, opened and tagged with (resource, generation): the volume's coordinator refuses
 * writes through it as soon as that generation is no longer the owner's (proto/csv_ioctl.h).
 */
#ifndef CL_MIGRATION_DISK_OPEN_H
#define CL_MIGRATION_DISK_OPEN_H

#include "lib/error.h"
#include "migration/vm_config.h"

/*
 * A descriptor for direct I/O, not close-on-exec. May block for as long as the volume does. A file
 * outside a cluster volume is an error unless the config allows plain files.
 */
int disk_open(const struct vm_config *config, unsigned i, struct cl_error *err);

#endif
