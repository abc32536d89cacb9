/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables that csvd acts on (proto/volume.proto), made from the cluster's state. */
#ifndef CL_CLUSTERD_CSVD_TABLES_H
#define CL_CLUSTERD_CSVD_TABLES_H

#include "proto/volume.pb-c.h"
#include "quorum/state.h"

struct csvd_tables {
	Vol__ToCsvd msg;
	Vol__Tables tables;
	Vol__Node *nodes, **node_list;
	Vol__Volume *volumes, **volume_list; /* each owns its target */
	Vol__Debt *debts, **debt_list;
	Vol__Owner *owners, **owner_list;
};

/* Points into state: use it before the next step. 0 or -ENOMEM; fini in any case. */
int csvd_tables_make(const struct state *state, uint32_t self, struct csvd_tables *ret);
void csvd_tables_fini(struct csvd_tables *tables);

#endif
