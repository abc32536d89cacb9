/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages as bytes: fixed fields, little endian, no padding. Written out by hand, as every message
 * of every heartbeat passes here and the layout is as simple as this.
 *
 *   u8 version, type, flags, 0 | line u64 u64 | database | from, to: u32 uuid
 *   from_incarnation, to_incarnation, term, seq, sent_ms: u64 | body of the type
 *
 * The decoder takes anything. What raft_step() would trip over (entries that do not follow each
 * other, terms that fall, a configuration that is none) is refused here.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/assert.h"
#include "lib/cleanup.h"
#include "quorum/raft.h"

enum { WIRE_VERSION = 1 };
enum { FLAG_OK = 1, FLAG_TRANSFER = 2 };
enum { ENTRY_HEAD = 8 + 1 + 4 };

/* ---- writing: counts when there is no buffer --------------------------------------------- */

struct sink {
	uint8_t *buf; /* NULL = only count */
	size_t n;
};

static void put(struct sink *s, const void *p, size_t len)
{
	if (s->buf && len)
		memcpy(s->buf + s->n, p, len);
	s->n += len;
}

static void put_int(struct sink *s, uint64_t x, int bytes)
{
	for (int i = 0; s->buf && i < bytes; i++)
		s->buf[s->n + (size_t)i] = (uint8_t)(x >> (8 * i));
	s->n += (size_t)bytes;
}

static void put_id(struct sink *s, const struct raft_id *id)
{
	put_int(s, id->node, 4);
	put(s, id->uuid, RAFT_UUID_LEN);
}

static void put_entries(struct sink *s, const struct raft_message *m)
{
	put_int(s, m->prev_index, 8);
	put_int(s, m->prev_term, 8);
	put_int(s, m->commit, 8);
	put_int(s, m->n_entries, 4);
	for (uint32_t i = 0; i < m->n_entries; i++) {
		put_int(s, m->entries[i].term, 8);
		put_int(s, m->entries[i].type, 1);
		put_int(s, m->entries[i].len, 4);
		put(s, m->entries[i].data, m->entries[i].len);
	}
}

static void put_snapshot(struct sink *s, const struct raft_snapshot *snap)
{
	uint8_t config[RAFT_CONFIG_BYTES_MAX];
	size_t len = raft_config_encode(&snap->config, config);

	put_int(s, snap->index, 8);
	put_int(s, snap->term, 8);
	put_int(s, len, 4);
	put(s, config, len);
	put_int(s, snap->len, 4);
	put(s, snap->blob, snap->len);
}

static void put_body(struct sink *s, const struct raft_message *m)
{
	switch (m->type) {
	case RAFT_PREVOTE:
	case RAFT_VOTE:
		put_int(s, m->last_index, 8);
		put_int(s, m->last_term, 8);
		break;
	case RAFT_APPEND:
		put_entries(s, m);
		break;
	case RAFT_APPEND_REPLY:
		put_int(s, m->match, 8);
		put_int(s, m->received, 8);
		put_int(s, m->append_ms, 4);
		break;
	case RAFT_INSTALL:
		put_snapshot(s, m->snapshot);
		break;
	case RAFT_PREVOTE_REPLY:
	case RAFT_VOTE_REPLY:
	case RAFT_TIMEOUT_NOW:
		break;
	}
}

static void put_message(struct sink *s, const struct raft_message *m)
{
	put_int(s, WIRE_VERSION, 1);
	put_int(s, m->type, 1);
	put_int(s, (m->ok ? FLAG_OK : 0) | (m->transfer ? FLAG_TRANSFER : 0), 1);
	put_int(s, 0, 1);
	put_int(s, m->line.number, 8);
	put_int(s, m->line.random_id, 8);
	put(s, m->database, RAFT_UUID_LEN);
	put_id(s, &m->from);
	put_id(s, &m->to);
	put_int(s, m->from_incarnation, 8);
	put_int(s, m->to_incarnation, 8);
	put_int(s, m->term, 8);
	put_int(s, m->seq, 8);
	put_int(s, (uint64_t)m->sent_ms, 8);
	put_body(s, m);
}

size_t raft_message_size(const struct raft_message *m)
{
	struct sink s = { 0 };

	put_message(&s, m);
	return s.n;
}

void raft_message_encode(const struct raft_message *m, uint8_t *buf)
{
	struct sink s = { .buf = buf };

	put_message(&s, m);
}

/* ---- reading: never beyond the end, and remembers that it was asked to -------------------- */

struct source {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static const uint8_t *take(struct source *s, size_t len)
{
	const uint8_t *p = s->p;

