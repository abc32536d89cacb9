/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening: is it ours; the journal, into memory (fs_replay.c); what we keep in memory; and only when nothing speaks against
 * it, the replayed blocks go home.
 */
#include "config.h"

#include <string.h>

#include "csv/fs_int.h"
#include "csv/fs_sig.h"

#define LOG_BLOCK 2	 /* of FS_BLOCK_SIZE, above 1 KiB, as the superblock has it */
#define LOG_CLUSTER 6	 /* of FS_CLUSTER_SIZE, likewise */
#define STEP_EXTENTS 512 /* up to 64 GiB */

#define INCOMPAT_OK                                                                                \
	(EXT2_FEATURE_INCOMPAT_FILETYPE | EXT2_FEATURE_INCOMPAT_META_BG |                          \
	 EXT3_FEATURE_INCOMPAT_RECOVER | EXT3_FEATURE_INCOMPAT_EXTENTS |                           \
	 EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG |                             \
	 EXT4_FEATURE_INCOMPAT_CSUM_SEED)
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

static int no_volume(struct fs_dev *dev, struct cl_error *err)
{
	const char *what = NULL;

	if (fs_sig_find(dev, &what) < 0 || !what)
		return cl_error_set(err, -ENODEV, "no cluster volume on this device");
	return cl_error_set(err, -ENODEV, "no cluster volume on this device: %s is there", what);
}

static int check_super(struct fs_dev *dev, const struct fs_open_options *opt, struct cl_error *err)
{
	struct ext2_super_block sb;
	struct fs_probe p;
	int r = fs_probe(dev, &p, err);

	if (r < 0)
		return r;
	if (!p.found)
		return no_volume(dev, err);
	if (opt->volume_uuid && memcmp(p.volume_uuid, opt->volume_uuid, FS_UUID_SIZE) != 0)
		return cl_error_set(err, -EXDEV, "another volume is on this device ('%s')",
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
	/* Not by EXT2_BLOCK_SIZE(): a damaged number would be shifted by. */
	if (sb.s_log_block_size != LOG_BLOCK || sb.s_log_cluster_size != LOG_CLUSTER)
		return cl_error_set(err, -ENOTSUP, "block or cluster size is not 4 KiB / 64 KiB");
	if (ext2fs_blocks_count(&sb) > dev->bytes / FS_BLOCK_SIZE ||
	    ext2fs_blocks_count(&sb) % FS_RATIO)
		return cl_error_set(err, -EUCLEAN, "the file system is larger than the device");
	if (sb.s_journal_inum != EXT2_JOURNAL_INO)
		return cl_error_set(err, -ENOTSUP, "the journal is not inode 8");
	return 0;
}

static uint64_t reserve_for(uint64_t blocks)
{
	uint64_t want = 64 * FS_RATIO + blocks / 1000;

	return want < blocks / 32 ? want : blocks / 32;
}

/* libext2fs looks at these sums when it comes by a group, and otherwise believes what is there. */
static int check_groups(struct fs *fs, struct cl_error *err)
{
	for (uint32_t g = 0; g < fs->e2->group_desc_count; g++)
		if (!ext2fs_group_desc_csum_verify(fs->e2, g))
			return cl_error_set(err, -EUCLEAN,
					    "the checksum of group %u is wrong: run e2fsck -fy", g);
	return 0;
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
	r = check_groups(fs, err);
	if (r < 0)
		return r;
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
		r = fs_replay(fs, err);
	if (r == 0)
		r = load(fs, opt, err);
	if (r < 0)
		return r;
	*ret = cl_steal(fs);
	return 0;
}

/* Fresh from mke2fs: there is nothing to replay. */
int fs_open_for_mkfs(struct fs_dev *dev, struct fs **ret, struct cl_error *err)
{
	return open_bare(dev, &(struct fs_open_options){ 0 }, ret, err);
}

static int check_cluster(struct fs *fs, const struct fs_open_options *opt, struct cl_error *err)
{
	if (opt->cluster_uuid && memcmp(fs->vol.cluster_uuid, opt->cluster_uuid, FS_UUID_SIZE) != 0)
		return cl_error_set(err, -EXDEV, "volume '%s' belongs to another cluster",
				    fs->vol.name);
	return 0;
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
		r = check_cluster(fs, opt ? opt : &none, err);
	if (r == 0)
		r = fs_orphans_check(fs, err);
	if (r == 0)
		r = fs_settle(fs, err);
	if (r < 0)
		return r;
	*ret = cl_steal(fs);
	return 0;
}

static int somebodys(struct fs_dev *dev, struct cl_error *err)
{
	const char *what = NULL;

	/* A volume without its magic number is a damaged one. */
	if (fs_sig_find(dev, &what) < 0 || !what || !strcmp(what, FS_SIG_UNKNOWN) ||
	    !strcmp(what, FS_SIG_VOLUME))
		return 0;
	return cl_error_set(err, -EXDEV, "no cluster volume on this device: %s is there", what);
}

int fs_whose(struct fs_dev *dev, const uint8_t *volume_uuid, const uint8_t *cluster_uuid,
	     struct cl_error *err)
{
	const struct fs_open_options opt = { .volume_uuid = volume_uuid,
					     .cluster_uuid = cluster_uuid,
					     .read_only = true };
	_cleanup_(fs_freep) struct fs *fs = NULL;
	struct cl_error why = CL_ERROR_INIT;
	struct fs_probe p;
	int r = fs_probe(dev, &p, err);

	if (r < 0)
		return r;
	if (!p.found)
		return somebodys(dev, err);
	if (fs_open(dev, &opt, &fs, &why) != -EXDEV)
		return 0;
	return cl_error_set(err, -EXDEV, "%s", why.msg);
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
