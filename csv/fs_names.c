/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The name cache: a directory without an index would be searched from the front, so each one that is
 * looked into is read once and kept as a hash of its names, with the block that each is in and the room
 * that each block has. So an operation costs the same in a large directory. A cache only: an abort
 * forgets the directories it touched, and it is thrown away whole when it grows too big.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"
#include "lib/fnv.h"

#define DIR_BUCKETS 4096u
#define NAMES_MAX (1u << 20)

struct name {
	struct name *next;
	uint32_t hash, ino, lblk;
	char name[];
};

struct dir {
	struct dir *next;
	uint32_t ino, n, n_buckets;
	struct name **buckets;
	uint16_t *rooms; /* of each block: the largest entry that it could take */
	uint32_t n_blocks, cap_blocks;
};

struct fs_names {
	struct dir *dirs[DIR_BUCKETS];
	size_t n_names;
};

int fs_names_new(struct fs_names **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static uint32_t hash_of(const char *s)
{
	return cl_fnv32(CL_FNV32_START, s, strlen(s));
}

static struct dir **dir_slot(struct fs_names *n, uint32_t ino)
{
	struct dir **p = &n->dirs[ino * 2654435761u >> 20 & (DIR_BUCKETS - 1)];

	while (*p && (*p)->ino != ino)
		p = &(*p)->next;
	return p;
}

static void dir_free(struct fs_names *n, struct dir *d)
{
	for (uint32_t i = 0; i < d->n_buckets; i++) {
		while (d->buckets[i]) {
			struct name *e = d->buckets[i];

			d->buckets[i] = e->next;
			free(e);
		}
	}
	n->n_names -= d->n;
	free(d->buckets);
	free(d->rooms);
	free(d);
}

void fs_names_forget(struct fs *fs, uint32_t ino)
{
	struct dir **p = dir_slot(fs->names, ino), *d = *p;

	if (!d)
		return;
	*p = d->next;
	dir_free(fs->names, d);
}

static void forget_all(struct fs_names *n)
{
	for (unsigned i = 0; i < DIR_BUCKETS; i++) {
		while (n->dirs[i]) {
			struct dir *d = n->dirs[i];

			n->dirs[i] = d->next;
			dir_free(n, d);
		}
	}
}

void fs_names_free(struct fs_names *n)
{
	if (n)
		forget_all(n);
	free(n);
}

void fs_names_shrink(struct fs *fs)
{
	if (fs->names->n_names > NAMES_MAX)
		forget_all(fs->names);
}

static struct name **name_slot(struct dir *d, const char *name, uint32_t hash)
{
	struct name **p = &d->buckets[hash % d->n_buckets];

	while (*p && ((*p)->hash != hash || strcmp((*p)->name, name) != 0))
		p = &(*p)->next;
	return p;
}

static int rehash(struct dir *d)
{
	uint32_t n = d->n_buckets ? d->n_buckets * 4 : 16;
	struct name **b = calloc(n, sizeof(*b));

	if (!b)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->n_buckets; i++) {
		while (d->buckets[i]) {
			struct name *e = d->buckets[i];

			d->buckets[i] = e->next;
			e->next = b[e->hash % n];
			b[e->hash % n] = e;
		}
	}
	free(d->buckets);
	d->buckets = b;
	d->n_buckets = n;
	return 0;
}

static int dir_add(struct fs_names *n, struct dir *d, const char *name, uint32_t ino, uint32_t lblk)
{
	size_t len = strlen(name) + 1;
	struct name *e, **p;

	if (d->n >= d->n_buckets && rehash(d) < 0)
		return -ENOMEM;
	e = malloc(sizeof(*e) + len);
	if (!e)
		return -ENOMEM;
	e->hash = hash_of(name);
	e->ino = ino;
	e->lblk = lblk;
	memcpy(e->name, name, len);
	p = &d->buckets[e->hash % d->n_buckets];
	e->next = *p;
	*p = e;
	d->n++;
	n->n_names++;
	return 0;
}

