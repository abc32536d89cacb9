/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The random part of an iSCSI ISID (RFC 7143, 11.12.5) of a volume's sessions: a number of its own per
 * volume, because two LUNs of one target are two sessions; the qualifier beside it tells the roles apart.
 */
#ifndef CL_CSV_ISID_H
#define CL_CSV_ISID_H

#include "lib/fnv.h"

static inline uint32_t csv_isid(const uint8_t volume[16])
{
	uint32_t h = cl_fnv32(CL_FNV32_START, volume, 16);

	return (h ^ h >> 24) & 0xffffff;
}

#endif
