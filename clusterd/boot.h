/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who this node was in this boot: a small file in the run directory, which a reboot empties. It
 * outlives a restart of clusterd, as the VMs do, and no reboot, as they do not.
 */
#ifndef CL_CLUSTERD_BOOT_H
#define CL_CLUSTERD_BOOT_H

#include <stdint.h>

#include "lib/error.h"

struct boot {
	uint64_t incarnation;
	uint32_t id, token_ms, consensus_ms;
};

/* 1 = read, 0 = there is none, negative: it is damaged. */
int boot_read(const char *dir, struct boot *ret, struct cl_error *err);
int boot_write(const char *dir, const struct boot *boot, struct cl_error *err);

#endif
