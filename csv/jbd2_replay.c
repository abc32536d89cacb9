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
 */
#include "config.h"

#include "csv/jbd2_replay.h"

#include <endian.h>
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

struct replay {
	struct jbd2_log *log;
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
}

/* The next log block, if the log can be that long. */
static int next_block(struct replay *rp)
{
	int r;

	if (rp->steps++ >= rp->log->len)
		return -ENODATA;
	r = jbd2_log_read(rp->log, rp->at, rp->block);
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

static int give_out(struct replay *rp, const struct logged *l, jbd2_apply_fn apply, void *user,
		    struct cl_error *err)
{
	int r = jbd2_log_read(rp->log, l->at, rp->block);

	if (r < 0)
		return cl_error_errno(err, r, "read the journal");
	if (jbd2_data_csum(rp->log->seed, l->seq, rp->block) != l->csum) {
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

		memcpy(rp->block, &magic, 4);
	}
	r = apply(user, l->blk, rp->block);
	return r < 0 ? cl_error_errno(err, r, "replay block %llu", (unsigned long long)l->blk) : 0;
}

static int give_out_all(struct replay *rp, jbd2_apply_fn apply, void *user, struct cl_error *err)
{
	size_t rev = 0;

	if (rp->logged.n)
		qsort(rp->logged.v, rp->logged.n, sizeof(*rp->logged.v), by_blk_then_age);
	if (rp->revoked.n)
		qsort(rp->revoked.v, rp->revoked.n, sizeof(*rp->revoked.v), revoked_by_blk);
	for (size_t i = 0; i < rp->logged.n; i++) {
		const struct logged *l = &rp->logged.v[i];
		int r;

		if (i + 1 < rp->logged.n && l[1].blk == l->blk)
			continue; /* an older copy */
		if (is_revoked(rp, l, &rev))
			continue;
		r = give_out(rp, l, apply, user, err);
		if (r < 0)
			return r;
	}
	return 0;
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
		r = scan(&rp, err);
		if (r == 0)
			r = give_out_all(&rp, apply, user, err);
	}
	/* One is skipped: the transaction that was being written may have left blocks with rp.seq.
	 */
	if (r == 0)
		*ret_sequence = rp.at ? rp.seq + 1 : rp.seq;
	return r;
}
