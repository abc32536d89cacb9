/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data nexus of a volume on this node: the iSCSI session over which its own reads and writes go
 * to the LUN directly. It lives by the coordinator's word (proto/csv.proto, "the data nexus"):
 *
 *   NONE --ask--> ASKED --permit--> LOGIN --REGISTER good--> REGISTERED --go--> OPEN
 *    ^              |                 |                          |               |
 *    +--- refused, session down, login or key or connection lost ----------------+
 *
 * No data command before GO. On a loss the session is closed first: what was under way ends with
 * LUN_LOST, its fate unknown; then it is asked again, which has the old nexus killed. Portals are
 * tried in turn; between attempts a pause of 0.2 to 2 s. It never goes on by itself on an old right.
 *
 * A file or block device in place of a LUN (volumes of one machine) goes the same way with key 0 and
 * without a login. What stands in for the kill of an earlier process: the lock on the file, which is had
 * only when that one's last I/O has ended (iscsi/lun_uring.h). So it is taken before the hello.
 *
 * Runs in the loop's thread; never blocks.
 */
#ifndef CL_CSV_DATA_H
#define CL_CSV_DATA_H

#include "iscsi/lun.h"
#include "lib/loop.h"

struct data;

enum data_state { DATA_NONE, DATA_ASKED, DATA_LOGIN, DATA_REGISTERED, DATA_OPEN };

struct data_config {
	const char *url;  /* iscsi://, file://, block://; copied */
	const char *name; /* of the volume, for log lines; borrowed */
	uint8_t volume[16];
	uint32_t node;
	/* Tell the coordinator. false: it cannot be told; data_session_down() follows. */
	bool (*ask)(void *user, uint64_t id);
	bool (*registered)(void *user, uint64_t key);
	/* The state has moved. */
	void (*changed)(void *user);
	void *user;
};

int data_new(struct cl_loop *loop, const struct data_config *config, struct data **ret,
	     struct cl_error *err);
/* What is under way ends with LUN_LOST, from here. Accepts NULL. */
void data_free(struct data *data);

/* Whether the session may be begun; `changed` follows when it may. */
bool data_may_begin(const struct data *data);

/* The session with the coordinator is active: from here on asked for while there is none. */
void data_session_up(struct data *data);
/* It is not. What was being agreed upon is void; an open nexus stays. */
void data_session_down(struct data *data);
/* Close it: the node's incarnation is over, or somebody says so. */
void data_close(struct data *data, const char *why);

/* Answers of the coordinator; those to earlier questions are dropped. */
bool data_is_asked(const struct data *data, uint64_t id);
void data_permit(struct data *data, uint64_t key, uint32_t pr_type);
void data_go(struct data *data, uint64_t key);
void data_refuse(struct data *data, uint64_t id, const char *reason);

/* A barrier of the coordinator's was answered: what the target has dropped at it is sent again. */
void data_barrier_answered(struct data *data);

/* The key of the nexus that is open; 0 = none. */
uint64_t data_key(const struct data *data);
/* To submit to; NULL while it is not open. Valid until the caller returns to the loop. */
struct lun_data *data_path(struct data *data);
enum data_state data_state(const struct data *data);
/* Why it is not open, in words. */
const char *data_reason(const struct data *data);

/* Between the two, within one turn of the loop, what is submitted is collected and sent at once. */
void data_begin_batch(struct data *data);
void data_end_batch(struct data *data);

#endif
