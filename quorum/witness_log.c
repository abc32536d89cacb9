/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "quorum/witness_log.h"

#include <stdlib.h>
#include <string.h>

#include "lib/assert.h"
#include "lib/cleanup.h"
#include "proto/witness.pb-c.h"

enum { STEP_HEAD, STEP_SCAN, STEP_DONE };
enum { CHUNK = 256 * 1024, COUNT_BITS = 20 };

/* ---- the image ------------------------------------------------------------------------------------ */

static void cut_back(struct witness_log *log, uint64_t from)
{
	while (log->entries.n && log->entries.v[log->entries.n - 1].index >= from)
		free((void *)(uintptr_t)log->entries.v[--log->entries.n].data);
}

static void cut_front(struct witness_log *log, uint64_t first)
{
	size_t drop = 0;

	while (drop < log->entries.n && log->entries.v[drop].index < first)
		free((void *)(uintptr_t)log->entries.v[drop++].data);
	log->entries.n -= drop;
	if (drop)
		memmove(log->entries.v, log->entries.v + drop,
			log->entries.n * sizeof(*log->entries.v));
}

static void image_clear(struct witness_log *log)
{
	cut_back(log, 0);
	free(log->blob);
	log->blob = NULL;
	log->snapshot = (struct raft_snapshot){ 0 };
	log->term = 0;
	log->vote = (struct raft_id){ 0 };
	log->line = (struct raft_line){ 0 };
	log->any = false;
}

static int image_snapshot(struct witness_log *log, const Wit__Persist *p)
{
	const Wit__Snapshot *s = p->snapshot;
	struct raft_config config;
	uint8_t *blob;

	if (raft_config_decode(s->config.data, s->config.len, &config) < 0)
		return -CL_ECORRUPT;
	blob = malloc(s->blob.len + 1);
	if (!blob)
		return -ENOMEM;
	if (s->blob.len)
		memcpy(blob, s->blob.data, s->blob.len);
	free(log->blob);
	log->blob = blob;
	log->snapshot = (struct raft_snapshot){ .index = s->index,
						.term = s->term,
						.config = config,
						.blob = blob,
						.len = s->blob.len };
	cut_front(log, p->first_index);
	return 0;
}

static int image_entry(struct witness_log *log, const Wit__Entry *from)
{
	struct raft_entry e = {
		.index = from->index,
		.term = from->term,
		.type = (enum raft_entry_type)from->type,
		.len = (uint32_t)from->data.len,
	};
	uint8_t *data = malloc(from->data.len + 1);

	if (!data)
		return -ENOMEM;
	if (from->data.len)
		memcpy(data, from->data.data, from->data.len);
	e.data = data;
	if (witness_entry_vec_push(&log->entries, e) == 0)
		return 0;
	free(data);
	return -ENOMEM;
}

static bool persist_ok(const Wit__Persist *p)
{
	if (p->has_vote && p->vote_uuid.len != RAFT_UUID_LEN)
		return false;
	for (size_t i = 0; i < p->n_entries; i++)
		if (p->entries[i]->type < RAFT_ENTRY_NOOP ||
		    p->entries[i]->type > RAFT_ENTRY_COMMAND ||
		    p->entries[i]->data.len > UINT32_MAX)
			return false;
	return true;
}

/* In the order of struct raft_persist. Whether it all fits together raft_new() looks at. */
static int image_apply(struct witness_log *log, const Wit__Persist *p)
{
	int r = persist_ok(p) ? 0 : -CL_ECORRUPT;

	if (r == 0 && p->snapshot)
		r = image_snapshot(log, p);
	if (r == 0 && p->reset_log)
		cut_back(log, 0);
	if (r == 0 && p->truncate_from)
		cut_back(log, p->truncate_from);
	for (size_t i = 0; r == 0 && i < p->n_entries; i++)
		r = image_entry(log, p->entries[i]);
	if (r < 0)
		return r;
	if (p->has_vote) {
		log->term = p->term;
		log->vote.node = p->vote_node;
		memcpy(log->vote.uuid, p->vote_uuid.data, RAFT_UUID_LEN);
	}
	log->line = (struct raft_line){ p->line_number, p->line_random };
	log->any = true;
	return 0;
}

/* ---- beginning -------------------------------------------------------------------------------------- */

void witness_log_init(struct witness_log *log, const struct witness_super *super,
		      const struct witness_owner *owner)
{
	*log = (struct witness_log){
		.half_bytes = super->half_bytes,
		.base = owner->claim << COUNT_BITS,
		.fresh = true,
	};
	memcpy(log->voter, super->voter, sizeof(log->voter));
}

void witness_log_fini(struct witness_log *log)
{
	image_clear(log);
	witness_entry_vec_fini(&log->entries);
	free(log->buf);
	*log = (struct witness_log){ 0 };
}

