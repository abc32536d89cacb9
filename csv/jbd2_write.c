/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A transaction in the log: revoke blocks, then descriptor blocks each followed by the blocks that
 * it describes, FLUSH, then the commit block with FUA. The flush also makes stable whatever the
 * caller wrote elsewhere before (zeros of newly allocated clusters), so that the map never gets
 * ahead of it.
 *
 * What goes wrong without the flush: the commit block may be stable while log blocks before it are
 * not; the replay then finds a transaction that says it is whole and is not.
 */
#include "config.h"

#include "csv/jbd2_write.h"

#include <endian.h>
#include <string.h>

#include "lib/assert.h"

#define BATCH 64 /* log blocks gathered into one device write */

struct batch {
	struct jbd2_writer *w;
	uint32_t n;
	uint64_t at; /* physical block of the first */
	uint8_t *buf;
};

uint32_t jbd2_txn_size(size_t n_blocks, size_t n_revokes)
{
	size_t d = (n_blocks + JBD2_TAGS_PER_BLOCK - 1) / JBD2_TAGS_PER_BLOCK;
	size_t r = (n_revokes + JBD2_REVOKES_PER_BLOCK - 1) / JBD2_REVOKES_PER_BLOCK;

	return (uint32_t)(n_blocks + d + r + 1);
}

uint32_t jbd2_writer_capacity(const struct jbd2_writer *w)
{
	return w->log->len - w->log->first;
}

static int batch_write(struct batch *b, unsigned flags)
{
	int r;

	if (!b->n)
		return 0;
	r = fs_dev_write(b->w->log->dev, b->at * FS_BLOCK_SIZE, b->buf,
			 (size_t)b->n * FS_BLOCK_SIZE, flags);
	b->n = 0;
	return r;
}

/* Room for the block at the head; the head moves on. */
static int batch_next(struct batch *b, uint8_t **ret)
{
	struct jbd2_writer *w = b->w;
	uint64_t phys = w->log->map[w->head];
	int r;

	if (b->n && (b->n == BATCH || b->at + b->n != phys)) {
		r = batch_write(b, 0);
		if (r < 0)
			return r;
	}
	if (!b->n)
		b->at = phys;
	*ret = b->buf + (size_t)b->n * FS_BLOCK_SIZE;
	b->n++;
	w->head = jbd2_log_next(w->log, w->head);
	w->used++;
	return 0;
}

static void put_header(struct jbd2_writer *w, void *block, enum jbd2_type type)
{
	struct jbd2_header *h = block;

	h->magic = htobe32(JBD2_MAGIC);
	h->type = htobe32(type);
	h->sequence = htobe32(w->sequence);
}

static void put_tail(struct jbd2_writer *w, uint8_t *block)
{
	uint32_t csum = htobe32(jbd2_block_csum(w->log->seed, block, JBD2_TAIL_OFFSET));

	memcpy(block + JBD2_TAIL_OFFSET, &csum, 4);
}

static int write_revokes(struct batch *b, const struct jbd2_txn *txn)
{
	size_t done = 0;

	while (done < txn->n_revokes) {
		size_t n = txn->n_revokes - done;
		struct jbd2_revoke *rev;
		uint8_t *block;
		int r = batch_next(b, &block);

		if (r < 0)
			return r;
		if (n > JBD2_REVOKES_PER_BLOCK)
			n = JBD2_REVOKES_PER_BLOCK;
		memset(block, 0, FS_BLOCK_SIZE);
		put_header(b->w, block, JBD2_REVOKE);
		rev = (struct jbd2_revoke *)block;
		rev->bytes_used = htobe32((uint32_t)(sizeof(*rev) + n * 8));
		for (size_t i = 0; i < n; i++) {
			uint64_t be = htobe64(txn->revokes[done + i]);

			memcpy(block + sizeof(*rev) + i * 8, &be, 8);
		}
		put_tail(b->w, block);
		done += n;
	}
	return 0;
}

/* A block that begins like a log block would be taken for one: its first word is zeroed in the log.
 */
static bool must_escape(const void *data)
{
	uint32_t word;

	memcpy(&word, data, 4);
	return word == htobe32(JBD2_MAGIC);
}

