/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A writer whose every acknowledged block is accounted for outside of the node that it runs on.
 *
 *     ledger write FILE FIRST BLOCKS SEED [DEPTH]   until SIGTERM; its log goes to standard output
 *     ledger check LOG FILE FIRST SEED              does FILE hold what LOG says was acknowledged?
 *
 * `write` keeps DEPTH I/Os in flight (O_DIRECT, io_uring) on its own blocks of FILE, 1 to 16 of 4 KiB
 * each: two thirds write a new generation, one third read back what is known; now and then an fsync.
 * Two records of a write leave for the log: one before it is sent, one after it was acknowledged. The
 * log is a file of the machine outside, so it survives the node. At the end, on standard error:
 * "acked N read N errors N bad N slowest_ms N"; exit status 0 when there was neither error nor bad.
 *
 * `check` demands of every block one whole generation, no older than the last acknowledged and no
 * newer than the last sent: an acknowledged write that was lost shows as well as one that landed late.
 * A block that nobody wrote reads as zeros, generation 0.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096u
#define WORDS (BLOCK / 8)
#define IO_BLOCKS_MAX 16u
#define DEPTH_MAX 64u

enum { SENT = 1, ACKED = 2 };

/* One line of the log. */
struct record {
	uint32_t kind, generation;
	uint64_t block, count;
};

/* One I/O in flight. */
struct slot {
	bool used, write;
	uint32_t generation;
	uint64_t block, count;
	double since;
	uint64_t *buf;
};

/* What is known of one block: it holds a generation from acked to sent. */
struct known {
	uint32_t acked, sent;
	bool busy;
};

struct writer {
	struct io_uring ring;
	struct slot slots[DEPTH_MAX];
	unsigned depth, in_flight;
	struct known *known;
	uint64_t first, blocks, seed, acked, read;
	uint32_t generation;
	unsigned errors, bad;
	double slowest;
	int fd;
};

static volatile sig_atomic_t stop;

