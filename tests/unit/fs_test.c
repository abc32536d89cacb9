/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The volume's file system: operations, undo, out of space, failing writes, damaged journals. */
#include "config.h"

#include "tests/unit/fs_vol.h"

#include <sys/mman.h>
#include <unistd.h>

/* Everything that an abort must bring back: what users see, and all that libext2fs keeps in memory. */
static uint64_t state_of(struct vol *v)
{
	ext2_filsys e2 = v->fs->e2;
	uint8_t bits[FS_BLOCK_SIZE] = { 0 };
	struct canon c;
	uint32_t crc;

	assert_int_equal(canon_take(v->fs, &v->t.dev, NULL, &c), 0);
	crc = ext2fs_crc32c_le(~0u, (uint8_t *)e2->super, sizeof(*e2->super));
	crc = ext2fs_crc32c_le(crc, (uint8_t *)e2->group_desc,
			       e2->group_desc_count * EXT2_DESC_SIZE(e2->super));
	ext2fs_get_block_bitmap_range2(e2->block_map, 0, BYTES / FS_CLUSTER_SIZE, bits);
	crc = ext2fs_crc32c_le(crc, bits, sizeof(bits));
	ext2fs_get_inode_bitmap_range2(e2->inode_map, 1, e2->super->s_inodes_count & ~7u, bits);
	crc = ext2fs_crc32c_le(crc, bits, sizeof(bits));
	return c.hash ^ (uint64_t)crc << 20;
}

/* ---- mkfs ------------------------------------------------------------------------------- */

static void test_mkfs_refuses(void **state)
{
	struct fs_mkfs_options opt = { .name = "v", .now = now };
	struct cl_error err = CL_ERROR_INIT;
	struct fs_probe p;
	struct trace_dev t;

	(void)state;
	assert_int_equal(trace_dev_init(&t, BYTES, NULL), 0);
	assert_int_equal(fs_probe(&t.dev, &p, NULL), 0);
	assert_false(p.found);
	assert_int_equal(fs_open(&t.dev, NULL, (struct fs *[]){ NULL }, &err), -ENODEV);
	t.mem[70000] = 1;
	assert_int_equal(fs_mkfs(&t.dev, &opt, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "unknown kind"));
	memcpy(t.mem + 512, "EFI PART", 8);
	assert_int_equal(fs_mkfs(&t.dev, &opt, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "GPT"));
	memcpy(t.mem, fresh, BYTES);
	assert_int_equal(fs_mkfs(&t.dev, &opt, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "cluster volume"));
	assert_memory_equal(t.mem, fresh, BYTES); /* a refusal writes nothing */
	opt.force = true;
	memset(t.mem, 0xee, BYTES); /* a used LUN */
	assert_int_equal(fs_mkfs(&t.dev, &opt, &err), 0);
	assert_int_equal(fs_probe(&t.dev, &p, NULL), 0);
	assert_true(p.found);
	assert_string_equal(p.label, "csv:v");
	t.dev.bytes = 16u << 20;
	assert_int_equal(fs_mkfs(&t.dev, &opt, &err), -EINVAL);
	trace_dev_fini(&t);
}

static void test_open_knows_its_volume(void **state)
{
	struct vol *v = vol_new();
	uint8_t other[FS_UUID_SIZE] = { 9 };
	struct fs_open_options opt = { .volume_uuid = other };
	struct fs_vol got;
	struct fs *fs;

	(void)state;
	assert_int_equal(fs_open(&v->t.dev, &opt, &fs, NULL), -EXDEV);
	fs_vol_get(v->fs, &got);
	assert_string_equal(got.name, "test");
	assert_int_equal(got.epoch, 0);
	begin(v);
	assert_int_equal(fs_set_epoch(v->fs, 5), 0);
	fs_abort(v->fs);
	fs_vol_get(v->fs, &got);
	assert_int_equal(got.epoch, 0);
	begin(v);
	assert_int_equal(fs_set_epoch(v->fs, 5), 0);
	end(v);
	reopen(v);
	begin(v);
	assert_int_equal(fs_set_epoch(v->fs, 5), -ESTALE);
	fs_abort(v->fs);
	vol_free(v);
}

