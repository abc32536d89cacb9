/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small records in a hidden, preallocated file: slots of 256 bytes, each with its own checksum,
 * written as journalled blocks within the operation's transaction. So after a crash either both the
 * operation and its record are there or neither is. All of it is kept in memory, hashed by key.
 */
#include "config.h"

#include <endian.h>
#include <string.h>

#include "csv/fs_int.h"

#define SLOT_SIZE 256u
#define SLOTS_PER_BLOCK (FS_BLOCK_SIZE / SLOT_SIZE)
#define SLOT_MAGIC 0x52565343u /* "CSVR" */

struct slot {
	uint32_t crc;	/* of the rest */
	uint32_t magic; /* 0 = free */
	uint64_t owner, instance, id;
	uint32_t len;
	uint8_t data[FS_RECORD_MAX];
	uint8_t pad[28];
} __attribute__((packed));
_Static_assert(sizeof(struct slot) == SLOT_SIZE, "record slot");

static uint32_t slot_crc(const struct slot *s)
{
	return ext2fs_crc32c_le(~0u, (const uint8_t *)s + 4, SLOT_SIZE - 4);
}

static void slot_put(struct slot *s, const struct fs_record *rec)
{
	memset(s, 0, sizeof(*s));
	if (rec->used) {
		s->magic = htole32(SLOT_MAGIC);
		s->owner = htole64(rec->key.owner);
		s->instance = htole64(rec->key.instance);
		s->id = htole64(rec->key.id);
		s->len = htole32(rec->len);
		memcpy(s->data, rec->data, rec->len);
	}
	s->crc = htole32(slot_crc(s));
}

/* A never written slot is all zeros. Anything else has to hold. */
static int slot_get(const struct slot *s, struct fs_record *rec)
{
	uint32_t len = le32toh(s->len);

	memset(rec, 0, sizeof(*rec));
	if (!s->magic)
		return 0;
	if (le32toh(s->magic) != SLOT_MAGIC || len > FS_RECORD_MAX ||
	    le32toh(s->crc) != slot_crc(s))
		return -EUCLEAN;
	rec->used = true;
	rec->len = len;
	rec->key.owner = le64toh(s->owner);
	rec->key.instance = le64toh(s->instance);
	rec->key.id = le64toh(s->id);
	memcpy(rec->data, s->data, len);
	return 0;
}

/* ---- in memory -------------------------------------------------------------------------- */

static uint32_t *head_of(const struct fs_record_store *st, const struct fs_record_key *key)
{
	uint64_t h = key->owner * 0x9E3779B97F4A7C15ull ^ key->instance * 0xC2B2AE3D27D4EB4Full ^
		     key->id * 0x165667B19E3779F9ull;

	return &st->head[(h >> 32) % st->n_heads];
}

static void link_slot(struct fs_record_store *st, uint32_t slot)
{
	uint32_t *h = head_of(st, &st->slots[slot].key);

	st->next[slot] = *h;
	*h = slot + 1;
	st->n_used++;
}

static void unlink_slot(struct fs_record_store *st, uint32_t slot)
{
	uint32_t *p = head_of(st, &st->slots[slot].key);

	while (*p != slot + 1)
		p = &st->next[*p - 1];
	*p = st->next[slot];
	st->n_used--;
	if (slot < st->hint)
		st->hint = slot;
}

static void put_slot(struct fs_record_store *st, uint32_t slot, const struct fs_record *rec)
{
	if (st->slots[slot].used)
		unlink_slot(st, slot);
	st->slots[slot] = *rec;
	if (rec->used)
		link_slot(st, slot);
}

static bool same_key(const struct fs_record_key *a, const struct fs_record_key *b)
{
	return a->owner == b->owner && a->instance == b->instance && a->id == b->id;
}

static int find(const struct fs_record_store *st, const struct fs_record_key *key, uint32_t *ret)
{
	uint32_t at = st->n_heads ? *head_of(st, key) : 0;

	while (at && !same_key(&st->slots[at - 1].key, key))
		at = st->next[at - 1];
	if (!at)
		return -ENOENT;
	*ret = at - 1;
	return 0;
}

/* The lowest free one, so that records lie together in few blocks. */
static int find_free(struct fs_record_store *st, uint32_t *ret)
{
	while (st->hint < st->n_slots && st->slots[st->hint].used)
		st->hint++;
	if (st->hint >= st->n_slots)
		return -ENOSPC;
	*ret = st->hint;
	return 0;
}

/* ---- on disk ---------------------------------------------------------------------------- */

static int load_block(struct fs *fs, struct fs_record_store *st, uint32_t n)
{
	struct fs_buf *b;
	int r = fs_buf_get(fs, st->pblk[n], &b);

	for (uint32_t k = 0; r == 0 && k < SLOTS_PER_BLOCK; k++) {
		uint32_t slot = n * SLOTS_PER_BLOCK + k;

		if (st->slots[slot].used)
			unlink_slot(st, slot);
		r = slot_get((const struct slot *)b->data + k, &st->slots[slot]);
		if (st->slots[slot].used)
			link_slot(st, slot);
	}
	return r;
}

void fs_store_reload_block(struct fs *fs, uint64_t pblk)
{
	for (int s = 0; s < FS_STORES; s++)
		for (uint32_t n = 0; n < fs->store[s].n_blocks; n++)
			if (fs->store[s].pblk[n] == pblk)
				(void)load_block(fs, &fs->store[s], n); /* in the cache */
}

