/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names in a witness's directory, and what a list of them says. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "iscsi/witness_dir.h"

void wdir_token_name(const struct wdir_token *t, char name[WDIR_NAME_MAX])
{
	(void)snprintf(name, WDIR_NAME_MAX, "claim-%" PRIu64 "-%u-%016" PRIx64 "-%" PRIu64,
		       t->claim, t->node, t->nonce, t->turn);
}

void wdir_blocks_name(const char *prefix, uint64_t claim, uint64_t nonce, char name[WDIR_NAME_MAX])
{
	(void)snprintf(name, WDIR_NAME_MAX, "%s%" PRIu64 "-%016" PRIx64, prefix, claim, nonce);
}

/* What is read has to be written the same: sscanf takes signs, blanks and too many digits. */
bool wdir_token_parse(const char *name, struct wdir_token *ret)
{
	struct wdir_token t;
	char again[WDIR_NAME_MAX];

	if (strlen(name) >= sizeof(again) ||
	    sscanf(name, "claim-%" SCNu64 "-%u-%16" SCNx64 "-%" SCNu64, &t.claim, &t.node, &t.nonce,
		   &t.turn) != 4)
		return false;
	wdir_token_name(&t, again);
	/* The last numbers are left out: there would be no next one. */
	if (strcmp(name, again) != 0 || t.node > 255 || t.claim >= UINT64_MAX / 2 ||
	    t.turn >= UINT64_MAX / 2)
		return false;
	*ret = t;
	return true;
}

static bool is_slot(const char *name)
{
	char again[WDIR_NAME_MAX];
	unsigned n;

	if (sscanf(name, "slot-%u", &n) != 1 || n < 1 || n > 255)
		return false;
	(void)snprintf(again, sizeof(again), "slot-%u", n);
	return strcmp(name, again) == 0;
}

static bool is_blocks(const char *name, const char *prefix, uint64_t *ret_claim)
{
	size_t len = strlen(prefix);
	char again[WDIR_NAME_MAX];
	uint64_t nonce;

	if (strncmp(name, prefix, len) != 0 ||
	    sscanf(name + len, "%" SCNu64 "-%16" SCNx64, ret_claim, &nonce) != 2)
		return false;
	wdir_blocks_name(prefix, *ret_claim, nonce, again);
	return strcmp(name, again) == 0 && *ret_claim < UINT64_MAX / 2;
}

enum wdir_kind wdir_kind_of(const char *name, uint64_t *ret_claim)
{
	struct wdir_token t;

	*ret_claim = 0;
	if (strcmp(name, "superblock") == 0)
		return WDIR_SUPER;
	if (wdir_token_parse(name, &t)) {
		*ret_claim = t.claim;
		return WDIR_TOKEN;
	}
	if (is_blocks(name, "log-", ret_claim))
		return WDIR_LOG;
	if (is_slot(name))
		return WDIR_SLOT;
	if (is_blocks(name, "tmp-", ret_claim))
		return WDIR_TMP;
	*ret_claim = 0;
	return WDIR_OTHER;
}

static void look_at(void *arg, const char *name)
{
	struct wdir_seen *s = arg;
	uint64_t claim;

	switch (wdir_kind_of(name, &claim)) {
	case WDIR_SUPER:
		s->super = true;
		break;
	case WDIR_TOKEN:
		s->tokens++;
		(void)wdir_token_parse(name, &s->token);
		break;
	case WDIR_LOG:
		if (s->logs && claim <= s->newest)
			break;
		s->logs = true;
		s->newest = claim;
		(void)snprintf(s->log, sizeof(s->log), "%s", name);
		break;
	case WDIR_OTHER:
		/* What an NFS client calls a file that was removed while somebody here had it open: it goes by itself. */
		s->others += strncmp(name, ".nfs", 4) != 0;
		break;
	case WDIR_SLOT:
	case WDIR_TMP:
		break;
	}
}

int wdir_look(const struct wdir_os *os, struct wdir_seen *ret, struct cl_error *err)
{
	int r;

	*ret = (struct wdir_seen){ 0 };
	r = os->list(os->user, look_at, ret);
	return r < 0 ? cl_error_errno(err, r, "its names cannot be read") : 0;
}
