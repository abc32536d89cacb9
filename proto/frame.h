/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framing: messages over a byte stream (unix socket, TCP). A frame is
 *
 *     u32 magic "CLF1" | u16 version | u16 type | u32 length of body      all little-endian
 *     body, at most FRAME_BODY_MAX bytes (protobuf, or what the type says)
 *
 * Types 0..15 belong to the framing itself (FRAME_HELLO), the rest to the protocol on top.
 *
 * Version negotiation: the first frame of each side is a HELLO, sent without waiting for the
 * other's. It names the protocol (so that a stranger is told so, not misread) and the lowest and
 * highest version spoken. Both sides compute the same answer: the smaller of the two highest, or
 * nothing in common. Frames after it carry the agreed version; any other version is an error.
 *
 * Input is hostile: a reader never holds more than one frame plus what one read() brought, and once
 * it has seen a wrong byte it stays failed, because the boundaries are lost.
 */
#ifndef CL_PROTO_FRAME_H
#define CL_PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define FRAME_MAGIC UINT32_C(0x31464c43) /* "CLF1" */
#define FRAME_HEADER_SIZE 12
#define FRAME_BODY_MAX (1024 * 1024 + 64 * 1024) /* a MiB of data, and what goes with it */

enum { FRAME_HELLO = 0, FRAME_TYPE_FIRST = 16 };

struct frame {
	uint16_t version, type;
	uint32_t len;
	const uint8_t *body; /* borrowed from the reader until its next call */
};

/* Write the header of a frame whose body has len bytes (<= FRAME_BODY_MAX, asserted). */
void frame_put_header(uint8_t out[FRAME_HEADER_SIZE], uint16_t version, uint16_t type,
		      uint32_t len);

/*
 * Header from bytes: fills all but body. -CL_ECORRUPT for a wrong magic or a length above the
 * maximum. Never asserts. (For those who read header and body by themselves.)
 */
int frame_get_header(const uint8_t in[FRAME_HEADER_SIZE], struct frame *ret, struct cl_error *err);

/* ---- reader: bytes in, frames out ---------------------------------------------------------- */

struct frame_reader {
	uint8_t *buf;
	size_t start, end, cap;
	int failed; /* sticky */
};

/* An all-zero reader is empty and ready. fini frees the buffer. */
void frame_reader_fini(struct frame_reader *rd);

/*
 * Room for at least `want` more bytes (at most FRAME_BODY_MAX): the caller reads into *ret and then
 * says how many with frame_reader_filled(). Invalidates the body of the last frame. -ENOMEM.
 */
int frame_reader_space(struct frame_reader *rd, size_t want, uint8_t **ret);
void frame_reader_filled(struct frame_reader *rd, size_t n);

/* The same for bytes that lie somewhere else already. */
int frame_reader_feed(struct frame_reader *rd, const void *data, size_t n);

/* 1 and *ret when a whole frame is there, 0 when more bytes are needed, -CL_ECORRUPT for ever after
 * a wrong header. The frame's body stays valid until the next call of any reader function. */
int frame_reader_next(struct frame_reader *rd, struct frame *ret, struct cl_error *err);

/* ---- hello ---------------------------------------------------------------------------------- */

struct frame_hello {
	uint32_t protocol; /* four letters, FRAME_PROTOCOL('V','O','L','1') */
	uint16_t lowest, highest;
};

#define FRAME_PROTOCOL(a, b, c, d)                                                                 \
	((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

#define FRAME_HELLO_BODY 8

/* The whole HELLO frame (header with version 0, and body). */
void frame_put_hello(uint8_t out[FRAME_HEADER_SIZE + FRAME_HELLO_BODY],
		     const struct frame_hello *hello);

/* -CL_ECORRUPT when it is not a HELLO. A longer body than ours is fine: fields are only added. */
int frame_get_hello(const struct frame *frame, struct frame_hello *ret, struct cl_error *err);

/* The version both speak (> 0), or -EPROTONOSUPPORT with both ranges in words. */
int frame_negotiate(const struct frame_hello *mine, const struct frame_hello *theirs,
		    struct cl_error *err);

#endif
