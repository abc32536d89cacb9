/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The online check: silent while the volume is changed under it, and not silent about each kind of damage. */
#include "config.h"

#include <stdio.h>

#include "csv/fs_check.h"
#include "tests/unit/fs_vol.h"

static char said[8000]; /* every problem, a line each */

static void on_problem(void *user, const char *text)
{
	(*(unsigned *)user)++;
	if (strlen(said) + strlen(text) + 2 < sizeof(said))
		strcat(strcat(said, text), "\n");
}

static uint64_t rng = 3;

static unsigned rnd(unsigned n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((rng >> 33) % n);
}

static uint32_t some_file(struct vol *v, char *name)
{
	uint32_t ino;

	sprintf(name, "f%u", rnd(12));
	return fs_lookup(v->fs, FS_ROOT_INO, name, &ino) == 0 ? ino : 0;
}

/* Anything; what fails is aborted, and some of the rest too. */
static void change(struct vol *v)
{
	struct fs_attr a = { .size = rnd(300000) };
	char name[32], value[3000];
	uint32_t ino = some_file(v, name);
	uint64_t off = rnd(80) * 4096ull, len = 1 + rnd(200000);
	int r = -ENOENT;

	memset(value, 'x', sizeof(value));
	begin(v);
	if (!ino || rnd(8) == 0)
		r = fs_mknod(v->fs, FS_ROOT_INO, name, &file, NULL);
	else if (rnd(4) == 0)
		r = fs_unlink(v->fs, FS_ROOT_INO, name, rnd(3) == 0, NULL);
	else if (rnd(3) == 0)
		r = fs_setattr(v->fs, ino, FS_SET_SIZE, &a, NULL);
	else if (rnd(3) == 0)
		r = fs_punch(v->fs, ino, off, len);
	else if (rnd(3) == 0)
		r = fs_xattr_set(v->fs, ino, "user.x", value, rnd(3000), 0);
	else if (rnd(3) == 0)
		r = fs_mkdir(v->fs, FS_ROOT_INO, "d", &subdir, NULL);
	else
		r = fs_alloc(v->fs, ino, off, len, off + len);
	if (r == 0 && rnd(5))
		r = fs_end(v->fs);
	else
		r = -1;
	if (r < 0)
		fs_abort(v->fs);
	if (rnd(4) == 0)
		assert_int_equal(fs_commit(v->fs), 0);
	if (rnd(20) == 0)
		assert_int_equal(fs_checkpoint(v->fs), 0);
}

static struct fs_check_report check(struct vol *v, unsigned changes)
{
	struct fs_check *c, *second;
	struct fs_check_report rep = { 0 };
	unsigned told = 0, before = 0;

	said[0] = 0;
	assert_int_equal(fs_check_new(v->fs, on_problem, &told, &c), 0);
	assert_int_equal(fs_check_new(v->fs, on_problem, &told, &second), -EBUSY);
	while (!rep.done) {
		assert_int_equal(fs_check_step(c, &rep), 0);
		assert_true(rep.permille >= before);
		before = rep.permille;
		for (unsigned n = 0; n < changes; n++)
			change(v);
	}
	assert_int_equal(told, rep.problems);
	fs_check_free(c);
	return rep;
}

static void test_silent_while_it_changes(void **state)
{
	struct vol *v = vol_new();

	(void)state;
	for (int n = 0; n < 60; n++) {
		struct fs_check_report rep = check(v, n ? rnd(8) : 0);

		if (rep.problems)
			fail_msg("round %d: %s", n, said);
		assert_true(rep.inodes > 5);
	}
	vol_free(v);
}

/* ---- damage ----------------------------------------------------------------------------------- */

static uint32_t ino_a, ino_b, ino_d;

static uint8_t *inode_at(struct vol *v, uint32_t ino)
{
	uint32_t per = EXT2_INODES_PER_GROUP(v->fs->e2->super);

	assert_true(ino <= per);
	return v->t.mem + ext2fs_inode_table_loc(v->fs->e2, 0) * FS_BLOCK_SIZE +
	       (size_t)(ino - 1) * 256;
}

