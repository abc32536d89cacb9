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

/*
 * Private files: nobody sees them before they are complete.
 *
 *     fd = open("DIR/.csv-private-ANY", O_CREAT | O_EXCL | O_RDWR)   makes a file that has no name
 *     write, fallocate, fsync, ftruncate
 *     ioctl(fd, CSV_IOC_NAME, &name)                                 gives it one, at once
 *
 * Closed, or its node lost, before: it is gone, and its space is free. 0, or -1 with errno
 *   EEXIST   the name is there already (it is never replaced), or the file has a name
 *   EBUSY    somebody else has it open
 *   EINVAL   empty or unterminated name
 *   others   as of link(2); ENOTTY: not a file of a cluster volume
 * What was written before is durable when the name is. Names that begin so are reserved.
 */
#define CSV_PRIVATE_PREFIX ".csv-private-"

struct csv_name {
	uint64_t directory; /* st_ino of the directory; of the same volume */
	char name[256];	    /* with the terminating NUL */
};

#define CSV_IOC_NAME _IOW('C', 0x72, struct csv_name)

#endif
