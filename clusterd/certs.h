/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * This node's certificates, made here from the cluster's CA, which every member has: the daemons' own
 * never lies on a disk and is made anew with each start of clusterd, QEMU's is in the run directory,
 * for the user that QEMU runs as. Renewed long before they end, and when the CA is another one.
 */
#ifndef CL_CLUSTERD_CERTS_H
#define CL_CLUSTERD_CERTS_H

#include "lib/tls.h"
#include "quorum/state_setup.h"

struct daemon;
struct certs;

int certs_new(struct daemon *d, struct certs **ret);
void certs_free(struct certs *certs);

/* The CA may be another one. 0 also when the cluster has none. */
int certs_update(struct certs *certs, const struct state_setup *setup, struct cl_error *err);

/* NULL: the cluster has no CA. */
struct cl_tls_creds *certs_tls(const struct certs *certs);
const char *certs_ca(const struct certs *certs);
const char *certs_chain(const struct certs *certs);
const char *certs_key(const struct certs *certs);
/* The directory for QEMU's tls-creds-x509; "" when there is no CA. */
const char *certs_vm_directory(const struct certs *certs);
/* Why somebody should do something about the CA; "" = nothing. */
void certs_alarm(const struct certs *certs, char *ret, size_t size);

#endif
