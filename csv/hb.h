/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The storage heartbeat of one volume, pure: what a unit looks like, what a node that writes may
 * conclude (chain), and what a node that reads may (watch). Why it is so: docs/timing.md.
 *
 *   N       send x ------ lands ------ confirmed y            sends the next one 0.5 s later
 *   others         read       read       read  ...            each 0.5 s
 *
 * Chain: N's VMs may execute until x + FRESH for each heartbeat that was confirmed before the last
 * one's end had passed. Once it has passed the chain is broken, and a heartbeat alone does not mend
 * it: it may be one that was stuck in a buffer while the others found N silent. Only a heartbeat that
 * was confirmed before a beat was sent that a majority acked begins it anew: that majority had not
 * heard of N's failure when N's unit had moved already.
 *
 * Watch: silent is who did not move from a read that ended at r1 to one that began SILENT later, with
 * three reads HEARTBEAT_MS apart among them. A verdict about a failed node is taken by a read that
 * began after its failure was known here to be in the log, and before its key is preempted by us.
 */
#ifndef CL_CSV_HB_H
#define CL_CSV_HB_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/heartbeat.h"

#define HB_UNIT_SIZE 4096u
#define HB_NODES 256u /* units, by node id; 0 is nobody's */

/* Guards that can be left out, to prove that a test notices. */
enum {
	HB_DEFECT_TWO_READS = 1 << 0,	 /* silent after two reads, however near each other */
	HB_DEFECT_CHAIN_MENDS = 1 << 1,	 /* a late heartbeat mends a broken chain by itself */
	HB_DEFECT_FROM_CONFIRM = 1 << 2, /* fresh from the confirmation, not from the sending */
};

struct hb_unit {
	uint32_t node;
	uint64_t incarnation;
	uint64_t instance; /* of the process: counts begin anew with it */
	uint64_t count;
};

void hb_unit_encode(const struct hb_unit *unit, const uint8_t volume[16],
		    uint8_t block[HB_UNIT_SIZE]);
/* False: another volume's or node's, or damaged. One that was never written has incarnation 0. */
bool hb_unit_decode(const uint8_t block[HB_UNIT_SIZE], const uint8_t volume[16], uint32_t node,
		    struct hb_unit *ret);

/* ---- the writer ------------------------------------------------------------------------------ */

enum { HB_CHAIN_KEPT = 4 };

struct hb_chain {
	int64_t until_ms; /* VMs may execute until then as far as this volume goes; 0 = never */
	struct {
		int64_t sent_ms, confirmed_ms;
	} last[HB_CHAIN_KEPT]; /* youngest first */
};

/* A heartbeat sent at sent_ms was confirmed now. */
void hb_chain_confirmed(struct hb_chain *chain, int64_t sent_ms, int64_t now_ms, unsigned defects);
/* A majority acked a beat that was sent at beat_ms. */
void hb_chain_beat(struct hb_chain *chain, int64_t beat_ms);

/* ---- the reader ------------------------------------------------------------------------------ */

struct hb_seen {
	struct hb_unit unit; /* node 0: nothing that can be read */
	bool any;
	int64_t first_ms; /* when the first read that showed it had ended */
	int64_t last_ms;  /* when the youngest one that showed it had begun */
	int64_t counted_ms;
	unsigned reads; /* HEARTBEAT_MS apart */
};

struct hb_watch {
	struct hb_seen node[HB_NODES];
};

/* A read of the node's unit, begun and ended then, showed this. unit NULL: nothing readable. */
void hb_watch_read(struct hb_watch *watch, uint32_t node, const struct hb_unit *unit,
		   int64_t begun_ms, int64_t ended_ms);

/* What the reads so far say of (node, incarnation); the last of them began at since_ms or later. */
enum heartbeat_seen hb_watch_judge(const struct hb_watch *watch, uint32_t node,
				   uint64_t incarnation, int64_t since_ms, unsigned defects);

#endif
