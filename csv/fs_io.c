/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block cache, and the io_manager through which libext2fs sees it. Writes stay in the cache:
 * they belong to the running operation, and reach the device only through the journal and, later, a
 * checkpoint. A write outside of an operation is refused, so that no call of libext2fs can get past
 * the journal.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"
#include "lib/assert.h"

/* ---- the cache -------------------------------------------------------------------------- */

int fs_cache_init(struct fs_cache *c)
{
	c->n_hash = 1u << 14;
	c->max = 1u << 14; /* 64 MiB */
	c->hash = calloc(c->n_hash, sizeof(struct fs_buf *));
	return c->hash ? 0 : -ENOMEM;
}

static void buf_free(struct fs_buf *b)
{
	free(b->before);
	free(b);
}

void fs_cache_fini(struct fs_cache *c)
{
	for (size_t i = 0; c->hash && i < c->n_hash; i++) {
		while (c->hash[i]) {
			struct fs_buf *b = c->hash[i];

			c->hash[i] = b->next;
			buf_free(b);
		}
	}
	free(c->hash);
	*c = (struct fs_cache){ 0 };
}

static struct fs_buf **slot(struct fs_cache *c, uint64_t blk)
{
	return &c->hash[(blk * 0x9E3779B97F4A7C15ull >> 40) & (c->n_hash - 1)];
}

struct fs_buf *fs_buf_peek(struct fs *fs, uint64_t blk)
{
	struct fs_buf *b = *slot(&fs->cache, blk);

	while (b && b->blk != blk)
		b = b->next;
	if (b)
		b->tick = ++fs->cache.tick;
	return b;
}

static struct fs_buf *buf_new(struct fs *fs, uint64_t blk)
{
	struct fs_buf **s = slot(&fs->cache, blk), *b = malloc(sizeof(*b));

	if (!b)
		return NULL;
	memset(b, 0, offsetof(struct fs_buf, data));
	b->blk = blk;
	b->tick = ++fs->cache.tick;
	b->next = *s;
	*s = b;
	fs->cache.n++;
	return b;
}

void fs_buf_drop(struct fs *fs, struct fs_buf *b)
{
	struct fs_buf **p = slot(&fs->cache, b->blk);

	while (*p != b)
		p = &(*p)->next;
	*p = b->next;
	fs->cache.n--;
	buf_free(b);
}

static bool buf_clean(const struct fs_buf *b)
{
	return !b->op && !b->tx && !b->log && !b->before;
}

/* Throw away the clean blocks older than `oldest`. */
static void drop_older(struct fs *fs, uint32_t oldest)
{
	struct fs_cache *c = &fs->cache;

	for (size_t i = 0; i < c->n_hash; i++) {
		struct fs_buf **p = &c->hash[i];

		while (*p) {
			struct fs_buf *b = *p;

			if (!buf_clean(b) || (int32_t)(b->tick - oldest) > 0) {
				p = &b->next;
				continue;
			}
			*p = b->next;
			c->n--;
			buf_free(b);
		}
	}
}

void fs_cache_shrink(struct fs *fs)
{
	if (fs->cache.n > fs->cache.max)
		drop_older(fs, fs->cache.tick - (uint32_t)fs->cache.max / 2);
}

void fs_cache_drop_clean(struct fs *fs)
{
	drop_older(fs, fs->cache.tick);
}

/* Read the aligned group of blocks around blk; those that the cache has already stay as they are.
 */
static int read_group(struct fs *fs, uint64_t blk)
{
	_cleanup_free_ uint8_t *data = malloc((size_t)FS_READAHEAD_MAX * FS_BLOCK_SIZE);
	unsigned want = fs->cache.readahead;
	uint64_t first = blk - blk % want, n = fs->dev->bytes / FS_BLOCK_SIZE - first;
	int r;

	if (!data)
		return -ENOMEM;
	if (n > want)
		n = want;
	r = fs_dev_read(fs->dev, first * FS_BLOCK_SIZE, data, n * FS_BLOCK_SIZE);
	for (uint64_t i = 0; r == 0 && i < n; i++) {
		if (!fs_buf_peek(fs, first + i))
			r = fs_buf_put(fs, first + i, data + i * FS_BLOCK_SIZE, NULL);
	}
	return r;
}

int fs_buf_get(struct fs *fs, uint64_t blk, struct fs_buf **ret)
{
	struct fs_buf *b = fs_buf_peek(fs, blk);
	int r;

	if (!b && fs->cache.readahead && blk < fs->dev->bytes / FS_BLOCK_SIZE) {
		r = read_group(fs, blk);
		if (r < 0)
			return r;
		b = fs_buf_peek(fs, blk);
	}
	if (!b) {
		b = buf_new(fs, blk);
		if (!b)
			return -ENOMEM;
		r = fs_dev_read(fs->dev, blk * FS_BLOCK_SIZE, b->data, FS_BLOCK_SIZE);
		if (r < 0) {
			fs_buf_drop(fs, b);
			return r;
		}
	}
	*ret = b;
	return 0;
}

int fs_buf_put(struct fs *fs, uint64_t blk, const void *data, struct fs_buf **ret)
{
	struct fs_buf *b = fs_buf_peek(fs, blk);

	if (!b)
		b = buf_new(fs, blk);
	if (!b)
		return -ENOMEM;
	memcpy(b->data, data, FS_BLOCK_SIZE);
	if (ret)
		*ret = b;
	return 0;
}

