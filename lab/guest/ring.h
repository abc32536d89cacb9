/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring on a guest's disk: what may stand in it after a crash. Freestanding, used by both guests.
 *
 * With one block written at a time and flushed before the next, the ring must hold every number
 * from newest - slots + 1 to newest, each in its slot. The one exception is the slot behind the
 * newest: there a write that was never acknowledged may have begun.
 */
#ifndef CL_LAB_GUEST_RING_H
#define CL_LAB_GUEST_RING_H

#include "beat.h"

struct ring_scan {
	uint32_t slots; /* a power of two */
	uint64_t newest, newest_seq;
	uint32_t errors;
};

/* Called twice for every slot in order: pass 0 finds the newest, pass 1 holds the rest against it. */
static inline void ring_scan_slot(struct ring_scan *s, int pass, uint32_t slot,
				  const struct beat_block *b)
{
	uint64_t want;

	if (pass == 0) {
		if (beat_block_ok(b) && ((uint32_t)b->disk_seq & (s->slots - 1)) == slot &&
		    b->disk_seq > s->newest) {
			s->newest = b->disk_seq;
			s->newest_seq = b->seq;
		}
		return;
	}
	if (slot == ((uint32_t)(s->newest + 1) & (s->slots - 1)))
		return;
	/* The highest number <= newest that belongs into this slot. */
	want = s->newest - (((uint32_t)s->newest - slot) & (s->slots - 1));
	if (want == 0 || want > s->newest) { /* not written yet */
		s->errors += !beat_block_blank(b);
		return;
	}
	s->errors += !(beat_block_ok(b) && b->disk_seq == want);
}

#endif
