/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session or control on lib/loop: one fd source, one timer, kept as the object wants them. */
#include "config.h"

#include <stdlib.h>

#include "iscsi/lun_loop.h"

struct lun_loop {
	struct cl_loop *loop;
	struct lun_session *session; /* one of the two */
	struct lun_control *control;
	struct cl_source *fd_source, *timer;
	int fd;
	short events;
	int64_t deadline_ms;
};

static int want_fd(const struct lun_loop *b)
{
	return b->session ? lun_session_fd(b->session) : lun_control_fd(b->control);
}

static short want_events(const struct lun_loop *b)
{
	return b->session ? lun_session_events(b->session) : lun_control_events(b->control);
}

static int64_t want_deadline(const struct lun_loop *b)
{
	return b->session ? lun_session_deadline_ms(b->session)
			  : lun_control_deadline_ms(b->control);
}

/* The binding may be freed in here: it is not touched afterwards. */
static void serve(struct lun_loop *b, short revents)
{
	if (b->session)
		lun_session_service(b->session, revents);
	else
		lun_control_service(b->control, revents);
}

static void on_fd(void *user, int fd, uint32_t revents)
{
	(void)fd;
	serve(user, (short)revents);
}

static void on_timer(void *user)
{
	struct lun_loop *b = user;

	b->deadline_ms = INT64_MAX; /* it has fired: arm it again whatever it is */
	serve(b, 0);
}

static void update_fd(struct lun_loop *b)
{
	int fd = want_fd(b);
	short events = want_events(b);

	/*
	 * A closed descriptor's number may come back as the next session's: the source is made anew
	 * for every fd that had been -1 in between, and in any case when the number differs.
	 */
	if (fd != b->fd) {
		cl_source_free(b->fd_source);
		b->fd_source = NULL;
		b->fd = -1;
		if (fd < 0 || cl_fd_new(b->loop, fd, (uint32_t)events, on_fd, b, &b->fd_source) < 0)
			return;
		b->fd = fd;
	} else if (b->fd_source && events != b->events) {
		(void)cl_fd_set_events(b->fd_source, (uint32_t)events);
	}
	b->events = events;
}

void lun_loop_update(struct lun_loop *b)
{
	int64_t deadline = want_deadline(b);

	update_fd(b);
	if (deadline == b->deadline_ms)
		return;
	b->deadline_ms = deadline;
	if (deadline == INT64_MAX)
		cl_timer_cancel(b->timer);
	else
		(void)cl_timer_set(b->timer, (struct cl_mono){ deadline * 1000000 });
}

static int bind_to(struct cl_loop *loop, struct lun_session *session, struct lun_control *control,
		   struct lun_loop **ret)
{
	_cleanup_(lun_loop_freep) struct lun_loop *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->loop = loop;
	b->session = session;
	b->control = control;
	b->fd = -1;
	b->deadline_ms = INT64_MAX;
	r = cl_timer_new(loop, on_timer, b, &b->timer);
	if (r < 0)
		return r;
	lun_loop_update(b);
	*ret = cl_steal(b);
	return 0;
}

int lun_loop_session(struct cl_loop *loop, struct lun_session *session, struct lun_loop **ret)
{
	return bind_to(loop, session, NULL, ret);
}

int lun_loop_control(struct cl_loop *loop, struct lun_control *control, struct lun_loop **ret)
{
	return bind_to(loop, NULL, control, ret);
}

void lun_loop_free(struct lun_loop *b)
{
	if (!b)
		return;
	cl_source_free(b->fd_source);
	cl_source_free(b->timer);
	free(b);
}
