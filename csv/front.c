/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/front.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "csv/front_int.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "lib/vec.h"

#define STATE_MAGIC UINT32_C(0x4d565343) /* "CSVM" */
/* 2: INIT was answered with FUSE_SETXATTR_EXT; 3: growth that is not durable */
#define STATE_VERSION 3
#define RESEND_BIT (UINT64_C(1) << 63)
#define NOTIFY_RESEND 7 /* FUSE_NOTIFY_RESEND; Debian 12's header does not have it */
#define RX_SIZE (FRONT_MAX_WRITE + 4096) /* a write, and what stands before it */
/* A write's data begin here in what is read: so placed that they lie on a page of their own. */
#define RX_SKEW (4096 - sizeof(struct fuse_in_header) - sizeof(struct fuse_write_in))
#define TURN_MAX 64 /* requests before the loop's other sources get their turn */

enum init_state { INIT_NONE, INIT_ANSWERED, INIT_WRITTEN };

/* In the keeper's memfd. */
struct mount_state {
	uint32_t magic, version;
	uint64_t mount;
	_Atomic uint32_t init; /* enum init_state */
	uint32_t req_len, rep_len;
	uint8_t req[1024], rep[1024];
	struct holding_shared holding;
};

CL_DEFINE_VEC(interrupt_vec, uint64_t);

/* What the next reply of libfuse is. */
enum reply_mode { REPLY_NORMAL, REPLY_SWALLOW, REPLY_INIT };

struct front {
	char name[64];
	int fd;
	struct mount_state *state;
	struct fuse_session *se;
	struct cl_source *io;
	struct client *client;
	struct front_hooks hooks;
	struct buf *rx;
	uint64_t unique;
	uint32_t
		open_reply; /* FUSE_OPEN, FUSE_CREATE: of that kind is the next reply; 0: of another */
	struct front_raw raw;
	struct places *places;
	enum reply_mode reply;
	struct interrupt_vec interrupts;
};

struct client *front_client(struct front *front)
{
	return front->client;
}

uint64_t front_unique(const struct front *front, bool *ret_resent)
{
	*ret_resent = front->unique & RESEND_BIT;
	return front->unique & ~RESEND_BIT;
}

struct buf *front_rx(const struct front *front)
{
	return front->rx;
}

struct places *front_places(const struct front *front)
{
	return front->places;
}

const struct front_raw *front_raw(const struct front *front)
{
	return &front->raw;
}

void front_interrupted(struct front *front, uint64_t unique)
{
	/* Not from here: libfuse holds the request's lock, and the answer would free it. */
	(void)interrupt_vec_push(&front->interrupts, unique);
}

/* ---- state --------------------------------------------------------------------------------- */

static struct mount_state *map_state(int memfd, struct cl_error *err)
{
	void *p;

	if (ftruncate(memfd, sizeof(struct mount_state)) < 0) {
		(void)cl_error_errno(err, -errno, "state of the mount");
		return NULL;
	}
	p = mmap(NULL, sizeof(struct mount_state), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_POPULATE, memfd, 0);
	if (p == MAP_FAILED) {
		(void)cl_error_errno(err, -errno, "state of the mount");
		return NULL;
	}
	return p;
}

/* Mounts of one incarnation are numbered by time: the coordinator lets a later one end an earlier. */
static void fresh_state(struct mount_state *s)
{
	s->version = STATE_VERSION;
	s->mount = (uint64_t)cl_mono_now().ns;
	s->magic = STATE_MAGIC;
}

int front_state_open(int memfd, struct mount_state **ret, struct cl_error *err)
{
	struct mount_state *s = map_state(memfd, err);

	(void)close(memfd);
	if (!s)
		return err ? err->code : -EIO;
	if (!s->magic)
		fresh_state(s);
	if (s->magic != STATE_MAGIC || s->version != STATE_VERSION) {
		front_state_close(s);
		return cl_error_set(err, -CL_ECORRUPT,
				    "state of the mount is of another version: unmount first");
	}
	*ret = s;
	return 0;
}

void front_state_close(struct mount_state *state)
{
	if (state)
		(void)munmap(state, sizeof(*state));
}

uint64_t front_state_mount(const struct mount_state *state)
{
	return state->mount;
}

