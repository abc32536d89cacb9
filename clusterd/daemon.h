/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon as a whole: one loop, one core (clusterd/core/node.h), and around it the real world.
 * Every source of events calls daemon_step(); every action that the core gives out is carried out
 * by the part that it concerns. Nothing in here decides.
 */
#ifndef CL_CLUSTERD_DAEMON_H
#define CL_CLUSTERD_DAEMON_H

#include "clusterd/conf.h"
#include "clusterd/core/node.h"
#include "clusterd/csvd.h"
#include "clusterd/events.h"
#include "clusterd/fencer.h"
#include "clusterd/ipc.h"
#include "clusterd/raft_store.h"
#include "clusterd/requests.h"
#include "clusterd/ring.h"
#include "clusterd/setup.h"
#include "clusterd/store.h"
#include "clusterd/vms.h"
#include "clusterd/witnessd.h"
#include "lib/loop.h"
#include "lib/vec.h"

CL_DEFINE_VEC(client_vec, uint64_t);

struct daemon {
	struct conf conf;
	const char *conf_path;
	struct cl_loop *loop;
	struct store *store;
	struct store_image image; /* until the core has taken it */
	struct raft_hard hard;
	struct ring *ring;
	struct ipc *ipc;
	struct requests *requests;
	struct vms *vms;
	struct csvd *csvd;
	struct witnessd *witnessd;
	struct fencer *fencer;
	struct events *events;
	struct setup *setup;
	struct certs *certs;
	struct join *join;
	struct founding *founding;
	struct audit *audit;
	struct fetch *fetch;
	struct timing_watch *timing;
	struct node *node; /* NULL until this node's id is known */
	struct node_actions actions;
	struct client_vec gone; /* left while the core was being carried out: told after it */
	struct cl_source *tick, *sigterm, *sigint, *forget_timer;
	struct cl_mono forget_until;
	int lease_fd;	  /* lease_file.h; -1 until there is a core */
	int heartbeat_fd; /* proto/heartbeat.h; csvd writes it. Likewise */
	uint32_t id;
	char name[STATE_NAME_MAX];
	bool stepping, have_view, vms_found;
	bool ending;	       /* it was told to, and has told the core */
	bool left_done;	       /* left.h */
	bool forget;	       /* at the end: this node is in no cluster any more */
	struct ring_view view; /* last one, given once the core exists */
	int exit_code;
};

/* Runs until told to end; the process's exit code. */
int daemon_run(const struct conf *conf, const char *conf_path);

/* Give the core one event (type and union filled in), carry out what it says. Never from within an
 * action: what happens there is deferred by whoever it concerns. */
void daemon_step(struct daemon *d, struct node_event *event);

/* From vms.h: what an earlier clusterd left has been reported; the world may begin. */
void daemon_vms_found(struct daemon *d);

/* The process's exit code when a file of this boot is damaged: a restart does not help. */
#define EXIT_DAMAGED 78

void daemon_stop(struct daemon *d, int code);

/* Ends the daemon: its database is damaged. The next process sets that aside and begins with an empty one. */
void daemon_condemn(struct daemon *d, const char *why);

#endif
