/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a QMP connection cut into messages (QEMU docs/interop/qmp-spec). Each message is one
 * JSON object on a line of its own. What the other side sends is never trusted: lengths and nesting
 * are bounded, anything that is not a QMP message is an error of the connection.
 */
#ifndef CL_MIGRATION_QMP_STREAM_H
#define CL_MIGRATION_QMP_STREAM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define QMP_LINE_MAX (4U << 20)

enum qmp_msg_kind { QMP_GREETING, QMP_RETURN, QMP_ERROR, QMP_EVENT };

struct qmp_msg {
	enum qmp_msg_kind kind;
	json_t *root; /* owned; everything below points into it */
	bool has_id;  /* RETURN, ERROR: the id that we gave the command */
	uint64_t id;
	json_t *data;	   /* RETURN: the value; EVENT: "data" or NULL */
	const char *event; /* EVENT: its name */
	const char *desc;  /* ERROR: what QEMU says */
	int64_t time_us;   /* EVENT: QEMU's wall clock; 0 when it gave none */
};

struct qmp_stream {
	char *buf;
	size_t len, cap, scanned;
};

void qmp_stream_fini(struct qmp_stream *stream);

/* Room for at least `want` more bytes: read into *ret_at, then say how many came. */
int qmp_stream_reserve(struct qmp_stream *stream, size_t want, char **ret_at);
void qmp_stream_commit(struct qmp_stream *stream, size_t n);

/* 1: *ret is the next message (qmp_msg_fini() it); 0: more bytes needed; negative: not QMP. */
int qmp_stream_next(struct qmp_stream *stream, struct qmp_msg *ret, struct cl_error *err);
void qmp_msg_fini(struct qmp_msg *msg);

#endif