struct holding_shared *front_state_holding(struct mount_state *state)
{
	return &state->holding;
}

/* ---- libfuse's way to the descriptor ------------------------------------------------------- */

static size_t total(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

static void store_reply(struct mount_state *s, const struct iovec *iov, int n)
{
	s->rep_len = 0;
	for (int i = 0; i < n; i++) {
		if (s->rep_len + iov[i].iov_len > sizeof(s->rep))
			return;
		memcpy(s->rep + s->rep_len, iov[i].iov_base, iov[i].iov_len);
		s->rep_len += (uint32_t)iov[i].iov_len;
	}
}

/*
 * The kernel lets direct writes within the file go side by side only where the open said so; libfuse
 * of Debian 12 cannot say it. The flag is added to the reply on its way out.
 */
static void patch_open(struct front *front, struct iovec *iov, int n)
{
	size_t before = sizeof(struct fuse_out_header) +
			(front->open_reply == FUSE_CREATE ? sizeof(struct fuse_entry_out) : 0);

	front->open_reply = 0;
	for (int i = 0; i < n; i++) {
		struct fuse_open_out *out = (void *)((uint8_t *)iov[i].iov_base + before);

		if (before < iov[i].iov_len) {
			if (iov[i].iov_len - before >= sizeof(*out))
				out->open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
			return;
		}
		before -= iov[i].iov_len;
	}
}

void front_next_is_open(struct front *front, bool create)
{
	front->open_reply = create ? FUSE_CREATE : FUSE_OPEN;
}

/*
 * INIT is answered once per mount. The answer is stored before it is written, so that a csvd that
 * dies in between leaves enough for the next one to write it.
 */
static ssize_t on_writev(int fd, struct iovec *iov, int n, void *userdata)
{
	struct front *front = userdata;
	enum reply_mode mode = front->reply;
	ssize_t r;

	front->reply = REPLY_NORMAL;
	if (front->open_reply)
		patch_open(front, iov, n);
	if (mode == REPLY_SWALLOW)
		return (ssize_t)total(iov, n);
	if (mode == REPLY_INIT) {
		if (n > 1)
			front_raw_init(front->state->req, front->state->req_len, iov[1].iov_base,
				       iov[1].iov_len);
		store_reply(front->state, iov, n);
		atomic_store(&front->state->init, INIT_ANSWERED);
	}
	r = writev(fd, iov, n);
	if (mode == REPLY_INIT)
		atomic_store(&front->state->init, INIT_WRITTEN);
	return r;
}

/* libfuse wants one, but requests are read by on_readable(). */
static ssize_t on_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, buf, len);
}

/* ---- requests ------------------------------------------------------------------------------ */

static void process(struct front *front, uint8_t *data, size_t len)
{
	const struct fuse_in_header *in = (const void *)data;

	front->unique = in->unique;
	front_raw_read(data, len, &front->raw);
	fuse_session_process_buf(front->se, &(struct fuse_buf){ .mem = data, .size = in->len });
	while (front->interrupts.n) {
		uint64_t unique = front->interrupts.v[0];

		interrupt_vec_remove(&front->interrupts, 0);
		client_interrupt(front->client, unique);
	}
}

static void note_init(struct front *front, const uint8_t *data, size_t len)
{
	const struct fuse_in_header *in = (const void *)data;

	if (in->opcode != FUSE_INIT || len > sizeof(front->state->req))
		return;
	memcpy(front->state->req, data, len);
	front->state->req_len = (uint32_t)len;
	front->reply = REPLY_INIT;
}

/* A write may have kept the buffer: then there is another for the next request. */
static bool own_rx(struct front *front)
{
	if (front->rx && front->rx->refs == 1)
		return true;
	buf_unref(front->rx);
	front->rx = buf_new(RX_SKEW + RX_SIZE);
	return front->rx;
}

