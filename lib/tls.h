/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS 1.3 with certificates of the cluster's own CA on both sides (GnuTLS), over a non-blocking
 * descriptor. Who the other side is stands in its certificate: CN is the node's name, OU what the
 * certificate is for ("node": our daemons; "vm": QEMU's migration, which must not pass for a daemon).
 */
#ifndef CL_LIB_TLS_H
#define CL_LIB_TLS_H

#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/stream.h"

#define CL_TLS_FINGERPRINT 32 /* SHA-256 of the CA's certificate */
#define CL_TLS_NAME_MAX 64

struct cl_tls_creds;
struct cl_tls;

/*
 * ca: one or more certificates (PEM) that are trusted; chain and key: our own certificate with its
 * CA's behind it, and its key. All may be NULL: a client that has nothing but a fingerprint. Counted:
 * a session keeps what it began with when the owner changes to other ones.
 */
int cl_tls_creds_new(const char *ca, const char *chain, const char *key, struct cl_tls_creds **ret,
		     struct cl_error *err);
struct cl_tls_creds *cl_tls_creds_ref(struct cl_tls_creds *creds);
void cl_tls_creds_unref(struct cl_tls_creds *creds);

struct cl_tls_config {
	struct cl_tls_creds *creds;
	bool server;
	bool anonymous;	  /* server: a client without a certificate is let in, as nobody */
	const char *unit; /* OU that the other side's certificate must have */
	const char *peer; /* CN that it must have; NULL = any */
	const uint8_t *fingerprint; /* client: of the CA, instead of a CA that is trusted */
};

/* A session on fd (borrowed). Everything in config is copied. */
int cl_tls_new(const struct cl_tls_config *config, int fd, struct cl_tls **ret,
	       struct cl_error *err);
void cl_tls_free(struct cl_tls *tls);

/* As a stream: its free() is cl_tls_free(). */
struct cl_stream cl_tls_stream(struct cl_tls *tls);

/* After the handshake: the name in the other side's certificate; "" = it has none. */
const char *cl_tls_peer(const struct cl_tls *tls);

CL_DEFINE_CLEANUP(struct cl_tls, cl_tls_free);
CL_DEFINE_CLEANUP(struct cl_tls_creds, cl_tls_creds_unref);

#endif
