/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cluster database: what all nodes agree on, one state to which the log's commands are applied
 * in order. Configuration AND ownership: who runs what at which generation, who coordinates which
 * volume at which epoch, which fences are owed.
 *
 * Applying is deterministic: it looks at nothing but the state and the command. Every command names
 * its object and the number that it expects; when that has moved the command changes nothing and
 * says so (-CL_EMOVED). So a command may be proposed twice, late, or by a leader that knew less:
 * it then does no harm. The guards that the promise "one writer" needs are HERE, not in the
 * manager: a manager with a bug can be slow, it cannot make two owners.
 *
 *   P1  An owner is replaced only after its agent said `stopped g`, or after (owner, incarnation)
 *       failed, was found silent (its bound passed, it was proven off, or it proved that it ended
 *       all; for start-after auto also: its storage heartbeats stood on all its volumes), and no
 *       volume of the resource has an unpaid debt.
 *   P2  Generations, epochs and incarnations only grow; a number once given is never given again,
 *       not even if what it was given for was aborted.
 *   P3  A failed incarnation is never living again.
 */
#ifndef CL_QUORUM_STATE_H
#define CL_QUORUM_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/vec.h"
#include "quorum/state_fence.h"
#include "quorum/state_setup.h"

enum {
	STATE_NAME_MAX = 64, /* with the final 0, as all of these */
	STATE_ADDRESS_MAX = 64,
	STATE_URL_MAX = 256,
	STATE_REASON_MAX = 160,
	STATE_PROBED_MAX = 512,
	STATE_SPEC_MAX = 64 * 1024,
	STATE_VOLUMES_OF_RESOURCE_MAX = 8,
	STATE_NODES_MAX = 64,
	STATE_VOLUMES_MAX = 256,
	STATE_RESOURCES_MAX = 16384,
	STATE_DEDUP_PER_NODE = 64,
};

/*
 *            NodeAdd              Admit i+1                Failed i
 *   (unknown) ----> NODE_KNOWN ------------> NODE_LIVING ------------> NODE_FAILED
 *                                               ^                          |
 *                                               +---- Admit i+1 (clean) ---+
 */
enum state_node_phase {
	STATE_NODE_KNOWN = 1, /* asked to join, never admitted */
	STATE_NODE_LIVING,    /* admitted at .incarnation */
	STATE_NODE_FAILED,    /* .incarnation failed; irrevocable */
};

#define STATE_DETACH_MAX_MS 600000
#define STATE_LEASE_MAX_MS 600000

struct state_node {
	uint32_t id;
	char name[STATE_NAME_MAX];
	uint8_t uuid[16]; /* of its database: a re-installed node is another voter */
	char storage_address[STATE_ADDRESS_MAX], migration_address[STATE_ADDRESS_MAX];
	uint64_t memory_bytes;
	uint32_t cpus;
	enum state_node_phase phase;
	uint64_t incarnation; /* the last one given; 0 = none yet */
	uint64_t instance;    /* process that it was given to: another life must not take it on */
	uint64_t silent;      /* all incarnations <= this are proven to execute nothing any more */
	uint64_t quiet;	      /* likewise, by their storage heartbeats: good for start-after auto */
	uint32_t heard_silent; /* FAILED: volumes on which its heartbeat was found to stand */
	bool heard_moving;     /* or one, at least, on which that could not be said */
	uint64_t detaches;     /* how often its clusterd went, and came back, as planned */
	uint32_t lease_ms; /* length of the run lease that it counts with, at most; 0 = not known */
	uint32_t detached_ms; /* it is away as planned, for so long; 0 = it is not */
	bool draining;	      /* gets nothing, gives away what it has (`drain`, until `resume`) */
	bool leaving;	      /* and then goes for good: not admitted again */
	bool stopping;	      /* its machine is about to be switched off: gives all away */
	bool stop_saves;      /* .. the memory of what nobody takes is kept */
	bool stop_now;	      /* .. nothing is moved */
	bool goodbye;	      /* FAILED: in order, said by .instance, which is not admitted again */
	uint64_t fence_version; /* of its agents */
	uint32_t fenced;	/* times within the hour (quarantine.h) */
	bool quarantined;	/* gets nothing, until `resume` */
	bool fence_keep_off;	/* they do not switch it on again */
	uint32_t
		off_level; /* those of this level switched it off, and owe it an `on`; 0 = none do */
	uint64_t off_incarnation;
	bool off_begun;	  /* .. they were about to: whether they did is not known */
	int64_t since_ms; /* wall clock of the last change of phase or draining */
	char reason[STATE_REASON_MAX];
};

