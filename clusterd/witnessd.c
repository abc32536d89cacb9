/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/witnessd.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "clusterd/daemon.h"
#include "lib/le.h"
#include "lib/log.h"
#include "proto/conn.h"
#include "proto/witness.h"
#include "proto/witness.pb-c.h"
#include "quorum/witness_disk.h"

#define MAKE_WAIT_MS 30000 /* the probe alone may take ten seconds */

enum making { MAKE_NOT, MAKE_OPENING, MAKE_READING, MAKE_CLEARING, MAKE_NAMING };

struct make {
	enum making step;
	uint64_t client, id;
	char url[STATE_URL_MAX];
	bool force;
	uint64_t bytes;
	uint8_t uuid[16];
	struct cl_source *timer;
};

struct witnessd {
	struct daemon *d;
	char path[108];
	int listen_fd;
	struct cl_source *listen_src, *told;
	struct frame_conn *conn;
	bool ready;
	char url[STATE_URL_MAX]; /* of the core's session; "" = none */
	struct make make;
};

/* ---- what was seen of it, for a later process: uuid, generation, record ---------------------------------- */

enum { KNOWN_BYTES = 32 };

int witness_known_keep(struct store *store, const struct node_witness_known *known)
{
	uint8_t data[KNOWN_BYTES];

	memcpy(data, known->uuid, sizeof(known->uuid));
	cl_put_le64(data + 16, known->generation);
	cl_put_le64(data + 24, known->record);
	return store_submit(store, &(struct store_write){ .witness = { data, sizeof(data) } });
}

void witness_known_found(const struct store_blob *blob, struct node_witness_known *ret)
{
	*ret = (struct node_witness_known){ 0 };
	if (blob->len != KNOWN_BYTES)
		return;
	memcpy(ret->uuid, blob->data, sizeof(ret->uuid));
	ret->generation = cl_get_le64(blob->data + 16);
	ret->record = cl_get_le64(blob->data + 24);
}

/* ---- out ------------------------------------------------------------------------------------------------ */

static void send_msg(struct witnessd *w, const Wit__ToWitnessd *msg)
{
	size_t len = wit__to_witnessd__get_packed_size(msg);
	_cleanup_free_ uint8_t *buf = malloc(len + 1);

	if (!w->ready || !buf)
		return;
	(void)wit__to_witnessd__pack(msg, buf);
	(void)frame_conn_send(w->conn, WITNESS_TO, buf, len);
}

static void send_open(struct witnessd *w, uint32_t session, const char *url, bool unused,
		      bool clear)
{
	Wit__ToWitnessd msg = WIT__TO_WITNESSD__INIT;
	Wit__Open open = WIT__OPEN__INIT;
	struct node_self self = { 0 };

	if (w->d->node)
		node_get_self(w->d->node, &self);
	open.session = session;
	open.url = (char *)(uintptr_t)url;
	open.node = w->d->id;
	open.incarnation = self.incarnation;
	open.unused = unused;
	open.clear = clear;
	msg.msg_case = WIT__TO_WITNESSD__MSG_OPEN;
	msg.open = &open;
	send_msg(w, &msg);
}

static void send_op(struct witnessd *w, uint32_t session, uint64_t id, int kind, uint64_t offset,
		    uint32_t len, const uint8_t *data)
{
	Wit__ToWitnessd msg = WIT__TO_WITNESSD__INIT;
	Wit__Op op = WIT__OP__INIT;

	op.session = session;
	op.id = id;
	op.kind = (Wit__Op__Kind)kind;
	op.offset = offset;
	op.len = len;
	if (data)
		op.data = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)data };
	msg.msg_case = WIT__TO_WITNESSD__MSG_OP;
	msg.op = &op;
	send_msg(w, &msg);
}

/* Nothing is kept for a witnessd that is not there: the core is told that there is no path, and begins
 * anew when there is one. */
