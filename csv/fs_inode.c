/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inodes: attributes, times, making and freeing. */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"

#define EXTRA_ISIZE 32 /* what follows the classic 128 bytes and is ours: up to i_projid */

/* ---- load and store --------------------------------------------------------------------- */

int fs_inode_load(struct fs *fs, uint32_t ino, struct fs_inode *ret)
{
	errcode_t e;

	if (ino == 0 || ino > fs->e2->super->s_inodes_count)
		return -ENOENT;
	ret->ino = ino;
	memset(&ret->raw, 0, sizeof(ret->raw));
	e = ext2fs_read_inode_full(fs->e2, ino, fs_raw(ret), sizeof(ret->raw));
	return fs_errno(e);
}

int fs_inode_load_dir(struct fs *fs, uint32_t ino, struct fs_inode *ret)
{
	int r = fs_inode_load(fs, ino, ret);

	if (r < 0)
		return r;
	if (!LINUX_S_ISDIR(ret->raw.i_mode))
		return -ENOTDIR;
	return ret->raw.i_links_count ? 0 : -ENOENT;
}

int fs_inode_store(struct fs *fs, struct fs_inode *i)
{
	return fs_errno(ext2fs_write_inode_full(fs->e2, i->ino, fs_raw(i), sizeof(i->raw)));
}

bool fs_inode_has_extents(const struct fs_inode *i)
{
	return i->raw.i_flags & EXT4_EXTENTS_FL;
}

void fs_inode_set_size(struct fs_inode *i, uint64_t size)
{
	i->raw.i_size = (uint32_t)size;
	i->raw.i_size_high = (uint32_t)(size >> 32);
}

/* ---- times: seconds in 34 bits, nanoseconds in 30 ------------------------------------------- */

static uint32_t time_extra(struct timespec t)
{
	return (uint32_t)((((uint64_t)t.tv_sec - (uint64_t)(int32_t)t.tv_sec) >> 32) & 3) |
	       (uint32_t)t.tv_nsec << 2;
}

static struct timespec time_get(uint32_t sec, uint32_t extra)
{
	struct timespec t;

	t.tv_sec = (time_t)(int32_t)sec + ((time_t)(extra & 3) << 32);
	t.tv_nsec = (long)(extra >> 2);
	return t;
}

/* The first and the last second stand for all before and after, as in the kernel. */
static struct timespec time_clamp(struct timespec t)
{
	if (t.tv_sec <= FS_TIME_MIN)
		return (struct timespec){ .tv_sec = FS_TIME_MIN };
	if (t.tv_sec >= FS_TIME_MAX)
		return (struct timespec){ .tv_sec = FS_TIME_MAX };
	return t;
}

static void time_set(struct fs_inode *i, unsigned which, struct timespec want)
{
	struct timespec t = time_clamp(want);
	uint32_t sec = (uint32_t)t.tv_sec, extra = time_extra(t);

	if (which & FS_T_ATIME) {
		i->raw.i_atime = sec;
		i->raw.i_atime_extra = extra;
	}
	if (which & FS_T_MTIME) {
		i->raw.i_mtime = sec;
		i->raw.i_mtime_extra = extra;
	}
	if (which & FS_T_CTIME) {
		i->raw.i_ctime = sec;
		i->raw.i_ctime_extra = extra;
	}
	if (which & FS_T_CRTIME) {
		i->raw.i_crtime = sec;
		i->raw.i_crtime_extra = extra;
	}
}

void fs_inode_touch(struct fs *fs, struct fs_inode *i, unsigned which)
{
	time_set(i, which, fs->op.now);
}

/* ---- attributes ------------------------------------------------------------------------- */

static uint32_t rdev_get(const struct fs_inode *i)
{
	uint32_t old = i->raw.i_block[0];

	if (!LINUX_S_ISCHR(i->raw.i_mode) && !LINUX_S_ISBLK(i->raw.i_mode))
		return 0;
	/* 8:8 bits in the first word, or the 32-bit form in the second. */
	return old ? (old & 0xff) | (old & 0xff00) : i->raw.i_block[1];
}

static void rdev_set(struct fs_inode *i, uint32_t rdev)
{
	if (rdev < 0x10000)
		i->raw.i_block[0] = rdev;
	else
		i->raw.i_block[1] = rdev;
}

