/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/places.h"

#include <stddef.h>
#include <stdlib.h>

#define BUCKETS 4096u
#define MOVED_MAX 16384u
#define TAG_MASK UINT32_C(0x7fffffff)

/* A place whose tag is not its own, because the kernel moved a directory there. */
struct moved {
	struct moved *next_by_place, *next_by_tag;
	uint64_t place;
	uint32_t tag;
};

struct places {
	struct moved *by_place[BUCKETS], *by_tag[BUCKETS];
	unsigned n;
};

struct places *places_new(void)
{
	return calloc(1, sizeof(struct places));
}

static void forget_all(struct places *p)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (p->by_place[i]) {
			struct moved *m = p->by_place[i];

			p->by_place[i] = m->next_by_place;
			free(m);
		}
		p->by_tag[i] = NULL;
	}
	p->n = 0;
}

void places_free(struct places *places)
{
	if (places)
		forget_all(places);
	free(places);
}

/* A place is known by its hash (FNV-1a, mixed at the end: neighbours' low bits must differ, too). */
static uint64_t place_of(uint64_t parent, const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ parent;

	h *= UINT64_C(1099511628211);
	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * UINT64_C(1099511628211);
	h ^= h >> 32;
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

static struct moved *at_place(const struct places *places, uint64_t place)
{
	struct moved *m = places->by_place[place % BUCKETS];

	while (m && m->place != place)
		m = m->next_by_place;
	return m;
}

static bool is_taken(const struct places *places, uint32_t tag)
{
	const struct moved *m = places->by_tag[tag % BUCKETS];

	while (m && m->tag != tag)
		m = m->next_by_tag;
	return m;
}

static uint32_t tag_of(const struct places *places, uint64_t place)
{
	const struct moved *m = at_place(places, place);
	uint32_t tag = (uint32_t)place & TAG_MASK;

	if (m)
		return m->tag;
	while (!tag || is_taken(places, tag))
		tag = (tag + 1) & TAG_MASK;
	return tag;
}

uint32_t places_tag(const struct places *places, uint64_t parent, const char *name)
{
	return tag_of(places, place_of(parent, name));
}

static void drop(struct places *places, uint64_t place)
{
	struct moved **p = &places->by_place[place % BUCKETS], *m;

	while (*p && (*p)->place != place)
		p = &(*p)->next_by_place;
	m = *p;
	if (!m)
		return;
	*p = m->next_by_place;
	for (p = &places->by_tag[m->tag % BUCKETS]; *p != m;)
		p = &(*p)->next_by_tag;
	*p = m->next_by_tag;
	free(m);
	places->n--;
}

void places_drop(struct places *places, uint64_t parent, const char *name)
{
	if (places->n)
		drop(places, place_of(parent, name));
}

static void put(struct places *places, uint64_t place, uint32_t tag)
{
	struct moved *m;

	drop(places, place);
	if (places->n >= MOVED_MAX)
		forget_all(places);
	m = malloc(sizeof(*m));
	if (!m)
		return; /* as if it had been forgotten */
	*m = (struct moved){ places->by_place[place % BUCKETS], places->by_tag[tag % BUCKETS],
			     place, tag };
	places->by_place[place % BUCKETS] = m;
	places->by_tag[tag % BUCKETS] = m;
	places->n++;
}

void places_moved(struct places *places, uint64_t parent, const char *name, uint64_t new_parent,
		  const char *new_name, bool exchange)
{
	uint64_t from = place_of(parent, name), to = place_of(new_parent, new_name);
	uint32_t tag = tag_of(places, from), other = tag_of(places, to);

	if (from == to)
		return;
	drop(places, from);
	put(places, to, tag);
	if (exchange)
		put(places, from, other);
}