void witnessd_do(struct witnessd *w, const struct node_action *a)
{
	static const int kind[] = {
		[NODE_WITNESS_READ] = WIT__OP__KIND__READ,
		[NODE_WITNESS_WRITE] = WIT__OP__KIND__WRITE,
		[NODE_WITNESS_OWNER_WRITE] = WIT__OP__KIND__OWNER_WRITE,
		[NODE_WITNESS_CLAIM] = WIT__OP__KIND__CLAIM,
		[NODE_WITNESS_CHECK] = WIT__OP__KIND__CHECK,
	};
	bool leaves;

	if (a->witness.what != NODE_WITNESS_OPEN) {
		send_op(w, WITNESS_SERVE, a->witness.id, kind[a->witness.what], a->witness.offset,
			a->witness.len, a->witness.data);
		return;
	}
	/* The LUN that was the witness is free for others; not when it is the same one, made anew: the CLEAR
	 * would hit the new session. */
	leaves = w->url[0] && strcmp(w->url, a->witness.url) != 0;
	(void)snprintf(w->url, sizeof(w->url), "%s", a->witness.url);
	if (w->ready)
		send_open(w, WITNESS_SERVE, w->url, false, leaves);
	else if (w->url[0])
		(void)cl_timer_set_in(w->told, 0);
}

/* ---- in -------------------------------------------------------------------------------------------------- */

static void report(struct witnessd *w, const struct node_witness_event *what)
{
	struct node_event event = { .type = NODE_EV_WITNESS, .witness = *what };

	daemon_step(w->d, &event);
}

static void tell_down(void *user)
{
	struct witnessd *w = user;

	if (!w->ready)
		report(w, &(struct node_witness_event){ .report = NODE_WITNESS_PATH,
							.text = "witnessd does not run here" });
}

static void on_serve_done(struct witnessd *w, const Wit__Done *done)
{
	report(w, &(struct node_witness_event){ .report = NODE_WITNESS_DONE,
						.id = done->id,
						.ok = done->ok,
						.data = done->data.data,
						.len = done->data.len,
						.mine = done->mine,
						.holder = done->holder,
						.text = done->text });
}

/* ---- making one ------------------------------------------------------------------------------------------- */

static void make_end(struct witnessd *w, const struct cl_error *err)
{
	struct make m = w->make;

	if (m.step == MAKE_NOT)
		return;
	cl_source_free(m.timer);
	w->make = (struct make){ 0 };
	send_open(w, WITNESS_MAKE, "", false, false);
	requests_witness_made(w->d->requests, m.client, m.url, m.uuid, err);
}

static void make_fail(struct witnessd *w, int code, const char *text, const char *hint)
{
	struct cl_error err = CL_ERROR_INIT;

	(void)cl_error_set(&err, code, "%s", text);
	(void)cl_error_hint(&err, "%s", hint);
	make_end(w, &err);
}

static void on_make_late(void *user)
{
	make_fail(user, -CL_EUNREACH, "it does not answer",
		  "can this node reach its target, or the share's server?");
}

static void make_op(struct witnessd *w, int kind, uint64_t unit, uint32_t units,
		    const uint8_t *data)
{
	send_op(w, WITNESS_MAKE, ++w->make.id, kind, unit * WITNESS_UNIT, units * WITNESS_UNIT,
		data);
}

/* What an earlier life left: owners, slots, the heads of both halves. The superblock last: it makes it
 * one. Records of an earlier life do not count under the new uuid, so they may stay. */
static void make_write(struct witnessd *w)
{
	struct witness_super super = { .half_bytes = witness_half_bytes(w->make.bytes) };
	_cleanup_free_ uint8_t *zeros = calloc(WITNESS_LOG_UNIT / 8, WITNESS_UNIT);
	bool file = strncmp(w->make.url, "file:", 5) == 0;
	uint8_t unit[WITNESS_UNIT];

	if (!zeros || super.half_bytes == 0) {
		make_fail(w, -EINVAL, zeros ? "the LUN is smaller than 8 MiB" : "out of memory",
			  "");
		return;
	}
	w->make.step = MAKE_CLEARING;
	for (unsigned i = 0; i < 8 && !file; i++)
		make_op(w, WIT__OP__KIND__WRITE, i * (WITNESS_LOG_UNIT / 8), WITNESS_LOG_UNIT / 8,
			zeros);
	memcpy(super.cluster, node_state(w->d->node)->cluster_uuid, sizeof(super.cluster));
	uuid_generate(w->make.uuid);
	memcpy(super.voter, w->make.uuid, sizeof(super.voter));
	witness_super_encode(&super, unit);
	make_op(w, file ? WIT__OP__KIND__FORMAT : WIT__OP__KIND__WRITE, 0, 1, unit);
}

