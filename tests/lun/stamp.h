/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lun-node puts at the head of each block that it writes, and landing.c looks for. */
#ifndef CL_TESTS_LUN_STAMP_H
#define CL_TESTS_LUN_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#define STAMP_MAGIC UINT64_C(0x6e756c2d706d6174)

struct stamp {
	uint64_t magic;
	uint32_t node, generation;
	uint64_t seq;
	uint32_t delay_ms, pad;
};

#endif
