/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ranges of a volume's files: the map and its cache, data-first writes, ranges of zeros. */
#include "config.h"

#include "tests/unit/fs_vol.h"

/* ---- the map ---------------------------------------------------------------------------- */

/* Piece by piece through the tree, past any cache. */
static struct fs_extent tree_at(struct vol *v, uint32_t ino, uint64_t lblk)
{
	struct fs_extent e = { .lblk = lblk, .len = 1, .state = FS_HOLE };
	struct fs_inode i;
	struct fs_piece p;
	fs_tree t;

	assert_int_equal(fs_inode_load(v->fs, ino, &i), 0);
	assert_int_equal(fs_tree_open(v->fs, &i, &t), 0);
	assert_int_equal(fs_tree_next(t, lblk, &p), 0);
	fs_tree_close(&t);
	if (!p.len || p.lblk > lblk)
		return e;
	e.pblk = p.pblk + (lblk - p.lblk);
	e.state = p.unwritten ? FS_UNWRITTEN : FS_DATA;
	return e;
}

static void check_map(struct vol *v, uint32_t ino, uint64_t blocks, size_t max)
{
	struct fs_extent e[32];
	uint64_t at = 0;

	while (at < blocks) {
		int n = fs_map(v->fs, ino, at, blocks - at, e, max);

		assert_in_range(n, 1, max);
		for (int k = 0; k < n; k++) {
			assert_int_equal(e[k].lblk, at);
			assert_true(e[k].len > 0);
			for (uint64_t b = 0; b < e[k].len; b++) {
				struct fs_extent want = tree_at(v, ino, at + b);

				assert_int_equal(e[k].state, want.state);
				assert_int_equal(e[k].pblk ? e[k].pblk + b : 0, want.pblk);
			}
			at += e[k].len;
		}
	}
	assert_int_equal(at, blocks);
}

/* After each change, aborted or not, the cached map is the tree's. */
static void test_map_follows_changes(void **state)
{
	struct vol *v = vol_new();
	uint32_t ino = make(v, "f", 600000);
	uint64_t rng = 5;

	(void)state;
	for (int n = 0; n < 150; n++) {
		uint64_t off, len;
		int r = 0;

		rng = rng * 6364136223846793005ull + 1442695040888963407ull;
		off = (rng >> 20) % 150 * 4096;
		len = ((rng >> 40) % 40 + 1) * 4096;
		begin(v);
		switch ((rng >> 50) % 5) {
		case 0:
			r = fs_alloc(v->fs, ino, off, len, off + len);
			break;
		case 1:
			r = fs_punch(v->fs, ino, off, len);
			break;
		case 2:
			r = fs_prealloc(v->fs, ino, off, len, 0);
			break;
		case 3:
			r = fs_zero_range(v->fs, ino, off, len, 0);
			break;
		default:
			r = fs_setattr(v->fs, ino, FS_SET_SIZE, &(struct fs_attr){ .size = off },
				       NULL);
		}
		assert_int_equal(r, 0);
		check_map(v, ino, 200, 7);
		if ((rng >> 30) % 3 == 0)
			fs_abort(v->fs);
		else
			assert_int_equal(fs_end(v->fs), 0);
		check_map(v, ino, 200, 32);
	}
	assert_int_equal(fs_commit(v->fs), 0);
	reopen(v);
	check_map(v, ino, 200, 32);
	vol_free(v);
}

static int all_work(struct vol *v)
{
	int n = 0, r;

	while ((r = fs_work(v->fs, now)) == 1)
		n++;
	assert_int_equal(r, 0);
	assert_false(fs_has_work(v->fs));
	assert_int_equal(fs_commit(v->fs), 0);
	return n;
}

/* More pieces than one window holds, several leaves; and more files than there are windows. */
static void test_map_of_many_pieces(void **state)
{
	struct vol *v = vol_new();
	uint32_t ino = make(v, "f", 0), other[FS_WINDOWS + 3];
	const uint64_t blocks = 4600;
	char name[16];

	(void)state;
	begin(v);
	assert_int_equal(fs_prealloc(v->fs, ino, 0, blocks * 4096, blocks * 4096), 0);
	end(v);
	for (uint64_t b = 0; b < blocks; b += 2) {
		begin(v);
		assert_int_equal(fs_convert(v->fs, ino, b * 4096, 4096, 0), 0);
		assert_int_equal(fs_end(v->fs), 0);
	}
	assert_int_equal(fs_commit(v->fs), 0);
	check_map(v, ino, blocks + 100, 32);
	assert_int_equal(map_at(v, ino, blocks - 2, 5).state, FS_DATA);
	assert_int_equal(map_at(v, ino, blocks - 1, 5).state, FS_UNWRITTEN);
	for (size_t n = 0; n < FS_WINDOWS + 3; n++) {
		sprintf(name, "o%zu", n);
		other[n] = make(v, name, 5000);
		assert_int_equal(map_at(v, other[n], 0, 1).state, FS_DATA);
	}
	for (size_t n = 0; n < FS_WINDOWS + 3; n++)
		check_map(v, other[n], 4, 2);
	check_map(v, ino, 100, 32);
	/* A number that is used again has nothing of its former file. */
	begin(v);
	assert_int_equal(fs_unlink(v->fs, FS_ROOT_INO, "f", false, NULL), 0);
	end(v);
	assert_int_equal(all_work(v), (int)blocks / 512 + (blocks % 512 > 0) - 1);
	assert_int_equal(fs_map(v->fs, ino, 0, 1, &(struct fs_extent){ 0 }, 1), -ENOENT);
	vol_free(v);
}

