/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clients of this node ask: verb, operands and options become a request to the core, or an
 * answer from what it knows. Input is checked here as far as it can be without the cluster's state;
 * the rest is the core's word.
 */
#ifndef CL_CLUSTERD_REQUESTS_H
#define CL_CLUSTERD_REQUESTS_H

#include "clusterd/core/node.h"
#include "clusterd/ipc.h"

struct daemon;
struct requests;

int requests_new(struct daemon *d, struct requests **ret);
void requests_free(struct requests *rq);

/* The table: the i-th verb and who may use it; NULL: no more. For the test, which holds it against clusterctl's. */
const char *requests_verb(size_t i, enum ipc_role *ret_role);
/* 0, or -CL_EREFUSED with who may. A verb that is unknown is refused to nobody: that it is unknown is said later. */
int requests_may(const char *verb, enum ipc_role role, struct cl_error *err);
/* Only reads: leaves no line in events. */
bool requests_reads(const char *verb);

/* From ipc.h. */
void requests_take(struct requests *rq, uint64_t client, const struct ipc_who *who,
		   const Ipc__Request *msg);
void requests_gone(struct requests *rq, uint64_t client);

/* NODE_DO_REPLY. */
void requests_reply(struct requests *rq, const struct node_action *action);
/* From founding.h: what was begun for this client has failed. */
void requests_founding_failed(struct requests *rq, uint64_t client, const struct cl_error *err);
/* NODE_DO_JOB_ANSWER. */
void requests_job_answer(struct requests *rq, const struct node_action *action);
/* A new line of the event log, for those who follow. */
void requests_event(struct requests *rq, const char *json);
/* csvd has made the file system of a volume that is being created, or could not. target: what it found
 * out about the LUN, a packed Vol.Target. */
/* The LUN was made a witness (err->code 0), or not. */
void requests_witness_made(struct requests *rq, uint64_t client, const char *url,
			   const uint8_t uuid[16], const struct cl_error *err);
void requests_formatted(struct requests *rq, uint64_t client, const uint8_t *target, size_t len,
			const struct cl_error *err);

#endif
