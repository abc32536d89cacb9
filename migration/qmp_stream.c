/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/qmp_stream.h"

#include <stdlib.h>
#include <string.h>

void qmp_stream_fini(struct qmp_stream *stream)
{
	free(stream->buf);
	*stream = (struct qmp_stream){ 0 };
}

int qmp_stream_reserve(struct qmp_stream *stream, size_t want, char **ret_at)
{
	size_t cap = stream->cap ? stream->cap : 4096;
	char *buf;

	while (cap < stream->len + want)
		cap *= 2;
	if (cap > stream->cap) {
		buf = realloc(stream->buf, cap);
		if (!buf)
			return -ENOMEM;
		stream->buf = buf;
		stream->cap = cap;
	}
	*ret_at = stream->buf + stream->len;
	return 0;
}

void qmp_stream_commit(struct qmp_stream *stream, size_t n)
{
	stream->len += n;
}

void qmp_msg_fini(struct qmp_msg *msg)
{
	json_decref(msg->root);
	*msg = (struct qmp_msg){ 0 };
}

static int bad(struct cl_error *err, const char *what)
{
	return cl_error_set(err, -EPROTO, "qmp: %s", what);
}

static int msg_id(struct qmp_msg *msg, struct cl_error *err)
{
	json_t *id = json_object_get(msg->root, "id");

	if (!id)
		return 0; /* QEMU answers a line that it could not parse without one */
	if (!json_is_integer(id) || json_integer_value(id) < 0)
		return bad(err, "an answer's id is not one of ours");
	msg->has_id = true;
	msg->id = (uint64_t)json_integer_value(id);
	return 0;
}

static int msg_event(struct qmp_msg *msg, json_t *name, struct cl_error *err)
{
	json_t *stamp = json_object_get(msg->root, "timestamp");
	json_int_t seconds = json_integer_value(json_object_get(stamp, "seconds"));
	json_int_t micros = json_integer_value(json_object_get(stamp, "microseconds"));

	if (!json_is_string(name))
		return bad(err, "an event without a name");
	msg->kind = QMP_EVENT;
	msg->event = json_string_value(name);
	msg->data = json_object_get(msg->root, "data");
	if (msg->data && !json_is_object(msg->data))
		return bad(err, "an event whose data is not an object");
	/* QEMU says -1 when it could not tell; a bound keeps the sum from overflowing. */
	if (seconds > 0 && seconds < INT64_C(1) << 40 && micros >= 0 && micros < 1000000)
		msg->time_us = (int64_t)seconds * 1000000 + (int64_t)micros;
	return 0;
}

static int msg_error(struct qmp_msg *msg, json_t *error, struct cl_error *err)
{
	json_t *desc = json_object_get(error, "desc");

	if (!json_is_string(desc))
		return bad(err, "an error without a description");
	msg->kind = QMP_ERROR;
	msg->desc = json_string_value(desc);
	return msg_id(msg, err);
}

static int classify(struct qmp_msg *msg, struct cl_error *err)
{
	json_t *v;

	if (!json_is_object(msg->root))
		return bad(err, "a message that is not an object");
	if ((v = json_object_get(msg->root, "event")))
		return msg_event(msg, v, err);
	if ((v = json_object_get(msg->root, "error")))
		return msg_error(msg, v, err);
	if ((v = json_object_get(msg->root, "return"))) {
		msg->kind = QMP_RETURN;
		msg->data = v;
		return msg_id(msg, err);
	}
	if (json_object_get(msg->root, "QMP")) {
		msg->kind = QMP_GREETING;
		return 0;
	}
	return bad(err, "a message that is neither greeting, answer, error nor event");
}

static int parse_line(const char *line, size_t len, struct qmp_msg *ret, struct cl_error *err)
{
	struct qmp_msg msg = { 0 };
	json_error_t why;
	int r;

	msg.root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!msg.root)
		return cl_error_set(err, -EPROTO, "qmp: not JSON: %.80s", why.text);
	r = classify(&msg, err);
	if (r < 0) {
		qmp_msg_fini(&msg);
		return r;
	}
	*ret = msg;
	return 1;
}

static bool is_blank(const char *line, size_t len)
{
	while (len && strchr(" \t\r", line[len - 1]) && line[len - 1])
		len--;
	return len == 0;
}

static void consume(struct qmp_stream *stream, size_t n)
{
	memmove(stream->buf, stream->buf + n, stream->len - n);
	stream->len -= n;
	stream->scanned = 0;
}

int qmp_stream_next(struct qmp_stream *stream, struct qmp_msg *ret, struct cl_error *err)
{
	for (;;) {
		char *from = stream->buf + stream->scanned, *nl;
		size_t len;
		int r;

		nl = stream->len > stream->scanned
			     ? memchr(from, '\n', stream->len - stream->scanned)
			     : NULL;
		if (!nl) {
			stream->scanned = stream->len;
			return stream->len > QMP_LINE_MAX ? bad(err, "a line without end") : 0;
		}
		len = (size_t)(nl - stream->buf);
		if (len > QMP_LINE_MAX)
			return bad(err, "a line too long");
		r = is_blank(stream->buf, len) ? 0 : parse_line(stream->buf, len, ret, err);
		if (r < 0)
			return r;
		consume(stream, len + 1);
		if (r > 0)
			return r;
	}
}
