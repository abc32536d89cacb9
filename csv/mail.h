/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What travels between the session loop and a volume's file-system thread. Messages of clients are
 * carried packed, whether they came by TCP or from this node's own mount: one path for both.
 */
#ifndef CL_CSV_MAIL_H
#define CL_CSV_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/mailbox.h"
#include "proto/csv.pb-c.h"

enum csv_mail_kind {
	/* to the file-system thread */
	MAIL_MESSAGE, /* from client connection `conn`: a Csv.Message */
	MAIL_CONN_LOST,
	MAIL_TABLES,  /* a Vol.Tables */
	MAIL_FENCED,  /* (node, incarnation) is fenced on this volume: close its sessions; `id` */
	MAIL_NEXUS,   /* what it asked for about data nexuses: id, ok, text; key, pr_type */
	MAIL_IO_DONE, /* the MAIL_IO itself, with state = errno; body: what was read */
	MAIL_GO,      /* the key was seen: data commands may flow; ok = false: stop */
	MAIL_BARRIER, /* number `id` was answered: all sessions are told */
	MAIL_CLOSE,   /* hand over: finish, checkpoint, close */
	MAIL_REPORT,  /* of what it holds: MAIL_JOB with its id */
	MAIL_CHECK,   /* the whole volume, between batches: MAIL_JOB with its id, several */
	MAIL_STOP,    /* leave at once, write nothing more */

	/* from it */
	MAIL_REPLY,	 /* to connection `conn`: a Csv.Message */
	MAIL_CLOSE_CONN, /* `conn` broke the rules or was superseded */
	MAIL_STATE,	 /* state (enum coord_state), text; numbers */
	MAIL_FENCE_DONE, /* id */
	MAIL_JOB,	 /* a Vol.JobAnswer */
	MAIL_LOGGED_IN,	 /* LUN session registered: MAIL_GO is awaited */
	/* About the data nexuses of (node, incarnation); each is answered by MAIL_NEXUS with its id. */
	MAIL_KILL,   /* all but `key`; the answer's key: `key` if it is known, else 0 */
	MAIL_PERMIT, /* all, then permit a new one: key, pr_type */
	/* Block-redirected I/O of (node, incarnation), for this node's data nexus; MAIL_IO_DONE follows. */
	MAIL_IO,	/* count bytes at address, from or to the body; ok: write; fua */
	MAIL_IO_CANCEL, /* what has not begun, of node up to incarnation, is answered ECANCELED */
	MAIL_SEE,	/* is `key` theirs, and registered at the target of now? */
};

struct csv_mail {
	struct cl_mail mail; /* first */
	enum csv_mail_kind kind;
	uint64_t conn;	 /* client connection: 0 = none */
	void *from;	 /* whose: the struct coord, for mail from it */
	uint64_t serial; /* its config's: the next one may lie at the same address */
	uint64_t id;
	uint32_t node;
	uint64_t incarnation, key;
	uint64_t address, count;
	uint8_t pr_type;
	bool ok, bulk, fua;
	int state;
	uint64_t size_bytes, free_bytes;
	char text[256];
	size_t len;
	uint8_t body[];
};

/* len bytes of body, copied when body is not NULL. NULL when out of memory. */
struct csv_mail *csv_mail_new(enum csv_mail_kind kind, const void *body, size_t len);

/* The packed message as mail; NULL when out of memory. */
struct csv_mail *csv_mail_pack(enum csv_mail_kind kind, const Csv__Message *msg);

static inline struct csv_mail *csv_mail_get(struct cl_mailbox *box)
{
	return (struct csv_mail *)(void *)cl_mailbox_get(box);
}

#endif
