/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by front*.c: from the kernel's request to a call, from the result to a reply. */
#ifndef CL_CSV_FRONT_INT_H
#define CL_CSV_FRONT_INT_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "csv/front.h"
#include "csv/places.h"

#define FRONT_MAX_WRITE (1024 * 1024)

struct front;

struct client *front_client(struct front *front);
struct places *front_places(const struct front *front);
/* `unique` of the request that is being processed, without the RESEND bit; resent = it had it. */
uint64_t front_unique(const struct front *front, bool *ret_resent);
/* What the request was read into; who keeps it takes a reference. */
struct buf *front_rx(const struct front *front);
/* What is replied next opens a file. */
void front_next_is_open(struct front *front, bool create);
/* What libfuse does not tell of the request that is being processed. */
struct front_raw {
	bool tmpfile;	  /* it is a TMPFILE, given to libfuse as a CREATE */
	bool kill_setgid; /* SETXATTR of a list by somebody who may not keep the file's S_ISGID */
	bool kill_priv;	  /* WRITE by somebody who may not keep its set-id bits */
};
const struct front_raw *front_raw(const struct front *front);
#define FRONT_XATTR_KILL_SETGID 4u /* = FS_XATTR_KILL_SETGID, beside the flags of setxattr(2) */
/* After the request has been processed: the kernel gave this one up. */
void front_interrupted(struct front *front, uint64_t unique);

extern const struct fuse_lowlevel_ops front_ops;

/* front_raw.c: notes what libfuse hides, and makes of the request what libfuse understands. */
void front_raw_read(uint8_t *data, size_t len, struct front_raw *ret);
/* The answer to INIT on its way to the kernel: adds what csvd can do and libfuse does not know of. */
void front_raw_init(const uint8_t *request, size_t len, void *answer, size_t answer_len);

/* front_reply.c: frees the call, gives its request back for the reply. */
fuse_req_t front_finish(struct call *call);
/* The done functions of calls, by what the kernel is owed. */
void front_done_err(struct call *call, const Csv__Result *res);
void front_done_rename(struct call *call, const Csv__Result *res);
void front_done_remove(struct call *call, const Csv__Result *res);
void front_done_entry(struct call *call, const Csv__Result *res);
void front_done_attr(struct call *call, const Csv__Result *res);
void front_done_open(struct call *call, const Csv__Result *res);
void front_done_create(struct call *call, const Csv__Result *res);
void front_done_data(struct call *call, const Csv__Result *res);
void front_done_write(struct call *call, const Csv__Result *res);
void front_done_readlink(struct call *call, const Csv__Result *res);
void front_done_xattr(struct call *call, const Csv__Result *res);
void front_done_statfs(struct call *call, const Csv__Result *res);
void front_done_readdir(struct call *call, const Csv__Result *res);
void front_done_getlk(struct call *call, const Csv__Result *res);
void front_done_lseek(struct call *call, const Csv__Result *res);
void front_done_ioctl(struct call *call, const Csv__Result *res);

#endif