/* ---- names ------------------------------------------------------------------------------ */

static bool count_names(void *user, const char *name, uint32_t ino, unsigned type, uint64_t next)
{
	(void)ino, (void)type, (void)next;
	assert_string_not_equal(name, ".csv");
	(*(int *)user)++;
	return true;
}

static void test_hidden_directory(void **state)
{
	struct vol *v = vol_new();
	uint32_t ino, hb;
	int n = 0;

	(void)state;
	assert_int_equal(fs_lookup(v->fs, FS_ROOT_INO, ".csv", &ino), -ENOENT);
	assert_int_equal(fs_readdir(v->fs, FS_ROOT_INO, 0, count_names, &n), 0);
	assert_int_equal(n, 3); /* . .. lost+found */
	begin(v);
	assert_int_equal(fs_mkdir(v->fs, FS_ROOT_INO, ".csv", &subdir, NULL), -EPERM);
	assert_int_equal(fs_rmdir(v->fs, FS_ROOT_INO, ".csv"), -EPERM);
	assert_int_equal(fs_rename(v->fs, FS_ROOT_INO, "lost+found", FS_ROOT_INO, ".csv", 0, NULL),
			 -EPERM);
	assert_int_equal(fs_mknod(v->fs, v->fs->hidden_ino, "x", &file, NULL), -EPERM);
	fs_abort(v->fs);
	assert_int_equal(fs_hidden_ino(v->fs, "hb", &hb), 0);
	assert_int_equal(map_at(v, hb, 0, 256).state, FS_DATA);
	assert_int_equal(map_at(v, hb, 0, 256).len, 256);
	vol_free(v);
}

static void test_rename_rules(void **state)
{
	struct vol *v = vol_new();
	struct fs_attr a, b, parent;
	uint32_t gone = 1, ino;

	(void)state;
	make(v, "f", 0);
	begin(v);
	assert_int_equal(fs_mkdir(v->fs, FS_ROOT_INO, "a", &subdir, &a), 0);
	assert_int_equal(fs_mkdir(v->fs, a.ino, "b", &subdir, &b), 0);
	end(v);
	begin(v);
	assert_int_equal(fs_rename(v->fs, FS_ROOT_INO, "a", b.ino, "c", 0, NULL), -EINVAL);
	assert_int_equal(fs_rename(v->fs, FS_ROOT_INO, "f", FS_ROOT_INO, "a", 0, NULL), -EISDIR);
	assert_int_equal(fs_rename(v->fs, FS_ROOT_INO, "a", FS_ROOT_INO, "f", 0, NULL), -ENOTDIR);
	assert_int_equal(fs_rename(v->fs, FS_ROOT_INO, "lost+found", FS_ROOT_INO, "a", 0, NULL),
			 -ENOTEMPTY);
	assert_int_equal(
		fs_rename(v->fs, FS_ROOT_INO, "f", FS_ROOT_INO, "a", FS_RENAME_NOREPLACE, NULL),
		-EEXIST);
	assert_int_equal(fs_rmdir(v->fs, FS_ROOT_INO, "a"), -ENOTEMPTY);
	fs_abort(v->fs);
	begin(v);
	assert_int_equal(fs_rename(v->fs, a.ino, "b", FS_ROOT_INO, "b2", 0, &gone), 0);
	assert_int_equal(gone, 0);
	end(v);
	assert_int_equal(fs_getattr(v->fs, a.ino, &parent), 0);
	assert_int_equal(parent.nlink, 2);
	assert_int_equal(fs_lookup(v->fs, b.ino, "..", &ino), 0);
	assert_int_equal(ino, FS_ROOT_INO);
	vol_free(v);
}

struct names {
	unsigned char seen[400];
	unsigned left;
	uint64_t cookie;
};

