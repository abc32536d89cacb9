/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hidden directory /.csv: `vol` says whose volume this is and which coordinator's term wrote
 * last; `replies` and `sessions` hold records; `hb` and `scratch` are written directly by the
 * nodes, never through the journal.
 */
#include "config.h"

#include <endian.h>
#include <string.h>

#include "csv/fs_int.h"

#define VOL_MAGIC "CSVVOL1"
#define VOL_VERSION 1u

struct vol_block {
	char magic[8];
	uint32_t crc; /* of the block with this field 0 */
	uint32_t version;
	uint8_t volume_uuid[FS_UUID_SIZE], cluster_uuid[FS_UUID_SIZE];
	uint64_t epoch;
	char name[64];
	uint8_t pad[FS_BLOCK_SIZE - 120];
} __attribute__((packed));
_Static_assert(sizeof(struct vol_block) == FS_BLOCK_SIZE, "volume marker");

static uint32_t vol_crc(const struct vol_block *b)
{
	static const uint8_t zero[4];
	const uint8_t *p = (const uint8_t *)b;
	size_t at = offsetof(struct vol_block, crc);
	uint32_t c = ext2fs_crc32c_le(~0u, p, at);

	c = ext2fs_crc32c_le(c, zero, 4);
	return ext2fs_crc32c_le(c, p + at + 4, sizeof(*b) - at - 4);
}

static void vol_put(struct vol_block *b, const struct fs_vol *v)
{
	memset(b, 0, sizeof(*b));
	memcpy(b->magic, VOL_MAGIC, sizeof(b->magic));
	b->version = htole32(v->version);
	memcpy(b->volume_uuid, v->volume_uuid, FS_UUID_SIZE);
	memcpy(b->cluster_uuid, v->cluster_uuid, FS_UUID_SIZE);
	b->epoch = htole64(v->epoch);
	memcpy(b->name, v->name, sizeof(b->name));
	b->crc = htole32(vol_crc(b));
}

static int vol_get(const struct vol_block *b, struct fs_vol *v)
{
	if (memcmp(b->magic, VOL_MAGIC, sizeof(b->magic)) != 0 || le32toh(b->crc) != vol_crc(b))
		return -EUCLEAN;
	v->version = le32toh(b->version);
	memcpy(v->volume_uuid, b->volume_uuid, FS_UUID_SIZE);
	memcpy(v->cluster_uuid, b->cluster_uuid, FS_UUID_SIZE);
	v->epoch = le64toh(b->epoch);
	memcpy(v->name, b->name, sizeof(v->name));
	v->name[sizeof(v->name) - 1] = 0;
	return 0;
}

/* ---- loading ---------------------------------------------------------------------------- */

static int hidden(struct fs *fs, const char *name, uint32_t *ret)
{
	struct fs_inode d;
	int r = fs->hidden_ino ? fs_inode_load_dir(fs, fs->hidden_ino, &d) : -ENOENT;

	return r < 0 ? r : fs_names_lookup(fs, &d, name, ret, NULL);
}

int fs_hidden_ino(struct fs *fs, const char *name, uint32_t *ret_ino)
{
	if (strcmp(name, "hb") != 0 && strcmp(name, "scratch") != 0)
		return -ENOENT;
	return hidden(fs, name, ret_ino);
}

static int find_hidden(struct fs *fs, struct cl_error *err)
{
	struct fs_inode root;
	int r = fs_inode_load_dir(fs, FS_ROOT_INO, &root);

	if (r == 0)
		r = fs_names_lookup(fs, &root, FS_HIDDEN_NAME, &fs->hidden_ino, NULL);
	return r < 0 ? cl_error_errno(err, r, "the volume has no /%s", FS_HIDDEN_NAME) : 0;
}

static int load_vol(struct fs *fs, struct cl_error *err)
{
	struct fs_extent e;
	struct fs_buf *b;
	uint32_t ino;
	int r = hidden(fs, "vol", &ino);

	if (r == 0)
		r = fs_map(fs, ino, 0, 1, &e, 1) == 1 && e.state == FS_DATA ? 0 : -EUCLEAN;
	if (r == 0)
		r = fs_buf_get(fs, e.pblk, &b);
	if (r < 0)
		return cl_error_errno(err, r, "read /.csv/vol");
	fs->vol_pblk = e.pblk;
	if (vol_get((const struct vol_block *)b->data, &fs->vol) < 0)
		return cl_error_set(err, -EUCLEAN, "/.csv/vol is damaged");
	if (fs->vol.version != VOL_VERSION)
		return cl_error_set(err, -ENOTSUP, "volume format %u, this program knows %u",
				    fs->vol.version, VOL_VERSION);
	return 0;
}

