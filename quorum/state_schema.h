/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two versions in one cluster. A command that some node does not know would change the others' state and
 * not that node's: so none is proposed before all who apply the log know it. What all know is itself in
 * the database, raised by a command; it never falls.
 *
 *   schema 1   the first programs: nodes, volumes, resources, moves
 *   schema 2   setup, removal of nodes, witness, this very command
 *   schema 3   storage heartbeats: DebtPaid.seen, NodeSilent.storage
 *   schema 3   a planned stop of a node's clusterd: NodeDetach
 *   schema 3   fences by agents and by a person's word, their history; quarantine
 *   schema 3   memory that is kept over a stop: ClusterStop.save, ResourceStopped.saved
 *   schema 4   nobody is quiet by its heartbeats while its clusterd is away as planned
 *   schema 4   what agents switched off is to be switched on again: NodeFenced.level, .on
 *   schema 4   a node that is stopped in order: NodeStop, NodeGoodbye, ResourceYield
 *   schema 4   a VM's start-after is changed later: ResourceSet
 *   schema 4   the length of each node's run lease: NodeAdmit.lease_ms, NodeLease
 *   schema 5   beats say which of corosync's links stand; a node's other address: NodeAddress
 *   schema 5   what agents are about to switch off: NodeFenced.begun
 *
 * A program that is older than the database's schema cannot read it, and does not run.
 */
#ifndef CL_QUORUM_STATE_SCHEMA_H
#define CL_QUORUM_STATE_SCHEMA_H

#include "proto/log.pb-c.h"
#include "quorum/state.h"

#define STATE_SCHEMA 5 /* of this program */
#define SCHEMA_HEARTBEAT 3
#define SCHEMA_UNWATCHED 4
#define SCHEMA_ON 4
#define SCHEMA_LENGTH 4
#define SCHEMA_LINKS 5
#define SCHEMA_BEGUN 5

/* From which schema on there is such a command, with these fields. */
uint32_t schema_of(const Log__Command *command);
/* What may be proposed now; never 0. */
uint32_t state_schema(const struct state *state);

#endif
