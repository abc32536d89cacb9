/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "iscsi/witness_dir.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

/* TRIES: an owner that works moves the token a few hundred times a second at most; one look and one rename
 * take a millisecond each. */
enum { TRIES = 100, COPY_BYTES = 1 << 20, PASSES = 1000, AT_ONCE = 32 };

static const char super_name[] = "superblock", super_tmp[] = "tmp-0-0000000000000000";

static int rename_token(struct wdir *d, const struct wdir_token *from, const struct wdir_token *to)
{
	char a[WDIR_NAME_MAX], b[WDIR_NAME_MAX];

	wdir_token_name(from, a);
	wdir_token_name(to, b);
	return d->os->rename(d->os->user, a, b);
}

/*
 * From there to there, and it is ours (d->token); -ENOENT: it is not there. The server may have done it and the
 * answer was lost, then `to` is there; nobody else can make its next turn.
 */
static int move(struct wdir *d, const struct wdir_token *from, const struct wdir_token *to)
{
	struct wdir_token next = *to;
	int r = rename_token(d, from, to);

	d->token = *to;
	if (r != -ENOENT)
		return r;
	next.turn++;
	r = rename_token(d, to, &next);
	d->token = next;
	return r;
}

static int turn(struct wdir *d)
{
	struct wdir_token next = d->token;
	int r;

	next.turn++;
	r = move(d, &d->token, &next);
	if (r == -ENOENT)
		d->claimed = false;
	return r;
}

/* ---- beginning -------------------------------------------------------------------------------------- */

static int read_super(const struct wdir_os *os, uint8_t super[WDIR_UNIT], bool blank,
		      struct cl_error *err)
{
	int r;

	memset(super, 0, WDIR_UNIT);
	r = os->read(os->user, super_name, 0, super, WDIR_UNIT);
	if (r == -ENOENT && blank)
		return 0;
	if (r == -ENOENT)
		return cl_error_set(err, -ENODATA,
				    "there is no witness in this directory: is the share mounted "
				    "on this node?");
	return r < 0 ? cl_error_errno(err, r, "its superblock cannot be read") : 0;
}

int wdir_open(struct wdir *d, const struct wdir_os *os, unsigned node, bool make, bool unused,
	      struct cl_error *err)
{
	unsigned defects = d->defects;
	struct wdir_seen seen;
	int r;

	*d = (struct wdir){ .os = os, .node = node, .defects = defects };
	d->second_half = (uint64_t)WDIR_LOG_UNIT * WDIR_UNIT + WDIR_HALF_BYTES;
	r = wdir_look(os, &seen, err);
	if (r < 0)
		return r;
	if (unused && seen.others)
		return cl_error_set(err, -CL_EREFUSED, "the directory holds other files");
	if (unused && seen.super && seen.tokens && seen.token.node)
		return cl_error_set(err, -EBUSY, "the directory is in use: node %u has claimed it",
				    seen.token.node);
	return read_super(os, d->super, make, err);
}

/* ---- claiming ---------------------------------------------------------------------------------------- */

static int one_token(const struct wdir_seen *seen, struct cl_error *err)
{
	if (seen->tokens == 1)
		return 0;
	return cl_error_set(err, -CL_ECORRUPT,
			    seen->tokens
				    ? "it was made a witness twice at once: make it anew with "
				      "`set quorum witness`"
				    : "the file that says who owns it is gone: make it anew with "
				      "`set quorum witness`");
}

/* The compare-and-swap. A nonce of its own for each try: a name that was seen missing may be remembered so. */
static int take(struct wdir *d, uint64_t *ret_from, struct cl_error *err)
{
	struct wdir_seen seen;
	int r;

	for (unsigned i = 0; i < TRIES; i++) {
		struct wdir_token mine = { .node = d->node, .nonce = d->os->random(d->os->user) };

		r = wdir_look(d->os, &seen, err);
		if (r == 0)
			r = one_token(&seen, err);
		if (r < 0)
			return r;
		mine.claim = seen.token.claim + 1;
		r = move(d, &seen.token, &mine);
		if (r == 0) {
			*ret_from = seen.token.claim;
			return 0;
		}
		if (r != -ENOENT)
			return cl_error_errno(err, r, "it cannot be claimed");
	}
	return cl_error_set(err, -EAGAIN, "it cannot be claimed: its owner is too busy with it");
}

