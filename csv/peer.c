/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/peer.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/address.h"
#include "lib/log.h"
#include "lib/vec.h"

#define STRANGERS_MAX 64 /* connections that have not said who they are */
#define HELLO_MS 5000

struct pair;

struct stream {
	struct peers *peers;
	struct frame_conn *conn;
	struct pair *pair; /* NULL until HELLO */
	struct cl_source *timer;
};

struct pair {
	uint64_t conn, connect, mount;
	uint32_t node;
	uint8_t volume[16];
	struct stream *control, *bulk;
	void *hello; /* the control connection's, until bulk is there */
	size_t hello_len;
	bool started;
};

CL_DEFINE_VEC(stream_vec, struct stream *);
CL_DEFINE_VEC(pair_vec, struct pair *);

struct peers {
	struct cl_loop *loop;
	const struct peers_ops *ops;
	void *user;
	uint64_t (*new_conn)(void *user);
	int fd;
	struct cl_tls_creds *tls;
	struct cl_source *accepting;
	struct stream_vec strangers;
	struct pair_vec pairs;
};

static void stream_free(struct stream *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->peers->strangers.n; i++)
		if (s->peers->strangers.v[i] == s) {
			stream_vec_remove(&s->peers->strangers, i);
			break;
		}
	cl_source_free(s->timer);
	frame_conn_free(s->conn);
	free(s);
}

static void pair_free(struct pair *p)
{
	stream_free(p->control);
	stream_free(p->bulk);
	free(p->hello);
	free(p);
}

static void pair_remove(struct peers *peers, struct pair *p)
{
	for (size_t i = 0; i < peers->pairs.n; i++)
		if (peers->pairs.v[i] == p) {
			pair_vec_remove(&peers->pairs, i);
			break;
		}
	pair_free(p);
}

static struct pair *pair_find(struct peers *peers, uint64_t conn)
{
	for (size_t i = 0; i < peers->pairs.n; i++)
		if (peers->pairs.v[i]->conn == conn)
			return peers->pairs.v[i];
	return NULL;
}

static void pair_lost(struct peers *peers, struct pair *p)
{
	uint64_t conn = p->started ? p->conn : 0;
	uint8_t volume[16];

	memcpy(volume, p->volume, sizeof(volume));
	pair_remove(peers, p);
	if (conn)
		peers->ops->lost(peers->user, volume, conn);
}

static void drop(struct stream *s)
{
	if (s->pair)
		pair_lost(s->peers, s->pair);
	else
		stream_free(s);
}

/* The other half of the same attempt, or a new pair. NULL when out of memory. */
static struct pair *pair_for(struct peers *peers, const Csv__Message *msg)
{
	const Csv__Hello *hello = msg->hello;
	struct pair *p;

	for (size_t i = 0; i < peers->pairs.n; i++) {
		p = peers->pairs.v[i];
		if (p->connect == hello->connect && p->node == msg->node &&
		    p->mount == msg->mount && !memcmp(p->volume, hello->volume.data, 16))
			return p;
	}
	p = calloc(1, sizeof(*p));
	if (!p || pair_vec_push(&peers->pairs, p) < 0) {
		free(p);
		return NULL;
	}
	p->conn = peers->new_conn(peers->user);
	p->connect = hello->connect;
	p->node = msg->node;
	p->mount = msg->mount;
	memcpy(p->volume, hello->volume.data, 16);
	return p;
}

static bool pair_take(struct pair *p, struct stream *s, bool bulk, const struct frame *frame)
{
	struct stream **slot = bulk ? &p->bulk : &p->control;

	if (*slot)
		return false;
	if (!bulk) {
		p->hello = malloc(frame->len);
		if (!p->hello)
			return false;
		memcpy(p->hello, frame->body, frame->len);
		p->hello_len = frame->len;
	}
	*slot = s;
	s->pair = p;
	return true;
}

static void become_known(struct stream *s)
{
	for (size_t i = 0; i < s->peers->strangers.n; i++)
		if (s->peers->strangers.v[i] == s) {
			stream_vec_remove(&s->peers->strangers, i);
			break;
		}
	cl_source_free(s->timer);
	s->timer = NULL;
}

/* First message: who is it? */
static void on_first(struct stream *s, const struct frame *frame)
{
	Csv__Message *msg = csv__message__unpack(NULL, frame->len, frame->body);
	struct peers *peers = s->peers;
	struct pair *p = NULL;
	bool bulk;

	if (!msg || msg->msg_case != CSV__MESSAGE__MSG_HELLO || msg->hello->volume.len != 16 ||
	    !msg->node) {
		if (msg)
			csv__message__free_unpacked(msg, NULL);
		stream_free(s);
		return;
	}
	bulk = msg->hello->bulk;
	p = pair_for(peers, msg);
	csv__message__free_unpacked(msg, NULL);
	if (!p || !pair_take(p, s, bulk, frame)) {
		stream_free(s);
		return;
	}
	become_known(s);
	if (!p->control || !p->bulk)
		return;
	p->started = true;
	if (!peers->ops->message(peers->user, p->volume, p->conn, p->hello, p->hello_len))
		pair_remove(peers, p);
}

