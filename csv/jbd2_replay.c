/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two passes. Scan: follow the transactions from the tail while sequence numbers, types and
 * checksums hold, note where each logged block lies and what is revoked. Then give out, for every
 * block, the last copy that no revoke of the same or a later sequence kills.
 *
 * A descriptor, revoke or commit block that does not hold ends the log: the transaction was being
 * written when the node died. A *logged* block that does not hold in a transaction whose commit
 * block does is something else: the device said "stable" of what it had lost, and nobody can tell
 * the state: an error.
 *
 * The log is read in large pieces and what comes out is written in sorted runs: a take-over waits for this, and over
 * iSCSI it is the number of requests that counts.
 */
#include "config.h"

#include "csv/jbd2_replay.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "lib/vec.h"

struct logged {
	uint64_t blk;
	uint32_t seq, at, flags, csum;
};
CL_DEFINE_VEC(logged_vec, struct logged);

struct revoked {
	uint64_t blk;
	uint32_t seq;
};
CL_DEFINE_VEC(revoked_vec, struct revoked);

#define WINDOW 64  /* log blocks read at once */
#define BATCH 1024 /* blocks that are sorted before they are given out */

struct replay {
	struct jbd2_log *log;
	uint8_t *window; /* of the log blocks [w_at, w_at + w_n) */
	uint32_t w_at, w_n;
	struct logged_vec logged; /* [0, n_whole) belongs to whole transactions */
	struct revoked_vec revoked;
	size_t n_whole_logged, n_whole_revoked;
	uint32_t seq, at, steps;
	uint64_t max_blk;
	uint8_t block[FS_BLOCK_SIZE];
};

static void replay_fini(struct replay *rp)
{
	logged_vec_fini(&rp->logged);
	revoked_vec_fini(&rp->revoked);
	free(rp->window);
}

/* Log block `at` through the window. */
static int read_log(struct replay *rp, uint32_t at, void *block)
{
	if (at < rp->w_at || at >= rp->w_at + rp->w_n) {
		uint32_t n = 1;
		int r;

		while (n < WINDOW && at + n < rp->log->len &&
		       rp->log->map[at + n] == rp->log->map[at] + n)
			n++;
		rp->w_n = 0;
		r = fs_dev_read(rp->log->dev, rp->log->map[at] * FS_BLOCK_SIZE, rp->window,
				(size_t)n * FS_BLOCK_SIZE);
		if (r < 0)
			return r;
		rp->w_at = at;
		rp->w_n = n;
	}
	memcpy(block, rp->window + (size_t)(at - rp->w_at) * FS_BLOCK_SIZE, FS_BLOCK_SIZE);
	return 0;
}

/* The next log block, if the log can be that long. */
static int next_block(struct replay *rp)
{
	int r;

	if (rp->steps++ >= rp->log->len)
		return -ENODATA;
	r = read_log(rp, rp->at, rp->block);
	rp->at = jbd2_log_next(rp->log, rp->at);
	return r;
}

static bool csum_holds(const struct replay *rp, size_t off)
{
	uint32_t stored;

	memcpy(&stored, rp->block + off, 4);
	return be32toh(stored) == jbd2_block_csum(rp->log->seed, rp->block, off);
}

static int scan_descriptor(struct replay *rp)
{
	size_t off = sizeof(struct jbd2_header);
	uint32_t flags = 0;

	while (!(flags & JBD2_TAG_LAST)) {
		struct jbd2_tag tag;
		struct logged l;

		if (off + sizeof(tag) > JBD2_TAIL_OFFSET)
			return -ENODATA;
		memcpy(&tag, rp->block + off, sizeof(tag));
		flags = be32toh(tag.flags);
		off += sizeof(tag) + (flags & JBD2_TAG_SAME_UUID ? 0 : 16);
		l = (struct logged){ .blk = be32toh(tag.blocknr) |
					    (uint64_t)be32toh(tag.blocknr_high) << 32,
				     .seq = rp->seq,
				     .at = rp->at,
				     .flags = flags,
				     .csum = be32toh(tag.checksum) };
		if (rp->steps++ >= rp->log->len || l.blk >= rp->max_blk)
			return -ENODATA;
		if (logged_vec_push(&rp->logged, l) < 0)
			return -ENOMEM;
		rp->at = jbd2_log_next(rp->log, rp->at);
	}
	return 0;
}

