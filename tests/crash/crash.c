/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crash: every point at which a volume's node can die. One run of the workload is traced; for each
 * point an image of what the device may then hold is built, recovered, checked by e2fsck and
 * compared with the states that are allowed: the last one that was durable, or the next one.
 *
 *   prefix   all writes up to the point, in order, cut at 4 KiB
 *   subset   a random part of the writes since the last flush, in random order (volatile cache);
 * FUA ones stay
 *   torn     as subset, and blocks of it are torn: some of their sectors of 512 bytes are new, the others old; the write that
 * is under way at the point, FUA or not, is torn too
 *
 * Recovery: our replay (now and then cut short and done again) + orphans; at every fourth point the next coordinator works on and
 * dies too; and, at random points (one of --fsck-every), e2fsck -fy on
 * another copy. After each `e2fsck -fn` must find nothing to say.
 */
#include "config.h"

#include <fcntl.h>
#include <getopt.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "csv/fs_int.h"
#include "lib/assert.h"
#include "tests/crash/workload.h"

#define IMAGE_BYTES (32u << 20)

extern char **environ;

struct config {
	unsigned steps, jobs, subsets, torn, every, checkpoint, defects, fsck_every;
	uint64_t seed;
	bool verbose, stop_at_first;
};

struct job {
	const struct config *cfg;
	const struct workload *w;
	const struct trace_vec *trace;
	unsigned id;
	uint8_t *stable; /* everything up to the last flush, and FUA writes since */
	uint8_t *image;	 /* of the point: the mapping of the file that e2fsck gets */
	char path[64];
	int fd;
	uint64_t rng;
	unsigned points, bad;
};

static unsigned rnd(uint64_t *s, unsigned n)
{
	*s = *s * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((*s >> 33) % n);
}

/* ---- checking one point ----------------------------------------------------------------- */

static int e2fsck(struct job *j, const char *flags)
{
	const char *argv[] = { "e2fsck", flags, j->path, NULL };
	posix_spawn_file_actions_t fa;
	int status, r;
	pid_t pid;

	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_addopen(
		&fa, 1, j->cfg->verbose ? "/dev/stderr" : "/dev/null", O_WRONLY, 0);
	(void)posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	r = posix_spawn(&pid, "/usr/sbin/e2fsck", &fa, NULL, (char *const *)argv, environ);
	if (r)
		r = posix_spawn(&pid, "/sbin/e2fsck", &fa, NULL, (char *const *)argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	/* 8 and more: it could not do its work. That says nothing about the volume. */
	if (r || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) >= 8) {
		fprintf(stderr, "crash: e2fsck %s could not run: %s\n", flags,
			r ? strerror(r) : "see its exit status");
		_exit(2);
	}
	return WEXITSTATUS(status);
}

static void bad(struct job *j, size_t at, const char *model, const char *what, uint64_t c)
{
	j->bad++;
	fprintf(stderr, "crash: BAD point %zu (%s, state %llu): %s\n", at, model,
		(unsigned long long)c, what);
}

static int free_orphans(struct fs *fs)
{
	uint32_t ino;
	int r;

	while ((r = fs_orphan_next(fs, 0, &ino)) == 0 && ino) {
		r = fs_begin(fs, (struct timespec){ 1800000000, 0 });
		if (r < 0)
			return r;
		r = fs_orphan_free(fs, ino);
		if (r == 0)
			r = fs_end(fs);
		if (r < 0) {
			fs_abort(fs);
			return r;
		}
	}
	return r;
}

static const char *compare(const struct job *j, uint64_t c, const struct canon *got, bool orphans)
{
	const struct canon_vec *s = &j->w->states;

	for (uint64_t n = c; n <= c + 1 && n < s->n; n++)
		if (orphans ? s->v[n].hash == got->hash : s->v[n].linked == got->linked)
			return NULL;
	return orphans ? "the state is neither the last durable one nor the next"
		       : "after e2fsck the state is neither the last durable one nor the next";
}

static void apply(uint8_t *image, const struct trace_event *e)
{
	memcpy(image + e->off, e->data, FS_BLOCK_SIZE);
}

