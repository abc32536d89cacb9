/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON of what the nodes' csvds report about a volume. Words: docs/cli.md. */
#ifndef CL_CLUSTERD_VOLUME_VIEW_H
#define CL_CLUSTERD_VOLUME_VIEW_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "clusterd/core/node.h"
#include "proto/volume.pb-c.h"

json_t *volume_report_json(const struct state *state, const Vol__Report *report);

/* `show` of a volume: the database, and reports ({node: volume_report_json()}, borrowed). */
json_t *view_show_volume(const struct node *node, const char *name, const json_t *reports);

/* {"check":{"volume","clean","message","damages","findings":[..]}} */
json_t *volume_check_json(const char *volume, const Vol__JobAnswer *answer);

/* How many files are open, and on which nodes: "node1: 2, node3: 1". */
uint64_t volume_open_files(const json_t *reports, char *who, size_t size);

#endif
