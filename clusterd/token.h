/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tokens: what a new machine needs to trust the cluster, and the cluster the machine. One use, one
 * member that takes it, an end. The member keeps only a hash of the secret.
 */
#ifndef CL_CLUSTERD_TOKEN_H
#define CL_CLUSTERD_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

enum {
	TOKEN_SECRET = 16,
	TOKEN_FINGERPRINT = 32,
	TOKEN_TEXT_MAX = 200,
	TOKENS_MAX = 64,
};

struct token {
	char address[64]; /* of the member that made it */
	uint16_t port;
	uint8_t fingerprint[TOKEN_FINGERPRINT]; /* SHA-256 of the cluster's CA certificate */
	uint8_t secret[TOKEN_SECRET];
};

/* "clj1." and base64 (RFC 4648), with a checksum: a letter that was lost is told from a wrong token. -ENOMEM. */
int token_print(const struct token *token, char ret[TOKEN_TEXT_MAX]);
/* -EINVAL in words. */
int token_parse(const char *text, struct token *ret, struct cl_error *err);

/*
 * Those that this member takes, in a file of its own that outlives restarts. Each call reads and, where
 * it changes something, writes it, synced, before it returns. now_s: wall clock.
 */
int tokens_add(const char *dir, const uint8_t secret[TOKEN_SECRET], int64_t now_s,
	       int64_t expires_s, struct cl_error *err);
/* Takes it out: it is used up by this. -CL_EREFUSED: there is no such token (any more). */
int tokens_use(const char *dir, const uint8_t *secret, size_t len, int64_t now_s,
	       struct cl_error *err);
/* How many are good. */
unsigned tokens_count(const char *dir, int64_t now_s);

#endif