static bool some_names(void *user, const char *name, uint32_t ino, unsigned type, uint64_t next)
{
	struct names *n = user;

	(void)ino, (void)type;
	if (!n->left--)
		return false;
	n->cookie = next;
	if (name[0] == 'n')
		n->seen[atoi(name + 1)]++;
	return true;
}

/* Names come and go while somebody reads: what stays is seen once. */
static void test_readdir_cookies(void **state)
{
	struct names n = { .cookie = 0 };
	struct vol *v = vol_new();
	char name[32];

	(void)state;
	begin(v);
	for (int i = 0; i < 300; i++) {
		sprintf(name, "n%d-with-some-length", i);
		assert_int_equal(fs_mknod(v->fs, FS_ROOT_INO, name, &file, NULL), 0);
	}
	end(v);
	for (int i = 0; i < 100; i++) {
		n.left = 4;
		assert_int_equal(fs_readdir(v->fs, FS_ROOT_INO, n.cookie, some_names, &n), 0);
		begin(v);
		sprintf(name, "n%d-with-some-length", i * 3);
		assert_int_equal(fs_unlink(v->fs, FS_ROOT_INO, name, false, NULL), 0);
		sprintf(name, "x%d", i);
		assert_int_equal(fs_mknod(v->fs, FS_ROOT_INO, name, &file, NULL), 0);
		assert_int_equal(fs_end(v->fs), 0);
	}
	for (int i = 0; i < 300; i++) {
		if (i % 3)
			assert_int_equal(n.seen[i], 1);
		else
			assert_true(n.seen[i] <= 1);
	}
	vol_free(v);
}

/* ---- data ------------------------------------------------------------------------------- */

static void test_alloc_and_sizes(void **state)
{
	struct vol *v = vol_new();
	uint32_t ino = make(v, "f", 10000);
	struct fs_attr a = { .size = 5000 };
	struct fs_extent e = map_at(v, ino, 0, 16);

	(void)state;
	assert_int_equal(e.state, FS_DATA);
	assert_int_equal(e.len, 3); /* the rest of the cluster lies beyond the end */
	assert_int_equal(map_at(v, ino, 3, 13).state, FS_UNWRITTEN);
	memset(v->t.mem + e.pblk * FS_BLOCK_SIZE, 0x55, 3 * FS_BLOCK_SIZE);
	begin(v);
	assert_int_equal(fs_alloc(v->fs, ino, 0, 20000, 0), -EINVAL);
	fs_abort(v->fs);
	begin(v);
	assert_int_equal(fs_setattr(v->fs, ino, FS_SET_SIZE, &a, &a), 0);
	end(v);
	assert_int_equal(map_at(v, ino, 2, 1).state, FS_HOLE);
	a.size = 9000; /* the old bytes between 5000 and 8192 must not come back */
	begin(v);
	assert_int_equal(fs_setattr(v->fs, ino, FS_SET_SIZE, &a, &a), 0);
	end(v);
	assert_int_equal(v->t.mem[e.pblk * FS_BLOCK_SIZE + 4999], 0x55);
	assert_int_equal(v->t.mem[e.pblk * FS_BLOCK_SIZE + 5000], 0);
	begin(v); /* the freed block comes back where its cluster is, zeroed */
	assert_int_equal(fs_alloc(v->fs, ino, 8192, 1, 0), 0);
	end(v);
	assert_int_equal(map_at(v, ino, 2, 1).pblk, e.pblk + 2);
	assert_int_equal(v->t.mem[(e.pblk + 2) * FS_BLOCK_SIZE], 0);
	vol_free(v);
}

