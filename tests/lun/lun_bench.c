/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast is a LUN through `struct lun_data`, and what does an I/O cost in CPU? For benchmarks and
 * for whoever changes the session. Writes over the LUN: refused when it is reserved.
 *
 *     lun-bench URL --rw read|write|randread|randwrite --bs BYTES --qd N --seconds S [--iovs N]
 *     lun-bench URL --verify ...       each write is read back and compared, in odd pieces
 */
#include "config.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "iscsi/lun.h"
#include "iscsi/lun_loop.h"
#include "iscsi/lun_uring.h"
#include "lib/log.h"

#define KEY UINT64_C(0xc46c756e62656e01) /* nobody's node */
#define QD_MAX LUN_IO_DEPTH_MAX
#define BUCKETS 64

struct bench;

struct slot {
	struct lun_io io;
	struct bench *bench;
	struct iovec *iov;
	uint8_t *buf;
	int64_t sent_ns;
	uint64_t stamp; /* --verify: what the last write was filled from */
};

struct bench {
	struct cl_loop *loop;
	struct lun_session *session;
	struct lun_loop *binding;
	struct lun_uring *uring;
	struct cl_source *end;
	struct lun_data *data;
	struct lun_cmd cmd;
	const char *rw;
	bool random, write, verify, stop;
	uint32_t bs;
	unsigned qd, iovs, out;
	int64_t ms, from_ns, to_ns;
	uint64_t next, ops, seed, failed, latency[BUCKETS];
	struct rusage before, after;
	struct slot slots[QD_MAX];
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "lun-bench: %s: %s\n", what, why);
	exit(1);
}

static int64_t now_ns(void)
{
	return cl_mono_now().ns;
}

static uint64_t random64(struct bench *b)
{
	b->seed ^= b->seed << 13;
	b->seed ^= b->seed >> 7;
	b->seed ^= b->seed << 17;
	return b->seed;
}

static uint64_t next_offset(struct bench *b)
{
	uint64_t n = b->data->bytes / b->bs;

	return (b->random ? random64(b) % n : b->next++ % n) * b->bs;
}

static void on_unregistered(struct lun_cmd *cmd)
{
	cl_loop_stop(((struct bench *)cmd->user)->loop);
}

static void finish(struct bench *b)
{
	b->to_ns = now_ns();
	(void)getrusage(RUSAGE_SELF, &b->after);
	b->cmd = (struct lun_cmd){ .op = { .kind = PR_OP_REGISTER, .key = KEY },
				   .done = on_unregistered,
				   .user = b };
	if (!b->session || lun_session_command(b->session, &b->cmd) != LUN_OK)
		cl_loop_stop(b->loop);
}

/* ---- --verify ---- */

/* Pieces of odd sizes, none empty. */
static void split(struct slot *s)
{
	uint32_t left = s->bench->bs;
	uint8_t *p = s->buf;
	unsigned n = 0;

	while (n + 1 < s->bench->iovs && left > 1) {
		uint32_t part = 1 + (uint32_t)(random64(s->bench) % (left / 2 + 1));

		s->iov[n++] = (struct iovec){ p, part };
		p += part;
		left -= part;
		if (!left)
			break;
	}
	if (left)
		s->iov[n++] = (struct iovec){ p, left };
	s->io.iovcnt = (int)n;
}

static void pattern(uint64_t *out, uint32_t bytes, uint64_t stamp)
{
	for (uint32_t i = 0; i < bytes / 8; i++)
		out[i] = (stamp + i) * UINT64_C(0x9e3779b97f4a7c15);
}

/* A slot writes in its own part of the LUN, then reads that back, and so on. */
static void next_verified(struct slot *s)
{
	struct bench *b = s->bench;
	uint64_t part = b->data->bytes / b->qd / b->bs, i = (uint64_t)(s - b->slots);

	if (s->io.dir == LUN_WRITE && s->stamp) {
		s->io.dir = LUN_READ;
		memset(s->buf, 0, b->bs);
	} else {
		s->io.dir = LUN_WRITE;
		s->stamp = random64(b) | 1;
		s->io.offset = (i * part + random64(b) % part) * b->bs;
		pattern((uint64_t *)(void *)s->buf, b->bs, s->stamp);
	}
	split(s);
}

static void compare(const struct slot *s)
{
	const uint64_t *got = (const uint64_t *)(const void *)s->buf;

	for (uint32_t i = 0; s->io.dir == LUN_READ && i < s->bench->bs / 8; i++)
		if (got[i] != (s->stamp + i) * UINT64_C(0x9e3779b97f4a7c15))
			die("verify", "what was read is not what was written");
}