struct state_volume {
	char name[STATE_NAME_MAX];
	uint8_t uuid[16];
	char url[STATE_URL_MAX];
	uint32_t coordinator; /* 0: none */
	uint64_t coordinator_incarnation;
	uint64_t epoch;	    /* of the coordinator; grows with each one */
	uint32_t moving_to; /* planned move: whom it is given to once it is released; 0 = no move */
	uint8_t probed[STATE_PROBED_MAX]; /* what the target can do; opaque here */
	size_t probed_len;
	bool placed;	  /* by an operator's move: not moved for the sake of balance */
	bool redirected;  /* by the operator: no node does direct I/O */
	bool maintenance; /* by the operator: mounted nowhere; no VM that uses it may run */
	int64_t since_ms;
	char reason[STATE_REASON_MAX];
};

/*
 *                Place g+1           Started g
 *  OFFLINE/ ----------------> STARTING -------> ONLINE <----------------------------------------+
 *  WAITING/ <---------------     |                | ^                                           |
 *  FAILED     Stopped g     |    |     Begin g+1  | |  Abort (number burned)                    |
 *     ^                     |    |                v |                                           |
 *     |                     |    |            MIGRATING --Switch--> SWITCHING --SourceDone-->
 * HANDOVER |                     |    |                                      |  | | | | Stopped g
 * |    |                            Abort     v  +--- Commit g+1 ---+ |
 *     +------------------ STOPPING <- Desire off                   ABORTING <------- Abort -----+
 *                                                                       |   (back to ONLINE after
 *  from any state with an owner:  Failed(owner) -> DISPLACED            +-->  TargetGone)
 *  (HANDOVER with a living target is not displaced: the source's memory is complete there)
 */
enum state_phase {
	STATE_OFFLINE = 1, /* not wanted, nowhere */
	STATE_WAITING,	   /* wanted, nowhere: to be placed */
	STATE_STARTING,	   /* owner may start it (after `go`) */
	STATE_ONLINE,	   /* owner runs it */
	STATE_STOPPING,	   /* owner is to stop it */
	STATE_DISPLACED,   /* owner failed; debts and bound stand between it and its next place */
	STATE_FAILED,	   /* gave up; `start` tries again */
	STATE_MIGRATING,   /* copying to .target, which holds the reserved generation */
	STATE_SWITCHING,   /* source may pause and send the rest */
	STATE_HANDOVER, /* source has reported that it is complete and will never run by itself */
	STATE_ABORTING, /* target is being killed; source goes on after that is proven */
};

/* When a failed owner's resource may be placed anew (all: after its volumes' debts are paid). */
enum state_start_after {
	STATE_AFTER_AUTO = 0, /* and after the owner is found silent, or quiet on the storage */
	STATE_AFTER_FENCE,    /* debts alone: for a moment two may execute, only one can write */
	STATE_AFTER_LEASE,    /* and after the owner is found silent */
};

struct state_resource {
	char name[STATE_NAME_MAX];
	char type[16]; /* "vm" */
	uint8_t *spec; /* opaque here */
	size_t spec_len;
	char volumes[STATE_VOLUMES_OF_RESOURCE_MAX][STATE_NAME_MAX];
	size_t n_volumes;
	uint64_t memory_bytes;
	uint32_t cpus, priority;
	enum state_start_after start_after;
	bool wanted; /* desired state: online */
	bool force;  /* STOPPING: without asking the guest */
	enum state_phase phase;
	uint32_t owner; /* 0: none */
	uint64_t owner_incarnation;
	uint64_t generation; /* the owner's, or the last owner's */
	uint64_t top;	     /* highest number ever given: the next is top + 1 */
	uint32_t target;     /* of a migration */
	uint64_t target_incarnation, reserved;
	uint32_t failures;    /* starts or runs that ended badly since it was last well */
	uint32_t avoid;	      /* node where it failed last; 0 = none */
	uint32_t prefer;      /* node asked for by `start X NODE`; 0 = the planner chooses */
	uint32_t blackout_ms; /* of the last move; 0 = none, or not known */
	bool quick;	      /* that move, or the one under way, is by a saved state */
	/* Its memory is kept on its volume for the start of this number, and for no other (state_save.c); 0 = is
	 * not. saved_from: the generation whose memory it is; 0 while it is being saved. */
	uint64_t saved, saved_from;
	int64_t since_ms;
	char reason[STATE_REASON_MAX];
};