/* Write what memory has for the slot. */
static int store_slot(struct fs *fs, struct fs_record_store *st, uint32_t slot)
{
	uint64_t pblk = st->pblk[slot / SLOTS_PER_BLOCK];
	uint8_t block[FS_BLOCK_SIZE];
	struct fs_buf *b;
	int r = fs_buf_get(fs, pblk, &b);

	if (r < 0)
		return r;
	memcpy(block, b->data, sizeof(block));
	slot_put((struct slot *)block + slot % SLOTS_PER_BLOCK, &st->slots[slot]);
	return fs_buf_write(fs, pblk, block);
}

static int map_blocks(struct fs *fs, struct fs_record_store *st, uint32_t ino)
{
	uint64_t at = 0;

	while (at < st->n_blocks) {
		struct fs_extent e;
		int n = fs_map(fs, ino, at, st->n_blocks - at, &e, 1);

		if (n < 1 || e.state != FS_DATA)
			return n < 0 ? n : -EUCLEAN;
		for (uint64_t i = 0; i < e.len; i++)
			st->pblk[at++] = e.pblk + i;
	}
	return 0;
}

int fs_store_load(struct fs *fs, enum fs_store store, uint32_t ino, struct cl_error *err)
{
	struct fs_record_store *st = &fs->store[store];
	struct fs_attr a;
	int r = fs_getattr(fs, ino, &a);

	if (r < 0 || a.size % FS_BLOCK_SIZE || a.size == 0 || a.size > (64u << 20))
		return cl_error_set(err, -EUCLEAN, "a hidden record file is damaged");
	st->n_blocks = (uint32_t)(a.size / FS_BLOCK_SIZE);
	st->n_slots = st->n_blocks * SLOTS_PER_BLOCK;
	st->n_heads = st->n_slots;
	st->pblk = calloc(st->n_blocks, sizeof(*st->pblk));
	st->slots = calloc(st->n_slots, sizeof(*st->slots));
	st->head = calloc(st->n_heads, sizeof(*st->head));
	st->next = calloc(st->n_slots, sizeof(*st->next));
	if (!st->pblk || !st->slots || !st->head || !st->next)
		return cl_error_errno(err, -ENOMEM, "records");
	r = map_blocks(fs, st, ino);
	fs->cache.readahead = FS_READAHEAD_MAX;
	for (uint32_t n = 0; n < st->n_blocks && r == 0; n++)
		r = load_block(fs, st, n);
	fs->cache.readahead = 0;
	return r < 0 ? cl_error_errno(err, r, "load the record file %d", (int)store) : 0;
}

void fs_store_fini(struct fs_record_store *st)
{
	free(st->pblk);
	free(st->slots);
	free(st->head);
	free(st->next);
	*st = (struct fs_record_store){ 0 };
}

/* ---- for callers ------------------------------------------------------------------------ */

/* In memory and in the block; in neither when there is an error: an abort puts back blocks that were written. */
static int change_slot(struct fs *fs, struct fs_record_store *st, uint32_t slot,
		       const struct fs_record *rec)
{
	struct fs_record old = st->slots[slot];
	int r;

	put_slot(st, slot, rec);
	r = store_slot(fs, st, slot);
	if (r < 0)
		put_slot(st, slot, &old);
	return r;
}

int fs_record_put(struct fs *fs, enum fs_store store, const struct fs_record_key *key,
		  const void *data, size_t len)
{
	struct fs_record_store *st = &fs->store[store];
	struct fs_record rec = { .used = true, .len = (uint32_t)len, .key = *key };
	uint32_t slot;
	int r = !fs_may_change(fs) ? -EROFS : len > FS_RECORD_MAX ? -EINVAL : find(st, key, &slot);

	if (r == -ENOENT)
		r = find_free(st, &slot);
	if (r < 0)
		return r;
	memcpy(rec.data, data, len);
	return change_slot(fs, st, slot, &rec);
}

int fs_record_get(const struct fs *fs, enum fs_store store, const struct fs_record_key *key,
		  const void **ret, size_t *ret_len)
{
	const struct fs_record_store *st = &fs->store[store];
	uint32_t slot;
	int r = find(st, key, &slot);

	if (r < 0)
		return r;
	*ret = st->slots[slot].data;
	*ret_len = st->slots[slot].len;
	return 0;
}

static int drop_slot(struct fs *fs, struct fs_record_store *st, uint32_t slot)
{
	return change_slot(fs, st, slot, &(struct fs_record){ .used = false });
}

int fs_record_drop(struct fs *fs, enum fs_store store, const struct fs_record_key *key)
{
	struct fs_record_store *st = &fs->store[store];
	uint32_t slot;
	int r = fs_may_change(fs) ? find(st, key, &slot) : -EROFS;

	return r < 0 ? r : drop_slot(fs, st, slot);
}

int fs_record_drop_instance(struct fs *fs, enum fs_store store, uint64_t owner, uint64_t instance)
{
	struct fs_record_store *st = &fs->store[store];
	int n = 0;

	if (!fs_may_change(fs))
		return -EROFS;
	for (uint32_t slot = 0; slot < st->n_slots; slot++) {
		const struct fs_record *rec = &st->slots[slot];
		int r;

		if (!rec->used || rec->key.owner != owner || rec->key.instance != instance)
			continue;
		r = drop_slot(fs, st, slot);
		if (r < 0)
			return r;
		n++;
	}
	return n;
}

void fs_record_foreach(const struct fs *fs, enum fs_store store, fs_record_fn fn, void *user)
{
	const struct fs_record_store *st = &fs->store[store];

	for (uint32_t slot = 0; slot < st->n_slots; slot++) {
		const struct fs_record *rec = &st->slots[slot];

		if (rec->used && !fn(user, &rec->key, rec->data, rec->len))
			return;
	}
}