	if (s->bad || len > s->left) {
		s->bad = true;
		return NULL;
	}
	s->p += len;
	s->left -= len;
	return p;
}

static uint64_t take_int(struct source *s, int bytes)
{
	const uint8_t *p = take(s, (size_t)bytes);
	uint64_t x = 0;

	for (int i = 0; p && i < bytes; i++)
		x |= (uint64_t)p[i] << (8 * i);
	return x;
}

static void take_bytes(struct source *s, void *to, size_t len)
{
	const uint8_t *p = take(s, len);

	if (p)
		memcpy(to, p, len);
}

static void take_id(struct source *s, struct raft_id *id)
{
	id->node = (uint32_t)take_int(s, 4);
	take_bytes(s, id->uuid, RAFT_UUID_LEN);
	if (id->node == 0)
		s->bad = true;
}

/* Indexes and terms far from any overflow: sums of two of them stay below 2^63. */
static uint64_t take_number(struct source *s)
{
	uint64_t x = take_int(s, 8);

	if (x >> 62)
		s->bad = true;
	return x;
}

struct decoded {
	struct raft_message m;
	struct raft_snapshot snapshot;
	struct raft_entry entries[];
};

static void take_entry(struct source *s, struct raft_entry *e, uint64_t index, uint64_t term)
{
	struct raft_config c;

	e->index = index;
	e->term = take_number(s);
	e->type = (enum raft_entry_type)take_int(s, 1);
	e->len = (uint32_t)take_int(s, 4);
	e->data = take(s, e->len);
	if (e->term < term || e->type < RAFT_ENTRY_NOOP || e->type > RAFT_ENTRY_COMMAND)
		s->bad = true;
	if (!s->bad && e->type == RAFT_ENTRY_CONFIG && raft_config_decode(e->data, e->len, &c) < 0)
		s->bad = true;
}

static void take_entries(struct source *s, struct decoded *d)
{
	struct raft_message *m = &d->m;
	uint64_t term;

	m->prev_index = take_number(s);
	m->prev_term = term = take_number(s);
	m->commit = take_number(s);
	m->n_entries = (uint32_t)take_int(s, 4);
	if (m->n_entries)
		m->entries = d->entries;
	if ((m->prev_index == 0) != (m->prev_term == 0))
		s->bad = true;
	for (uint32_t i = 0; i < m->n_entries && !s->bad; i++) {
		take_entry(s, &d->entries[i], m->prev_index + 1 + i, term);
		term = d->entries[i].term;
	}
	if (term > m->term)
		s->bad = true;
}

static void take_snapshot(struct source *s, struct decoded *d)
{
	struct raft_snapshot *snap = &d->snapshot;
	uint32_t len;
	const uint8_t *config;

	snap->index = take_number(s);
	snap->term = take_number(s);
	len = (uint32_t)take_int(s, 4);
	config = take(s, len);
	if (!config || raft_config_decode(config, len, &snap->config) < 0)
		s->bad = true;
	snap->len = take_int(s, 4);
	snap->blob = take(s, snap->len);
	if (!snap->index || snap->term > d->m.term || !raft_config_voters(&snap->config))
		s->bad = true;
	d->m.snapshot = snap;
}

static void take_body(struct source *s, struct decoded *d)
{
	struct raft_message *m = &d->m;

	switch (m->type) {
	case RAFT_PREVOTE:
	case RAFT_VOTE:
		m->last_index = take_number(s);
		m->last_term = take_number(s);
		break;
	case RAFT_APPEND:
		take_entries(s, d);
		break;
	case RAFT_APPEND_REPLY:
		m->match = take_number(s);
		m->received = take_number(s);
		m->append_ms = (uint32_t)take_int(s, 4);
		break;
	case RAFT_INSTALL:
		take_snapshot(s, d);
		break;
	case RAFT_PREVOTE_REPLY:
	case RAFT_VOTE_REPLY:
	case RAFT_TIMEOUT_NOW:
		break;
	default:
		s->bad = true;
	}
}

static void take_head(struct source *s, struct raft_message *m)
{
	uint64_t version = take_int(s, 1), flags;

	m->type = (enum raft_message_type)take_int(s, 1);
	flags = take_int(s, 1);
	if (version != WIRE_VERSION || take_int(s, 1) != 0 || flags > (FLAG_OK | FLAG_TRANSFER))
		s->bad = true;
	m->ok = flags & FLAG_OK;
	m->transfer = flags & FLAG_TRANSFER;
	m->line.number = take_int(s, 8);
	m->line.random_id = take_int(s, 8);
	take_bytes(s, m->database, RAFT_UUID_LEN);
	take_id(s, &m->from);
	take_id(s, &m->to);
	m->from_incarnation = take_int(s, 8);
	m->to_incarnation = take_int(s, 8);
	m->term = take_number(s);
	m->seq = take_number(s);
	m->sent_ms = (int64_t)take_number(s);
}

/* How many entries the message can hold at most: bounded by its own length. */
static size_t entries_bound(size_t len)
{
	return len / ENTRY_HEAD;
}

int raft_message_decode(const uint8_t *buf, size_t len, struct raft_message **ret,
			struct cl_error *err)
{
	struct source s = { .p = buf, .left = len };
	_cleanup_free_ struct decoded *d = NULL; /* its first member is the message */
	struct raft_message head = { 0 };

	take_head(&s, &head);
	if (s.bad)
		return cl_error_set(err, -CL_ECORRUPT, "database message: bad head (%zu bytes)",
				    len);
	d = malloc(sizeof(*d) + (head.type == RAFT_APPEND ? entries_bound(s.left) : 0) *
					sizeof(struct raft_entry));
	if (!d)
		return cl_error_errno(err, -ENOMEM, "database message");
	d->m = head;
	d->snapshot = (struct raft_snapshot){ 0 };
	take_body(&s, d);
	if (s.bad || s.left)
		return cl_error_set(err, -CL_ECORRUPT,
				    "database message: bad body, type %d, %zu bytes",
				    (int)head.type, len);
	*ret = &d->m;
	(void)cl_steal(d);
	return 0;
}