static void test_prealloc_convert_punch(void **state)
{
	struct vol *v = vol_new();
	uint32_t ino = make(v, "f", 0);
	struct fs_statfs before, after;
	struct fs_attr a;

	(void)state;
	fs_statfs(v->fs, &before);
	begin(v);
	assert_int_equal(fs_convert(v->fs, ino, 0, 4096, 4096), -EINVAL); /* a hole */
	fs_abort(v->fs);
	begin(v);
	assert_int_equal(fs_prealloc(v->fs, ino, 0, 1 << 20, 1 << 20), 0);
	end(v);
	assert_int_equal(map_at(v, ino, 0, 256).state, FS_UNWRITTEN);
	begin(v);
	assert_int_equal(fs_convert(v->fs, ino, 65536, 65536, 0), 0);
	end(v);
	assert_int_equal(map_at(v, ino, 0, 256).len, 16);
	assert_int_equal(map_at(v, ino, 16, 240).state, FS_DATA);
	assert_int_equal(map_at(v, ino, 16, 240).len, 16);
	begin(v);
	assert_int_equal(fs_punch(v->fs, ino, 0, 1 << 20), 0);
	end(v);
	assert_int_equal(map_at(v, ino, 0, 256).state, FS_HOLE);
	assert_int_equal(fs_getattr(v->fs, ino, &a), 0);
	assert_int_equal(a.blocks, 0);
	assert_int_equal(a.size, 1 << 20);
	fs_statfs(v->fs, &after);
	assert_int_equal(before.bfree, after.bfree);
	vol_free(v);
}

/* ---- undo ------------------------------------------------------------------------------- */

static int do_op(struct vol *v, int which, uint32_t ino, uint32_t dir)
{
	struct fs_record_key key = { 1, 2, 3 };
	struct fs_attr a = { .size = 1 };
	char big[3000];

	memset(big, 'v', sizeof(big));
	switch (which) {
	case 0:
		return fs_mkdir(v->fs, dir, "new", &subdir, NULL);
	case 1:
		return fs_unlink(v->fs, FS_ROOT_INO, "f", false, NULL);
	case 2:
		return fs_unlink(v->fs, FS_ROOT_INO, "f", true, NULL);
	case 3:
		return fs_rename(v->fs, FS_ROOT_INO, "f", dir, "g", 0, NULL);
	case 4:
		return fs_rename(v->fs, FS_ROOT_INO, "f", FS_ROOT_INO, "other", 0, NULL);
	case 5:
		return fs_setattr(v->fs, ino, FS_SET_SIZE, &a, NULL);
	case 6:
		return fs_alloc(v->fs, ino, 1 << 20, 500000, 2 << 20);
	case 7:
		return fs_punch(v->fs, ino, 65536, 65536);
	case 8:
		return fs_xattr_set(v->fs, ino, "user.big", big, sizeof(big), 0);
	case 9:
		return fs_record_put(v->fs, FS_REPLIES, &key, "abc", 3);
	case 10:
		return fs_rmdir(v->fs, FS_ROOT_INO, "empty");
	case 11:
		return fs_tmpfile(v->fs, &file, NULL);
	case 12:
		return fs_symlink(v->fs, dir, "s", memset(big, 'y', 200) ? (big[200] = 0, big) : "",
				  &file, NULL);
	case 13:
		return fs_link(v->fs, ino, dir, "hard", NULL);
	case 14:
		return fs_prealloc(v->fs, ino, 4 << 20, 1 << 20, 0);
	}
	return 1;
}

static void test_abort_undoes_everything(void **state)
{
	struct vol *v = vol_new();
	uint32_t ino = make(v, "f", 300000);
	struct fs_attr d;
	uint64_t before;
	int n = 0, r;

	(void)state;
	make(v, "other", 70000);
	begin(v);
	assert_int_equal(fs_mkdir(v->fs, FS_ROOT_INO, "d", &subdir, &d), 0);
	assert_int_equal(fs_mkdir(v->fs, FS_ROOT_INO, "empty", &subdir, NULL), 0);
	end(v);
	for (int ended = 0; ended < 2; ended++) {
		before = state_of(v);
		for (n = 0;; n++) {
			begin(v);
			r = do_op(v, n, ino, d.ino);
			if (r == 1)
				break;
			assert_int_equal(r, 0);
			assert_true(state_of(v) != before); /* the comparison sees it */
			fs_abort(v->fs);
			assert_true(state_of(v) == before);
		}
		fs_abort(v->fs);
		/* The same again with an ended, uncommitted operation below. */
		begin(v);
		assert_int_equal(fs_mknod(v->fs, d.ino, ended ? "p" : "q", &file, NULL), 0);
		assert_int_equal(fs_end(v->fs), 0);
	}
	assert_int_equal(n, 15);
	before = state_of(v);
	assert_int_equal(fs_commit(v->fs), 0);
	reopen(v);
	vol_free(v);
}

