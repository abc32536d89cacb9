/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A target whose list of keys is true only as long as nothing but its last key is removed (istgt 0.4). Pure.
 *
 * When a key is removed that was not registered last, the right one of the nexuses behind it goes, but each of
 * the others then has the key of the one before it, and the last key is nobody's:
 *
 *     keys    K1 K2 K3 K4                 K1 K2 K3             PREEMPT of K4 now would find nobody, and that
 *     nexuses a  b  c  d   - PREEMPT K2 > a  c  d              of K3, meant for c, would hit d
 *
 * (By the rules for a sound list a fence still ends right: the victim's key does not go before all behind it have
 * gone. But if the issuer is behind it, it loses its own, and has to log in and claim once for each of them.)
 *
 * So nothing is removed from the middle. From the last key down to the first victim all go, the innocent behind
 * it too; they ask for admission anew. If the issuer's own nexus is among those behind the victim it stays, and
 * is left as the last one, under the first victim's key: it renames itself. That REGISTER is the proof: it
 * is refused to a nexus that has no key, or another one. What the list has to be afterwards is known exactly.
 *
 * A REGISTER that comes in between makes the list another one than that: from the beginning. If the issuer's own
 * nexus is hit, each further command of it gets a CONFLICT: the fence fails, and a new claim removes everybody.
 */
#ifndef CL_ISCSI_PR_TAIL_H
#define CL_ISCSI_PR_TAIL_H

#include "iscsi/pr.h"

struct pr_tail {
	size_t n_victims, n_expected;
	uint64_t victims[PR_KEYS_MAX];	/* to be preempted, in this order */
	uint64_t expected[PR_KEYS_MAX]; /* the list afterwards, in any order */
	uint64_t own, rename;		/* the key that `own` has then; 0 = its own */
};

/*
 * keys: as READ KEYS told them, `own` among them; first: the first victim's place. own itself is none.
 */
void pr_tail_plan(const uint64_t *keys, size_t n, size_t first, uint64_t own, struct pr_tail *ret);

/* Is the list what it has to be? */
bool pr_tail_done(const struct pr_tail *t, const uint64_t *keys, size_t n);

#endif