/* Fence owed: keys of `node` with incarnation <= this one are to be preempted on `volume`. */
struct state_debt {
	char volume[STATE_NAME_MAX];
	uint32_t node;
	uint64_t incarnation;
	int64_t since_ms;
};

/* The answer to a request that was already applied (a client's request is answered once). */
struct state_dedup {
	uint32_t node;	   /* through which it came */
	uint64_t instance; /* of that node's process */
	uint64_t seq;
	int32_t code;
	uint64_t number; /* see struct state_result */
};

CL_DEFINE_VEC(state_node_vec, struct state_node);
CL_DEFINE_VEC(state_volume_vec, struct state_volume);
CL_DEFINE_VEC(state_resource_vec, struct state_resource);
CL_DEFINE_VEC(state_debt_vec, struct state_debt);
CL_DEFINE_VEC(state_dedup_vec, struct state_dedup);
CL_DEFINE_VEC(state_fence_vec, struct state_fence);
CL_DEFINE_VEC(state_agent_vec, struct state_agent);

/* One more voter of the log, on a LUN that any node can serve (docs/witness.md). */
struct state_witness {
	char url[STATE_URL_MAX]; /* "" = there is none */
	uint8_t uuid[16];	 /* of the copy of the database on it */
	int64_t since_ms;
};

struct state {
	char cluster_name[STATE_NAME_MAX];
	uint8_t cluster_uuid[16];
	uint64_t applied;		     /* index of the last command applied */
	struct state_node_vec nodes;	     /* by id */
	struct state_volume_vec volumes;     /* by name */
	struct state_resource_vec resources; /* by name */
	struct state_debt_vec debts;	     /* by volume, node */
	struct state_dedup_vec dedup;	     /* oldest first */
	struct state_fence_vec fences;	     /* oldest first; what was done, not what is owed */
	struct state_agent_vec agents;	     /* by node, level, as given */
	struct state_setup setup;
	bool stopped;	  /* by the operator: no VM runs until `start cluster` */
	bool stop_saves;  /* and what is stopped for it is saved */
	uint64_t retired; /* highest incarnation of a node that was removed: P2 outlives it */
	struct state_witness witness;
	uint32_t schema; /* see state_schema.h; 0 = 1 */
	uint32_t knows;	 /* not of the database: what this program does; 0 = STATE_SCHEMA */
};

/* How a node reaches a volume; the words of `status`. Not part of the database. */
enum state_volume_mode {
	STATE_MODE_UNAVAILABLE,
	STATE_MODE_DIRECT,
	STATE_MODE_BLOCK_REDIRECTED,
	STATE_MODE_FS_REDIRECTED,
	STATE_MODE_PAUSED,
};

/* What became of a command. */
struct state_result {
	int code;	 /* 0, -CL_EMOVED, -CL_EREFUSED, -ENOENT, -EEXIST, -EINVAL, -ENOSPC */
	uint64_t number; /* the generation, epoch or incarnation that it gave */
	/* The request that it came from; node 0 = none. */
	uint32_t request_node;
	uint64_t request_instance, request_seq;
	bool repeated;		     /* had been applied before; code and number are of that time */
	bool unknown;		     /* a newer program's: this one must not go on */
	char text[STATE_REASON_MAX]; /* for a person, when code != 0 */
};

/* Guards that the simulator can leave out, to see that it notices. */
enum state_defect {
	STATE_DEFECT_EXPECT_NOTHING = 1 << 0,	/* applied whatever number they expect */
	STATE_DEFECT_REUSE_GENERATION = 1 << 1, /* an aborted migration's number is given again */
	STATE_DEFECT_KEEP_INCARNATION = 1 << 2, /* admitted again without a new incarnation */
	STATE_DEFECT_FENCE_SKIPPED = 1 << 3,	/* no debts are written */
	STATE_DEFECT_BOUND_SKIPPED = 1 << 4,	/* who failed counts as silent at once */
	STATE_DEFECT_ONE_VOLUME = 1 << 5,	/* quiet when silent on one volume of several */
	STATE_DEFECT_QUARANTINE_ALL = 1 << 7,	/* more than a quarter are quarantined */
	STATE_DEFECT_OFF_PAYS = 1 << 6,		/* who is off owes no fence any more */
	STATE_DEFECT_SAVE_TWICE = 1 << 8, /* a saved memory is given to every start that follows */
	STATE_DEFECT_REMOVE_EARLY = 1 << 16,   /* a node goes while something of it is left */
	STATE_DEFECT_FORGET_RETIRED = 1 << 17, /* and its numbers are given again */
	STATE_DEFECT_DETACH_QUIET = 1 << 20,   /* quiet while its clusterd is away as planned */
	STATE_DEFECT_REQUEST_TWICE = 1 << 21,  /* what was asked for is done as often as it comes */
};

