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
		/*
		 * The target of a migration may look, not touch. It waits rather than fails: the
		 * commit that makes it the owner may have reached it before it reaches this table,
		 * and a `cont` that comes with it takes the image lock at once. A number that is
		 * burnt never becomes the owner's; its QEMU is killed and its requests are failed.
		 */
		return writes ? OWNER_WAIT : OWNER_ALLOW;
	/* Generations only grow: a lower one was replaced (or burnt), a higher one is news. */
	return generation < o->generation || generation < o->reserved_generation ? OWNER_STALE
										 : OWNER_WAIT;
}
