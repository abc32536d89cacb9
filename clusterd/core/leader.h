/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the leader remembers. All of it may be lost: the next one begins with nothing. */
#ifndef CL_CORE_LEADER_H
#define CL_CORE_LEADER_H

#include "clusterd/core/node.h"
#include "clusterd/core/fence_run.h"
#include "clusterd/core/local.h"
#include "quorum/lease.h"
#include "quorum/quarantine.h"

/* A command on its way into the log; one per object at a time. */
struct in_flight {
	uint64_t id;
	char object[STATE_NAME_MAX];
};
CL_DEFINE_VEC(in_flight_vec, struct in_flight);

/* A `go` question that waits for its read-index round. */
struct go_wait {
	uint64_t read_id, ask_id;
	uint32_t from;
	uint64_t incarnation, number;
	bool volume, resume;
	char object[STATE_NAME_MAX];
};
CL_DEFINE_VEC(go_wait_vec, struct go_wait);

/* What the two sides of a migration have said. */
struct move {
	char name[STATE_NAME_MAX];
	uint64_t reserved;
	bool ready, source_done, target_done, failed;
	int64_t moved_ms; /* last progress */
	uint32_t percent, blackout_ms;
	int64_t saved_ms; /* when the source was done */
	char why[STATE_REASON_MAX];
};
CL_DEFINE_VEC(move_vec, struct move);

struct bound_ask {
	struct lease_bound bound;
	bool failed; /* the entry is in the log; else only suspected */
	int64_t told_ms;
};
CL_DEFINE_VEC(bound_ask_vec, struct bound_ask);

/* A move that failed: a drain tries it again only later. */
struct backoff {
	char name[STATE_NAME_MAX];
	int64_t until_ms;
};
CL_DEFINE_VEC(backoff_vec, struct backoff);

/* What the leader remembers of a volume. */
struct volume_note {
	char name[STATE_NAME_MAX];
	uint64_t epoch;		  /* a newer one: forgotten */
	uint32_t promised;	  /* node that an assignment on its way names; 0 = none */
	int64_t no_path_since_ms; /* of its coordinator; INT64_MAX: it has one */
	int64_t refused_since_ms; /* by its coordinator, and another one might open it; INT64_MAX: no */
};
CL_DEFINE_VEC(volume_note_vec, struct volume_note);

/* A node that failed and is not heard of. */
struct away {
	uint32_t node;
	int64_t since_ms; /* INT64_MAX: it is here */
};
CL_DEFINE_VEC(away_vec, struct away);

/* A failed node that is being switched off by its fence agents, and on again. */
struct fencing {
	uint32_t node;
	uint64_t incarnation, version; /* of its agents */
	struct fence_run run;
	uint64_t child; /* the agent that runs; 0 = none */
	uint32_t hand;	/* by this node */
	int64_t told_ms, heard_ms;
	bool untold, off;   /* what is not proposed yet */
	uint32_t by, level; /* of that */
	int64_t took_ms;
	char method[STATE_METHOD_MAX], text[STATE_FENCE_TEXT_MAX];
};
CL_DEFINE_VEC(fencing_vec, struct fencing);

/* A fence agent that runs here, for the leader; or its end, which is told as long as it is asked. */
struct hand {
	uint32_t from;
	uint64_t instance, ask_id;
	uint32_t node;
	uint64_t incarnation;
	bool on, done, ok;
	uint64_t child;
	int64_t asked_ms; /* last */
	char text[STATE_FENCE_TEXT_MAX];
};
CL_DEFINE_VEC(hand_vec, struct hand);

/* The youngest question of one leader about one node: its ids only grow. */
struct hand_asked {
	uint32_t node, from;
	uint64_t instance, id;
};
CL_DEFINE_VEC(hand_asked_vec, struct hand_asked);

/* When each of a node's fences that count came into the database, as seen here. */
struct fence_note {
	uint32_t node, n;
	int64_t seen_ms[QUARANTINE_COUNT_MAX];
};
CL_DEFINE_VEC(fence_note_vec, struct fence_note);

struct manager {
	bool active;
	int64_t since_ms;
	int64_t handed_ms;   /* told raft to make another one the leader */
	int64_t no_place_ms; /* a stopped node's VM has none, since; INT64_MAX: all have */
	struct away_vec away;
	struct fencing_vec fencing;
	int64_t stirred_ms; /* somebody came, went or was slow */
	uint64_t voters_version;
	struct in_flight_vec in_flight;
	struct go_wait_vec go_waits;
	struct move_vec moves;
	struct bound_ask_vec bounds;
	struct payment_vec released; /* volumes whose coordinators gave them up */
	struct backoff_vec backoffs;
	struct volume_note_vec notes;
	uint64_t volumes_hash; /* of who coordinates what and who lives, when it changed last */
	int64_t volumes_since_ms;
	uint32_t
		leaver; /* a voter that was removed: it shall see that before it hears nothing more */
	uint64_t leaver_index;
	int64_t leaver_since_ms;
};

#endif
