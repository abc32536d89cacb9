/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by client*.c: client.c the conversation, client_call.c calls, client_io.c the direct path,
 * client_block.c the way by place over the coordinator, client_layout.c layouts and recalls. */
#ifndef CL_CSV_CLIENT_INT_H
#define CL_CSV_CLIENT_INT_H

#include "csv/client.h"
#include "csv/data.h"
#include "csv/map.h"
#include "lib/sm.h"

CL_DEFINE_VEC(unique_vec, uint64_t);

/* A stop order: nothing of these generations goes out any more. */
struct stopped {
	char resource[64];
	uint64_t generation; /* and below */
};
CL_DEFINE_VEC(stopped_vec, struct stopped);

#define DIO_PIECES 32 /* a MiB in clusters of 64 KiB that lie apart, and more */

/* One direct or block-redirected I/O: from its first byte on the way until its end is known. */
struct dio {
	struct dio *next, *prev;
	struct client *client;
	struct call *call; /* NULL: answered by a stop order; only its end is waited for */
	struct buf *buf;
	Csv__Kind kind;
	uint64_t ino, fh, start, end; /* of the file */
	uint64_t nexus;		      /* the key of the nexus that carries it */
	int64_t since_ms;
	uint64_t unique;	/* redirected: of the call, which may be answered */
	bool grow;		/* behind the end of file: a GROW has to show it */
	bool redirected;	/* at the coordinator, no piece at the LUN from here */
	bool held;		/* its nexus is lost: its fate is unknown */
	unsigned n, sent, left; /* pieces: all, given to the LUN, not ended */
	enum lun_result worst;
	struct lun_sense sense;
	uint8_t *bytes; /* read: where the first byte of the call is */
	struct lun_io ios[DIO_PIECES];
	struct iovec iov[DIO_PIECES];
};

struct dio_list {
	struct dio *first, *last;
	unsigned n;
};

/* A question for a layout that has not been answered. */
struct ask {
	uint64_t id, ino, start, end;
	bool write, grow;
};
CL_DEFINE_VEC(ask_vec, struct ask);

/* A recall that waits for direct I/O to end. */
struct recall {
	uint64_t id, ino, start, end;
	bool keep_read;
};
CL_DEFINE_VEC(recall_vec, struct recall);

struct touched {
	uint64_t ino;
	int64_t mtime_ns;
};
CL_DEFINE_VEC(touched_vec, struct touched);

struct client {
	struct client_config cfg;
	char name[64];
	struct sm sm;
	uint64_t epoch, incarnation, sequence, connect;
	bool held;
	struct call *calls, *last; /* in the order of submission */
	unsigned n_calls;
	struct holding holding;
	struct unique_vec acks;
	struct stopped_vec stopped;
	struct cl_source *ack_timer;
	const Vol__Tables *tables; /* borrowed */

	/* the direct path */
	struct data *data; /* NULL: all goes by the coordinator */
	struct map map;
	struct dio_list dios;
	struct dio *spare;   /* unused ones */
	unsigned n_draining; /* at least so many calls wait for their handle's I/O; 0 = none */
	unsigned n_busy;     /* of dios: not wholly given to the LUN yet */
	uint64_t process;    /* of this csvd */
	uint64_t settled;    /* growth up to that number is durable; of this connection */
	uint64_t told_nexus; /* by the last hello */
	bool welcomed;	     /* since this process runs: nothing of an earlier one is under way */
	bool draining;	     /* has to reclaim, but direct I/O is still under way */
	bool leaving;	     /* goodbye is next */
	const char *bye;
	uint64_t last_ask;
	struct ask_vec asks;
	struct recall_vec recalls;
	struct touched_vec touched;
	struct cl_source *recall_timer, *touch_timer;
};

/* ---- client.c ---- */

bool client_send(struct client *c, bool bulk, Csv__Message *msg);
/* All direct I/O has ended. */
void client_drained(struct client *c);

/* ---- client_call.c ---- */

