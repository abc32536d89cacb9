/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the coordinator: shared by coord*.c only. Everything here belongs to its thread. */
#ifndef CL_CSV_COORD_INT_H
#define CL_CSV_COORD_INT_H

#include "csv/coord.h"
#include "csv/fs.h"
#include "csv/layout.h"
#include "csv/lock.h"
#include "csv/session.h"
#include "csv/space.h"
#include "csv/store.h"
#include "lib/vec.h"
#include "proto/csv_ioctl.h"
#include "proto/volume.pb-c.h"

#define COORD_HB_EXTENTS 16 /* 256 blocks in clusters of 16 */

/* An open file. Found by (session, fh); its inode is not freed while it stands. */
struct handle {
	uint64_t session, fh;
	uint32_t ino;
	uint32_t flags; /* open(2) */
	char resource[64];
	uint64_t generation; /* 0 = not tagged */
	bool grew; /* space was prepared behind the end of file: trimmed at the last close */
	uint64_t grow_step; /* bytes given ahead the last time it grew by a layout */
	uint64_t filled_to; /* block behind the last hole that was filled for it */
};
CL_DEFINE_VEC(handle_vec, struct handle);

/* Blocks of a file that a parked request waits to have for itself; start >= end: none. */
struct want {
	uint32_t ino;
	uint64_t start, end;
};

/* An operation or a LayoutGet: as it came, until its answer is in the batch. */
struct req {
	struct req *next;
	uint64_t conn;
	uint64_t session;
	Csv__Message *msg; /* owns op */
	const Csv__Op *op; /* NULL: LayoutGet */
	struct want want;
};

/* A result under construction, with room for what its pointers need. */
struct res {
	Csv__Result r;
	Csv__Attr attr;
	Csv__Lock lock;
	Csv__Statfs statfs;
	bool later;  /* may leave before the commit */
	void *owned; /* freed after packing */
	Csv__Dirent *dirents;
	size_t n_dirents, cap_dirents;
};

/* What an operation answers besides 0 and -errno: */
#define OP_TAKEN 2 /* answered later, by who has the request now */
#define OP_PARK 1  /* cannot be decided yet: kept, tried again when something has changed */

struct ack {
	struct fs_record_key key;
};
CL_DEFINE_VEC(ack_vec, struct ack);

/* Block-redirected I/O that the loop has. */
struct proxied {
	uint64_t id;
	struct req *q;
};
CL_DEFINE_VEC(proxied_vec, struct proxied);

/* A fence that waits for such I/O. */
struct fence {
	uint64_t id;
	uint32_t node;
	uint64_t up_to;
};
CL_DEFINE_VEC(fence_vec, struct fence);

/* A question about data nexuses that the loop has not answered yet (coord_nexus.c). */
enum ask_kind { ASK_HELLO, ASK_BYE, ASK_PERMIT, ASK_GO };
struct ask {
	enum ask_kind kind;
	uint64_t id;
	uint64_t conn, session; /* who waits for it */
	uint64_t theirs;	/* the client's number for it */
	Csv__Message *msg;	/* the HELLO; owned */
	bool killed;		/* answered: block-redirected I/O of that node is waited for */
	uint64_t known;		/* the answer's key */
};
CL_DEFINE_VEC(ask_vec, struct ask);

struct coord {
	struct coord_config cfg;
	char name[64];
	pthread_t thread;
	struct cl_mailbox in;
	struct csv_mail *early; /* mail kept back while GO was awaited, in order */
	struct csv_mail *early_tail;

