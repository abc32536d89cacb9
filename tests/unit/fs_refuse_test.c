/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is refused at an open, with which words; and that not a byte of it changes, an un-replayed journal or not. */
#include "config.h"

#include "tests/unit/fs_vol.h"

static struct vol *dirty;     /* its node died: the journal is to be replayed */
static uint64_t journal, vol; /* where it and /.csv/vol begin, in bytes */

static struct ext2_super_block *super(uint8_t *mem)
{
	return (struct ext2_super_block *)(mem + SUPERBLOCK_OFFSET);
}

static void sum_super(uint8_t *mem)
{
	struct ext2_super_block *sb = super(mem);

	sb->s_checksum =
		ext2fs_crc32c_le(~0u, (uint8_t *)sb, offsetof(struct ext2_super_block, s_checksum));
}

/* ---- what is done to it --------------------------------------------------------------------- */

static void nothing(uint8_t *mem)
{
	(void)mem;
}

static void zeros(uint8_t *mem)
{
	memset(mem, 0, BYTES);
}

static void xfs(uint8_t *mem)
{
	memset(mem, 0, 1 << 20);
	memcpy(mem, "XFSB", 4);
}

static void lvm(uint8_t *mem)
{
	memset(mem, 0, 1 << 20);
	memcpy(mem + 512, "LABELONE", 8);
	memcpy(mem + 536, "LVM2 001", 8);
}

static void gpt(uint8_t *mem)
{
	memset(mem, 0, 1 << 20);
	memcpy(mem + 512, "EFI PART", 8);
}

static void other_ext4(uint8_t *mem)
{
	memset(super(mem)->s_volume_name, 0, 16);
	memcpy(super(mem)->s_volume_name, "data", 4);
	sum_super(mem);
}

static void no_magic(uint8_t *mem)
{
	super(mem)->s_magic = 0;
}

static void incompat(uint8_t *mem)
{
	super(mem)->s_feature_incompat |= 0x10000; /* encrypt */
	sum_super(mem);
}

static void ro_compat(uint8_t *mem)
{
	super(mem)->s_feature_ro_compat |= 0x10000; /* orphan_present */
	sum_super(mem);
}

static void small_clusters(uint8_t *mem)
{
	super(mem)->s_log_cluster_size = 3;
	sum_super(mem);
}

/* As a number of bits it is more than an integer has. */
static void absurd_blocks(uint8_t *mem)
{
	super(mem)->s_log_block_size = 142;
	sum_super(mem);
}

static void larger(uint8_t *mem)
{
	super(mem)->s_blocks_count += 16;
	sum_super(mem);
}

static void no_groups(uint8_t *mem)
{
	super(mem)->s_inodes_per_group = 0;
	sum_super(mem);
}

static void marked_bad(uint8_t *mem)
{
	super(mem)->s_state |= EXT2_ERROR_FS;
	sum_super(mem);
}

static void bad_super(uint8_t *mem)
{
	super(mem)->s_mtime ^= 0x55;
}

static void bad_group(uint8_t *mem)
{
	mem[FS_BLOCK_SIZE + 0x0c] ^= 1; /* free blocks of group 0 */
}

static void bad_journal_inode(uint8_t *mem)
{
	super(mem)->s_journal_inum = 9;
	sum_super(mem);
}

static uint8_t *vol_block(uint8_t *mem)
{
	return mem + vol;
}

static void newer(uint8_t *mem)
{
	uint8_t *b = vol_block(mem);
	uint32_t crc;

	b[12] = 2;
	memset(b + 8, 0, 4);
	crc = ext2fs_crc32c_le(~0u, b, FS_BLOCK_SIZE);
	memcpy(b + 8, &crc, 4);
}

static void bad_vol(uint8_t *mem)
{
	vol_block(mem)[200] ^= 1;
}

static void orphan_circle(uint8_t *mem)
{
	super(mem)->s_last_orphan = 3000000;
	sum_super(mem);
}

static struct jbd2_super *jsb(uint8_t *mem)
{
	return (struct jbd2_super *)(mem + journal);
}

static void sum_journal(uint8_t *mem)
{
	jsb(mem)->checksum = htobe32(jbd2_super_csum(jsb(mem)));
}

static void j_magic(uint8_t *mem)
{
	jsb(mem)->h.magic ^= 1;
	sum_journal(mem);
}

static void j_type(uint8_t *mem)
{
	jsb(mem)->h.type = htobe32(2);
	sum_journal(mem);
}

static void j_blocksize(uint8_t *mem)
{
	jsb(mem)->blocksize = htobe32(1024);
	sum_journal(mem);
}

static void j_maxlen(uint8_t *mem)
{
	jsb(mem)->maxlen = htobe32(17);
	sum_journal(mem);
}

static void j_first(uint8_t *mem)
{
	jsb(mem)->first = 0;
	sum_journal(mem);
}

