/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <inttypes.h>
#include <liburing.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "iscsi/local_file.h"
#include "iscsi/lun_uring.h"
#include "lib/assert.h"

struct slot {
	struct lun_io *io; /* NULL: free */
	uint8_t *bounce;   /* for buffers that direct I/O cannot use; grows, is kept */
	size_t bounce_bytes;
	bool bounced;
	struct iovec *rest; /* after a short transfer: what is left of the iovecs */
	uint32_t done_bytes;
};

struct lun_uring {
	struct lun_data data; /* first: lun_submit hands it back */
	struct io_uring ring;
	struct cl_source *source;
	struct local_file file;
	struct slot slots[LUN_IO_DEPTH_MAX];
	struct slot *free[LUN_IO_DEPTH_MAX];
	unsigned n_free;
	bool reaping;
	bool plugged; /* in service, or by the caller: one io_uring_enter at the end */
};

/* ---- sending ---- */

/*
 * The kernel may be out of memory for a moment: it takes them then a little later. Nothing else can
 * fail here: there is an entry for each slot, and twice as many for completions.
 */
static void enter(struct lun_uring *u)
{
	while (io_uring_sq_ready(&u->ring)) {
		int r = io_uring_submit(&u->ring);

		if (r == -EAGAIN || r == -EBUSY || r == -EINTR)
			sched_yield();
		else
			cl_assert(r > 0);
	}
}

static bool aligned(const struct lun_uring *u, const struct iovec *iov, int n)
{
	size_t mask = u->file.memory_align - 1;

	for (int i = 0; i < n; i++)
		if (((uintptr_t)iov[i].iov_base | iov[i].iov_len) & mask)
			return false;
	return true;
}

static void copy(struct slot *s, bool out)
{
	const struct lun_io *io = s->io;
	size_t at = 0;

	for (int i = 0; i < io->iovcnt; i++) {
		if (out)
			memcpy(io->iov[i].iov_base, s->bounce + at, io->iov[i].iov_len);
		else
			memcpy(s->bounce + at, io->iov[i].iov_base, io->iov[i].iov_len);
		at += io->iov[i].iov_len;
	}
}

static bool get_bounce(struct slot *s, size_t bytes)
{
	if (s->bounce_bytes < bytes) {
		free(s->bounce);
		s->bounce_bytes = 0;
		s->bounce = NULL;
		if (posix_memalign((void **)&s->bounce, LOCAL_ALIGN_MAX, bytes) != 0)
			return false;
		s->bounce_bytes = bytes;
	}
	s->bounced = true;
	return true;
}

/* What is left to transfer, as iovecs that live as long as the I/O. */
static const struct iovec *left_of(struct slot *s, int *ret_n)
{
	const struct lun_io *io = s->io;
	uint32_t skip = s->done_bytes;
	int from = 0;

	if (!skip) {
		*ret_n = io->iovcnt;
		return io->iov;
	}
	while (skip >= io->iov[from].iov_len)
		skip -= (uint32_t)io->iov[from++].iov_len;
	*ret_n = io->iovcnt - from;
	memcpy(s->rest, io->iov + from, (size_t)*ret_n * sizeof(*s->rest));
	s->rest[0].iov_base = (uint8_t *)s->rest[0].iov_base + skip;
	s->rest[0].iov_len -= skip;
	return s->rest;
}

static void fill(struct lun_uring *u, struct slot *s, struct io_uring_sqe *sqe)
{
	const struct lun_io *io = s->io;
	uint64_t at = io->offset + s->done_bytes;
	const struct iovec *iov;
	int n;

	if (io->dir == LUN_FLUSH) {
		io_uring_prep_fsync(sqe, u->file.fd, IORING_FSYNC_DATASYNC);
	} else if (s->bounced) {
		uint8_t *p = s->bounce + s->done_bytes;
		unsigned len = io->length - s->done_bytes;

		if (io->dir == LUN_READ)
			io_uring_prep_read(sqe, u->file.fd, p, len, at);
		else
			io_uring_prep_write(sqe, u->file.fd, p, len, at);
	} else {
		iov = left_of(s, &n);
		if (io->dir == LUN_READ)
			io_uring_prep_readv(sqe, u->file.fd, iov, (unsigned)n, at);
		else
			io_uring_prep_writev(sqe, u->file.fd, iov, (unsigned)n, at);
	}
	if (io->dir == LUN_WRITE && io->fua)
		sqe->rw_flags = RWF_DSYNC;
	io_uring_sqe_set_data(sqe, s);
}

static void transmit(struct lun_uring *u, struct slot *s)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	cl_assert(sqe); /* one entry per slot, and a slot has one request */
	fill(u, s, sqe);
	if (!u->plugged)
		enter(u);
}

static enum lun_result submit(struct lun_data *data, struct lun_io *io)
{
	struct lun_uring *u = (struct lun_uring *)data;
	struct slot *s;

