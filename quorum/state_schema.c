/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "quorum/state_schema.h"

#include "quorum/state_apply.h"

/* A field is as new as a command: a program that does not know it reads past it. */
uint32_t schema_of(const Log__Command *c)
{
	switch (c->what_case) {
	case LOG__COMMAND__WHAT_NODE_SILENT:
		return c->node_silent->storage ? 3 : 1;
	case LOG__COMMAND__WHAT_NODE_FAILED:
		return c->node_failed->fence ? 3 : 1;
	case LOG__COMMAND__WHAT_DEBT_PAID:
		return c->debt_paid->seen ? 3 : 1;
	case LOG__COMMAND__WHAT_CLUSTER_STOP:
		return c->cluster_stop->save ? 3 : 1;
	case LOG__COMMAND__WHAT_RESOURCE_STOPPED:
		return c->resource_stopped->saved ? 3 : 1;
	case LOG__COMMAND__WHAT_SETUP_SET:
	case LOG__COMMAND__WHAT_NODE_REMOVE:
	case LOG__COMMAND__WHAT_QUORUM_SET:
	case LOG__COMMAND__WHAT_SCHEMA_RAISE:
		return 2;
	case LOG__COMMAND__WHAT_NODE_ADMIT:
		return c->node_admit->lease_ms ? SCHEMA_LENGTH : 1;
	case LOG__COMMAND__WHAT_NODE_ADDRESS:
		return SCHEMA_LINKS;
	case LOG__COMMAND__WHAT_NODE_LEASE:
	case LOG__COMMAND__WHAT_NODE_STOP:
	case LOG__COMMAND__WHAT_NODE_GOODBYE:
	case LOG__COMMAND__WHAT_RESOURCE_YIELD:
		return 4;
	case LOG__COMMAND__WHAT_NODE_FENCED:
		return c->node_fenced->begun			     ? SCHEMA_BEGUN
		       : c->node_fenced->level || c->node_fenced->on ? SCHEMA_ON
								     : 3;
	case LOG__COMMAND__WHAT_RESOURCE_SET:
		return 4;
	case LOG__COMMAND__WHAT_NODE_FENCE_FORGET:
	case LOG__COMMAND__WHAT_NODE_FENCE_SET:
	case LOG__COMMAND__WHAT_NODE_DETACH:
		return 3;
	default:
		return 1;
	}
}

uint32_t state_schema(const struct state *state)
{
	return state->schema ? state->schema : 1;
}

/*
 * Debts that were paid before say nothing of heartbeats, so what is left of them must not speak for all: a
 * node that failed under the old schema is not silent by those that are paid from now on.
 */
static void heard_until_now(struct state *state)
{
	for (size_t i = 0; i < state->nodes.n; i++)
		if (state->nodes.v[i].phase == STATE_NODE_FAILED)
			state->nodes.v[i].heard_moving = true;
}

void apply_schema_raise(struct apply *ap, const Log__SchemaRaise *c)
{
	if (c->schema <= state_schema(ap->state)) {
		apply_refuse(ap, -CL_EMOVED, "the database is of schema %u", ap->state->schema);
		return;
	}
	if (state_schema(ap->state) < SCHEMA_HEARTBEAT)
		heard_until_now(ap->state);
	ap->state->schema = c->schema;
	apply_changed(ap, STATE_CHANGED_NODE, "", 0, c->schema, "schema-raised", -1,
		      "all nodes know it");
}
