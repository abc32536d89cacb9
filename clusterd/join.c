/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/join.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "clusterd/certs.h"
#include "clusterd/corosync_conf.h"
#include "clusterd/daemon.h"
#include "clusterd/token.h"
#include "lib/address.h"
#include "lib/log.h"
#include "lib/tls.h"
#include "lib/walltime.h"

#define CALLERS_MAX 16
#define ASK_MS 10000 /* from the connection to the question */
#define LISTEN_MS 1000

const struct frame_hello join_hello = {
	.protocol = FRAME_PROTOCOL('J', 'O', 'I', '1'),
	.lowest = 1,
	.highest = 1,
};

struct caller {
	LIST_ENTRY(caller) link;
	struct join *join;
	struct cl_tls *tls; /* the connection's */
	struct frame_conn *conn;
	struct cl_source *timer;
	struct corosync_node node; /* as it is to stand in corosync.conf */
	char from[64];
	bool asked;
};

struct join {
	struct daemon *d;
	int fd;
	char address[64];
	struct cl_source *accepting, *retry;
	LIST_HEAD(, caller) callers;
	unsigned n_callers;
};

/* ---- addresses -------------------------------------------------------------------------------------- */

int join_own_address(const struct daemon *d, char *ret, size_t size)
{
	const struct corosync_node *n;
	struct corosync_conf conf;

	if (!d->node ||
	    corosync_conf_read(state_setup_text(&node_state(d->node)->setup, STATE_PART_COROSYNC),
			       &conf, NULL) < 0)
		return -ENOENT;
	n = corosync_conf_node(&conf, d->id);
	(void)snprintf(ret, size, "%s", n ? corosync_node_address(n) : "");
	corosync_conf_fini(&conf);
	return n ? 0 : -ENOENT;
}

int join_send_to(struct frame_conn *conn, const Join__ToMember *msg)
{
	size_t len = join__to_member__get_packed_size(msg);
	_cleanup_free_ uint8_t *buf = malloc(len + 1);

	if (!buf)
		return -ENOMEM;
	(void)join__to_member__pack(msg, buf);
	return frame_conn_send(conn, JOIN_TO_MEMBER, buf, len);
}

/* ---- a caller ---------------------------------------------------------------------------------------- */

static void caller_free(struct caller *c)
{
	setup_forget(c->join->d->setup, c);
	LIST_REMOVE(c, link);
	c->join->n_callers--;
	cl_source_free(c->timer);
	frame_conn_free(c->conn);
	free(c);
}

static void caller_send(struct caller *c, const Join__FromMember *msg)
{
	size_t len = join__from_member__get_packed_size(msg);
	_cleanup_free_ uint8_t *buf = malloc(len + 1);

	if (!buf)
		return;
	(void)join__from_member__pack(msg, buf);
	(void)frame_conn_send(c->conn, JOIN_FROM_MEMBER, buf, len);
	(void)cl_timer_set_in(c->timer, ASK_MS); /* it closes, or is closed */
}

static void caller_refuse(struct caller *c, const struct cl_error *err)
{
	Join__FromMember msg = JOIN__FROM_MEMBER__INIT;
	Join__Refusal refusal = JOIN__REFUSAL__INIT;

	log_warning("join from %s refused: %s", c->from, err->msg);
	refusal.code = err->code;
	refusal.message = (char *)err->msg;
	refusal.hint = (char *)err->hint;
	msg.msg_case = JOIN__FROM_MEMBER__MSG_REFUSAL;
	msg.refusal = &refusal;
	caller_send(c, &msg);
}

static void caller_welcome(struct caller *c)
{
	const struct state *state = node_state(c->join->d->node);
	const struct state_blob *conf = &state->setup.part[STATE_PART_COROSYNC];
	const struct state_blob *key = &state->setup.part[STATE_PART_KEY];
	Join__FromMember msg = JOIN__FROM_MEMBER__INIT;
	Join__Welcome welcome = JOIN__WELCOME__INIT;

	welcome.cluster = (char *)state->cluster_name;
	welcome.conf = (ProtobufCBinaryData){ conf->len, conf->data };
	welcome.key = (ProtobufCBinaryData){ key->len, key->data };
	msg.msg_case = JOIN__FROM_MEMBER__MSG_WELCOME;
	msg.welcome = &welcome;
	caller_send(c, &msg);
}

