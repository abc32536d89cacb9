/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/corosync_lines.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void line_copy(char *to, size_t size, const char *from, size_t len)
{
	while (len && isspace((unsigned char)*from))
		from++, len--;
	while (len && isspace((unsigned char)from[len - 1]))
		len--;
	(void)snprintf(to, size, "%.*s", (int)(len < size ? len : size - 1), from);
}

static void line_parse(struct line *l)
{
	size_t len = l->len;
	const char *colon, *last;
	char first[2];

	line_copy(first, sizeof(first), l->start, len);
	if (!*first || *first == '#')
		return;
	for (last = l->start + len - 1; last > l->start && isspace((unsigned char)*last); last--)
		;
	colon = memchr(l->start, ':', len);
	if (*first == '}') {
		l->kind = LINE_CLOSE;
	} else if (*last == '{') {
		l->kind = LINE_OPEN;
		line_copy(l->key, sizeof(l->key), l->start, (size_t)(last - l->start));
	} else if (colon) {
		l->kind = LINE_KEY;
		line_copy(l->key, sizeof(l->key), l->start, (size_t)(colon - l->start));
		line_copy(l->value, sizeof(l->value), colon + 1,
			  (size_t)(l->start + len - colon - 1));
	}
}

int line_next(struct reader *rd, struct line *ret, struct cl_error *err)
{
	const char *end;

	if (!*rd->at)
		return 0;
	end = strchr(rd->at, '\n');
	*ret = (struct line){ .start = rd->at };
	ret->len = end ? (size_t)(end + 1 - rd->at) : strlen(rd->at);
	rd->at += ret->len;
	rd->number++;
	line_parse(ret);
	if (ret->kind == LINE_OPEN && rd->depth == COROSYNC_DEPTH_MAX)
		return cl_error_set(err, -EINVAL, "corosync.conf:%u: sections too deep",
				    rd->number);
	if (ret->kind == LINE_OPEN)
		line_copy(rd->section[rd->depth++], sizeof(rd->section[0]), ret->key,
			  strlen(ret->key));
	if (ret->kind == LINE_CLOSE && rd->depth == 0)
		return cl_error_set(err, -EINVAL, "corosync.conf:%u: '}' without a section",
				    rd->number);
	return 1;
}

void line_done(struct reader *rd, const struct line *l)
{
	if (l->kind == LINE_CLOSE)
		rd->depth--;
}

bool line_in(const struct reader *rd, const char *a, const char *b)
{
	return rd->depth == (b ? 2 : 1) && strcmp(rd->section[0], a) == 0 &&
	       (!b || strcmp(rd->section[1], b) == 0);
}

bool line_is(const struct line *l, const char *key)
{
	return l->kind == LINE_KEY && strcmp(l->key, key) == 0;
}