static void j_first_far(uint8_t *mem)
{
	jsb(mem)->first = htobe32(0x7fffffff);
	sum_journal(mem);
}

static void j_start(uint8_t *mem)
{
	jsb(mem)->start = htobe32(0xfffffff0);
	sum_journal(mem);
}

static void j_features(uint8_t *mem)
{
	jsb(mem)->feature_incompat |= htobe32(0x40);
	sum_journal(mem);
}

static void j_foreign(uint8_t *mem)
{
	jsb(mem)->feature_incompat = 0;
	sum_journal(mem);
}

static void j_uuid(uint8_t *mem)
{
	jsb(mem)->uuid[3] ^= 1; /* the checksum is wrong, too */
}

static void j_sequence(uint8_t *mem)
{
	jsb(mem)->sequence ^= 1;
}

static void j_checksum(uint8_t *mem)
{
	jsb(mem)->checksum ^= 1;
}

/* ---- the table ---------------------------------------------------------------------------- */

static const uint8_t right[FS_UUID_SIZE] = { 1 }, wrong[FS_UUID_SIZE] = { 9 },
		     no_cluster[FS_UUID_SIZE] = { 0 };

static const struct refusal {
	const char *name;
	void (*spoil)(uint8_t *mem);
	int r;
	const char *words;
	bool clean; /* a volume that was closed: otherwise the journal would heal it */
	const uint8_t *volume, *cluster;
	uint64_t bytes;
} table[] = {
	{ "zero disk", zeros, -ENODEV, "no cluster volume" },
	{ "xfs", xfs, -ENODEV, "XFS" },
	{ "LVM", lvm, -ENODEV, "LVM" },
	{ "GPT", gpt, -ENODEV, "GPT" },
	{ "somebody's ext4", other_ext4, -ENODEV, "ext2/3/4" },
	{ "no magic", no_magic, -ENODEV, "no cluster volume" },
	{ "another volume", nothing, -EXDEV, "another volume", .volume = wrong },
	{ "another cluster", nothing, -EXDEV, "another cluster", .cluster = wrong },
	{ "newer format", newer, -ENOTSUP, "volume format 2" },
	{ "unknown feature", incompat, -ENOTSUP, "features" },
	{ "unknown ro feature", ro_compat, -ENOTSUP, "features" },
	{ "other clusters", small_clusters, -ENOTSUP, "cluster size" },
	{ "absurd blocks", absurd_blocks, -ENOTSUP, "block or cluster size" },
	{ "truncated LUN", nothing, -EUCLEAN, "larger than the device", .bytes = BYTES / 2 },
	{ "larger than the LUN", larger, -EUCLEAN, "larger than the device" },
	{ "no inodes", no_groups, -EUCLEAN, "open the file system" },
	{ "marked as damaged", marked_bad, -EUCLEAN, "marked as damaged", .clean = true },
	{ "superblock's sum", bad_super, -EUCLEAN, "superblock's checksum", .clean = true },
	{ "group's sum", bad_group, -EUCLEAN, "checksum of group 0", .clean = true },
	{ "journal elsewhere", bad_journal_inode, -ENOTSUP, "journal is not inode 8" },
	{ "volume block's sum", bad_vol, -EUCLEAN, "/.csv/vol is damaged" },
	{ "orphan list", orphan_circle, -EUCLEAN, "orphan list", .clean = true },
	{ "journal magic", j_magic, -EUCLEAN, "no superblock" },
	{ "journal type", j_type, -EUCLEAN, "no superblock" },
	{ "journal block size", j_blocksize, -EUCLEAN, "size" },
	{ "journal length", j_maxlen, -EUCLEAN, "size" },
	{ "journal first", j_first, -EUCLEAN, "size" },
	{ "journal first far", j_first_far, -EUCLEAN, "size" },
	{ "journal start", j_start, -EUCLEAN, "starts outside" },
	{ "journal features", j_features, -ENOTSUP, "unknown features" },
	{ "journal not ours", j_foreign, -ENOTSUP, "did not write" },
	{ "journal uuid", j_uuid, -EUCLEAN, "checksum" },
	{ "journal sequence", j_sequence, -EUCLEAN, "checksum" },
	{ "journal sum", j_checksum, -EUCLEAN, "checksum" },
};

static void check(const struct refusal *c, uint8_t *before)
{
	struct fs_open_options opt = { .volume_uuid = c->volume ? c->volume : right,
				       .cluster_uuid = c->cluster ? c->cluster : no_cluster };
	struct cl_error err = CL_ERROR_INIT;
	struct fs *fs = NULL;
	struct trace_dev t;
	int r;

	assert_int_equal(trace_dev_init(&t, c->bytes ? c->bytes : BYTES, NULL), 0);
	memcpy(t.mem, c->clean ? fresh : dirty->t.mem, t.dev.bytes);
	if (!c->bytes)
		c->spoil(t.mem);
	memcpy(before, t.mem, t.dev.bytes);
	t.tracing = true;
	r = fs_open(&t.dev, &opt, &fs, &err);
	fs_free(fs);
	if (r != c->r || !strstr(err.msg, c->words) || strchr(err.msg, '\n'))
		fail_msg("%s: %d '%s' instead of %d '%s'", c->name, r, err.msg, c->r, c->words);
	if (t.events.n || memcmp(before, t.mem, t.dev.bytes) != 0)
		fail_msg("%s: was written to", c->name);
	trace_dev_fini(&t);
}

