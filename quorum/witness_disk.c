/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "quorum/witness_disk.h"

#include <string.h>

#include "lib/crc32c.h"
#include "lib/le.h"

#define MAGIC_SUPER UINT64_C(0x3153454e5449574c) /* "LWITNES1" */
#define MAGIC_OWNER UINT64_C(0x314e574f5449574c)
#define MAGIC_SLOT UINT64_C(0x31544c535449574c)
#define MAGIC_RECORD UINT32_C(0x43525457)

enum { SEALED = 124 }; /* bytes under the CRC that follows them */

uint64_t witness_half_bytes(uint64_t lun_bytes)
{
	uint64_t log = lun_bytes - (uint64_t)WITNESS_LOG_UNIT * WITNESS_UNIT;

	if (lun_bytes < WITNESS_BYTES_MIN)
		return 0;
	return log / 2 / WITNESS_UNIT * WITNESS_UNIT;
}

/* ---- small units: magic, fields, CRC ---------------------------------------------------------------- */

static void seal(uint8_t *unit, uint64_t magic)
{
	cl_put_le64(unit, magic);
	cl_put_le32(unit + SEALED, cl_crc32c(0, unit, SEALED));
}

static bool sealed(const uint8_t *unit, uint64_t magic)
{
	return cl_get_le64(unit) == magic &&
	       cl_get_le32(unit + SEALED) == cl_crc32c(0, unit, SEALED);
}

void witness_super_encode(const struct witness_super *s, uint8_t unit[WITNESS_UNIT])
{
	memset(unit, 0, WITNESS_UNIT);
	cl_put_le32(unit + 8, WITNESS_VERSION);
	memcpy(unit + 16, s->cluster, 16);
	memcpy(unit + 32, s->voter, 16);
	cl_put_le64(unit + 48, s->half_bytes);
	seal(unit, MAGIC_SUPER);
}

int witness_super_decode(const uint8_t unit[WITNESS_UNIT], struct witness_super *ret,
			 struct cl_error *err)
{
	uint64_t half = cl_get_le64(unit + 48);

	if (cl_get_le64(unit) != MAGIC_SUPER)
		return cl_error_set(err, -ENODATA, "the LUN is no cluster's witness");
	if (!sealed(unit, MAGIC_SUPER))
		return cl_error_set(err, -CL_ECORRUPT, "the witness's superblock is damaged");
	if (cl_get_le32(unit + 8) != WITNESS_VERSION)
		return cl_error_set(err, -CL_ECORRUPT,
				    "the witness has format version %u, this software knows %d",
				    cl_get_le32(unit + 8), WITNESS_VERSION);
	if (half == 0 || half % WITNESS_UNIT || half > UINT64_MAX / 4)
		return cl_error_set(err, -CL_ECORRUPT, "the witness's log has an impossible size");
	memcpy(ret->cluster, unit + 16, 16);
	memcpy(ret->voter, unit + 32, 16);
	ret->half_bytes = half;
	return 0;
}

void witness_owner_encode(const struct witness_owner *o, uint8_t unit[WITNESS_UNIT])
{
	memset(unit, 0, WITNESS_UNIT);
	cl_put_le64(unit + 8, o->claim);
	cl_put_le32(unit + 16, o->node);
	seal(unit, MAGIC_OWNER);
}

struct witness_owner witness_owner_decode(const uint8_t units[2 * WITNESS_UNIT])
{
	struct witness_owner best = { 0 };

	for (unsigned i = 0; i < 2; i++) {
		const uint8_t *unit = units + (size_t)i * WITNESS_UNIT;
		struct witness_owner o = {
			.claim = cl_get_le64(unit + 8),
			.node = cl_get_le32(unit + 16),
		};

		if (sealed(unit, MAGIC_OWNER) && o.claim > best.claim)
			best = o;
	}
	return best;
}

void witness_slot_encode(const struct witness_slot *s, uint8_t unit[WITNESS_UNIT])
{
	memset(unit, 0, WITNESS_UNIT);
	cl_put_le32(unit + 8, s->node);
	cl_put_le32(unit + 12, (uint32_t)s->serving | (uint32_t)s->completes << 1);
	cl_put_le64(unit + 16, s->instance);
	cl_put_le64(unit + 24, s->beat);
	cl_put_le64(unit + 32, s->generation);
	cl_put_le64(unit + 40, s->seq);
	seal(unit, MAGIC_SLOT);
}

bool witness_slot_decode(const uint8_t unit[WITNESS_UNIT], uint32_t node, struct witness_slot *ret)
{
	if (!sealed(unit, MAGIC_SLOT) || cl_get_le32(unit + 8) != node)
		return false;
	*ret = (struct witness_slot){
		.node = node,
		.serving = cl_get_le32(unit + 12) & 1,
		.completes = cl_get_le32(unit + 12) >> 1 & 1,
		.instance = cl_get_le64(unit + 16),
		.beat = cl_get_le64(unit + 24),
		.generation = cl_get_le64(unit + 32),
		.seq = cl_get_le64(unit + 40),
	};
	return true;
}

/* ---- records ------------------------------------------------------------------------------------------ */

/* Of the header's first 40 bytes and the voter's uuid, which is not written a second time. */
static uint32_t header_crc(const uint8_t *header, const uint8_t voter[16])
{
	return cl_crc32c(cl_crc32c(0, header, 40), voter, 16);
}

void witness_record_encode(const struct witness_record *r, const uint8_t voter[16],
			   const uint8_t *body, uint8_t out[WITNESS_RECORD_HEADER])
{
	memset(out, 0, WITNESS_RECORD_HEADER);
	cl_put_le32(out, MAGIC_RECORD);
	cl_put_le32(out + 4, r->checkpoint);
	cl_put_le64(out + 8, r->generation);
	cl_put_le64(out + 16, r->seq);
	cl_put_le32(out + 24, r->len);
	cl_put_le32(out + 28, cl_crc32c(0, body, r->len));
	cl_put_le32(out + 40, header_crc(out, voter));
}

bool witness_record_decode(const uint8_t in[WITNESS_RECORD_HEADER], const uint8_t voter[16],
			   struct witness_record *ret)
{
	if (cl_get_le32(in) != MAGIC_RECORD || cl_get_le32(in + 40) != header_crc(in, voter))
		return false;
	*ret = (struct witness_record){
		.checkpoint = cl_get_le32(in + 4) != 0,
		.generation = cl_get_le64(in + 8),
		.seq = cl_get_le64(in + 16),
		.len = cl_get_le32(in + 24),
		.body_crc = cl_get_le32(in + 28),
	};
	return true;
}

bool witness_record_body_ok(const struct witness_record *r, const uint8_t *body)
{
	return cl_crc32c(0, body, r->len) == r->body_crc;
}