static int scan_revoke(struct replay *rp)
{
	const struct jbd2_revoke *rev = (const struct jbd2_revoke *)rp->block;
	uint32_t used = be32toh(rev->bytes_used);

	if (used < sizeof(*rev) || used > JBD2_TAIL_OFFSET)
		return -ENODATA;
	for (uint32_t off = sizeof(*rev); off + 8 <= used; off += 8) {
		uint64_t be;

		memcpy(&be, rp->block + off, 8);
		if (revoked_vec_push(&rp->revoked,
				     (struct revoked){ .blk = be64toh(be), .seq = rp->seq }) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* One transaction; -ENODATA when the log ends in or before it. */
static int scan_transaction(struct replay *rp)
{
	for (;;) {
		const struct jbd2_header *h = (const struct jbd2_header *)rp->block;
		uint32_t type;
		int r = next_block(rp);

		if (r < 0)
			return r;
		type = be32toh(h->type);
		if (be32toh(h->magic) != JBD2_MAGIC || be32toh(h->sequence) != rp->seq)
			return -ENODATA;
		if (type == JBD2_COMMIT)
			return csum_holds(rp, offsetof(struct jbd2_commit, chksum)) ? 0 : -ENODATA;
		if ((type != JBD2_DESCRIPTOR && type != JBD2_REVOKE) ||
		    !csum_holds(rp, JBD2_TAIL_OFFSET))
			return -ENODATA;
		r = type == JBD2_DESCRIPTOR ? scan_descriptor(rp) : scan_revoke(rp);
		if (r < 0)
			return r;
	}
}

static int scan(struct replay *rp, struct cl_error *err)
{
	int r;

	while ((r = scan_transaction(rp)) == 0) {
		rp->n_whole_logged = rp->logged.n;
		rp->n_whole_revoked = rp->revoked.n;
		rp->seq++;
	}
	if (r != -ENODATA)
		return cl_error_errno(err, r, "read the journal");
	rp->logged.n = rp->n_whole_logged;
	rp->revoked.n = rp->n_whole_revoked;
	return 0;
}

static int by_blk_then_age(const void *a, const void *b)
{
	const struct logged *x = a, *y = b;

	if (x->blk != y->blk)
		return x->blk < y->blk ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int revoked_by_blk(const void *a, const void *b)
{
	const struct revoked *x = a, *y = b;

	if (x->blk != y->blk)
		return x->blk < y->blk ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Whether a revoke as young as l or younger kills it. Both lists are sorted; *i goes along. */
static bool is_revoked(const struct replay *rp, const struct logged *l, size_t *i)
{
	const struct revoked_vec *v = &rp->revoked;

	while (*i < v->n && v->v[*i].blk < l->blk)
		(*i)++;
	for (size_t j = *i; j < v->n && v->v[j].blk == l->blk; j++)
		if (v->v[j].seq >= l->seq)
			return true;
	return false;
}

/* The copy of l, as it goes home. */
static int read_copy(struct replay *rp, const struct logged *l, uint8_t *ret, struct cl_error *err)
{
	int r = read_log(rp, l->at, ret);

	if (r < 0)
		return cl_error_errno(err, r, "read the journal");
	if (jbd2_data_csum(rp->log->seed, l->seq, ret) != l->csum) {
		(void)cl_error_set(
			err, -EUCLEAN,
			"the copy of block %llu in the journal is damaged although its transaction "
			"%u was committed",
			(unsigned long long)l->blk, l->seq);
		(void)cl_error_hint(
			err, "the storage lost a flushed write; e2fsck -fy repairs the rest");
		return -EUCLEAN;
	}
	if (l->flags & JBD2_TAG_ESCAPE) {
		uint32_t magic = htobe32(JBD2_MAGIC);

		memcpy(ret, &magic, 4);
	}
	return 0;
}

/* Only the last copy of each block that no revoke kills stays in the list. */
static void keep_last_copies(struct replay *rp)
{
	size_t rev = 0, kept = 0;

	if (rp->logged.n)
		qsort(rp->logged.v, rp->logged.n, sizeof(*rp->logged.v), by_blk_then_age);
	if (rp->revoked.n)
		qsort(rp->revoked.v, rp->revoked.n, sizeof(*rp->revoked.v), revoked_by_blk);
	for (size_t i = 0; i < rp->logged.n; i++) {
		const struct logged *l = &rp->logged.v[i];

		if (i + 1 < rp->logged.n && l[1].blk == l->blk)
			continue;
		if (!is_revoked(rp, l, &rev))
			rp->logged.v[kept++] = *l;
	}
	rp->logged.n = kept;
}

static int by_place(const void *a, const void *b)
{
	const struct logged *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

struct home {
	uint64_t blk;
	uint32_t n; /* in the batch */
};

static int by_home(const void *a, const void *b)
{
	const struct home *x = a, *y = b;

	return x->blk < y->blk ? -1 : x->blk > y->blk;
}

/* Blocks that follow each other go in one piece, which `run` has room for. */
static int apply_batch(const struct home *home, size_t n, const uint8_t *data, uint8_t *run,
		       jbd2_apply_fn apply, void *user)
{
	size_t i = 0;
	int r = 0;

	while (i < n && r == 0) {
		uint64_t blk = home[i].blk;
		size_t k = 0;

		for (; i < n && k < WINDOW && home[i].blk == blk + k; i++, k++)
			memcpy(run + k * FS_BLOCK_SIZE, data + (size_t)home[i].n * FS_BLOCK_SIZE,
			       FS_BLOCK_SIZE);
		r = apply(user, blk, run, k);
	}
	return r;
}

/* In the order of the log, so that each part of it is read once. */
static int give_out_all(struct replay *rp, jbd2_apply_fn apply, void *user, struct cl_error *err)
{
	_cleanup_free_ uint8_t *data = malloc((size_t)(BATCH + WINDOW) * FS_BLOCK_SIZE);
	_cleanup_free_ struct home *home = calloc(BATCH, sizeof(*home));
	int r = 0;

	if (!data || !home)
		return cl_error_errno(err, -ENOMEM, "replay");
	keep_last_copies(rp);
	if (rp->logged.n)
		qsort(rp->logged.v, rp->logged.n, sizeof(*rp->logged.v), by_place);
	for (size_t i = 0; i < rp->logged.n && r == 0;) {
		uint32_t n = 0;

		for (; n < BATCH && i < rp->logged.n && r == 0; i++, n++) {
			home[n] = (struct home){ rp->logged.v[i].blk, n };
			r = read_copy(rp, &rp->logged.v[i], data + (size_t)n * FS_BLOCK_SIZE, err);
		}
		if (r < 0)
			return r;
		qsort(home, n, sizeof(*home), by_home);
		r = apply_batch(home, n, data, data + (size_t)BATCH * FS_BLOCK_SIZE, apply, user);
	}
	return r < 0 ? cl_error_errno(err, r, "replay") : 0;
}

int jbd2_replay(struct jbd2_log *log, uint64_t max_blk, jbd2_apply_fn apply, void *user,
		uint32_t *ret_sequence, struct cl_error *err)
{
	_cleanup_(replay_fini) struct replay rp = {
		.log = log,
		.max_blk = max_blk,
		.seq = be32toh(log->sb.sequence),
		.at = be32toh(log->sb.start),
	};
	int r = 0;

	if (rp.at) {
		rp.window = malloc((size_t)WINDOW * FS_BLOCK_SIZE);
		r = rp.window ? scan(&rp, err) : cl_error_errno(err, -ENOMEM, "replay");
		if (r == 0)
			r = give_out_all(&rp, apply, user, err);
	}
	/* One is skipped: the transaction that was being written may have left blocks with rp.seq.
	 */
	if (r == 0)
		*ret_sequence = rp.at ? rp.seq + 1 : rp.seq;
	return r;
}