static bool is_blank(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (data[i])
			return false;
	return true;
}

/* Blank, or this cluster's witness of before: else somebody has to say that it may be lost. */
static void make_looked(struct witnessd *w, const uint8_t *data, size_t len)
{
	struct witness_super super;
	bool ours = len == WITNESS_UNIT && witness_super_decode(data, &super, NULL) == 0 &&
		    memcmp(super.cluster, node_state(w->d->node)->cluster_uuid,
			   sizeof(super.cluster)) == 0;

	if (ours || w->make.force || (len == WITNESS_UNIT && is_blank(data, len)))
		make_write(w);
	else
		make_fail(w, -CL_EREFUSED, "it holds data, or is another cluster's witness",
			  "--force makes it the witness all the same: the data is lost");
}

static void on_make_done(struct witnessd *w, const Wit__Done *done)
{
	struct cl_error none = CL_ERROR_INIT;

	if (!done->ok)
		make_fail(w, -EIO, done->text, "");
	else if (w->make.step == MAKE_READING)
		make_looked(w, done->data.data, done->data.len);
	else if (done->id == w->make.id)
		make_end(w, &none);
}

static void on_make_path(struct witnessd *w, const Wit__Path *path)
{
	if (w->make.step == MAKE_NOT)
		return;
	if (!path->up && strncmp(w->make.url, "file:", 5) == 0) {
		make_fail(w, path->code ? -CL_EREFUSED : -EINVAL, path->text,
			  path->code == -EBUSY || path->code == -CL_EREFUSED
				  ? "--force makes it the witness all the same"
				  : "a directory on a share that every node has mounted there");
	} else if (!path->up && path->code < 0) {
		make_fail(w, path->code, path->text,
			  path->code == -EBUSY
				  ? "is it another cluster's, or a volume's? `set quorum "
				    "witness none` frees a witness"
			  : path->code == -CL_EREFUSED
				  ? "a witness needs persistent reservations of type 6 or 8"
				  : "");
	} else if (path->up && w->make.step == MAKE_OPENING) {
		w->make.bytes = path->bytes;
		w->make.step = MAKE_READING;
		make_op(w, WIT__OP__KIND__READ, 0, 1, NULL);
	} else if (w->make.step != MAKE_OPENING) {
		make_fail(w, -EIO, path->text, "");
	}
}