static void test_out_of_space(void **state)
{
	struct vol *v = vol_new();
	uint32_t ino = make(v, "f", 0);
	struct fs_record_key key = { 1, 1, 1 };
	struct fs_statfs s;
	uint64_t size = 0, before;
	int r = 0;

	(void)state;
	while (r == 0) {
		before = state_of(v);
		begin(v);
		r = fs_alloc(v->fs, ino, size, 1 << 20, size + (1 << 20));
		if (r == 0)
			end(v);
		size += 1 << 20;
	}
	assert_int_equal(r, -ENOSPC);
	fs_abort(v->fs);
	assert_true(state_of(v) == before);
	fs_statfs(v->fs, &s);
	assert_true(s.bfree >= v->fs->reserve_blocks);
	/* Small things go on until the reserve, and then end with -ENOSPC too. */
	for (int i = 0; r == -ENOSPC && i < 20; i++) {
		begin(v);
		r = fs_alloc(v->fs, ino, size - (1 << 20) + (uint64_t)i * 65536, 65536,
			     size - (1 << 20) + (uint64_t)(i + 1) * 65536);
		r = r == 0 ? fs_end(v->fs) : r;
		if (r < 0)
			fs_abort(v->fs);
		r = r == 0 ? -ENOSPC : r == -ENOSPC ? 0 : r;
	}
	assert_int_equal(r, 0);
	/* Records and deletes never fail for want of space. */
	begin(v);
	assert_int_equal(fs_record_put(v->fs, FS_REPLIES, &key, "x", 1), 0);
	assert_int_equal(fs_punch(v->fs, ino, 65536 + 4096, 100000), 0);
	end(v);
	begin(v);
	assert_int_equal(fs_unlink(v->fs, FS_ROOT_INO, "f", false, NULL), 0);
	assert_int_equal(fs_end(v->fs), 0);
	begin(v); /* what was freed is usable without the caller's doing */
	assert_int_equal(fs_mknod(v->fs, FS_ROOT_INO, "g", &file, NULL), 0);
	assert_int_equal(fs_end(v->fs), 0);
	vol_free(v);
}

/* ---- failing device --------------------------------------------------------------------- */

/* Each write fails once: the object is dead, and a new one finds the state before or after. */
static void test_every_write_fails(void **state)
{
	struct canon before, after, got;
	bool done = false;

	(void)state;
	for (int k = 0; !done; k++) {
		struct vol *v = vol_new();
		int r;

		make(v, "first", 100000);
		assert_int_equal(canon_take(v->fs, &v->t.dev, NULL, &before), 0);
		begin(v);
		assert_int_equal(fs_unlink(v->fs, FS_ROOT_INO, "first", false, NULL), 0);
		assert_int_equal(fs_mkdir(v->fs, FS_ROOT_INO, "second", &subdir, NULL), 0);
		assert_int_equal(fs_end(v->fs), 0);
		assert_int_equal(canon_take(v->fs, &v->t.dev, NULL, &after), 0);
		v->t.fail_after = k;
		r = fs_checkpoint(v->fs);
		done = r == 0;
		if (!done) {
			assert_int_equal(r, -EIO);
			assert_true(fs_dead(v->fs));
			assert_int_equal(fs_begin(v->fs, now), -EROFS);
			assert_int_equal(fs_commit(v->fs), -EROFS);
		}
		v->t.fail_after = -1;
		reopen(v);
		assert_int_equal(canon_take(v->fs, &v->t.dev, NULL, &got), 0);
		assert_true(got.hash == after.hash || (!done && got.hash == before.hash));
		vol_free(v);
		assert_true(k < 50);
	}
}

