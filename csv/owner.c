/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/owner.h"

#include <string.h>

static const Vol__Owner *owner_find(const Vol__Tables *tables, const char *resource)
{
	for (size_t i = 0; tables && i < tables->n_owners; i++)
		if (!strcmp(tables->owners[i]->resource, resource))
			return tables->owners[i];
	return NULL;
}

enum owner_verdict owner_judge(const Vol__Tables *tables, const char *resource, uint64_t generation,
			       bool writes)
{
	const Vol__Owner *o;

	if (!resource || !*resource)
		return OWNER_ALLOW;
	o = owner_find(tables, resource);
	if (!o)
		return OWNER_WAIT;
	if (generation == o->generation)
		return OWNER_ALLOW;
	if (o->reserved_generation && generation == o->reserved_generation)
		return writes ? OWNER_READ_ONLY : OWNER_ALLOW;
	/* Generations only grow: a lower one was replaced (or burnt), a higher one is news. */
	return generation < o->generation || generation < o->reserved_generation ? OWNER_STALE
										 : OWNER_WAIT;
}
