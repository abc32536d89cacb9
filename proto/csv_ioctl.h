/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tagged handles. The launcher of a VM opens its disks below /ClusterStorage, tags each descriptor
 * with the resource and the generation that it is starting, and passes the descriptors to QEMU. The
 * volume's coordinator then refuses locks and writes through a descriptor whose generation is not
 * the owner's: a stale owner's write fails at the file, whatever its host believes.
 *
 * ioctl(fd, CSV_IOC_TAG, &tag): 0, or -1 with errno
 *   EINVAL   empty or unterminated name, generation 0
 *   EBUSY    the descriptor carries another tag already; a tag is never changed
 *   ESTALE   the generation is older than the owner's or the reserved one
 *   ENOTTY   not a file of a cluster volume
 * It waits, as any operation, while the volume has no coordinator. The tag belongs to the open file
 * description: dup(2), fork(2) and SCM_RIGHTS share it, another open(2) does not.
 *
 * Afterwards, by the owner table: own generation = all; reserved generation = open and read, while
 * write, truncate, fallocate and locks wait for the commit; a newer one = waits, as the table here may be
 * late; an older one = ESTALE for everything but close.
 */
#ifndef CL_PROTO_CSV_IOCTL_H
#define CL_PROTO_CSV_IOCTL_H

#include <linux/ioctl.h>
#include <stdint.h>

#define CSV_TAG_NAME_MAX 64 /* with the terminating NUL */

struct csv_tag {
	uint64_t generation;
	char resource[CSV_TAG_NAME_MAX];
};

#define CSV_IOC_TAG _IOW('C', 0x71, struct csv_tag)

#endif
