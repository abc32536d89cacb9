/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The csvd of this node: one connection on a unix socket, messages of proto/volume.proto. Orders are
 * kept until they are answered, and given again to a csvd that connects anew: the answer, not the
 * sending, is what the core waits for.
 */
#ifndef CL_CLUSTERD_CSVD_H
#define CL_CLUSTERD_CSVD_H

#include "clusterd/core/node.h"

struct csvd;
struct daemon;

int csvd_new(struct daemon *d, struct csvd **ret, struct cl_error *err);
void csvd_free(struct csvd *csvd);
/* From here on csvd is heard: the core may be given events. */
void csvd_begin(struct csvd *csvd);

/* NODE_DO_CSVD_* */
/* This node's certificates, for csvd's own connections; nothing when there are none. */
void csvd_credentials(struct csvd *csvd);
void csvd_tables(struct csvd *csvd);
struct csvd_lease {
	int64_t until_ms, beat_ms;
	uint64_t watched;
};
void csvd_lease(struct csvd *csvd, const struct csvd_lease *lease);
void csvd_go(struct csvd *csvd, const struct node_action *action);
void csvd_pay(struct csvd *csvd, const struct node_action *action);
void csvd_release(struct csvd *csvd, const struct node_action *action);
/* Answered by NODE_CSVD_JOB; not kept for a csvd that comes later. */
void csvd_job(struct csvd *csvd, const struct node_action *action);

/* Answered by vms_requests_failed(), vms_sessions_closed(), requests_formatted(). */
void csvd_fail_requests(struct csvd *csvd, const char *resource, uint64_t generation);
void csvd_close_sessions(struct csvd *csvd, uint64_t incarnation);
/* A csvd that is not there is waited for, but not for long. */
int csvd_format(struct csvd *csvd, uint64_t client, const char *name, const uint8_t uuid[16],
		const char *url, bool force, bool unsafe, struct cl_error *err);

bool csvd_connected(const struct csvd *csvd);

#endif
