/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/raft_store.h"

#include <string.h>

#include "lib/assert.h"
#include "lib/le.h"

/* term u64, vote: node u32, uuid 16; line: number u64, random id u64; database 16 */
#define HARD_SIZE 60

static void hard_put(const struct raft_hard *h, uint8_t out[HARD_SIZE])
{
	cl_put_le64(out, h->term);
	cl_put_le32(out + 8, h->vote.node);
	memcpy(out + 12, h->vote.uuid, RAFT_UUID_LEN);
	cl_put_le64(out + 28, h->line.number);
	cl_put_le64(out + 36, h->line.random_id);
	memcpy(out + 44, h->database, RAFT_UUID_LEN);
}

static int hard_get(const struct store_blob *blob, struct raft_hard *ret, struct cl_error *err)
{
	if (!blob->data)
		return 0;
	if (blob->len != HARD_SIZE)
		return cl_error_set(err, -CL_ECORRUPT, "term and vote have %zu bytes", blob->len);
	ret->term = cl_get_le64(blob->data);
	ret->vote.node = cl_get_le32(blob->data + 8);
	memcpy(ret->vote.uuid, blob->data + 12, RAFT_UUID_LEN);
	ret->line.number = cl_get_le64(blob->data + 28);
	ret->line.random_id = cl_get_le64(blob->data + 36);
	memcpy(ret->database, blob->data + 44, RAFT_UUID_LEN);
	return 0;
}

/* A whole new one, so that comparing bytes means comparing values. */
static void hard_update(struct raft_hard *h, const struct raft_persist *p,
			const struct raft_line *line, const uint8_t database[RAFT_UUID_LEN])
{
	if (p->has_vote) {
		h->term = p->term;
		h->vote = p->vote;
	}
	h->line = *line;
	memcpy(h->database, database, RAFT_UUID_LEN);
}

/* Snapshot: length of the configuration u32, configuration, state. */
static int snapshot_put(const struct raft_snapshot *s, struct store_blob *ret)
{
	uint8_t *data = malloc(4 + RAFT_CONFIG_BYTES_MAX + s->len);
	size_t n;

	if (!data)
		return -ENOMEM;
	n = raft_config_encode(&s->config, data + 4);
	cl_put_le32(data, (uint32_t)n);
	if (s->len)
		memcpy(data + 4 + n, s->blob, s->len);
	*ret = (struct store_blob){ data, 4 + n + s->len };
	return 0;
}

static int snapshot_get(const struct store_image *img, struct raft_snapshot *ret,
			struct cl_error *err)
{
	const struct store_blob *blob = &img->snapshot;
	uint32_t n;

	if (!blob->data)
		return 0;
	n = blob->len >= 4 ? cl_get_le32(blob->data) : 0;
	if (blob->len < 4 || n > blob->len - 4)
		return cl_error_set(err, -CL_ECORRUPT, "the snapshot is too short");
	ret->index = img->snap_index;
	ret->term = img->snap_term;
	ret->blob = blob->data + 4 + n;
	ret->len = blob->len - 4 - n;
	if (raft_config_decode(blob->data + 4, n, &ret->config) < 0)
		return cl_error_set(err, -CL_ECORRUPT, "the snapshot's members cannot be read");
	return 0;
}

static struct store_entry *entries_put(const struct raft_persist *p)
{
	struct store_entry *entries = calloc(p->n_entries + 1, sizeof(*entries));

	for (uint32_t i = 0; entries && i < p->n_entries; i++)
		entries[i] = (struct store_entry){
			.index = p->entries[i].index,
			.term = p->entries[i].term,
			.kind = p->entries[i].type,
			/* Only read: the store copies. An entry without data is not absent. */
			.data = { p->entries[i].len ? (uint8_t *)(uintptr_t)p->entries[i].data
						    : (uint8_t *)(uintptr_t) "",
				  p->entries[i].len },
		};
	return entries;
}

int raft_store_submit(struct store *st, uint64_t seq, struct raft_hard *hard,
		      const struct raft_persist *p, const struct raft_line *line,
		      const uint8_t database[RAFT_UUID_LEN])
{
	_cleanup_free_ struct store_entry *entries = entries_put(p);
	struct store_write w = { .seq = seq, .reset_log = p->reset_log };
	struct store_blob snapshot = { 0 };
	uint8_t before[HARD_SIZE], after[HARD_SIZE];
	int r = entries ? 0 : -ENOMEM;

	if (r == 0 && p->has_snapshot) {
		r = snapshot_put(p->snapshot, &snapshot);
		w.snap_index = p->snapshot->index;
		w.snap_term = p->snapshot->term;
		w.snapshot = snapshot;
		w.compact_to = p->first_index ? p->first_index - 1 : 0;
	}
	hard_put(hard, before);
	hard_update(hard, p, line, database);
	hard_put(hard, after);
	if (memcmp(before, after, sizeof(before)) != 0)
		w.hard = (struct store_blob){ after, sizeof(after) };
	w.truncate_from = p->truncate_from;
	w.entries = entries;
	w.n_entries = p->n_entries;
	if (r == 0)
		r = store_submit(st, &w);
	free(snapshot.data);
	return r;
}

static int entries_get(const struct store_image *img, struct raft_found *ret, struct cl_error *err)
{
	ret->entries = calloc(img->log.n + 1, sizeof(*ret->entries));
	if (!ret->entries)
		return cl_error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < img->log.n; i++) {
		const struct store_entry *e = &img->log.v[i];

		if (e->kind < RAFT_ENTRY_NOOP || e->kind > RAFT_ENTRY_COMMAND)
			return cl_error_set(err, -CL_ECORRUPT, "log entry %llu is of kind %u",
					    (unsigned long long)e->index, e->kind);
		ret->entries[i] = (struct raft_entry){
			.index = e->index,
			.term = e->term,
			.type = (enum raft_entry_type)e->kind,
			.len = (uint32_t)e->data.len,
			.data = e->data.data,
		};
	}
	ret->stored.entries = ret->entries;
	ret->stored.n_entries = img->log.n;
	return 0;
}

int raft_store_found(const struct store_image *img, struct raft_found *ret, struct cl_error *err)
{
	struct raft_found found = { 0 };
	int r = hard_get(&img->hard, &found.hard, err);

	found.stored.term = found.hard.term;
	found.stored.vote = found.hard.vote;
	found.stored.line = found.hard.line;
	if (r == 0)
		r = snapshot_get(img, &found.stored.snapshot, err);
	if (r == 0)
		r = entries_get(img, &found, err);
	if (r < 0) {
		raft_found_fini(&found);
		return r;
	}
	*ret = found;
	return 0;
}

void raft_found_fini(struct raft_found *found)
{
	free(found->entries);
	*found = (struct raft_found){ 0 };
}
