/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "csv/op.h"

struct call *call_new(Csv__Kind kind, uint64_t unique, uint64_t ino)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	csv__op__init(&call->op);
	csv__attr__init(&call->attr);
	csv__lock__init(&call->lock);
	call->op.kind = kind;
	call->op.unique = unique;
	call->op.ino = ino;
	return call;
}

static int set_string(char **to, const char *from)
{
	char *copy = strdup(from);

	if (!copy)
		return -ENOMEM;
	*to = copy;
	return 0;
}

int call_set_name(struct call *call, const char *name)
{
	return set_string(&call->op.name, name);
}

int call_set_new_name(struct call *call, const char *name)
{
	return set_string(&call->op.new_name, name);
}

int call_set_resource(struct call *call, const char *name)
{
	return set_string(&call->op.resource, name);
}

int call_set_data(struct call *call, const void *data, size_t len)
{
	call->op.data.data = malloc(len ? len : 1);
	if (!call->op.data.data)
		return -ENOMEM;
	memcpy(call->op.data.data, data, len);
	call->op.data.len = len;
	return 0;
}

void call_set_buf(struct call *call, struct buf *buf, const void *data, size_t len)
{
	call->buf = buf_ref(buf);
	call->op.data.data = (uint8_t *)(uintptr_t)data;
	call->op.data.len = len;
}

static void free_string(char *s)
{
	if (s != (const char *)protobuf_c_empty_string)
		free(s);
}

void call_free(struct call *call)
{
	if (!call)
		return;
	free_string(call->op.name);
	free_string(call->op.new_name);
	free_string(call->op.resource);
	if (call->buf)
		buf_unref(call->buf);
	else
		free(call->op.data.data);
	free(call);
}

bool call_has_record(const struct call *call)
{
	return !op_repeatable(&call->op);
}
