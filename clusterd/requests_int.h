/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What requests.c and volume_requests.c share. Not for others. */
#ifndef CL_CLUSTERD_REQUESTS_INT_H
#define CL_CLUSTERD_REQUESTS_INT_H

#include <jansson.h>
#include <sys/queue.h>

#include "clusterd/create.h"
#include "clusterd/daemon.h"
#include "clusterd/requests.h"
#include "lib/monotime.h"

/* What a request about a volume consists of, one after the other: volume_requests.c. */
enum volume_step {
	VOLUME_END,
	VOLUME_REPORT,	 /* each node's csvd tells what it knows */
	VOLUME_CLOSED,	 /* refused when somebody has files open, unless forced */
	VOLUME_SHOW,	 /* answers with all of it */
	VOLUME_MAINTAIN, /* maintenance on */
	VOLUME_CHECK,
	VOLUME_CHECK_OFFLINE,
	VOLUME_GROW,
	VOLUME_WIPE, /* when asked for */
	VOLUME_RELEASE,
	VOLUME_DELETE,
};

/* A request that the core, or csvd, has not answered yet; or somebody who follows the events. */
struct pending {
	LIST_ENTRY(pending) link;
	uint64_t client;
	const char *verb; /* of the table */
	char object[STATE_NAME_MAX];
	struct cl_mono begun;
	bool follows;
	bool founding; /* init or join, before the core has it */
	bool changes;  /* the setup */
	struct requests *rq;
	struct create_volume volume;   /* "create volume", while csvd formats */
	const enum volume_step *steps; /* the present one first; NULL: not one of these */
	bool step_due;		       /* it is to be begun */
	bool force, change, wipe;
	json_t *reports;	     /* of the nodes: {name: report} */
	struct fence_test *test;     /* "fence test" */
	struct readdress *readdress; /* "set node NODE address" */
	char witness[STATE_URL_MAX]; /* "init": the witness that follows; "" = none */
};

struct requests {
	struct daemon *d;
	struct cl_source
		*turn; /* begins steps that are due: not from within an action of the core */
	LIST_HEAD(, pending) pending;
};

/* One request being looked at. */
struct ask {
	struct requests *rq;
	uint64_t client;
	const char *verb;
	const Ipc__Request *msg;
	const struct ipc_who *who;
};

const char *ask_operand(const struct ask *ask, size_t i);
const char *ask_option(const struct ask *ask, const char *name);
void ask_answer(struct ask *ask, json_t *json); /* takes json */
/* Give it to the core, which answers with requests_reply(). */
int request_core(struct ask *ask, struct node_request *req, struct cl_error *err);
/* -ENOENT and what to do. */
int ask_not_found(const char *name, struct cl_error *err);
struct pending *pending_new(struct ask *ask, const char *object);
struct pending *pending_find(struct requests *rq, uint64_t client);
void pending_free(struct pending *p);
/* Ends it. */
void pending_fail(struct requests *rq, struct pending *p, const struct cl_error *err);
void pending_done(struct requests *rq, struct pending *p, json_t *json);
void pending_progress(struct requests *rq, const struct pending *p, const char *text, int percent);
/* {"done":{"verb","object","message"}} */
json_t *pending_message(const struct pending *p, const char *message);

/* The core is asked about this object. */
int ask_core_about(struct ask *ask, enum node_verb verb, const char *object, bool on,
		   struct cl_error *err);

/* ---- life_requests.c: each like `run` of the table in requests.c --------------------------------- */

int do_init(struct ask *ask, struct cl_error *err);
int do_join(struct ask *ask, struct cl_error *err);
int do_create_token(struct ask *ask, struct cl_error *err);
int do_leave(struct ask *ask, struct cl_error *err);
int do_evict(struct ask *ask, struct cl_error *err);
int do_set_node(struct ask *ask, struct cl_error *err);
int do_rotate(struct ask *ask, struct cl_error *err);
int do_stop_cluster(struct ask *ask, struct cl_error *err);
int do_stop_node(struct ask *ask, struct cl_error *err);
int do_start_cluster(struct ask *ask, struct cl_error *err);

/* ---- quorum_requests.c --------------------------------------------------------------------------- */

int do_show_quorum(struct ask *ask, struct cl_error *err);
int do_set_quorum(struct ask *ask, struct cl_error *err);
/* `init --witness`: its address is checked before anything; kept once the request is begun. */
int quorum_init_option(struct ask *ask, struct cl_error *err);
void quorum_init_begun(struct ask *ask);
/* `init` was done, and a witness was asked for: it is begun, p lives on. */
bool quorum_after_init(struct requests *rq, struct pending *p, const struct node_action *a);

/* ---- fence_requests.c --------------------------------------------------------------------------- */

/* set node NODE fence AGENT|none */
int do_set_fence(struct ask *ask, const struct state_node *s, struct cl_error *err);
int do_fence_test(struct ask *ask, struct cl_error *err);
void fence_test_free(struct fence_test *test); /* accepts NULL */
int do_fence_confirm(struct ask *ask, struct cl_error *err);
int do_fence_history(struct ask *ask, struct cl_error *err);

/* ---- address_requests.c ------------------------------------------------------------------------- */

/* set node NODE address ADDRESS */
int do_set_address(struct ask *ask, const struct state_node *s, struct cl_error *err);
void readdress_free(struct readdress *readdress); /* accepts NULL */

/* ---- requests_line.c ------------------------------------------------------------------------------ */

/* `init --force [--without NODE]...` */
int do_init_force(struct ask *ask, struct cl_error *err);
int do_backup(struct ask *ask, struct cl_error *err);
int do_restore(struct ask *ask, struct cl_error *err);

/* ---- volume_requests.c: each like `run` of the table in requests.c ------------------------------- */

int do_show_volume(struct ask *ask, struct cl_error *err);
int do_redirect(struct ask *ask, struct cl_error *err);
int do_maintenance(struct ask *ask, struct cl_error *err);
int do_check(struct ask *ask, struct cl_error *err);
int do_grow(struct ask *ask, struct cl_error *err);
int do_delete_volume(struct ask *ask, struct cl_error *err);
/* The core has answered p's present step. false: p has no steps. */
bool volume_step_replied(struct requests *rq, struct pending *p, const struct node_action *a);
void volume_steps_turn(void *user);

#endif
