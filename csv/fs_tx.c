/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations, the running transaction, and the way of its blocks: cache -> log -> home.
 *
 *   op   what fs_abort() can take back: each block as it was when the operation began, what
 * libext2fs holds in memory (fs_hook.c), cached names and records tx   ended operations;
 * fs_commit() logs their blocks. There is no way back from here but a crash. log  blocks whose
 * newest copy is in the log only; a checkpoint writes them home and empties the log.
 *
 * A checkpoint runs only when no operation has ended since the last commit, so what it writes home
 * is committed. After every commit the log is filled to at most checkpoint_blocks (<= a quarter),
 * and a transaction is at most half of it: so there is always room, and a commit never has to wait
 * for a checkpoint in its middle.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"
#include "lib/assert.h"

/* ---- operations ------------------------------------------------------------------------- */

bool fs_may_change(const struct fs *fs)
{
	return fs->op.active && !fs->dead;
}

uint64_t fs_usable_blocks(const struct fs *fs)
{
	uint64_t n = fs_free_blocks(fs), held = fs->tx.n_free_blocks;

	for (size_t i = 0; i < fs->op.frees.n; i++)
		held += fs->op.frees.v[i].len;
	return n > held ? n - held : 0;
}

bool fs_space_for(const struct fs *fs, uint64_t n_blocks)
{
	uint64_t keep = fs->op.use_reserve ? 0 : fs->reserve_blocks;

	return fs_usable_blocks(fs) >= keep + n_blocks;
}

static bool space_is_short(const struct fs *fs)
{
	return fs_usable_blocks(fs) < 2 * fs->reserve_blocks + 1024;
}

static bool must_commit_first(const struct fs *fs)
{
	if (fs->tx.bufs.n > jbd2_writer_capacity(&fs->writer) / 4)
		return true;
	/*
	 * Blocks that were punched, cut off or made unwritten, but whose cluster stays, are DATA in the last durable state.
	 * The next operation could make them DATA again and zero them on the device; after a crash the old file would show
	 * these zeros. (Clusters that were freed whole are in quarantine.)
	 */
	if (fs->tx.bared && !(fs->defects & FS_DEFECT_NO_BARED_COMMIT))
		return true;
	/* Freed space is usable only after a commit. */
	return fs->tx.n_free_blocks && space_is_short(fs);
}

int fs_op_begin(struct fs *fs, struct timespec now)
{
	int r;

	cl_assert(!fs->op.active);
	if (fs->dead || fs->read_only)
		return -EROFS;
	if (must_commit_first(fs)) {
		r = fs_commit(fs);
		if (r < 0)
			return r;
	}
	fs_cache_shrink(fs);
	fs_names_shrink(fs);
	fs_op_reset(fs);
	fs->op.active = true;
	fs->op.now = now;
	fs->e2->now = (time_t)now.tv_sec;
	memcpy(&fs->op.sb, fs->e2->super, sizeof(fs->op.sb));
	return 0;
}

/* What was deleted is found again before anybody is told that there is no space. */
int fs_begin(struct fs *fs, struct timespec now)
{
	while (fs_has_work(fs) && space_is_short(fs)) {
		int r = fs_work(fs, now);

		if (r < 0 && fs->dead)
			return r;
	}
	return fs_op_begin(fs, now);
}

void fs_use_reserve(struct fs *fs)
{
	fs->op.use_reserve = true;
}

/* Whether the operation may join: nothing was lost on the way, space and log suffice. */
static int check_end(struct fs *fs)
{
	uint64_t before = ext2fs_free_blocks_count(&fs->op.sb), now = fs_free_blocks(fs);
	size_t blocks = fs->tx.bufs.n + fs->op.bufs.n + 3 * fs->tx.groups.n + 2;

	if (fs->dead)
		return -EROFS;
	if (fs->op.failed)
		return -ENOMEM;
	if (now < before && !fs_space_for(fs, 0))
		return -ENOSPC;
	if (jbd2_txn_size(blocks, fs->log_bufs.n) > jbd2_writer_capacity(&fs->writer) / 2)
		return -E2BIG;
	if (fs_buf_vec_reserve(&fs->tx.bufs, fs->op.bufs.n) < 0 ||
	    fs_range_vec_reserve(&fs->tx.frees, fs->op.frees.n) < 0 ||
	    fs_rest_vec_reserve(&fs->rest, fs->op.rest.n) < 0)
		return -ENOMEM;
	return 0;
}

int fs_tx_add_buf(struct fs *fs, struct fs_buf *b)
{
	if (b->tx)
		return 0;
	if (fs_buf_vec_push(&fs->tx.bufs, b) < 0)
		return -ENOMEM;
	b->tx = true;
	return 0;
}

