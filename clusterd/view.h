/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `status`, `list`, `show` and `explain` say, as JSON made from the core's own words. Names of
 * fields are relied upon from outside (docs/cli.md): added, never removed or changed in meaning.
 * All return a new reference, NULL without memory.
 */
#ifndef CL_CLUSTERD_VIEW_H
#define CL_CLUSTERD_VIEW_H

#include <jansson.h>

#include "clusterd/core/node.h"

/* The votes and the witness. */
json_t *view_quorum(const struct node *node);
json_t *view_witness(const struct node *node); /* {state, url, host, path, reason, cast} */
json_t *view_status(const struct node *node);
/* type: "node", "volume", a resource's type, or NULL for all. */
json_t *view_list(const struct node *node, const char *type);
/* NULL also when there is no such name: ask view_exists() first. */
json_t *view_show(const struct node *node, const char *name);
json_t *view_explain(const struct node *node, const char *name);
bool view_exists(const struct node *node, const char *name);

/* {"fences":[...]}: the history, oldest first; of one node, or all (0). */
json_t *view_fences(const struct node *node, uint32_t id);

/* A line of the event log. node_name: NULL when it is about none. malloc'd text. */
char *view_event(const struct node_event_line *line, const char *node_name);

#endif
