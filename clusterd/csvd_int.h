/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside clusterd's side of csvd: csvd.c has the connection, csvd's questions and what it says of volumes; csvd_orders.c
 * what it was told to do and has not answered.
 */
#ifndef CL_CLUSTERD_CSVD_INT_H
#define CL_CLUSTERD_CSVD_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "clusterd/csvd.h"
#include "clusterd/csvd_tables.h"
#include "clusterd/daemon.h"
#include "proto/conn.h"
#include "proto/volume.pb-c.h"

enum order_kind { ORDER_PAY, ORDER_FAIL, ORDER_CLOSE, ORDER_FORMAT, ORDER_HAND_OVER };

/* What csvd has not answered yet. The message is kept as bytes, to be given again as it was. */
struct order {
	TAILQ_ENTRY(order) link;
	struct csvd *csvd;
	enum order_kind kind;
	uint64_t id;
	char name[STATE_NAME_MAX]; /* volume or resource */
	uint64_t number;	   /* epoch, generation or incarnation, as the kind has it */
	uint32_t node;		   /* PAY */
	uint64_t incarnation;	   /* PAY */
	uint64_t client;	   /* FORMAT */
	struct cl_source *timer;   /* PAY: the pause before another try; FORMAT: no csvd came */
	bool answered;		   /* PAY: pausing */
	uint8_t *msg;
	size_t len;
};

/* A question of csvd that the core has not answered yet. */
struct question {
	LIST_ENTRY(question) link;
	uint64_t id, epoch;
	char volume[STATE_NAME_MAX];
};

/* What csvd said last of a volume. A clusterd that has just begun may not know the volume yet: it is
 * told to the core once the log has brought it. */
struct status {
	LIST_ENTRY(status) link;
	uint8_t volume[16];
	bool given;
	struct node_csvd_event what; /* without volume and text */
	char text[STATE_REASON_MAX];
};

struct csvd {
	struct daemon *d;
	char path[108];
	int listen_fd;
	struct cl_source *listen_src;
	struct frame_conn *conn;
	bool hello;		 /* the connected csvd has said who it is */
	struct csvd_told told;	 /* and what it was sent */
	struct csvd_lease lease; /* last said */
	uint64_t next_id;
	TAILQ_HEAD(, order) orders;
	LIST_HEAD(, question) questions;
	LIST_HEAD(, status) statuses;
	unsigned n_statuses;
	struct cl_source *give; /* statuses that wait */
};

/* To the csvd that is connected; dropped when none is: it is told all again with its hello. */
void csvd_send(struct csvd *csvd, const Vol__ToCsvd *msg);
/* To the core. */
void csvd_report(struct csvd *csvd, const struct node_csvd_event *what);
void csvd_no_memory(struct csvd *csvd);

/* csvd has answered an order, or an earlier csvd's that is not known any more. */
void csvd_on_done(struct csvd *csvd, const Vol__Done *done);
/* All that is not answered, to a csvd that has just come. */
void csvd_orders_again(struct csvd *csvd);
void csvd_orders_fini(struct csvd *csvd);

#endif