/* ---- a new node ------------------------------------------------------------------------------------- */

static int make_with(void *user, const struct state_setup *now, struct setup_parts *ret,
		     struct cl_error *err)
{
	struct caller *c = user;
	const char *text = state_setup_text(now, STATE_PART_COROSYNC);
	struct corosync_conf conf;
	char *made;
	int r = corosync_conf_read(text, &conf, err);

	if (r < 0)
		return r;
	c->node.id = corosync_conf_free_id(&conf);
	corosync_conf_fini(&conf);
	if (!c->node.id)
		return cl_error_set(err, -ENOSPC, "all 255 node numbers are taken");
	/* One that goes at this moment is still in the text: the change that takes it out comes on its
	 * own, and this one must not be the one that says it was done. */
	if (state_setup_has_gone(now))
		return cl_error_set(err, -CL_EREFUSED, "a node is leaving: try again in a moment");
	r = corosync_conf_add(text, &c->node, node_wants_device(c->join->d->node), &made, err);
	if (r < 0)
		return r;
	setup_parts_put(ret, STATE_PART_COROSYNC, made);
	ret->cause = "a node joins";
	return 0;
}

static void on_added(void *user, const struct cl_error *err)
{
	struct caller *c = user;

	if (err->code)
		caller_refuse(c, err);
	else
		caller_welcome(c);
}

static int take_node(struct caller *c, const Join__Ask *ask, struct cl_error *err)
{
	const struct state *state = node_state(c->join->d->node);

	if (!state_name_valid(ask->name))
		return cl_error_set(err, -EINVAL, "'%.63s' cannot be a node's name", ask->name);
	if (state_node_by_name(state, ask->name) || state_volume(state, ask->name) ||
	    state_resource(state, ask->name))
		return cl_error_set(err, -EEXIST, "the cluster has a '%s' already", ask->name);
	if (ask->n_addresses > COROSYNC_LINKS_MAX)
		return cl_error_set(err, -EINVAL, "more than %d addresses", COROSYNC_LINKS_MAX);
	(void)snprintf(c->node.name, sizeof(c->node.name), "%s", ask->name);
	c->node.n_addresses = ask->n_addresses;
	for (size_t i = 0; i < ask->n_addresses; i++)
		(void)snprintf(c->node.address[i], sizeof(c->node.address[0]), "%s",
			       ask->addresses[i]);
	if (!c->node.n_addresses)
		(void)snprintf(c->node.address[c->node.n_addresses++], sizeof(c->node.address[0]),
			       "%s", c->from);
	return 0;
}

static void on_ask(struct caller *c, const Join__Ask *ask)
{
	struct daemon *d = c->join->d;
	struct cl_error err = CL_ERROR_INIT;
	int r = tokens_use(d->conf.data_directory, ask->secret.data, ask->secret.len,
			   cl_wall_ms() / 1000, &err);

	if (r == 0)
		r = take_node(c, ask, &err);
	if (r == 0 && setup_change(d->setup, make_with, on_added, c) < 0)
		r = cl_error_set(&err, -ENOMEM, "out of memory");
	if (r < 0) {
		caller_refuse(c, &err);
		return;
	}
	log_notice("'%s' (%s) joins by a token", c->node.name, c->from);
	cl_timer_cancel(c->timer); /* the change takes its time */
}

/* A member's certificate proves that it was one; the database, that it is. */
static void on_fetch(struct caller *c)
{
	struct cl_error err = CL_ERROR_INIT;

	if (*cl_tls_peer(c->tls) &&
	    state_node_by_name(node_state(c->join->d->node), cl_tls_peer(c->tls))) {
		caller_welcome(c);
		return;
	}
	(void)cl_error_set(&err, -CL_EREFUSED, "this node is no member of the cluster");
	caller_refuse(c, &err);
}

static void on_frame(void *user, const struct frame *frame)
{
	struct caller *c = user;
	Join__ToMember *m = frame->type == JOIN_TO_MEMBER && !c->asked
				    ? join__to_member__unpack(NULL, frame->len, frame->body)
				    : NULL;

	c->asked = true;
	if (m && m->msg_case == JOIN__TO_MEMBER__MSG_ASK)
		on_ask(c, m->ask);
	else if (m && m->msg_case == JOIN__TO_MEMBER__MSG_FETCH)
		on_fetch(c);
	if (m)
		join__to_member__free_unpacked(m, NULL);
	else
		caller_free(c);
}

