/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lib/tls.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/assert.h"

#define RECORD 16384

struct cl_tls_creds {
	unsigned refs;
	gnutls_certificate_credentials_t x509;
};

struct cl_tls {
	gnutls_session_t session;
	struct cl_tls_creds *creds;
	bool server, anonymous, pinned, any_peer;
	char unit[16], want[CL_TLS_NAME_MAX], peer[CL_TLS_NAME_MAX];
	uint8_t fingerprint[CL_TLS_FINGERPRINT];
	size_t stuck;  /* bytes that GnuTLS has taken and not sent */
	char why[200]; /* of a refusal, in our own words */
};

static int fail(struct cl_error *err, int r, const char *what)
{
	return cl_error_set(err, r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EPROTO, "%s: %s", what,
			    gnutls_strerror(r));
}

/* ---- credentials -------------------------------------------------------------------------------- */

static int verify(gnutls_session_t session);

static gnutls_datum_t datum(const char *text)
{
	return (gnutls_datum_t){ (unsigned char *)(uintptr_t)text, (unsigned)strlen(text) };
}

int cl_tls_creds_new(const char *ca, const char *chain, const char *key, struct cl_tls_creds **ret,
		     struct cl_error *err)
{
	_cleanup_(cl_tls_creds_unrefp) struct cl_tls_creds *c = calloc(1, sizeof(*c));
	gnutls_datum_t d, k;
	int r;

	if (!c || gnutls_certificate_allocate_credentials(&c->x509) < 0) {
		free(cl_steal(c));
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	c->refs = 1;
	gnutls_certificate_set_verify_function(c->x509, verify);
	if (ca) {
		d = datum(ca);
		r = gnutls_certificate_set_x509_trust_mem(c->x509, &d, GNUTLS_X509_FMT_PEM);
		if (r <= 0)
			return fail(err, r ? r : GNUTLS_E_NO_CERTIFICATE_FOUND, "CA certificate");
	}
	if (chain && key) {
		d = datum(chain);
		k = datum(key);
		r = gnutls_certificate_set_x509_key_mem(c->x509, &d, &k, GNUTLS_X509_FMT_PEM);
		if (r < 0)
			return fail(err, r, "own certificate");
	}
	*ret = cl_steal(c);
	return 0;
}

struct cl_tls_creds *cl_tls_creds_ref(struct cl_tls_creds *creds)
{
	creds->refs++;
	return creds;
}

void cl_tls_creds_unref(struct cl_tls_creds *creds)
{
	if (!creds || --creds->refs)
		return;
	gnutls_certificate_free_credentials(creds->x509);
	free(creds);
}

/* ---- who is it ------------------------------------------------------------------------------------ */

static int refuse(struct cl_tls *tls, const char *fmt, const char *text)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(tls->why, sizeof(tls->why), fmt, text);
#pragma GCC diagnostic pop
	return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

static bool name_of(gnutls_x509_crt_t crt, const char *oid, char *ret, size_t size)
{
	size_t n = size;

	return gnutls_x509_crt_get_dn_by_oid(crt, oid, 0, 0, ret, &n) == 0 && n < size;
}

/* Signed by whom we trust; now it counts for what, and for whom. */
static int check_name(struct cl_tls *tls, gnutls_x509_crt_t crt)
{
	char unit[sizeof(tls->unit)] = "";

	if (!name_of(crt, GNUTLS_OID_X520_ORGANIZATIONAL_UNIT_NAME, unit, sizeof(unit)) ||
	    strcmp(unit, tls->unit) != 0)
		return refuse(tls, "the other side's certificate is for '%s', not for this", unit);
	if (!name_of(crt, GNUTLS_OID_X520_COMMON_NAME, tls->peer, sizeof(tls->peer)))
		return refuse(tls, "the other side's certificate names nobody%s", "");
	if (!tls->any_peer && strcmp(tls->peer, tls->want) != 0)
		return refuse(tls, "it is '%s' that answers, not who was called", tls->peer);
	return 0;
}

static int verify_trusted(struct cl_tls *tls)
{
	gnutls_datum_t text = { 0 };
	unsigned status = 0;
	int r = gnutls_certificate_verify_peers3(tls->session, NULL, &status);

	if (r < 0)
		return refuse(tls, "the other side's certificate: %s", gnutls_strerror(r));
	if (!status)
		return 0;
	(void)gnutls_certificate_verification_status_print(
		status, gnutls_certificate_type_get(tls->session), &text, 0);
	r = refuse(tls, "%s", text.data ? (char *)text.data : "not of this cluster");
	gnutls_free(text.data);
	return r;
}

/* Only the CA's fingerprint is known: the chain's end must be that CA and have signed the rest. */
static int verify_pinned(struct cl_tls *tls, const gnutls_datum_t *list, unsigned n,
			 gnutls_x509_crt_t crt)
{
	uint8_t got[CL_TLS_FINGERPRINT];
	gnutls_x509_trust_list_t trust;
	gnutls_x509_crt_t ca;
	unsigned status = 1;

	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, list[n - 1].data, list[n - 1].size, got) < 0 ||
	    gnutls_memcmp(got, tls->fingerprint, sizeof(got)) != 0)
		return refuse(tls, "another cluster answers than the token was made for%s", "");
	if (gnutls_x509_trust_list_init(&trust, 0) < 0)
		return GNUTLS_E_MEMORY_ERROR;
	if (gnutls_x509_crt_init(&ca) == 0) {
		if (gnutls_x509_crt_import(ca, &list[n - 1], GNUTLS_X509_FMT_DER) == 0 &&
		    gnutls_x509_trust_list_add_cas(trust, &ca, 1, 0) == 1)
			(void)gnutls_x509_trust_list_verify_crt(trust, &crt, 1, 0, &status, NULL);
		else
			gnutls_x509_crt_deinit(ca);
	}
	gnutls_x509_trust_list_deinit(trust, 1);
	return status ? refuse(tls, "its certificate is not signed by its cluster%s", "") : 0;
}