struct loading {
	struct fs_names *names;
	struct dir *dir;
};

static int load_one(void *user, const struct fs_dirent *d)
{
	struct loading *l = user;

	return dir_add(l->names, l->dir, d->name, d->ino, (uint32_t)(d->off / FS_BLOCK_SIZE));
}

static int dir_load(struct fs *fs, struct fs_inode *dir, struct dir **ret)
{
	struct dir **p = dir_slot(fs->names, dir->ino);
	struct loading l = { .names = fs->names };
	int r;

	if (*p) {
		*ret = *p;
		return 0;
	}
	l.dir = calloc(1, sizeof(*l.dir));
	if (!l.dir)
		return -ENOMEM;
	l.dir->ino = dir->ino;
	r = rehash(l.dir);
	if (r == 0)
		r = fs_dir_foreach(fs, dir, 0, load_one, &l);
	if (r == 0)
		r = fs_dir_rooms(fs, dir, &l.dir->rooms, &l.dir->n_blocks);
	l.dir->cap_blocks = l.dir->n_blocks;
	if (r < 0) {
		dir_free(fs->names, l.dir);
		return r;
	}
	*p = *ret = l.dir;
	return 0;
}

int fs_names_lookup(struct fs *fs, struct fs_inode *dir, const char *name, uint32_t *ret_ino,
		    uint32_t *ret_lblk)
{
	struct name *e;
	struct dir *d;
	int r = dir_load(fs, dir, &d);

	if (r < 0)
		return r;
	e = *name_slot(d, name, hash_of(name));
	if (!e)
		return -ENOENT;
	*ret_ino = e->ino;
	if (ret_lblk)
		*ret_lblk = e->lblk;
	return 0;
}

int fs_names_room(struct fs *fs, struct fs_inode *dir, unsigned size, uint32_t *ret_lblk)
{
	struct dir *d;
	int r = dir_load(fs, dir, &d);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < d->n_blocks; i++) {
		if (d->rooms[i] >= size) {
			*ret_lblk = i;
			return 0;
		}
	}
	return -ENOENT;
}

int fs_names_set_room(struct fs *fs, uint32_t dir, uint32_t lblk, unsigned room)
{
	struct dir *d = *dir_slot(fs->names, dir);

	if (!d)
		return 0;
	if (lblk >= d->cap_blocks) {
		uint32_t cap = lblk + 16;
		uint16_t *rooms = reallocarray(d->rooms, cap, sizeof(*rooms));

		if (!rooms)
			return -ENOMEM;
		memset(rooms + d->cap_blocks, 0, (cap - d->cap_blocks) * sizeof(*rooms));
		d->rooms = rooms;
		d->cap_blocks = cap;
	}
	if (lblk >= d->n_blocks)
		d->n_blocks = lblk + 1;
	d->rooms[lblk] = (uint16_t)room;
	return 0;
}

int fs_names_add(struct fs *fs, uint32_t dir, const char *name, uint32_t ino, uint32_t lblk)
{
	struct dir *d = *dir_slot(fs->names, dir);

	return d ? dir_add(fs->names, d, name, ino, lblk) : 0;
}

void fs_names_replace(struct fs *fs, uint32_t dir, const char *name, uint32_t ino)
{
	struct dir *d = *dir_slot(fs->names, dir);
	struct name *e = d ? *name_slot(d, name, hash_of(name)) : NULL;

	if (e)
		e->ino = ino;
}

void fs_names_remove(struct fs *fs, uint32_t dir, const char *name)
{
	struct dir *d = *dir_slot(fs->names, dir);
	struct name **p, *e;

	if (!d)
		return;
	p = name_slot(d, name, hash_of(name));
	e = *p;
	if (!e)
		return;
	*p = e->next;
	free(e);
	d->n--;
	fs->names->n_names--;
}