static void test_refusals(void **state)
{
	uint8_t *before = malloc(BYTES);

	(void)state;
	for (size_t n = 0; n < sizeof(table) / sizeof(table[0]); n++)
		check(&table[n], before);
	free(before);
}

/*
 * Offline jobs work below the file system: what is another's they leave alone, what is merely damaged they do
 * not refuse, for to repair it is what they are for.
 */
static void whose(const struct refusal *c)
{
	bool others = c->r == -EXDEV || (c->r == -ENODEV && !strstr(c->words, "no cluster volume"));
	struct cl_error err = CL_ERROR_INIT;
	struct trace_dev t;
	int r;

	assert_int_equal(trace_dev_init(&t, c->bytes ? c->bytes : BYTES, NULL), 0);
	memcpy(t.mem, c->clean ? fresh : dirty->t.mem, t.dev.bytes);
	if (!c->bytes)
		c->spoil(t.mem);
	t.tracing = true;
	r = fs_whose(&t.dev, c->volume ? c->volume : right, c->cluster ? c->cluster : no_cluster,
		     &err);
	if (r != (others ? -EXDEV : 0) || (others && !strstr(err.msg, c->words)))
		fail_msg("%s: %d '%s'", c->name, r, err.msg);
	assert_int_equal(t.events.n, 0);
	trace_dev_fini(&t);
}

static void test_others_are_left_alone(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(table) / sizeof(table[0]); n++)
		whose(&table[n]);
}

/* The same volumes, not spoiled, are opened; the dirty one is written to. */
static void test_what_is_right_is_opened(void **state)
{
	struct fs_open_options opt = { .volume_uuid = right, .cluster_uuid = no_cluster };
	struct trace_dev t;
	uint32_t ino;
	struct fs *fs;

	(void)state;
	assert_int_equal(trace_dev_init(&t, BYTES, NULL), 0);
	t.tracing = true;
	memcpy(t.mem, fresh, BYTES);
	assert_int_equal(fs_open(&t.dev, &opt, &fs, NULL), 0);
	fs_free(fs);
	assert_int_equal(t.events.n, 0);
	memcpy(t.mem, dirty->t.mem, BYTES);
	assert_int_equal(fs_open(&t.dev, &opt, &fs, NULL), 0);
	assert_int_equal(fs_lookup(fs, FS_ROOT_INO, "in-the-journal", &ino), 0);
	fs_free(fs);
	assert_true(t.events.n > 0);
	trace_dev_fini(&t);
}

/* The superblock torn between its sectors while the flag was written, in both ways: opened, and in order afterwards. */
static void test_torn_flag(void **state)
{
	(void)state;
	for (int half = 0; half < 2; half++)
		for (int set = 0; set < 2; set++) {
			struct vol *v = vol_new();
			uint8_t other[1024], *sb = v->t.mem + SUPERBLOCK_OFFSET;
			struct fs *fs;

			fs_free(v->fs);
			v->fs = NULL;
			memcpy(other, sb, 1024);
			super(v->t.mem)->s_feature_incompat ^= EXT3_FEATURE_INCOMPAT_RECOVER;
			sum_super(v->t.mem);
			/* now sb has the flag, other has not: one is old, the other new */
			if (half)
				memcpy(sb + 512 * set, other + 512 * set, 512);
			else
				memcpy(sb + 512 * !set, other + 512 * !set, 512);
			assert_int_equal(fs_open(&v->t.dev, NULL, &fs, NULL), 0);
			fs_free(fs);
			assert_int_equal(super(v->t.mem)->s_feature_incompat &
						 EXT3_FEATURE_INCOMPAT_RECOVER,
					 0);
			assert_memory_equal(sb, other, 1024);
			vol_free(v);
		}
}

static int setup(void **state)
{
	if (vol_setup(state) < 0)
		return -1;
	dirty = vol_new();
	(void)make(dirty, "in-the-journal", 5000);
	journal = dirty->fs->log.map[0] * FS_BLOCK_SIZE;
	vol = dirty->fs->vol_pblk * FS_BLOCK_SIZE;
	fs_free(dirty->fs);
	dirty->fs = NULL;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_others_are_left_alone),
		cmocka_unit_test(test_what_is_right_is_opened),
		cmocka_unit_test(test_torn_flag),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
