/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening a file or block device in place of a LUN: its size, how to do direct I/O, its lock. */
#ifndef CL_ISCSI_LOCAL_FILE_H
#define CL_ISCSI_LOCAL_FILE_H

#include "iscsi/lun_uring.h"

#define LOCAL_ALIGN_MAX 4096

struct local_file {
	int fd;
	bool direct;
	uint32_t block_size, memory_align;
	uint64_t bytes;
};

int local_open(const struct lun_uring_config *config, struct local_file *ret, struct cl_error *err);
void local_close(struct local_file *file);

/* An errno as a target would put it, so that a caller has one kind of failure to deal with. */
struct lun_sense local_sense(int error);

#endif
