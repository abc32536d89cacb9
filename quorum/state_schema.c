/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "quorum/state_schema.h"

#include "quorum/state_apply.h"

uint32_t schema_of(Log__Command__WhatCase what)
{
	switch (what) {
	case LOG__COMMAND__WHAT_SETUP_SET:
	case LOG__COMMAND__WHAT_NODE_REMOVE:
	case LOG__COMMAND__WHAT_QUORUM_SET:
	case LOG__COMMAND__WHAT_SCHEMA_RAISE:
		return 2;
	default:
		return 1;
	}
}

uint32_t state_schema(const struct state *state)
{
	return state->schema ? state->schema : 1;
}

void apply_schema_raise(struct apply *ap, const Log__SchemaRaise *c)
{
	if (c->schema <= state_schema(ap->state)) {
		apply_refuse(ap, -CL_EMOVED, "the database is of schema %u", ap->state->schema);
		return;
	}
	ap->state->schema = c->schema;
	apply_changed(ap, STATE_CHANGED_NODE, "", 0, c->schema, "schema-raised", -1,
		      "all nodes know it");
}
