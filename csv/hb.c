/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/hb.h"

#include <string.h>

#include "lib/crc32c.h"
#include "lib/le.h"

/* ---- the unit: magic, crc of all behind it, uuid, node, incarnation, instance, count ------------ */

#define MAGIC "CSVHB01"
enum {
	AT_CRC = 8,
	AT_UUID = 16,
	AT_NODE = 32,
	AT_INCARNATION = 40,
	AT_INSTANCE = 48,
	AT_COUNT = 56
};

static uint32_t crc_of(const uint8_t block[HB_UNIT_SIZE])
{
	return cl_crc32c(0, block + AT_UUID, HB_UNIT_SIZE - AT_UUID);
}

void hb_unit_encode(const struct hb_unit *u, const uint8_t volume[16], uint8_t block[HB_UNIT_SIZE])
{
	memset(block, 0, HB_UNIT_SIZE);
	memcpy(block, MAGIC, 8);
	memcpy(block + AT_UUID, volume, 16);
	cl_put_le32(block + AT_NODE, u->node);
	cl_put_le64(block + AT_INCARNATION, u->incarnation);
	cl_put_le64(block + AT_INSTANCE, u->instance);
	cl_put_le64(block + AT_COUNT, u->count);
	cl_put_le32(block + AT_CRC, crc_of(block));
}

static bool never_written(const uint8_t block[HB_UNIT_SIZE])
{
	return block[0] == 0 && memcmp(block, block + 1, HB_UNIT_SIZE - 1) == 0;
}

bool hb_unit_decode(const uint8_t block[HB_UNIT_SIZE], const uint8_t volume[16], uint32_t node,
		    struct hb_unit *ret)
{
	*ret = (struct hb_unit){ .node = node };
	if (never_written(block))
		return true;
	if (memcmp(block, MAGIC, 8) != 0 || cl_get_le32(block + AT_CRC) != crc_of(block) ||
	    memcmp(block + AT_UUID, volume, 16) != 0 || cl_get_le32(block + AT_NODE) != node)
		return false;
	ret->incarnation = cl_get_le64(block + AT_INCARNATION);
	ret->instance = cl_get_le64(block + AT_INSTANCE);
	ret->count = cl_get_le64(block + AT_COUNT);
	return true;
}

/* ---- the writer ------------------------------------------------------------------------------ */

static void extend(struct hb_chain *c, int64_t from_ms)
{
	if (from_ms + HEARTBEAT_FRESH_MS > c->until_ms)
		c->until_ms = from_ms + HEARTBEAT_FRESH_MS;
}

void hb_chain_confirmed(struct hb_chain *c, int64_t sent_ms, int64_t now_ms, unsigned defects)
{
	memmove(&c->last[1], &c->last[0], sizeof(c->last) - sizeof(c->last[0]));
	c->last[0].sent_ms = sent_ms;
	c->last[0].confirmed_ms = now_ms;
	if (now_ms < c->until_ms || (defects & HB_DEFECT_CHAIN_MENDS))
		extend(c, defects & HB_DEFECT_FROM_CONFIRM ? now_ms : sent_ms);
}

/* The youngest that had been confirmed when the beat was sent; none before it says more. */
void hb_chain_beat(struct hb_chain *c, int64_t beat_ms)
{
	for (unsigned i = 0; i < HB_CHAIN_KEPT; i++)
		if (c->last[i].confirmed_ms && c->last[i].confirmed_ms <= beat_ms) {
			extend(c, c->last[i].sent_ms);
			return;
		}
}

/* ---- the reader ------------------------------------------------------------------------------ */

static bool same(const struct hb_seen *s, const struct hb_unit *u)
{
	if (!u)
		return s->unit.node == 0;
	return s->unit.node == u->node && s->unit.incarnation == u->incarnation &&
	       s->unit.instance == u->instance && s->unit.count == u->count;
}

void hb_watch_read(struct hb_watch *w, uint32_t node, const struct hb_unit *unit, int64_t begun_ms,
		   int64_t ended_ms)
{
	struct hb_seen *s = &w->node[node % HB_NODES];

	if (!s->any || !same(s, unit)) {
		*s = (struct hb_seen){
			.any = true,
			.first_ms = ended_ms,
			.last_ms = begun_ms,
			.counted_ms = begun_ms,
			.reads = 1,
		};
		if (unit)
			s->unit = *unit;
		return;
	}
	s->last_ms = begun_ms;
	if (begun_ms - s->counted_ms < HEARTBEAT_MS)
		return;
	s->counted_ms = begun_ms;
	s->reads++;
}

static bool still(const struct hb_seen *s, unsigned defects)
{
	if (defects & HB_DEFECT_TWO_READS)
		return s->last_ms > s->first_ms;
	return s->reads >= 3 && s->last_ms - s->first_ms >= HEARTBEAT_SILENT_MS;
}

/*
 * What cannot be read says nothing: it may be torn, by one that moves. A unit of a later incarnation is
 * of a node that was admitted since: then it is not our debt.
 */
enum heartbeat_seen hb_watch_judge(const struct hb_watch *w, uint32_t node, uint64_t incarnation,
				   int64_t since_ms, unsigned defects)
{
	const struct hb_seen *s = &w->node[node % HB_NODES];

	if (!s->any || s->last_ms < since_ms)
		return HEARTBEAT_UNKNOWN;
	if (s->unit.node && s->unit.incarnation == incarnation)
		return still(s, defects) ? HEARTBEAT_SILENT : HEARTBEAT_UNKNOWN;
	return s->unit.node && s->unit.incarnation < incarnation ? HEARTBEAT_ABSENT
								 : HEARTBEAT_UNKNOWN;
}