int fs_vol_load(struct fs *fs, struct cl_error *err)
{
	static const char *const names[FS_STORES] = { "replies", "sessions" };
	int r = find_hidden(fs, err);

	if (r == 0)
		r = load_vol(fs, err);
	for (int s = 0; s < FS_STORES && r == 0; s++) {
		uint32_t ino;

		r = hidden(fs, names[s], &ino);
		if (r < 0)
			return cl_error_errno(err, r, "/.csv/%s", names[s]);
		r = fs_store_load(fs, s, ino, err);
	}
	return r;
}

void fs_vol_reload(struct fs *fs)
{
	struct fs_buf *b = fs->vol_pblk ? fs_buf_peek(fs, fs->vol_pblk) : NULL;

	if (b)
		(void)vol_get((const struct vol_block *)b->data, &fs->vol);
}

void fs_vol_get(const struct fs *fs, struct fs_vol *ret)
{
	*ret = fs->vol;
}

int fs_set_epoch(struct fs *fs, uint64_t epoch)
{
	struct vol_block block;
	struct fs_buf *b;
	int r = fs_may_change(fs) ? fs_buf_get(fs, fs->vol_pblk, &b) : -EROFS;

	if (r < 0)
		return r;
	/* An older term's coordinator must not go on where a younger one has been. */
	if (epoch <= fs->vol.epoch)
		return -ESTALE;
	fs->vol.epoch = epoch;
	vol_put(&block, &fs->vol);
	return fs_buf_write(fs, fs->vol_pblk, &block);
}

/* ---- making ----------------------------------------------------------------------------- */

static int make_file(struct fs *fs, uint32_t dir, const char *name, uint64_t size,
		     uint32_t *ret_ino)
{
	struct fs_new n = { .mode = LINUX_S_IFREG | 0600 };
	struct fs_attr a;
	int r = fs_mknod(fs, dir, name, &n, &a);

	if (r == 0)
		r = fs_alloc(fs, a.ino, 0, size, size);
	*ret_ino = a.ino;
	return r;
}

static int make_all(struct fs *fs, const struct fs_mkfs_options *opt)
{
	bool small = ext2fs_blocks_count(fs->e2->super) < (1u << 18);
	struct fs_new n = { .mode = LINUX_S_IFDIR | 0700 };
	struct fs_vol v = { .version = VOL_VERSION };
	struct vol_block block;
	struct fs_extent e;
	struct fs_attr dir;
	uint32_t vol, ino;
	int r = fs_mkdir(fs, FS_ROOT_INO, FS_HIDDEN_NAME, &n, &dir);

	if (r == 0)
		r = make_file(fs, dir.ino, "vol", FS_BLOCK_SIZE, &vol);
	if (r == 0)
		r = make_file(fs, dir.ino, "replies", small ? 1u << 19 : 4u << 20, &ino);
	if (r == 0)
		r = make_file(fs, dir.ino, "sessions", small ? 1u << 18 : 2u << 20, &ino);
	if (r == 0)
		r = make_file(fs, dir.ino, "hb", 256 * FS_BLOCK_SIZE, &ino);
	if (r == 0)
		r = make_file(fs, dir.ino, "scratch", FS_CLUSTER_SIZE, &ino);
	if (r == 0)
		r = fs_map(fs, vol, 0, 1, &e, 1) == 1 && e.state == FS_DATA ? 0 : -EUCLEAN;
	if (r < 0)
		return r;
	memcpy(v.volume_uuid, opt->volume_uuid, FS_UUID_SIZE);
	memcpy(v.cluster_uuid, opt->cluster_uuid, FS_UUID_SIZE);
	(void)snprintf(v.name, sizeof(v.name), "%s", opt->name);
	vol_put(&block, &v);
	return fs_buf_write(fs, e.pblk, &block);
}

int fs_vol_create(struct fs *fs, const struct fs_mkfs_options *opt, struct cl_error *err)
{
	int r = fs_begin(fs, opt->now);

	if (r < 0)
		return cl_error_errno(err, r, "first transaction");
	r = make_all(fs, opt);
	if (r == 0)
		r = fs_end(fs);
	if (r < 0) {
		fs_abort(fs);
		return cl_error_errno(err, r, "make /%s", FS_HIDDEN_NAME);
	}
	r = fs_close(fs);
	return r < 0 ? cl_error_errno(err, r, "make /%s", FS_HIDDEN_NAME) : 0;
}