static void test_is_data(void **state)
{
	struct vol *v = vol_new();
	uint32_t ino = make(v, "f", 10000);

	(void)state;
	assert_int_equal(fs_is_data(v->fs, ino, 0, 10000), 1);
	assert_int_equal(fs_is_data(v->fs, ino, 4095, 2), 1);
	assert_int_equal(fs_is_data(v->fs, ino, 0, 12289), 0);
	assert_int_equal(fs_is_data(v->fs, ino, 1 << 20, 1), 0);
	begin(v);
	assert_int_equal(fs_punch(v->fs, ino, 4096, 4096), 0);
	assert_int_equal(fs_is_data(v->fs, ino, 0, 10000), 0);
	fs_abort(v->fs);
	assert_int_equal(fs_is_data(v->fs, ino, 0, 10000), 1);
	assert_int_equal(fs_is_data(v->fs, ino, UINT64_MAX, 2), -EINVAL);
	vol_free(v);
}

/* ---- data first --------------------------------------------------------------------------- */

static uint8_t *block_of(struct vol *v, uint32_t ino, uint64_t lblk)
{
	return v->t.mem + map_at(v, ino, lblk, 1).pblk * FS_BLOCK_SIZE;
}

static void all_are(struct vol *v, uint32_t ino, uint64_t from, uint64_t len,
		    enum fs_extent_state want)
{
	for (uint64_t b = from; b < from + len; b++)
		assert_int_equal(map_at(v, ino, b, 1).state, want);
}

static void test_data_first(void **state)
{
	struct vol *v = vol_new();
	uint32_t ino = make(v, "f", 5000);
	struct fs_attr a;

	(void)state;
	memset(block_of(v, ino, 1), 0x77, FS_BLOCK_SIZE); /* stale bytes beyond the end */
	begin(v);
	assert_int_equal(fs_prepare(v->fs, ino, 6000, 100000, 1 << 20), 0);
	assert_int_equal(fs_end(v->fs), 0);
	all_are(v, ino, 2, 254, FS_UNWRITTEN); /* the whole chunk */
	assert_int_equal(fs_getattr(v->fs, ino, &a), 0);
	assert_int_equal(a.size, 5000);
	memset(block_of(v, ino, 1) + 6000 - 4096, 0x11, 8192 - 6000);
	memset(block_of(v, ino, 2), 0x11, 14 * FS_BLOCK_SIZE);
	begin(v);
	assert_int_equal(fs_convert(v->fs, ino, 6000, 100000, 106001), -EINVAL);
	assert_int_equal(fs_convert(v->fs, ino, 6000, 100000, 106000), 0);
	end(v);
	assert_int_equal(fs_getattr(v->fs, ino, &a), 0);
	assert_int_equal(a.size, 106000);
	assert_int_equal(block_of(v, ino, 1)[5000 - 4096 - 1], 0x77);
	assert_int_equal(block_of(v, ino, 1)[5000 - 4096], 0); /* the gap */
	assert_int_equal(block_of(v, ino, 1)[6000 - 4096 - 1], 0);
	assert_int_equal(block_of(v, ino, 1)[6000 - 4096], 0x11); /* the data stays */
	all_are(v, ino, 0, 26, FS_DATA);
	all_are(v, ino, 26, 230, FS_UNWRITTEN);
	/* Nothing to do: nothing is done. */
	begin(v);
	assert_int_equal(fs_prepare(v->fs, ino, 0, 1 << 20, 16 << 20), 0);
	assert_int_equal(fs_end(v->fs), 0);
	assert_int_equal(map_at(v, ino, 256, 1).state, FS_HOLE);
	begin(v);
	assert_int_equal(fs_trim(v->fs, ino), 0);
	end(v);
	assert_int_equal(map_at(v, ino, 32, 1).state, FS_HOLE);
	all_are(v, ino, 26, 6, FS_UNWRITTEN); /* of the last cluster */
	reopen(v);
	assert_int_equal(fs_getattr(v->fs, ino, &a), 0);
	assert_int_equal(a.blocks, 32 * 8);
	vol_free(v);
}