static bool is_write(const struct trace_event *e)
{
	return e->kind == TRACE_WRITE || e->kind == TRACE_FUA;
}

/* One more commit in the second life. */
static int live_on(struct fs *fs, struct trace_dev *dev, unsigned n, struct canon *ret)
{
	struct fs_new file = { .mode = S_IFREG | 0600 };
	struct fs_vol vol;
	char name[32];
	int r = fs_begin(fs, (struct timespec){ 1790000000, n });

	if (r < 0)
		return r;
	fs_vol_get(fs, &vol);
	(void)snprintf(name, sizeof(name), "second-life-%u", n);
	r = fs_set_epoch(fs, vol.epoch + 1);
	if (r == 0)
		r = fs_mknod(fs, FS_ROOT_INO, name, &file, NULL);
	r = r == 0 ? fs_end(fs) : r;
	if (r < 0)
		fs_abort(fs);
	if (r == 0)
		r = fs_commit(fs);
	if (r == 0)
		r = canon_take(fs, &dev->dev, NULL, ret);
	trace_dev_mark(dev, n);
	return r;
}

#define LIVES 3

/*
 * The take-over's coordinator works on and dies too: its transactions lie over the remains of the first log, and the replay
 * must not take one for the other. Leaves the image as it found it (the recovered one).
 */
static const char *second_life(struct job *j)
{
	uint8_t *snap = malloc(IMAGE_BYTES);
	struct canon states[LIVES + 1], got;
	struct fs *fs = NULL;
	struct trace_dev dev;
	const char *what = "second life: cannot go on";
	size_t cut, c = 0;
	int r;

	cl_assert(snap);
	memcpy(snap, j->image, IMAGE_BYTES);
	(void)trace_dev_init(&dev, IMAGE_BYTES, j->image);
	r = fs_open(&dev.dev, NULL, &fs, NULL);
	if (r == 0)
		r = canon_take(fs, &dev.dev, NULL, &states[0]);
	dev.tracing = true;
	for (unsigned n = 1; n <= LIVES && r == 0; n++)
		r = live_on(fs, &dev, n, &states[n]);
	fs_free(fs);
	fs = NULL;
	if (r < 0)
		goto out;
	memcpy(j->image, snap, IMAGE_BYTES);
	cut = rnd(&j->rng, (unsigned)dev.events.n + 1);
	for (size_t i = 0; i < cut; i++) {
		if (is_write(&dev.events.v[i]))
			apply(j->image, &dev.events.v[i]);
		else if (dev.events.v[i].kind == TRACE_MARK)
			c = dev.events.v[i].off;
	}
	what = "second life: wrong state";
	if (fs_open(&dev.dev, NULL, &fs, NULL) == 0 && canon_take(fs, &dev.dev, NULL, &got) == 0 &&
	    (got.hash == states[c].hash || (c < LIVES && got.hash == states[c + 1].hash)))
		what = NULL;
	fs_free(fs);
	memcpy(j->image, snap, IMAGE_BYTES);
out:
	dev.mem = snap; /* freed with the trace; the image is a mapping */
	trace_dev_fini(&dev);
	return what;
}

/* The recovery itself is cut short, and done again. */
static int open_again(struct job *j, struct trace_dev *dev, struct fs **ret, struct cl_error *err)
{
	int r;

	if (rnd(&j->rng, 4) == 0) {
		dev->fail_after = rnd(&j->rng, 12);
		if (fs_open(&dev->dev, NULL, ret, NULL) == 0)
			fs_free(*ret);
		dev->fail_after = -1;
		*ret = NULL;
	}
	r = fs_open(&dev->dev, NULL, ret, err);
	return r;
}

