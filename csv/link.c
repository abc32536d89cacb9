/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/link.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/address.h"

#define CONNECT_MS 3000

enum { LANE_CONTROL, LANE_BULK, LANES };

struct lane {
	struct link *link;
	int fd; /* while connecting */
	struct cl_source *connecting;
	struct frame_conn *conn;
	bool ready;
};

struct link {
	struct cl_loop *loop;
	const struct link_ops *ops;
	void *user;
	struct lane lanes[LANES];
	struct cl_source *timer;
	struct cl_tls_creds *tls;
	char peer[CL_TLS_NAME_MAX];
	bool is_up, is_down;
	char why[128];
};

static void go_down(struct link *link, const char *why)
{
	if (link->is_down)
		return;
	link->is_down = true;
	link->is_up = false;
	(void)snprintf(link->why, sizeof(link->why), "%.120s", why);
	(void)cl_timer_set_in(link->timer, 0); /* the owner hears of it from the loop */
}

static void on_timer(void *user)
{
	struct link *link = user;

	if (link->is_down)
		link->ops->down(link->user, link->why);
	else if (!link->is_up)
		go_down(link, "no connection within 3 s");
}

static void on_ready(void *user, uint16_t version)
{
	struct lane *lane = user;
	struct link *link = lane->link;

	(void)version;
	lane->ready = true;
	if (link->is_down || !link->lanes[LANE_CONTROL].ready || !link->lanes[LANE_BULK].ready)
		return;
	cl_timer_cancel(link->timer);
	link->is_up = true;
	link->ops->up(link->user);
}

static void on_frame(void *user, const struct frame *frame)
{
	struct lane *lane = user;
	struct link *link = lane->link;
	Csv__Message *msg;

	if (link->is_down)
		return;
	msg = frame->type == CSV_FRAME_MESSAGE ? csv__message__unpack(NULL, frame->len, frame->body)
					       : NULL;
	if (!msg || !link->ops->input(link->user, msg))
		go_down(link, msg ? "refused" : "not a message");
	if (msg)
		csv__message__free_unpacked(msg, NULL);
}

static void on_closed(void *user, const struct cl_error *why)
{
	struct lane *lane = user;

	go_down(lane->link, why->msg);
}

static const struct frame_conn_ops conn_ops = { on_ready, on_frame, on_closed };

/* Takes the lane's descriptor over, whatever comes of it. */
static int lane_begin(struct lane *lane, struct cl_error *err)
{
	struct link *link = lane->link;
	struct cl_tls_config config = { .creds = link->tls, .unit = "node", .peer = link->peer };
	struct cl_stream over = { 0 };
	struct cl_tls *tls;

	if (link->tls) {
		if (cl_tls_new(&config, lane->fd, &tls, err) < 0)
			return err->code;
		over = cl_tls_stream(tls);
	}
	if (frame_conn_new_on(link->loop, cl_steal_fd(&lane->fd), over, &csv_hello, CSV_QUEUE_MAX,
			      &conn_ops, lane, &lane->conn) < 0)
		return cl_error_set(err, -ENOMEM, "out of memory");
	return 0;
}

static void on_connected(void *user, int fd, uint32_t revents)
{
	struct lane *lane = user;
	struct link *link = lane->link;
	struct cl_error why = CL_ERROR_INIT;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)revents;
	cl_source_free(lane->connecting);
	lane->connecting = NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		go_down(link, strerror(error));
		return;
	}
	if (lane_begin(lane, &why) < 0)
		go_down(link, why.msg);
}

static int lane_connect(struct lane *lane, const struct sockaddr_storage *from, int from_len,
			const struct sockaddr_storage *to, int to_len)
{
	lane->fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (lane->fd < 0)
		return -errno;
	csv_wire_tune(lane->fd);
	/* From the storage address: the peer may be reachable by others, but not as this node. */
	if (bind(lane->fd, (const void *)from, (socklen_t)from_len) < 0)
		return -errno;
	if (connect(lane->fd, (const void *)to, (socklen_t)to_len) < 0 && errno != EINPROGRESS)
		return -errno;
	return cl_fd_new(lane->link->loop, lane->fd, POLLOUT, on_connected, lane,
			 &lane->connecting);
}

int link_new(struct cl_loop *loop, const char *from, const char *to, struct cl_tls_creds *tls,
	     const char *peer, const struct link_ops *ops, void *user, struct link **ret,
	     struct cl_error *err)
{
	struct sockaddr_storage a, b;
	int a_len = cl_address_parse(from, 0, &a), b_len = cl_address_parse(to, CSV_PORT, &b);
	struct link *link;
	int r;

	if (a_len < 0 || b_len < 0)
		return cl_error_set(err, -EINVAL, "not an address: '%s'", a_len < 0 ? from : to);
	link = calloc(1, sizeof(*link));
	if (!link)
		return cl_error_set(err, -ENOMEM, "out of memory");
	link->loop = loop;
	link->ops = ops;
	link->user = user;
	link->tls = tls ? cl_tls_creds_ref(tls) : NULL;
	(void)snprintf(link->peer, sizeof(link->peer), "%s", peer);
	for (int i = 0; i < LANES; i++)
		link->lanes[i] = (struct lane){ .link = link, .fd = -1 };
	r = cl_timer_new(loop, on_timer, link, &link->timer);
	for (int i = 0; i < LANES && r >= 0; i++)
		r = lane_connect(&link->lanes[i], &a, a_len, &b, b_len);
	if (r < 0) {
		link_free(link);
		return cl_error_errno(err, r, "connecting from %s to %s", from, to);
	}
	(void)cl_timer_set_in(link->timer, CONNECT_MS);
	*ret = link;
	return 0;
}

void link_free(struct link *link)
{
	if (!link)
		return;
	for (int i = 0; i < LANES; i++) {
		cl_source_free(link->lanes[i].connecting);
		frame_conn_free(link->lanes[i].conn);
		if (link->lanes[i].fd >= 0)
			(void)close(link->lanes[i].fd);
	}
	cl_source_free(link->timer);
	cl_tls_creds_unref(link->tls);
	free(link);
}

bool link_send(struct link *link, bool bulk, const Csv__Message *msg)
{
	if (!link->is_up)
		return false;
	if (csv_wire_send(link->lanes[bulk ? LANE_BULK : LANE_CONTROL].conn, msg))
		return true;
	go_down(link, "cannot send");
	return false;
}