/* What applying changed, for the agent, the event lines and csvd's tables. */
struct state_change {
	enum {
		STATE_CHANGED_NODE,
		STATE_CHANGED_VOLUME,
		STATE_CHANGED_RESOURCE,
		STATE_CHANGED_DEBT,
		STATE_CHANGED_SETUP,
		STATE_CHANGED_QUORUM,
	} what;
	uint32_t node;
	uint64_t number; /* incarnation, epoch or generation after the change */
	char object[STATE_NAME_MAX];
	char event[32];
	char cause[STATE_REASON_MAX];
	int64_t time_ms, duration_ms; /* wall clock of the proposer; -1 = no duration */
};
CL_DEFINE_VEC(state_change_vec, struct state_change);

void state_init(struct state *state);
void state_fini(struct state *state);

/*
 * Apply the command in data (proto/log.proto, message Command) as entry `index` of the log; index
 * must be state->applied + 1 or later (entries without a command are skipped). Bytes that cannot be
 * decoded are a no-op with -CL_ECORRUPT: all nodes do the same. changes may be NULL. Returns 0, or
 * -ENOMEM with the state unusable: the process must end. defects: enum state_defect, 0 in daemons.
 */
int state_apply(struct state *state, uint64_t index, const uint8_t *data, size_t len,
		unsigned defects, struct state_result *ret_result,
		struct state_change_vec *changes);

/* The whole as bytes, the same on every node; malloced. 0 or -ENOMEM. */
int state_encode(const struct state *state, uint8_t **ret_data, size_t *ret_len);
/* From bytes; ret_state is initialised by this. -CL_ECORRUPT when they do not hold together. */
int state_decode(const uint8_t *data, size_t len, struct state *ret_state, struct cl_error *err);

/* Equal states have equal hashes (FNV-1a over state_encode). 0 when there is no memory. */
uint64_t state_hash(const struct state *state);

/* NULL when there is none. Valid until the next apply. */
struct state_node *state_node(const struct state *state, uint32_t id);
struct state_node *state_node_by_name(const struct state *state, const char *name);
struct state_volume *state_volume(const struct state *state, const char *name);
struct state_resource *state_resource(const struct state *state, const char *name);

/* Whether (id, incarnation) is a living member. */
bool state_living(const struct state *state, uint32_t id, uint64_t incarnation);
/*
 * That incarnation lives no more: it failed, or its node was removed. One that was removed may have missed that,
 * and restart with a state in which it lives; whoever has its number next begins above (.retired). Not of one
 * that this state does not know yet.
 */
bool state_failed(const struct state *state, uint32_t id, uint64_t incarnation);
/* Drained or quarantined: it is given nothing new. */
bool state_gets_nothing(const struct state_node *node);
/* Whether the owner of r can do nothing any more for r's next place (P1), and if not, why. */
bool state_is_free(const struct state *state, const struct state_resource *r,
		   char reason[STATE_REASON_MAX]);
/* And nothing that an operator asked for stands against a place for it. */
bool state_may_place(const struct state *state, const struct state_resource *r,
		     char reason[STATE_REASON_MAX]);
/* FAILED and not away as planned, every debt of it is paid, and its heartbeat stood on each volume where it had one. */
bool state_storage_silent(const struct state *state, const struct state_node *n, unsigned defects);
/* The name of a volume of r that is in maintenance; NULL: none is. */
const char *state_in_maintenance(const struct state *state, const struct state_resource *r);
/* Why the node cannot be forgotten yet; NULL: it can. */
const char *state_cannot_remove(const struct state *state, const struct state_node *node);
/* What failed last of what was tried to prove that this incarnation is off; NULL: nothing did. */
const struct state_fence *state_fence_failed(const struct state *state, const struct state_node *n);
/* The first agent of a node and, in *ret_n, how many follow it (itself included); NULL: none. */
const struct state_agent *state_agents(const struct state *state, uint32_t node, size_t *ret_n);
/* Any debt on the volume. */
bool state_has_debt(const struct state *state, const char *volume);

const char *state_phase_name(enum state_phase phase);
/* "auto", "fence", "lease" */
const char *state_start_after_name(enum state_start_after when);
const char *state_mode_name(enum state_volume_mode mode);

/* A name that may be given: 1..63 of [a-z A-Z 0-9 . _ -], beginning with a letter, no type word. */
bool state_name_valid(const char *name);

#endif
