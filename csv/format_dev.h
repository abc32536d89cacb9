/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device for making a file system: nobody uses it yet, no reservation stands. */
#ifndef CL_CSV_FORMAT_DEV_H
#define CL_CSV_FORMAT_DEV_H

#include <stddef.h>
#include <stdint.h>

#include "csv/fs_dev.h"
#include "iscsi/probe.h"

struct format_dev_config {
	const char *url;
	uint32_t node;
	size_t nodes; /* members of the cluster */
	bool unsafe;  /* one insists on a target that is found to be unfenceable */
};

/*
 * Is the LUN fit for a shared volume? Blocks, some seconds. One whose target cannot fence is refused
 * (-CL_EREFUSED), one where a key is registered or a reservation stands is in use (the same). A file or block
 * device is for a cluster of one node (the same). ret_found: what the probe found; all zero where there was
 * nothing to probe.
 */
int format_dev_probe(const struct format_dev_config *cfg, struct lun_probe_result *ret_found,
		     struct cl_error *err);

/* For reading and writing, after the probe. Blocks. */
int format_dev_open(const struct format_dev_config *cfg, struct fs_dev **ret, struct cl_error *err);

/*
 * Where the target has PREEMPT AND ABORT: does it drain? Writes over the middle of the LUN, so only when it is
 * known that nothing is lost by it; the device must not be open. found->quirks is completed.
 */
int format_dev_try_abort(const struct format_dev_config *cfg, struct lun_probe_result *found,
			 struct cl_error *err);

#endif
