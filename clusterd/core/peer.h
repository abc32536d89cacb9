/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of the other nodes: as heard on the ring, and as they left it. */
#ifndef CL_CORE_PEER_H
#define CL_CORE_PEER_H

#include "clusterd/core/node.h"

struct peer_volume {
	char name[STATE_NAME_MAX];
	enum state_volume_mode mode;
	char reason[STATE_REASON_MAX];
	int64_t since_ms;
	bool has_path, refused;
	uint64_t size_bytes, free_bytes; /* known of the own node's only; size 0 = not known */
};
CL_DEFINE_VEC(peer_volume_vec, struct peer_volume);

/* A VM that is not as it should be, as its node says. */
struct peer_vm {
	char name[STATE_NAME_MAX];
	uint64_t generation;
	bool paused;
	char reason[STATE_REASON_MAX];
	int64_t since_ms;
};
CL_DEFINE_VEC(peer_vm_vec, struct peer_vm);

struct peer {
	uint32_t id;
	uint8_t uuid[16]; /* of its database: .instance counts in it */
	uint64_t instance, incarnation, seq;
	int64_t heard_ms; /* last beat */
	bool isolated;
	uint32_t schema;	      /* of the commands that it knows */
	uint32_t slow_ms;	      /* its writes to the database; 0 = are not slow */
	char times[STATE_REASON_MAX]; /* what does not hold of its configured times */
	bool cleaned; /* it has ended all of incarnations <= ended, and asks for admission */
	uint64_t ended;
	bool goodbye;	   /* .. in order, as one that is stopped */
	uint32_t lease_ms; /* length of the run lease that it counts with; 0 = not said */
	uint64_t applied, setup_written, setup_loaded;
	struct node_links links;
	struct peer_volume_vec volumes;
	struct peer_vm_vec vms;
	bool wit_path, wit_serving;	 /* reaches the witness's LUN; serves it */
	char resigned[STATE_REASON_MAX]; /* its last word; "" since it is heard again */
};
CL_DEFINE_VEC(peer_vec, struct peer);

/* How a node left the ring, from the views. */
struct gone {
	uint32_t id;
	int64_t since_ms;
	bool at_once;  /* out of a ring that kept its majority */
	uint64_t ring; /* the one without it, when only the witness's vote was missing there */
};
CL_DEFINE_VEC(gone_vec, struct gone);

/* A question about a failed node that came before its failure was applied here. */
struct bound_wait {
	uint32_t from; /* 0: free */
	uint32_t node;
	uint64_t incarnation, id;
};
enum { BOUND_WAITS = 8 };

#endif