/* Short of space a chunk is not taken: the range alone. */
static void test_data_first_short_of_space(void **state)
{
	struct vol *v = vol_new();
	uint32_t ino = make(v, "f", 0);
	struct fs_statfs s;

	(void)state;
	fs_statfs(v->fs, &s);
	begin(v);
	assert_int_equal(fs_prepare(v->fs, ino, 0, 4096, s.bavail * FS_BLOCK_SIZE), 0);
	end(v);
	assert_int_equal(map_at(v, ino, 0, 17).len, 16);
	begin(v);
	assert_int_equal(fs_prepare(v->fs, ino, 0, (s.bavail + 64) * FS_BLOCK_SIZE, 0), -ENOSPC);
	fs_abort(v->fs);
	vol_free(v);
}

static void test_zero_range(void **state)
{
	struct vol *v = vol_new();
	uint32_t ino = make(v, "f", 300000);
	struct fs_attr a;
	uint8_t *first, *last;

	(void)state;
	first = block_of(v, ino, 0);
	last = block_of(v, ino, 50);
	memset(first, 0x33, FS_BLOCK_SIZE);
	memset(last, 0x33, FS_BLOCK_SIZE);
	begin(v);
	assert_int_equal(fs_zero_range(v->fs, ino, 100, 50 * 4096, 0), 0);
	end(v);
	assert_int_equal(map_at(v, ino, 0, 60).len, 1);
	assert_int_equal(map_at(v, ino, 0, 60).state, FS_DATA);
	assert_int_equal(map_at(v, ino, 1, 60).len, 49);
	assert_int_equal(map_at(v, ino, 1, 60).state, FS_UNWRITTEN);
	assert_int_equal(map_at(v, ino, 50, 10).state, FS_DATA);
	assert_int_equal(first[99], 0x33);
	assert_int_equal(first[100], 0);
	assert_int_equal(last[99], 0);
	assert_int_equal(last[100], 0x33);
	begin(v); /* holes and what lies beyond the end become unwritten; the size grows */
	assert_int_equal(fs_punch(v->fs, ino, 65536, 65536), 0);
	end(v);
	begin(v);
	assert_int_equal(fs_zero_range(v->fs, ino, 65536, 1 << 20, 65536 + (1 << 20)), 0);
	end(v);
	all_are(v, ino, 16, 256, FS_UNWRITTEN);
	assert_int_equal(fs_getattr(v->fs, ino, &a), 0);
	assert_int_equal(a.size, 65536 + (1 << 20));
	vol_free(v);
}

/* ---- in steps ----------------------------------------------------------------------------- */

#define EXTENTS 40

/* Every second block of two files in turn: each has EXTENTS extents. */
static void fragmented(struct vol *v, uint32_t ino[2])
{
	ino[0] = make(v, "one", 0);
	ino[1] = make(v, "two", 0);
	for (uint64_t n = 0; n < EXTENTS; n++)
		for (int k = 0; k < 2; k++) {
			uint64_t off = n * 2 * FS_CLUSTER_SIZE;

			begin(v);
			assert_int_equal(fs_alloc(v->fs, ino[k], off, FS_CLUSTER_SIZE,
						  off + FS_CLUSTER_SIZE),
					 0);
			assert_int_equal(fs_end(v->fs), 0);
		}
	assert_int_equal(fs_commit(v->fs), 0);
}

static uint64_t blocks_free(struct vol *v)
{
	struct fs_statfs s;

	fs_statfs(v->fs, &s);
	return s.bfree;
}

/* Deleted in steps; a crash after each of them; what is left goes on at the next open. */
static void test_steps_and_crashes(void **state)
{
	struct fs_open_options opt = { .step_extents = 7 };
	struct vol *v = vol_new();
	uint32_t ino[2], orphan;
	uint64_t at_first = blocks_free(v);
	struct fs_attr a;

	(void)state;
	fragmented(v, ino);
	assert_int_equal(fs_checkpoint(v->fs), 0);
	for (int stop = 0; stop < 7; stop++) {
		struct vol *w = vol_new();

		fs_free(w->fs);
		memcpy(w->t.mem, v->t.mem, BYTES);
		assert_int_equal(fs_open(&w->t.dev, &opt, &w->fs, NULL), 0);
		begin(w);
		assert_int_equal(fs_unlink(w->fs, FS_ROOT_INO, "one", false, NULL), 0);
		end(w);
		assert_true(fs_has_work(w->fs));
		for (int n = 0; n < stop; n++) {
			assert_in_range(fs_work(w->fs, now), 0, 1);
			assert_int_equal(fs_commit(w->fs), 0);
		}
		fs_free(w->fs);
		assert_int_equal(fs_open(&w->t.dev, &opt, &w->fs, NULL), 0);
		assert_int_equal(fs_orphan_next(w->fs, 0, &orphan), 0);
		assert_int_equal(orphan, stop < 5 ? ino[0] : 0);
		if (orphan) { /* it is the caller's to say that nobody has it open */
			assert_false(fs_has_work(w->fs));
			begin(w);
			assert_int_equal(fs_orphan_free(w->fs, orphan), 0);
			end(w);
			(void)all_work(w);
		}
		assert_int_equal(fs_getattr(w->fs, ino[0], &a), -ENOENT);
		assert_int_equal(blocks_free(w), at_first - (EXTENTS + 1) * FS_RATIO);
		vol_free(w);
	}
	vol_free(v);
}

