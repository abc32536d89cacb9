/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the three files of a session share. Not for others. */
#ifndef CL_ISCSI_SESSION_INT_H
#define CL_ISCSI_SESSION_INT_H

#include <poll.h>
#include <stdint.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include "iscsi/lun.h"
#include "lib/sm.h"

#define UA_MAX 64	  /* unit attentions stack, one per reset and nexus */
#define KEEPALIVE_MS 1000 /* TEST UNIT READY every second: rely on no unit attention */
#define RETRY_BUSY_MS 50
#define ABORT_AFTER_MS 1000

/* Doubly linked by next/prev with the list as head; two instances: I/Os and commands. */
struct io_list {
	struct lun_io *first, *last;
};

struct cmd_list {
	struct lun_cmd *first, *last;
};

struct lun_session {
	struct lun_data data; /* first: lun_submit hands it back */
	struct iscsi_context *iscsi;
	struct lun_url url;
	char initiator[LUN_NAME_MAX + 1];
	unsigned portal;
	enum lun_role role;
	uint64_t key;
	uint8_t pr_type;
	char identity[PR_IDENTITY_TEXT]; /* expected before the login, found after it */
	uint32_t connect_ms, silence_ms, path_ms, io_ms;
	unsigned defects;
	struct lun_session_hooks hooks;

	struct sm sm;
	struct cl_error why;
	bool registered; /* this nexus's REGISTER of `key` was answered GOOD */
	bool doomed;	 /* `why` is set; torn down when libiscsi is off the stack */
	bool chap;	 /* we have a name and a secret for this target */
	bool mutual;	 /* and want to see its own */
	bool closing;	 /* the fd is about to be closed: nobody may poll it any more */
	bool serving;	 /* lun_session_service is on the stack */
	bool quiet;	 /* in service, or plugged: one `changed` at the end is enough */
	unsigned unsent; /* data commands queued since the last send */
	bool unsent_write;

	struct io_list running; /* at the target or on the way, oldest first */
	struct io_list waiting; /* held: got a unit attention, or submitted while HELD; or BUSY */
	unsigned n_io;
	int64_t abort_at_ms,
		abort_until_ms;	  /* after a barrier: look then, at what was sent until then */
	struct lun_io *aborting;  /* ABORT TASK is out for it; NULL again when it ended by itself */
	struct lun_io *cancelled; /* being taken out of libiscsi, to be sent again */
	bool abort_out;
	struct cmd_list cmds;

	int64_t mute_since_ms; /* sent and not acknowledged by TCP, as far as was looked */
	int64_t connect_by_ms, heard_ms, next_tur_ms, retry_ms;
	struct lun_cmd keepalive;
	bool keepalive_out;
	struct lun_cmd own; /* the session's own sequence: after login, and in HELD */
	unsigned tur_count;
	bool hold_again; /* another unit attention while verifying */
};

/* session.c */
int64_t lun_now_ms(void);
void lun_session_changed(struct lun_session *s);
void lun_session_doom(struct lun_session *s, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void lun_session_plug(struct lun_data *data);
void lun_session_unplug(struct lun_data *data);
void lun_session_move(struct lun_session *s, enum lun_session_state to, const char *why);

/* session_cmd.c */
void lun_cmds_lost(struct lun_session *s);
enum lun_result lun_cmd_send(struct lun_session *s, struct lun_cmd *cmd);
enum lun_result lun_result_of(int status, const struct scsi_task *task, struct lun_sense *sense);

/* session_io.c */
enum lun_result lun_session_submit(struct lun_data *data, struct lun_io *io);
void lun_io_lost(struct lun_session *s);
void lun_io_end_waiting(struct lun_session *s, enum lun_result result);
void lun_io_resend(struct lun_session *s);
void lun_io_abort_old(struct lun_session *s, int64_t now_ms);
void lun_io_deadline(struct lun_session *s, int64_t now_ms);

/* session_hold.c */
void lun_hold(struct lun_session *s);
void lun_settle(struct lun_session *s); /* after login: clear unit attentions, read the capacity */

#endif
