/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When certificates are renewed, and when status has to say that they end. Pure; wall clock in seconds. A
 * clock that jumps makes an alarm early or late, nothing else: whoever checks a certificate uses its own.
 */
#ifndef CL_CLUSTERD_CERTS_WATCH_H
#define CL_CLUSTERD_CERTS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CERTS_DAY 86400
#define CERTS_NODE_DAYS 365
#define CERTS_RENEW_DAYS 120 /* before a node's certificate ends */
#define CERTS_ALARM_DAYS 90  /* before the CA ends, or a node's that was not renewed */

struct certs_ends {
	bool have; /* there is a CA */
	int64_t ca_s, node_s;
};

/* The node's certificate is to be made anew. */
bool certs_due(const struct certs_ends *ends, int64_t now_s);

/* What is wrong and what to do, or "". The CA's end comes first: a new CA gives new certificates to all nodes. */
void certs_watch(const struct certs_ends *ends, int64_t now_s, char *ret, size_t size);

#endif
