/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/ipc.h"

#include <grp.h>
#include <pwd.h>
#include <qb/qbdefs.h>
#include <qb/qbipcs.h>
#include <qb/qbloop.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/assert.h"
#include "lib/log.h"
#include "proto/ipc.h"

#define QUEUE_MAX (32 * 1024 * 1024)
#define RETRY_MS 5
#define CLIENTS_MAX 256

struct out {
	struct out *next;
	size_t size;
	uint8_t data[]; /* a whole qb message */
};

struct conn {
	LIST_ENTRY(conn) link;
	struct ipc *ipc;
	qb_ipcs_connection_t *qb;
	struct ipc_who who;
	uint64_t client; /* of the request under way; 0 = none */
	char *id;	 /* the client's own name for it */
	struct out *first, **last;
	size_t queued;
	bool closed;
};

struct ipc {
	struct cl_loop *loop;
	qb_ipcs_service_t *service;
	const struct ipc_ops *ops;
	void *user;
	LIST_HEAD(, conn) conns;
	unsigned n_conns;
	uint64_t next_client;
	struct cl_source *retry;
};

/* libqb gives no context to accept() nor to the loop's hooks: there is one server per process. */
static struct ipc *the_ipc;

/* ---- who may --------------------------------------------------------------------------------- */

static bool in_group(const char *name, const gid_t *gids, int n)
{
	struct group *gr = getgrnam(name);

	if (!gr)
		return false;
	for (int i = 0; i < n; i++)
		if (gids[i] == gr->gr_gid)
			return true;
	return false;
}

enum ipc_role ipc_role_of(uid_t uid, gid_t gid)
{
	struct passwd *pw;
	gid_t gids[256];
	int n = 256;

	if (uid == 0)
		return IPC_ADMIN;
	pw = getpwuid(uid);
	if (!pw || getgrouplist(pw->pw_name, gid, gids, &n) < 0) {
		gids[0] = gid;
		n = 1;
	}
	if (in_group("clusteradm", gids, n))
		return IPC_ADMIN;
	if (in_group("clusterop", gids, n))
		return IPC_OP;
	return in_group("clusterview", gids, n) ? IPC_VIEW : IPC_NONE;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void conn_drop_queue(struct conn *conn)
{
	while (conn->first) {
		struct out *out = conn->first;

		conn->first = out->next;
		free(out);
	}
	conn->last = &conn->first;
	conn->queued = 0;
}

static void conn_flush(struct conn *conn)
{
	while (conn->first && !conn->closed) {
		struct out *out = conn->first;
		ssize_t n = qb_ipcs_event_send(conn->qb, out->data, out->size);

		if (n == -EAGAIN || n == -ETIMEDOUT || n == -ENOBUFS) {
			(void)cl_timer_set_in(conn->ipc->retry, RETRY_MS);
			return;
		}
		if (n < 0) {
			conn_drop_queue(conn); /* it is going: closed() follows */
			return;
		}
		conn->first = out->next;
		if (!conn->first)
			conn->last = &conn->first;
		conn->queued -= out->size;
		free(out);
	}
}

static void on_retry(void *user)
{
	struct ipc *ipc = user;
	struct conn *conn, *next;

	for (conn = LIST_FIRST(&ipc->conns); conn; conn = next) {
		next = LIST_NEXT(conn, link);
		conn_flush(conn);
	}
}

static void conn_send(struct conn *conn, const Ipc__Event *event)
{
	size_t len = ipc__event__get_packed_size(event);
	size_t size = sizeof(struct qb_ipc_response_header) + len;
	struct qb_ipc_response_header head = { .id = IPC_ID_EVENT, .size = (int32_t)size };
	struct out *out;

	cl_assert(size <= IPC_MESSAGE_MAX);
	if (conn->queued + size > QUEUE_MAX || !(out = malloc(sizeof(*out) + size))) {
		log_warning("a client does not read its answers; cutting it off");
		qb_ipcs_disconnect(conn->qb);
		return;
	}
	out->next = NULL;
	out->size = size;
	memcpy(out->data, &head, sizeof(head));
	(void)ipc__event__pack(event, out->data + sizeof(head));
	*conn->last = out;
	conn->last = &out->next;
	conn->queued += size;
	conn_flush(conn);
}

/* The text in parts that fit; the last one carries `done`. */
static void conn_send_json(struct conn *conn, const char *json, bool done)
{
	size_t left = strlen(json);
	char part[IPC_PART_MAX + 1];

	do {
		size_t n = left < IPC_PART_MAX ? left : IPC_PART_MAX;
		Ipc__Event event = IPC__EVENT__INIT;

		memcpy(part, json, n);
		part[n] = '\0';
		json += n;
		left -= n;
		event.id = conn->id;
		event.json = part;
		event.partial = left > 0;
		event.done = done && !left;
		conn_send(conn, &event);
	} while (left);
}

static struct conn *conn_find(struct ipc *ipc, uint64_t client)
{
	struct conn *conn;

