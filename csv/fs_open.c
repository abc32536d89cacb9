/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening: is it ours, replay, read it afresh, load what we keep in memory. libext2fs opens a
 * volume whose journal is full without complaint, so it is opened twice: once to find the journal's
 * blocks (they never move), and again after the replay, with nothing left in memory from before.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"
#include "csv/jbd2_replay.h"

#define STEP_EXTENTS 512 /* up to 64 GiB */

#define INCOMPAT_OK                                                                                \
	(EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_RECOVER |                          \
	 EXT3_FEATURE_INCOMPAT_EXTENTS | EXT4_FEATURE_INCOMPAT_64BIT |                             \
	 EXT4_FEATURE_INCOMPAT_FLEX_BG | EXT4_FEATURE_INCOMPAT_CSUM_SEED)
#define RO_COMPAT_OK                                                                               \
	(EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |                 \
	 EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_DIR_NLINK |                     \
	 EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE | EXT4_FEATURE_RO_COMPAT_BIGALLOC |                    \
	 EXT4_FEATURE_RO_COMPAT_METADATA_CSUM)

static int read_super(struct fs_dev *dev, struct ext2_super_block *ret)
{
	uint8_t block[FS_BLOCK_SIZE];
	int r = fs_dev_read(dev, 0, block, sizeof(block));

	if (r == 0)
		memcpy(ret, block + SUPERBLOCK_OFFSET, sizeof(*ret));
	return r;
}

int fs_probe(struct fs_dev *dev, struct fs_probe *ret, struct cl_error *err)
{
	struct ext2_super_block sb;
	struct fs_probe p = { .found = false };
	int r = read_super(dev, &sb);

	if (r < 0)
		return cl_error_errno(err, r, "read the superblock");
	p.found = sb.s_magic == EXT2_SUPER_MAGIC &&
		  memcmp(sb.s_volume_name, FS_LABEL_PREFIX, strlen(FS_LABEL_PREFIX)) == 0;
	memcpy(p.volume_uuid, sb.s_uuid, FS_UUID_SIZE);
	memcpy(p.label, sb.s_volume_name, sizeof(sb.s_volume_name));
	*ret = p;
	return 0;
}

static int check_super(struct fs_dev *dev, const struct fs_open_options *opt, struct cl_error *err)
{
	struct ext2_super_block sb;
	struct fs_probe p;
	int r = fs_probe(dev, &p, err);

	if (r < 0)
		return r;
	if (!p.found)
		return cl_error_set(err, -ENODEV, "no cluster volume on this device");
	if (opt->volume_uuid && memcmp(p.volume_uuid, opt->volume_uuid, FS_UUID_SIZE) != 0)
		return cl_error_set(err, -ENODEV, "another volume is on this device ('%s')",
				    p.label);
	r = read_super(dev, &sb);
	if (r < 0)
		return cl_error_errno(err, r, "read the superblock");
	if (sb.s_feature_incompat & ~INCOMPAT_OK || sb.s_feature_ro_compat & ~RO_COMPAT_OK ||
	    !(sb.s_feature_ro_compat & EXT4_FEATURE_RO_COMPAT_BIGALLOC) ||
	    !(sb.s_feature_ro_compat & EXT4_FEATURE_RO_COMPAT_METADATA_CSUM) ||
	    !(sb.s_feature_incompat & EXT4_FEATURE_INCOMPAT_64BIT))
		return cl_error_set(err, -ENOTSUP,
				    "file system features 0x%x/0x%x are not those of a volume",
				    sb.s_feature_incompat, sb.s_feature_ro_compat);
	if (EXT2_BLOCK_SIZE(&sb) != FS_BLOCK_SIZE || EXT2_CLUSTER_SIZE(&sb) != (int)FS_CLUSTER_SIZE)
		return cl_error_set(err, -ENOTSUP, "block or cluster size is not 4 KiB / 64 KiB");
	if (ext2fs_blocks_count(&sb) > dev->bytes / FS_BLOCK_SIZE ||
	    ext2fs_blocks_count(&sb) % FS_RATIO)
		return cl_error_set(err, -EUCLEAN, "the file system is larger than the device");
	if (sb.s_journal_inum != EXT2_JOURNAL_INO)
		return cl_error_set(err, -ENOTSUP, "the journal is not inode 8");
	return 0;
}

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
		return cl_error_set(err, -EUCLEAN, "the journal has holes: run e2fsck");
	*ret_map = cl_steal(map);
	*ret_len = (uint32_t)len;
	return 0;
}

static int apply_to_device(void *user, uint64_t blk, const void *data, size_t n)
{
	struct fs *fs = user;

	return fs_dev_write(fs->dev, blk * FS_BLOCK_SIZE, data, n * FS_BLOCK_SIZE, 0);
}

/* Read-only: the blocks stay in the cache as if they waited for a checkpoint. */
static int apply_to_cache(void *user, uint64_t blk, const void *data, size_t n)
{
	struct fs *fs = user;
	struct fs_buf *b;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		r = fs_buf_put(fs, blk + i, (const uint8_t *)data + i * FS_BLOCK_SIZE, &b);
		if (r == 0)
			b->log = true;
	}
	return r;
}

/* What was replayed is stable; only then the journal is empty; only then the flag goes. */
static int replay_done(struct fs *fs, uint32_t sequence)
{
	uint8_t block[FS_BLOCK_SIZE];
	struct ext2_super_block *sb = (struct ext2_super_block *)(block + SUPERBLOCK_OFFSET);
	int r = fs_dev_flush(fs->dev);

	if (r == 0)
		r = jbd2_log_write_super(&fs->log, 0, sequence);
	if (r == 0)
		r = fs_dev_read(fs->dev, 0, block, sizeof(block));
	if (r < 0)
		return r;
	ext2fs_clear_feature_journal_needs_recovery(sb);
	ext2fs_superblock_csum_set(fs->e2, sb);
	return fs_dev_write(fs->dev, 0, block, sizeof(block), FS_DEV_FUA);
}

