/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lib/pki.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

#define DAY 86400

static void crt_done(gnutls_x509_crt_t *crt)
{
	if (*crt)
		gnutls_x509_crt_deinit(*crt);
}

static void key_done(gnutls_x509_privkey_t *key)
{
	if (*key)
		gnutls_x509_privkey_deinit(*key);
}

#define CRT _cleanup_(crt_done) gnutls_x509_crt_t
#define KEY _cleanup_(key_done) gnutls_x509_privkey_t

static int fail(struct cl_error *err, int r, const char *what)
{
	return cl_error_set(err, -EIO, "%s: %s", what, gnutls_strerror(r));
}

static gnutls_datum_t datum(const char *text)
{
	return (gnutls_datum_t){ (unsigned char *)(uintptr_t)text, (unsigned)strlen(text) };
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static int crt_read(const char *pem, gnutls_x509_crt_t *ret, struct cl_error *err)
{
	gnutls_datum_t d = datum(pem);
	int r = gnutls_x509_crt_init(ret);

	if (r == 0)
		r = gnutls_x509_crt_import(*ret, &d, GNUTLS_X509_FMT_PEM);
	return r < 0 ? fail(err, r, "a certificate cannot be read") : 0;
}

static int key_read(const char *pem, gnutls_x509_privkey_t *ret, struct cl_error *err)
{
	gnutls_datum_t d = datum(pem);
	int r = gnutls_x509_privkey_init(ret);

	if (r == 0)
		r = gnutls_x509_privkey_import(*ret, &d, GNUTLS_X509_FMT_PEM);
	return r < 0 ? fail(err, r, "a private key cannot be read") : 0;
}

int cl_pki_fingerprint(const char *pem, uint8_t ret[32], struct cl_error *err)
{
	CRT crt = NULL;
	size_t size = 32;
	int r = crt_read(pem, &crt, err);

	if (r < 0)
		return r;
	r = gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, ret, &size);
	return r < 0 ? fail(err, r, "fingerprint") : 0;
}

int cl_pki_expires(const char *pem, int64_t *ret_s, struct cl_error *err)
{
	CRT crt = NULL;
	int r = crt_read(pem, &crt, err);

	if (r == 0)
		*ret_s = (int64_t)gnutls_x509_crt_get_expiration_time(crt);
	return r;
}

/* ---- making ----------------------------------------------------------------------------------------- */

static int text_of(int r, const gnutls_datum_t *d, char **ret)
{
	if (r < 0)
		return r;
	*ret = strndup((const char *)d->data, d->size);
	gnutls_free(d->data);
	return *ret ? 0 : GNUTLS_E_MEMORY_ERROR;
}

static int crt_text(gnutls_x509_crt_t crt, char **ret)
{
	gnutls_datum_t d;
	int r = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &d);

	return text_of(r, &d, ret);
}

static int key_text(gnutls_x509_privkey_t key, char **ret)
{
	gnutls_datum_t d;
	int r = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
						  &d);

	return text_of(r, &d, ret);
}

static int key_make(gnutls_x509_privkey_t *ret)
{
	int r = gnutls_x509_privkey_init(ret);

	if (r == 0)
		r = gnutls_x509_privkey_generate(
			*ret, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	return r;
}

/* What every certificate of ours has. */
static int crt_make(const char *name, const char *unit, gnutls_x509_privkey_t key, int64_t now_s,
		    unsigned days, gnutls_x509_crt_t *ret)
{
	uint8_t serial[16];
	int r = gnutls_x509_crt_init(ret);

	if (r == 0)
		r = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));
	serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and always as long */
	if (r == 0)
		r = gnutls_x509_crt_set_version(*ret, 3);
	if (r == 0)
		r = gnutls_x509_crt_set_serial(*ret, serial, sizeof(serial));
	if (r == 0)
		r = gnutls_x509_crt_set_activation_time(*ret, (time_t)(now_s - DAY));
	if (r == 0)
		r = gnutls_x509_crt_set_expiration_time(*ret,
							(time_t)(now_s + (int64_t)days * DAY));
	if (r == 0)
		r = gnutls_x509_crt_set_key(*ret, key);
	if (r == 0)
		r = gnutls_x509_crt_set_dn_by_oid(*ret, GNUTLS_OID_X520_COMMON_NAME, 0, name,
						  (unsigned)strlen(name));
	if (r == 0)
		r = gnutls_x509_crt_set_dn_by_oid(*ret, GNUTLS_OID_X520_ORGANIZATIONAL_UNIT_NAME, 0,
						  unit, (unsigned)strlen(unit));
	return r;
}

