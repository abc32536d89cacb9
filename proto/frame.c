/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "proto/frame.h"

#include <stdlib.h>
#include <string.h>

#include "lib/assert.h"
#include "lib/le.h"

void frame_put_header(uint8_t out[FRAME_HEADER_SIZE], uint16_t version, uint16_t type, uint32_t len)
{
	cl_assert(len <= FRAME_BODY_MAX);
	cl_put_le32(out, FRAME_MAGIC);
	cl_put_le16(out + 4, version);
	cl_put_le16(out + 6, type);
	cl_put_le32(out + 8, len);
}

int frame_get_header(const uint8_t in[FRAME_HEADER_SIZE], struct frame *ret, struct cl_error *err)
{
	uint32_t magic = cl_get_le32(in);
	uint32_t len = cl_get_le32(in + 8);

	if (magic != FRAME_MAGIC)
		return cl_error_set(err, -CL_ECORRUPT, "not a frame: magic 0x%08x", magic);
	if (len > FRAME_BODY_MAX)
		return cl_error_set(err, -CL_ECORRUPT, "frame of %u bytes, at most %d allowed", len,
				    FRAME_BODY_MAX);
	*ret = (struct frame){
		.version = cl_get_le16(in + 4),
		.type = cl_get_le16(in + 6),
		.len = len,
	};
	return 0;
}

void frame_reader_fini(struct frame_reader *rd)
{
	free(rd->buf);
	*rd = (struct frame_reader){ 0 };
}

int frame_reader_space(struct frame_reader *rd, size_t want, uint8_t **ret)
{
	size_t used = rd->end - rd->start;
	size_t cap = rd->cap ? rd->cap : 4096;
	uint8_t *buf;

	cl_assert(want <= FRAME_BODY_MAX);
	if (rd->start) {
		memmove(rd->buf, rd->buf + rd->start, used);
		rd->start = 0;
		rd->end = used;
	}
	while (cap < used + want)
		cap *= 2;
	if (cap > rd->cap) {
		buf = realloc(rd->buf, cap);
		if (!buf)
			return -ENOMEM;
		rd->buf = buf;
		rd->cap = cap;
	}
	*ret = rd->buf + rd->end;
	return 0;
}

void frame_reader_filled(struct frame_reader *rd, size_t n)
{
	cl_assert(n <= rd->cap - rd->end);
	rd->end += n;
}

int frame_reader_feed(struct frame_reader *rd, const void *data, size_t n)
{
	uint8_t *room;
	int r;

	if (!n)
		return 0;
	r = frame_reader_space(rd, n, &room);
	if (r < 0)
		return r;
	memcpy(room, data, n);
	frame_reader_filled(rd, n);
	return 0;
}

int frame_reader_next(struct frame_reader *rd, struct frame *ret, struct cl_error *err)
{
	size_t have = rd->end - rd->start;
	struct frame frame;
	int r;

	if (rd->failed)
		return cl_error_set(err, rd->failed, "stream already failed");
	if (have < FRAME_HEADER_SIZE)
		return 0;
	r = frame_get_header(rd->buf + rd->start, &frame, err);
	if (r < 0)
		return rd->failed = r;
	if (have - FRAME_HEADER_SIZE < frame.len)
		return 0;
	frame.body = rd->buf + rd->start + FRAME_HEADER_SIZE;
	rd->start += FRAME_HEADER_SIZE + frame.len;
	*ret = frame;
	return 1;
}

void frame_put_hello(uint8_t out[FRAME_HEADER_SIZE + FRAME_HELLO_BODY],
		     const struct frame_hello *hello)
{
	frame_put_header(out, 0, FRAME_HELLO, FRAME_HELLO_BODY);
	cl_put_le32(out + FRAME_HEADER_SIZE, hello->protocol);
	cl_put_le16(out + FRAME_HEADER_SIZE + 4, hello->lowest);
	cl_put_le16(out + FRAME_HEADER_SIZE + 6, hello->highest);
}

int frame_get_hello(const struct frame *frame, struct frame_hello *ret, struct cl_error *err)
{
	if (frame->type != FRAME_HELLO || frame->len < FRAME_HELLO_BODY)
		return cl_error_set(err, -CL_ECORRUPT, "first frame is not a hello (type %u)",
				    frame->type);
	*ret = (struct frame_hello){
		.protocol = cl_get_le32(frame->body),
		.lowest = cl_get_le16(frame->body + 4),
		.highest = cl_get_le16(frame->body + 6),
	};
	return 0;
}

int frame_negotiate(const struct frame_hello *mine, const struct frame_hello *theirs,
		    struct cl_error *err)
{
	uint16_t version = mine->highest < theirs->highest ? mine->highest : theirs->highest;

	if (mine->protocol != theirs->protocol)
		return cl_error_set(err, -EPROTONOSUPPORT,
				    "the other side speaks protocol 0x%08x, not 0x%08x",
				    theirs->protocol, mine->protocol);
	if (version == 0 || version < mine->lowest || version < theirs->lowest)
		return cl_error_set(err, -EPROTONOSUPPORT,
				    "no common version: %u to %u here, %u to %u there",
				    mine->lowest, mine->highest, theirs->lowest, theirs->highest);
	return version;
}
