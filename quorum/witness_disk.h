/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness LUN as bytes (docs/witness.md). Everything is little-endian, in units of 4096 bytes,
 * and everything that says something has a CRC-32C behind it. Pure: bytes in, values out.
 *
 *   unit 0        superblock: format version, cluster, uuid of this copy of the database
 *   unit 1, 2     who owns it: claim number and node; claim n stands in unit 1 + n % 2
 *   unit 16 + i   heartbeat slot of node i (1..255)
 *   unit 512 ..   the log: two halves of equal size
 *
 * Torn writes. A device writes a sector of 512 bytes whole or not at all; all that a superblock, an
 * owner's record or a slot says lies in the first sector of its unit. Should a device tear even
 * that, the CRC tells: of the two owner's records one stays (the write of claim n + 1 does not
 * touch that of n), a torn slot is a slot that has not moved, the superblock is written once.
 * Records of the log are longer: a torn one is the last one, nobody was told of it, and it is left
 * out (quorum/witness_log.h).
 */
#ifndef CL_QUORUM_WITNESS_DISK_H
#define CL_QUORUM_WITNESS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

enum {
	WITNESS_UNIT = 4096,
	WITNESS_NODES_MAX = 255,
	WITNESS_OWNER_UNIT = 1,
	WITNESS_SLOT_UNIT = 16, /* + the node's id */
	WITNESS_LOG_UNIT = 512,
	WITNESS_VERSION = 1,
	/* 2 MiB before the log, and two halves that hold a database of some size. */
	WITNESS_BYTES_MIN = 8 << 20,
};

/* The witness's node id in the log: no node of corosync can have it. */
#define WITNESS_NODE UINT32_C(256)

struct witness_super {
	uint8_t cluster[16]; /* uuid of the cluster's database */
	uint8_t voter[16];   /* of the copy on this LUN: made with it */
	uint64_t half_bytes; /* of each half of the log */
};

struct witness_owner {
	uint64_t claim; /* 0 = never claimed; one more with every take-over */
	uint32_t node;
};

struct witness_slot {
	uint32_t node;
	uint64_t instance; /* of its clusterd */
	uint64_t beat;	   /* moves with each write */
	bool serving;	   /* it runs the witness's copy of the log .. */
	bool completes;	   /* .. for a side that has a majority with it */
	/* The last record of the log that was durable when this was written: whoever reads less has
	 * lost what the witness vouched for. */
	uint64_t generation, seq;
};

/* The size of each half on a LUN of so many bytes; 0: too small. */
uint64_t witness_half_bytes(uint64_t lun_bytes);

void witness_super_encode(const struct witness_super *s, uint8_t unit[WITNESS_UNIT]);
/* Takes any bytes. 0; -ENODATA when it is none of ours (blank, foreign); -CL_ECORRUPT. */
int witness_super_decode(const uint8_t unit[WITNESS_UNIT], struct witness_super *ret,
			 struct cl_error *err);

void witness_owner_encode(const struct witness_owner *o, uint8_t unit[WITNESS_UNIT]);
/* Of the two records (2 units) the newer one that holds together; claim 0 when neither does. */
struct witness_owner witness_owner_decode(const uint8_t units[2 * WITNESS_UNIT]);

void witness_slot_encode(const struct witness_slot *s, uint8_t unit[WITNESS_UNIT]);
/* False: nothing there that holds together, or another node's. */
bool witness_slot_decode(const uint8_t unit[WITNESS_UNIT], uint32_t node, struct witness_slot *ret);

/* ---- a record of the log ------------------------------------------------------------------------ */

enum { WITNESS_RECORD_HEADER = 48 };

struct witness_record {
	bool checkpoint; /* the whole, not a step */
	uint64_t generation, seq;
	uint32_t len; /* of the body */
	uint32_t body_crc;
};

/* Header of the record whose body is given. voter: of the copy, so that a LUN that was made anew
 * does not read what an earlier life wrote. */
void witness_record_encode(const struct witness_record *r, const uint8_t voter[16],
			   const uint8_t *body, uint8_t out[WITNESS_RECORD_HEADER]);
/* False: no header of ours. The body is still to be checked. */
bool witness_record_decode(const uint8_t in[WITNESS_RECORD_HEADER], const uint8_t voter[16],
			   struct witness_record *ret);
bool witness_record_body_ok(const struct witness_record *r, const uint8_t *body);

/* What a record with a body of len bytes takes up: whole units. */
static inline uint64_t witness_record_bytes(uint64_t len)
{
	return (WITNESS_RECORD_HEADER + len + WITNESS_UNIT - 1) / WITNESS_UNIT * WITNESS_UNIT;
}

#endif
