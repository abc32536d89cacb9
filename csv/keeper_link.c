/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/keeper_link.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "csv/keeper_msg.h"
#include "lib/log.h"

struct keeper_link {
	struct cl_loop *loop;
	const struct keeper_ops *ops;
	void *user;
	int sock;
	struct keeper_beat *beat;
	struct cl_source *io, *timer;
};

static void on_message(void *user, int fd, uint32_t revents)
{
	struct keeper_link *link = user;
	struct keeper_msg msg;
	int fds[2], r;

	(void)revents;
	while ((r = keeper_recv(fd, &msg, fds)) > 0) {
		if (msg.kind == KEEPER_MOUNTED)
			link->ops->mounted(link->user, msg.name, msg.error, fds[0], fds[1]);
		else if (msg.kind == KEEPER_UNMOUNTED)
			link->ops->unmounted(link->user, msg.name);
		else if (msg.kind == KEEPER_READY)
			link->ops->ready(link->user);
	}
	if (r < 0) {
		log_crit("the keeper is gone");
		cl_loop_stop(link->loop);
	}
}

/* From the loop's own timer: a session loop that hangs does not beat. */
static void on_beat(void *user)
{
	struct keeper_link *link = user;

	(void)atomic_fetch_add(&link->beat->count, 1);
	(void)cl_timer_set_in(link->timer, KEEPER_BEAT_MS);
}

int keeper_link_new(struct cl_loop *loop, int sock, int beat_fd, const struct keeper_ops *ops,
		    void *user, struct keeper_link **ret, struct cl_error *err)
{
	struct keeper_link *link = calloc(1, sizeof(*link));
	int r;

	if (!link)
		return cl_error_set(err, -ENOMEM, "out of memory");
	*link = (struct keeper_link){ .loop = loop, .ops = ops, .user = user, .sock = sock };
	(void)fcntl(sock, F_SETFD, FD_CLOEXEC);
	(void)fcntl(sock, F_SETFL, O_NONBLOCK);
	link->beat = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, beat_fd, 0);
	(void)close(beat_fd);
	r = link->beat == MAP_FAILED ? -errno : 0;
	if (r >= 0)
		r = cl_fd_new(loop, sock, POLLIN, on_message, link, &link->io);
	if (r >= 0)
		r = cl_timer_new(loop, on_beat, link, &link->timer);
	if (r >= 0)
		r = keeper_send(sock, KEEPER_HELLO, NULL, 0, NULL);
	if (r < 0) {
		keeper_link_free(link);
		return cl_error_errno(err, r, "keeper");
	}
	on_beat(link);
	*ret = link;
	return 0;
}

void keeper_link_free(struct keeper_link *link)
{
	if (!link)
		return;
	cl_source_free(link->io);
	cl_source_free(link->timer);
	(void)close(link->sock);
	if (link->beat != MAP_FAILED)
		(void)munmap(link->beat, 4096);
	free(link);
}

void keeper_link_mount(struct keeper_link *link, const char *name)
{
	if (keeper_send(link->sock, KEEPER_MOUNT, name, 0, NULL) < 0)
		log_error("volume '%s': the keeper does not take the request", name);
}

void keeper_link_unmount(struct keeper_link *link, const char *name)
{
	if (keeper_send(link->sock, KEEPER_UNMOUNT, name, 0, NULL) < 0)
		log_error("volume '%s': the keeper does not take the request", name);
}
