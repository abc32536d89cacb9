/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/fetch.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "clusterd/certs.h"
#include "clusterd/corosync_conf.h"
#include "clusterd/daemon.h"
#include "clusterd/founding.h"
#include "clusterd/join.h"
#include "lib/address.h"
#include "lib/log.h"
#include "lib/tls.h"

#define LOOK_MS 3000 /* and so long a member may take to answer */
#define PATIENCE 2   /* looks without a quorate ring before anybody is asked */

struct fetch {
	struct daemon *d;
	struct cl_source *timer, *connecting;
	struct frame_conn *conn;
	int fd;
	unsigned looks;	  /* in vain, since the ring was quorate */
	size_t next;	  /* whom to ask */
	uint64_t version; /* of our file */
	bool refused;	  /* said once */
};

static void wire_close(struct fetch *f)
{
	cl_source_free(cl_steal(f->connecting));
	frame_conn_free(cl_steal(f->conn));
	if (f->fd >= 0)
		(void)close(cl_steal_fd(&f->fd));
}

static void take_up(struct fetch *f, const Join__Welcome *w)
{
	struct cl_error err = CL_ERROR_INIT;
	struct corosync_conf conf;
	char *text = strndup((const char *)w->conf.data, w->conf.len);
	int r = text ? corosync_conf_read(text, &conf, &err) : -ENOMEM;

	if (r == 0) {
		r = conf.version > f->version
			    ? founding_take_conf(f->d, text, w->key.data, w->key.len, &err)
			    : 0;
		corosync_conf_fini(&conf);
	}
	free(text);
	if (r < 0)
		log_error("corosync's configuration from a member: %s", err.msg);
}

static void on_frame(void *user, const struct frame *frame)
{
	struct fetch *f = user;
	Join__FromMember *m = frame->type == JOIN_FROM_MEMBER
				      ? join__from_member__unpack(NULL, frame->len, frame->body)
				      : NULL;

	if (m && m->msg_case == JOIN__FROM_MEMBER__MSG_WELCOME)
		take_up(f, m->welcome);
	else if (m && m->msg_case == JOIN__FROM_MEMBER__MSG_REFUSAL && !f->refused)
		log_warning("a member says: %s", m->refusal->message);
	f->refused = f->refused || (m && m->msg_case == JOIN__FROM_MEMBER__MSG_REFUSAL);
	if (m)
		join__from_member__free_unpacked(m, NULL);
	wire_close(f);
}

static void on_ready(void *user, uint16_t version)
{
	struct fetch *f = user;
	Join__ToMember msg = JOIN__TO_MEMBER__INIT;
	Join__Fetch fetch = JOIN__FETCH__INIT;

	(void)version;
	fetch.config_version = f->version;
	msg.msg_case = JOIN__TO_MEMBER__MSG_FETCH;
	msg.fetch = &fetch;
	(void)join_send_to(f->conn, &msg);
}

static void on_closed(void *user, const struct cl_error *why)
{
	log_debug("a member, asked for corosync's configuration: %s", why->msg);
	wire_close(user);
}

static const struct frame_conn_ops conn_ops = { on_ready, on_frame, on_closed };

static void on_connected(void *user, int fd, uint32_t revents)
{
	struct fetch *f = user;
	struct cl_tls_config config = { .creds = certs_tls(f->d->certs), .unit = "node" };
	struct cl_tls *tls;

	(void)revents;
	cl_source_free(cl_steal(f->connecting));
	if (cl_tls_new(&config, fd, &tls, NULL) < 0 ||
	    frame_conn_new_on(f->d->loop, cl_steal_fd(&f->fd), cl_tls_stream(tls), &join_hello, 0,
			      &conn_ops, f, &f->conn) < 0)
		wire_close(f);
}

static void call(struct fetch *f, const char *address)
{
	struct sockaddr_storage to;
	int len = cl_address_parse(address, JOIN_PORT, &to);

	if (len < 0)
		return;
	f->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (f->fd < 0 ||
	    (connect(f->fd, (void *)&to, (socklen_t)len) < 0 && errno != EINPROGRESS) ||
	    cl_fd_new(f->d->loop, f->fd, POLLOUT, on_connected, f, &f->connecting) < 0)
		wire_close(f);
}

static void ask_next(struct fetch *f)
{
	const struct state_setup *setup = &node_state(f->d->node)->setup;
	struct corosync_conf conf;

	if (corosync_conf_read(state_setup_text(setup, STATE_PART_COROSYNC), &conf, NULL) < 0)
		return;
	f->version = conf.version;
	/* Every address of each: one that is being changed may be listened at no longer, or not yet. */
	for (size_t i = 0; i < conf.nodes.n * COROSYNC_LINKS_MAX; i++) {
		size_t nth = f->next++ % (conf.nodes.n * COROSYNC_LINKS_MAX);
		const struct corosync_node *n = &conf.nodes.v[nth % conf.nodes.n];
		const char *address = n->address[nth / conf.nodes.n];

		if (n->id == f->d->id || !*address)
			continue;
		call(f, address);
		break;
	}
	corosync_conf_fini(&conf);
}

static void on_look(void *user)
{
	struct fetch *f = user;
	struct daemon *d = f->d;

	(void)cl_timer_set_in(f->timer, LOOK_MS);
	wire_close(f);
	if (!d->node || d->view.quorate || !certs_tls(d->certs)) {
		f->looks = 0;
		f->refused = false;
		return;
	}
	if (++f->looks > PATIENCE)
		ask_next(f);
}

int fetch_new(struct daemon *d, struct fetch **ret)
{
	struct fetch *f = calloc(1, sizeof(*f));
	int r = f ? 0 : -ENOMEM;

	if (r == 0) {
		f->d = d;
		f->fd = -1;
		r = cl_timer_new(d->loop, on_look, f, &f->timer);
	}
	if (r < 0) {
		free(f);
		return r;
	}
	(void)cl_timer_set_in(f->timer, LOOK_MS);
	*ret = f;
	return 0;
}

void fetch_free(struct fetch *f)
{
	if (!f)
		return;
	wire_close(f);
	cl_source_free(f->timer);
	free(f);
}
