/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The nodes' databases: one transaction per persist, all or nothing. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/cluster_driver.h"

struct op {
	struct raft_persist *p; /* taken from the action */
	struct raft_line line;
};

void disk_free(struct sim *s, void *ptr)
{
	struct op *op = ptr;

	(void)s;
	free(op->p);
	free(op);
}

static void cut_back(struct image *img, uint64_t from)
{
	while (img->n && img->v[img->n - 1].index >= from)
		free((void *)img->v[--img->n].data);
}

static void cut_front(struct image *img, uint64_t first)
{
	size_t drop = 0;

	while (drop < img->n && img->v[drop].index < first)
		free((void *)img->v[drop++].data);
	img->n -= drop;
	if (drop)
		memmove(img->v, img->v + drop, img->n * sizeof(*img->v));
}

static void *copy(const void *from, size_t len)
{
	void *to = malloc(len + 1);

	cl_assert(to);
	if (len)
		memcpy(to, from, len);
	return to;
}

static void put_snapshot(struct image *img, const struct raft_persist *p)
{
	free(img->blob);
	img->snapshot = *p->snapshot;
	img->blob = copy(p->snapshot->blob, p->snapshot->len);
	img->snapshot.blob = img->blob;
	if (p->reset_log)
		cut_back(img, 0);
	else
		cut_front(img, p->first_index);
}

/* One transaction: all or nothing, so that a torn write is a lost one. */
void disk_apply(struct sim *s, unsigned node, void *ptr, bool torn)
{
	struct cworld *w = sim_user(s);
	struct image *img = &w->node[node].disk;
	const struct op *op = ptr;

	if (torn)
		return;
	img->any = true;
	img->line = op->line;
	if (op->p->has_snapshot)
		put_snapshot(img, op->p);
	if (op->p->truncate_from)
		cut_back(img, op->p->truncate_from);
	img->v = reallocarray(img->v, img->n + op->p->n_entries + 1, sizeof(*img->v));
	cl_assert(img->v);
	for (uint32_t i = 0; i < op->p->n_entries; i++) {
		struct raft_entry e = op->p->entries[i];

		e.data = copy(e.data, e.len);
		img->v[img->n++] = e;
	}
	if (op->p->has_vote) {
		img->term = op->p->term;
		img->vote = op->p->vote;
	}
}

void cw_image_copy(const struct image *from, struct image *to)
{
	*to = *from;
	to->blob = NULL;
	if (from->blob) {
		to->blob = copy(from->blob, from->snapshot.len);
		to->snapshot.blob = to->blob;
	}
	to->v = copy(from->v, from->n * sizeof(*from->v));
	for (size_t i = 0; i < from->n; i++)
		to->v[i].data = copy(from->v[i].data, from->v[i].len);
}

void cw_image_fini(struct image *img)
{
	cut_back(img, 0);
	free(img->v);
	free(img->blob);
}

void disk_write(struct cworld *w, unsigned node, struct node_action *a)
{
	struct op *op = calloc(1, sizeof(*op));

	cl_assert(op);
	op->p = a->persist.data;
	op->line = a->persist.line;
	a->persist.data = NULL;
	sim_write(w->s, node, op, a->persist.seq);
}

void disk_set_aside(struct cworld *w, unsigned node, const char *why)
{
	struct cnode *c = &w->node[node];

	cw_image_fini(&c->disk);
	c->disk = (struct image){ 0 };
	memset(&c->witness_known, 0, sizeof(c->witness_known));
	for (unsigned k = 0; k < sizeof(c->uuid); k++)
		c->uuid[k] = (uint8_t)sim_rand(w->s, 256);
	c->instance = 0;
	(void)snprintf(c->anew, sizeof(c->anew), "%s", why);
}