static int key_id(gnutls_x509_crt_t crt, uint8_t *id, size_t *size)
{
	return gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, id, size);
}

int cl_pki_ca_new(const char *name, int64_t now_s, unsigned days, char **ret_cert, char **ret_key,
		  struct cl_error *err)
{
	_cleanup_free_ char *cert = NULL, *pem = NULL;
	uint8_t id[32];
	size_t size = sizeof(id);
	CRT crt = NULL;
	KEY key = NULL;
	int r = key_make(&key);

	if (r == 0)
		r = crt_make(name, "ca", key, now_s, days, &crt);
	if (r == 0)
		r = gnutls_x509_crt_set_basic_constraints(crt, 1, 0);
	if (r == 0)
		r = gnutls_x509_crt_set_key_usage(crt,
						  GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
	if (r == 0)
		r = key_id(crt, id, &size);
	if (r == 0)
		r = gnutls_x509_crt_set_subject_key_id(crt, id, size);
	if (r == 0)
		r = gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0);
	if (r == 0)
		r = crt_text(crt, &cert);
	if (r == 0)
		r = key_text(key, &pem);
	if (r < 0)
		return fail(err, r, "making the cluster's CA");
	*ret_cert = cl_steal(cert);
	*ret_key = cl_steal(pem);
	return 0;
}

static int crt_of_node(gnutls_x509_crt_t crt, gnutls_x509_crt_t ca, gnutls_x509_privkey_t ca_key,
		       const char *name)
{
	uint8_t id[32];
	size_t size = sizeof(id);
	int r = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);

	if (r == 0)
		r = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
	if (r == 0)
		r = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
	if (r == 0)
		r = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0);
	if (r == 0)
		r = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name,
							 (unsigned)strlen(name), GNUTLS_FSAN_SET);
	if (r == 0)
		r = key_id(ca, id, &size);
	if (r == 0)
		r = gnutls_x509_crt_set_authority_key_id(crt, id, size);
	return r == 0 ? gnutls_x509_crt_sign2(crt, ca, ca_key, GNUTLS_DIG_SHA256, 0) : r;
}

int cl_pki_issue(const char *ca_pem, const char *ca_key_pem, const char *name, const char *unit,
		 int64_t now_s, unsigned days, char **ret_chain, char **ret_key,
		 struct cl_error *err)
{
	_cleanup_free_ char *leaf = NULL, *top = NULL, *chain = NULL, *pem = NULL;
	CRT ca = NULL, crt = NULL;
	KEY ca_key = NULL, key = NULL;
	int r = crt_read(ca_pem, &ca, err);

	if (r == 0)
		r = key_read(ca_key_pem, &ca_key, err);
	if (r < 0)
		return r;
	r = key_make(&key);
	if (r == 0)
		r = crt_make(name, unit, key, now_s, days, &crt);
	if (r == 0)
		r = crt_of_node(crt, ca, ca_key, name);
	if (r == 0)
		r = crt_text(crt, &leaf);
	if (r == 0)
		r = crt_text(ca, &top);
	if (r == 0)
		r = key_text(key, &pem);
	if (r == 0 && asprintf(&chain, "%s%s", leaf, top) < 0)
		r = GNUTLS_E_MEMORY_ERROR;
	if (r < 0)
		return fail(err, r, "making a certificate");
	*ret_chain = cl_steal(chain);
	*ret_key = cl_steal(pem);
	return 0;
}
