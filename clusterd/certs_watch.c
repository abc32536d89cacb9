/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/certs_watch.h"

#include <inttypes.h>
#include <stdio.h>

#define ROTATE "clusterctl rotate certificates"
#define DAYS(n) ((n) * (int64_t)CERTS_DAY)

bool certs_due(const struct certs_ends *ends, int64_t now_s)
{
	return !ends->have || now_s >= ends->node_s - DAYS(CERTS_RENEW_DAYS);
}

void certs_watch(const struct certs_ends *ends, int64_t now_s, char *ret, size_t size)
{
	int64_t ca = ends->ca_s - now_s, node = ends->node_s - now_s;

	*ret = '\0';
	if (!ends->have)
		(void)snprintf(ret, size, "connections between nodes are not encrypted: " ROTATE);
	else if (ca <= 0)
		(void)snprintf(ret, size, "the cluster's CA has expired: " ROTATE);
	else if (ca < DAYS(CERTS_ALARM_DAYS))
		(void)snprintf(ret, size, "the cluster's CA expires in %" PRId64 " days: " ROTATE,
			       ca / CERTS_DAY);
	else if (node <= 0)
		(void)snprintf(ret, size,
			       "this node's certificate has expired: restart clusterd here");
	else if (node < DAYS(CERTS_ALARM_DAYS))
		(void)snprintf(ret, size,
			       "this node's certificate expires in %" PRId64
			       " days and was not renewed: see clusterd's log here",
			       node / CERTS_DAY);
}
