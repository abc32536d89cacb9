/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "tests/crash/workload.h"

#include <stdio.h>
#include <string.h>

#include "csv/fs_int.h"
#include "tests/crash/workload_int.h"

static const uint8_t volume_uuid[FS_UUID_SIZE] = { 1, 2,  3,  4,  5,  6,  7,  8,
						   9, 10, 11, 12, 13, 14, 15, 16 };

int workload_mkfs(struct trace_dev *t, struct cl_error *err)
{
	struct fs_mkfs_options opt = { .name = "crash", .now = { 1700000000, 0 }, .force = true };

	memcpy(opt.volume_uuid, volume_uuid, sizeof(volume_uuid));
	memset(opt.cluster_uuid, 7, sizeof(opt.cluster_uuid));
	return fs_mkfs(&t->dev, &opt, err);
}

unsigned wl_rnd(struct workload *w, unsigned n)
{
	w->rng = w->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((w->rng >> 33) % n);
}

/* ---- states ----------------------------------------------------------------------------- */

static void take(struct workload *w)
{
	struct canon c;
	int r = canon_take(w->fs, &w->t->dev, NULL, &c);

	if (r < 0) {
		fprintf(stderr, "workload: state %zu cannot be read: %d\n", w->states.n, r);
		exit(3);
	}
	if (canon_vec_push(&w->states, c) < 0)
		exit(3);
	trace_dev_mark(w->t, w->states.n - 1);
}

void wl_commit(struct workload *w)
{
	uint32_t head = w->fs->writer.head;
	int r = fs_commit(w->fs);

	w->wraps += w->fs->writer.head < head;

	if (r < 0) {
		fprintf(stderr, "workload: commit: %d\n", r);
		exit(3);
	}
	take(w);
}

void wl_must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "workload: %s: %d\n", what, r);
		exit(3);
	}
}

void wl_work(struct workload *w)
{
	wl_must(fs_work(w->fs, (struct timespec){ w->now, 0 }), "work");
	wl_commit(w);
}

/* fs_begin() would go on with deletions when space is short; here, so that each state is taken. */
static void work_when_short(struct workload *w)
{
	struct fs_statfs s;

	if (fs_has_work(w->fs) && fs_uncommitted(w->fs))
		wl_commit(w);
	fs_statfs(w->fs, &s);
	while (fs_has_work(w->fs) && s.bfree < 2500)
		wl_work(w);
}

void wl_begin(struct workload *w)
{
	struct canon c = { 0 };
	bool before;
	int r;

	work_when_short(w);
	before = fs_uncommitted(w->fs);
	/* begin may commit by itself: the state it makes durable is the one before it. */
	if (before)
		(void)canon_take(w->fs, &w->t->dev, NULL, &c);
	w->now += 7;
	r = fs_begin(w->fs, (struct timespec){ w->now, (long)(w->now % 1000) * 1000 });
	if (r < 0) {
		fprintf(stderr, "workload: begin: %d\n", r);
		exit(3);
	}
	if (before && !fs_uncommitted(w->fs)) {
		if (canon_vec_push(&w->states, c) < 0)
			exit(3);
		trace_dev_mark(w->t, w->states.n - 1);
	}
}

int wl_finish(struct workload *w, int r, bool spoil)
{
	if (r >= 0 && !spoil)
		r = fs_end(w->fs);
	if (r < 0 || spoil) {
		if (r == -EUCLEAN || r == -EIO)
			fprintf(stderr, "workload: operation failed with %d\n", r);
		fs_abort(w->fs);
		w->aborts++;
		return r < 0 ? r : -ECANCELED;
	}
	w->ops++;
	return 0;
}

void wl_write_block(struct workload *w, uint64_t pblk, const void *block)
{
	w->t->users = true;
	(void)fs_dev_write(&w->t->dev, pblk * FS_BLOCK_SIZE, block, FS_BLOCK_SIZE, 0);
	w->t->users = false;
}

void wl_write_data(struct workload *w, uint32_t ino, uint64_t lblk)
{
	uint8_t block[FS_BLOCK_SIZE];
	struct fs_extent e;

	if (fs_uncommitted(w->fs))
		wl_commit(w); /* nobody writes before the map is durable */
	if (fs_map(w->fs, ino, lblk, 1, &e, 1) != 1 || e.state != FS_DATA)
		return;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(wl_rnd(w, 256));
	if (wl_rnd(w, 8) == 0)
		memcpy(block, "\xc0\x3b\x39\x98", 4);
	wl_write_block(w, e.pblk, block);
	(void)fs_dev_flush(&w->t->dev);
	take(w);
}

uint32_t wl_find(struct workload *w, uint32_t dir, const char *name)
{
	uint32_t ino;

	return fs_lookup(w->fs, dir, name, &ino) == 0 ? ino : 0;
}

int workload_run(struct workload *w, struct trace_dev *t, uint64_t seed, unsigned steps,
		 unsigned defects, unsigned checkpoint_blocks, struct cl_error *err)
{
	struct fs_open_options opt = { .volume_uuid = volume_uuid,
				       .defects = defects,
				       .step_extents = 3,
				       .checkpoint_blocks = checkpoint_blocks };
	int r;

	*w = (struct workload){ .t = t, .rng = seed * 77 + 1, .now = 1700000100 };
	r = fs_open(&t->dev, &opt, &w->fs, err);
	if (r < 0)
		return r;
	t->tracing = true;
	take(w);
	wl_script(w, steps);
	for (unsigned i = 0; i < steps; i++) {
		for (unsigned k = 1 + wl_rnd(w, 3); k; k--)
			if (wl_random_op(w) < 0)
				w->refused++;
		if (fs_uncommitted(w->fs))
			wl_commit(w);
		if (fs_has_work(w->fs) && wl_rnd(w, 2))
			wl_work(w);
	}
	r = fs_close(w->fs);
	t->tracing = false;
	return r < 0 ? cl_error_errno(err, r, "close") : 0;
}

void workload_fini(struct workload *w)
{
	fs_free(w->fs);
	canon_vec_fini(&w->states);
}