static void on_term(int signo)
{
	(void)signo;
	stop = 1;
}

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int die(const char *what)
{
	(void)fprintf(stderr, "ledger: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void *must(void *p)
{
	if (!p)
		die("memory");
	return p;
}

/* ---- what is in a block ---- */

static uint64_t word_at(uint64_t seed, uint64_t block, uint32_t generation, size_t i)
{
	uint64_t x =
		(seed << 48) ^ (block << 20) ^ ((uint64_t)generation * 0x9e3779b97f4a7c15u) ^ i;

	x = (x ^ (x >> 31)) * 0xbf58476d1ce4e5b9u;
	return x ^ (x >> 29);
}

static void block_fill(uint64_t *buf, uint64_t seed, uint64_t block, uint32_t generation)
{
	buf[0] = generation;
	for (size_t i = 1; i < WORDS; i++)
		buf[i] = word_at(seed, block, generation, i);
}

/* The generation of a whole block, 0 for zeros; -1: it is none, or torn, or another block's. */
static int64_t block_generation(const uint64_t *buf, uint64_t seed, uint64_t block)
{
	bool zeros = !buf[0];

	if (buf[0] > UINT32_MAX)
		return -1;
	for (size_t i = 1; i < WORDS; i++)
		if (buf[i] != (zeros ? 0 : word_at(seed, block, (uint32_t)buf[0], i)))
			return -1;
	return (int64_t)buf[0];
}

/* ---- write ---- */

static void note(uint32_t kind, const struct slot *s)
{
	struct record r = { kind, s->generation, s->block, s->count };

	if (fwrite(&r, sizeof(r), 1, stdout) != 1)
		die("log");
}

static bool any_busy(const struct writer *w, uint64_t block, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (w->known[block + i].busy)
			return true;
	return false;
}

/* A place where nothing is in flight; false when some tries found none. */
static bool pick(const struct writer *w, struct slot *s)
{
	for (int i = 0; i < 16; i++) {
		s->count = 1 + (uint64_t)rand() % IO_BLOCKS_MAX;
		s->block = (uint64_t)rand() % (w->blocks - s->count + 1);
		if (!any_busy(w, s->block, s->count))
			return true;
	}
	return false;
}

static void mark_busy(struct writer *w, const struct slot *s, bool busy)
{
	for (uint64_t i = 0; i < s->count; i++)
		w->known[s->block + i].busy = busy;
}

static void prepare_write(struct writer *w, struct slot *s)
{
	s->generation = ++w->generation;
	for (uint64_t i = 0; i < s->count; i++) {
		w->known[s->block + i].sent = s->generation;
		block_fill(s->buf + i * WORDS, w->seed, w->first + s->block + i, s->generation);
	}
	note(SENT, s);
}

static bool send_one(struct writer *w, struct slot *s)
{
	struct io_uring_sqe *sqe;
	uint64_t offset;

	if (!pick(w, s))
		return false;
	s->write = rand() % 3 != 0;
	s->used = true;
	s->since = now();
	mark_busy(w, s, true);
	offset = (w->first + s->block) * BLOCK;
	sqe = io_uring_get_sqe(&w->ring);
	if (s->write) {
		prepare_write(w, s);
		io_uring_prep_write(sqe, w->fd, s->buf, (unsigned)(s->count * BLOCK), offset);
	} else {
		io_uring_prep_read(sqe, w->fd, s->buf, (unsigned)(s->count * BLOCK), offset);
	}
	io_uring_sqe_set_data(sqe, s);
	w->in_flight++;
	return true;
}

static void wrong(struct writer *w, const struct slot *s, uint64_t i, int64_t found)
{
	const struct known *k = &w->known[s->block + i];

	w->bad++;
	(void)fprintf(stderr,
		      "ledger: block %" PRIu64 " reads as generation %" PRId64 ", not %u to %u\n",
		      w->first + s->block + i, found, k->acked, k->sent);
}

static void end_read(struct writer *w, const struct slot *s, int got)
{
	/* The part of the file that is not there yet reads as nothing. */
	memset((uint8_t *)s->buf + got, 0, s->count * BLOCK - (size_t)got);
	for (uint64_t i = 0; i < s->count; i++) {
		const struct known *k = &w->known[s->block + i];
		int64_t g = block_generation(s->buf + i * WORDS, w->seed, w->first + s->block + i);

		if (g < k->acked || g > k->sent)
			wrong(w, s, i, g);
	}
	w->read += s->count;
}

static void end_write(struct writer *w, const struct slot *s)
{
	for (uint64_t i = 0; i < s->count; i++)
		w->known[s->block + i].acked = s->generation;
	w->acked += s->count;
	note(ACKED, s);
}

static void end_one(struct writer *w, struct slot *s, int res)
{
	double took = now() - s->since;

	if (took > w->slowest)
		w->slowest = took;
	if (res < 0 || (s->write && (uint64_t)res != s->count * BLOCK)) {
		w->errors++;
		(void)fprintf(stderr, "ledger: %s of block %" PRIu64 ": %s\n",
			      s->write ? "write" : "read", w->first + s->block,
			      res < 0 ? strerror(-res) : "short");
	} else if (s->write) {
		end_write(w, s);
	} else {
		end_read(w, s, res);
	}
	mark_busy(w, s, false);
	s->used = false;
	w->in_flight--;
}

static void fill_depth(struct writer *w)
{
	for (unsigned i = 0; i < w->depth; i++)
		if (!w->slots[i].used && !send_one(w, &w->slots[i]))
			break;
	/* What is about to be sent is known outside before it can land. */
	if (fflush(stdout) != 0)
		die("log");
}

static void reap(struct writer *w)
{
	struct io_uring_cqe *cqe;
	int r = io_uring_submit_and_wait(&w->ring, w->in_flight ? 1 : 0);

	if (r < 0 && r != -EINTR) {
		errno = -r;
		die("io_uring");
	}
	while (w->in_flight && io_uring_peek_cqe(&w->ring, &cqe) == 0) {
		end_one(w, io_uring_cqe_get_data(cqe), cqe->res);
		io_uring_cqe_seen(&w->ring, cqe);
	}
}

static void write_until_stopped(struct writer *w)
{
	for (unsigned turn = 1; !stop || w->in_flight; turn++) {
		if (!stop)
			fill_depth(w);
		reap(w);
		if (turn % 256 == 0 && fdatasync(w->fd) < 0) {
			w->errors++;
			(void)fprintf(stderr, "ledger: fdatasync: %s\n", strerror(errno));
		}
	}
	if (fflush(stdout) != 0)
		die("log");
}

static int do_write(char **argv, unsigned depth)
{
	struct writer w = { .first = strtoull(argv[3], NULL, 10),
			    .blocks = strtoull(argv[4], NULL, 10) };

	w.seed = strtoull(argv[5], NULL, 10);
	w.depth = depth && depth <= DEPTH_MAX ? depth : 16;
	if (w.blocks < IO_BLOCKS_MAX) {
		errno = EINVAL;
		die("BLOCKS");
	}
	srand((unsigned)w.seed);
	w.known = must(calloc(w.blocks, sizeof(*w.known)));
	for (unsigned i = 0; i < w.depth; i++)
		w.slots[i].buf = must(aligned_alloc(BLOCK, IO_BLOCKS_MAX * BLOCK));
	w.fd = open(argv[2], O_RDWR | O_CREAT | O_DIRECT, 0644);
	if (w.fd < 0)
		die(argv[2]);
	if (io_uring_queue_init(DEPTH_MAX, &w.ring, 0) < 0)
		die("io_uring");
	write_until_stopped(&w);
	if (close(w.fd) < 0)
		die("close");
	(void)fprintf(stderr,
		      "acked %" PRIu64 " read %" PRIu64 " errors %u bad %u slowest_ms %.0f\n",
		      w.acked, w.read, w.errors, w.bad, w.slowest * 1000);
	return w.errors || w.bad ? 1 : 0;
}

/* ---- check ---- */

struct books {
	struct known *known;
	uint64_t blocks; /* of the whole file */
};

static void books_enter(struct books *b, const struct record *r)
{
	uint64_t end = r->block + r->count;

	if (r->count > IO_BLOCKS_MAX || (r->kind != SENT && r->kind != ACKED) || end > (1u << 28)) {
		errno = EBADMSG;
		die("log");
	}
	if (end > b->blocks) {
		b->known = must(realloc(b->known, end * sizeof(*b->known)));
		memset(b->known + b->blocks, 0, (end - b->blocks) * sizeof(*b->known));
		b->blocks = end;
	}
	for (uint64_t i = r->block; i < end; i++) {
		if (r->kind == SENT)
			b->known[i].sent = r->generation;
		else
			b->known[i].acked = r->generation;
	}
}

/* A record that its writer's death cut short was of a write that was not sent. */
static void books_read(struct books *b, const char *path)
{
	struct record r;
	FILE *f = fopen(path, "re");

	if (!f)
		die(path);
	while (fread(&r, sizeof(r), 1, f) == 1)
		books_enter(b, &r);
	(void)fclose(f);
}

static int do_check(char **argv)
{
	struct books b = { NULL, 0 };
	uint64_t first = strtoull(argv[4], NULL, 10), seed = strtoull(argv[5], NULL, 10);
	uint64_t *buf = must(aligned_alloc(BLOCK, BLOCK)), acked = 0, bad = 0;
	int fd = open(argv[3], O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(argv[3]);
	books_read(&b, argv[2]);
	for (uint64_t i = 0; i < b.blocks; i++) {
		ssize_t n = pread(fd, buf, BLOCK, (off_t)((first + i) * BLOCK));
		int64_t g;

		if (n < 0)
			die(argv[3]);
		memset((uint8_t *)buf + n, 0, BLOCK - (size_t)n);
		g = block_generation(buf, seed, first + i);
		acked += b.known[i].acked != 0;
		if (g >= b.known[i].acked && g <= b.known[i].sent)
			continue;
		if (bad++ < 10)
			(void)printf("block %" PRIu64 " holds generation %" PRId64
				     ", not %u to %u\n",
				     first + i, g, b.known[i].acked, b.known[i].sent);
	}
	(void)printf("checked %" PRIu64 " acknowledged %" PRIu64 " bad %" PRIu64 "\n", b.blocks,
		     acked, bad);
	return bad || !acked ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };

	(void)sigaction(SIGTERM, &sa, NULL);
	if ((argc == 6 || argc == 7) && !strcmp(argv[1], "write"))
		return do_write(argv, argc == 7 ? (unsigned)strtoul(argv[6], NULL, 10) : 0);
	if (argc == 6 && !strcmp(argv[1], "check"))
		return do_check(argv);
	(void)fprintf(stderr, "ledger: see the head of ledger.c\n");
	return 2;
}
