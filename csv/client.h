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

struct client;

struct client_config {
	const char *name; /* of the volume; copied */
	uint8_t volume[16];
	uint32_t node;
	uint64_t mount;		       /* this mount's number; a later mount's is greater */
	struct holding_shared *shared; /* borrowed; outlives the client. NULL: none */
	struct csv_counters *counters; /* of the volume; outlives the client. NULL: none */
	/* Carry msg to the coordinator. false = the transport is broken; client_down() follows. */
	bool (*send)(void *user, bool bulk, Csv__Message *msg);
	/* The state has changed, or the coordinator refused (reason; it will be tried again). */
	void (*changed)(void *user, const char *reason);
	void *user;
	bool (*is_dying)(uint32_t pid); /* NULL: dying_thread() */
	bool fail_none;			/* a defect: stop orders answer nothing */
};

int client_new(struct cl_loop *loop, const struct client_config *config, struct client **ret);
/* What still waits is answered with ENOTCONN. */
void client_free(struct client *client);

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
 * each of a thread that is dying, since the launcher of a VM may be killed before it has a handle to
 * tag: its OPEN, or the lookup before that, would hold it for as long as the volume waits.
 */
void client_fail(struct client *client, const char *resource, uint64_t generation);

/* A new owner table: handles that are no longer the owner's are refused here already. */
void client_set_tables(struct client *client, const Vol__Tables *tables);

/* Orderly end of the session: what it holds is released at the coordinator. */
void client_bye(struct client *client, const char *reason);

/* Whether anybody here holds, or may be about to get, a lock on the file. */
bool client_has_locks(const struct client *client, uint64_t ino);

enum client_state client_state(const struct client *client);
unsigned client_waiting(const struct client *client); /* calls not answered */

#endif
