/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FNV-1a, 32 bits: numbers and table places that have to be the same on every node. Not against attackers. */
#ifndef CL_LIB_FNV_H
#define CL_LIB_FNV_H

#include <stddef.h>
#include <stdint.h>

#define CL_FNV32_START 2166136261u

/* h: CL_FNV32_START, or the result so far. */
static inline uint32_t cl_fnv32(uint32_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

#endif