static void submit(struct slot *s)
{
	struct bench *b = s->bench;
	enum lun_result r;

	if (b->verify)
		next_verified(s);
	else
		s->io.offset = next_offset(b);
	s->sent_ns = now_ns();
	r = lun_submit(b->data, &s->io);
	if (r != LUN_OK)
		die("submit", lun_result_name(r));
	b->out++;
}

/* Buckets grow by the square root of two, from one microsecond on. */
static unsigned bucket(int64_t ns)
{
	unsigned i = 0;

	for (double at = 1000; at < (double)ns && i < BUCKETS - 1; i++)
		at *= 1.41421356;
	return i;
}

static double percentile(const struct bench *b, double p)
{
	uint64_t seen = 0;
	double at = 1;

	for (unsigned i = 0; i < BUCKETS; i++, at *= 1.41421356) {
		seen += b->latency[i];
		if ((double)seen >= p * (double)b->ops)
			return at;
	}
	return at;
}

static void on_done(struct lun_io *io, enum lun_result result)
{
	struct slot *s = io->user;
	struct bench *b = s->bench;

	b->out--;
	b->ops++;
	b->failed += result != LUN_OK;
	if (b->verify && result == LUN_OK)
		compare(s);
	b->latency[bucket(now_ns() - s->sent_ns)]++;
	if (!b->stop)
		submit(s);
	else if (!b->out)
		finish(b);
}

static void on_end(void *user)
{
	((struct bench *)user)->stop = true;
}