/* Our own recovery of the image, in place. NULL = good. */
static const char *own_recovery(struct job *j, uint64_t c)
{
	_cleanup_(fs_freep) struct fs *fs = NULL;
	static char text[700];
	struct cl_error err = CL_ERROR_INIT;
	struct trace_dev dev;
	struct canon got;
	const char *what;

	(void)trace_dev_init(&dev, IMAGE_BYTES, j->image);
	if (open_again(j, &dev, &fs, &err) < 0) {
		(void)snprintf(text, sizeof(text), "open: %s", err.msg);
		return text;
	}
	if (canon_take(fs, &dev.dev, NULL, &got) < 0)
		return "the state cannot be read";
	what = compare(j, c, &got, true);
	if (!what && j->points % 4 == 0)
		what = second_life(j);
	if (what)
		return what;
	if (free_orphans(fs) < 0 || fs_close(fs) < 0)
		return "orphans or close failed";
	return e2fsck(j, "-fn") ? "e2fsck -fn found errors after our replay" : NULL;
}

/*
 * The flag's write was torn. e2fsck would take a backup of the superblock, but a volume as small as this has none; our own
 * open has to cope with it all the same.
 */
static bool super_is_torn(const struct job *j)
{
	const uint8_t *sb = j->image + 1024;
	uint32_t csum;

	memcpy(&csum, sb + 1020, 4);
	return ext2fs_crc32c_le(~0u, sb, 1020) != csum;
}

static const char *fsck_recovery(struct job *j, uint64_t c)
{
	_cleanup_(fs_freep) struct fs *fs = NULL;
	struct fs_open_options opt = { .read_only = true };
	struct trace_dev dev;
	struct canon got;
	int r = super_is_torn(j) ? -1 : e2fsck(j, "-fy");

	if (r < 0)
		return NULL;
	if (r > 1)
		return "e2fsck -fy failed";
	if (e2fsck(j, "-fn"))
		return "e2fsck -fn found errors after e2fsck -fy";
	(void)trace_dev_init(&dev, IMAGE_BYTES, j->image);
	if (fs_open(&dev.dev, &opt, &fs, NULL) < 0 || canon_take(fs, &dev.dev, NULL, &got) < 0)
		return "what e2fsck left cannot be read";
	return compare(j, c, &got, false);
}

/* ---- images ----------------------------------------------------------------------------- */

/* All writes of the epoch [from, to). */
static void build_prefix(struct job *j, size_t from, size_t to)
{
	memcpy(j->image, j->stable, IMAGE_BYTES);
	for (size_t i = from; i < to; i++)
		if (is_write(&j->trace->v[i]))
			apply(j->image, &j->trace->v[i]);
}

#define SECTOR 512

/* Some of its sectors. */
static void apply_torn(struct job *j, const struct trace_event *e)
{
	unsigned mask = rnd(&j->rng, 256);

	if (rnd(&j->rng, 2)) /* the likely way: from one end */
		mask = rnd(&j->rng, 2) ? 0xffu << rnd(&j->rng, 8) : 0xffu >> rnd(&j->rng, 8);
	for (unsigned k = 0; k < FS_BLOCK_SIZE / SECTOR; k++)
		if (mask >> k & 1)
			memcpy(j->image + e->off + (size_t)k * SECTOR, e->data + (size_t)k * SECTOR,
			       SECTOR);
}

static void build_one(struct job *j, const struct trace_event *e, unsigned keep, bool torn)
{
	if (e->kind != TRACE_WRITE || rnd(&j->rng, 8) >= keep)
		return;
	if (torn && !e->users && rnd(&j->rng, 2))
		apply_torn(j, e);
	else
		apply(j->image, e);
}

/* FUA writes and a random part of the others, these in random order. */
static void build_subset(struct job *j, size_t from, size_t to, bool torn)
{
	size_t n = to - from;
	size_t *order = calloc(n + 1, sizeof(*order));
	unsigned keep = 1 + rnd(&j->rng, 7);

	cl_assert(order);
	memcpy(j->image, j->stable, IMAGE_BYTES);
	for (size_t i = 0; i < n; i++)
		order[i] = from + i;
	for (size_t i = n; i > 1; i--) {
		size_t k = rnd(&j->rng, (unsigned)i), x = order[i - 1];

		order[i - 1] = order[k];
		order[k] = x;
	}
	for (size_t i = 0; i < n; i++)
		build_one(j, &j->trace->v[order[i]], keep, torn);
	for (size_t i = from; i < to; i++)
		if (j->trace->v[i].kind == TRACE_FUA && !(torn && i + 1 == to))
			apply(j->image, &j->trace->v[i]);
	if (torn && j->trace->v[to - 1].kind == TRACE_FUA)
		apply_torn(j, &j->trace->v[to - 1]);
	free(order);
}

