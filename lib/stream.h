/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a byte stream does beyond its file descriptor: the seam through which a framed connection is
 * encrypted without knowing how. Nothing in it blocks.
 */
#ifndef CL_LIB_STREAM_H
#define CL_LIB_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/error.h"

struct cl_stream_ops {
	/* 1 = ready for data; 0 = again when the descriptor is readable, or writable if wants_write;
	 * negative = the other side is not who it should be, or talks something else. */
	int (*handshake)(void *stream, struct cl_error *err);
	bool (*wants_write)(void *stream);
	/* Bytes, -EAGAIN, or another negative errno. After -EAGAIN send is given the same bytes again,
	 * more may follow them. recv: 0 = orderly end. */
	ssize_t (*send)(void *stream, const void *data, size_t len);
	ssize_t (*recv)(void *stream, void *data, size_t len);
	void (*free)(void *stream);
};

struct cl_stream {
	const struct cl_stream_ops *ops; /* NULL: the bare descriptor */
	void *stream;
};

#endif
