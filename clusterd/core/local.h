/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What runs on this node: guests, what csvd asked for and was asked. */
#ifndef CL_CORE_LOCAL_H
#define CL_CORE_LOCAL_H

#include "clusterd/core/node.h"
#include "clusterd/core/stand.h"
#include "lib/sm.h"

/*
 *   ASKING --go--> STARTING --started--> RUNNING <--continued-- CONTINUING
 *                                          | ^                      ^
 *                                    pause | +--migration failed    | lease back, or commit
 *                                          v                        |
 *                                       PAUSING --paused--> PAUSED -+
 *   INCOMING --listens--> LISTENING --target done--> LOADED --commit--> CONTINUING
 *   RUNNING --source done--> DONE (postmigrate)
 *   all but ASKING and GONE: --killed or shut down--> STOPPING --stopped--> GONE
 */
enum local_state {
	LOCAL_ASKING,
	LOCAL_STARTING,
	LOCAL_RUNNING,
	LOCAL_PAUSING,
	LOCAL_PAUSED,
	LOCAL_CONTINUING,
	LOCAL_INCOMING,
	LOCAL_LISTENING,
	LOCAL_LOADED,
	LOCAL_DONE,
	LOCAL_STOPPING,
	LOCAL_GONE,
};

struct local {
	struct sm sm;
	char name[STATE_NAME_MAX];
	uint64_t generation;
	bool found;	 /* by a restarted daemon */
	bool killed;	 /* STOPPING: in earnest */
	bool ill;	 /* GONE: it was not asked to end */
	int64_t told_ms; /* last question or report about it */
	uint64_t go_id;	 /* ASKING: the question */
	/* Source of a migration to .moving (the reserved generation); 0 = none, MOVING_UNKNOWN = one
	 * that an earlier daemon began. */
	uint64_t moving, move_failed;
	bool ready, switched; /* at pre-switchover; told to go on */
	bool cancelled;
	bool loading; /* target of a quick move, or takes up a saved memory: was told to */
	bool saved;   /* its memory is kept; it is killed for that */
	bool stuck;   /* failed in the switch: only MIGRATE_CANCEL brings it back */
	uint32_t percent, downtime_ms;
	char uri[STATE_URL_MAX]; /* LISTENING: ours; RUNNING: of the target that .heard is about */
	uint64_t heard;		 /* the reserved generation that said where it listens */
	char why[STATE_REASON_MAX];
	struct stand stand;
	char full[STATE_NAME_MAX]; /* STAND_NO_SPACE: the volume; "" = not known */
	bool gently;		   /* PAUSING: by NODE_VM_STAND */
	int64_t no_path_ms;	   /* a volume of it waits since; INT64_MAX = none does */
	int64_t silent_ms;	   /* wall clock: QEMU does not answer since; 0 = it does */
};
#define MOVING_UNKNOWN UINT64_MAX
/* By pointer: the machine inside is borrowed by address. */
CL_DEFINE_VEC(local_vec, struct local *);

/* csvd asks to coordinate. */
struct volume_ask {
	char volume[STATE_NAME_MAX];
	uint64_t epoch, go_id;
	int64_t told_ms;
};
CL_DEFINE_VEC(volume_ask_vec, struct volume_ask);

/* A payment ordered from our csvd, or its answer that is not in the state yet. */
struct payment {
	char volume[STATE_NAME_MAX];
	uint64_t epoch;
	uint32_t node;
	uint64_t incarnation;
	bool paid, released; /* released: the volume itself was given up */
	enum heartbeat_seen seen;
	int64_t told_ms;
	char why[STATE_REASON_MAX];
};
CL_DEFINE_VEC(payment_vec, struct payment);

/* A job that a client of ours asked for, at one node. */
struct job_ask {
	uint64_t id, client;
	uint32_t node, kind;
	bool change;
	char volume[STATE_NAME_MAX];
	int64_t begun_ms, told_ms;
};
CL_DEFINE_VEC(job_ask_vec, struct job_ask);

/* A job at our csvd, for (from, instance, ask_id). */
struct job_run {
	uint32_t from;
	uint64_t instance, ask_id;
	uint64_t id; /* ours, to csvd */
	bool done;
	int code;
	char text[STATE_REASON_MAX];
	uint8_t *answer; /* done: csvd's last word */
	size_t len;
	int64_t asked_ms;
};
CL_DEFINE_VEC(job_run_vec, struct job_run);

#endif
