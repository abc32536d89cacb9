/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lib/loop.h"

#include <errno.h>
#include <poll.h>
#include <qb/qbloop.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "lib/assert.h"

/* Of libqb's levels only the highest is looked at in each turn; what is of another waits for a poll more, or two. */
static const enum qb_loop_priority level = QB_LOOP_HIGH;

struct cl_loop {
	qb_loop_t *qb;
};

enum source_kind { SOURCE_FD, SOURCE_TIMER, SOURCE_SIGNAL, SOURCE_CHILD };

struct cl_source {
	struct cl_loop *loop;
	enum source_kind kind;
	void *user;
	int fd; /* SOURCE_FD borrowed, SOURCE_CHILD owned */
	union {
		cl_fd_fn fd_cb;
		cl_timer_fn timer_cb;
		cl_signal_fn signal_cb;
		cl_child_fn child_cb;
	};
	qb_loop_timer_handle timer;
	bool armed;
	qb_loop_signal_handle signal;
};

int cl_loop_new(struct cl_loop **ret)
{
	struct cl_loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->qb = qb_loop_create();
	if (!loop->qb) {
		free(loop);
		return -ENOMEM;
	}
	*ret = loop;
	return 0;
}

void cl_loop_free(struct cl_loop *loop)
{
	if (!loop)
		return;
	qb_loop_destroy(loop->qb);
	free(loop);
}

void cl_loop_run(struct cl_loop *loop)
{
	qb_loop_run(loop->qb);
}

void cl_loop_stop(struct cl_loop *loop)
{
	qb_loop_stop(loop->qb);
}

struct qb_loop *cl_loop_qb(struct cl_loop *loop)
{
	return loop->qb;
}

static struct cl_source *source_new(struct cl_loop *loop, enum source_kind kind, void *user)
{
	struct cl_source *src = calloc(1, sizeof(*src));

	if (!src)
		return NULL;
	src->loop = loop;
	src->kind = kind;
	src->user = user;
	src->fd = -1;
	return src;
}

static int32_t on_fd(int32_t fd, int32_t revents, void *data)
{
	struct cl_source *src = data;

	src->fd_cb(src->user, fd, (uint32_t)revents);
	return 0; /* the source may be gone: removal goes through cl_source_free() alone */
}

int cl_fd_new(struct cl_loop *loop, int fd, uint32_t events, cl_fd_fn cb, void *user,
	      struct cl_source **ret)
{
	struct cl_source *src = source_new(loop, SOURCE_FD, user);
	int r;

	if (!src)
		return -ENOMEM;
	src->fd = fd;
	src->fd_cb = cb;
	r = qb_loop_poll_add(loop->qb, level, fd, (int32_t)events, src, on_fd);
	if (r < 0) {
		free(src);
		return r;
	}
	*ret = src;
	return 0;
}

int cl_fd_set_events(struct cl_source *src, uint32_t events)
{
	cl_assert(src->kind == SOURCE_FD);
	return qb_loop_poll_mod(src->loop->qb, level, src->fd, (int32_t)events, src, on_fd);
}

static void on_timer(void *data)
{
	struct cl_source *src = data;

	src->armed = false;
	src->timer_cb(src->user);
}

int cl_timer_new(struct cl_loop *loop, cl_timer_fn cb, void *user, struct cl_source **ret)
{
	struct cl_source *src = source_new(loop, SOURCE_TIMER, user);

	if (!src)
		return -ENOMEM;
	src->timer_cb = cb;
	*ret = src;
	return 0;
}

int cl_timer_set(struct cl_source *src, struct cl_mono t)
{
	int64_t in_ns = t.ns - cl_mono_now().ns;
	int r;

	cl_assert(src->kind == SOURCE_TIMER);
	cl_timer_cancel(src);
	r = qb_loop_timer_add(src->loop->qb, level, in_ns > 0 ? (uint64_t)in_ns : 0, src, on_timer,
			      &src->timer);
	src->armed = r == 0;
	return r;
}

int cl_timer_set_in(struct cl_source *src, int64_t ms)
{
	return cl_timer_set(src, cl_mono_add_ms(cl_mono_now(), ms));
}

void cl_timer_cancel(struct cl_source *src)
{
	if (src->armed)
		(void)qb_loop_timer_del(src->loop->qb, src->timer);
	src->armed = false;
}

static int32_t on_signal(int32_t signo, void *data)
{
	struct cl_source *src = data;

	src->signal_cb(src->user, signo);
	return 0;
}

int cl_signal_new(struct cl_loop *loop, int signo, cl_signal_fn cb, void *user,
		  struct cl_source **ret)
{
	struct cl_source *src = source_new(loop, SOURCE_SIGNAL, user);
	int r;

	if (!src)
		return -ENOMEM;
	src->signal_cb = cb;
	r = qb_loop_signal_add(loop->qb, level, signo, src, on_signal, &src->signal);
	if (r < 0) {
		free(src);
		return r;
	}
	*ret = src;
	return 0;
}

static int32_t on_child(int32_t fd, int32_t revents, void *data)
{
	struct cl_source *src = data;
	siginfo_t info = { 0 };
	int status = -1;

	(void)revents;
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
		status = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0)
						    : W_EXITCODE(0, info.si_status);
	(void)qb_loop_poll_del(src->loop->qb, fd);
	(void)close(fd);
	src->fd = -1;
	src->child_cb(src->user, status);
	return 0;
}

int cl_child_new(struct cl_loop *loop, int pidfd, cl_child_fn cb, void *user,
		 struct cl_source **ret)
{
	struct cl_source *src = source_new(loop, SOURCE_CHILD, user);
	int r;

	if (!src)
		return -ENOMEM;
	src->child_cb = cb;
	r = qb_loop_poll_add(loop->qb, level, pidfd, POLLIN, src, on_child);
	if (r < 0) {
		free(src);
		return r;
	}
	src->fd = pidfd;
	*ret = src;
	return 0;
}

void cl_source_free(struct cl_source *src)
{
	if (!src)
		return;
	switch (src->kind) {
	case SOURCE_FD:
		(void)qb_loop_poll_del(src->loop->qb, src->fd);
		break;
	case SOURCE_TIMER:
		cl_timer_cancel(src);
		break;
	case SOURCE_SIGNAL:
		(void)qb_loop_signal_del(src->loop->qb, src->signal);
		break;
	case SOURCE_CHILD:
		if (src->fd >= 0) {
			(void)qb_loop_poll_del(src->loop->qb, src->fd);
			(void)close(src->fd);
		}
		break;
	}
	free(src);
}