int fs_end(struct fs *fs)
{
	int r;

	cl_assert(fs->op.active);
	r = check_end(fs);
	if (r < 0)
		return r;
	for (size_t i = 0; i < fs->op.bufs.n; i++) {
		struct fs_buf *b = fs->op.bufs.v[i];

		free(b->before);
		b->before = NULL;
		b->op = b->op_new = false;
		(void)fs_tx_add_buf(fs, b); /* room was reserved */
	}
	for (size_t i = 0; i < fs->op.frees.n; i++) {
		(void)fs_range_vec_push(&fs->tx.frees, fs->op.frees.v[i]);
		fs->tx.n_free_blocks += fs->op.frees.v[i].len;
	}
	fs_rest_apply(fs);
	fs->tx.ended = true;
	fs->tx.bared = fs->tx.bared || fs->op.bared;
	fs->tx.now = fs->op.now;
	fs_op_reset(fs);
	return 0;
}

static void abort_buf(struct fs *fs, struct fs_buf *b)
{
	uint64_t blk = b->blk;

	if (b->op_new) {
		fs_buf_drop(fs, b);
		return;
	}
	memcpy(b->data, b->before, FS_BLOCK_SIZE);
	free(b->before);
	b->before = NULL;
	b->op = false;
	fs_store_reload_block(fs, blk);
}

void fs_abort(struct fs *fs)
{
	cl_assert(fs->op.active);
	for (size_t i = 0; i < fs->op.bufs.n; i++)
		abort_buf(fs, fs->op.bufs.v[i]);
	fs_undo_apply(fs);
	(void)ext2fs_flush_icache(fs->e2);
	for (size_t i = 0; i < fs->op.dirs.n; i++)
		fs_names_forget(fs, fs->op.dirs.v[i]);
	fs_maps_forget_all(fs);
	fs_vol_reload(fs);
	fs_op_reset(fs);
}

/* ---- commit ----------------------------------------------------------------------------- */

/* Trap: (a) the superblock says "needs recovery", stable; (b) the journal says where it starts,
 * stable; only then (c) a transaction. In any other order e2fsck finds a journal with data and a
 * flag that denies it. */
static int go_live(struct fs *fs)
{
	int r = fs_super_write(fs, true);

	if (r < 0)
		return r;
	fs->writer.head = fs->log.first;
	fs->writer.used = 0;
	r = jbd2_log_write_super(&fs->log, fs->writer.head, fs->writer.sequence);
	if (r == 0)
		fs->live = true;
	return r;
}

struct gather {
	struct fs_u64_vec revokes;
	struct fs_buf_vec freed;
	int r;
};

static void gather_freed(struct fs *fs, struct gather *g, struct fs_buf *b)
{
	/* Without the revoke a replay would write the old metadata over the cluster's new owner's
	 * data. */
	if (b->log && !(fs->defects & FS_DEFECT_NO_REVOKE) &&
	    fs_u64_vec_push(&g->revokes, b->blk) < 0)
		g->r = -ENOMEM;
	if (fs_buf_vec_push(&g->freed, b) < 0)
		g->r = -ENOMEM;
	b->tx = b->log = false; /* neither logged nor brought home any more */
}

static void gather_range(struct fs *fs, struct gather *g, const struct fs_range *range)
{
	if (range->len < fs->cache.n) {
		for (uint64_t blk = range->blk; blk < range->blk + range->len; blk++) {
			struct fs_buf *b = fs_buf_peek(fs, blk);

			if (b)
				gather_freed(fs, g, b);
		}
		return;
	}
	for (size_t i = 0; i < fs->cache.n_hash; i++)
		for (struct fs_buf *b = fs->cache.hash[i]; b; b = b->next)
			if (b->blk >= range->blk && b->blk < range->blk + range->len)
				gather_freed(fs, g, b);
}

static int by_buf_blk(const void *a, const void *b)
{
	const struct fs_buf *x = *(struct fs_buf *const *)a, *y = *(struct fs_buf *const *)b;

	return x->blk < y->blk ? -1 : x->blk > y->blk;
}

static void sort_bufs(struct fs_buf_vec *v)
{
	if (v->n)
		qsort(v->v, v->n, sizeof(*v->v), by_buf_blk);
}

static int write_log(struct fs *fs, const struct fs_u64_vec *revokes)
{
	_cleanup_free_ struct jbd2_block *blocks = calloc(fs->tx.bufs.n + 1, sizeof(*blocks));
	struct jbd2_txn txn = {
		.blocks = blocks, .revokes = revokes->v, .n_revokes = revokes->n, .now = fs->tx.now
	};

	if (!blocks)
		return -ENOMEM;
	sort_bufs(&fs->tx.bufs);
	for (size_t i = 0; i < fs->tx.bufs.n; i++) {
		const struct fs_buf *b = fs->tx.bufs.v[i];

		if (b->tx)
			blocks[txn.n_blocks++] = (struct jbd2_block){ b->blk, b->data };
	}
	return jbd2_writer_commit(&fs->writer, &txn);
}