static void on_closed(void *user, const struct cl_error *why)
{
	struct caller *c = user;

	if (!c->asked)
		log_info("join: %s: %s", c->from, why->msg);
	caller_free(c);
}

static void on_late(void *user)
{
	caller_free(user);
}

static const struct frame_conn_ops conn_ops = { .on_frame = on_frame, .on_closed = on_closed };

/* ---- listening ------------------------------------------------------------------------------------------ */

static void name_of(const struct sockaddr_storage *from, char *ret, size_t size)
{
	const void *at = from->ss_family == AF_INET
				 ? (const void *)&((const struct sockaddr_in *)from)->sin_addr
				 : (const void *)&((const struct sockaddr_in6 *)from)->sin6_addr;

	if (!inet_ntop(from->ss_family, at, ret, (socklen_t)size))
		*ret = '\0';
}

static void add_caller(struct join *join, int fd, const struct sockaddr_storage *from)
{
	struct cl_tls_config config = { .creds = certs_tls(join->d->certs),
					.server = true,
					.anonymous = true,
					.unit = "node" };
	struct caller *c = join->n_callers < CALLERS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c || cl_tls_new(&config, fd, &c->tls, NULL) < 0) {
		free(c);
		(void)close(fd);
		return;
	}
	c->join = join;
	name_of(from, c->from, sizeof(c->from));
	LIST_INSERT_HEAD(&join->callers, c, link);
	join->n_callers++;
	if (frame_conn_new_on(join->d->loop, fd, cl_tls_stream(c->tls), &join_hello, 0, &conn_ops,
			      c, &c->conn) < 0 ||
	    cl_timer_new(join->d->loop, on_late, c, &c->timer) < 0) {
		caller_free(c);
		return;
	}
	(void)cl_timer_set_in(c->timer, ASK_MS);
}

static void on_accept(void *user, int fd, uint32_t revents)
{
	struct join *join = user;
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	int c;

	(void)revents;
	while ((c = accept4(fd, (void *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		add_caller(join, c, &from);
		len = sizeof(from);
	}
}

static void stop_listening(struct join *join)
{
	cl_source_free(cl_steal(join->accepting));
	if (join->fd >= 0)
		(void)close(cl_steal_fd(&join->fd));
	join->address[0] = '\0';
}

static int begin_listening(struct join *join, const char *address)
{
	struct sockaddr_storage at;
	int len = cl_address_parse(address, JOIN_PORT, &at), one = 1;

	if (len < 0)
		return len;
	join->fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (join->fd < 0)
		return -errno;
	(void)setsockopt(join->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(join->fd, (void *)&at, (socklen_t)len) < 0 || listen(join->fd, 16) < 0)
		return -errno;
	return cl_fd_new(join->d->loop, join->fd, POLLIN, on_accept, join, &join->accepting);
}

void join_listen(struct join *join)
{
	char address[64];

	if (!certs_tls(join->d->certs) || join_own_address(join->d, address, sizeof(address)) < 0 ||
	    strcmp(address, join->address) == 0)
		return;
	stop_listening(join);
	if (begin_listening(join, address) == 0) {
		(void)strcpy(join->address, address);
		return;
	}
	/* The address may come up after us. */
	log_warning("cannot listen on %s port %d: trying on", address, JOIN_PORT);
	stop_listening(join);
	(void)cl_timer_set_in(join->retry, LISTEN_MS);
}

static void on_retry(void *user)
{
	join_listen(user);
}

int join_new(struct daemon *d, struct join **ret)
{
	struct join *join = calloc(1, sizeof(*join));
	int r = join ? 0 : -ENOMEM;

	if (r == 0) {
		join->d = d;
		join->fd = -1;
		LIST_INIT(&join->callers);
		r = cl_timer_new(d->loop, on_retry, join, &join->retry);
	}
	if (r < 0) {
		free(join);
		return r;
	}
	*ret = join;
	return 0;
}

void join_free(struct join *join)
{
	if (!join)
		return;
	while (!LIST_EMPTY(&join->callers))
		caller_free(LIST_FIRST(&join->callers));
	stop_listening(join);
	cl_source_free(join->retry);
	free(join);
}