static uint64_t half_offset(const struct witness_log *log, unsigned half)
{
	return (uint64_t)WITNESS_LOG_UNIT * WITNESS_UNIT + half * log->half_bytes;
}

/* ---- reading ---------------------------------------------------------------------------------------- */

bool witness_log_wants(const struct witness_log *log, uint64_t *ret_offset, uint32_t *ret_len)
{
	uint64_t left = log->half_bytes - log->buf_len;

	if (log->step == STEP_DONE)
		return false;
	*ret_offset = half_offset(log, log->reading) + log->buf_len;
	*ret_len = log->step == STEP_HEAD ? WITNESS_UNIT : left < CHUNK ? (uint32_t)left : CHUNK;
	return true;
}

static void scan_half(struct witness_log *log, unsigned half)
{
	image_clear(log);
	log->step = STEP_SCAN;
	log->reading = half;
	log->buf_len = log->parsed = 0;
	log->generation = log->head_generation[half];
	log->seq = 0;
}

static void scan_done(struct witness_log *log)
{
	free(cl_steal(log->buf));
	log->buf_len = 0;
	log->half = log->reading;
	log->step = STEP_DONE;
}

static void give_head(struct witness_log *log, const uint8_t *data)
{
	struct witness_record r;

	if (witness_record_decode(data, log->voter, &r) && r.checkpoint)
		log->head_generation[log->reading] = r.generation;
	if (log->reading++ == 0)
		return;
	scan_half(log, log->head_generation[1] > log->head_generation[0]);
	if (log->generation == 0)
		scan_done(log);
}

/* 1 = taken, 0 = more bytes are needed, -CL_ECORRUPT = the log ends here, -ENOMEM. */
static int scan_record(struct witness_log *log)
{
	size_t have = log->buf_len - log->parsed;
	const uint8_t *at = log->buf + log->parsed;
	struct witness_record r;
	Wit__Persist *p;
	int result;

	if (have < WITNESS_RECORD_HEADER)
		return log->buf_len < log->half_bytes ? 0 : -CL_ECORRUPT;
	if (!witness_record_decode(at, log->voter, &r) || r.generation != log->generation ||
	    r.seq != log->seq + 1 || r.checkpoint != (log->seq == 0) ||
	    witness_record_bytes(r.len) > log->half_bytes - log->parsed)
		return -CL_ECORRUPT;
	if (have < witness_record_bytes(r.len))
		return 0;
	if (!witness_record_body_ok(&r, at + WITNESS_RECORD_HEADER))
		return -CL_ECORRUPT;
	p = wit__persist__unpack(NULL, r.len, at + WITNESS_RECORD_HEADER);
	if (!p)
		return -CL_ECORRUPT;
	result = image_apply(log, p);
	wit__persist__free_unpacked(p, NULL);
	if (result < 0)
		return result;
	log->seq = r.seq;
	log->parsed += witness_record_bytes(r.len);
	return 1;
}

/* A checkpoint that is torn: nobody was told of it, and the other half is as it was before. */
static void scan_end(struct witness_log *log)
{
	unsigned other = !log->reading;

	log->head_generation[log->reading] = 0;
	if (log->seq == 0 && log->head_generation[other])
		scan_half(log, other);
	else
		scan_done(log);
}

static int give_chunk(struct witness_log *log, const uint8_t *data, size_t len)
{
	uint8_t *buf = realloc(log->buf, log->buf_len + len + 1);
	int r;

	if (!buf)
		return -ENOMEM;
	log->buf = buf;
	memcpy(buf + log->buf_len, data, len);
	log->buf_len += len;
	do
		r = scan_record(log);
	while (r > 0);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		scan_end(log);
	return 0;
}

int witness_log_give(struct witness_log *log, const uint8_t *data, size_t len)
{
	uint64_t offset;
	uint32_t want;

	if (!witness_log_wants(log, &offset, &want) || len != want)
		return -EINVAL;
	if (log->step == STEP_SCAN)
		return give_chunk(log, data, len);
	give_head(log, data);
	return 0;
}

bool witness_log_lost(const struct witness_log *log, const struct witness_slot *slot)
{
	if (slot->generation != log->generation)
		return slot->generation > log->generation;
	return slot->seq > log->seq;
}

struct raft_stored witness_log_stored(const struct witness_log *log)
{
	return (struct raft_stored){
		.line = log->line,
		.term = log->term,
		.vote = log->vote,
		.snapshot = log->snapshot,
		.entries = log->entries.v,
		.n_entries = log->entries.n,
	};
}

/* ---- writing ---------------------------------------------------------------------------------------- */

/* A Wit.Persist and what it points to. */
struct message {
	Wit__Persist p;
	Wit__Snapshot snapshot;
	uint8_t config[RAFT_CONFIG_BYTES_MAX];
	Wit__Entry *entries, **list;
	struct raft_id vote;
};