/* Note b as written by the operation, keeping what it was. */
static int buf_join_op(struct fs *fs, struct fs_buf *b, bool is_new)
{
	if (b->op)
		return 0;
	if (!is_new) {
		b->before = malloc(FS_BLOCK_SIZE);
		if (!b->before)
			return -ENOMEM;
		memcpy(b->before, b->data, FS_BLOCK_SIZE);
	}
	if (fs_buf_vec_push(&fs->op.bufs, b) < 0) {
		free(b->before);
		b->before = NULL;
		return -ENOMEM;
	}
	b->op = true;
	b->op_new = is_new;
	b->op_was_tx = b->tx;
	return 0;
}

int fs_buf_write(struct fs *fs, uint64_t blk, const void *data)
{
	struct fs_buf *b = fs_buf_peek(fs, blk);
	bool is_new = !b;
	int r;

	if (!fs->op.active || blk >= fs->dev->bytes / FS_BLOCK_SIZE)
		return -EROFS;
	if (!b)
		b = buf_new(fs, blk);
	if (!b)
		return -ENOMEM;
	r = buf_join_op(fs, b, is_new);
	if (r < 0) {
		if (is_new)
			fs_buf_drop(fs, b);
		return r;
	}
	memcpy(b->data, data, FS_BLOCK_SIZE);
	return 0;
}

/* ---- the io_manager --------------------------------------------------------------------- */

/* libext2fs opens by name and hands nothing through; set around that one call. */
static _Thread_local struct fs *opening;

static errcode_t io_open(const char *name, int flags, io_channel *ret);

static errcode_t io_close(io_channel ch)
{
	if (--ch->refcount > 0)
		return 0;
	free(ch->name);
	free(ch);
	return 0;
}

static errcode_t io_set_blksize(io_channel ch, int blksize)
{
	ch->block_size = blksize;
	return 0;
}

/* Bytes meant by a count: negative means bytes, positive blocks. */
static size_t io_bytes(io_channel ch, int count)
{
	return count < 0 ? (size_t)-count : (size_t)count * (size_t)ch->block_size;
}

static errcode_t io_read(io_channel ch, unsigned long long block, int count, void *data)
{
	struct fs *fs = ch->private_data;
	uint64_t off = block * (uint64_t)ch->block_size;
	size_t left = io_bytes(ch, count);
	uint8_t *p = data;

	while (left) {
		size_t in = off % FS_BLOCK_SIZE, n = FS_BLOCK_SIZE - in;
		struct fs_buf *b;
		int r = fs_buf_get(fs, off / FS_BLOCK_SIZE, &b);

		if (r < 0)
			return -r;
		if (n > left)
			n = left;
		memcpy(p, b->data + in, n);
		p += n;
		off += n;
		left -= n;
	}
	return 0;
}

static errcode_t io_write(io_channel ch, unsigned long long block, int count, const void *data)
{
	struct fs *fs = ch->private_data;
	const uint8_t *p = data;
	size_t len = io_bytes(ch, count);

	if ((uint64_t)ch->block_size != FS_BLOCK_SIZE || len % FS_BLOCK_SIZE)
		return EXT2_ET_OP_NOT_SUPPORTED; /* parts of the superblock: fs_meta.c writes it */
	for (size_t i = 0; i < len / FS_BLOCK_SIZE; i++) {
		int r = fs_buf_write(fs, block + i, p + i * FS_BLOCK_SIZE);

		if (r < 0)
			return -r;
	}
	return 0;
}

static errcode_t io_read_old(io_channel ch, unsigned long block, int count, void *data)
{
	return io_read(ch, block, count, data);
}

static errcode_t io_write_old(io_channel ch, unsigned long block, int count, const void *data)
{
	return io_write(ch, block, count, data);
}

/* Durability is the commit's business. */
static errcode_t io_flush(io_channel ch)
{
	(void)ch;
	return 0;
}

static struct struct_io_manager io_manager_cache = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "volume",
	.open = io_open,
	.close = io_close,
	.set_blksize = io_set_blksize,
	.read_blk = io_read_old,
	.write_blk = io_write_old,
	.flush = io_flush,
	.read_blk64 = io_read,
	.write_blk64 = io_write,
};

static errcode_t io_open(const char *name, int flags, io_channel *ret)
{
	io_channel ch = calloc(1, sizeof(*ch));

	(void)flags;
	if (!ch)
		return EXT2_ET_NO_MEMORY;
	ch->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	ch->manager = &io_manager_cache;
	ch->name = strdup(name);
	ch->block_size = 1024;
	ch->refcount = 1;
	ch->private_data = opening;
	*ret = ch;
	return 0;
}

pthread_mutex_t fs_e2_zero_buffer = PTHREAD_MUTEX_INITIALIZER;

void fs_e2_free(struct fs *fs)
{
	(void)pthread_mutex_lock(&fs_e2_zero_buffer);
	ext2fs_free(fs->e2);
	(void)pthread_mutex_unlock(&fs_e2_zero_buffer);
	fs->e2 = NULL;
}

int fs_e2_open(struct fs *fs, int flags, struct cl_error *err)
{
	errcode_t e;

	cl_assert(!fs->e2 && !opening);
	(void)pthread_mutex_lock(&fs_e2_zero_buffer);
	initialize_ext2_error_table();
	(void)pthread_mutex_unlock(&fs_e2_zero_buffer);
	opening = fs;
	/* MMP goes past the io_manager (it opens the device by name): never let it start. */
	e = ext2fs_open2("volume", NULL, flags | EXT2_FLAG_64BITS | EXT2_FLAG_SKIP_MMP, 0, 0,
			 &io_manager_cache, &fs->e2);
	opening = NULL;
	if (e) {
		fs->e2 = NULL;
		return cl_error_set(err, fs_errno(e), "open the file system: %s", error_message(e));
	}
	fs->e2->priv_data = fs;
	return 0;
}
