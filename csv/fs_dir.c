/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directory blocks (a cookie is the byte offset of an entry, which never moves while it lives). The name
 * cache knows in which block a name is, and which block has room. Directories with an index, which only
 * a kernel makes, are changed by libext2fs, which keeps the index.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

static int dir_block(struct fs *fs, struct fs_inode *dir, uint64_t lblk, uint64_t *ret_pblk)
{
	struct fs_piece p;
	fs_tree t;
	int r = fs_inode_has_extents(dir) ? fs_tree_open(fs, dir, &t) : -EUCLEAN;

	if (r < 0)
		return r;
	r = fs_tree_next(t, lblk, &p);
	fs_tree_close(&t);
	if (r < 0)
		return r;
	if (!p.len || p.lblk > lblk)
		return -EUCLEAN; /* a hole in a directory */
	*ret_pblk = p.pblk + lblk - p.lblk;
	return 0;
}

static int read_block(struct fs *fs, struct fs_inode *dir, uint64_t lblk, uint8_t *buf,
		      uint64_t *ret_pblk)
{
	int r = dir_block(fs, dir, lblk, ret_pblk);

	if (r < 0)
		return r;
	/* Verifies checksum and the entries' lengths. */
	return fs_errno(ext2fs_read_dir_block4(fs->e2, *ret_pblk, buf, 0, dir->ino));
}

/* Entries of one block from byte `from` of the directory on. */
static int block_foreach(struct fs *fs, const uint8_t *buf, uint64_t base, uint64_t from,
			 fs_dirent_fn fn, void *user)
{
	unsigned off = 0;

	while (off + 8 <= FS_BLOCK_SIZE) {
		const struct ext2_dir_entry *e = (const struct ext2_dir_entry *)(buf + off);
		char name[EXT2_NAME_LEN + 1];
		struct fs_dirent d = { .name = name, .ino = e->inode };
		unsigned len, n = (unsigned)ext2fs_dirent_name_len(e);
		int r;

		if (ext2fs_get_rec_len(fs->e2, (struct ext2_dir_entry *)(buf + off), &len) ||
		    len < 8 || off + len > FS_BLOCK_SIZE || n + 8 > len)
			return -EUCLEAN;
		d.off = base + off;
		d.next = base + off + len;
		d.type = (unsigned)ext2fs_dirent_file_type(e);
		memcpy(name, e->name, n);
		name[n] = 0;
		off += len;
		if (!d.ino || d.off < from)
			continue;
		r = fn(user, &d);
		if (r)
			return r;
	}
	return 0;
}

int fs_dir_foreach(struct fs *fs, struct fs_inode *dir, uint64_t from, fs_dirent_fn fn, void *user)
{
	_cleanup_free_ uint8_t *buf = malloc(FS_BLOCK_SIZE);
	uint64_t n = EXT2_I_SIZE(fs_raw(dir)) / FS_BLOCK_SIZE, pblk;

	if (!buf)
		return -ENOMEM;
	for (uint64_t lblk = from / FS_BLOCK_SIZE; lblk < n; lblk++) {
		int r = read_block(fs, dir, lblk, buf, &pblk);

		if (r == 0)
			r = block_foreach(fs, buf, lblk * FS_BLOCK_SIZE, from, fn, user);
		if (r)
			return r;
	}
	return 0;
}

int fs_dir_rooms(struct fs *fs, struct fs_inode *dir, uint16_t **ret, uint32_t *ret_n)
{
	uint64_t n = EXT2_I_SIZE(fs_raw(dir)) / FS_BLOCK_SIZE, pblk;
	_cleanup_free_ uint16_t *rooms = calloc(n ? n : 1, sizeof(*rooms));
	uint8_t buf[FS_BLOCK_SIZE];

	if (!rooms)
		return -ENOMEM;
	for (uint64_t i = 0; i < n && !(dir->raw.i_flags & EXT2_INDEX_FL); i++) {
		int r = read_block(fs, dir, i, buf, &pblk);

		if (r == 0)
			r = fs_dirent_room(buf);
		if (r < 0)
			return r;
		rooms[i] = (uint16_t)r;
	}
	*ret = cl_steal(rooms);
	*ret_n = (uint32_t)n;
	return 0;
}

/* ---- changing --------------------------------------------------------------------------- */

static int note_dir(struct fs *fs, uint32_t dir)
{
	return fs_u32_vec_push(&fs->op.dirs, dir);
}

/* An empty block: one unused entry, and the checksum's tail. */
static void empty_block(struct fs *fs, uint8_t *buf)
{
	struct ext2_dir_entry *e = (struct ext2_dir_entry *)buf;
	unsigned usable = FS_BLOCK_SIZE - sizeof(struct ext2_dir_entry_tail);

	memset(buf, 0, FS_BLOCK_SIZE);
	(void)ext2fs_set_rec_len(fs->e2, usable, e);
	ext2fs_initialize_dirent_tail(fs->e2, (struct ext2_dir_entry_tail *)(buf + usable));
}

