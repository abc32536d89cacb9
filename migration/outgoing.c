/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/outgoing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/log.h"

struct outgoing {
	int fd;
	struct cl_source *io, *timer; /* while it is being connected */
	bool cut;
	outgoing_fn fn;
	void *user;
};

void outgoing_free(struct outgoing *out)
{
	if (!out)
		return;
	cl_source_free(out->io);
	cl_source_free(out->timer);
	if (out->fd >= 0)
		close(out->fd);
	free(out);
}

/* The last thing that is done: fn may free it. */
static void tell(struct outgoing *out, int r, const char *what)
{
	struct cl_error err = CL_ERROR_INIT;

	cl_source_free(cl_steal(out->io));
	cl_source_free(cl_steal(out->timer));
	if (r < 0)
		cl_error_errno(&err, r, "%s", what);
	out->fn(out->user, r < 0 ? -1 : out->fd, r < 0 ? &err : NULL);
}

static void on_io(void *user, int fd, uint32_t revents)
{
	struct outgoing *out = user;
	socklen_t len = sizeof(int);
	int r = 0;

	(void)revents;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &r, &len) < 0)
		r = errno;
	tell(out, -r, "connect to the target");
}

static void on_timer(void *user)
{
	struct outgoing *out = user;

	tell(out, out->cut ? -ECANCELED : -ETIMEDOUT, "connect to the target");
}

void outgoing_given(struct outgoing *out)
{
	int flags = fcntl(out->fd, F_GETFL);

	if (flags < 0 || fcntl(out->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		log_warning("the connection to the target stays a blocking one: %m");
}

void outgoing_cut(struct outgoing *out)
{
	out->cut = true;
	if (out->timer)
		(void)cl_timer_set_in(out->timer, 0);
	else
		(void)shutdown(out->fd, SHUT_RDWR);
}

static int begin(struct outgoing *out, struct cl_loop *loop, const struct sockaddr_storage *to,
		 int to_len, int64_t timeout_ms)
{
	int r;

	out->fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (out->fd < 0 ||
	    (connect(out->fd, (const void *)to, (socklen_t)to_len) < 0 && errno != EINPROGRESS))
		return -errno;
	r = cl_fd_new(loop, out->fd, POLLOUT, on_io, out, &out->io);
	if (r == 0)
		r = cl_timer_new(loop, on_timer, out, &out->timer);
	return r < 0 ? r : cl_timer_set_in(out->timer, timeout_ms);
}

int outgoing_open(struct cl_loop *loop, const char *address, uint16_t port, int64_t timeout_ms,
		  outgoing_fn fn, void *user, struct outgoing **ret, struct cl_error *err)
{
	_cleanup_(outgoing_freep) struct outgoing *out = calloc(1, sizeof(*out));
	struct sockaddr_storage to;
	int r, len = cl_address_parse(address, port, &to);

	if (!out)
		return cl_error_errno(err, -ENOMEM, "connect to the target");
	*out = (struct outgoing){ .fd = -1, .fn = fn, .user = user };
	if (len < 0)
		return cl_error_set(err, len, "'%s' is no address", address);
	r = begin(out, loop, &to, len, timeout_ms);
	if (r < 0)
		return cl_error_errno(err, r, "connect to %s port %u", address, port);
	*ret = cl_steal(out);
	return 0;
}
