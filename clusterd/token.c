/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/token.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/crc32c.h"
#include "lib/file.h"
#include "lib/le.h"

#define PREFIX "clj1."
#define RAW_MAX (2 + TOKEN_FINGERPRINT + TOKEN_SECRET + 1 + 63 + 4)

/* ---- as text -------------------------------------------------------------------------------------- */

int token_print(const struct token *token, char ret[TOKEN_TEXT_MAX])
{
	uint8_t raw[RAW_MAX], *p = raw;
	size_t len = strlen(token->address);
	gnutls_datum_t data, text;

	cl_put_le16(p, token->port);
	p += 2;
	memcpy(p, token->fingerprint, TOKEN_FINGERPRINT);
	p += TOKEN_FINGERPRINT;
	memcpy(p, token->secret, TOKEN_SECRET);
	p += TOKEN_SECRET;
	*p++ = (uint8_t)len;
	memcpy(p, token->address, len);
	p += len;
	cl_put_le32(p, cl_crc32c(0, raw, (size_t)(p - raw)));
	p += 4;
	data = (gnutls_datum_t){ raw, (unsigned)(p - raw) };
	if (gnutls_base64_encode2(&data, &text) < 0)
		return -ENOMEM;
	(void)snprintf(ret, TOKEN_TEXT_MAX, PREFIX "%s", (const char *)text.data);
	gnutls_free(text.data);
	return 0;
}

/* How many bytes; negative: it is no base64, or too many. */
static int decode(const char *in, uint8_t ret[RAW_MAX])
{
	gnutls_datum_t text = { (unsigned char *)in, (unsigned)strlen(in) }, data;
	int n = -EINVAL;

	if (gnutls_base64_decode2(&text, &data) < 0)
		return -EINVAL;
	if (data.size <= RAW_MAX) {
		memcpy(ret, data.data, data.size);
		n = (int)data.size;
	}
	gnutls_free(data.data);
	return n;
}

static int bad(struct cl_error *err, const char *why)
{
	(void)cl_error_set(err, -EINVAL, "the token %s", why);
	(void)cl_error_hint(err, "copy it whole from `clusterctl create token` on a member");
	return -EINVAL;
}

int token_parse(const char *text, struct token *ret, struct cl_error *err)
{
	uint8_t raw[RAW_MAX], *p = raw;
	unsigned char addr[16];
	size_t len;
	int n;

	if (strncmp(text, PREFIX, strlen(PREFIX)) != 0)
		return bad(err, "is none: it does not begin with " PREFIX);
	n = decode(text + strlen(PREFIX), raw);
	if (n < 2 + TOKEN_FINGERPRINT + TOKEN_SECRET + 1 + 4 ||
	    cl_get_le32(raw + n - 4) != cl_crc32c(0, raw, (size_t)n - 4))
		return bad(err, "is not whole");
	*ret = (struct token){ .port = cl_get_le16(p) };
	p += 2;
	memcpy(ret->fingerprint, p, TOKEN_FINGERPRINT);
	p += TOKEN_FINGERPRINT;
	memcpy(ret->secret, p, TOKEN_SECRET);
	p += TOKEN_SECRET;
	len = *p++;
	if (len >= sizeof(ret->address) || p + len + 4 != raw + n)
		return bad(err, "is not whole");
	memcpy(ret->address, p, len);
	if (inet_pton(AF_INET, ret->address, addr) != 1 &&
	    inet_pton(AF_INET6, ret->address, addr) != 1)
		return bad(err, "names no address");
	return 0;
}

/* ---- those that are good ----------------------------------------------------------------------------- */

struct entry {
	char hash[65];
	int64_t expires_s;
};

struct list {
	struct entry v[TOKENS_MAX];
	size_t n;
};

static void hash(const uint8_t *secret, char ret[65])
{
	uint8_t raw[32] = { 0 };

	(void)gnutls_hash_fast(GNUTLS_DIG_SHA256, secret, TOKEN_SECRET, raw);
	for (size_t i = 0; i < sizeof(raw); i++)
		(void)sprintf(ret + 2 * i, "%02x", raw[i]);
}

static void path_of(const char *dir, char ret[PATH_MAX])
{
	(void)snprintf(ret, PATH_MAX, "%s/tokens", dir);
}

/* Those whose time has not come yet. A damaged line is none. */
static int list_read(const char *dir, int64_t now_s, struct list *ret, struct cl_error *err)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX], *save, *line;
	int r;

	ret->n = 0;
	path_of(dir, path);
	r = cl_file_read(path, 64 * 1024, &text, NULL, err);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	for (line = strtok_r(text, "\n", &save); line && ret->n < TOKENS_MAX;
	     line = strtok_r(NULL, "\n", &save)) {
		struct entry *e = &ret->v[ret->n];

		if (sscanf(line, "%64[0-9a-f] %" SCNd64, e->hash, &e->expires_s) == 2 &&
		    strlen(e->hash) == 64 && e->expires_s > now_s)
			ret->n++;
	}
	return 0;
}

static int list_write(const char *dir, const struct list *list, struct cl_error *err)
{
	char path[PATH_MAX], text[TOKENS_MAX * 90 + 1] = "";
	size_t len = 0;

	for (size_t i = 0; i < list->n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %" PRId64 "\n",
					list->v[i].hash, list->v[i].expires_s);
	path_of(dir, path);
	return cl_file_write_synced(path, text, len, 0600, err);
}

int tokens_add(const char *dir, const uint8_t secret[TOKEN_SECRET], int64_t now_s,
	       int64_t expires_s, struct cl_error *err)
{
	struct list list;
	int r = list_read(dir, now_s, &list, err);

	if (r < 0)
		return r;
	if (list.n == TOKENS_MAX)
		return cl_error_set(err, -CL_EREFUSED, "%d tokens are open already", TOKENS_MAX);
	hash(secret, list.v[list.n].hash);
	list.v[list.n++].expires_s = expires_s;
	return list_write(dir, &list, err);
}

int tokens_use(const char *dir, const uint8_t *secret, size_t len, int64_t now_s,
	       struct cl_error *err)
{
	char wanted[65];
	struct list list;
	int r = list_read(dir, now_s, &list, err);

	if (r < 0)
		return r;
	if (len == TOKEN_SECRET)
		hash(secret, wanted);
	for (size_t i = 0; len == TOKEN_SECRET && i < list.n; i++) {
		if (gnutls_memcmp(list.v[i].hash, wanted, 64) != 0)
			continue;
		list.v[i] = list.v[--list.n];
		return list_write(dir, &list, err);
	}
	(void)cl_error_set(err, -CL_EREFUSED, "the token is not good: used already, or too old");
	(void)cl_error_hint(err, "make another: clusterctl create token");
	return -CL_EREFUSED;
}

unsigned tokens_count(const char *dir, int64_t now_s)
{
	struct list list;

	return list_read(dir, now_s, &list, NULL) < 0 ? 0 : (unsigned)list.n;
}