	if (!lun_io_shape_ok(data, io))
		return LUN_INVALID;
	if (!u->n_free)
		return LUN_BUSY;
	s = u->free[u->n_free - 1];
	s->bounced = false;
	s->done_bytes = 0;
	if (io->dir != LUN_FLUSH && u->file.direct && !aligned(u, io->iov, io->iovcnt) &&
	    !get_bounce(s, io->length))
		return LUN_BUSY;
	u->n_free--;
	s->io = io;
	if (s->bounced && io->dir == LUN_WRITE)
		copy(s, false);
	transmit(u, s);
	return LUN_OK;
}

static void plug(struct lun_data *data)
{
	((struct lun_uring *)data)->plugged = true;
}

static void unplug(struct lun_data *data)
{
	struct lun_uring *u = (struct lun_uring *)data;

	if (u->reaping)
		return;
	u->plugged = false;
	enter(u);
}

static const struct lun_ops uring_ops = { submit, plug, unplug };

/* ---- ends ---- */

static void finish(struct lun_uring *u, struct slot *s, int error)
{
	struct lun_io *io = s->io;

	if (!error && s->bounced && io->dir == LUN_READ)
		copy(s, true);
	if (error)
		io->sense = local_sense(error);
	free(s->rest);
	s->rest = NULL;
	s->io = NULL;
	u->free[u->n_free++] = s;
	io->done(io, error ? LUN_ERROR : LUN_OK);
}

/* A short transfer is no end: the rest goes on its way. Nothing at all is: the file has shrunk. */
static void on_some(struct lun_uring *u, struct slot *s, uint32_t n)
{
	const struct lun_io *io = s->io;

	s->done_bytes += n;
	if (s->done_bytes >= io->length) {
		finish(u, s, 0);
		return;
	}
	if (!n || (!s->rest && !s->bounced &&
		   !(s->rest = calloc((size_t)io->iovcnt, sizeof(*s->rest))))) {
		finish(u, s, n ? ENOMEM : EIO);
		return;
	}
	transmit(u, s);
}

static void on_cqe(struct lun_uring *u, struct slot *s, int res)
{
	if (res == -EINTR || res == -EAGAIN)
		transmit(u, s);
	else if (res < 0)
		finish(u, s, -res);
	else if (s->io->dir == LUN_FLUSH)
		finish(u, s, 0);
	else
		on_some(u, s, (uint32_t)res);
}

static void reap(struct lun_uring *u)
{
	struct io_uring_cqe *cqe;

	u->plugged = u->reaping = true;
	while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		struct slot *s = io_uring_cqe_get_data(cqe);
		int res = cqe->res;

		io_uring_cqe_seen(&u->ring, cqe);
		on_cqe(u, s, res);
	}
	u->reaping = false;
	unplug(&u->data);
}

static void on_readable(void *user, int fd, uint32_t revents)
{
	(void)fd;
	(void)revents;
	reap(user);
}

/* ---- its life ---- */

static int start_ring(struct lun_uring *u, struct cl_loop *loop, struct cl_error *err)
{
	int r = io_uring_queue_init(LUN_IO_DEPTH_MAX, &u->ring, 0);

	if (r < 0) {
		u->ring.ring_fd = -1;
		return cl_error_errno(err, r, "io_uring");
	}
	r = cl_fd_new(loop, u->ring.ring_fd, POLLIN, on_readable, u, &u->source);
	return r < 0 ? cl_error_errno(err, r, "io_uring") : 0;
}

int lun_uring_open(struct cl_loop *loop, const struct lun_uring_config *config,
		   struct lun_uring **ret, struct cl_error *err)
{
	_cleanup_(lun_uring_freep) struct lun_uring *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return cl_error_errno(err, -ENOMEM, "%s", config->url);
	u->ring.ring_fd = -1;
	r = local_open(config, &u->file, err);
	if (r < 0)
		return r;
	r = start_ring(u, loop, err);
	if (r < 0)
		return r;
	for (int i = 0; i < LUN_IO_DEPTH_MAX; i++)
		u->free[u->n_free++] = &u->slots[i];
	u->data = (struct lun_data){ &uring_ops, u->file.block_size, u->file.bytes };
	*ret = cl_steal(u);
	return 0;
}

void lun_uring_free(struct lun_uring *u)
{
	struct io_uring_cqe *cqe;

	if (!u)
		return;
	while (u->ring.ring_fd >= 0 && lun_uring_in_flight(u)) {
		reap(u);
		if (lun_uring_in_flight(u))
			(void)io_uring_wait_cqe(&u->ring, &cqe);
	}
	cl_source_free(u->source);
	if (u->ring.ring_fd >= 0)
		io_uring_queue_exit(&u->ring);
	for (int i = 0; i < LUN_IO_DEPTH_MAX; i++)
		free(u->slots[i].bounce);
	local_close(&u->file);
	free(u);
}

struct lun_data *lun_uring_data(struct lun_uring *u)
{
	return &u->data;
}

unsigned lun_uring_in_flight(const struct lun_uring *u)
{
	return LUN_IO_DEPTH_MAX - u->n_free;
}
