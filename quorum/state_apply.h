/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files that apply commands to the database share. Used by quorum/state*.c only. */
#ifndef CL_QUORUM_STATE_APPLY_H
#define CL_QUORUM_STATE_APPLY_H

#include "quorum/state.h"

#include "proto/log.pb-c.h"

/* One command on its way into the state. */
struct apply {
	struct state *state;
	int64_t time_ms;
	uint64_t index;
	unsigned defects;
	struct state_result *result;
	struct state_change_vec *changes; /* may be NULL */
	bool no_memory;
};

/* The command does nothing, for this reason. */
void apply_refuse(struct apply *ap, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Whether the number is the expected one; refuses with -CL_EMOVED when not. */
bool apply_expect(struct apply *ap, const char *object, const char *what, uint64_t expected,
		  uint64_t is);

/* Note a change; since_ms < 0: it has no duration. */
void apply_changed(struct apply *ap, int what, const char *object, uint32_t node, uint64_t number,
		   const char *event, int64_t since_ms, const char *cause);

/* Find or refuse with -ENOENT. */
struct state_node *apply_node(struct apply *ap, uint32_t id);
struct state_volume *apply_volume(struct apply *ap, const char *name);
struct state_resource *apply_resource(struct apply *ap, const char *name);

/* Whether a new object may have this name; refuses when not. */
bool apply_new_name(struct apply *ap, const char *name);

/* Copy text into a field of the given size, cut if it must be. */
void state_copy(char *to, size_t size, const char *from);
#define STATE_COPY(to, from) state_copy((to), sizeof(to), (from))

/* Resources whose owner failed become free when nothing stands against it any more (P1). */
void apply_settle(struct apply *ap);
/* What `N failed` means for resources: owners are displaced, migrations end. */
void apply_node_failed_resources(struct apply *ap, const struct state_node *n);

/* The node is no member any more: its id may be another one's. */
void apply_fences_forget(struct apply *ap, uint32_t node);
/* Into the history: a proof that was not tried but found. */
void apply_fence_proof(struct apply *ap, const struct state_node *n, const char *method,
		       const char *text);

/* Fences owed by the node on all volumes. */
void apply_debts_of(struct apply *ap, const struct state_node *n);
/* The only writer of a node's phase. */
void apply_node_enter(struct apply *ap, struct state_node *n, enum state_node_phase phase,
		      const char *reason);
/* It is not being stopped any more. */
void apply_stop_ends(struct state_node *n);

void apply_schema_raise(struct apply *ap, const Log__SchemaRaise *c);
void apply_node_add(struct apply *ap, const Log__NodeAdd *c);
void apply_node_admit(struct apply *ap, const Log__NodeAdmit *c);
void apply_node_failed(struct apply *ap, const Log__NodeFailed *c);
void apply_node_silent(struct apply *ap, const Log__NodeSilent *c);
void apply_node_fenced(struct apply *ap, const Log__NodeFenced *c);
void apply_node_fence_set(struct apply *ap, const Log__NodeFenceSet *c);
void apply_node_detach(struct apply *ap, const Log__NodeDetach *c);
void apply_node_stop(struct apply *ap, const Log__NodeStop *c);
void apply_node_goodbye(struct apply *ap, const Log__NodeGoodbye *c);
void apply_node_address(struct apply *ap, const Log__NodeAddress *c);
void apply_node_lease(struct apply *ap, const Log__NodeLease *c);
void apply_node_drain(struct apply *ap, const Log__NodeDrain *c);
void apply_node_remove(struct apply *ap, const Log__NodeRemove *c);
void apply_cluster_stop(struct apply *ap, const Log__ClusterStop *c);
void apply_setup_set(struct apply *ap, const Log__SetupSet *c);
void apply_quorum_set(struct apply *ap, const Log__QuorumSet *c);
void apply_volume_create(struct apply *ap, const Log__VolumeCreate *c);
void apply_volume_delete(struct apply *ap, const Log__VolumeDelete *c);
void apply_volume_assign(struct apply *ap, const Log__VolumeAssign *c);
void apply_volume_release(struct apply *ap, const Log__VolumeRelease *c);
void apply_volume_redirect(struct apply *ap, const Log__VolumeRedirect *c);
void apply_volume_maintenance(struct apply *ap, const Log__VolumeMaintenance *c);
void apply_debt_paid(struct apply *ap, const Log__DebtPaid *c);
void apply_resource_create(struct apply *ap, const Log__ResourceCreate *c);
void apply_resource_delete(struct apply *ap, const Log__ResourceDelete *c);
void apply_resource_desire(struct apply *ap, const Log__ResourceDesire *c);
void apply_resource_set(struct apply *ap, const Log__ResourceSet *c);
void apply_resource_place(struct apply *ap, const Log__ResourcePlace *c);
void apply_resource_started(struct apply *ap, const Log__ResourceStarted *c);
void apply_resource_yield(struct apply *ap, const Log__ResourceYield *c);
void apply_resource_stopped(struct apply *ap, const Log__ResourceStopped *c);
void apply_migrate_begin(struct apply *ap, const Log__MigrateBegin *c);
void apply_migrate_switch(struct apply *ap, const Log__MigrateSwitch *c);
void apply_migrate_source_done(struct apply *ap, const Log__MigrateSourceDone *c);
void apply_migrate_commit(struct apply *ap, const Log__MigrateCommit *c);
void apply_migrate_abort(struct apply *ap, const Log__MigrateAbort *c);
void apply_migrate_target_gone(struct apply *ap, const Log__MigrateTargetGone *c);

void state_agents_drop(struct state *state, uint32_t node);
/* From the command, or a snapshot. -EINVAL when it cannot be one, -ENOMEM. */
int state_agent_push(struct state *state, uint32_t node, const Log__FenceAgent *from);

/* Only so many request answers per node are kept. */
int state_dedup_push(struct state *state, const struct state_dedup *d);

#endif
