/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entries inside one directory block, in memory. An entry keeps its place as long as it lives: removing
 * gives its room to the one before it, adding takes room behind one. So a cookie (the place of an entry)
 * stays good while names come and go.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

#define USABLE (FS_BLOCK_SIZE - (unsigned)sizeof(struct ext2_dir_entry_tail))

static struct ext2_dir_entry *at(uint8_t *block, unsigned off)
{
	return (struct ext2_dir_entry *)(void *)(block + off);
}

static unsigned name_len(struct ext2_dir_entry *e)
{
	return (unsigned)ext2fs_dirent_name_len(e);
}

/* The entry's length, or -EUCLEAN. */
static int length(uint8_t *block, unsigned off)
{
	struct ext2_dir_entry *e = at(block, off);

	if (off + 8 > FS_BLOCK_SIZE || e->rec_len < 8 || e->rec_len % 4 ||
	    off + e->rec_len > FS_BLOCK_SIZE || name_len(e) + 8 > e->rec_len)
		return -EUCLEAN;
	return e->rec_len;
}

static unsigned needed(unsigned len)
{
	return (8 + len + 3) & ~3u;
}

/* What a new entry could take of this one. */
static unsigned spare(struct ext2_dir_entry *e)
{
	return e->inode ? e->rec_len - needed(name_len(e)) : e->rec_len;
}

int fs_dirent_room(uint8_t *block)
{
	unsigned off = 0, most = 0;

	while (off < USABLE) {
		int len = length(block, off);

		if (len < 0)
			return len;
		if (spare(at(block, off)) > most)
			most = spare(at(block, off));
		off += (unsigned)len;
	}
	return (int)most;
}

static int find(uint8_t *block, const char *name, unsigned *ret_prev)
{
	unsigned off = 0, prev = 0, len = (unsigned)strlen(name);

	while (off < USABLE) {
		struct ext2_dir_entry *e = at(block, off);
		int r = length(block, off);

		if (r < 0)
			return r;
		if (e->inode && name_len(e) == len && memcmp(e->name, name, len) == 0) {
			*ret_prev = prev;
			return (int)off;
		}
		prev = off;
		off += (unsigned)r;
	}
	return -ENOENT;
}

static void fill(struct ext2_dir_entry *e, const char *name, uint32_t ino, int type)
{
	unsigned len = (unsigned)strlen(name);

	e->inode = ino;
	ext2fs_dirent_set_name_len(e, (int)len);
	ext2fs_dirent_set_file_type(e, type);
	memcpy(e->name, name, len);
}

int fs_dirent_add(uint8_t *block, const char *name, uint32_t ino, int type)
{
	unsigned off = 0, need = needed((unsigned)strlen(name));

	while (off < USABLE) {
		struct ext2_dir_entry *e = at(block, off);
		int len = length(block, off);
		unsigned own;

		if (len < 0)
			return len;
		if (spare(e) < need) {
			off += (unsigned)len;
			continue;
		}
		own = e->inode ? needed(name_len(e)) : 0;
		if (own) {
			e->rec_len = (uint16_t)own;
			e = at(block, off + own);
			e->rec_len = (uint16_t)((unsigned)len - own);
		}
		fill(e, name, ino, type);
		return 0;
	}
	return -ENOSPC;
}

int fs_dirent_remove(uint8_t *block, const char *name)
{
	unsigned prev;
	int off = find(block, name, &prev);

	if (off < 0)
		return off;
	if (off == 0)
		at(block, 0)->inode = 0;
	else
		at(block, prev)->rec_len =
			(uint16_t)(at(block, prev)->rec_len + at(block, (unsigned)off)->rec_len);
	return 0;
}

int fs_dirent_replace(uint8_t *block, const char *name, uint32_t ino, int type)
{
	unsigned prev;
	int off = find(block, name, &prev);

	if (off >= 0)
		fill(at(block, (unsigned)off), name, ino, type);
	return off < 0 ? off : 0;
}