static void owner_set(struct fs_inode *i, uint32_t uid, uint32_t gid)
{
	i->raw.i_uid = (uint16_t)uid;
	i->raw.osd2.linux2.l_i_uid_high = (uint16_t)(uid >> 16);
	i->raw.i_gid = (uint16_t)gid;
	i->raw.osd2.linux2.l_i_gid_high = (uint16_t)(gid >> 16);
}

void fs_inode_attr(const struct fs_inode *i, struct fs_attr *ret)
{
	const struct ext2_inode_large *raw = &i->raw;

	*ret = (struct fs_attr){
		.ino = i->ino,
		.generation = raw->i_generation,
		.mode = raw->i_mode,
		.nlink = raw->i_links_count,
		.uid = raw->i_uid | (uint32_t)raw->osd2.linux2.l_i_uid_high << 16,
		.gid = raw->i_gid | (uint32_t)raw->osd2.linux2.l_i_gid_high << 16,
		.rdev = rdev_get(i),
		.size = raw->i_size | (uint64_t)raw->i_size_high << 32,
		.blocks = raw->i_blocks | (uint64_t)raw->osd2.linux2.l_i_blocks_hi << 32,
		.atime = time_get(raw->i_atime, raw->i_atime_extra),
		.mtime = time_get(raw->i_mtime, raw->i_mtime_extra),
		.ctime = time_get(raw->i_ctime, raw->i_ctime_extra),
		.crtime = time_get(raw->i_crtime, raw->i_crtime_extra),
	};
}

/* In use: the bitmap says so; what is on no directory is on the orphan list. */
static bool inode_in_use(struct fs *fs, uint32_t ino)
{
	return ino && ino <= fs->e2->super->s_inodes_count &&
	       ext2fs_test_inode_bitmap2(fs->e2->inode_map, ino);
}

int fs_getattr(struct fs *fs, uint32_t ino, struct fs_attr *ret)
{
	struct fs_inode i;
	int r = inode_in_use(fs, ino) ? fs_inode_load(fs, ino, &i) : -ENOENT;

	if (r < 0)
		return r;
	fs_inode_attr(&i, ret);
	return 0;
}

static int set_size(struct fs *fs, struct fs_inode *i, uint64_t size)
{
	if (!LINUX_S_ISREG(i->raw.i_mode))
		return LINUX_S_ISDIR(i->raw.i_mode) ? -EISDIR : -EINVAL;
	/* Also to the size that it has: open(O_TRUNC) of an empty file moves its times. */
	fs_inode_touch(fs, i, FS_T_MTIME);
	return size == EXT2_I_SIZE(fs_raw(i)) ? 0 : fs_truncate(fs, i, size);
}

int fs_setattr(struct fs *fs, uint32_t ino, unsigned set, const struct fs_attr *attr,
	       struct fs_attr *ret)
{
	struct fs_inode i;
	struct fs_attr now;
	int r = fs_may_change(fs) ? 0 : -EROFS;

	if (r == 0)
		r = inode_in_use(fs, ino) ? fs_inode_load(fs, ino, &i) : -ENOENT;
	if (r < 0)
		return r;
	fs_inode_attr(&i, &now);
	if (set & FS_SET_MODE)
		i.raw.i_mode = (uint16_t)((now.mode & LINUX_S_IFMT) | (attr->mode & 07777));
	if (set & (FS_SET_UID | FS_SET_GID))
		owner_set(&i, set & FS_SET_UID ? attr->uid : now.uid,
			  set & FS_SET_GID ? attr->gid : now.gid);
	if (set & FS_SET_SIZE)
		r = set_size(fs, &i, attr->size);
	if (r < 0)
		return r;
	fs_inode_touch(fs, &i, FS_T_CTIME);
	if (set & FS_SET_CTIME)
		time_set(&i, FS_T_CTIME, attr->ctime);
	if (set & FS_SET_ATIME)
		time_set(&i, FS_T_ATIME, attr->atime);
	if (set & FS_SET_MTIME)
		time_set(&i, FS_T_MTIME, attr->mtime);
	r = fs_inode_store(fs, &i);
	if (r == 0 && set & FS_SET_MODE && !LINUX_S_ISLNK(i.raw.i_mode))
		r = fs_acl_chmod(fs, ino, i.raw.i_mode);
	if (r == 0 && ret)
		fs_inode_attr(&i, ret);
	return r;
}

