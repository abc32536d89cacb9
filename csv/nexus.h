/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data nexuses of a volume, as its coordinator's store knows them: who was permitted which key.
 * Pure. An entry goes only when the kill of its key is paid: a second kill, asked for while the first one
 * is under way, has to find it, and wait behind it.
 */
#ifndef CL_CSV_NEXUS_H
#define CL_CSV_NEXUS_H

#include "csv/store.h"
#include "iscsi/pr.h"
#include "lib/vec.h"

struct nexus {
	uint64_t key;
	struct store_node who;
	bool dying; /* a kill is under way */
};
CL_DEFINE_VEC(nexus_vec, struct nexus);

/* 0 or -ENOMEM. */
int nexus_add(struct nexus_vec *v, struct store_node who, uint64_t key);
/* What a claim has left: every key that tells whose it is. 0 or -ENOMEM. */
int nexus_load(struct nexus_vec *v, const uint64_t *keys, size_t n);
/* Permitted and not killed, nor about to be. */
bool nexus_known(const struct nexus_vec *v, struct store_node who, uint64_t key);
/* Those of `who` but `keep`, marked as dying, at most max of them; returns how many. */
size_t nexus_kill(struct nexus_vec *v, struct store_node who, uint64_t keep, struct pr_match *ret,
		  size_t max);
/* Those that are not among keys[] any more are dead, but for the dying: their own kill tells. */
void nexus_keep(struct nexus_vec *v, const uint64_t *keys, size_t n);
/* The kill of these is paid. */
void nexus_dead(struct nexus_vec *v, const struct pr_match *match, size_t n);

#endif
