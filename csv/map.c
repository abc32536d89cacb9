/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/map.h"

#include <errno.h>
#include <stdlib.h>

static struct map_file **slot_of(struct map *map, uint64_t ino)
{
	return &map->buckets[(ino * UINT64_C(0x9e3779b97f4a7c15)) >> 56];
}

/* ---- files by use -------------------------------------------------------------------------- */

static void unlink_use(struct map *map, struct map_file *f)
{
	if (f->newer)
		f->newer->older = f->older;
	else
		map->newest = f->older;
	if (f->older)
		f->older->newer = f->newer;
	else
		map->oldest = f->newer;
	f->newer = f->older = NULL;
}

static void link_use(struct map *map, struct map_file *f)
{
	f->older = map->newest;
	if (map->newest)
		map->newest->newer = f;
	else
		map->oldest = f;
	map->newest = f;
}

static struct map_file *find(struct map *map, uint64_t ino)
{
	struct map_file *f = *slot_of(map, ino);

	while (f && f->ino != ino)
		f = f->chain;
	if (f && f != map->newest) {
		unlink_use(map, f);
		link_use(map, f);
	}
	return f;
}

static struct map_file *find_or_make(struct map *map, uint64_t ino)
{
	struct map_file *f = find(map, ino), **slot = slot_of(map, ino);

	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->ino = ino;
	f->refused_from = UINT64_MAX;
	f->chain = *slot;
	*slot = f;
	link_use(map, f);
	return f;
}

static void forget(struct map *map, struct map_file *f)
{
	struct map_file **p = slot_of(map, f->ino);

	while (*p != f)
		p = &(*p)->chain;
	*p = f->chain;
	unlink_use(map, f);
	map->n_extents -= f->extents.n;
	map_extent_vec_fini(&f->extents);
	free(f);
}

static void evict(struct map *map, const struct map_file *keep)
{
	size_t max = map->max_extents ? map->max_extents : MAP_EXTENTS_MAX;

	while (map->n_extents > max && map->oldest && map->oldest != keep)
		forget(map, map->oldest);
}

/* ---- ranges of one file -------------------------------------------------------------------- */

