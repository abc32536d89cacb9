/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterctl/client.h"

#include <qb/qbipcc.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#include "lib/cleanup.h"
#include "lib/monotime.h"
#include "proto/ipc.h"
#include "proto/ipc.pb-c.h"

struct client {
	qb_ipcc_connection_t *qb;
	char id[UUID_STR_LEN];
	int64_t timeout_ms;
	struct cl_mono begun;
	char *text; /* JSON so far */
	size_t len;
	char buf[IPC_MESSAGE_MAX];
};

/* ---- sending -------------------------------------------------------------------------------------- */

static size_t pack_request(const struct client *c, const struct args *args, uint8_t *out,
			   size_t size)
{
	Ipc__Request msg = IPC__REQUEST__INIT;
	Ipc__Option options[ARGS_OPTIONS_MAX], *list[ARGS_OPTIONS_MAX];
	size_t len;

	for (size_t i = 0; i < args->options.n; i++) {
		ipc__option__init(&options[i]);
		options[i].name = args->options.v[i].name;
		options[i].value = args->options.v[i].value;
		list[i] = &options[i];
	}
	msg.version = IPC_VERSION;
	msg.id = (char *)c->id;
	msg.verb = (char *)args->verb->name;
	msg.args = (char **)args->operands;
	msg.n_args = args->n_operands;
	msg.options = list;
	msg.n_options = args->options.n;
	msg.timeout_ms = (uint32_t)c->timeout_ms;
	len = ipc__request__get_packed_size(&msg);
	if (len > size)
		return 0;
	return ipc__request__pack(&msg, out);
}

static int send_request(struct client *c, const struct args *args, struct cl_error *err)
{
	struct qb_ipc_request_header head = { .id = IPC_ID_REQUEST };
	size_t len = pack_request(c, args, (uint8_t *)c->buf + sizeof(head),
				  sizeof(c->buf) - sizeof(head));
	ssize_t n;

	if (!len)
		return cl_error_set(err, -EINVAL, "request is too long");
	head.size = (int32_t)(len + sizeof(head));
	memcpy(c->buf, &head, sizeof(head));
	n = qb_ipcc_send(c->qb, c->buf, (size_t)head.size);
	if (n < 0)
		return cl_error_set(err, -CL_EUNREACH, "clusterd does not take the request: %s",
				    strerror((int)-n));
	return 0;
}

/* ---- receiving ------------------------------------------------------------------------------------ */

static int append(struct client *c, const char *part, struct cl_error *err)
{
	size_t n = strlen(part);
	char *text = realloc(c->text, c->len + n + 1);

	if (!text)
		return cl_error_set(err, -ENOMEM, "out of memory");
	c->text = text;
	memcpy(text + c->len, part, n + 1);
	c->len += n;
	return 0;
}

static int take_json(struct client *c, json_t **ret, struct cl_error *err)
{
	json_error_t bad;

	*ret = json_loads(c->text ? c->text : "", 0, &bad);
	free(c->text);
	c->text = NULL;
	c->len = 0;
	if (!*ret)
		return cl_error_set(err, -CL_ECORRUPT, "clusterd's answer cannot be read: %s",
				    bad.text);
	return 0;
}

static int take_error(const Ipc__Error *from, struct client_error *err)
{
	(void)cl_error_set(&err->err, from->code < 0 ? from->code : -EIO, "%s", from->message);
	(void)cl_error_hint(&err->err, "%s", from->hint);
	(void)snprintf(err->object, sizeof(err->object), "%s", from->object);
	return err->err.code;
}

static int timed_out(const struct client *c, struct cl_error *err)
{
	(void)cl_error_set(err, -CL_EPENDING, "not finished within %g s; it goes on",
			   (double)c->timeout_ms / 1000);
	return cl_error_hint(err, "see `clusterctl events --follow`");
}