/* Active, and with a lease. */
bool client_may_send(const struct client *c);
/* Find its way, again: it waits here. May answer and free the call. */
void client_route(struct client *c, struct call *call);
void client_append(struct client *c, struct call *call);
/* Each call that waits. */
void client_route_waiting(struct client *c);
void client_answer(struct client *c, struct call *call, const Csv__Result *res);
void client_answer_error(struct client *c, struct call *call, int error);
void client_send_acks(void *user);
void client_on_result(struct client *c, const Csv__Result *res);

/* ---- client_dying.c ---- */

/* At a stop order: if its caller is dying, it is answered. */
void client_give_up_dying(struct client *c, struct call *call);

/* ---- client_io.c ---- */

/* Took the call: it is at the LUN, answered, or waits for a layout. */
bool client_try_direct(struct client *c, struct call *call);
/* The nexus of each held one, but for those on `living`, is dead: they may go again, by any way. */
void client_release_held(struct client *c, uint64_t living);
bool client_holds_io(const struct client *c);
/* Without an answer from here on: by a stop order. */
void client_detach_io(struct client *c, struct call *call);
bool client_io_of_handle(const struct client *c, uint64_t fh);
/* Direct I/O in the range; writes_only: writes. Their number; *ret_oldest_ms. */
unsigned client_io_in(const struct client *c, uint64_t ino, uint64_t start, uint64_t end,
		      bool writes_only, unsigned *ret_oldest_ms);
void client_on_data_changed(void *user);
void client_io_fini(struct client *c);

/* On the list, as under way, for the call; NULL when out of memory. */
struct dio *client_dio_new(struct client *c, struct call *call);
/* Its end is known, or it is about to go another way: nobody waits for it any more. */
void client_dio_free(struct dio *d);
/* Releases that wait look again. */
void client_route_draining(struct client *c);
/* After that: who waited for I/O to end gets on; was_orphan: its call had been answered before. */
void client_dio_ended(struct client *c, bool was_orphan);

/* ---- client_block.c ---- */

/* Of a shape that may go by place over the coordinator, now. */
bool client_block_fits(const struct client *c, const struct call *call);
/* Such a one, by its one piece; false: a hole, or out of memory. */
bool client_send_block(struct client *c, struct call *call, const struct map_extent *piece);
/* false: it is no answer to one of these. */
bool client_on_block_result(struct client *c, const Csv__Result *res);
/* Welcome: none that was sent before is under way any more; their calls wait to be sent again. */
void client_settle_blocks(struct client *c);

/* ---- client_grow.c ---- */

/* A write of a shape that may go behind the end of file by itself. */
bool client_may_grow(const struct call *call);
/* Its data have landed: the coordinator is told. */
void client_send_grow(struct client *c, struct call *call);
/* Growth of the file that was answered and is not durable: asks for that. false: there is none. */
bool client_settle(struct client *c, uint64_t ino);
/* It is, up to that number. */
void client_settled(struct client *c, uint64_t number);
/* All of it, whatever its number; the next one's numbers may begin anew. */
void client_settled_all(struct client *c);
/* The coordinator's word; false: it was not done, and the call goes another way. */
bool client_grown(struct client *c, struct call *call, const Csv__Result *res);

/* ---- client_layout.c ---- */

/* Asks for what the call needs; false: there is nothing to be had. */
bool client_ask_layout(struct client *c, struct call *call, uint64_t start, uint64_t end,
		       bool write);
/* Asks for blocks behind the end of file. */
bool client_ask_growth(struct client *c, struct call *call, uint64_t start, uint64_t end);
bool client_on_layout(struct client *c, const Csv__Layout *layout);
void client_on_recall(struct client *c, const Csv__Recall *recall);
/* A second has passed: whose recall is not met is told so. */
void client_look_at_recalls(void *user);
/* Some direct I/O has ended: recalls may be met. */
void client_recalls_ended(struct client *c);
/* The last handle of the file is released. */
void client_drop_layouts(struct client *c, uint64_t ino);
/* The connection is gone: what was asked and called back on it will come again. */
void client_forget_questions(struct client *c);
void client_touch(struct client *c, uint64_t ino);
void client_send_touched(void *user);
void client_layout_fini(struct client *c);

#endif
