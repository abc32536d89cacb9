/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal at an open. It is replayed into the cache first; what the volume is, whose it is and whether it is
 * whole is judged by that view; only then the blocks go home. What goes wrong otherwise: a volume that is refused (another
 * cluster's, a newer format's) has been written to.
 *
 * libext2fs opens a volume whose journal is full without complaint, so it is opened twice: once to find the
 * journal's blocks (they never move), and again over the replayed view, with nothing left in memory from before.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"
#include "csv/jbd2_replay.h"

/* Where the journal's blocks are: all of inode 8's, which are contiguous in the file. */
static int map_journal(struct fs *fs, uint64_t **ret_map, uint32_t *ret_len, struct cl_error *err)
{
	_cleanup_free_ uint64_t *map = NULL;
	struct fs_inode ino;
	struct fs_piece p = { .len = 0 };
	uint64_t len, at = 0;
	fs_tree t;
	int r = fs_inode_load(fs, EXT2_JOURNAL_INO, &ino);

	if (r < 0)
		return cl_error_errno(err, r, "the journal's inode");
	len = EXT2_I_SIZE(fs_raw(&ino)) / FS_BLOCK_SIZE;
	if (len > (1u << 20) || !fs_inode_has_extents(&ino))
		return cl_error_set(err, -EUCLEAN, "the journal's inode is damaged: run e2fsck");
	map = calloc(len + 1, sizeof(*map));
	r = map ? fs_tree_open(fs, &ino, &t) : -ENOMEM;
	if (r < 0)
		return cl_error_errno(err, r, "the journal's map");
	while (at < len && (r = fs_tree_next(t, at, &p)) == 0 && p.len && p.lblk == at)
		for (uint64_t i = 0; i < p.len && at < len; i++)
			map[at++] = p.pblk + i;
	fs_tree_close(&t);
	if (r < 0 || at < len)
		return cl_error_set(err, r < 0 ? r : -EUCLEAN, "the journal has holes: run e2fsck");
	*ret_map = cl_steal(map);
	*ret_len = (uint32_t)len;
	return 0;
}

static int apply_to_cache(void *user, uint64_t blk, const void *data, size_t n)
{
	struct fs *fs = user;

	for (size_t i = 0; i < n; i++) {
		struct fs_buf *b;
		int r = fs_buf_put(fs, blk + i, (const uint8_t *)data + i * FS_BLOCK_SIZE, &b);

		if (r == 0 && fs_buf_vec_push(&fs->log_bufs, b) < 0)
			r = -ENOMEM;
		if (r < 0)
			return r;
		b->log = true;
	}
	return 0;
}

static bool csum_holds(struct fs *fs, struct ext2_super_block *sb)
{
	return ext2fs_superblock_csum_verify(fs->e2, sb);
}

/*
 * The one write that goes past the journal is that of the flag `needs_recovery`. The superblock lies in two sectors, with
 * the flag in one and the checksum in the other: a node that dies during this write may leave one old and one new.
 * Then the flag alone explains the checksum, and the other value of the flag is as good as the one that is there.
 */
static int check_super_csum(struct fs *fs, struct cl_error *err)
{
	struct ext2_super_block *sb;
	struct fs_buf *b;
	int r = fs_buf_get(fs, 0, &b);

	if (r < 0)
		return cl_error_errno(err, r, "read the superblock");
	sb = (struct ext2_super_block *)(b->data + SUPERBLOCK_OFFSET);
	if (csum_holds(fs, sb))
		return 0;
	sb->s_feature_incompat ^= EXT3_FEATURE_INCOMPAT_RECOVER;
	if (!csum_holds(fs, sb)) {
		sb->s_feature_incompat ^= EXT3_FEATURE_INCOMPAT_RECOVER;
		return cl_error_set(err, -EUCLEAN,
				    "the superblock's checksum is wrong: run e2fsck -fy");
	}
	fs->settle = true;
	if (!b->log && fs_buf_vec_push(&fs->log_bufs, b) < 0)
		return cl_error_errno(err, -ENOMEM, "superblock");
	b->log = true; /* not to be read again from the device */
	return 0;
}

int fs_replay(struct fs *fs, struct cl_error *err)
{
	uint64_t max_blk = fs->dev->bytes / FS_BLOCK_SIZE, *map = NULL;
	uint32_t len = 0;
	int r = fs_e2_open(fs, EXT2_FLAG_IGNORE_CSUM_ERRORS, err);

	if (r < 0)
		return r;
	r = map_journal(fs, &map, &len, err);
	if (r == 0)
		r = jbd2_log_open(&fs->log, fs->dev, map, len, err);
	if (r < 0)
		return r;
	fs->settle = fs->log.sb.start != 0;
	fs_cache_drop_clean(fs);
	r = jbd2_replay(&fs->log, max_blk, apply_to_cache, fs, &fs->writer.sequence, err);
	return r < 0 ? r : check_super_csum(fs, err);
}

/* What was replayed is stable; only then the journal is empty; only then the flag goes. */
static int settle(struct fs *fs)
{
	int r = fs_write_home(fs);

	if (r == 0)
		r = jbd2_log_write_super(&fs->log, 0, fs->writer.sequence);
	return r == 0 ? fs_super_write(fs, false) : r;
}

int fs_settle(struct fs *fs, struct cl_error *err)
{
	int r;

	if (fs->read_only ||
	    (!fs->settle && !ext2fs_has_feature_journal_needs_recovery(fs->e2->super)))
		return 0;
	r = settle(fs);
	return r < 0 ? cl_error_errno(err, r, "finish the replay") : 0;
}
