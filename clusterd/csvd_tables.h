/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables that csvd acts on (proto/volume.proto), made from the cluster's state, and whether csvd has them. */
#ifndef CL_CLUSTERD_CSVD_TABLES_H
#define CL_CLUSTERD_CSVD_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/*
 * What the csvd that is connected has. Most changes of the database are none of csvd's; tables that say what it has
 * already are not sent again.
 */
struct csvd_told {
	uint64_t takes_from; /* its hello's: it ignores tables of a lower index; 0: does not say */
	uint8_t *packed;     /* the last that it was sent and takes, without index; NULL: none */
	size_t len;
};

void csvd_told_hello(struct csvd_told *told, uint64_t takes_from);
void csvd_told_fini(struct csvd_told *told);
/* Whether csvd has to be sent the tables: it has not got them. Taken for sent then. */
bool csvd_told_lacks(struct csvd_told *told, struct csvd_tables *tables);

#endif