/* The first extent that ends after `at`. */
static size_t first_after(const struct map_file *f, uint64_t at)
{
	size_t lo = 0, hi = f->extents.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (f->extents.v[mid].end > at)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static struct map_extent cut(const struct map_extent *e, uint64_t start, uint64_t end)
{
	struct map_extent out = *e;

	if (start > out.start) {
		if (out.address)
			out.address += start - out.start;
		out.start = start;
	}
	if (end < out.end)
		out.end = end;
	return out;
}

static int replace(struct map *map, struct map_file *f, size_t at, size_t n_old,
		   const struct map_extent *put, size_t n_put)
{
	struct map_extent_vec *v = &f->extents;

	if (n_put > n_old && map_extent_vec_reserve(v, n_put - n_old) < 0)
		return -ENOMEM;
	if (v->n > at + n_old)
		memmove(&v->v[at + n_put], &v->v[at + n_old],
			(v->n - at - n_old) * sizeof(v->v[0]));
	if (n_put)
		memcpy(&v->v[at], put, n_put * sizeof(put[0]));
	v->n = v->n - n_old + n_put;
	map->n_extents = map->n_extents - n_old + n_put;
	return 0;
}

/* Takes [start, end) out; on -ENOMEM (a cut in two) the whole extent goes: less is known, no harm. */
static void take_out(struct map *map, struct map_file *f, uint64_t start, uint64_t end)
{
	size_t at = first_after(f, start), n = 0, n_put = 0;
	struct map_extent put[2];

	while (at + n < f->extents.n && f->extents.v[at + n].start < end)
		n++;
	if (!n)
		return;
	if (f->extents.v[at].start < start)
		put[n_put++] = cut(&f->extents.v[at], 0, start);
	if (f->extents.v[at + n - 1].end > end)
		put[n_put++] = cut(&f->extents.v[at + n - 1], end, UINT64_MAX);
	if (replace(map, f, at, n, put, n_put) < 0)
		(void)replace(map, f, at, n, NULL, 0);
}

static bool continues(const struct map_extent *a, const struct map_extent *b)
{
	if (a->end != b->start || a->write != b->write || a->grow != b->grow ||
	    !a->address != !b->address)
		return false;
	return !a->address || a->address + (a->end - a->start) == b->address;
}

/* [at, at + n) were put in: join them with each other and their neighbours. */
static void join(struct map *map, struct map_file *f, size_t at, size_t n)
{
	size_t i = at ? at - 1 : 0, last = at + n;

	while (i + 1 < f->extents.n && i < last) {
		struct map_extent *e = &f->extents.v[i];

		if (!continues(e, e + 1)) {
			i++;
			continue;
		}
		e->end = e[1].end;
		(void)replace(map, f, i + 1, 1, NULL, 0);
		last--;
	}
}

static bool in_order(const struct map_extent *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (e[i].end <= e[i].start || (i && e[i].start != e[i - 1].end) ||
		    (e[i].address && e[i].address + (e[i].end - e[i].start) < e[i].address))
			return false;
	return true;
}

/* ---- what others see ----------------------------------------------------------------------- */

int map_insert(struct map *map, uint64_t ino, const struct map_extent *extents, size_t n)
{
	struct map_file *f;
	size_t at;
	int r;

	if (!n)
		return 0;
	if (!in_order(extents, n)) {
		map_drop(map, ino);
		return -EINVAL;
	}
	f = find_or_make(map, ino);
	if (!f)
		return -ENOMEM;
	take_out(map, f, extents[0].start, extents[n - 1].end);
	at = first_after(f, extents[0].start);
	r = replace(map, f, at, 0, extents, n);
	if (r < 0)
		return r;
	join(map, f, at, n);
	evict(map, f);
	return 0;
}

static void take_write(struct map_file *f, uint64_t start, uint64_t end)
{
	for (size_t i = first_after(f, start); i < f->extents.n && f->extents.v[i].start < end; i++)
		f->extents.v[i].write = false; /* of the whole extent: less is held, no harm */
}

void map_take(struct map *map, uint64_t ino, uint64_t start, uint64_t end, bool keep_read)
{
	struct map_file *f = find(map, ino);

	if (f && keep_read)
		take_write(f, start, end);
	else if (f)
		take_out(map, f, start, end);
}

void map_drop(struct map *map, uint64_t ino)
{
	struct map_file *f = find(map, ino);

	if (f)
		forget(map, f);
}

void map_clear(struct map *map)
{
	while (map->oldest)
		forget(map, map->oldest);
}

void map_fini(struct map *map)
{
	map_clear(map);
}

enum need { NEED_READ, NEED_WRITE, NEED_GROWTH };

static bool serves(const struct map_extent *e, enum need need)
{
	if (need == NEED_GROWTH || e->grow)
		return need == NEED_GROWTH && e->grow && e->write;
	return need == NEED_READ || (e->write && e->address);
}

static int lookup(struct map *map, uint64_t ino, uint64_t start, uint64_t end, enum need need,
		  struct map_extent *pieces, size_t max)
{
	struct map_file *f = find(map, ino);
	size_t n = 0;

	if (!f || start >= end)
		return 0;
	for (size_t i = first_after(f, start); start < end; i++) {
		const struct map_extent *e = &f->extents.v[i];

		if (i == f->extents.n || e->start > start || !serves(e, need))
			return 0;
		if (n == max)
			return -E2BIG;
		pieces[n] = cut(e, start, end);
		start = pieces[n++].end;
	}
	return (int)n;
}

int map_lookup(struct map *map, uint64_t ino, uint64_t start, uint64_t end, bool write,
	       struct map_extent *pieces, size_t max)
{
	return lookup(map, ino, start, end, write ? NEED_WRITE : NEED_READ, pieces, max);
}

int map_lookup_growth(struct map *map, uint64_t ino, uint64_t start, uint64_t end,
		      struct map_extent *pieces, size_t max)
{
	return lookup(map, ino, start, end, NEED_GROWTH, pieces, max);
}

void map_grown(struct map *map, uint64_t ino, uint64_t start, uint64_t end)
{
	struct map_file *f = find(map, ino);
	struct map_extent e;

	if (f)
		f->grown_to = end;
	for (; start < end && map_lookup_growth(map, ino, start, start + 1, &e, 1) == 1;
	     start = e.end) {
		f = find(map, ino);
		e = cut(&f->extents.v[first_after(f, start)], start, end);
		e.grow = false;
		if (map_insert(map, ino, &e, 1) < 0)
			return; /* less is known, no harm */
	}
}

bool map_goes_on(struct map *map, uint64_t ino, uint64_t off)
{
	struct map_file *f = find(map, ino);

	return f && f->grown_to == off && off;
}

static bool is_data(const struct map_extent *e)
{
	return e->address && !e->grow;
}

void map_widen(struct map *map, uint64_t ino, uint64_t *start, uint64_t *end, uint64_t min,
	       uint64_t max)
{
	struct map_file *f = find(map, ino);
	size_t first, last;

	if (!f)
		return;
	first = last = first_after(f, *start);
	while (first > 0 && is_data(&f->extents.v[first - 1]) &&
	       f->extents.v[first - 1].end == f->extents.v[first].start)
		first--;
	while (last + 1 < f->extents.n && is_data(&f->extents.v[last + 1]) &&
	       f->extents.v[last].end == f->extents.v[last + 1].start)
		last++;
	if (last >= f->extents.n)
		return;
	min = f->extents.v[first].start > min ? f->extents.v[first].start : min;
	max = f->extents.v[last].end < max ? f->extents.v[last].end : max;
	*start = *start < min ? *start : min;
	*end = *end > max ? *end : max;
}

int map_refuse(struct map *map, uint64_t ino, uint64_t from, int64_t until_ms)
{
	struct map_file *f = find_or_make(map, ino);

	if (!f)
		return -ENOMEM;
	f->refused_from = from;
	f->refused_until_ms = until_ms;
	return 0;
}

bool map_refused(struct map *map, uint64_t ino, uint64_t end, int64_t now_ms)
{
	struct map_file *f = find(map, ino);

	return f && end > f->refused_from && now_ms < f->refused_until_ms;
}

int map_refuse_growth(struct map *map, uint64_t ino, int64_t until_ms)
{
	struct map_file *f = find_or_make(map, ino);

	if (!f)
		return -ENOMEM;
	f->growth_refused_until_ms = until_ms;
	return 0;
}

bool map_growth_refused(struct map *map, uint64_t ino, int64_t now_ms)
{
	struct map_file *f = find(map, ino);

	return f && now_ms < f->growth_refused_until_ms;
}