	enum coord_state state;
	uint64_t later_epoch; /* REFUSED: what stands on the volume; 0 = another reason */
	bool stop;
	struct fs_dev *dev;
	struct fs *fs;
	Vol__Tables *tables;
	struct session_table sessions;
	struct handle_vec handles;
	struct lock_table locks;
	struct layout_table layouts;
	struct req *parked, **parked_tail;
	bool retry_parked;		     /* something changed: try the parked ones again */
	bool lease_parked;		     /* some wait for the lease */
	struct csv_mail *batch, *batch_tail; /* results that wait for the commit */
	struct ack_vec acks;
	struct check *check; /* under way; NULL: none */
	struct ask_vec asks;
	uint64_t last_ask;
	struct proxied_vec proxied;
	uint64_t last_proxied;
	struct fence_vec fences;
	/*
	 * Growth that is answered before it is durable (coord_grow.c): these results leave without a commit. `growths`
	 * are numbered; other_change: something else was changed since the last commit, which does not wait.
	 */
	struct csv_mail *soon, *soon_tail;
	uint64_t growths;
	uint64_t settle_bytes; /* that wait */
	int64_t settle_at_ms;  /* a commit has to be by then; 0 = nobody waits for one */
	bool other_change;
	bool flush; /* the batch's answers promise that data is stable */
	uint64_t fenced
		[256]; /* per node: sessions up to this incarnation are over, whatever tables say */
	bool closing;  /* MAIL_CLOSE waits for goodbyes */
	struct space space;		       /* last told to all */
	uint64_t barrier;		       /* the last that was answered; 0 = none */
	struct fs_extent hb[COORD_HB_EXTENTS]; /* of the heartbeat units */
	int n_hb;
	uint64_t sequence;  /* of messages sent */
	char why[256];	    /* FAILED, REFUSED: reason */
	int64_t look_at_ms; /* REFUSED: again then */
};

