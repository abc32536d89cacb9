/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device for making a file system: nobody uses it yet, no reservation stands. */
#ifndef CL_CSV_FORMAT_DEV_H
#define CL_CSV_FORMAT_DEV_H

#include <stddef.h>
#include <stdint.h>

#include "csv/fs_dev.h"
#include "iscsi/probe.h"

/* Blocks. For a LUN the target is probed first: one that cannot fence is refused (-CL_EREFUSED), one
 * where a key is registered or a reservation stands is in use (the same). A file or block device is for a
 * cluster of one node (the same). nodes: members of the cluster. ret_found: what the probe found; all
 * zero where there was nothing to probe. */
int format_dev_open(const char *url, uint32_t node, size_t nodes, struct fs_dev **ret,
		    struct lun_probe_result *ret_found, struct cl_error *err);

#endif
