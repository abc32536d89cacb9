/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trace of what people asked for: each request that is more than reading becomes one line of
 * `clusterctl events` when it has ended, done or refused, with who asked, where, and how long it took.
 * Secrets in options are left out.
 */
#ifndef CL_CLUSTERD_AUDIT_H
#define CL_CLUSTERD_AUDIT_H

#include "clusterd/ipc.h"

struct audit;
struct daemon;

int audit_new(struct daemon *d, struct audit **ret);
void audit_free(struct audit *audit);

void audit_begin(struct audit *audit, uint64_t client, const struct ipc_who *who,
		 const Ipc__Request *msg);
/* why: NULL = done. Of a request that was never begun: nothing. */
void audit_end(struct audit *audit, uint64_t client, const struct cl_error *why);
/* Nobody waits for it any more; it goes on. */
void audit_left(struct audit *audit, uint64_t client);
void audit_stranger(struct audit *audit, const struct ipc_who *who);

#endif