/* The transaction is durable: its blocks wait for the checkpoint, freed clusters can be used. */
static int commit_done(struct fs *fs, struct gather *g)
{
	size_t kept = 0;

	if (fs_buf_vec_reserve(&fs->log_bufs, fs->tx.bufs.n) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < fs->tx.bufs.n; i++) {
		struct fs_buf *b = fs->tx.bufs.v[i];

		if (b->tx && !b->log)
			(void)fs_buf_vec_push(&fs->log_bufs, b);
		b->log = b->log || b->tx;
		b->tx = false;
	}
	for (size_t i = 0; i < fs->log_bufs.n; i++)
		if (fs->log_bufs.v[i]->log)
			fs->log_bufs.v[kept++] = fs->log_bufs.v[i];
	fs->log_bufs.n = kept;
	for (size_t i = 0; i < g->freed.n; i++)
		fs_buf_drop(fs, g->freed.v[i]);
	fs_buf_vec_clear(&fs->tx.bufs);
	for (size_t i = 0; i < fs->tx.groups.n; i++)
		fs->tx.group_dirty[fs->tx.groups.v[i]] = 0;
	fs_u32_vec_clear(&fs->tx.groups);
	fs_tx_release_quarantine(fs);
	fs->tx.ended = fs->tx.bared = false;
	return 0;
}

/* Two freed ranges never overlap: a cluster in quarantine is not given out again. */
static int commit_tx(struct fs *fs)
{
	struct gather g = { .r = 0 };
	int r = fs->live ? 0 : go_live(fs);

	if (r == 0)
		r = fs_meta_flush(fs);
	for (size_t i = 0; i < fs->tx.frees.n && r == 0; i++)
		gather_range(fs, &g, &fs->tx.frees.v[i]);
	if (r == 0)
		r = g.r;
	if (r == 0)
		r = write_log(fs, &g.revokes);
	if (r == 0)
		r = commit_done(fs, &g);
	fs_u64_vec_fini(&g.revokes);
	fs_buf_vec_fini(&g.freed);
	return r;
}

/* ---- checkpoint ------------------------------------------------------------------------- */

#define RUN_MAX 64

/* Once they are stable, they may leave the cache. */
static int home_done(struct fs *fs, int r)
{
	if (r < 0)
		return r;
	for (size_t i = 0; i < fs->log_bufs.n; i++)
		fs->log_bufs.v[i]->log = false;
	fs_buf_vec_clear(&fs->log_bufs);
	return 0;
}

int fs_write_home(struct fs *fs)
{
	_cleanup_free_ uint8_t *run = malloc((size_t)RUN_MAX * FS_BLOCK_SIZE);
	size_t i = 0;

	if (!run)
		return -ENOMEM;
	sort_bufs(&fs->log_bufs);
	while (i < fs->log_bufs.n) {
		uint64_t blk = fs->log_bufs.v[i]->blk;
		size_t n = 0;
		int r;

		for (; n < RUN_MAX && i < fs->log_bufs.n && fs->log_bufs.v[i]->blk == blk + n;
		     n++, i++)
			memcpy(run + n * FS_BLOCK_SIZE, fs->log_bufs.v[i]->data, FS_BLOCK_SIZE);
		r = fs_dev_write(fs->dev, blk * FS_BLOCK_SIZE, run, n * FS_BLOCK_SIZE, 0);
		if (r < 0)
			return r;
	}
	return home_done(fs, fs_dev_flush(fs->dev));
}

static int checkpoint(struct fs *fs)
{
	int r;

	cl_assert(!fs->tx.ended);
	if (!fs->writer.used)
		return 0;
	r = fs_write_home(fs);
	if (r == 0)
		r = jbd2_writer_tail_to_head(&fs->writer);
	return r;
}

bool fs_uncommitted(const struct fs *fs)
{
	return fs->tx.ended;
}

int fs_commit(struct fs *fs)
{
	int r;

	cl_assert(!fs->op.active);
	if (fs->dead)
		return -EROFS;
	if (!fs->tx.ended)
		return 0;
	r = commit_tx(fs);
	if (r == 0 && fs->writer.used > fs->checkpoint_blocks)
		r = checkpoint(fs);
	fs->dead = r < 0;
	return r;
}

int fs_checkpoint(struct fs *fs)
{
	int r = fs_commit(fs);

	if (r == 0)
		r = checkpoint(fs);
	if (r < 0)
		fs->dead = true;
	return r;
}

bool fs_dead(const struct fs *fs)
{
	return fs->dead;
}

/* The reverse of going live: home, stable; journal empty; and only then the flag. */
int fs_close(struct fs *fs)
{
	int r;

	if (fs->read_only)
		return 0;
	r = fs_checkpoint(fs);
	if (r == 0 && fs->live)
		r = jbd2_log_write_super(&fs->log, 0, fs->writer.sequence);
	if (r == 0 && fs->live)
		r = fs_super_write(fs, false);
	fs->live = false;
	fs->dead = true; /* nothing comes after a close */
	return r;
}
