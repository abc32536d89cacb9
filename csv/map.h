/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where files lie on the LUN, as far as this mount was told: its layouts. Pure.
 *
 * Per file a sorted list of byte ranges without overlap: DATA at an address, or a hole. What is in
 * the map is granted: the coordinator changes nothing about it before it has called it back. What is
 * not in the map is not known, which is no statement about the file.
 *
 * Memory is bounded: the files that were used longest ago are forgotten, and nobody is told. The
 * coordinator then believes that more is held here than is; its recall is answered all the same.
 */
#ifndef CL_CSV_MAP_H
#define CL_CSV_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/vec.h"

struct map_extent {
	uint64_t start, end; /* bytes of the file, end exclusive */
	uint64_t address;    /* of start, on the LUN; 0 = a hole */
	bool write;	     /* DATA may be written, too */
	bool grow;	     /* behind the end of file: only to be written, before a GROW */
};
CL_DEFINE_VEC(map_extent_vec, struct map_extent);

#define MAP_EXTENTS_MAX (256u * 1024) /* of all files of a mount */
#define MAP_BUCKETS 256

struct map_file {
	uint64_t ino;
	struct map_extent_vec extents;
	struct map_file *chain;		/* same bucket */
	struct map_file *newer, *older; /* by use */
	/* What the coordinator does not give: not asked for again before that time. */
	uint64_t refused_from;
	int64_t refused_until_ms, growth_refused_until_ms;
	uint64_t grown_to; /* where the last growth from here ended; 0 = none */
};

struct map {
	struct map_file *buckets[MAP_BUCKETS];
	struct map_file *newest, *oldest;
	size_t n_extents, max_extents; /* 0 = MAP_EXTENTS_MAX */
};

void map_fini(struct map *map);

/*
 * A grant: extents in order, without gaps; replaces what the map had in their range. -EINVAL: they
 * are not in order or wrap; -ENOMEM. The map has nothing of the range then.
 */
int map_insert(struct map *map, uint64_t ino, const struct map_extent *extents, size_t n);

/* [start, end) is not granted any more; keep_read: may not be written any more. */
void map_take(struct map *map, uint64_t ino, uint64_t start, uint64_t end, bool keep_read);

void map_drop(struct map *map, uint64_t ino);
void map_clear(struct map *map);

/*
 * The pieces of [start, end), cut to it. Their number; 0 = not wholly known; -E2BIG = more than max.
 * write: only where all of it is DATA that may be written.
 */
int map_lookup(struct map *map, uint64_t ino, uint64_t start, uint64_t end, bool write,
	       struct map_extent *pieces, size_t max);

/* Likewise, where all of it is granted for growth. */
int map_lookup_growth(struct map *map, uint64_t ino, uint64_t start, uint64_t end,
		      struct map_extent *pieces, size_t max);

/* Grown: what of [start, end) is granted for growth is DATA from here on. */
void map_grown(struct map *map, uint64_t ino, uint64_t start, uint64_t end);
/* A write at off goes on where the last growth ended: it is growth again. A hint. */
bool map_goes_on(struct map *map, uint64_t ino, uint64_t off);

/* Widens [*start, *end), which is known DATA, to all known DATA around it, within [min, max). */
void map_widen(struct map *map, uint64_t ino, uint64_t *start, uint64_t *end, uint64_t min,
	       uint64_t max);

/* The coordinator gave nothing from `from` on. -ENOMEM is harmless: it is asked again. */
int map_refuse(struct map *map, uint64_t ino, uint64_t from, int64_t until_ms);
bool map_refused(struct map *map, uint64_t ino, uint64_t end, int64_t now_ms);
/* The same for growth, of the whole file. */
int map_refuse_growth(struct map *map, uint64_t ino, int64_t until_ms);
bool map_growth_refused(struct map *map, uint64_t ino, int64_t now_ms);

#endif