/* A journal with anything in it: an error or a replay, never a crash of the program. */
static void test_damaged_journal(void **state)
{
	uint64_t rng = 99;

	(void)state;
	for (int round = 0; round < 60; round++) {
		struct vol *v = vol_new();
		uint64_t base = v->fs->log.map[0] * FS_BLOCK_SIZE;
		struct fs *fs = NULL;
		uint32_t len = 30;

		for (int i = 0; i < 3; i++)
			make(v, (const char *[]){ "a", "b", "c" }[i], 0);
		fs_free(v->fs); /* the node dies: the log is full */
		v->fs = NULL;
		for (int i = 0; i < 20; i++) {
			rng = rng * 6364136223846793005ull + 1442695040888963407ull;
			v->t.mem[base + (rng >> 33) % (len * FS_BLOCK_SIZE)] = (uint8_t)(rng >> 20);
		}
		if (round % 2) { /* and superblocks whose checksum holds */
			struct jbd2_super *sb = (struct jbd2_super *)(v->t.mem + base);

			sb->start = htobe32((uint32_t)(rng >> 30) % 1100);
			sb->checksum = htobe32(jbd2_super_csum(sb));
		}
		(void)fs_open(&v->t.dev, NULL, &fs, NULL);
		fs_free(fs);
		vol_free(v);
	}
}

/* ---- records, orphans, attributes ------------------------------------------------------------- */

static void test_records(void **state)
{
	struct vol *v = vol_new();
	const void *data;
	size_t len;

	(void)state;
	begin(v);
	for (uint64_t i = 0; i < 100; i++) {
		struct fs_record_key key = { i % 3, 50, i };

		assert_int_equal(fs_record_put(v->fs, FS_REPLIES, &key, &i, sizeof(i)), 0);
	}
	assert_int_equal(fs_record_put(v->fs, FS_REPLIES, &(struct fs_record_key){ 0 }, "", 193),
			 -EINVAL);
	end(v);
	reopen(v);
	for (uint64_t i = 0; i < 100; i++) {
		struct fs_record_key key = { i % 3, 50, i };

		assert_int_equal(fs_record_get(v->fs, FS_REPLIES, &key, &data, &len), 0);
		assert_memory_equal(data, &i, sizeof(i));
		assert_int_equal(fs_record_get(v->fs, FS_SESSIONS, &key, &data, &len), -ENOENT);
	}
	begin(v);
	assert_int_equal(fs_record_drop_instance(v->fs, FS_REPLIES, 1, 50), 33);
	fs_abort(v->fs);
	assert_int_equal(
		fs_record_get(v->fs, FS_REPLIES, &(struct fs_record_key){ 1, 50, 1 }, &data, &len),
		0);
	begin(v);
	assert_int_equal(fs_record_drop_instance(v->fs, FS_REPLIES, 1, 50), 33);
	end(v);
	reopen(v);
	assert_int_equal(
		fs_record_get(v->fs, FS_REPLIES, &(struct fs_record_key){ 1, 50, 1 }, &data, &len),
		-ENOENT);
	assert_int_equal(
		fs_record_get(v->fs, FS_REPLIES, &(struct fs_record_key){ 2, 50, 2 }, &data, &len),
		0);
	vol_free(v);
}