static int verify(gnutls_session_t session)
{
	struct cl_tls *tls = gnutls_session_get_ptr(session);
	unsigned n = 0;
	const gnutls_datum_t *list = gnutls_certificate_get_peers(session, &n);
	gnutls_x509_crt_t crt;
	int r;

	if (!list || !n)
		return tls->anonymous ? 0
				      : refuse(tls, "the other side shows no certificate%s", "");
	if (gnutls_x509_crt_init(&crt) < 0)
		return GNUTLS_E_MEMORY_ERROR;
	r = gnutls_x509_crt_import(crt, &list[0], GNUTLS_X509_FMT_DER);
	if (r == 0)
		r = tls->pinned ? verify_pinned(tls, list, n, crt) : verify_trusted(tls);
	if (r == 0)
		r = check_name(tls, crt);
	gnutls_x509_crt_deinit(crt);
	return r;
}

/* ---- a session --------------------------------------------------------------------------------------- */

static int session_setup(struct cl_tls *tls, int fd)
{
	/* Nothing older than 1.3 and nothing without authentication. AES-128 first: on every
	 * processor of the last years it is the fastest. */
	static const char priority[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:"
				       "+AES-256-GCM:+CHACHA20-POLY1305";
	int r = gnutls_init(&tls->session, (tls->server ? GNUTLS_SERVER : GNUTLS_CLIENT) |
						   GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL |
						   GNUTLS_NO_TICKETS);

	if (r < 0)
		return r;
	gnutls_session_set_ptr(tls->session, tls);
	r = gnutls_priority_set_direct(tls->session, priority, NULL);
	if (r == 0)
		r = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->creds->x509);
	if (tls->server)
		gnutls_certificate_server_set_request(
			tls->session, tls->anonymous ? GNUTLS_CERT_REQUEST : GNUTLS_CERT_REQUIRE);
	gnutls_handshake_set_timeout(tls->session, 0); /* the owner's timer ends it */
	gnutls_transport_set_int(tls->session, fd);
	return r;
}

int cl_tls_new(const struct cl_tls_config *config, int fd, struct cl_tls **ret,
	       struct cl_error *err)
{
	_cleanup_(cl_tls_freep) struct cl_tls *tls = calloc(1, sizeof(*tls));
	int r;