	LIST_FOREACH(conn, &ipc->conns, link)
	if (client && conn->client == client && !conn->closed)
		return conn;
	return NULL;
}

void ipc_progress(struct ipc *ipc, uint64_t client, const char *json)
{
	struct conn *conn = conn_find(ipc, client);

	if (conn)
		conn_send_json(conn, json, false);
}

unsigned ipc_clients(const struct ipc *ipc)
{
	return ipc->n_conns;
}

void ipc_done(struct ipc *ipc, uint64_t client, const char *json)
{
	struct conn *conn = conn_find(ipc, client);

	if (!conn)
		return;
	conn_send_json(conn, json, true);
	conn->client = 0;
	ipc->ops->on_end(ipc->user, client, NULL);
}

static void conn_fail(struct conn *conn, const struct cl_error *error, const char *object)
{
	Ipc__Error failed = IPC__ERROR__INIT;
	Ipc__Event event = IPC__EVENT__INIT;

	failed.code = error->code;
	failed.message = (char *)error->msg;
	failed.hint = (char *)error->hint;
	failed.object = (char *)(object ? object : "");
	event.id = conn->id ? conn->id : (char *)"";
	event.done = true;
	event.error = &failed;
	conn_send(conn, &event);
}

void ipc_fail(struct ipc *ipc, uint64_t client, const struct cl_error *error, const char *object)
{
	struct conn *conn = conn_find(ipc, client);

	if (!conn)
		return;
	conn_fail(conn, error, object);
	conn->client = 0;
	ipc->ops->on_end(ipc->user, client, error);
}

/* ---- libqb's callbacks ------------------------------------------------------------------------ */

/* The peer's ids are told here alone, so this is where the connection's own part begins. */
static int32_t on_accept(qb_ipcs_connection_t *qb, uid_t uid, gid_t gid)
{
	struct ipc_who who = { .uid = uid, .role = ipc_role_of(uid, gid) };
	struct passwd *pw = getpwuid(uid);
	struct conn *conn;

	if (pw)
		(void)snprintf(who.user, sizeof(who.user), "%s", pw->pw_name);
	else
		(void)snprintf(who.user, sizeof(who.user), "%u", (unsigned)uid);
	if (who.role == IPC_NONE) {
		the_ipc->ops->on_stranger(the_ipc->user, &who);
		return -EACCES;
	}
	if (the_ipc->n_conns >= CLIENTS_MAX)
		return -EMFILE;
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	/* Else the client, not being root, could not open what libqb makes for it. */
	qb_ipcs_connection_auth_set(qb, uid, gid, 0600);
	conn->ipc = the_ipc;
	conn->qb = qb;
	conn->last = &conn->first;
	conn->who = who;
	LIST_INSERT_HEAD(&the_ipc->conns, conn, link);
	the_ipc->n_conns++;
	qb_ipcs_context_set(qb, conn);
	return 0;
}

static void on_created(qb_ipcs_connection_t *qb)
{
	(void)qb;
}

static void conn_bad(struct conn *conn, const char *what)
{
	struct cl_error err = CL_ERROR_INIT;

	(void)cl_error_set(&err, -EINVAL, "%s", what);
	conn_fail(conn, &err, NULL);
}

static void conn_take(struct conn *conn, const Ipc__Request *msg)
{
	struct ipc *ipc = conn->ipc;

	if (msg->version != IPC_VERSION) {
		conn_bad(conn, "clusterctl and clusterd speak different versions");
		return;
	}
	if (conn->client) {
		conn_bad(conn, "one request at a time on one connection");
		return;
	}
	free(conn->id);
	conn->id = strndup(msg->id, 64);
	if (!conn->id) {
		conn_bad(conn, "out of memory");
		return;
	}
	conn->client = ++ipc->next_client;
	ipc->ops->on_request(ipc->user, conn->client, &conn->who, msg);
}

static int32_t on_message(qb_ipcs_connection_t *qb, void *data, size_t size)
{
	struct conn *conn = qb_ipcs_context_get(qb);
	const struct qb_ipc_request_header *head = data;
	Ipc__Request *msg = NULL;

	if (!conn)
		return -ENOTCONN;
	/* libqb has checked that the size in the header is what was received. */
	if (size >= sizeof(*head) && head->id == IPC_ID_REQUEST && head->size >= 0 &&
	    (size_t)head->size >= sizeof(*head) && (size_t)head->size <= size)
		msg = ipc__request__unpack(NULL, (size_t)head->size - sizeof(*head),
					   (const uint8_t *)data + sizeof(*head));
	if (!msg) {
		conn_bad(conn, "not a request of clusterctl");
		return 0;
	}
	conn_take(conn, msg);
	ipc__request__free_unpacked(msg, NULL);
	return 0;
}

static int32_t on_closed(qb_ipcs_connection_t *qb)
{
	struct conn *conn = qb_ipcs_context_get(qb);

	if (!conn || conn->closed)
		return 0;
	conn->closed = true;
	if (conn->client)
		conn->ipc->ops->on_gone(conn->ipc->user, conn->client);
	conn->client = 0;
	return 0;
}

static void on_destroyed(qb_ipcs_connection_t *qb)
{
	struct conn *conn = qb_ipcs_context_get(qb);

	if (!conn)
		return;
	conn_drop_queue(conn);
	LIST_REMOVE(conn, link);
	conn->ipc->n_conns--;
	free(conn->id);
	free(conn);
	qb_ipcs_context_set(qb, NULL);
}

/* ---- the loop behind libqb -------------------------------------------------------------------- */

static int32_t hook_job(enum qb_loop_priority p, void *data, qb_loop_job_dispatch_fn fn)
{
	return qb_loop_job_add(cl_loop_qb(the_ipc->loop), p, data, fn);
}

static int32_t hook_add(enum qb_loop_priority p, int32_t fd, int32_t events, void *data,
			qb_ipcs_dispatch_fn_t fn)
{
	return qb_loop_poll_add(cl_loop_qb(the_ipc->loop), p, fd, events, data, fn);
}

static int32_t hook_mod(enum qb_loop_priority p, int32_t fd, int32_t events, void *data,
			qb_ipcs_dispatch_fn_t fn)
{
	return qb_loop_poll_mod(cl_loop_qb(the_ipc->loop), p, fd, events, data, fn);
}

static int32_t hook_del(int32_t fd)
{
	return qb_loop_poll_del(cl_loop_qb(the_ipc->loop), fd);
}

static int service_run(struct ipc *ipc, const char *name)
{
	static struct qb_ipcs_service_handlers handlers = {
		.connection_accept = on_accept,
		.connection_created = on_created,
		.msg_process = on_message,
		.connection_closed = on_closed,
		.connection_destroyed = on_destroyed,
	};
	static struct qb_ipcs_poll_handlers hooks = {
		.job_add = hook_job,
		.dispatch_add = hook_add,
		.dispatch_mod = hook_mod,
		.dispatch_del = hook_del,
	};

	/* Not QB_IPC_SOCKET: to a client that does not read, libqb 2.0.6 sends in a loop with sleeps,
	 * inside our loop, until the lease is gone. A full ring in shared memory is EAGAIN at once. */
	ipc->service = qb_ipcs_create(name, 0, QB_IPC_SHM, &handlers);
	if (!ipc->service)
		return -errno;
	qb_ipcs_enforce_buffer_size(ipc->service, IPC_MESSAGE_MAX);
	qb_ipcs_poll_handlers_set(ipc->service, &hooks);
	return qb_ipcs_run(ipc->service);
}

int ipc_new(struct cl_loop *loop, const char *service, const struct ipc_ops *ops, void *user,
	    struct ipc **ret, struct cl_error *err)
{
	struct ipc *ipc = calloc(1, sizeof(*ipc));
	int r;

	cl_assert(!the_ipc);
	if (!ipc)
		return cl_error_set(err, -ENOMEM, "out of memory");
	the_ipc = ipc;
	ipc->loop = loop;
	ipc->ops = ops;
	ipc->user = user;
	LIST_INIT(&ipc->conns);
	r = cl_timer_new(loop, on_retry, ipc, &ipc->retry);
	if (r == 0)
		r = service_run(ipc, service);
	if (r < 0) {
		ipc_free(ipc);
		return cl_error_errno(err, r, "IPC service '%s'", service);
	}
	*ret = ipc;
	return 0;
}

void ipc_free(struct ipc *ipc)
{
	if (!ipc)
		return;
	if (ipc->service)
		qb_ipcs_destroy(ipc->service);
	cl_source_free(ipc->retry);
	the_ipc = NULL;
	free(ipc);
}
