/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request of this node's kernel on its way to the coordinator and back. It lives from the read
 * of /dev/fuse to the reply, whatever happens to coordinators meanwhile.
 */
#ifndef CL_CSV_CALL_H
#define CL_CSV_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csv/buf.h"
#include "proto/csv.pb-c.h"

/* Where it is on its way. */
enum call_way {
	CALL_WAITING, /* here: no coordinator, lease over */
	CALL_SENT,    /* at the coordinator, by the present connection */
	CALL_ASKING,  /* for a layout */
	CALL_BLOCK,   /* at the coordinator, by place on the LUN */
	CALL_DIRECT,  /* at the LUN */
	CALL_GROWING, /* its data are on the LUN, behind the end of file; the GROW is at the coordinator */
	CALL_HELD,     /* was at the LUN, fate unknown: until its nexus is known to be dead */
	CALL_DRAINING, /* a release: until the direct I/O of its handle has ended */
};

struct dio;

struct call {
	struct call *next, *prev;
	Csv__Op op; /* strings and data are the call's */
	Csv__Attr attr;
	Csv__Lock lock;
	/* Exactly once. res is borrowed. Frees the call. */
	void (*done)(struct call *call, const Csv__Result *res);
	void *user;		 /* done's: the fuse_req_t */
	uint64_t node, new_node; /* done's: the kernel's ids of op.ino and op.new_ino */
	uint32_t pid; /* thread that waits for it; 0 = none, or not to be seen from here */
	size_t room;  /* done's: how much the caller takes (readdir, xattr) */
	bool sent;    /* at least once: it may have been executed */
	enum call_way way;
	bool no_direct; /* has been found to be the coordinator's */
	bool no_grow;	/* growth by itself was tried, or is not for it */
	bool no_block;	/* the coordinator does not do it by place */
	bool released;	/* release: what it holds here is forgotten */
	unsigned asks;	/* for layouts so far */
	uint64_t ask;	/* the one that it waits for */
	int64_t since_ns;
	struct dio *dio; /* BLOCK, DIRECT, HELD; WAITING: was BLOCK, until WELCOME */
	struct buf *buf; /* what op.data points into; NULL: op.data is the call's own */
};

/* NULL when out of memory. unique without the RESEND bit. */
struct call *call_new(Csv__Kind kind, uint64_t unique, uint64_t ino);
/* Copies; -ENOMEM. */
int call_set_name(struct call *call, const char *name);
int call_set_new_name(struct call *call, const char *name);
int call_set_resource(struct call *call, const char *name);
int call_set_data(struct call *call, const void *data, size_t len);
/* len bytes at data, which lies in buf: no copy, buf is kept. */
void call_set_buf(struct call *call, struct buf *buf, const void *data, size_t len);
void call_free(struct call *call);

/* Whether its answer is on record at the coordinator until it is acknowledged. */
bool call_has_record(const struct call *call);

#endif