/* One message into c->buf. In short waits, since libqb notices a dead server only between them. */
static int receive(struct client *c, size_t *ret_len, struct cl_error *err)
{
	for (;;) {
		int64_t left = 1000;
		ssize_t n;

		if (c->timeout_ms) {
			left = c->timeout_ms - cl_mono_diff_ms(c->begun, cl_mono_now());
			if (left <= 0)
				return timed_out(c, err);
			left = left > 1000 ? 1000 : left;
		}
		n = qb_ipcc_event_recv(c->qb, c->buf, sizeof(c->buf), (int32_t)left);
		if (n == -EAGAIN || n == -ETIMEDOUT || n == -EINTR)
			continue;
		if (n < 0) {
			(void)cl_error_set(err, -CL_EUNREACH, "connection to clusterd lost");
			return cl_error_hint(err, "it is not known whether it was done: "
						  "see `clusterctl status`");
		}
		*ret_len = (size_t)n;
		return 0;
	}
}

/* 1 = done (*ret set), 0 = go on. */
static int take_event(struct client *c, const Ipc__Event *event, client_line_fn line, void *user,
		      json_t **ret, struct client_error *err)
{
	json_t *json;
	int r;

	if (strcmp(event->id, c->id) != 0 && !event->error)
		return 0;
	if (event->error)
		return take_error(event->error, err);
	r = append(c, event->json, &err->err);
	if (r < 0 || event->partial)
		return r;
	r = take_json(c, &json, &err->err);
	if (r < 0)
		return r;
	if (event->done) {
		*ret = json;
		return 1;
	}
	line(user, json);
	json_decref(json);
	return 0;
}

static int receive_all(struct client *c, client_line_fn line, void *user, json_t **ret,
		       struct client_error *err)
{
	int r = 0;

	while (r == 0) {
		const struct qb_ipc_response_header *head = (const void *)c->buf;
		Ipc__Event *event = NULL;
		size_t len = 0;

		r = receive(c, &len, &err->err);
		if (r < 0)
			break;
		if (len >= sizeof(*head) && head->id == IPC_ID_EVENT)
			event = ipc__event__unpack(NULL, len - sizeof(*head),
						   (const uint8_t *)c->buf + sizeof(*head));
		if (!event)
			return cl_error_set(&err->err, -CL_ECORRUPT,
					    "clusterd's answer cannot be read");
		r = take_event(c, event, line, user, ret, err);
		ipc__event__free_unpacked(event, NULL);
	}
	return r > 0 ? 0 : r;
}

static int client_connect(struct client *c, struct cl_error *err)
{
	c->qb = qb_ipcc_connect(IPC_SERVICE, IPC_MESSAGE_MAX);
	if (c->qb)
		return 0;
	if (errno == EACCES) {
		(void)cl_error_set(err, -CL_EREFUSED, "you may not talk to clusterd");
		return cl_error_hint(err, "be root or in one of the groups clusterview, clusterop, "
					  "clusteradm");
	}
	(void)cl_error_set(err, -CL_EUNREACH, "clusterd is not reachable on this node: %s",
			   strerror(errno));
	return cl_error_hint(err, "is the service running? `systemctl status clusterd`");
}

int client_ask(const struct args *args, int64_t timeout_ms, client_line_fn line, void *user,
	       json_t **ret, struct client_error *err)
{
	_cleanup_free_ struct client *c = calloc(1, sizeof(*c));
	uuid_t uuid;
	int r;

	if (!c)
		return cl_error_set(&err->err, -ENOMEM, "out of memory");
	uuid_generate_random(uuid);
	uuid_unparse_lower(uuid, c->id);
	c->timeout_ms = timeout_ms;
	c->begun = cl_mono_now();
	r = client_connect(c, &err->err);
	if (r < 0)
		return r;
	r = send_request(c, args, &err->err);
	if (r == 0)
		r = receive_all(c, line, user, ret, err);
	qb_ipcc_disconnect(c->qb);
	free(c->text);
	return r;
}
