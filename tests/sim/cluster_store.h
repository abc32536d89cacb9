/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What cluster_store.c (a csvd's role) and cluster_nexus.c (data nexuses) share. Not for others. */
#ifndef CL_TESTS_SIM_CLUSTER_STORE_H
#define CL_TESTS_SIM_CLUSTER_STORE_H

#include "csv/data.h"
#include "csv/store.h"
#include "tests/sim/cluster_target.h"
#include "tests/sim/lun_env.h"

static inline struct cvol *cvol_of(const struct svol *v)
{
	return &v->w->node[v->node].vol[v->l];
}

static inline struct csv_tables *tables_of(const struct svol *v)
{
	return &v->w->node[v->node].tables;
}

static inline struct svol *svol_of(struct cworld *w, unsigned node, unsigned l)
{
	return &w->node[node].vol[l].store;
}

static inline uint64_t my_life(const struct svol *v)
{
	const struct csv_tables *t = tables_of(v);
	uint64_t i = t->living[v->node];

	return i > v->w->node[v->node].closed_up_to && t->volume[v->l].exists ? i : 0;
}

/* Address and identity of the volume, for csvd's code. */
void volume_place(const struct svol *v, char url[64], uint8_t uuid[16]);

/* At each change, and every quarter of a second: the session with the coordinator, the data nexus. */
void nexus_look(struct svol *v);
/* The power is gone. */
void nexus_drop(struct svol *v);

#endif
