/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A coordinator for unit tests: the real thread over a volume in memory; the test plays the loop, the
 * cluster and every client. Nothing here sleeps: a test awaits messages, and shows that one does not come
 * by the answer to a later question (the coordinator takes mail in order).
 */
#ifndef TESTS_UNIT_COORD_RIG_H
#define TESTS_UNIT_COORD_RIG_H

#include "csv/coord.h"
#include "csv/fs_dev.h"
#include "lib/vec.h"
#include "proto/volume.pb-c.h"

#define RIG_NODES 4

struct received {
	uint64_t conn;
	Csv__Message *msg;
};
CL_DEFINE_VEC(received_vec, struct received);
CL_DEFINE_VEC(rig_mail_vec, struct csv_mail *);

struct rig {
	uint8_t *mem;	     /* the volume; outlives coordinators */
	uint8_t cluster[16]; /* as the tables have it */
	struct cl_mailbox out;
	struct coord *coord;
	_Atomic int64_t lease_until_ms;
	uint64_t later_epoch; /* told with the state */
	uint64_t epoch, last_conn, last_key;
	unsigned defects;
	uint32_t silence_ms;
	bool redirected;
	enum coord_state state;
	char text[256];
	uint64_t incarnation[RIG_NODES + 1]; /* of each node; 0 = not living */
	Vol__Owner *owner;		     /* of one resource; NULL = none */
	bool manual;			     /* the test itself answers questions about nexuses */
	struct received_vec received;
	struct rig_mail_vec questions; /* not answered yet: about nexuses when manual; block I/O */
	uint64_t closed_conn;	       /* the last one that the coordinator closed */
	uint64_t fence_done;	       /* id of the last */
	uint32_t fence_first;	       /* this node, while the next coordinator opens; 0 = none */
	unsigned kills, data_writes;
	unsigned opens; /* of the device */
	bool owed;	/* the tables show a debt of node 4 */
	/* The device: calls fail from here on; writes of file data seen (offset of the last). */
	int fail;
	unsigned flushes_left; /* the device fails with this one; 0 = never */
};

/* A client: one mount. */
struct peer {
	struct rig *rig;
	uint32_t node;
	uint64_t mount, incarnation, conn, unique, process, nexus;
};

/* A fresh volume, all nodes living at incarnation 1, no coordinator yet. */
struct rig *rig_new(void);
void rig_free(struct rig *rig);
/* At the next epoch. Returns when it is in grace or serves. */
void rig_start(struct rig *rig);
/* The same, or COORD_FAILED or COORD_REFUSED. */
void rig_begin(struct rig *rig);
/* It ends without another write, as if killed. */
void rig_kill(struct rig *rig);
/* MAIL_CLOSE, and the end of the thread. */
void rig_close(struct rig *rig);
void rig_tables(struct rig *rig);
/* (node, incarnation of now) is dead and fenced: tables, MAIL_FENCED; awaits its being done. */
void rig_fence(struct rig *rig, uint32_t node);
/* The same, not awaited: rig->fence_done becomes the result. */
uint64_t rig_post_fence(struct rig *rig, uint32_t node);
/* Until all that was posted before has been looked at. */
void rig_settle(struct rig *rig);
/* Takes at least one mail; fails the test when none comes. */
void rig_await_mail(struct rig *rig);
/* Takes what is there. */
void rig_poll(struct rig *rig);
void rig_await_state(struct rig *rig, enum coord_state state);
/* manual: the next question of this kind (owned by the caller), and its answer. */
struct csv_mail *rig_question(struct rig *rig, enum csv_mail_kind kind);
/* Block-redirected I/O that came as a question of kind MAIL_IO is done (or not: errno). */
void rig_io_done(struct rig *rig, struct csv_mail *io, int error);
void rig_answer(struct rig *rig, struct csv_mail *question, bool ok, uint64_t key);

void peer_init(struct peer *p, struct rig *rig, uint32_t node);
void peer_send(struct peer *p, Csv__Message *msg);
/* HELLO on a new connection. */
void peer_hello(struct peer *p);
/* HELLO, WELCOME, RECLAIM of nothing when asked: ready for operations. Returns whether it reclaimed. */
bool peer_up(struct peer *p);
void peer_reclaim(struct peer *p, const Csv__Handle *h, size_t n);
/* The same, with growth that is not known to be durable. */
void peer_reclaim_grown(struct peer *p, const Csv__Handle *h, size_t n, const Csv__Grown *grown,
			size_t n_grown);
/* Its connection breaks. */
void peer_lost(struct peer *p);
/* The next message of that kind to this peer's connection; freed by the caller. */
Csv__Message *peer_expect(struct peer *p, Csv__Message__MsgCase what);
/* The oldest that is there (what 0: of any kind), or NULL. */
Csv__Message *peer_take(struct peer *p, Csv__Message__MsgCase what);
/* Whether one is there, all that was posted so far having been looked at. */
bool peer_has(struct peer *p, Csv__Message__MsgCase what);

/* An operation with a unique of its own; the result is awaited (freed by the caller). */
void peer_post(struct peer *p, Csv__Op *op);
Csv__Message *peer_result(struct peer *p, uint64_t unique);
Csv__Message *peer_call(struct peer *p, Csv__Op *op);
/* The same, for those that only want to know: errno. */
int peer_try(struct peer *p, Csv__Op *op);
/* CREATE in the root directory: *ret_fh, inode. */
uint64_t peer_create(struct peer *p, const char *name, uint64_t *ret_fh);
uint64_t peer_open(struct peer *p, uint64_t ino);
void peer_release(struct peer *p, uint64_t ino, uint64_t fh);
int peer_write(struct peer *p, uint64_t ino, uint64_t fh, uint64_t off, const void *data,
	       size_t len);
/* WRITE without waiting: its unique. */
uint64_t peer_post_write(struct peer *p, uint64_t ino, uint64_t fh, uint64_t off, const void *data,
			 size_t len);
/* Bytes read. */
size_t peer_read(struct peer *p, uint64_t ino, uint64_t fh, uint64_t off, void *buf, size_t len);

#endif