/* Cut from its end: it has every size in between, and is whole at each. */
static void test_cut_ahead(void **state)
{
	struct fs_open_options opt = { .step_extents = 7 };
	const struct fs_attr small = { .size = 100 };
	struct vol *v = vol_new();
	uint64_t at_first = blocks_free(v);
	uint32_t ino[2];
	struct fs_attr a;

	(void)state;
	fs_free(v->fs);
	assert_int_equal(fs_open(&v->t.dev, &opt, &v->fs, NULL), 0);
	fragmented(v, ino);
	assert_int_equal(fs_cut_ahead(v->fs, now, ino[0], UINT64_MAX), -EFBIG);
	assert_int_equal(fs_cut_ahead(v->fs, now, ino[0], 100), 0);
	assert_int_equal(fs_commit(v->fs), 0);
	assert_int_equal(fs_getattr(v->fs, ino[0], &a), 0);
	assert_int_equal(a.size, (39 - 5 * 7 + 1) * 2 * FS_CLUSTER_SIZE);
	all_are(v, ino[0], 4 * 32, 16, FS_DATA);
	all_are(v, ino[0], 5 * 32, 35 * 32, FS_HOLE);
	begin(v);
	assert_int_equal(fs_setattr(v->fs, ino[0], FS_SET_SIZE, &small, NULL), 0);
	end(v);
	assert_int_equal(fs_cut_ahead(v->fs, now, ino[0], 0), 0); /* nothing to do */
	assert_false(fs_uncommitted(v->fs));
	reopen(v);
	begin(v);
	assert_int_equal(fs_unlink(v->fs, FS_ROOT_INO, "one", false, NULL), 0);
	end(v);
	assert_int_equal(blocks_free(v), at_first - (EXTENTS + 1) * FS_RATIO);
	vol_free(v);
}

/* No space is told to anybody while deleted files wait to be freed. */
static void test_space_of_deleted_is_found(void **state)
{
	struct fs_open_options opt = { .step_extents = 2 };
	struct vol *v = vol_new();
	struct fs_statfs s;
	uint32_t ino[2];

	(void)state;
	fs_free(v->fs);
	assert_int_equal(fs_open(&v->t.dev, &opt, &v->fs, NULL), 0);
	fragmented(v, ino);
	(void)make(v, "rest", 0);
	fs_statfs(v->fs, &s);
	begin(v);
	assert_int_equal(fs_prealloc(v->fs, ino[1], 32 << 20, (s.bavail - 64) * FS_BLOCK_SIZE, 0),
			 0);
	end(v);
	begin(v);
	assert_int_equal(fs_unlink(v->fs, FS_ROOT_INO, "one", false, NULL), 0);
	end(v);
	begin(v); /* space is short: the work is done here */
	assert_false(fs_has_work(v->fs));
	assert_int_equal(fs_prealloc(v->fs, ino[1], 96 << 20, EXTENTS * FS_CLUSTER_SIZE, 0), 0);
	end(v);
	begin(v);
	assert_int_equal(fs_prealloc(v->fs, ino[1], 128 << 20, 1 << 20, 0), -ENOSPC);
	fs_abort(v->fs);
	assert_int_equal(fs_make_space(v->fs, now), 0);
	begin(v);
	assert_int_equal(fs_unlink(v->fs, FS_ROOT_INO, "two", false, NULL), 0);
	assert_int_equal(fs_end(v->fs), 0);
	assert_int_equal(fs_make_space(v->fs, now), 1);
	vol_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_follows_changes),
		cmocka_unit_test(test_map_of_many_pieces),
		cmocka_unit_test(test_is_data),
		cmocka_unit_test(test_data_first),
		cmocka_unit_test(test_data_first_short_of_space),
		cmocka_unit_test(test_zero_range),
		cmocka_unit_test(test_steps_and_crashes),
		cmocka_unit_test(test_cut_ahead),
		cmocka_unit_test(test_space_of_deleted_is_found),
	};

	return cmocka_run_group_tests(tests, vol_setup, NULL);
}