static void prepare_slot(struct bench *b, struct slot *s)
{
	uint32_t piece = b->bs / b->iovs;

	s->bench = b;
	s->buf = mmap(NULL, b->bs, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	s->iov = calloc(b->iovs, sizeof(*s->iov));
	if (s->buf == MAP_FAILED || !s->iov)
		die("buffers", "out of memory");
	memset(s->buf, 'b', b->bs);
	for (unsigned i = 0; i < b->iovs; i++)
		s->iov[i] = (struct iovec){ s->buf + (size_t)i * piece, piece };
	s->io = (struct lun_io){ .dir = b->write ? LUN_WRITE : LUN_READ,
				 .length = b->bs,
				 .iov = s->iov,
				 .iovcnt = (int)b->iovs,
				 .done = on_done,
				 .user = s };
}

static void start(struct bench *b)
{
	if (!b->bs || b->bs % b->data->block_size || b->bs > LUN_IO_BYTES_MAX ||
	    b->bs > b->data->bytes / b->qd || b->bs % b->iovs)
		die("--bs", "not a multiple of the block size, or too large");
	for (unsigned i = 0; i < b->qd; i++)
		prepare_slot(b, &b->slots[i]);
	if (cl_timer_new(b->loop, on_end, b, &b->end) < 0)
		die("timer", "out of memory");
	(void)cl_timer_set_in(b->end, b->ms);
	(void)getrusage(RUSAGE_SELF, &b->before);
	b->from_ns = now_ns();
	lun_plug(b->data);
	for (unsigned i = 0; i < b->qd; i++)
		submit(&b->slots[i]);
	lun_unplug(b->data);
}

/* ---- a session ---- */

static void send_command(struct bench *b, enum pr_op_kind kind, void (*done)(struct lun_cmd *))
{
	b->cmd = (struct lun_cmd){ .op = { .kind = kind, .arg = KEY }, .done = done, .user = b };
	if (lun_session_command(b->session, &b->cmd) != LUN_OK)
		die(pr_op_name(kind), "not sent");
}

static void on_registered(struct lun_cmd *cmd)
{
	struct bench *b = cmd->user;
	struct cl_error err = CL_ERROR_INIT;

	if (cmd->answer.result != LUN_OK)
		die("REGISTER", lun_result_name(cmd->answer.result));
	if (lun_session_go(b->session, &err) < 0)
		die("go", err.msg);
	start(b);
}

static void on_reservation(struct lun_cmd *cmd)
{
	if (cmd->answer.result != LUN_OK)
		die("READ RESERVATION", lun_result_name(cmd->answer.result));
	if (cmd->answer.type)
		die("refused", "the LUN is reserved: somebody uses it");
	send_command(cmd->user, PR_OP_REGISTER, on_registered);
}

static void on_state(void *user, struct lun_session *session, enum lun_session_state state,
		     const struct cl_error *why)
{
	(void)session;
	if (state == LUN_READY)
		send_command(user, PR_OP_READ_RESERVATION, on_reservation);
	else if (state == LUN_DEAD || state == LUN_STOPPED)
		die("session", why->msg);
}

static void on_changed(void *user, struct lun_session *session)
{
	struct bench *b = user;

	(void)session;
	if (b->binding)
		lun_loop_update(b->binding);
}

static void open_session(struct bench *b, const char *text)
{
	struct lun_url url;
	struct lun_session_config c = {
		.url = &url,
		.initiator = "iqn.2026-11.org.clusterd:bench",
		.isid = 77,
		.role = LUN_ROLE_DATA,
		.key = KEY,
		.hooks = { .user = b, .changed = on_changed, .state = on_state },
	};
	struct cl_error err = CL_ERROR_INIT;

	if (lun_url_parse(text, &url, &err) < 0 || lun_session_new(&c, &b->session, &err) < 0)
		die(text, err.msg);
	b->data = lun_session_data(b->session);
	if (lun_loop_session(b->loop, b->session, &b->binding) < 0)
		die("loop", "out of memory");
}

static void open_local(struct bench *b, const char *url)
{
	const struct lun_uring_config c = { .url = url };
	struct cl_error err = CL_ERROR_INIT;

	if (lun_uring_open(b->loop, &c, &b->uring, &err) < 0)
		die("open", err.msg);
	b->data = lun_uring_data(b->uring);
	start(b);
}

static double cpu_us(const struct timeval *a, const struct timeval *b)
{
	return (double)(b->tv_sec - a->tv_sec) * 1e6 + (double)(b->tv_usec - a->tv_usec);
}

static void report(const struct bench *b)
{
	double s = (double)(b->to_ns - b->from_ns) / 1e9, n = b->ops ? (double)b->ops : 1;
	double user = cpu_us(&b->before.ru_utime, &b->after.ru_utime);
	double sys = cpu_us(&b->before.ru_stime, &b->after.ru_stime);

	printf("{\"rw\":\"%s\",\"bs\":%u,\"qd\":%u,\"ops\":%" PRIu64
	       ",\"iops\":%.0f,\"mb_s\":%.1f,\"cpu_us\":%.2f,\"user_us\":%.2f,\"p50_us\":%.0f,"
	       "\"p99_us\":%.0f,\"failed\":%" PRIu64 "}\n",
	       b->rw, b->bs, b->qd, b->ops, n / s, n * b->bs / s / 1e6, (user + sys) / n, user / n,
	       percentile(b, .5), percentile(b, .99), b->failed);
}

static void take_options(struct bench *b, int argc, char **argv)
{
	static const struct option options[] = {
		{ "rw", required_argument, NULL, 'r' },
		{ "bs", required_argument, NULL, 'b' },
		{ "qd", required_argument, NULL, 'q' },
		{ "seconds", required_argument, NULL, 's' },
		{ "iovs", required_argument, NULL, 'i' },
		{ "verify", no_argument, NULL, 'v' },

		{ NULL, 0, NULL, 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'r')
			b->rw = optarg;
		else if (o == 'b')
			b->bs = (uint32_t)strtoul(optarg, NULL, 0);
		else if (o == 'q')
			b->qd = (unsigned)strtoul(optarg, NULL, 0);
		else if (o == 's')
			b->ms = (int64_t)(strtod(optarg, NULL) * 1000);
		else if (o == 'v')
			b->verify = true;
		else if (o == 'i')
			b->iovs = (unsigned)strtoul(optarg, NULL, 0);
		else
			exit(2);
	}
	if (b->verify)
		b->rw = "verify";
	b->random = strncmp(b->rw, "rand", 4) == 0;
	b->write = strcmp(b->rw + (b->random ? 4 : 0), "write") == 0;
	if (optind != argc - 1 || !b->qd || b->qd > QD_MAX || b->ms <= 0 || !b->iovs ||
	    b->iovs > LUN_IO_IOV_MAX)
		die("usage",
		    "lun-bench URL [--rw MODE] [--bs N] [--qd N] [--seconds S] [--iovs N]");
}

int main(int argc, char **argv)
{
	static struct bench b = { .rw = "randread",
				  .bs = 4096,
				  .qd = 32,
				  .iovs = 1,
				  .ms = 2000,
				  .seed = 88172645463325252u };

	cl_log_init("lun-bench", CL_LOG_WARNING);
	take_options(&b, argc, argv);
	if (cl_loop_new(&b.loop) < 0)
		die("loop", "out of memory");
	if (lun_local_path(argv[optind]))
		open_local(&b, argv[optind]);
	else
		open_session(&b, argv[optind]);
	cl_loop_run(b.loop);
	report(&b);
	lun_loop_free(cl_steal(b.binding)); /* the session still calls on_changed */
	lun_session_free(b.session);
	lun_uring_free(b.uring);
	return b.failed ? 1 : 0;
}