/* false: nothing more to read at present. */
static bool read_one(struct front *front)
{
	uint8_t *rx;
	ssize_t n;

	if (!own_rx(front))
		return false; /* out of memory: the descriptor stays readable */
	rx = front->rx->data + RX_SKEW;
	n = read(front->fd, rx, RX_SIZE);
	if (n < 0 && (errno == EINTR || errno == ENOENT))
		return true; /* ENOENT: the request was given up while it was being read */
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < (ssize_t)sizeof(struct fuse_in_header)) {
		cl_source_free(front->io);
		front->io = NULL;
		front->hooks.gone(front->hooks.user);
		return false;
	}
	note_init(front, rx, (size_t)n);
	process(front, rx, (size_t)n);
	return true;
}

static void on_readable(void *user, int fd, uint32_t revents)
{
	struct front *front = user;

	(void)fd;
	(void)revents;
	client_begin_batch(front->client);
	for (int i = 0; i < TURN_MAX && read_one(front); i++)
		;
	client_end_batch(front->client);
}

/* ---- taking over --------------------------------------------------------------------------- */

/* After another csvd: bring libfuse to where it was, then have the kernel send again. */
static int resume(struct front *front, struct cl_error *err)
{
	struct mount_state *s = front->state;
	struct fuse_out_header resend = { .len = sizeof(resend), .error = NOTIFY_RESEND };

	if (atomic_load(&s->init) == INIT_NONE)
		return 0; /* never answered: INIT itself comes (again) */
	if (atomic_load(&s->init) == INIT_ANSWERED) {
		/* ENOENT: the kernel had it already. */
		if (write(front->fd, s->rep, s->rep_len) < 0 && errno != ENOENT)
			return cl_error_errno(err, -errno, "late answer to INIT");
		atomic_store(&s->init, INIT_WRITTEN);
	}
	front->reply = REPLY_SWALLOW;
	/* A copy, aligned as requests are, and not the next csvd's: reading changes it. */
	memcpy(front->rx->data + RX_SKEW, s->req, s->req_len);
	process(front, front->rx->data + RX_SKEW, s->req_len);
	if (write(front->fd, &resend, sizeof(resend)) < 0)
		return cl_error_errno(err, -errno, "asking the kernel to send again");
	log_notice("volume '%s': took the mount over", front->name);
	return 0;
}

static int make_session(struct front *front, struct cl_error *err)
{
	static char argv0[] = "csvd";
	char *argv[] = { argv0, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	static const struct fuse_custom_io io = { .writev = on_writev, .read = on_read };

	front->se = fuse_session_new(&args, &front_ops, sizeof(front_ops), front);
	fuse_opt_free_args(&args);
	if (!front->se)
		return cl_error_set(err, -ENOMEM, "libfuse: no session");
	if (fuse_session_custom_io(front->se, &io, front->fd) != 0)
		return cl_error_set(err, -EIO, "libfuse: custom io refused");
	return 0;
}

static int front_start(struct front *front, struct cl_loop *loop, struct cl_error *err)
{
	int r;

	front->places = places_new();
	if (!own_rx(front) || !front->places)
		return cl_error_set(err, -ENOMEM, "receive buffer");
	r = make_session(front, err);
	if (r < 0)
		return r;
	r = resume(front, err);
	if (r < 0)
		return r;
	r = cl_fd_new(loop, front->fd, POLLIN, on_readable, front, &front->io);
	return r < 0 ? cl_error_errno(err, r, "watching /dev/fuse") : 0;
}

int front_new(struct cl_loop *loop, const char *name, int fd, struct mount_state *state,
	      struct client *client, const struct front_hooks *hooks, struct front **ret,
	      struct cl_error *err)
{
	struct front *front = calloc(1, sizeof(*front));
	int r;

	if (!front) {
		(void)close(fd);
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	(void)snprintf(front->name, sizeof(front->name), "%s", name);
	front->fd = fd;
	front->client = client;
	front->hooks = *hooks;
	front->state = state;
	r = front_start(front, loop, err);
	if (r < 0) {
		front_free(front);
		return cl_error_wrap(err, r, "volume '%s'", name);
	}
	*ret = front;
	return 0;
}

void front_free(struct front *front)
{
	if (!front)
		return;
	cl_source_free(front->io);
	if (front->se)
		fuse_session_destroy(front->se); /* closes fd */
	else
		(void)close(front->fd);
	buf_unref(front->rx);
	interrupt_vec_fini(&front->interrupts);
	places_free(front->places);
	free(front);
}
