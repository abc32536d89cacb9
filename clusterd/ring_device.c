/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/ring_device.h"

#include <corosync/votequorum.h>
#include <errno.h>
#include <poll.h>

#include "lib/log.h"

#define DEVICE_NAME "clusterd" /* the same on all nodes */
#define POLL_MS 500

struct ring_device {
	votequorum_handle_t votes;
	bool open;
	struct cl_source *src, *timer;
	struct ring_word word;
	votequorum_ring_id_t ring;
	bool have_ring, cast;
	void (*lost)(void *user);
	void *user;
};

static void device_poll(struct ring_device *d)
{
	if (!d->have_ring)
		return;
	(void)votequorum_qdevice_poll(d->votes, DEVICE_NAME, d->cast, d->ring);
	(void)cl_timer_set_in(d->timer, POLL_MS);
}

static void on_timer(void *user)
{
	device_poll(user);
}

static void on_nodelist(votequorum_handle_t handle, uint64_t context, votequorum_ring_id_t ring,
			uint32_t n, uint32_t nodes[])
{
	struct ring_device *d;
	void *user;

	(void)context, (void)n, (void)nodes;
	if (votequorum_context_get(handle, &user) != CS_OK)
		return;
	d = user;
	d->ring = ring;
	d->have_ring = true;
	d->cast = d->word.ring_seq == ring.seq && d->word.yes;
	device_poll(d);
}

static void on_fd(void *user, int fd, uint32_t revents)
{
	struct ring_device *d = user;

	(void)fd;
	if (votequorum_dispatch(d->votes, CS_DISPATCH_ALL) != CS_OK ||
	    (revents & (POLLHUP | POLLERR)))
		d->lost(d->user); /* d is gone now */
}

void ring_device_cast(struct ring_device *d, const struct ring_word *word)
{
	d->word = *word;
	if (!d->have_ring || d->ring.seq != word->ring_seq || d->cast == word->yes)
		return;
	d->cast = word->yes;
	log_info("the quorum device casts %d in ring %llu", d->cast,
		 (unsigned long long)word->ring_seq);
	device_poll(d);
}

static int device_open(struct ring_device *d, struct cl_loop *loop)
{
	votequorum_callbacks_t callbacks = { .votequorum_nodelist_notify_fn = on_nodelist };
	int fd;

	if (votequorum_initialize(&d->votes, &callbacks) != CS_OK)
		return -EAGAIN;
	d->open = true;
	if (votequorum_context_set(d->votes, d) != CS_OK ||
	    votequorum_fd_get(d->votes, &fd) != CS_OK ||
	    votequorum_qdevice_register(d->votes, DEVICE_NAME) != CS_OK)
		return -EAGAIN;
	if (cl_fd_new(loop, fd, POLLIN, on_fd, d, &d->src) < 0 ||
	    cl_timer_new(loop, on_timer, d, &d->timer) < 0)
		return -ENOMEM;
	return votequorum_trackstart(d->votes, 0, CS_TRACK_CURRENT | CS_TRACK_CHANGES) == CS_OK
		       ? 0
		       : -EAGAIN;
}

int ring_device_new(struct cl_loop *loop, const struct ring_word *word, void (*lost)(void *user),
		    void *user, struct ring_device **ret)
{
	_cleanup_(ring_device_freep) struct ring_device *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->word = *word;
	d->lost = lost;
	d->user = user;
	r = device_open(d, loop);
	if (r == 0)
		*ret = cl_steal(d);
	return r;
}

void ring_device_free(struct ring_device *d)
{
	if (!d)
		return;
	cl_source_free(d->src);
	cl_source_free(d->timer);
	if (d->open)
		(void)votequorum_finalize(d->votes);
	free(d);
}

void ring_device_remove(struct ring_device *d)
{
	if (d && d->open)
		(void)votequorum_qdevice_unregister(d->votes, DEVICE_NAME);
	ring_device_free(d);
}