static void message_snapshot(struct message *m, const struct raft_snapshot *s)
{
	wit__snapshot__init(&m->snapshot);
	m->snapshot.index = s->index;
	m->snapshot.term = s->term;
	m->snapshot.config.len = raft_config_encode(&s->config, m->config);
	m->snapshot.config.data = m->config;
	m->snapshot.blob = (ProtobufCBinaryData){ s->len, (uint8_t *)(uintptr_t)s->blob };
	m->p.snapshot = &m->snapshot;
}

static int message_entries(struct message *m, const struct raft_entry *v, size_t n)
{
	m->entries = calloc(n + 1, sizeof(*m->entries));
	m->list = calloc(n + 1, sizeof(*m->list));
	if (!m->entries || !m->list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		wit__entry__init(&m->entries[i]);
		m->entries[i].index = v[i].index;
		m->entries[i].term = v[i].term;
		m->entries[i].type = v[i].type;
		m->entries[i].data =
			(ProtobufCBinaryData){ v[i].len, (uint8_t *)(uintptr_t)v[i].data };
		m->list[i] = &m->entries[i];
	}
	m->p.n_entries = n;
	m->p.entries = m->list;
	return 0;
}

static void message_vote(struct message *m, uint64_t term, const struct raft_id *vote)
{
	m->vote = *vote;
	m->p.has_vote = true;
	m->p.term = term;
	m->p.vote_node = vote->node;
	m->p.vote_uuid = (ProtobufCBinaryData){ RAFT_UUID_LEN, m->vote.uuid };
}

static void message_fini(struct message *m)
{
	free(m->entries);
	free(m->list);
}

static int message_of_step(struct message *m, const struct raft_persist *p,
			   const struct raft_line *line)
{
	wit__persist__init(&m->p);
	m->p.line_number = line->number;
	m->p.line_random = line->random_id;
	if (p->has_vote)
		message_vote(m, p->term, &p->vote);
	if (p->has_snapshot) {
		message_snapshot(m, p->snapshot);
		m->p.first_index = p->first_index;
	}
	m->p.reset_log = p->reset_log;
	m->p.truncate_from = p->truncate_from;
	return message_entries(m, p->entries, p->n_entries);
}

static int message_of_image(struct message *m, const struct witness_log *log)
{
	wit__persist__init(&m->p);
	m->p.line_number = log->line.number;
	m->p.line_random = log->line.random_id;
	message_vote(m, log->term, &log->vote);
	if (log->snapshot.index)
		message_snapshot(m, &log->snapshot);
	m->p.reset_log = true;
	return message_entries(m, log->entries.v, log->entries.n);
}

static int record(struct witness_log *log, const struct message *m, bool checkpoint,
		  struct witness_write *ret)
{
	size_t len = wit__persist__get_packed_size(&m->p);
	struct witness_record r = { .checkpoint = checkpoint,
				    .generation = log->generation,
				    .seq = ++log->seq,
				    .len = (uint32_t)len };
	uint8_t *data = calloc(1, witness_record_bytes(len));

	if (!data)
		return -ENOMEM;
	(void)wit__persist__pack(&m->p, data + WITNESS_RECORD_HEADER);
	witness_record_encode(&r, log->voter, data + WITNESS_RECORD_HEADER, data);
	*ret = (struct witness_write){ .offset = half_offset(log, log->half) + log->at,
				       .data = data,
				       .len = witness_record_bytes(len),
				       .generation = log->generation,
				       .seq = log->seq };
	log->at += ret->len;
	return 0;
}

static int checkpoint(struct witness_log *log, struct witness_write *ret)
{
	struct message m = { 0 };
	int r = message_of_image(&m, log);

	if (r == 0 && witness_record_bytes(wit__persist__get_packed_size(&m.p)) > log->half_bytes)
		r = -ENOSPC;
	if (r == 0) {
		log->half = !log->half;
		log->at = log->seq = 0;
		log->generation = log->fresh ? log->base + 1 : log->generation + 1;
		log->fresh = false;
		r = record(log, &m, true, ret);
	}
	message_fini(&m);
	return r;
}

int witness_log_put(struct witness_log *log, const struct raft_persist *p,
		    const struct raft_line *line, struct witness_write *ret)
{
	struct message m = { 0 };
	int r = message_of_step(&m, p, line);
	uint64_t bytes = r == 0 ? witness_record_bytes(wit__persist__get_packed_size(&m.p)) : 0;

	cl_assert(log->step == STEP_DONE);
	if (r == 0)
		r = image_apply(log, &m.p);
	if (r == 0 && (log->fresh || log->at + bytes > log->half_bytes))
		r = checkpoint(log, ret);
	else if (r == 0)
		r = record(log, &m, false, ret);
	message_fini(&m);
	return r;
}