static bool is_zero(const uint8_t *data, size_t len)
{
	return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

/* In order: a half that is begun anew meanwhile is the older one, as its owner has to ask before each. */
static int copy_blocks(const struct wdir_os *os, const char *from, const char *to)
{
	_cleanup_free_ uint8_t *buf = malloc(COPY_BYTES);
	uint64_t at = 0;
	int r;

	if (!buf)
		return -ENOMEM;
	do {
		r = os->read(os->user, from, at, buf, COPY_BYTES);
		if (r > 0 && !is_zero(buf, (size_t)r)) {
			int w = os->write(os->user, to, at, buf, (uint32_t)r);

			if (w < 0)
				return w;
		}
		at += COPY_BYTES;
	} while (r == COPY_BYTES && at < WDIR_BYTES);
	return r < 0 ? r : 0;
}

/*
 * The newest log there is, which was made by a claim up to `from`. A later one cannot be, since `from` was the last
 * claim: then the server has forgotten claims, and what they vouched for.
 */
static int copy_log(struct wdir *d, uint64_t from, char tmp[WDIR_NAME_MAX], struct cl_error *err)
{
	const struct wdir_os *os = d->os;
	struct wdir_seen seen;
	int r = wdir_look(os, &seen, err);

	if (r < 0)
		return r;
	if (!seen.logs || seen.newest > from)
		return cl_error_set(
			err, -CL_ECORRUPT,
			"the directory has lost %s: make it anew with `set quorum witness`",
			seen.logs ? "claims" : "its log");
	wdir_blocks_name("tmp-", d->token.claim, d->token.nonce, tmp);
	r = os->create(os->user, tmp);
	if (r == 0)
		r = copy_blocks(os, seen.log, tmp);
	return r < 0 ? cl_error_errno(err, r, "its log cannot be copied") : 0;
}

static int same_super(struct wdir *d, struct cl_error *err)
{
	uint8_t now[WDIR_UNIT];
	int r = read_super(d->os, now, false, err);

	if (r == 0 && memcmp(now, d->super, WDIR_UNIT) != 0)
		r = cl_error_set(err, -ESTALE, "the directory was made a witness anew");
	return r;
}

/* The copy becomes the log of this claim, whole: who finds it needs no other. */
static int publish(struct wdir *d, const char *tmp, struct cl_error *err)
{
	int r;

	wdir_blocks_name("log-", d->token.claim, d->token.nonce, d->log);
	r = d->os->rename(d->os->user, tmp, d->log);
	if (r == 0)
		r = d->os->sync(d->os->user);
	return r < 0 ? cl_error_errno(err, r, "its log cannot be copied") : 0;
}

int wdir_claim(struct wdir *d, struct cl_error *err)
{
	bool first = d->defects & WDIR_DEFECT_READ_FIRST;
	char tmp[WDIR_NAME_MAX];
	uint64_t from = UINT64_MAX;
	int r = 0;

	d->claimed = d->clean = false;
	d->end = 0;
	d->token = (struct wdir_token){ .nonce = d->os->random(d->os->user) };
	if (first)
		r = copy_log(d, from, tmp, err);
	if (r == 0)
		r = take(d, &from, err);
	if (r == 0 && d->os->sync(d->os->user) < 0)
		r = cl_error_set(err, -EIO, "its claim cannot be made durable");
	if (r == 0)
		r = same_super(d, err);
	if (r == 0 && !first)
		r = copy_log(d, from, tmp, err);
	if (r == 0)
		r = publish(d, tmp, err);
	d->claimed = r == 0;
	return r;
}

/* ---- owning -------------------------------------------------------------------------------------------- */

struct names {
	char v[AT_ONCE][WDIR_NAME_MAX];
	size_t n;
	uint64_t below; /* logs and copies of lower claims; 0 = all that is ours */
};

static void collect(void *arg, const char *name)
{
	struct names *l = arg;
	uint64_t claim;
	enum wdir_kind kind = wdir_kind_of(name, &claim);
	bool old = (kind == WDIR_LOG || kind == WDIR_TMP) && claim < l->below;

	if (l->n < AT_ONCE && kind != WDIR_OTHER && kind != WDIR_SUPER && (!l->below || old))
		(void)snprintf(l->v[l->n++], WDIR_NAME_MAX, "%s", name);
}

/* One pass. Returns how many there were, or -errno; one that has gone meanwhile is as good as removed. */
static int sweep(const struct wdir_os *os, uint64_t below)
{
	struct names l = { .below = below };
	int r = os->list(os->user, collect, &l);

	for (size_t i = 0; r >= 0 && i < l.n; i++)
		r = os->remove(os->user, l.v[i]);
	return r < 0 && r != -ENOENT ? r : (int)l.n;
}

int wdir_check(struct wdir *d, bool *ret_mine, unsigned *ret_holder, struct cl_error *err)
{
	struct wdir_seen seen;
	int r;

	*ret_mine = false;
	if (d->claimed) {
		r = d->defects & WDIR_DEFECT_NO_CHECK ? 0 : turn(d);
		if (r < 0 && r != -ENOENT)
			return cl_error_errno(err, r, "it cannot be asked who owns it");
		*ret_mine = r == 0;
		*ret_holder = d->node;
		/* What stays is removed at the next claim's first CHECK. */
		if (r == 0 && !d->clean) {
			d->clean = true;
			(void)sweep(d->os, d->token.claim);
		}
		if (r == 0)
			return 0;
	}
	r = wdir_look(d->os, &seen, err);
	if (r == 0)
		*ret_holder = seen.tokens == 1 ? seen.token.node : 0;
	return r;
}

int wdir_owner_write(struct wdir *d, uint64_t offset, const void *data, uint32_t len,
		     struct cl_error *err)
{
	int r = d->claimed ? 0 : -ENOENT;

	if (offset > WDIR_BYTES || len > WDIR_BYTES - offset)
		return cl_error_set(err, -EINVAL, "it has no such block");
	if (r == 0 && (offset != d->end || offset == d->second_half) &&
	    !(d->defects & WDIR_DEFECT_NO_JUMP_CHECK))
		r = turn(d);
	if (r == -ENOENT)
		return cl_error_set(err, -EPERM, "another node has taken it over");
	if (r == 0)
		r = d->os->write(d->os->user, d->log, offset, data, len);
	if (r < 0)
		return cl_error_errno(err, r, "its log cannot be written");
	d->end = offset + len;
	return 0;
}

/* ---- making, clearing ------------------------------------------------------------------------------------ */

/*
 * Without a superblock nobody begins anything. An owner that lives may move its token on between list and removal,
 * so it is looked again until nothing is left.
 */
static int remove_all(struct wdir *d, struct cl_error *err)
{
	int r = d->os->remove(d->os->user, super_name);

	if (r == -ENOENT)
		r = 0;
	for (unsigned i = 0; r == 0 && i < PASSES; i++) {
		r = sweep(d->os, 0);
		if (r == 0)
			return d->os->sync(d->os->user);
		if (r > 0)
			r = 0;
	}
	return r < 0 ? cl_error_errno(err, r, "what was there cannot be removed")
		     : cl_error_set(err, -EAGAIN, "somebody else goes on making files there");
}

/* The superblock last: it makes it one. */
int wdir_format(struct wdir *d, const uint8_t super[WDIR_UNIT], struct cl_error *err)
{
	const struct wdir_token nobody = { .nonce = d->os->random(d->os->user) };
	const struct wdir_os *os = d->os;
	char token[WDIR_NAME_MAX], log[WDIR_NAME_MAX];
	int r = remove_all(d, err);

	if (r < 0)
		return r;
	d->claimed = false;
	wdir_token_name(&nobody, token);
	wdir_blocks_name("log-", 0, nobody.nonce, log);
	r = os->create(os->user, log);
	if (r == 0)
		r = os->create(os->user, token);
	if (r == 0)
		r = os->create(os->user, super_tmp);
	if (r == 0)
		r = os->write(os->user, super_tmp, 0, super, WDIR_UNIT);
	if (r == 0)
		r = os->sync(os->user);
	if (r == 0)
		r = os->rename(os->user, super_tmp, super_name);
	if (r == 0)
		r = os->sync(os->user);
	return r < 0 ? cl_error_errno(err, r, "it cannot be made a witness") : 0;
}

int wdir_clear(struct wdir *d, struct cl_error *err)
{
	struct wdir_seen seen;
	int r = wdir_look(d->os, &seen, err);

	if (r < 0 || seen.tokens != 1 || seen.token.node != d->node)
		return r;
	r = same_super(d, err); /* not one that was made meanwhile */
	return r < 0 ? r : remove_all(d, err);
}

/* ---- the other lane -------------------------------------------------------------------------------------- */

static int read_slots(const struct wdir_os *os, uint64_t unit, uint8_t *buf, uint32_t len)
{
	char name[WDIR_NAME_MAX];

	for (uint32_t at = 0; at < len; at += WDIR_UNIT, unit++) {
		int r;

		(void)snprintf(name, sizeof(name), "slot-%" PRIu64, unit - WDIR_SLOT_UNIT);
		r = os->read(os->user, name, 0, buf + at, WDIR_UNIT);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

static bool is_slots(uint64_t offset, uint32_t len)
{
	return offset >= (uint64_t)(WDIR_SLOT_UNIT + 1) * WDIR_UNIT &&
	       offset + len <= (uint64_t)(WDIR_SLOT_UNIT + 256) * WDIR_UNIT;
}

int wdir_read(const struct wdir_os *os, const char *log, bool make, uint64_t offset, uint8_t *buf,
	      uint32_t len, struct cl_error *err)
{
	int r;

	if (offset == 0 && len == WDIR_UNIT)
		return read_super(os, buf, make, err);
	memset(buf, 0, len);
	if (offset % WDIR_UNIT || len % WDIR_UNIT || offset > WDIR_BYTES ||
	    len > WDIR_BYTES - offset)
		return cl_error_set(err, -EINVAL, "it has no such block");
	if (is_slots(offset, len)) {
		r = read_slots(os, offset / WDIR_UNIT, buf, len);
	} else if (log[0]) {
		r = os->read(os->user, log, offset, buf, len);
	} else {
		return cl_error_set(err, -EPERM, "it is not claimed here");
	}
	return r < 0 ? cl_error_errno(err, r, "it cannot be read") : 0;
}

int wdir_slot_write(const struct wdir_os *os, uint64_t offset, const void *data, uint32_t len,
		    struct cl_error *err)
{
	char name[WDIR_NAME_MAX];
	int r;

	if (offset % WDIR_UNIT || len != WDIR_UNIT || !is_slots(offset, len))
		return cl_error_set(err, -EINVAL, "it has no such slot");
	(void)snprintf(name, sizeof(name), "slot-%" PRIu64, offset / WDIR_UNIT - WDIR_SLOT_UNIT);
	r = os->write(os->user, name, 0, data, len);
	if (r == -ENOENT) {
		r = os->create(os->user, name);
		if (r == 0)
			r = os->write(os->user, name, 0, data, len);
	}
	return r < 0 ? cl_error_errno(err, r, "its slot cannot be written") : 0;
}