/* One more block; it is empty. */
static int grow(struct fs *fs, struct fs_inode *dir, uint32_t *ret_lblk)
{
	uint64_t size = EXT2_I_SIZE(fs_raw(dir)), pblk;
	uint8_t buf[FS_BLOCK_SIZE];
	int r;

	if (size + FS_BLOCK_SIZE > UINT32_MAX)
		return -ENOSPC;
	r = fs_map_one(fs, dir, size / FS_BLOCK_SIZE, &pblk);
	if (r < 0)
		return r;
	fs_inode_set_size(dir, size + FS_BLOCK_SIZE);
	r = fs_inode_store(fs, dir);
	if (r < 0)
		return r;
	*ret_lblk = (uint32_t)(size / FS_BLOCK_SIZE);
	empty_block(fs, buf);
	return fs_errno(ext2fs_write_dir_block4(fs->e2, pblk, buf, 0, dir->ino));
}

static int type_of(uint32_t mode)
{
	switch (mode & LINUX_S_IFMT) {
	case LINUX_S_IFREG:
		return EXT2_FT_REG_FILE;
	case LINUX_S_IFDIR:
		return EXT2_FT_DIR;
	case LINUX_S_IFLNK:
		return EXT2_FT_SYMLINK;
	case LINUX_S_IFCHR:
		return EXT2_FT_CHRDEV;
	case LINUX_S_IFBLK:
		return EXT2_FT_BLKDEV;
	case LINUX_S_IFIFO:
		return EXT2_FT_FIFO;
	case LINUX_S_IFSOCK:
		return EXT2_FT_SOCK;
	}
	return EXT2_FT_UNKNOWN;
}

/* A change of one block: the entry's name, what it is to stand for. */
struct change {
	int (*edit)(uint8_t *block, const struct change *c);
	const char *name;
	uint32_t ino;
	int type;
};

static int edit_add(uint8_t *block, const struct change *c)
{
	return fs_dirent_add(block, c->name, c->ino, c->type);
}

static int edit_remove(uint8_t *block, const struct change *c)
{
	return fs_dirent_remove(block, c->name);
}

static int edit_replace(uint8_t *block, const struct change *c)
{
	return fs_dirent_replace(block, c->name, c->ino, c->type);
}

/* What the cache says and the block does not is damage: of the disk, or in memory. */
static int change_block(struct fs *fs, struct fs_inode *dir, uint32_t lblk, const struct change *c)
{
	uint8_t buf[FS_BLOCK_SIZE];
	uint64_t pblk;
	int r = read_block(fs, dir, lblk, buf, &pblk), room;

	if (r == 0)
		r = c->edit(buf, c);
	if (r < 0)
		return r == -ENOENT || r == -ENOSPC ? -EUCLEAN : r;
	room = fs_dirent_room(buf);
	r = fs_errno(ext2fs_write_dir_block4(fs->e2, pblk, buf, 0, dir->ino));
	return r < 0 ? r : room < 0 ? room : fs_names_set_room(fs, dir->ino, lblk, (unsigned)room);
}

static int changed(struct fs *fs, struct fs_inode *dir)
{
	fs_inode_touch(fs, dir, FS_T_MTIME | FS_T_CTIME);
	return fs_inode_store(fs, dir);
}

/* By libext2fs, which reads and writes the inode itself. */
static int add_indexed(struct fs *fs, struct fs_inode *dir, const struct change *c)
{
	int r = fs_inode_store(fs, dir);

	if (r == 0)
		r = fs_errno(ext2fs_link(fs->e2, dir->ino, c->name, c->ino, c->type));
	if (r == 0)
		r = fs_inode_load(fs, dir->ino, dir); /* the index may have grown it */
	fs_names_forget(fs, dir->ino);
	return r < 0 ? r : changed(fs, dir);
}

int fs_dir_add(struct fs *fs, struct fs_inode *dir, const char *name, uint32_t ino, uint32_t mode)
{
	struct change c = { edit_add, name, ino, type_of(mode) };
	uint32_t lblk;
	int r = note_dir(fs, dir->ino);

	if (r < 0)
		return r;
	if (dir->raw.i_flags & EXT2_INDEX_FL)
		return add_indexed(fs, dir, &c);
	r = fs_names_room(fs, dir, (unsigned)(8 + strlen(name) + 3) & ~3u, &lblk);
	if (r == -ENOENT)
		r = grow(fs, dir, &lblk);
	if (r == 0)
		r = change_block(fs, dir, lblk, &c);
	if (r == 0)
		r = fs_names_add(fs, dir->ino, name, ino, lblk);
	return r < 0 ? r : changed(fs, dir);
}

static int change_name(struct fs *fs, struct fs_inode *dir, const struct change *c)
{
	uint32_t lblk, ino;
	int r = note_dir(fs, dir->ino);

	if (r == 0)
		r = fs_names_lookup(fs, dir, c->name, &ino, &lblk);
	return r < 0 ? r : change_block(fs, dir, lblk, c);
}

int fs_dir_remove(struct fs *fs, struct fs_inode *dir, const char *name)
{
	struct change c = { edit_remove, name, 0, 0 };
	int r = change_name(fs, dir, &c);

	if (r < 0)
		return r;
	fs_names_remove(fs, dir->ino, name);
	return changed(fs, dir);
}

