/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cluster's own small CA: makes itself and the nodes' certificates (ECDSA P-256, PEM). */
#ifndef CL_LIB_PKI_H
#define CL_LIB_PKI_H

#include <stdint.h>

#include "lib/error.h"

#define CL_PKI_MAX (16 * 1024) /* of any PEM text */

/* A new CA, valid from a day before now (clocks differ) for so many days. malloc'd texts. */
int cl_pki_ca_new(const char *name, int64_t now_s, unsigned days, char **ret_cert, char **ret_key,
		  struct cl_error *err);

/*
 * A certificate with a key of its own, signed by the first one in ca with its key: CN = name, OU =
 * unit, the name also as DNS name, for both ends of a connection. *ret_chain has the CA's behind it.
 */
int cl_pki_issue(const char *ca, const char *ca_key, const char *name, const char *unit,
		 int64_t now_s, unsigned days, char **ret_chain, char **ret_key,
		 struct cl_error *err);

/* SHA-256 of the first certificate in pem. */
int cl_pki_fingerprint(const char *pem, uint8_t ret[32], struct cl_error *err);
/* When the first certificate in pem ends, seconds. */
int cl_pki_expires(const char *pem, int64_t *ret_s, struct cl_error *err);

#endif