static int replay(struct fs *fs, struct cl_error *err)
{
	uint64_t max_blk = fs->dev->bytes / FS_BLOCK_SIZE, *map = NULL;
	bool in_use;
	uint32_t len = 0;
	int r = fs_e2_open(fs, EXT2_FLAG_IGNORE_CSUM_ERRORS, err);

	if (r < 0)
		return r;
	r = map_journal(fs, &map, &len, err);
	if (r == 0)
		r = jbd2_log_open(&fs->log, fs->dev, map, len, err);
	if (r < 0)
		return r;
	in_use = fs->log.sb.start != 0;
	fs_cache_drop_clean(fs);
	r = jbd2_replay(&fs->log, max_blk, fs->read_only ? apply_to_cache : apply_to_device, fs,
			&fs->writer.sequence, err);
	if (r < 0 || fs->read_only)
		return r;
	if (in_use || ext2fs_has_feature_journal_needs_recovery(fs->e2->super)) {
		r = replay_done(fs, fs->writer.sequence);
		if (r < 0)
			return cl_error_errno(err, r, "finish the replay");
	}
	return 0;
}

static uint64_t reserve_for(uint64_t blocks)
{
	uint64_t want = 64 * FS_RATIO + blocks / 1000;

	return want < blocks / 32 ? want : blocks / 32;
}

static int load(struct fs *fs, const struct fs_open_options *opt, struct cl_error *err)
{
	errcode_t e;
	int r;

	fs_e2_free(fs);
	fs_cache_drop_clean(fs);
	r = fs_e2_open(fs, EXT2_FLAG_RW, err);
	if (r < 0)
		return r;
	if (fs->e2->super->s_state & EXT2_ERROR_FS)
		return cl_error_set(err, -EUCLEAN,
				    "the file system is marked as damaged: run e2fsck -fy");
	fs->cache.readahead = 16; /* flex_bg keeps the bitmaps of 16 groups together */
	e = ext2fs_read_bitmaps(fs->e2);
	fs->cache.readahead = 0;
	if (e)
		return cl_error_set(err, fs_errno(e), "load the bitmaps: %s", error_message(e));
	fs->tx.group_dirty = calloc(fs->e2->group_desc_count, 1);
	if (!fs->tx.group_dirty)
		return cl_error_errno(err, -ENOMEM, "groups");
	fs->reserve_blocks = reserve_for(ext2fs_blocks_count(fs->e2->super));
	fs->writer.log = &fs->log;
	fs->writer.no_flush = opt->defects & FS_DEFECT_NO_FLUSH_BEFORE_COMMIT;
	fs->checkpoint_blocks = jbd2_writer_capacity(&fs->writer) / 4;
	if (opt->checkpoint_blocks && opt->checkpoint_blocks < fs->checkpoint_blocks)
		fs->checkpoint_blocks = opt->checkpoint_blocks;
	return 0;
}

/* Everything but /.csv, which mkfs has yet to make. */
static int open_bare(struct fs_dev *dev, const struct fs_open_options *opt, struct fs **ret,
		     struct cl_error *err)
{
	_cleanup_(fs_freep) struct fs *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs || fs_cache_init(&fs->cache) < 0 || fs_names_new(&fs->names) < 0)
		return cl_error_errno(err, -ENOMEM, "open the volume");
	fs->dev = dev;
	fs->read_only = opt->read_only;
	fs->defects = opt->defects;
	fs->step_extents = opt->step_extents ? opt->step_extents : STEP_EXTENTS;
	r = check_super(dev, opt, err);
	if (r == 0)
		r = replay(fs, err);
	if (r == 0)
		r = load(fs, opt, err);
	if (r < 0)
		return r;
	*ret = cl_steal(fs);
	return 0;
}

int fs_open_for_mkfs(struct fs_dev *dev, struct fs **ret, struct cl_error *err)
{
	return open_bare(dev, &(struct fs_open_options){ 0 }, ret, err);
}

int fs_open(struct fs_dev *dev, const struct fs_open_options *opt, struct fs **ret,
	    struct cl_error *err)
{
	static const struct fs_open_options none;
	_cleanup_(fs_freep) struct fs *fs = NULL;
	int r = open_bare(dev, opt ? opt : &none, &fs, err);

	if (r == 0)
		r = fs_vol_load(fs, err);
	if (r == 0)
		r = fs_rest_load(fs, err);
	if (r < 0)
		return r;
	*ret = cl_steal(fs);
	return 0;
}

void fs_free(struct fs *fs)
{
	if (!fs)
		return;
	fs_e2_free(fs);
	fs_cache_fini(&fs->cache);
	fs_names_free(fs->names);
	fs_maps_forget_all(fs);
	fs_rest_vec_fini(&fs->rest);
	fs_rest_vec_fini(&fs->op.rest);
	jbd2_log_fini(&fs->log);
	for (int i = 0; i < FS_STORES; i++)
		fs_store_fini(&fs->store[i]);
	fs_buf_vec_fini(&fs->op.bufs);
	fs_undo_vec_fini(&fs->op.bits);
	fs_undo_group_vec_fini(&fs->op.groups);
	fs_range_vec_fini(&fs->op.frees);
	fs_u32_vec_fini(&fs->op.dirs);
	fs_buf_vec_fini(&fs->tx.bufs);
	fs_range_vec_fini(&fs->tx.frees);
	fs_u32_vec_fini(&fs->tx.groups);
	free(fs->tx.group_dirty);
	fs_buf_vec_fini(&fs->log_bufs);
	free(fs);
}
