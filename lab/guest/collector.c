/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sees the guests from outside: receives their beats on the VMs' network and keeps what matters of
 * each in a file of its own, which `show` reads without asking the receiver.
 *
 *   collector run DIR           receive for ever (in the network's namespace)
 *   collector show DIR VM [--reset]     one line of JSON; --reset begins a new largest gap
 *   collector forget DIR VM
 *
 * Beside what it is told it judges: a boot that finds less on the disk than was acknowledged before
 * lost a write; a beat of an older boot after a newer one's is a VM that runs twice.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lab/guest/beat.h"

#define STATE_MAGIC 0x31544942544e4c43ULL
#define BOOTS_MAX 1024
#define VMS_MAX 4096

struct state {
	uint64_t magic;
	uint64_t turn;		 /* odd while it is being written */
	int64_t reset_ns;	 /* written by show --reset: when */
	int64_t gap_since_ns;	 /* the reset that gap_ns belongs to */
	int64_t last_ns, gap_ns; /* CLOCK_REALTIME of the kernel's receive stamps */
	uint64_t beats, seq, seq_back, stale_beats;
	uint64_t disk_acked, disk_lost, disk_errors_before, mem_errors_before;
	uint32_t disk_errors, mem_errors; /* of this boot */
	uint32_t n_boots;
	uint64_t boots[BOOTS_MAX];
};

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static bool name_ok(const char *name)
{
	size_t n = strnlen(name, BEAT_NAME);

	return n > 0 && n < BEAT_NAME && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		       n;
}

/* ---- one VM's state ------------------------------------------------------------------------- */

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* A gap that began before the reset counts from the reset on. */
static void note_gap(struct state *s, int64_t at)
{
	int64_t reset = __atomic_load_n(&s->reset_ns, __ATOMIC_ACQUIRE);
	int64_t gap;

	if (s->gap_since_ns != reset) {
		s->gap_since_ns = reset;
		s->gap_ns = 0;
	}
	gap = at - later(s->last_ns, reset);
	if (s->last_ns && gap > s->gap_ns)
		s->gap_ns = gap;
}

static void note_boot(struct state *s, const struct beat *b)
{
	/* What was acknowledged to an earlier boot must have been found by this one. */
	if (s->n_boots && b->disk_found < s->disk_acked)
		s->disk_lost += s->disk_acked - b->disk_found;
	s->disk_errors_before += s->disk_errors;
	s->mem_errors_before += s->mem_errors;
	s->disk_errors = s->mem_errors = 0;
	s->boots[s->n_boots++ % BOOTS_MAX] = b->boot;
	s->seq = 0;
}

static bool is_stale(const struct state *s, uint64_t boot)
{
	for (uint32_t i = 0; i < s->n_boots && i < BOOTS_MAX; i++)
		if (s->boots[i] == boot && i != (s->n_boots - 1) % BOOTS_MAX)
			return true;
	return false;
}

static void note_beat(struct state *s, const struct beat *b, int64_t at)
{
	if (is_stale(s, b->boot)) {
		s->stale_beats++;
		return;
	}
	note_gap(s, at);
	if (!s->n_boots || s->boots[(s->n_boots - 1) % BOOTS_MAX] != b->boot)
		note_boot(s, b);
	if (b->seq <= s->seq)
		s->seq_back++;
	s->seq = b->seq;
	s->last_ns = at;
	s->beats++;
	if (b->disk_seq > s->disk_acked)
		s->disk_acked = b->disk_seq;
	if (b->disk_errors > s->disk_errors)
		s->disk_errors = b->disk_errors;
	if (b->mem_errors > s->mem_errors)
		s->mem_errors = b->mem_errors;
}

static struct state *map_state(const char *dir, const char *name, bool create)
{
	char path[4096];
	struct state *s;
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0644);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || (!create && st.st_size != sizeof(*s)) ||
	    (create && ftruncate(fd, sizeof(*s)) < 0)) {
		close(fd);
		return NULL;
	}
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return s == MAP_FAILED ? NULL : s;
}

/* ---- receiving ------------------------------------------------------------------------------ */

static struct known {
	char name[BEAT_NAME];
	struct state *state;
} known[VMS_MAX];
static unsigned n_known;

/* Also when its file was removed meanwhile: then it begins anew. */
static struct state *state_of(const char *dir, const char *name)
{
	char path[4096];
	unsigned i;

