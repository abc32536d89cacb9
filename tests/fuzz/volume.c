/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Target: a LUN whose metadata was damaged: opened, replayed, walked through. An input is a list of
 * patches (offset, byte) of a good volume. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "csv/fs_check.h"
#include "csv/fs_int.h"
#include "lib/le.h"
#include "tests/crash/trace_dev.h"
#include "tests/fuzz/fuzz.h"

#define BYTES (32u << 20)
#define PATCH 5

static struct trace_dev good;
static uint8_t *work;
static uint32_t used[4096]; /* blocks that are not zero: where damage hurts */
static size_t n_used;

static void populate(void)
{
	const struct fs_new file = { .mode = S_IFREG | 0644 }, dir = { .mode = 0755 };
	const struct timespec when = { 1700000000, 0 };
	struct fs_attr a, d;
	struct fs *fs;

	fuzz_claim(fs_open(&good.dev, NULL, &fs, NULL) == 0 && fs_begin(fs, when) == 0,
		   "the good volume does not open");
	(void)fs_mkdir(fs, FS_ROOT_INO, "dir", &dir, &d);
	for (int i = 0; i < 40; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "file-with-a-name-%d", i);
		if (fs_mknod(fs, i % 2 ? d.ino : FS_ROOT_INO, name, &file, &a) == 0)
			(void)fs_alloc(fs, a.ino, (uint64_t)i * 65536, 65536,
				       (uint64_t)(i + 1) * 65536);
	}
	fuzz_claim(fs_end(fs) == 0 && fs_commit(fs) == 0, "the good volume cannot be filled");
	fs_free(fs); /* without a close: there is something to replay */
}

static void make_good(void)
{
	const struct fs_mkfs_options opt = { .name = "fuzz",
					     .volume_uuid = { 1 },
					     .now = { 1700000000, 0 } };
	static const uint8_t zeros[4096];

	if (work)
		return;
	fuzz_claim(trace_dev_init(&good, BYTES, NULL) == 0 && fs_mkfs(&good.dev, &opt, NULL) == 0,
		   "no volume can be made");
	populate();
	for (uint32_t b = 0; b < BYTES / 4096 && n_used < sizeof(used) / sizeof(used[0]); b++)
		if (memcmp(good.mem + (size_t)b * 4096, zeros, 4096) != 0)
			used[n_used++] = b;
	work = malloc(BYTES);
	memcpy(work, good.mem, BYTES);
}

static size_t seed_volume(uint32_t number, uint8_t *buf, size_t max)
{
	size_t n = 1 + number % 12;

	(void)max;
	make_good();
	for (size_t i = 0; i < n; i++) {
		/* Of a block that means something; in front more often: superblock, descriptors. */
		size_t k = fuzz_random() % n_used;
		uint32_t at = used[fuzz_random() % 3 ? k : k % 16] * 4096u;

		cl_put_le32(buf + i * PATCH,
			    at + (fuzz_random() % 2 ? fuzz_random() % 256 : fuzz_random() % 4096));
		buf[i * PATCH + 4] = (uint8_t)fuzz_random();
	}
	return n * PATCH;
}

static bool look_at(void *user, const char *name, uint32_t ino, unsigned type, uint64_t next)
{
	struct fs_attr a;
	struct fs_extent x;

	(void)name, (void)type, (void)next;
	(void)fs_getattr(user, ino, &a);
	(void)fs_map(user, ino, 0, 1 << 20, &x, 1);
	return true;
}

static void walk(struct fs *fs)
{
	const struct timespec when = { 1700000001, 0 };
	const struct fs_new file = { .mode = S_IFREG | 0644 };
	struct fs_attr a;
	uint32_t dir;

	(void)fs_readdir(fs, FS_ROOT_INO, 0, look_at, fs);
	if (fs_lookup(fs, FS_ROOT_INO, "dir", &dir) == 0)
		(void)fs_readdir(fs, dir, 0, look_at, fs);
	if (fs_begin(fs, when) < 0)
		return;
	if (fs_mknod(fs, FS_ROOT_INO, "new", &file, &a) == 0 &&
	    fs_alloc(fs, a.ino, 0, 65536, 65536) == 0)
		(void)fs_end(fs);
	else
		fs_abort(fs);
	(void)fs_commit(fs);
}

static void one_volume(const uint8_t *data, size_t len)
{
	struct cl_error err = CL_ERROR_INIT;
	struct trace_dev t;
	struct fs *fs = NULL;

	make_good();
	memcpy(work, good.mem, BYTES);
	for (size_t i = 0; i + PATCH <= len; i += PATCH)
		work[cl_get_le32(data + i) % BYTES] = data[i + 4];
	fuzz_claim(trace_dev_init(&t, BYTES, work) == 0, "no memory");
	if (fs_open(&t.dev, NULL, &fs, &err) < 0)
		fuzz_claim(err.msg[0] != 0, "a volume is refused without a word");
	else
		walk(fs);
	fs_free(fs);
	t.mem = NULL; /* ours, for the next one */
	trace_dev_fini(&t);
}

const struct fuzz_target fuzz_targets[] = {
	{ "volume", seed_volume, one_volume, 1 },
	{ 0 },
};