int witnessd_make(struct witnessd *w, uint64_t client, const char *url, bool force,
		  struct cl_error *err)
{
	if (!w->ready)
		return cl_error_set(err, -CL_EUNREACH, "witnessd does not run on this node");
	if (w->make.step != MAKE_NOT)
		return cl_error_set(err, -EBUSY, "a witness is being made");
	w->make = (struct make){ .step = MAKE_OPENING, .client = client, .force = force, .id = 1 };
	(void)snprintf(w->make.url, sizeof(w->make.url), "%s", url);
	if (cl_timer_new(w->d->loop, on_make_late, w, &w->make.timer) < 0) {
		w->make = (struct make){ 0 };
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	(void)cl_timer_set_in(w->make.timer, MAKE_WAIT_MS);
	send_open(w, WITNESS_MAKE, url, !force, false);
	return 0;
}

/* ---- connection --------------------------------------------------------------------------------------------- */

static void on_path(struct witnessd *w, const Wit__Path *path)
{
	if (path->session == WITNESS_MAKE)
		on_make_path(w, path);
	else if (w->url[0])
		report(w, &(struct node_witness_event){ .report = NODE_WITNESS_PATH,
							.up = path->up,
							.text = path->text });
}

static void on_done(struct witnessd *w, const Wit__Done *done)
{
	/* Ids of the core grow from 1 too, but a session of each kind answers its own alone. */
	if (done->session == WITNESS_MAKE && w->make.step != MAKE_NOT)
		on_make_done(w, done);
	else if (done->session == WITNESS_SERVE)
		on_serve_done(w, done);
}

static void on_frame(void *user, const struct frame *frame)
{
	struct witnessd *w = user;
	Wit__FromWitnessd *msg = NULL;

	if (frame->type == WITNESS_FROM)
		msg = wit__from_witnessd__unpack(NULL, frame->len, frame->body);
	if (!msg) {
		log_warning("witnessd sent something that cannot be read");
		return;
	}
	if (msg->msg_case == WIT__FROM_WITNESSD__MSG_PATH)
		on_path(w, msg->path);
	else if (msg->msg_case == WIT__FROM_WITNESSD__MSG_DONE)
		on_done(w, msg->done);
	wit__from_witnessd__free_unpacked(msg, NULL);
}

static void drop(struct witnessd *w)
{
	bool was = w->ready;

	frame_conn_free(w->conn);
	w->conn = NULL;
	w->ready = false;
	if (!was)
		return;
	make_fail(w, -CL_EUNREACH, "witnessd has ended", "");
	if (w->url[0])
		tell_down(w);
}

static void on_ready(void *user, uint16_t version)
{
	struct witnessd *w = user;

	(void)version;
	log_notice("witnessd connected");
	w->ready = true;
	if (w->url[0])
		send_open(w, WITNESS_SERVE, w->url, false, false);
}

static void on_closed(void *user, const struct cl_error *why)
{
	log_warning("connection to witnessd ended: %s", why->msg);
	drop(user);
}

static const struct frame_conn_ops conn_ops = { on_ready, on_frame, on_closed };

static void on_accept(void *user, int fd, uint32_t revents)
{
	static const struct frame_hello hello = { WITNESS_PROTOCOL, 1, 1 };
	struct witnessd *w = user;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)revents;
	if (peer < 0)
		return;
	drop(w);
	if (frame_conn_new(w->d->loop, peer, &hello, 0, &conn_ops, w, &w->conn) < 0)
		w->conn = NULL;
}

static int listen_on(struct witnessd *w, struct cl_error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	(void)strcpy(addr.sun_path, w->path);
	(void)unlink(w->path);
	w->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->listen_fd < 0 || bind(w->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    chmod(w->path, 0600) < 0 || listen(w->listen_fd, 4) < 0)
		return cl_error_errno(err, -errno, "%s", w->path);
	return 0;
}

int witnessd_new(struct daemon *d, struct witnessd **ret, struct cl_error *err)
{
	_cleanup_(witnessd_freep) struct witnessd *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return cl_error_set(err, -ENOMEM, "out of memory");
	w->d = d;
	w->listen_fd = -1;
	(void)snprintf(w->path, sizeof(w->path), "%s/%s", d->conf.run_directory, WITNESS_SOCKET);
	r = cl_timer_new(d->loop, tell_down, w, &w->told);
	if (r == 0)
		r = listen_on(w, err);
	if (r == 0)
		*ret = cl_steal(w);
	return r;
}

/* Connections wait in the kernel until the core may be given events. */
void witnessd_begin(struct witnessd *w)
{
	if (cl_fd_new(w->d->loop, w->listen_fd, POLLIN, on_accept, w, &w->listen_src) == 0)
		return;
	log_crit("out of memory");
	daemon_stop(w->d, 1);
}

void witnessd_free(struct witnessd *w)
{
	if (!w)
		return;
	cl_source_free(w->make.timer);
	frame_conn_free(w->conn);
	cl_source_free(w->listen_src);
	cl_source_free(w->told);
	if (w->listen_fd >= 0)
		(void)close(w->listen_fd);
	free(w);
}