int fs_dir_replace(struct fs *fs, struct fs_inode *dir, const char *name, uint32_t ino,
		   uint32_t mode)
{
	struct change c = { edit_replace, name, ino, type_of(mode) };
	int r = change_name(fs, dir, &c);

	if (r < 0)
		return r;
	fs_names_replace(fs, dir->ino, name, ino);
	return changed(fs, dir);
}

int fs_dir_init(struct fs *fs, struct fs_inode *dir, uint32_t parent)
{
	uint8_t buf[FS_BLOCK_SIZE];
	struct ext2_dir_entry *dot = (struct ext2_dir_entry *)buf;
	struct ext2_dir_entry *dotdot = (struct ext2_dir_entry *)(buf + 12);
	unsigned usable = FS_BLOCK_SIZE - sizeof(struct ext2_dir_entry_tail);
	uint64_t pblk;
	int r = fs_map_one(fs, dir, 0, &pblk);

	if (r < 0)
		return r;
	fs_inode_set_size(dir, FS_BLOCK_SIZE);
	r = fs_inode_store(fs, dir);
	if (r < 0)
		return r;
	empty_block(fs, buf);
	dot->inode = dir->ino;
	(void)ext2fs_set_rec_len(fs->e2, 12, dot);
	ext2fs_dirent_set_name_len(dot, 1);
	ext2fs_dirent_set_file_type(dot, EXT2_FT_DIR);
	dot->name[0] = '.';
	dotdot->inode = parent;
	(void)ext2fs_set_rec_len(fs->e2, usable - 12, dotdot);
	ext2fs_dirent_set_name_len(dotdot, 2);
	ext2fs_dirent_set_file_type(dotdot, EXT2_FT_DIR);
	memcpy(dotdot->name, "..", 2);
	return fs_errno(ext2fs_write_dir_block4(fs->e2, pblk, buf, 0, dir->ino));
}

/* The second entry of the first block. */
static int dotdot_entry(struct fs *fs, struct fs_inode *dir, uint8_t *buf, uint64_t *ret_pblk,
			struct ext2_dir_entry **ret)
{
	struct ext2_dir_entry *e = (struct ext2_dir_entry *)(buf + 12);
	int r = read_block(fs, dir, 0, buf, ret_pblk);

	if (r < 0)
		return r;
	if (ext2fs_dirent_name_len(e) != 2 || memcmp(e->name, "..", 2) != 0)
		return -EUCLEAN;
	*ret = e;
	return 0;
}

int fs_dir_set_parent(struct fs *fs, struct fs_inode *dir, uint32_t parent)
{
	uint8_t buf[FS_BLOCK_SIZE];
	struct ext2_dir_entry *e;
	uint64_t pblk;
	int r = dotdot_entry(fs, dir, buf, &pblk, &e);

	if (r == 0)
		r = note_dir(fs, dir->ino);
	if (r < 0)
		return r;
	e->inode = parent;
	fs_names_forget(fs, dir->ino);
	return fs_errno(ext2fs_write_dir_block4(fs->e2, pblk, buf, 0, dir->ino));
}

int fs_dir_parent(struct fs *fs, struct fs_inode *dir, uint32_t *ret)
{
	uint8_t buf[FS_BLOCK_SIZE];
	struct ext2_dir_entry *e;
	uint64_t pblk;
	int r = dotdot_entry(fs, dir, buf, &pblk, &e);

	if (r == 0)
		*ret = e->inode;
	return r;
}

static int is_real_name(void *user, const struct fs_dirent *d)
{
	(void)user;
	return strcmp(d->name, ".") != 0 && strcmp(d->name, "..") != 0;
}

int fs_dir_is_empty(struct fs *fs, struct fs_inode *dir)
{
	int r = fs_dir_foreach(fs, dir, 0, is_real_name, NULL);

	return r < 0 ? r : r ? -ENOTEMPTY : 0;
}

/* ---- for clients ------------------------------------------------------------------------ */

static unsigned dt_of(unsigned ft)
{
	static const unsigned char dt[] = { 0, 8, 4, 2, 6, 1, 12, 10 };

	return ft < sizeof(dt) ? dt[ft] : 0;
}

struct emit {
	struct fs *fs;
	uint32_t dir;
	fs_emit_fn fn;
	void *user;
};

static int emit_one(void *user, const struct fs_dirent *d)
{
	struct emit *e = user;

	if (e->dir == FS_ROOT_INO && d->ino == e->fs->hidden_ino)
		return 0;
	return e->fn(e->user, d->name, d->ino, dt_of(d->type), d->next) ? 0 : 1;
}

int fs_readdir(struct fs *fs, uint32_t dir, uint64_t cookie, fs_emit_fn emit, void *user)
{
	struct emit e = { .fs = fs, .dir = dir, .fn = emit, .user = user };
	struct fs_inode i;
	int r = fs_inode_load_dir(fs, dir, &i);

	/* A cookie is the end of the entry before it. */
	if (r == 0)
		r = fs_dir_foreach(fs, &i, cookie, emit_one, &e);
	return r < 0 ? r : 0;
}