/* coord.c */
/* To the loop, at once. */
void coord_post_out(struct coord *c, struct csv_mail *mail);
void coord_send(struct coord *c, uint64_t conn, Csv__Message *msg);
/* It leaves now. */
void coord_send_first(struct coord *c, uint64_t conn, Csv__Message *msg);
/* It leaves at the end of this turn, whether there is a commit or not. */
void coord_send_soon(struct coord *c, uint64_t conn, Csv__Message *msg);
void coord_fail(struct coord *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Is this the return code of a device that may not be used any more? Then the coordinator ends. */
bool coord_dead(struct coord *c, int r);
void coord_set_state(struct coord *c, enum coord_state state, const char *text);
/* GRACE: the file system is open and its sessions are loaded. */
void coord_begin_grace(struct coord *c);
/* When it may: goodbyes have been met, and nobody's block-redirected I/O is under way. */
void coord_try_close(struct coord *c);

/* coord_open.c */
/* What was kept back while GO was awaited comes first. */
struct csv_mail *coord_next_mail(struct coord *c);
/* OPENING, once. */
void coord_open(struct coord *c);
/* REFUSED: whether it can be opened by now, when that is due. */
void coord_look_again(struct coord *c);
/* Until then; -1 = it is not REFUSED. */
int coord_look_wait_ms(const struct coord *c);

/* coord_mail.c; takes mail over */
void coord_on_mail(struct coord *c, struct csv_mail *mail);
void coord_retry_fences(struct coord *c);
/* Its connection broke the rules: closed; the session goes on with its next HELLO. */
void coord_cut_off(struct coord *c, struct session *s);

/* coord_req.c */
bool coord_lease_over(const struct coord *c);
bool coord_may_execute(const struct coord *c);
/* An operation, a LayoutGet or a CANCEL, to be executed or parked. Takes msg over. */
void req_take(struct coord *c, const struct session *s, Csv__Message *msg);
void req_run_parked(struct coord *c);
void req_reply(struct coord *c, struct req *q, struct res *res);
void req_free(struct req *q);
/* The session's: its client sends them again, or is over. */
void coord_drop_parked(struct coord *c, uint64_t session);

/* Where the heartbeat units are; a volume without them has none. */
void coord_find_heartbeat(struct coord *c);
/* heartbeat, rows: room for COORD_HB_EXTENTS. */
void coord_fill_heartbeat(const struct coord *c, Csv__Welcome *to, Csv__Extent *rows,
			  Csv__Extent **list);

/* coord_session.c */
int coord_load_sessions(struct coord *c);
/* Takes msg over. */
void coord_on_hello(struct coord *c, uint64_t conn, Csv__Message *msg);
/* The nexuses that the hello did not name are dead: it decides anew, because tables may have moved. */
void coord_welcome(struct coord *c, uint64_t conn, const Csv__Message *msg);
void coord_refuse(struct coord *c, uint64_t conn, const Csv__Message *hello, uint32_t code,
		  const char *reason);
void session_send(struct coord *c, const struct session *s, Csv__Message *msg);
void coord_on_reclaim(struct coord *c, struct session *s, const Csv__Reclaim *reclaim);
void coord_on_bye(struct coord *c, struct session *s);
/* Its nexuses are dead: what it holds is released, its record goes. */
void coord_end_session(struct coord *c, struct session *s, const char *why);
void coord_on_conn_lost(struct coord *c, uint64_t conn);
/* Ends every session of (node, incarnation <= up_to): what it holds is released. */
/* Nothing of theirs is executed from here on, and none comes in again. */
void coord_shut_out(struct coord *c, uint32_t node, uint64_t up_to);
void coord_close_fenced(struct coord *c, uint32_t node, uint64_t up_to);
/* GRACE -> SERVING when nobody owes a reclaim: frees orphans, executes what waited. */
void coord_try_end_grace(struct coord *c);

/* coord_nexus.c */
void nexus_hello(struct coord *c, uint64_t conn, Csv__Message *msg); /* takes msg over */
void nexus_bye(struct coord *c, const struct session *s);
void nexus_ask(struct coord *c, const struct session *s, const Csv__NexusAsk *in);
void nexus_registered(struct coord *c, const struct session *s, const Csv__NexusRegistered *in);
void nexus_on_mail(struct coord *c, const struct csv_mail *mail); /* MAIL_NEXUS */
void nexus_conn_lost(struct coord *c, uint64_t conn);
/* Block-redirected I/O has ended: who waits for it? */
void nexus_retry(struct coord *c);
bool nexus_bye_waits(const struct coord *c);
void nexus_fini(struct coord *c);

/* coord_block.c */
int op_block(struct coord *c, struct req *q, struct res *res);
void block_on_done(struct coord *c, const struct csv_mail *mail); /* MAIL_IO_DONE */
/* Whether any of (node, incarnation <= up_to) is under way. */
bool block_busy(const struct coord *c, uint32_t node, uint64_t up_to);
void block_call_off(struct coord *c, uint32_t node, uint64_t up_to);
void block_fini(struct coord *c);

/* coord_layout.c */
/* A LayoutGet: 0 = answered, -errno = answered so, OP_PARK. */
int layout_get(struct coord *c, struct req *q);
void layout_touched(struct coord *c, const struct session *s, const Csv__Touched *in);
/* As recall_clear(), of all runs there that are not DATA. */
int layout_clear_holes(struct coord *c, struct req *q, uint32_t ino, uint64_t start, uint64_t end,
		       uint64_t except);
bool layout_redirected(const struct coord *c);
/* The answer to q, a LayoutGet. */
void layout_reply(struct coord *c, const struct req *q, Csv__Layout *body);

/* coord_grow.c */
/* A LayoutGet for growth: as layout_get(). */
int grow_get(struct coord *c, struct req *q);
int op_grow(struct coord *c, struct req *q, struct res *res);
/* Of another term: shown again, and a layout of s. */
void grow_reclaim(struct coord *c, struct session *s, const Csv__Grown *in);
/* All is durable: those who were answered early are told, ahead of what the commit lets out. */
void grow_tell_settled(struct coord *c);
int grow_wait_ms(const struct coord *c);

/* coord_recall.c; places in blocks */
/*
 * For q: everybody's rights there, but `except`'s (0: nobody's), are taken back; keep_read: the right to
 * write only. 0 = nobody is in the way any more, OP_PARK = q wants it and is tried again, -ENOMEM.
 */
int recall_clear(struct coord *c, struct req *q, uint32_t ino, uint64_t start, uint64_t end,
		 bool keep_read, uint64_t except);
/* The same for growth only: there, and of the whole file, before anybody but its holder moves the end of file. */
int recall_growth_in(struct coord *c, struct req *q, uint32_t ino, uint64_t start, uint64_t end,
		     uint64_t except);
int recall_growth(struct coord *c, struct req *q, uint32_t ino, uint64_t except);
/* The last block, when the file grows to that size: the rest of it is zeroed or written. */
int recall_clear_tail(struct coord *c, struct req *q, const struct fs_attr *attr, uint64_t size);
/*
 * Before a tagged handle writes: earlier owners' nodes give back the right to write. They refuse by their
 * own tables, too, but may be the last to get them.
 */
int recall_stale(struct coord *c, struct req *q, const struct handle *h);
/* Of two such results. */
static inline int recall_both(int a, int b)
{
	return a < 0 ? a : b < 0 ? b : a | b;
}
void recall_all(struct coord *c);
/* [start, the result) is neither under recall nor wanted by somebody who is parked; at most end. */
uint64_t recall_unwanted_up_to(const struct coord *c, uint32_t ino, uint64_t start, uint64_t end);
void recall_send(struct coord *c);
void recall_conn_gone(struct coord *c, uint64_t session);
void recall_answered(struct coord *c, const struct session *s, const Csv__Recalled *in);
/* Until the next holder has been silent for too long; -1 = no recall is open. */
int recall_wait_ms(const struct coord *c);
void recall_check_silence(struct coord *c);

/* coord_handle.c */
struct handle *handle_find(struct coord *c, uint64_t session, uint64_t fh);
int handle_add(struct coord *c, const struct handle *h);
bool handle_open_anywhere(const struct coord *c, uint32_t ino);
bool handle_of_session(const struct coord *c, uint64_t session, uint32_t ino);
/* Drop one: its locks, and the inode if that was the last handle of an unlinked file. */
void handle_drop(struct coord *c, uint64_t session, uint64_t fh);
void handle_drop_session(struct coord *c, uint64_t session);

/* coord_ops.c: dispatch. 0, -errno or OP_PARK */
int coord_execute(struct coord *c, struct req *q, struct res *res);
/* Inside begin/end of an operation: 0, or aborts. Remembers the answer when it is not repeatable. */
int op_begin(struct coord *c);
int op_end(struct coord *c, const struct req *q, int r, uint32_t ino, uint64_t offset);
/* The record of this very operation, if it was done before. */
bool op_done_before(struct coord *c, const struct req *q, uint32_t *ret_ino, uint64_t *ret_offset);
int res_attr(struct coord *c, uint32_t ino, struct res *res);
/* Drop the records of answers that have arrived; joins the running transaction. */
void coord_drop_records(struct coord *c);
uint32_t ino_in(uint64_t ino); /* wire -> ext4 */
struct timespec time_from_ns(int64_t ns);
bool time_before(const struct timespec *a, const struct timespec *b);

/* coord_name.c */
int op_lookup(struct coord *c, struct req *q, struct res *res);
int op_make(struct coord *c, struct req *q, struct res *res);
int op_link(struct coord *c, struct req *q, struct res *res);
int op_remove(struct coord *c, struct req *q, struct res *res);
int op_rename(struct coord *c, struct req *q, struct res *res);
int op_create(struct coord *c, struct req *q, struct res *res);
int op_open(struct coord *c, struct req *q, struct res *res);
int op_readdir(struct coord *c, struct req *q, struct res *res);

/* coord_private.c */
bool private_is_asked(const Csv__Op *op);
int op_create_private(struct coord *c, struct req *q, struct res *res);
int op_name_private(struct coord *c, struct req *q, struct res *res);

/* coord_io.c */
int op_read(struct coord *c, struct req *q, struct res *res);
int op_write(struct coord *c, struct req *q, struct res *res);
int op_fsync(struct coord *c, struct req *q, struct res *res);

/* coord_falloc.c */
int op_fallocate(struct coord *c, struct req *q, struct res *res);
int op_lseek(struct coord *c, struct req *q, struct res *res);

/* coord_lock.c */
int op_getlk(struct coord *c, struct req *q, struct res *res);
int op_setlk(struct coord *c, struct req *q, struct res *res);
int op_flush(struct coord *c, struct req *q, struct res *res);
int op_tag(struct coord *c, struct req *q, struct res *res);
/* Locks of a wire message: bounded, -EINVAL. */
int lock_from_wire(const Csv__Lock *in, uint64_t session, struct lock *ret);
/* May this handle do that? 0, OP_PARK (not yet: the tables decide), -ESTALE. */
int handle_may(struct coord *c, const struct handle *h, bool writes);

/* coord_care.c */
void coord_answer_job(struct coord *c, Vol__JobAnswer *answer);
void coord_on_report(struct coord *c, const struct csv_mail *mail);
/* The config's job instead of coordinating. err.code: it failed. */
void coord_run_job(struct coord *c, struct cl_error *err);

/* coord_tell.c: what sessions are told unasked */
void coord_on_barrier(struct coord *c, uint64_t n);
/* It has just been welcomed: what was answered before it came. */
void coord_tell_barrier_to(struct coord *c, const struct session *s);
/* This one has become active. */
void coord_tell_space_to(struct coord *c, const struct session *s);
/* All, if it has changed enough. It leaves with the batch: the commit may be what makes it true. */
void coord_tell_space(struct coord *c);
/* Until then; -1 = nothing has changed. */
int coord_space_wait_ms(const struct coord *c);

/* coord_check.c: the check of a volume in use; a step between batches */
void coord_on_check(struct coord *c, const struct csv_mail *mail);
void coord_check_step(struct coord *c);
void coord_check_stop(struct coord *c); /* before the file system is closed or freed */

#endif
