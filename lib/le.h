/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Little-endian integers in byte buffers: everything of ours on a wire or a disk is written so.
 * The caller has checked the room.
 */
#ifndef CL_LIB_LE_H
#define CL_LIB_LE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline void cl_put_le16(uint8_t *p, uint16_t x)
{
	x = htole16(x);
	memcpy(p, &x, sizeof(x));
}

static inline void cl_put_le32(uint8_t *p, uint32_t x)
{
	x = htole32(x);
	memcpy(p, &x, sizeof(x));
}

static inline void cl_put_le64(uint8_t *p, uint64_t x)
{
	x = htole64(x);
	memcpy(p, &x, sizeof(x));
}

static inline uint16_t cl_get_le16(const uint8_t *p)
{
	uint16_t x;

	memcpy(&x, p, sizeof(x));
	return le16toh(x);
}

static inline uint32_t cl_get_le32(const uint8_t *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return le32toh(x);
}

static inline uint64_t cl_get_le64(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return le64toh(x);
}

#endif