	if (!tls)
		return cl_error_set(err, -ENOMEM, "out of memory");
	cl_assert(!config->fingerprint || !config->server);
	tls->creds = cl_tls_creds_ref(config->creds);
	tls->server = config->server;
	tls->anonymous = config->server && config->anonymous;
	tls->pinned = config->fingerprint != NULL;
	tls->any_peer = !config->peer;
	(void)snprintf(tls->unit, sizeof(tls->unit), "%s", config->unit);
	(void)snprintf(tls->want, sizeof(tls->want), "%s", config->peer ? config->peer : "");
	if (tls->pinned)
		memcpy(tls->fingerprint, config->fingerprint, sizeof(tls->fingerprint));
	r = session_setup(tls, fd);
	if (r < 0)
		return fail(err, r, "TLS");
	*ret = cl_steal(tls);
	return 0;
}

void cl_tls_free(struct cl_tls *tls)
{
	if (!tls)
		return;
	if (tls->session)
		gnutls_deinit(tls->session);
	cl_tls_creds_unref(tls->creds);
	free(tls);
}

const char *cl_tls_peer(const struct cl_tls *tls)
{
	return tls->peer;
}

/* ---- as a stream --------------------------------------------------------------------------------------- */

static bool again(ssize_t r)
{
	return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

static int tls_handshake(void *stream, struct cl_error *err)
{
	struct cl_tls *tls = stream;
	int r = gnutls_handshake(tls->session);

	if (r == GNUTLS_E_SUCCESS)
		return 1;
	if (!gnutls_error_is_fatal(r))
		return 0;
	if (tls->why[0])
		return cl_error_set(err, -CL_EREFUSED, "TLS: %s", tls->why);
	if (r == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return cl_error_set(err, -CL_EREFUSED, "TLS: the other side refuses us: %s",
				    gnutls_alert_get_name(gnutls_alert_get(tls->session)));
	if (r == GNUTLS_E_PREMATURE_TERMINATION || r == GNUTLS_E_PULL_ERROR ||
	    r == GNUTLS_E_PUSH_ERROR)
		return cl_error_set(err, -ECONNRESET, "TLS: closed by the other side");
	return fail(err, r, "TLS");
}

static bool tls_wants_write(void *stream)
{
	return gnutls_record_get_direction(((struct cl_tls *)stream)->session) == 1;
}

/* After E_AGAIN GnuTLS holds the encrypted record itself: to be asked again with nothing. */
static ssize_t tls_send(void *stream, const void *data, size_t len)
{
	struct cl_tls *tls = stream;
	size_t n = tls->stuck ? tls->stuck : len < RECORD ? len : RECORD;
	ssize_t r = tls->stuck ? gnutls_record_send(tls->session, NULL, 0)
			       : gnutls_record_send(tls->session, data, n);

	if (again(r)) {
		tls->stuck = n;
		return -EAGAIN;
	}
	if (r < 0)
		return -EPIPE;
	if (!tls->stuck)
		return r;
	tls->stuck = 0;
	return (ssize_t)n;
}

static ssize_t tls_recv(void *stream, void *data, size_t len)
{
	struct cl_tls *tls = stream;
	size_t got = 0;

	/* Record by record: nothing may be left in GnuTLS when nobody is told to come again. */
	while (len - got >= RECORD) {
		ssize_t r = gnutls_record_recv(tls->session, (uint8_t *)data + got, len - got);

		if (r > 0)
			got += (size_t)r;
		else if (got)
			break; /* whatever it is, the next call says it again */
		else if (r == 0 || r == GNUTLS_E_PREMATURE_TERMINATION)
			return 0;
		else
			return !gnutls_error_is_fatal((int)r) ? -EAGAIN : -EPROTO;
	}
	return (ssize_t)got;
}

static void tls_free(void *stream)
{
	cl_tls_free(stream);
}

struct cl_stream cl_tls_stream(struct cl_tls *tls)
{
	static const struct cl_stream_ops ops = { tls_handshake, tls_wants_write, tls_send,
						  tls_recv, tls_free };

	return (struct cl_stream){ &ops, tls };
}