static void test_orphans(void **state)
{
	struct vol *v = vol_new();
	uint32_t a = make(v, "a", 70000), b = make(v, "b", 70000), gone = 0, ino;
	struct fs_statfs s1, s2;
	struct fs_attr attr;

	(void)state;
	fs_statfs(v->fs, &s1);
	begin(v);
	assert_int_equal(fs_unlink(v->fs, FS_ROOT_INO, "a", true, &gone), 0);
	assert_int_equal(gone, a);
	assert_int_equal(fs_unlink(v->fs, FS_ROOT_INO, "b", true, &gone), 0);
	end(v);
	reopen(v); /* a take-over: they are still there, with their data */
	assert_int_equal(fs_orphan_next(v->fs, 0, &ino), 0);
	assert_int_equal(ino, b);
	assert_int_equal(fs_orphan_next(v->fs, b, &ino), 0);
	assert_int_equal(ino, a);
	assert_int_equal(fs_getattr(v->fs, a, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(attr.size, 70000);
	begin(v);
	assert_int_equal(fs_orphan_free(v->fs, a), 0);
	assert_int_equal(fs_orphan_free(v->fs, b), 0);
	end(v);
	assert_int_equal(fs_getattr(v->fs, a, &attr), -ENOENT);
	fs_statfs(v->fs, &s2);
	assert_int_equal(s2.bfree, s1.bfree + 4 * FS_RATIO);
	begin(v);
	assert_int_equal(fs_tmpfile(v->fs, &file, &attr), 0);
	end(v);
	begin(v);
	assert_int_equal(fs_link(v->fs, attr.ino, FS_ROOT_INO, "t", &attr), 0);
	end(v);
	assert_int_equal(attr.nlink, 1);
	assert_int_equal(fs_orphan_next(v->fs, 0, &ino), 0);
	assert_int_equal(ino, 0);
	vol_free(v);
}

static void test_attributes(void **state)
{
	struct vol *v = vol_new();
	struct fs_attr a = {
		.mode = 04711, .uid = 100000, .gid = 3, .mtime = { 7000000000, 123456789 }
	};
	uint32_t ino = make(v, "f", 0);
	void *value = NULL;
	size_t len;

	(void)state;
	begin(v);
	assert_int_equal(fs_setattr(v->fs, ino, FS_SET_MODE | FS_SET_UID | FS_SET_MTIME, &a, NULL),
			 0);
	assert_int_equal(fs_xattr_set(v->fs, ino, "user.x", "hello", 5, FS_XATTR_CREATE), 0);
	assert_int_equal(fs_xattr_set(v->fs, ino, "user.x", "hello", 5, FS_XATTR_CREATE), -EEXIST);
	assert_int_equal(fs_xattr_set(v->fs, ino, "user.y", "hello", 5, FS_XATTR_REPLACE),
			 -ENODATA);
	assert_int_equal(fs_xattr_set(v->fs, ino, "nonsense", "hello", 5, 0), -EOPNOTSUPP);
	end(v);
	reopen(v);
	assert_int_equal(fs_getattr(v->fs, ino, &a), 0);
	assert_int_equal(a.mode, S_IFREG | 04711);
	assert_int_equal(a.uid, 100000);
	assert_int_equal(a.gid, 8);
	assert_int_equal(a.mtime.tv_sec, 7000000000);
	assert_int_equal(a.mtime.tv_nsec, 123456789);
	assert_int_equal(fs_xattr_get(v->fs, ino, "user.x", &value, &len), 0);
	assert_int_equal(len, 5);
	assert_memory_equal(value, "hello", 5);
	free(value);
	begin(v);
	assert_int_equal(fs_xattr_remove(v->fs, ino, "user.x"), 0);
	end(v);
	assert_int_equal(fs_xattr_get(v->fs, ino, "user.x", &value, &len), -ENODATA);
	vol_free(v);
}

/* ---- many groups ------------------------------------------------------------------------ */

static int e2fsck_fd(int fd)
{
	char cmd[100];

	sprintf(cmd, "PATH=$PATH:/usr/sbin:/sbin e2fsck -fn /proc/self/fd/%d >/dev/null 2>&1", fd);
	return system(cmd);
}

/* 40 GiB, sparse: allocations that cross groups, groups never used before, undo and freeing over all of them. */
static void test_many_groups(void **state)
{
	struct fs_mkfs_options opt = { .name = "big", .volume_uuid = { 2 }, .now = now };
	int fd = memfd_create("big", 0);
	const uint64_t gib = 1ull << 30;
	struct fs_statfs before, after;
	struct cl_error err = CL_ERROR_INIT;
	struct fs_attr f[3];
	struct fs_dev *dev;
	struct fs *fs;
	char name[16];

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)(40 * gib)), 0);
	assert_int_equal(fs_dev_file_from_fd(dup(fd), &dev, NULL), 0);
	if (fs_mkfs(dev, &opt, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(e2fsck_fd(fd), 0);
	assert_int_equal(fs_open(dev, NULL, &fs, NULL), 0);
	assert_true(fs->e2->group_desc_count > 15);
	fs_statfs(fs, &before);
	for (int i = 0; i < 3; i++) {
		sprintf(name, "f%d", i);
		assert_int_equal(fs_begin(fs, now), 0);
		assert_int_equal(fs_mknod(fs, FS_ROOT_INO, name, &file, &f[i]), 0);
		assert_int_equal(fs_prealloc(fs, f[i].ino, 0, (uint64_t)(5 + i) * gib, 20 * gib),
				 0);
		assert_int_equal(fs_end(fs), 0);
	}
	assert_int_equal(fs_commit(fs), 0);
	assert_int_equal(fs_begin(fs, now), 0);
	assert_int_equal(fs_prealloc(fs, f[0].ino, 6 * gib, 9 * gib, 0), 0);
	fs_abort(fs);
	assert_int_equal(fs_begin(fs, now), 0);
	assert_int_equal(fs_punch(fs, f[1].ino, gib, 3 * gib), 0);
	assert_int_equal(fs_alloc(fs, f[1].ino, 2 * gib, 1 << 20, 0), 0);
	assert_int_equal(fs_unlink(fs, FS_ROOT_INO, "f2", true, NULL), 0);
	assert_int_equal(fs_end(fs), 0);
	assert_int_equal(fs_commit(fs), 0);
	fs_free(fs); /* the node dies */
	assert_int_equal(fs_open(dev, NULL, &fs, NULL), 0);
	assert_int_equal(fs_begin(fs, now), 0);
	assert_int_equal(fs_orphan_free(fs, f[2].ino), 0);
	assert_int_equal(fs_unlink(fs, FS_ROOT_INO, "f0", false, NULL), 0);
	assert_int_equal(fs_end(fs), 0);
	assert_int_equal(fs_checkpoint(fs), 0);
	fs_free(fs);
	assert_int_equal(fs_open(dev, NULL, &fs, NULL), 0);
	/* By a node whose clock was reset: e2fsck must not see an orphan in it. */
	assert_int_equal(fs_begin(fs, (struct timespec){ 20, 0 }), 0);
	assert_int_equal(fs_unlink(fs, FS_ROOT_INO, "f1", false, NULL), 0);
	assert_int_equal(fs_end(fs), 0);
	assert_int_equal(fs_close(fs), 0);
	fs_statfs(fs, &after);
	assert_int_equal(before.bfree, after.bfree);
	assert_int_equal(e2fsck_fd(fd), 0);
	fs_free(fs);
	fs_dev_free(dev);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mkfs_refuses),
		cmocka_unit_test(test_open_knows_its_volume),
		cmocka_unit_test(test_hidden_directory),
		cmocka_unit_test(test_rename_rules),
		cmocka_unit_test(test_readdir_cookies),
		cmocka_unit_test(test_alloc_and_sizes),
		cmocka_unit_test(test_prealloc_convert_punch),
		cmocka_unit_test(test_abort_undoes_everything),
		cmocka_unit_test(test_out_of_space),
		cmocka_unit_test(test_every_write_fails),
		cmocka_unit_test(test_damaged_journal),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_orphans),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_many_groups),
	};

	return cmocka_run_group_tests(tests, vol_setup, NULL);
}