/* ---- making and freeing ----------------------------------------------------------------- */

/* Differs from the generation of any earlier inode of this number, so that old handles do not fit.
 */
static uint32_t next_generation(struct fs *fs, uint32_t ino)
{
	struct fs_inode old;

	if (fs_inode_load(fs, ino, &old) == 0 && old.raw.i_generation)
		return old.raw.i_generation + 1;
	return (uint32_t)fs->op.now.tv_sec ^ (ino << 16);
}

/* All of the inode's room on disk is zeroed: attributes of an earlier owner may lie behind what we
 * know. */
static int wipe(struct fs *fs, uint32_t ino)
{
	uint8_t zero[FS_BLOCK_SIZE] = { 0 };

	return fs_errno(ext2fs_write_inode_full(fs->e2, ino, (struct ext2_inode *)zero,
						(int)EXT2_INODE_SIZE(fs->e2->super)));
}

int fs_inode_new(struct fs *fs, uint32_t dir, const struct fs_new *n, struct fs_inode *ret)
{
	bool is_dir = LINUX_S_ISDIR(n->mode);
	struct fs_inode i = { 0 };
	uint32_t generation;
	ext2_ino_t ino;
	errcode_t e;

	e = ext2fs_new_inode(fs->e2, dir, (int)n->mode, NULL, &ino);
	if (e)
		return fs_errno(e);
	/* A never used inode reads as zeros with a checksum that does not hold: no error here. */
	generation = next_generation(fs, ino);
	ext2fs_inode_alloc_stats2(fs->e2, ino, +1, is_dir);
	i.ino = ino;
	i.raw.i_mode = (uint16_t)n->mode;
	i.raw.i_generation = generation;
	i.raw.i_extra_isize = EXTRA_ISIZE;
	owner_set(&i, n->uid, n->gid);
	fs_inode_touch(fs, &i, FS_T_ATIME | FS_T_MTIME | FS_T_CTIME | FS_T_CRTIME);
	if (LINUX_S_ISCHR(n->mode) || LINUX_S_ISBLK(n->mode))
		rdev_set(&i, n->rdev);
	*ret = i;
	return wipe(fs, ino);
}

/*
 * When it was deleted. The field links the orphan list too, so that e2fsck takes a time that could be an inode's number for
 * a lost member of the list: a node whose clock stands at 1970 must not make such.
 */
static uint32_t deletion_time(const struct fs *fs)
{
	uint32_t t = (uint32_t)fs->op.now.tv_sec;

	return t > fs->e2->super->s_inodes_count ? t : fs->e2->super->s_inodes_count + 1;
}

/* Too much for one operation: the rest goes later. */
static int free_later(struct fs *fs, struct fs_inode *i)
{
	int r;

	i->raw.i_links_count = 0;
	r = fs_orphan_add(fs, i);
	return r < 0 ? r : fs_rest_note(fs, i->ino, true);
}

int fs_inode_free(struct fs *fs, struct fs_inode *i)
{
	bool is_dir = LINUX_S_ISDIR(i->raw.i_mode);
	int r = 0;

	fs->op.use_reserve = true;
	if (fs_inode_has_extents(i))
		r = fs_unmap_some(fs, i, 0);
	if (r > 0)
		return free_later(fs, i);
	if (r == 0 && (i->raw.i_file_acl || i->raw.osd2.linux2.l_i_file_acl_high)) {
		r = fs_inode_store(fs, i);
		if (r == 0)
			r = fs_errno(ext2fs_free_ext_attr(fs->e2, i->ino, &i->raw));
	}
	if (r < 0)
		return r;
	fs_inode_set_size(i, 0);
	i->raw.i_links_count = 0;
	i->raw.i_dtime = deletion_time(fs);
	r = fs_inode_store(fs, i);
	if (r == 0)
		ext2fs_inode_alloc_stats2(fs->e2, i->ino, -1, is_dir);
	return r;
}