static void inode_sum(struct vol *v, uint32_t ino)
{
	(void)ext2fs_inode_csum_set(v->fs->e2, ino,
				    (struct ext2_inode_large *)(void *)inode_at(v, ino));
}

static void bad_inode(struct vol *v)
{
	inode_at(v, ino_a)[4] ^= 1;
}

static void bad_desc(struct vol *v)
{
	v->t.mem[FS_BLOCK_SIZE + 0x0c] ^= 1;
}

static void bad_block_bitmap(struct vol *v)
{
	v->t.mem[ext2fs_block_bitmap_loc(v->fs->e2, 0) * FS_BLOCK_SIZE + 20] ^= 1;
}

static void bad_inode_bitmap(struct vol *v)
{
	v->t.mem[ext2fs_inode_bitmap_loc(v->fs->e2, 0) * FS_BLOCK_SIZE + 20] ^= 1;
}

/* b's extent leads to a's cluster: b has it too, and b's own has nobody. */
static void two_owners(struct vol *v)
{
	memcpy(inode_at(v, ino_b) + 40 + 12, inode_at(v, ino_a) + 40 + 12, 12);
	inode_sum(v, ino_b);
}

static void beyond_the_end(struct vol *v)
{
	uint32_t far = 0x7fffff0;

	memcpy(inode_at(v, ino_b) + 40 + 12 + 8, &far, 4);
	inode_sum(v, ino_b);
}

static void lost_cluster(struct vol *v)
{
	memset(inode_at(v, ino_b) + 40 + 2, 0, 2); /* no extents */
	inode_sum(v, ino_b);
}

static void bad_dir(struct vol *v)
{
	struct fs_inode d;
	struct fs_piece p;
	fs_tree t;

	assert_int_equal(fs_inode_load(v->fs, ino_d, &d), 0);
	assert_int_equal(fs_tree_open(v->fs, &d, &t), 0);
	assert_int_equal(fs_tree_next(t, 0, &p), 0);
	fs_tree_close(&t);
	v->t.mem[p.pblk * FS_BLOCK_SIZE + 26] ^= 1;
}

static void test_damage_is_found(void **state)
{
	static const struct {
		void (*spoil)(struct vol *v);
		const char *words;
	} t[] = {
		{ bad_inode, "wrong checksum" },
		{ bad_desc, "wrong checksum of its descriptor" },
		{ bad_block_bitmap, "checksum of the block bitmap" },
		{ bad_inode_bitmap, "checksum of the inode bitmap" },
		{ two_owners, "has another owner" },
		{ beyond_the_end, "the extent at block 0 is wrong" },
		{ lost_cluster, "nobody has them" },
		{ bad_dir, "directory" },
	};

	(void)state;
	for (size_t n = 0; n < sizeof(t) / sizeof(t[0]); n++) {
		struct vol *v = vol_new();
		struct fs_check_report rep;
		uint8_t *before = malloc(BYTES);
		struct fs_attr d;

		ino_a = make(v, "a", 60000);
		ino_b = make(v, "b", 60000);
		begin(v);
		assert_int_equal(fs_mkdir(v->fs, FS_ROOT_INO, "dir", &subdir, &d), 0);
		end(v);
		ino_d = d.ino;
		assert_int_equal(fs_checkpoint(v->fs), 0);
		assert_int_equal(check(v, 0).problems, 0);
		t[n].spoil(v);
		fs_cache_drop_clean(v->fs);
		(void)ext2fs_flush_icache(v->fs->e2);
		memcpy(before, v->t.mem, BYTES);
		rep = check(v, 0);
		if (!rep.problems || !strstr(said, t[n].words))
			fail_msg("case %zu: %llu problems, '%s'", n,
				 (unsigned long long)rep.problems, said);
		assert_memory_equal(before, v->t.mem, BYTES);
		free(before);
		vol_free(v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silent_while_it_changes),
		cmocka_unit_test(test_damage_is_found),
	};

	return cmocka_run_group_tests(tests, vol_setup, NULL);
}