static void put_tag(struct jbd2_writer *w, uint8_t *p, const struct jbd2_block *blk, unsigned flags)
{
	uint32_t csum;
	struct jbd2_tag tag;

	if (must_escape(blk->data)) {
		uint8_t copy[FS_BLOCK_SIZE];

		memcpy(copy, blk->data, sizeof(copy));
		memset(copy, 0, 4);
		csum = jbd2_data_csum(w->log->seed, w->sequence, copy);
		flags |= JBD2_TAG_ESCAPE;
	} else {
		csum = jbd2_data_csum(w->log->seed, w->sequence, blk->data);
	}
	tag.blocknr = htobe32((uint32_t)blk->blk);
	tag.blocknr_high = htobe32((uint32_t)(blk->blk >> 32));
	tag.flags = htobe32(flags);
	tag.checksum = htobe32(csum);
	memcpy(p, &tag, sizeof(tag));
}

static void put_descriptor(struct jbd2_writer *w, uint8_t *block, const struct jbd2_block *blocks,
			   size_t n)
{
	uint8_t *p = block + sizeof(struct jbd2_header);

	memset(block, 0, FS_BLOCK_SIZE);
	put_header(w, block, JBD2_DESCRIPTOR);
	for (size_t i = 0; i < n; i++) {
		put_tag(w, p, &blocks[i],
			(i ? JBD2_TAG_SAME_UUID : 0) | (i + 1 == n ? JBD2_TAG_LAST : 0));
		p += sizeof(struct jbd2_tag);
		if (!i) {
			memcpy(p, w->log->sb.uuid, 16);
			p += 16;
		}
	}
	put_tail(w, block);
}

static int write_blocks(struct batch *b, const struct jbd2_txn *txn)
{
	size_t done = 0;

	while (done < txn->n_blocks) {
		size_t n = txn->n_blocks - done;
		uint8_t *block;
		int r = batch_next(b, &block);

		if (r < 0)
			return r;
		if (n > JBD2_TAGS_PER_BLOCK)
			n = JBD2_TAGS_PER_BLOCK;
		put_descriptor(b->w, block, txn->blocks + done, n);
		for (size_t i = done; i < done + n; i++) {
			r = batch_next(b, &block);
			if (r < 0)
				return r;
			memcpy(block, txn->blocks[i].data, FS_BLOCK_SIZE);
			if (must_escape(block))
				memset(block, 0, 4);
		}
		done += n;
	}
	return 0;
}

static int write_commit_block(struct batch *b, const struct jbd2_txn *txn)
{
	struct jbd2_commit *c;
	uint8_t *block;
	int r = batch_next(b, &block);

	if (r < 0)
		return r;
	memset(block, 0, FS_BLOCK_SIZE);
	put_header(b->w, block, JBD2_COMMIT);
	c = (struct jbd2_commit *)block;
	c->sec = htobe64((uint64_t)txn->now.tv_sec);
	c->nsec = htobe32((uint32_t)txn->now.tv_nsec);
	c->chksum[0] = htobe32(
		jbd2_block_csum(b->w->log->seed, block, offsetof(struct jbd2_commit, chksum)));
	return batch_write(b, FS_DEV_FUA);
}

int jbd2_writer_commit(struct jbd2_writer *w, const struct jbd2_txn *txn)
{
	_cleanup_free_ uint8_t *buf = malloc((size_t)BATCH * FS_BLOCK_SIZE);
	struct batch b = { .w = w, .buf = buf };
	int r;

	if (!buf)
		return -ENOMEM;
	cl_assert(w->used + jbd2_txn_size(txn->n_blocks, txn->n_revokes) <=
		  jbd2_writer_capacity(w));
	r = write_revokes(&b, txn);
	if (r == 0)
		r = write_blocks(&b, txn);
	if (r == 0)
		r = batch_write(&b, 0);
	if (r == 0 && !w->no_flush)
		r = fs_dev_flush(w->log->dev);
	if (r == 0)
		r = write_commit_block(&b, txn);
	if (r == 0)
		w->sequence++;
	return r;
}

int jbd2_writer_tail_to_head(struct jbd2_writer *w)
{
	int r = jbd2_log_write_super(w->log, w->head, w->sequence);

	if (r == 0)
		w->used = 0;
	return r;
}