enum model { PREFIX, SUBSET, TORN };

static void build(struct job *j, size_t epoch, size_t to, enum model model)
{
	if (model == PREFIX)
		build_prefix(j, epoch, to);
	else
		build_subset(j, epoch, to, model == TORN);
}

static void check_point(struct job *j, size_t epoch, size_t to, uint64_t c, enum model model)
{
	static const char *const names[] = { "prefix", "subset", "torn" };
	const char *what;
	uint64_t rng = j->rng;

	build(j, epoch, to, model);
	what = own_recovery(j, c);
	if (what)
		bad(j, to, names[model], what, c);
	j->points++;
	if (what || rnd(&j->rng, j->cfg->fsck_every))
		return;
	j->rng = rng;
	build(j, epoch, to, model);
	what = fsck_recovery(j, c);
	if (what)
		bad(j, to, names[model], what, c);
}

/* ---- all points of a job ---------------------------------------------------------------- */

static bool mine(const struct job *j, size_t n)
{
	return n % j->cfg->every == 0 && n / j->cfg->every % j->cfg->jobs == j->id;
}

/* What was written before a flush is stable; a FUA write is by itself, but does not carry older
 * ones along. */
static void make_stable(struct job *j, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (is_write(&j->trace->v[i]))
			apply(j->stable, &j->trace->v[i]);
}

static void run_points(struct job *j)
{
	size_t epoch = 0, n = 0;
	uint64_t c = 0;

	for (size_t i = 0; i < j->trace->n && !(j->bad && j->cfg->stop_at_first); i++) {
		const struct trace_event *e = &j->trace->v[i];

		if (e->kind == TRACE_MARK)
			c = e->off;
		if (e->kind == TRACE_FLUSH) {
			make_stable(j, epoch, i);
			epoch = i;
		}
		if (!is_write(e))
			continue;
		if (mine(j, n))
			check_point(j, epoch, i + 1, c, PREFIX);
		for (unsigned s = 0; s < j->cfg->subsets && mine(j, n); s++)
			check_point(j, epoch, i + 1, c, SUBSET);
		for (unsigned s = 0; s < j->cfg->torn && mine(j, n); s++)
			check_point(j, epoch, i + 1, c, TORN);
		n++;
	}
}

static void job_init(struct job *j)
{
	j->rng = j->cfg->seed * 31 + j->id;
	/* Without a name nobody else can remove it, and nothing is left behind. e2fsck inherits it. */
	j->fd = memfd_create("csv-crash", 0);
	if (j->fd < 0 || ftruncate(j->fd, IMAGE_BYTES) < 0) {
		perror("crash: memfd");
		_exit(2);
	}
	(void)snprintf(j->path, sizeof(j->path), "/proc/self/fd/%d", j->fd);
	j->image = mmap(NULL, IMAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, j->fd, 0);
	if (j->image == MAP_FAILED)
		_exit(2);
}

struct result {
	unsigned points, bad;
};

/* A child; its result comes through the pipe. */
static pid_t start_job(const struct config *cfg, const struct workload *w,
		       const struct trace_vec *trace, const uint8_t *base, unsigned id, int out)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct job j = { .cfg = cfg, .w = w, .trace = trace, .id = id };
		struct result res;

		j.stable = malloc(IMAGE_BYTES);
		cl_assert(j.stable);
		memcpy(j.stable, base, IMAGE_BYTES);
		job_init(&j);
		run_points(&j);
		res = (struct result){ j.points, j.bad };
		_exit(write(out, &res, sizeof(res)) == sizeof(res) ? 0 : 2);
	}
	return pid;
}

