/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sessions of a volume at its coordinator, and the grace period. Pure: who may come in, who has
 * to reclaim, when grace ends.
 *
 * A session is (node, mount instance), recorded on the volume before its first operation. The next
 * coordinator finds the records and serves nobody until each of them has reclaimed what it had open
 * and locked, or is known to be fenced: else somebody could get a lock that a silent node still
 * believes to hold, or an unlinked file could be freed under its reader.
 *
 *     (record)           (hello of a new mount)
 *        |                        |
 *        v                        v
 *    RECORDED --- hello ---> RECLAIMING --- last reclaim ---> ACTIVE
 *        |                        |                             |
 *        +---- bye, fenced, superseded by a newer mount --------+--> CLOSED
 *
 * A broken connection changes no state. An ACTIVE session resumes with a hello; one that breaks
 * while RECLAIMING begins again from its first message.
 */
#ifndef CL_CSV_SESSION_H
#define CL_CSV_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/sm.h"
#include "lib/vec.h"

enum session_state {
	SESSION_RECORDED,
	SESSION_RECLAIMING,
	SESSION_ACTIVE,
	SESSION_CLOSED,
};

struct session {
	struct sm sm;
	uint64_t id; /* within this table, never reused */
	uint32_t node;
	uint64_t mount, incarnation;
	uint64_t conn;	  /* 0 = not connected at present */
	uint64_t process; /* of the last hello */
	bool grew;	  /* was told so in this term, or has reclaimed such */
	uint64_t growth;  /* the last that it was told of before it was durable; 0 = none */
	bool owed;	  /* of an earlier term: grace lasts until it has reclaimed */
};

CL_DEFINE_VEC(session_vec, struct session *);

struct session_table {
	struct session_vec v;
	uint64_t last_id;
};

void session_table_fini(struct session_table *table);

/* A record found on the volume. NULL when out of memory. */
struct session *session_load(struct session_table *table, uint32_t node, uint64_t mount,
			     uint64_t incarnation);

enum session_verdict {
	SESSION_ADMIT,	 /* new: record it on the volume first, then welcome it */
	SESSION_RECLAIM, /* recorded: welcome, it has to reclaim */
	SESSION_RESUME,	 /* welcome, nothing to reclaim */
	SESSION_LATER,	 /* our table has not heard of this incarnation yet */
	SESSION_REFUSE,	 /* an incarnation or mount that is over */
};

/*
 * A hello. living = the node is admitted at `admitted` according to the log. A session of the same
 * node with another mount ends by the hello of a newer one (*ret_over, to be closed by the caller):
 * mounts are numbered by time, so an old hello that was stuck in a socket cannot end a newer mount.
 * *ret = the session found, NULL for ADMIT (make it with session_admit) and refusals.
 */
enum session_verdict session_hello(const struct session_table *table, uint32_t node, uint64_t mount,
				   uint64_t incarnation, bool living, uint64_t admitted,
				   struct session **ret, struct session **ret_over);

struct session *session_admit(struct session_table *table, uint32_t node, uint64_t mount,
			      uint64_t incarnation);
/* Welcomed on conn, to reclaim (RECORDED, or again while RECLAIMING). */
void session_begin_reclaim(struct session *s, uint64_t conn);
void session_activate(struct session *s);
/* Ends it and frees it. */
void session_close(struct session_table *table, struct session *s, const char *why);

struct session *session_by_conn(const struct session_table *table, uint64_t conn);
struct session *session_by_id(const struct session_table *table, uint64_t id);

/* Who is still to reclaim: the first one, NULL = grace may end. */
const struct session *session_owing(const struct session_table *table);

/* (node, incarnation <= up_to): the first that a fence has ended, or NULL. */
struct session *session_fenced(const struct session_table *table, uint32_t node, uint64_t up_to);

#endif