static void on_frame(void *user, const struct frame *frame)
{
	struct stream *s = user;
	struct peers *peers = s->peers;

	if (frame->type != CSV_FRAME_MESSAGE) {
		drop(s);
		return;
	}
	if (!s->pair) {
		on_first(s, frame);
		return;
	}
	if (!s->pair->started || !peers->ops->message(peers->user, s->pair->volume, s->pair->conn,
						      frame->body, frame->len))
		drop(s);
}

static void on_closed(void *user, const struct cl_error *why)
{
	struct stream *s = user;

	log_debug("csvd connection closed: %s", why->msg);
	drop(s);
}

static void on_silent(void *user)
{
	stream_free(user);
}

static const struct frame_conn_ops conn_ops = { .on_frame = on_frame, .on_closed = on_closed };

static int stranger_connect(struct stream *s, int fd)
{
	struct cl_tls_config config = { .creds = s->peers->tls, .server = true, .unit = "node" };
	struct cl_stream over = { 0 };
	struct cl_tls *tls;

	if (config.creds) {
		if (cl_tls_new(&config, fd, &tls, NULL) < 0) {
			(void)close(fd);
			return -ENOMEM;
		}
		over = cl_tls_stream(tls);
	}
	return frame_conn_new_on(s->peers->loop, fd, over, &csv_hello, CSV_QUEUE_MAX, &conn_ops, s,
				 &s->conn);
}

static void add_stranger(struct peers *peers, int fd)
{
	struct stream *s = peers->strangers.n < STRANGERS_MAX ? calloc(1, sizeof(*s)) : NULL;

	if (!s) {
		(void)close(fd);
		return;
	}
	s->peers = peers;
	csv_wire_tune(fd);
	if (stranger_connect(s, fd) < 0) {
		free(s);
		return;
	}
	if (cl_timer_new(peers->loop, on_silent, s, &s->timer) < 0 ||
	    stream_vec_push(&peers->strangers, s) < 0) {
		stream_free(s);
		return;
	}
	(void)cl_timer_set_in(s->timer, HELLO_MS);
}

static void on_accept(void *user, int fd, uint32_t revents)
{
	struct peers *peers = user;
	int c;

	(void)revents;
	while ((c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		add_stranger(peers, c);
}

static int start_listening(struct peers *peers, const char *address)
{
	struct sockaddr_storage addr;
	int len = cl_address_parse(address, CSV_PORT, &addr), one = 1, r;
	_cleanup_close_ int fd = -1;
	struct cl_source *accepting;

	if (len < 0)
		return len;
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const void *)&addr, (socklen_t)len) < 0 || listen(fd, 64) < 0)
		return -errno;
	r = cl_fd_new(peers->loop, fd, POLLIN, on_accept, peers, &accepting);
	if (r < 0)
		return r;
	cl_source_free(peers->accepting);
	if (peers->fd >= 0)
		(void)close(peers->fd);
	peers->accepting = accepting;
	peers->fd = cl_steal_fd(&fd);
	return 0;
}

int peers_listen(struct peers *peers, const char *address, struct cl_error *err)
{
	int r = start_listening(peers, address);

	return r < 0 ? cl_error_errno(err, r, "listening on %s port %d", address, CSV_PORT) : 0;
}

int peers_new(struct cl_loop *loop, const char *address, uint64_t (*new_conn)(void *user),
	      const struct peers_ops *ops, void *user, struct peers **ret, struct cl_error *err)
{
	struct peers *peers = calloc(1, sizeof(*peers));
	int r;

	if (!peers)
		return cl_error_set(err, -ENOMEM, "out of memory");
	*peers = (struct peers){
		.loop = loop, .ops = ops, .user = user, .new_conn = new_conn, .fd = -1
	};
	r = peers_listen(peers, address, err);
	if (r < 0) {
		peers_free(peers);
		return r;
	}
	*ret = peers;
	return 0;
}

void peers_set_tls(struct peers *peers, struct cl_tls_creds *tls)
{
	cl_tls_creds_unref(peers->tls);
	peers->tls = tls ? cl_tls_creds_ref(tls) : NULL;
}

void peers_free(struct peers *peers)
{
	if (!peers)
		return;
	while (peers->strangers.n)
		stream_free(peers->strangers.v[0]);
	while (peers->pairs.n)
		pair_remove(peers, peers->pairs.v[0]);
	stream_vec_fini(&peers->strangers);
	pair_vec_fini(&peers->pairs);
	cl_tls_creds_unref(peers->tls);
	cl_source_free(peers->accepting);
	if (peers->fd >= 0)
		(void)close(peers->fd);
	free(peers);
}

bool peers_send(struct peers *peers, uint64_t conn, bool bulk, const void *body, size_t len)
{
	struct pair *p = peers ? pair_find(peers, conn) : NULL;

	if (!p || len > FRAME_BODY_MAX)
		return false;
	return frame_conn_send((bulk ? p->bulk : p->control)->conn, CSV_FRAME_MESSAGE, body, len) ==
	       0;
}

void peers_close(struct peers *peers, uint64_t conn)
{
	struct pair *p = peers ? pair_find(peers, conn) : NULL;

	if (p)
		pair_remove(peers, p);
}

void peers_close_volume(struct peers *peers, const uint8_t volume[16])
{
	for (size_t i = 0; peers && i < peers->pairs.n;) {
		if (memcmp(peers->pairs.v[i]->volume, volume, 16))
			i++;
		else
			pair_remove(peers, peers->pairs.v[i]);
	}
}