static int run_jobs(const struct config *cfg, const struct workload *w,
		    const struct trace_vec *trace, const uint8_t *base, struct result *ret)
{
	int fds[2], broken = 0;

	if (pipe(fds) < 0)
		return 2;
	*ret = (struct result){ 0 };
	for (unsigned id = 0; id < cfg->jobs; id++)
		if (start_job(cfg, w, trace, base, id, fds[1]) < 0)
			return 2;
	(void)close(fds[1]);
	for (unsigned id = 0; id < cfg->jobs; id++) {
		struct result r;
		int status;

		if (read(fds[0], &r, sizeof(r)) != sizeof(r))
			broken = 2;
		else
			*ret = (struct result){ ret->points + r.points, ret->bad + r.bad };
		if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
			broken = 2;
	}
	(void)close(fds[0]);
	return broken;
}

static unsigned defect_by_name(const char *name)
{
	static const struct {
		const char *name;
		unsigned bit;
	} names[] = { { "no-revoke", FS_DEFECT_NO_REVOKE },
		      { "no-undo", FS_DEFECT_NO_UNDO },
		      { "no-quarantine", FS_DEFECT_NO_QUARANTINE },
		      { "no-flush", FS_DEFECT_NO_FLUSH_BEFORE_COMMIT },
		      { "no-bared-commit", FS_DEFECT_NO_BARED_COMMIT } };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].bit;
	fprintf(stderr, "crash: unknown defect '%s'\n", name);
	exit(2);
}

static void parse(int argc, char **argv, struct config *cfg)
{
	static const struct option opts[] = {
		{ "steps", 1, NULL, 's' },	{ "jobs", 1, NULL, 'j' },
		{ "subsets", 1, NULL, 'u' },	{ "torn", 1, NULL, 't' },
		{ "every", 1, NULL, 'e' },	{ "seed", 1, NULL, 'S' },
		{ "checkpoint", 1, NULL, 'c' }, { "defect", 1, NULL, 'd' },
		{ "fsck-every", 1, NULL, 'f' }, { "first", 0, NULL, '1' },
		{ "verbose", 0, NULL, 'v' },	{ NULL }
	};
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		unsigned n = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;

		switch (o) {
		case 's':
			cfg->steps = n;
			break;
		case 'j':
			cfg->jobs = n ? n : 1;
			break;
		case 'u':
			cfg->subsets = n;
			break;
		case 't':
			cfg->torn = n;
			break;
		case 'e':
			cfg->every = n ? n : 1;
			break;
		case 'S':
			cfg->seed = n;
			break;
		case 'c':
			cfg->checkpoint = n;
			break;
		case 'f':
			cfg->fsck_every = n ? n : 1;
			break;
		case 'd':
			cfg->defects |= defect_by_name(optarg);
			break;
		case '1':
			cfg->stop_at_first = true;
			break;
		case 'v':
			cfg->verbose = true;
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct config cfg = { .steps = 100,
			      .jobs = 2,
			      .subsets = 1,
			      .torn = 1,
			      .every = 1,
			      .seed = 1,
			      .checkpoint = 60,
			      .fsck_every = 2 };
	struct cl_error err = CL_ERROR_INIT;
	struct workload w;
	struct trace_dev t;
	struct result res = { 0 };
	uint8_t *base;
	int r;

	parse(argc, argv, &cfg);
	if (trace_dev_init(&t, IMAGE_BYTES, NULL) < 0)
		return 2;
	r = workload_mkfs(&t, &err);
	base = malloc(IMAGE_BYTES);
	if (r < 0 || !base) {
		fprintf(stderr, "crash: %s\n", err.msg);
		return 2;
	}
	memcpy(base, t.mem, IMAGE_BYTES);
	r = workload_run(&w, &t, cfg.seed, cfg.steps, cfg.defects, cfg.checkpoint, &err);
	if (r < 0) {
		fprintf(stderr, "crash: %s\n", err.msg);
		return 2;
	}
	r = run_jobs(&cfg, &w, &t.events, base, &res);
	printf("seed=%llu operations=%u aborted=%u states=%zu events=%zu wraps=%u depth=%u "
	       "points=%u "
	       "bad=%u\n",
	       (unsigned long long)cfg.seed, w.ops, w.aborts, w.states.n, t.events.n, w.wraps,
	       w.max_depth, res.points, res.bad);
	workload_fini(&w);
	trace_dev_fini(&t);
	free(base);
	return r ? r : res.bad ? 1 : 0;
}
