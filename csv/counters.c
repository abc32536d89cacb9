/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/counters.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/assert.h"

static void add(_Atomic uint64_t *cell, uint64_t n)
{
	(void)atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *cell)
{
	return atomic_load_explicit(cell, memory_order_relaxed);
}

unsigned counters_bucket(uint64_t us)
{
	unsigned b = us ? 64 - (unsigned)__builtin_clzll(us) : 0;

	return b < COUNTERS_BUCKETS ? b : COUNTERS_BUCKETS - 1;
}

void counters_add_io(struct csv_counters *c, enum counters_path path, bool writes, uint64_t bytes,
		     uint64_t us)
{
	struct csv_counters_io *io;

	cl_assert(path < COUNTERS_PATHS);
	if (!c)
		return;
	io = &c->io[path][writes];
	add(&io->operations, 1);
	add(&io->bytes, bytes);
	add(&io->microseconds, us);
	add(&io->bucket[counters_bucket(us)], 1);
}

void counters_add(struct csv_counters *c, enum counters_event event)
{
	cl_assert(event < COUNTERS_EVENTS);
	if (c)
		add(&c->event[event], 1);
}

/* ---- as a message ------------------------------------------------------------------------------ */

/* Memory of one Vol.Io, so that one free() ends it. */
struct io_message {
	Vol__Io io;
	uint64_t bucket[COUNTERS_BUCKETS];
};

static const Vol__Path paths[COUNTERS_PATHS] = {
	[COUNTERS_DIRECT] = VOL__PATH__PATH_DIRECT,
	[COUNTERS_BLOCK_REDIRECTED] = VOL__PATH__PATH_BLOCK_REDIRECTED,
	[COUNTERS_FILE_REDIRECTED] = VOL__PATH__PATH_FILE_REDIRECTED,
};

static Vol__Io *io_message(const struct csv_counters_io *io, Vol__Path path, bool writes)
{
	struct io_message *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	vol__io__init(&m->io);
	m->io.path = path;
	m->io.writes = writes;
	m->io.operations = get(&io->operations);
	m->io.bytes = get(&io->bytes);
	m->io.microseconds = get(&io->microseconds);
	m->io.bucket = m->bucket;
	for (unsigned b = 0; b < COUNTERS_BUCKETS; b++) {
		m->bucket[b] = get(&io->bucket[b]);
		if (m->bucket[b])
			m->io.n_bucket = b + 1;
	}
	return &m->io;
}

static int fill_io(const struct csv_counters *c, Vol__Counters *ret)
{
	ret->io = calloc((size_t)COUNTERS_PATHS * 2, sizeof(*ret->io));
	if (!ret->io)
		return -ENOMEM;
	for (unsigned p = 0; p < COUNTERS_PATHS; p++)
		for (unsigned w = 0; w < 2; w++) {
			if (!get(&c->io[p][w].operations))
				continue;
			ret->io[ret->n_io] = io_message(&c->io[p][w], paths[p], w);
			if (!ret->io[ret->n_io])
				return -ENOMEM;
			ret->n_io++;
		}
	return 0;
}

int counters_message(const struct csv_counters *c, Vol__Counters *ret)
{
	vol__counters__init(ret);
	ret->recalls_sent = get(&c->event[COUNTERS_RECALLS_SENT]);
	ret->recalls_answered = get(&c->event[COUNTERS_RECALLS_ANSWERED]);
	ret->recalls_busy = get(&c->event[COUNTERS_RECALLS_BUSY]);
	ret->commits = get(&c->event[COUNTERS_COMMITS]);
	ret->fences = get(&c->event[COUNTERS_FENCES]);
	ret->resends = get(&c->event[COUNTERS_RESENDS]);
	return fill_io(c, ret);
}

void counters_message_free(Vol__Counters *m)
{
	for (size_t i = 0; i < m->n_io; i++)
		free(m->io[i]);
	free(m->io);
	vol__counters__init(m);
}
