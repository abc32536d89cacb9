/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * This node's side of a volume's session: every call of the kernel until it is answered, what is
 * open and locked here, and the conversation with the coordinator of now - wherever it runs.
 *
 *   OFFLINE --up--> GREETED --welcome--> RECLAIMING --reclaimed--> ACTIVE
 *      ^               |        (nothing to reclaim) ------------->  |
 *      +-----down------+---------------------------------------------+
 *
 * Calls wait in OFFLINE to RECLAIMING; nobody is told of a failure. In ACTIVE they are sent in
 * their order; what was sent on an earlier connection is sent again, marked so.
 *
 * Reads and writes that lie wholly within what the coordinator has granted (layouts, map.h) go to
 * the LUN directly, over this node's own nexus (data.h); everything else is an operation of the
 * coordinator. Both end in the call's done.
 *
 * Runs in the loop's thread; never blocks. The transport is the caller's: `send` carries messages to
 * the coordinator, client_input() brings its answers.
 */
#ifndef CL_CSV_CLIENT_H
#define CL_CSV_CLIENT_H

#include "csv/call.h"
#include "csv/counters.h"
#include "csv/holding.h"
#include "lib/loop.h"
#include "proto/volume.pb-c.h"

enum client_state { CLIENT_OFFLINE, CLIENT_GREETED, CLIENT_RECLAIMING, CLIENT_ACTIVE };

/* Guards that a test can leave out (--enable-defects), to prove that it notices. */
enum {
	CLIENT_DEFECT_NO_DRAIN = 1, /* a recall is answered with direct I/O under way */
	CLIENT_DEFECT_NO_HOLD =
		2, /* what has no known fate is sent again before its nexus is dead */
	CLIENT_DEFECT_NO_FAIL = 4, /* stop orders answer nothing */
};

struct client;

struct client_config {
	const char *name; /* of the volume; copied */
	uint8_t volume[16];
	uint32_t node;
	const char *url;	       /* of the LUN, for direct I/O; copied. NULL: none */
	unsigned defects;	       /* CLIENT_DEFECT_*; honoured with --enable-defects only */
	uint64_t mount;		       /* this mount's number; a later mount's is greater */
	struct holding_shared *shared; /* borrowed; outlives the client. NULL: none */
	struct csv_counters *counters; /* of the volume; outlives the client. NULL: none */
	/* Carry msg to the coordinator. false = the transport is broken; client_down() follows. */
	bool (*send)(void *user, bool bulk, Csv__Message *msg);
	/* The state has changed, or the coordinator refused (reason; it will be tried again). */
	void (*changed)(void *user, const char *reason);
	/* The transport is to be dropped and made anew, from the loop. */
	void (*reconnect)(void *user);
	/* The coordinator's word about the volume. NULL: nobody wants it. */
	void (*space)(void *user, uint64_t size_bytes, uint64_t free_bytes);
	/* Where the heartbeat units are. NULL: nobody wants it. */
	void (*heartbeat)(void *user, Csv__Extent *const *extents, size_t n);
	void *user;
	bool (*is_dying)(uint32_t pid); /* NULL: dying_thread() */
};

int client_new(struct cl_loop *loop, const struct client_config *config, struct client **ret);
/* What still waits is answered with ENOTCONN. */
void client_free(struct client *client);

/* Whether the conversation may begin: what an earlier csvd had under way on a file has ended. */
bool client_may_begin(const struct client *client);
/* A transport to the coordinator of `epoch` stands: greet it. */
void client_up(struct client *client, uint64_t epoch, uint64_t incarnation);
/* It is gone. What it had not answered is kept. */
void client_down(struct client *client);
/* A message came. false = it broke the rules: drop the transport. */
bool client_input(struct client *client, const Csv__Message *msg);

/* While held (lease over) nothing is sent. */
void client_hold(struct client *client, bool hold);

/* Takes the call; its done is called once, from the loop or from here. */
void client_submit(struct client *client, struct call *call);

/* The kernel gave the call up (a signal): a lock that waits is withdrawn. */
void client_interrupt(struct client *client, uint64_t unique);

/*
 * Stop order: answer each call of handles tagged (resource, generation <= this) with EIO, now; also
 * each of a thread that is dying (client_dying.c).
 */
void client_fail(struct client *client, const char *resource, uint64_t generation);
/* Whether nothing of theirs can reach the LUN any more; `changed` says when to ask again. */
bool client_failed(const struct client *client, const char *resource, uint64_t generation);

/* A new owner table: handles that are no longer the owner's are refused here already. */
void client_set_tables(struct client *client, const Vol__Tables *tables);

/* Orderly end of the session: what it holds is released at the coordinator. */
void client_bye(struct client *client, const char *reason);

/* Whether anybody here holds, or may be about to get, a lock on the file. */
bool client_has_locks(const struct client *client, uint64_t ino);

/* Whether this node does its I/O itself, and if not, why; NULL: it never does, on this kind of store. */
bool client_is_direct(const struct client *client);
const char *client_why_not_direct(const struct client *client);
/* The data nexus itself, for I/O of others that this node does: NULL while it is not open; its key. */
struct lun_data *client_path(const struct client *client);
uint64_t client_nexus(const struct client *client);
/* Close the nexus, forget the layouts: this node's incarnation is over. */
void client_end_direct(struct client *client, const char *why);
/* Between the two, direct I/O is collected and sent at once. */
void client_begin_batch(struct client *client);
void client_end_batch(struct client *client);

enum client_state client_state(const struct client *client);
unsigned client_waiting(const struct client *client); /* calls not answered */

#endif
