/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/cluster.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "csv/mount.h"
#include "lib/log.h"
#include "proto/conn.h"
#include "proto/volume.h"

#define RETRY_MS 200

struct cluster {
	struct cl_loop *loop;
	struct cluster_config cfg;
	struct frame_conn *conn;
	struct cl_source *retry;
	uint64_t instance, index;
	bool ready, told; /* told: that clusterd is not there */
};

static const struct frame_hello hello_frame = {
	.protocol = VOLUME_PROTOCOL,
	.lowest = VOLUME_VERSION,
	.highest = VOLUME_VERSION,
};

int cluster_check_tables(const Vol__Tables *t, struct cl_error *err)
{
	if (!t->self || t->self > 255 || t->n_nodes > 255 || t->n_volumes > 1000 ||
	    t->n_owners > 10000)
		return cl_error_set(err, -EBADMSG, "tables: numbers out of range");
	for (size_t i = 0; i < t->n_nodes; i++)
		if (!t->nodes[i]->id || t->nodes[i]->id > 255)
			return cl_error_set(err, -EBADMSG, "tables: node %u", t->nodes[i]->id);
	for (size_t i = 0; i < t->n_volumes; i++) {
		const Vol__Volume *v = t->volumes[i];

		if (!csv_name_valid(v->name) || v->uuid.len != 16 || strlen(v->url) > 255)
			return cl_error_set(err, -EBADMSG, "tables: volume '%.64s'", v->name);
	}
	for (size_t i = 0; i < t->n_owners; i++)
		if (!*t->owners[i]->resource || strlen(t->owners[i]->resource) > 63)
			return cl_error_set(err, -EBADMSG, "tables: resource '%.64s'",
					    t->owners[i]->resource);
	return 0;
}

static void schedule(struct cluster *c)
{
	frame_conn_free(c->conn);
	c->conn = NULL;
	c->ready = false;
	(void)cl_timer_set_in(c->retry, RETRY_MS);
}

/* The message's own tables are given away: it must not free them. */
static bool on_tables(struct cluster *c, Vol__ToCsvd *msg)
{
	struct cl_error err = CL_ERROR_INIT;
	Vol__Tables *t = msg->tables;

	if (cluster_check_tables(t, &err) < 0) {
		log_error("clusterd: %s", err.msg);
		return false;
	}
	if (t->index < c->index) {
		log_info("clusterd: tables of index %llu are older than %llu: ignored",
			 (unsigned long long)t->index, (unsigned long long)c->index);
		return true;
	}
	c->index = t->index;
	msg->tables = NULL;
	msg->msg_case = VOL__TO_CSVD__MSG__NOT_SET;
	c->cfg.ops->tables(c->cfg.user, t);
	return true;
}

static bool dispatch(struct cluster *c, Vol__ToCsvd *msg)
{
	switch (msg->msg_case) {
	case VOL__TO_CSVD__MSG_TABLES:
		return on_tables(c, msg);
	case VOL__TO_CSVD__MSG_LEASE:
		c->cfg.ops->lease(c->cfg.user, msg->lease);
		return true;
	case VOL__TO_CSVD__MSG_GO_ANSWER:
		c->cfg.ops->go_answer(c->cfg.user, msg->go_answer);
		return true;
	case VOL__TO_CSVD__MSG_ORDER:
		c->cfg.ops->order(c->cfg.user, msg->order);
		return true;
	case VOL__TO_CSVD__MSG_JOB:
		c->cfg.ops->job(c->cfg.user, msg->job);
		return true;
	case VOL__TO_CSVD__MSG_CREDENTIALS:
		c->cfg.ops->credentials(c->cfg.user, msg->credentials);
		return true;
	default:
		return true; /* of a newer clusterd */
	}
}

static void on_frame(void *user, const struct frame *frame)
{
	struct cluster *c = user;
	Vol__ToCsvd *msg = frame->type == VOLUME_TO_CSVD
				   ? vol__to_csvd__unpack(NULL, frame->len, frame->body)
				   : NULL;
	bool ok = msg && dispatch(c, msg);

	if (msg)
		vol__to_csvd__free_unpacked(msg, NULL);
	if (!ok) {
		log_error("clusterd: a message that makes no sense; connecting anew");
		schedule(c);
	}
}

static void on_ready(void *user, uint16_t version)
{
	struct cluster *c = user;
	Vol__FromCsvd msg = VOL__FROM_CSVD__INIT;
	Vol__Hello hello = VOL__HELLO__INIT;

	(void)version;
	c->ready = true;
	c->told = false;
	hello.instance = c->instance;
	hello.pid = (uint32_t)getpid();
	hello.version = (char *)(uintptr_t)PACKAGE_VERSION;
	hello.can_resend = c->cfg.can_resend;
	hello.lost_before_ms = c->cfg.lost_before_ms;
	hello.takes_from = c->index ? c->index : 1;
	hello.mount_root = (char *)(uintptr_t)c->cfg.mount_root;
	msg.msg_case = VOL__FROM_CSVD__MSG_HELLO;
	msg.hello = &hello;
	cluster_send(c, &msg);
	log_info("connected to clusterd");
	c->cfg.ops->connected(c->cfg.user);
}

static void on_closed(void *user, const struct cl_error *why)
{
	struct cluster *c = user;

	log_warning("clusterd: %s; going on as it said last", why->msg);
	schedule(c);
}

static const struct frame_conn_ops conn_ops = { on_ready, on_frame, on_closed };

static int try_connect(struct cluster *c)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	(void)strncpy(addr.sun_path, c->cfg.path, sizeof(addr.sun_path) - 1);
	if (connect(fd, (const void *)&addr, sizeof(addr)) < 0) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	return frame_conn_new(c->loop, fd, &hello_frame, 0, &conn_ops, c, &c->conn);
}

static void on_retry(void *user)
{
	struct cluster *c = user;
	int r = try_connect(c);

	if (r == 0)
		return;
	if (!c->told)
		log_warning("clusterd: %s: %s; trying on", c->cfg.path, strerror(-r));
	c->told = true;
	(void)cl_timer_set_in(c->retry, RETRY_MS);
}

int cluster_new(struct cl_loop *loop, const struct cluster_config *config, struct cluster **ret,
		struct cl_error *err)
{
	struct cluster *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return cl_error_set(err, -ENOMEM, "out of memory");
	c->loop = loop;
	c->cfg = *config;
	if (strlen(config->path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
		free(c);
		return cl_error_set(err, -ENAMETOOLONG, "socket path '%s'", config->path);
	}
	r = getrandom(&c->instance, sizeof(c->instance), 0) == sizeof(c->instance) ? 0 : -EIO;
	if (r >= 0)
		r = cl_timer_new(loop, on_retry, c, &c->retry);
	if (r < 0) {
		free(c);
		return cl_error_errno(err, r, "clusterd connection");
	}
	(void)cl_timer_set_in(c->retry, 0);
	*ret = c;
	return 0;
}

void cluster_free(struct cluster *c)
{
	if (!c)
		return;
	cl_source_free(c->retry);
	frame_conn_free(c->conn);
	free(c);
}

void cluster_send(struct cluster *c, const Vol__FromCsvd *msg)
{
	size_t len = vol__from_csvd__get_packed_size(msg);
	uint8_t *buf;

	if (!c->ready)
		return;
	buf = malloc(len ? len : 1);
	if (!buf)
		return;
	(void)vol__from_csvd__pack(msg, buf);
	(void)frame_conn_send(c->conn, VOLUME_FROM_CSVD, buf, len);
	free(buf);
}
