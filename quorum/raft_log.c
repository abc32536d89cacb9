/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/assert.h"
#include "quorum/raft_log.h"

static void entry_drop(struct raft_entry *e)
{
	free((void *)e->data);
	e->data = NULL;
}

void raft_log_fini(struct raft_log *log)
{
	for (size_t i = 0; i < log->n; i++)
		entry_drop(&log->v[i]);
	free(log->v);
	*log = (struct raft_log){ 0 };
}

uint64_t raft_log_last(const struct raft_log *log)
{
	return log->base_index + log->n;
}

uint64_t raft_log_last_term(const struct raft_log *log)
{
	return log->n ? log->v[log->n - 1].term : log->base_term;
}

const struct raft_entry *raft_log_at(const struct raft_log *log, uint64_t index)
{
	if (index <= log->base_index || index > raft_log_last(log))
		return NULL;
	return &log->v[index - log->base_index - 1];
}

bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *ret_term)
{
	const struct raft_entry *e = raft_log_at(log, index);

	if (!e && index != log->base_index)
		return false;
	*ret_term = e ? e->term : log->base_term;
	return true;
}

void raft_log_append(struct raft_log *log, const struct raft_entry *e)
{
	struct raft_entry copy = *e;
	uint8_t *data = NULL;

	cl_assert(e->index == raft_log_last(log) + 1);
	cl_assert(e->term >= raft_log_last_term(log));
	if (log->n == log->cap) {
		log->cap = log->cap ? log->cap * 2 : 64;
		log->v = reallocarray(log->v, log->cap, sizeof(*log->v));
		cl_assert(log->v);
	}
	if (e->len) {
		data = malloc(e->len);
		cl_assert(data);
		memcpy(data, e->data, e->len);
	}
	copy.data = data;
	log->v[log->n++] = copy;
}

void raft_log_truncate(struct raft_log *log, uint64_t index)
{
	cl_assert(index > log->base_index);
	while (raft_log_last(log) >= index)
		entry_drop(&log->v[--log->n]);
	if (log->durable >= index)
		log->durable = index - 1;
	if (log->given >= index)
		log->given = index - 1;
}

void raft_log_compact(struct raft_log *log, uint64_t index)
{
	size_t drop = index - log->base_index;
	uint64_t term = 0;

	cl_assert(index >= log->base_index && raft_log_term(log, index, &term));
	if (drop == 0)
		return;
	for (size_t i = 0; i < drop; i++)
		entry_drop(&log->v[i]);
	log->n -= drop;
	memmove(log->v, log->v + drop, log->n * sizeof(*log->v));
	log->base_index = index;
	log->base_term = term;
}

void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term)
{
	for (size_t i = 0; i < log->n; i++)
		entry_drop(&log->v[i]);
	log->n = 0;
	log->base_index = index;
	log->base_term = term;
	log->durable = 0;
	log->given = index;
}

uint64_t raft_log_run_start(const struct raft_log *log, uint64_t index)
{
	uint64_t term = 0, before;

	cl_assert(raft_log_term(log, index, &term));
	while (index > log->base_index + 1 && raft_log_term(log, index - 1, &before) &&
	       before == term)
		index--;
	return index;
}