	for (i = 0; i < n_known && strcmp(known[i].name, name) != 0; i++)
		;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (i < n_known && access(path, F_OK) == 0)
		return known[i].state;
	if (i == VMS_MAX)
		return NULL;
	if (i < n_known)
		munmap(known[i].state, sizeof(struct state));
	else
		n_known++;
	snprintf(known[i].name, BEAT_NAME, "%s", name);
	known[i].state = map_state(dir, name, true);
	if (!known[i].state)
		known[i] = known[--n_known];
	else
		known[i].state->magic = STATE_MAGIC;
	return i < n_known ? known[i].state : NULL;
}

static bool beat_ok(const struct beat *b, ssize_t size)
{
	return size == (ssize_t)sizeof(*b) && b->magic == BEAT_MAGIC &&
	       b->version == BEAT_VERSION && b->size == sizeof(*b) &&
	       b->check == beat_check(b, offsetof(struct beat, check)) && name_ok(b->name);
}

static void take(const char *dir, const struct beat *b, int64_t at)
{
	struct state *s = state_of(dir, b->name);

	if (!s)
		return;
	__atomic_add_fetch(&s->turn, 1, __ATOMIC_SEQ_CST);
	note_beat(s, b, at);
	__atomic_add_fetch(&s->turn, 1, __ATOMIC_SEQ_CST);
}

static int64_t stamp_of(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			struct timespec ts;

			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
		}
	return now_ns();
}

static int open_socket(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(BEAT_PORT) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1, size = 4 << 20;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

static int verb_run(const char *dir)
{
	int fd = open_socket();

	if (fd < 0 || (mkdir(dir, 0755) < 0 && errno != EEXIST)) {
		fprintf(stderr, "collector: %s: %s\n", fd < 0 ? "socket" : dir, strerror(errno));
		return 1;
	}
	for (;;) {
		struct beat b;
		char control[256];
		struct iovec iov = { &b, sizeof(b) };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(fd, &msg, 0);

		if (n < 0 && errno != EINTR)
			return 1;
		if (n >= 0 && beat_ok(&b, n))
			take(dir, &b, stamp_of(&msg));
	}
}

/* ---- showing -------------------------------------------------------------------------------- */

static void snapshot(const struct state *s, struct state *ret)
{
	uint64_t before, after;

	do {
		before = __atomic_load_n(&s->turn, __ATOMIC_SEQ_CST);
		memcpy(ret, s, sizeof(*ret));
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		after = __atomic_load_n(&s->turn, __ATOMIC_SEQ_CST);
	} while (before != after || before & 1);
}

static void print(const struct state *s)
{
	int64_t now = now_ns(), open_gap, gap;
	char age[32] = "null";

	open_gap = s->last_ns ? now - later(s->last_ns, s->reset_ns) : 0;
	gap = later(s->gap_since_ns == s->reset_ns ? s->gap_ns : 0, open_gap);
	if (s->last_ns)
		snprintf(age, sizeof(age), "%" PRId64, (now - s->last_ns) / 1000000);
	printf("{\"seq\":%" PRIu64 ",\"age_ms\":%s,\"gap_ms_max\":%" PRId64 ",\"boots\":%u,"
	       "\"disk_writes\":%" PRIu64 ",\"disk_errors\":%" PRIu64 ",\"mem_errors\":%" PRIu64
	       ",\"seq_back\":%" PRIu64 ",\"stale_beats\":%" PRIu64 ",\"disk_lost\":%" PRIu64
	       ",\"beats\":%" PRIu64 "}\n",
	       s->seq, age, gap / 1000000, s->n_boots, s->disk_acked,
	       s->disk_errors_before + s->disk_errors + s->disk_lost,
	       s->mem_errors_before + s->mem_errors, s->seq_back, s->stale_beats, s->disk_lost,
	       s->beats);
}

static int verb_show(const char *dir, const char *name, bool reset)
{
	struct state *s = map_state(dir, name, false), copy = { 0 };

	if (s)
		snapshot(s, &copy);
	if (s && copy.magic != STATE_MAGIC) {
		fprintf(stderr, "collector: %s/%s: not a state of this version\n", dir, name);
		return 1;
	}
	print(&copy);
	if (s && reset)
		__atomic_store_n(&s->reset_ns, now_ns(), __ATOMIC_RELEASE);
	return 0;
}

static int verb_forget(const char *dir, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return unlink(path) < 0 && errno != ENOENT ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "run") == 0)
		return verb_run(argv[2]);
	if (argc >= 4 && strcmp(argv[1], "show") == 0 && name_ok(argv[3]))
		return verb_show(argv[2], argv[3], argc > 4 && strcmp(argv[4], "--reset") == 0);
	if (argc == 4 && strcmp(argv[1], "forget") == 0 && name_ok(argv[3]))
		return verb_forget(argv[2], argv[3]);
	fprintf(stderr, "usage: collector run DIR | show DIR VM [--reset] | forget DIR VM\n");
	return 2;
}
